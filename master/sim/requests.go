package sim

import (
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// result is the answer to a request.
type result struct {
	task     string
	accepted bool
	revision uint64
	stale    bool
}

// request is what a client or a program asks of the master that leads.
type request func(t *term, answer func(result, error))

// errAgain is the answer of a master that cannot serve a request now.
var errAgain = errors.New("ask again")

// handle serves a request, or has the leader do so.
func (m *master) handle(r request, relayed bool, answer func(result, error)) {
	if m.term != nil && m.term.serving {
		r(m.term, answer)
		return
	}
	leader := m.machine.State().Leader
	if relayed || leader.Epoch == 0 {
		answer(result{}, errAgain)
		return
	}
	for _, o := range m.w.masters {
		if o.id() == leader.ID && o != m {
			ask(&m.process, &o.process, 3*time.Second, func(answer func(result, error)) { o.handle(r, true, answer) }, answer)
			return
		}
	}
	answer(result{}, errAgain)
}

// changeable reports why nothing can be changed now, or nil.
func (t *term) changeable() error {
	if t.stale() {
		return store.ErrUnavailable
	}
	return nil
}

// submit is a submission with a key.
func submit(w *world, key, yaml string) request {
	return func(t *term, answer func(result, error)) {
		if t.keys[key] {
			answer(result{}, errAgain)
			return
		}
		t.keys[key] = true
		end := func(r result, err error) {
			delete(t.keys, key)
			answer(r, err)
		}
		t.before(key, func(name string, err error) {
			switch {
			case err == nil:
				end(result{task: name}, nil)
			case !errors.Is(err, store.ErrNotFound):
				end(result{}, err)
			case t.changeable() != nil:
				end(result{}, t.changeable())
			default:
				t.create(w, key, yaml, end)
			}
		})
	}
}

// before looks for the task that a key made.
func (t *term) before(key string, done func(string, error)) {
	t.m.adapter.resolve(key, func(name string, err error) {
		if t.over() {
			return
		}
		if err == nil && t.m.w.opt.Mutant != MutantStranded {
			t.stray(name)
			t.pump()
		}
		done(name, err)
	})
}

func (t *term) create(w *world, key, yaml string, end func(result, error)) {
	var random [8]byte
	for i := range random {
		random[i] = byte(w.r.IntN(26))
	}
	name := plan.TaskName("sim", random)
	s := engine.Submission{
		PlanName: "sim", YAML: []byte(yaml), RequestID: key, Owner: "simulated",
		BuildOptions: plan.BuildOptions{UID: "uid-" + name, Created: t.now()},
	}
	err := t.eng.Submit(name, s, func(err error) {
		if !errors.Is(err, store.ErrExists) {
			end(result{task: name}, err)
			return
		}
		t.before(key, func(old string, oldErr error) {
			if errors.Is(oldErr, store.ErrNotFound) {
				oldErr = err
			}
			end(result{task: old}, oldErr)
		})
	})
	if err != nil {
		w.fail("a plan is refused: %v\n%s", err, yaml)
	}
	if w.opt.Mutant == MutantAnswerFirst {
		t.early = append(t.early, func() { end(result{task: name}, nil) })
	}
	t.pump()
}

// order is a command about a task.
func order(give func(e *engine.Manual, answer func(error)) (leave func())) func(left *func()) request {
	return func(left *func()) request {
		return func(t *term, answer func(result, error)) {
			if err := t.changeable(); err != nil {
				answer(result{}, err)
				return
			}
			*left = give(t.eng, func(err error) { answer(result{}, err) })
			if t.m.w.opt.Mutant == MutantAnswerFirst {
				t.early = append(t.early, func() { answer(result{}, nil) })
			}
			t.pump()
		}
	}
}

// read looks at a task as a client does. A batch that is being committed is waited for, but not for long.
func read(task string) request {
	return func(t *term, answer func(result, error)) {
		const patience = 500 * time.Millisecond
		var look func()
		look = func() {
			l := &t.lanes[t.eng.ShardOf(task)]
			if l.busy && t.m.w.now-l.since < patience {
				t.m.after(10*time.Millisecond, func() {
					if !t.over() {
						look()
					}
				})
				return
			}
			var r result
			t.eng.Look(task, func(run *dag.Run) { r.revision = run.Task().Seq }, func(err error) {
				r.stale = t.stale()
				if !errors.Is(err, engine.ErrNotActive) {
					answer(r, err)
					return
				}
				t.readStored(task, answer)
			})
		}
		look()
	}
}

// readStored looks at a task that is not active.
func (t *term) readStored(task string, answer func(result, error)) {
	query(t.m.adapter, storeTimeout, func(d *db) (uint64, error) {
		s := d.tasks[task]
		if s == nil {
			return 0, store.ErrNotFound
		}
		h, err := dag.DecodeHeader(s.rec.Header.Body)
		if err != nil {
			return 0, err
		}
		return h.Seq, nil
	}, func(seq uint64, err error) { answer(result{revision: seq, stale: t.stale()}, err) })
}

// callback is what a stage's program says.
func callback(w *world, r engine.StageReport) request {
	return func(t *term, answer func(result, error)) {
		t.eng.Report(r, func(accepted, _ bool, err error) {
			if errors.Is(err, engine.ErrNotActive) {
				accepted, err = false, nil // it has ended: nobody is interested any more
			}
			if err == nil && accepted {
				w.check.reported(r)
			}
			answer(result{accepted: accepted}, err)
		})
		if w.opt.Mutant == MutantAnswerFirst {
			t.early = append(t.early, func() { w.check.reported(r); answer(result{accepted: true}, nil) })
		}
		t.pump()
	}
}

// again reports whether an error says that the same request may succeed later.
func again(err error) bool {
	return err != nil && !errors.Is(err, dag.ErrRefused) && !errors.Is(err, dag.ErrUnknownNode) && !errors.Is(err, store.ErrNotFound) &&
		!errors.Is(err, engine.ErrToken)
}

// report carries a program's callback to a master, again and again until it is answered or there are no tries left.
func (w *world) report(x *attempt, r engine.StageReport, tries int, runs func() bool, then func()) {
	if !runs() {
		return
	}
	m := w.masters[w.r.IntN(len(w.masters))]
	ask(&x.h.eyes, &m.process, 3*time.Second, func(answer func(result, error)) {
		m.handle(callback(w, r), false, answer)
	}, func(_ result, err error) {
		if again(err) && tries > 1 {
			x.h.after(w.between(100*time.Millisecond, 600*time.Millisecond), func() { w.report(x, r, tries-1, runs, then) })
			return
		}
		then()
	})
}
