package sim

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
)

// term is what a master does while it leads: an engine, and the glue that in a real master is goroutines.
type term struct {
	m       *master
	number  uint64
	epoch   uint64
	eng     *engine.Manual
	serving bool
	lanes   []lane
	// lease is how long the lease is good for, trust how long the term may act; they differ while it is in doubt whether
	// somebody else has led.
	lease, trust  time.Time
	doubt, asking bool
	// repeating counts the commits that the store did not take.
	repeating int
	keys      map[string]bool // requests of submissions under way
	// opened is called when the shards have seen all that was loaded.
	opened func()
	// early are answers that a mutant gives before the commit.
	early []func()
	// muted has a mutant forget what is pending after a recovery.
	muted bool
}

// lane is the goroutine around a shard.
type lane struct {
	busy  bool // a batch is under way, since then
	since time.Duration
	due   bool // a step is on its way
	wakes int  // numbers the timers; older ones are void
}

func newTerm(m *master, s lead.State) *term {
	until := s.Until.Add(m.way)
	t := &term{m: m, number: s.Term, lease: until, trust: until, keys: map[string]bool{}}
	w := m.w
	eng, err := engine.NewManual(engine.Config{
		Shards: w.opt.shards, Slots: w.opt.slots, Route: route,
		Backoff: 100 * time.Millisecond, BackoffCap: 2 * time.Second, CommitPatience: w.opt.patience,
		Now: m.clock, Random: w.r.Float64, Log: slog.New(&logger{w: w, name: m.name}),
		TokenKey: []byte("simulated"),
	}, executorNames()...)
	if err != nil {
		w.fail("cannot make an engine: %v", err)
	}
	t.eng = eng
	t.lanes = make([]lane, eng.Shards())
	return t
}

// executorNames are those of the hosts; the platform of a stage is the name of its own.
func executorNames() []string { return []string{"near", "far"} }

func route(platform string) string {
	if platform == "far" {
		return "far"
	}
	return "near"
}

func (w *world) host(executor string) *host { return w.hosts[slices.Index(executorNames(), executor)] }

// over reports whether the term is not its master's any more.
func (t *term) over() bool { return t.m.term != t }

// now is the time for the core.
func (t *term) now() dag.Time { return dag.Time(t.m.clock().UnixMilli()) }

// trusted reports whether the term may act.
func (t *term) trusted() bool { return t.m.clock().Before(t.trust) }

// begin takes an epoch, loads what has not ended, asks the executors about it, and opens the shards.
func (t *term) begin() {
	m := t.m
	m.adapter.lead(m.id(), func(epoch uint64, err error) {
		switch {
		case t.over():
			return
		case err != nil:
			t.giveUp("no epoch: " + err.Error())
			return
		}
		t.epoch = epoch
		m.w.say(m.name, "leads with epoch", num(epoch))
		m.at(atLeading, t.list)
	})
}

func (t *term) list() {
	t.m.adapter.unfinished(func(names []string, err error) {
		switch {
		case t.over():
		case err != nil:
			t.giveUp("no list: " + err.Error())
		default:
			t.load(names, nil)
		}
	})
}

// load reads tasks, one after the other.
func (t *term) load(names []string, records []*store.Record) {
	m := t.m
	if len(names) == 0 {
		m.at(atRecovering, func() { t.recover(records) })
		return
	}
	m.adapter.load(names[0], func(rec *store.Record, err error) {
		switch {
		case t.over():
			return
		case err == nil:
			records = append(records, rec)
		case !errors.Is(err, store.ErrNotFound):
			t.giveUp("no tasks: " + err.Error())
			return
		}
		t.load(names[1:], records)
	})
}

// recover hands the tasks to the shards, and the attempts to the executors.
func (t *term) recover(records []*store.Record) {
	m := t.m
	if t.over() {
		return
	}
	live, err := t.eng.Begin(t.epoch, records)
	if err != nil {
		t.giveUp("cannot begin: " + err.Error())
		return
	}
	if m.w.opt.Mutant == MutantForgetsLive {
		live = nil
	}
	t.opened = func() { t.ask(executorNames(), live) }
	t.pump()
	t.maybeOpen()
}

// maybeOpen goes on with the start when the shards have nothing to do.
func (t *term) maybeOpen() {
	if t.opened == nil {
		return
	}
	for i := range t.lanes {
		if t.lanes[i].busy || t.lanes[i].due {
			return
		}
	}
	next := t.opened
	t.opened = nil
	next()
}

// ask recovers the executors, one after the other, and then opens the shards.
func (t *term) ask(names []string, live map[string][]executors.Attempt) {
	m := t.m
	switch {
	case len(names) == 0:
		t.open()
		return
	case !t.trusted():
		t.giveUp("the lease could not be renewed")
		return
	}
	h := m.w.host(names[0])
	ask(&m.process, &h.process, 2*time.Second, func(answer func(bool, error)) {
		answer(true, h.recover(t.epoch, live[names[0]], &session{m, t}))
	}, func(_ bool, err error) {
		switch {
		case t.over():
		case err != nil:
			t.giveUp("no executor: " + err.Error())
		default:
			t.ask(names[1:], live)
		}
	})
}

func (t *term) open() {
	m := t.m
	t.eng.Open()
	t.serving = true
	t.muted = m.w.opt.Mutant == MutantForgetsPending
	m.w.stats.count("term served")
	m.w.say(m.name, "serves term", num(t.number))
	m.machine.Led(m.clock(), t.number, t.epoch)
	m.poll()
	t.pump()
	t.look()
	m.w.opened(m)
}

// look is the janitor: it looks for unfinished tasks that nobody runs.
func (t *term) look() {
	m := t.m
	m.after(10*time.Second, func() {
		if t.over() {
			return
		}
		t.look()
		if t.stale() || m.w.opt.Mutant == MutantStranded {
			return
		}
		m.adapter.unfinished(func(names []string, err error) {
			if err != nil || t.over() {
				return
			}
			for _, name := range names {
				t.stray(name)
			}
			t.pump()
		})
	})
}

func (t *term) stray(name string) {
	if !t.eng.Active(name) {
		t.m.w.stats.count("task taken over")
		t.m.w.say(t.m.name, "takes over", name)
		t.eng.Stray(name)
	}
}

// stale reports whether the store has not confirmed for a while what is in memory.
func (t *term) stale() bool { return t.repeating > 0 || !t.trusted() }

// pump has every shard step that has something to do, and sets its alarm.
func (t *term) pump() {
	for i := range t.lanes {
		l := &t.lanes[i]
		if l.busy || l.due {
			continue
		}
		if t.eng.Due(i, t.now()) {
			l.due = true
			t.m.after(t.m.w.upTo(time.Millisecond), func() { t.step(i) })
			continue
		}
		at := t.eng.NextTimer(i)
		if at == 0 {
			continue
		}
		l.wakes++
		n := l.wakes
		t.m.after(t.m.until(time.UnixMilli(int64(at))), func() {
			if !t.over() && t.lanes[i].wakes == n {
				t.pump()
			}
		})
	}
}

// step lets a shard step, and sees to it that what changed is committed.
func (t *term) step(i int) {
	m, l := t.m, &t.lanes[i]
	l.due = false
	if t.over() {
		return
	}
	b := t.eng.Step(i, t.now())
	l.busy, l.since = true, m.w.now
	if len(b.Changes()) == 0 {
		t.finish(b, nil)
		return
	}
	t.premature(b)
	m.at(atStepped, func() {
		if t.over() {
			return
		}
		t.save(b.Changes(), func(errs []error) {
			if !t.over() {
				m.at(atCommitted, func() { t.finish(b, errs) })
			}
		})
		m.at(atCommitting, func() {})
	})
}

// finish ends a shard's batch, and has done what follows from it.
func (t *term) finish(b *engine.Batch, errs []error) {
	if t.over() {
		return
	}
	fx := t.eng.Finish(b, t.now(), errs)
	if s := t.eng.Stats(); s.Broken > 0 {
		t.m.w.fail("%s: a task broke", t.m.name)
	}
	t.m.at(atFinished, func() {
		if t.over() {
			return
		}
		t.lanes[b.Shard()].busy = false
		t.perform(fx)
		t.pump()
		t.maybeOpen()
	})
}

// perform carries effects out, each by itself.
func (t *term) perform(fx engine.Effects) {
	m := t.m
	for _, l := range fx.Launches {
		if t.muted {
			continue
		}
		m.after(m.w.upTo(time.Millisecond), func() { t.launch(l) })
	}
	for _, c := range fx.Cancels {
		m.after(m.w.upTo(time.Millisecond), func() { t.cancel(c) })
	}
	for _, name := range fx.Loads {
		m.w.stats.count("reload")
		t.reload(name)
	}
}

func (t *term) reload(name string) {
	t.m.adapter.load(name, func(rec *store.Record, err error) {
		if t.over() {
			return
		}
		if errors.Is(err, store.ErrRolledBack) {
			err = errors.Join(store.ErrUnavailable, err)
		}
		if t.m.w.opt.Mutant == MutantNoReload {
			if kept := t.m.w.check.kept(name); kept != nil {
				rec = kept
			}
		}
		t.eng.Loaded(name, rec, err)
		t.pump()
	})
}

func (t *term) launch(l engine.Launch) {
	if t.over() {
		return
	}
	if !t.trusted() {
		t.eng.Launched(l, executors.ErrStale)
		t.pump()
		return
	}
	t.m.at(atPerforming, func() { t.call(l) })
}

// call hands a launch to its executor. Where no answer comes it is repeated, since an error would say that nothing was
// started.
func (t *term) call(l engine.Launch) {
	h, sent := t.m.w.host(l.Executor), t.m.w.now
	ask(&t.m.process, &h.process, 2*time.Second, func(answer func(bool, error)) {
		answer(true, h.launch(l.Attempt, sent))
	}, func(_ bool, err error) {
		switch {
		case t.over():
		case errors.Is(err, errNoAnswer):
			t.call(l)
		case errors.Is(err, executors.ErrStale):
			t.fence("an executor knows a higher epoch")
		default:
			t.eng.Launched(l, err)
			t.pump()
		}
	})
}

func (t *term) cancel(c engine.Cancel) {
	if t.over() {
		return
	}
	if !t.trusted() {
		t.eng.Canceled(c, executors.ErrStale)
		t.pump()
		return
	}
	h, sent := t.m.w.host(c.Executor), t.m.w.now
	ask(&t.m.process, &h.process, 2*time.Second, func(answer func(bool, error)) {
		if c.Pause && h.pauses {
			h.pause(c.ID, sent)
		} else {
			h.cancel(c.ID)
		}
		answer(true, nil)
	}, func(_ bool, err error) {
		if !t.over() {
			t.eng.Canceled(c, err)
			t.pump()
		}
	})
}

// sighting takes what an executor saw.
func (t *term) sighting(g executors.Sighting) {
	t.eng.Sighting(g)
	t.pump()
}

// premature is what mutants do before the commit.
func (t *term) premature(b *engine.Batch) {
	if t.m.w.opt.Mutant == MutantAnswerFirst {
		for _, f := range t.early {
			f()
		}
		t.early = nil
	}
	if t.m.w.opt.Mutant != MutantLaunchFirst {
		return
	}
	for _, c := range b.Changes() {
		for _, l := range c.Log {
			e, err := dag.DecodeEntry(l.Body)
			if err != nil || e.To != dag.Launching.String() {
				continue
			}
			a := executors.Attempt{ID: dag.AttemptID(e.Stage, e.Attempt), Task: c.Task, Stage: e.Stage, Number: e.Attempt, Epoch: t.epoch}
			h := t.m.w.hosts[0]
			t.m.w.send(&t.m.process, &h.process, func() { _ = h.launch(a, t.m.w.now) }, nil)
		}
	}
}

// logger looks for what an engine should never have to say.
type logger struct {
	slog.Handler
	w    *world
	name string
}

func (l *logger) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	more := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		more[a.Key] = a.Value.String()
		return true
	})
	line := r.Message
	for _, k := range slices.Sorted(maps.Keys(more)) {
		line += "; " + k + " " + more[k]
	}
	l.w.say(l.name, "log", line)
	if r.Level >= slog.LevelError {
		l.w.fail("%s logs an error: %s", l.name, line)
	}
	return nil
}

func (l *logger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logger) WithGroup(string) slog.Handler      { return l }
