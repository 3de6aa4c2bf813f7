package sim

import (
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/engine"
)

// host is the model of what runs attempts, with the executor in front of it: attempts outlive masters, are known by their
// ids, and are started once.
type host struct {
	process
	// eyes is where sightings come from: they may overtake each other, unlike calls and their answers.
	eyes process
	// epoch is the highest seen, recovered that of the newest recovery.
	epoch     uint64
	recovered uint64
	attempts  map[string]*attempt
	order     []*attempt
	session   *session
	// pauses says that the executor can pause attempts.
	pauses bool
}

// session is the term of a master that sightings are for: the newest that asked for them.
type session struct {
	m *master
	t *term
}

// attempt is a program that runs, or has run.
type attempt struct {
	executors.Attempt
	h        *host
	phase    dag.AttemptPhase
	exit     int
	failure  *dag.Failure
	stopping bool
	ended    bool
	started  time.Time
	// version counts what was seen of it; told is the newest that arrived.
	version, told int
	// paused attempts do not run until they are launched again; since is when that last changed. run counts the times that the
	// program was started.
	paused bool
	since  time.Duration
	runs   int
}

func newHost(w *world, name string) *host {
	h := &host{process: w.process(name), eyes: w.process(name + "/eyes"), attempts: map[string]*attempt{}, pauses: name == "far"}
	for _, m := range w.masters {
		w.linkOf(&h.process, &m.process).ordered = true
	}
	return h
}

// launch is the executor's Launch, of which nothing takes effect that was sent before the attempt was paused.
func (h *host) launch(a executors.Attempt, sent time.Duration) error {
	w := h.w
	if a.Epoch < h.epoch && w.opt.Mutant != MutantExecutorIgnoresEpoch {
		w.stats.count("stale launch refused")
		return executors.ErrStale
	}
	h.epoch = max(h.epoch, a.Epoch)
	w.check.launches(h, &a)
	if old := h.attempts[a.ID]; old != nil {
		if old.paused && !old.ended && old.since <= sent {
			old.goOn()
			return nil
		}
		old.version++
		h.tell(old)
		return nil
	}
	switch {
	case w.calm:
	case w.chance(40):
		return errors.New("no room at the moment")
	case w.chance(400):
		return executors.ErrNever
	}
	x := &attempt{Attempt: a, h: h, phase: dag.AttemptPending, started: h.clock()}
	h.attempts[a.ID] = x
	h.order = append(h.order, x)
	w.stats.Launches++
	w.say(h.name, "started", a.ID, "epoch", num(a.Epoch))
	w.check.begins(x)
	h.after(w.upTo(30*time.Millisecond), func() { x.run() })
	return nil
}

// cancel is the executor's Cancel.
func (h *host) cancel(id string) {
	x := h.attempts[id]
	if x == nil {
		h.report(executors.Sighting{AttemptID: id, Phase: dag.AttemptStopped, At: h.clock()}, h.session)
		return
	}
	h.stop(x)
	if x.ended {
		x.version++
		h.tell(x)
	}
}

// pause is the executor's Pause, of which nothing takes effect that was sent before the attempt went on.
func (h *host) pause(id string, sent time.Duration) {
	x := h.attempts[id]
	switch {
	case x == nil:
		h.cancel(id)
	case x.ended || x.paused:
		x.version++
		h.tell(x)
	case !x.stopping && x.since <= sent:
		run := x.runs
		h.after(h.w.upTo(300*time.Millisecond), func() {
			if x.ended || x.paused || x.stopping || x.runs != run {
				return
			}
			x.paused, x.since = true, h.w.now
			h.w.stats.count("attempt paused")
			h.w.say(h.name, "paused", x.ID)
			x.see(dag.AttemptStopped)
		})
	}
}

// goOn starts the program of a paused attempt again.
func (x *attempt) goOn() {
	h := x.h
	x.paused, x.since = false, h.w.now
	h.w.say(h.name, "goes on", x.ID)
	h.w.check.begins(x)
	h.after(h.w.upTo(30*time.Millisecond), func() { x.run() })
}

func (h *host) stop(x *attempt) {
	if x.ended || x.stopping {
		return
	}
	x.stopping = true
	h.after(h.w.upTo(300*time.Millisecond), func() { x.end(dag.AttemptStopped, 143, nil) })
}

// recover is the executor's Recover, by a leader of that epoch. One whose epoch is over must not stop what it does not know.
func (h *host) recover(epoch uint64, list []executors.Attempt, s *session) error {
	if h.w.opt.Mutant != MutantRecoverKeepsEpoch {
		if epoch < h.epoch {
			h.w.stats.count("stale recovery refused")
			return executors.ErrStale
		}
		h.epoch = epoch
	}
	h.recovered = max(h.recovered, epoch)
	h.session = s
	known := map[string]bool{}
	for _, a := range list {
		known[a.ID] = true
		if x := h.attempts[a.ID]; x != nil {
			x.version++
			h.tell(x)
			continue
		}
		f := dag.NewFailure(dag.FailLost, 0, "it is not there")
		h.report(executors.Sighting{AttemptID: a.ID, Phase: dag.AttemptFailed, At: h.clock(), Failure: f}, s)
	}
	for _, x := range h.order {
		if !known[x.ID] && !x.ended {
			h.w.stats.count("orphan stopped")
			h.stop(x)
		}
	}
	return nil
}

// crash ends everything that runs: the machine went down. What had ended is still known.
func (h *host) crash(down time.Duration) {
	h.kill()
	h.w.after(down, func() {
		h.alive = true
		for _, x := range h.order {
			if !x.ended && !x.paused {
				x.end(dag.AttemptFailed, 0, dag.NewFailure(dag.FailLost, 0, "the machine went down"))
			} else if x.told < x.version {
				h.tell(x)
			}
		}
	})
}

// see notes something new of an attempt.
func (x *attempt) see(phase dag.AttemptPhase) {
	x.phase = phase
	x.version++
	x.h.tell(x)
}

// end notes the end of an attempt.
func (x *attempt) end(phase dag.AttemptPhase, exit int, f *dag.Failure) {
	if x.ended {
		return
	}
	x.ended, x.exit, x.failure = true, exit, f
	x.h.w.say(x.h.name, "ended", x.ID, num(int(phase)), num(exit))
	x.see(phase)
}

// run is the life of the attempt's program, until it is paused.
func (x *attempt) run() {
	if x.ended || x.paused {
		return
	}
	w := x.h.w
	x.runs++
	run := x.runs
	runs := func() bool { return x.runs == run && !x.paused && !x.ended }
	x.see(dag.AttemptRunning)
	length := w.between(w.opt.shortest, w.opt.longest)
	if w.calm {
		length = w.between(10*time.Millisecond, 100*time.Millisecond)
	}
	if w.chance(20) && !w.calm {
		x.h.after(w.upTo(length), func() {
			switch {
			case x.stopping || !runs():
			case w.chance(3):
				x.end(dag.AttemptFailed, 0, dag.NewFailure(dag.FailEvicted, 0, "no room any more"))
			default:
				x.end(dag.AttemptFailed, 1, nil)
			}
		})
	}
	if x.Spec == nil || x.Spec.Form != dag.FormCLIC {
		x.h.after(length, func() {
			if runs() {
				x.end(dag.AttemptSucceeded, 0, nil)
			}
		})
		return
	}
	x.reports(length, runs)
}

// reports is the life of a program of the CLIC form: it says that it has started, perhaps that its data can be read, and that
// it is done. Old programs try once, and go on.
func (x *attempt) reports(length time.Duration, runs func() bool) {
	w := x.h.w
	patient := !w.chance(8)
	number := x.Number
	if !patient {
		number = dag.CurrentAttempt
	}
	tries := 1
	if patient {
		tries = 40
	}
	call := func(what dag.What, then func()) {
		if !runs() {
			return
		}
		r := engine.StageReport{StageID: x.Stage, Attempt: number, Token: x.Token, What: what}
		w.report(x, r, tries, runs, then)
	}
	call(dag.ReportStarted, func() {
		x.h.after(length/2, func() {
			end := func() {
				x.h.after(length/2, func() {
					call(dag.ReportCompleted, func() {
						x.h.after(w.upTo(50*time.Millisecond), func() {
							if runs() {
								x.end(dag.AttemptSucceeded, 0, nil)
							}
						})
					})
				})
			}
			if w.chance(4) {
				end()
				return
			}
			call(dag.ReportPrepared, end)
		})
	})
}

// tell has the newest of an attempt arrive at the session, sooner or later.
func (h *host) tell(x *attempt) {
	s, version := h.session, x.version
	if s == nil {
		return
	}
	g := executors.Sighting{
		AttemptID: x.ID, Phase: x.phase, At: h.clock(), ExitCode: x.exit, Failure: x.failure, Info: "simulated",
		Kept: x.paused && !x.ended,
	}
	if x.phase != dag.AttemptPending {
		g.Started = x.started
	}
	h.deliver(g, s, func() bool { return x.told < version && x.version == version }, func() { x.told = max(x.told, version) })
}

// report has a sighting arrive that is about no attempt that is here.
func (h *host) report(g executors.Sighting, s *session) {
	arrived := false
	h.deliver(g, s, func() bool { return !arrived }, func() { arrived = true })
}

// deliver sends a sighting until it has arrived, or nobody is there who wants it.
func (h *host) deliver(g executors.Sighting, s *session, wanted func() bool, arrived func()) {
	if s == nil || h.session != s || !wanted() {
		return
	}
	ask(&h.eyes, &s.m.process, time.Second, func(answer func(bool, error)) {
		answer(true, nil)
		if s.m.term == s.t {
			s.t.sighting(g)
		}
	}, func(_ bool, err error) {
		if err == nil {
			arrived()
			return
		}
		h.after(500*time.Millisecond, func() { h.deliver(g, s, wanted, arrived) })
	})
}
