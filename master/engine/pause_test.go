package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// requeue suspends the stage so that its attempt is stopped.
func (r *rig) requeue(id string) {
	r.t.Helper()
	if _, err := r.engine.Suspend(context.Background(), Target{Stage: id}, dag.Hold{Who: "ann", Mode: dag.HoldRequeue}); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

func (r *rig) goOn(id string) {
	r.t.Helper()
	if err := r.engine.Continue(context.Background(), Target{Stage: id}, "ann"); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

func pausingWorld(script func(executors.Attempt) behaviour) *world {
	w := newWorld(script)
	w.pauses = true
	return w
}

// The same attempt goes on, also when the master was away meanwhile, and as often as somebody wants.
func TestPauseAndGoOn(t *testing.T) {
	w := pausingWorld(held)
	inBubble(t, w, func(c *Config) { c.Slots.Global = 1 }, func(r *rig) {
		task := r.submit(graph("a", "b: a", "c"))
		a := r.id(task, "a")
		for range 2 {
			r.expect(task, "a=RUNNING b=WAITING c=WAITING")
			r.sleep(time.Second)
			r.requeue(a)
			r.expect(task, "a=SUSPEND b=SUSPEND c=RUNNING") // its slot is free
			if v := r.stage(task, "a"); !v.Kept || v.Attempt != 0 || v.Live {
				t.Errorf("paused: %+v", v.NodeState)
			}
			x, err := r.engine.Explain(context.Background(), a)
			if err != nil || !strings.HasSuffix(x.Text, "; its attempt is paused, and goes on then") {
				t.Errorf("explained as %v, %v", x, err)
			}
			r.restart()
			r.settle()
			if got := w.kept(); !slices.Equal(got, []string{a}) {
				t.Fatalf("%v are paused after a restart", got)
			}
			r.goOn(a)
			c := r.id(task, "c")
			r.requeue(c) // makes room
			r.expect(task, "a=RUNNING b=WAITING c=SUSPEND")
			r.goOn(c)
			r.expect(task, "a=RUNNING b=WAITING c=WAITING")
		}
		w.finish(a, 0)
		r.settle()
		if v := r.stage(task, "a"); v.Status != dag.Completed || v.Attempt != 0 || v.Kept || len(v.History) > 0 {
			t.Errorf("ended: %+v", v.NodeState)
		}
		if got := w.resumed; len(got) < 3 {
			t.Errorf("went on: %v", got)
		}
		if got := w.began(); len(got) != 2 {
			t.Errorf("began: %v", got)
		}
	})
}

// An executor that cannot pause stops the attempt, and the next one has another number.
func TestRequeueWithoutPause(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		task := r.submit(graph("a"))
		r.settle()
		a := r.id(task, "a")
		r.requeue(a)
		r.expect(task, "a=SUSPEND")
		r.goOn(a)
		r.expect(task, "a=RUNNING")
		if got := w.running(); !slices.Equal(got, []string{a + "-r1"}) {
			t.Errorf("%v run", got)
		}
	})
}

// Whatever ends a stage that is paused has its attempt stopped, before the task leaves memory; also when nobody was there
// to see to it.
func TestPausedAndEnded(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(r *rig, task, a string) error{
		"cancelled": func(r *rig, _, a string) error {
			return r.engine.Cancel(ctx, Target{Stage: a}, "ann", "", false)
		},
		"skipped": func(r *rig, _, a string) error {
			return errors.Join(r.engine.Skip(ctx, a, "ann", ""), r.engine.Continue(ctx, Target{Stage: a}, "ann"))
		},
		"task cancelled": func(r *rig, task, _ string) error {
			return r.engine.Cancel(ctx, Target{Task: task}, "ann", "", false)
		},
		"deleted": func(r *rig, task, _ string) error { return r.engine.Delete(ctx, task, true, "ann") },
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := pausingWorld(held)
				inBubble(t, w, nil, func(r *rig) {
					task := r.submit(graph("a", "b: a"))
					r.settle()
					a := r.id(task, "a")
					r.requeue(a)
					if restart {
						r.restart()
					}
					if err := end(r, task, a); err != nil {
						t.Fatal(err)
					}
					r.settle()
					if got := w.kept(); len(got) > 0 {
						t.Errorf("%v are still paused", got)
					}
					r.sleep(time.Minute)
					for _, id := range w.running() {
						w.finish(id, 0)
					}
					r.rest()
					if i := r.engine.Info(ctx); i.ActiveTasks != 0 {
						t.Error("the task is still in memory")
					}
				})
			})
		}
	}
}

// What is to end while it is being paused is stopped for good, even if the pause takes for ever.
func TestCancelledWhilePausing(t *testing.T) {
	w := pausingWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		task := r.submit(graph("a"))
		r.settle()
		a := r.id(task, "a")
		w.mu.Lock()
		w.procs[a].lazy = true // it is asked to pause, and goes on
		w.mu.Unlock()
		r.requeue(a)
		r.expect(task, "a=CANCELLING")
		if err := r.engine.Cancel(context.Background(), Target{Task: task}, "ann", "", false); err != nil {
			t.Fatal(err)
		}
		r.expect(task, "a=CANCELLED")
		if got := w.cancels[a]; got != 1 {
			t.Errorf("stopped %d times", got)
		}
	})
}

// A pause that was seen before its call was answered does not overtake the launch that follows.
func TestGoOnBeforeThePauseIsAnswered(t *testing.T) {
	w := pausingWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		gate := make(chan struct{})
		task := r.submit(graph("a"))
		r.settle()
		a := r.id(task, "a")
		w.mu.Lock()
		w.procs[a].answer = gate
		w.mu.Unlock()
		r.requeue(a)
		r.expect(task, "a=SUSPEND")
		r.goOn(a)
		r.expect(task, "a=LAUNCHING")
		if got := w.kept(); len(got) != 1 {
			t.Errorf("%v are paused, and the pause has not been answered", got)
		}
		close(gate)
		r.expect(task, "a=RUNNING")
		if got := w.running(); !slices.Equal(got, []string{a}) {
			t.Errorf("%v run", got)
		}
	})
}

// An attempt that cannot be made to go on is stopped before the next one begins.
func TestCannotGoOn(t *testing.T) {
	w := pausingWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		task := r.submit(graph("a"))
		r.settle()
		a := r.id(task, "a")
		r.requeue(a)
		w.mu.Lock()
		w.procs[a].tried, w.procs[a].Errors = 0, []error{errors.Join(executors.ErrNever, errors.New("not allowed"))}
		w.mu.Unlock()
		r.goOn(a)
		r.expect(task, "a=FAILED")
		if got := w.kept(); len(got) > 0 {
			t.Errorf("%v are still paused", got)
		}
		if f := r.stage(task, "a").Failure; f == nil || f.Kind != dag.FailLaunch {
			t.Errorf("failed with %+v", f)
		}
	})
}

// Old words of a pause that come when the attempt has gone on change nothing.
func TestOldWordsOfAPause(t *testing.T) {
	w := pausingWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		task := r.submit(graph("a"))
		r.settle()
		a := r.id(task, "a")
		r.sleep(time.Second)
		ran, say := time.Now(), func(g executors.Sighting) {
			g.AttemptID = a
			w.mu.Lock()
			w.session.report(g)
			w.mu.Unlock()
			r.settle()
		}
		r.sleep(time.Second)
		r.requeue(a)
		paused := time.Now()
		w.mu.Lock()
		w.procs[a].Gate = make(chan struct{})
		w.mu.Unlock()
		r.goOn(a)
		say(executors.Sighting{Phase: dag.AttemptRunning, At: ran})
		r.expect(task, "a=LAUNCHING")
		w.mu.Lock()
		close(w.procs[a].Gate)
		w.mu.Unlock()
		r.expect(task, "a=RUNNING")
		r.sleep(time.Second)
		w.mu.Lock()
		w.procs[a].lazy = true
		w.mu.Unlock()
		r.requeue(a)
		say(executors.Sighting{Phase: dag.AttemptStopped, Kept: true, At: paused})
		say(executors.Sighting{Phase: dag.AttemptStopped, Kept: true, At: paused.Add(time.Millisecond / 2)})
		r.expect(task, "a=CANCELLING")
		say(executors.Sighting{Phase: dag.AttemptStopped, Kept: true, At: time.Now()})
		r.expect(task, "a=SUSPEND")
	})
}
