package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

var diamond = graph("a", "b: a", "c: a", "d: b c")

func held(executors.Attempt) behaviour { return behaviour{Hold: true} }

func TestRunsAPlan(t *testing.T) {
	w := newWorld(nil)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		task := r.submit(diamond)
		r.expectTask(task, dag.TaskCompleted)
		r.expect(task, "a=COMPLETED b=COMPLETED c=COMPLETED d=COMPLETED")
		began := w.began()
		if len(began) != 4 || began[0] != r.id(task, "a") || began[3] != r.id(task, "d") {
			t.Errorf("launched %v", began)
		}
		d := r.stage(task, "d")
		if want := []string{r.id(task, "b"), r.id(task, "c")}; !slices.Equal(d.Parents, want) {
			t.Errorf("parents of d are %v, want %v", d.Parents, want)
		}
		if d.Info != "scripted" || d.Started == 0 || d.Ended == 0 {
			t.Errorf("d says %+v", d.NodeState)
		}
		if i := r.engine.Info(context.Background()); i.ActiveTasks != 0 || i.ActiveStages != 0 {
			t.Errorf("still active: %+v", i)
		}
	})
}

func TestAttemptsCarryWhatProgramsNeed(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		task := r.submit(graph("a"), func(s *Submission) { s.Options = map[string]string{"namespace": "x"} })
		r.settle()
		a := w.procs[r.id(task, "a")].attempt
		if a.MasterHost != "master" || a.MasterPort != 7777 || a.Token == "" || a.Epoch == 0 || a.Spec == nil || a.Options["namespace"] != "x" {
			t.Errorf("attempt is %+v", a)
		}
		w.finish(a.ID, 0)
		r.expectTask(task, dag.TaskCompleted)
	})
}

func TestSlots(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Slots = Slots{Global: 2} }, func(r *rig) {
		t := r.t
		task := r.submit(graph("a", "b", "c", "d", "e"))
		r.settle()
		for range 5 {
			running := w.running()
			if len(running) > 2 {
				t.Fatalf("%v run at once", running)
			}
			w.finish(running[0], 0)
			r.settle()
		}
		r.expectTask(task, dag.TaskCompleted)
		if w.most != 2 {
			t.Errorf("%d ran at once, want 2", w.most)
		}
	})
}

func TestPriorities(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Slots = Slots{Global: 1} }, func(r *rig) {
		t := r.t
		prio := func(p int32) func(*Submission) { return func(s *Submission) { s.Priority = &p } }
		first := r.submit(graph("a"), prio(0))
		low := r.submit(graph("a"), prio(1))
		high := r.submit(graph("a"), prio(7))
		for _, task := range []string{first, high, low} {
			r.settle()
			if got := w.running(); len(got) != 1 || got[0] != r.id(task, "a") {
				t.Fatalf("%v runs, want a stage of %s", got, task)
			}
			w.finish(r.id(task, "a"), 0)
		}
	})
}

func TestPreparedGivesItsSlotBack(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Slots = Slots{Global: 1} }, func(r *rig) {
		t := r.t
		task := r.submit(clic("a", "b: a"))
		r.settle()
		a, b := r.id(task, "a"), r.id(task, "b")
		r.report(a, 0, dag.ReportStarted)
		r.settle()
		if got := w.running(); !slices.Equal(got, []string{a}) {
			t.Fatalf("%v runs", got)
		}
		r.report(a, 0, dag.ReportPrepared)
		r.settle()
		if got := w.running(); !slices.Equal(got, []string{a, b}) {
			t.Fatalf("%v run; b is the reader that a waits for", got)
		}
		for _, id := range []string{b, a} {
			r.report(id, 0, dag.ReportStarted)
			r.report(id, 0, dag.ReportCompleted)
			w.finish(id, 0)
		}
		r.expectTask(task, dag.TaskCompleted)
	})
}

func TestSuspendAndContinueThroughRestarts(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(graph("a", "b: a", "c: b", "d: a"))
		r.settle()
		b := r.id(task, "b")
		h, err := r.engine.Suspend(ctx, Target{Stage: b}, dag.Hold{Who: "me", Why: "because"})
		if err != nil {
			t.Fatal(err)
		}
		if h.RootStage != b || h.ID == 0 || h.Since == 0 || h.Who != "me" {
			t.Errorf("hold is %+v", h)
		}
		r.restart()
		r.expect(task, "a=RUNNING b=SUSPEND c=SUSPEND d=WAITING")
		w.finish(r.id(task, "a"), 0)
		r.expect(task, "a=COMPLETED b=SUSPEND c=SUSPEND d=RUNNING")
		w.finish(r.id(task, "d"), 0)
		r.expectTask(task, dag.TaskSuspended)
		r.restart()
		r.expectTask(task, dag.TaskSuspended)
		if err := r.engine.Continue(ctx, Target{Stage: r.id(task, "c")}, "me"); !errors.Is(err, dag.ErrRefused) || !strings.Contains(err.Error(), b) {
			t.Errorf("continuing c gives %v", err)
		}
		if err := r.engine.Continue(ctx, Target{Stage: b}, "me"); err != nil {
			t.Fatal(err)
		}
		r.expect(task, "a=COMPLETED b=RUNNING c=WAITING d=COMPLETED")
		w.finish(b, 0)
		r.settle()
		w.finish(r.id(task, "c"), 0)
		r.expectTask(task, dag.TaskCompleted)
		if len(w.began()) != 4 {
			t.Errorf("launched %v", w.began())
		}
	})
}

func TestRestartAdoptsAndLearnsWhatEnded(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		task := r.submit(graph("a", "b", "c: a b"))
		r.settle()
		a := r.id(task, "a")
		r.stop()
		w.finish(a, 0)
		r.start()
		r.expect(task, "a=COMPLETED b=RUNNING c=WAITING")
		w.finish(r.id(task, "b"), 0)
		r.settle()
		w.finish(r.id(task, "c"), 0)
		r.expectTask(task, dag.TaskCompleted)
	})
}

func TestSubmissions(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		s := Submission{YAML: []byte(diamond), DryRun: true}
		a, err := r.engine.Submit(ctx, s)
		if err != nil || a.Created || a.Stages != 4 {
			t.Fatalf("dry run gives %+v, %v", a, err)
		}
		if page, err := r.engine.Tasks(ctx, store.Query{}); err != nil || len(page.Tasks) != 0 {
			t.Fatalf("a dry run left %+v, %v", page, err)
		}
		var bad *plan.InvalidError
		if _, err := r.engine.Submit(ctx, Submission{YAML: []byte("kind: Other")}); !errors.As(err, &bad) {
			t.Errorf("a plan that is none gives %v", err)
		}
		if _, err := r.engine.Submit(ctx, Submission{YAML: []byte(diamond), PlanName: "a_b"}); !errors.As(err, &bad) {
			t.Errorf("a bad name gives %v", err)
		}
		s = Submission{YAML: []byte(diamond), RequestID: "r-1", PlanName: "Mine", Owner: "me", BuildOptions: plan.BuildOptions{Labels: map[string]string{"k": "v"}}}
		var mu sync.Mutex
		var wg sync.WaitGroup
		names, created := map[string]bool{}, 0
		for range 8 {
			wg.Go(func() {
				a, err := r.engine.Submit(ctx, s)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				if names[a.Task] = true; a.Created {
					created++
				}
			})
		}
		wg.Wait()
		if len(names) != 1 || created != 1 {
			t.Errorf("tasks %v, %d created", names, created)
		}
		r.restart()
		a, err = r.engine.Submit(ctx, s)
		if err != nil || a.Created || !names[a.Task] || a.Stages != 4 {
			t.Errorf("after a restart: %+v, %v", a, err)
		}
		v, err := r.engine.Task(ctx, a.Task)
		if err != nil || v.Owner != "me" || v.Request != "r-1" || v.Labels["k"] != "v" || !strings.HasPrefix(a.Task, "mine-") {
			t.Errorf("task is %+v, %v", v, err)
		}
		if src, err := r.engine.Source(ctx, a.Task); err != nil || string(src) != diamond {
			t.Errorf("source is %q, %v", src, err)
		}
	})
}

func TestReports(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(clic("a", "b: a"))
		r.settle()
		a := r.id(task, "a")
		token := w.procs[a].attempt.Token
		send := func(s StageReport) (bool, bool, error) { return r.engine.Report(ctx, s) }
		if ok, _, err := send(StageReport{StageID: a, Attempt: dag.CurrentAttempt, Token: token, What: dag.ReportStarted}); !ok || err != nil {
			t.Errorf("started: %v, %v", ok, err)
		}
		if ok, _, err := send(StageReport{StageID: a, Attempt: 0, What: dag.ReportStarted}); ok || err != nil {
			t.Errorf("started twice: %v, %v", ok, err)
		}
		if _, _, err := send(StageReport{StageID: a, Token: "forged", What: dag.ReportCompleted}); !errors.Is(err, ErrToken) {
			t.Errorf("a forged token gives %v", err)
		}
		if _, _, err := send(StageReport{StageID: a, Attempt: 7, What: dag.ReportCompleted}); !errors.Is(err, dag.ErrRefused) {
			t.Errorf("an attempt that does not exist gives %v", err)
		}
		for _, id := range []string{a + "x", "no-such-stage", "", task} {
			if _, _, err := send(StageReport{StageID: id, What: dag.ReportCompleted}); !errors.Is(err, dag.ErrUnknownNode) {
				t.Errorf("stage %q gives %v", id, err)
			}
		}
		if ok, _, err := send(StageReport{StageID: a, Token: token, What: dag.ReportCompleted}); !ok || err != nil {
			t.Errorf("completed: %v, %v", ok, err)
		}
		w.finish(a, 0)
		r.settle()
		b := r.id(task, "b")
		r.report(b, 0, dag.ReportStarted)
		if err := r.engine.Cancel(ctx, Target{Stage: b}, "me", "enough", false); err != nil {
			t.Fatal(err)
		}
		if ok, cancel, err := send(StageReport{StageID: b, What: dag.ReportHeartbeat}); ok || !cancel || err != nil {
			t.Errorf("heartbeat of a cancelled stage: %v, %v, %v", ok, cancel, err)
		}
		r.settle()
		if ok, _, err := send(StageReport{StageID: a, What: dag.ReportPrepared}); ok || err != nil {
			t.Errorf("a report after the end: %v, %v", ok, err)
		}
		if _, _, err := send(StageReport{StageID: a, Token: "forged", What: dag.ReportPrepared}); !errors.Is(err, ErrToken) {
			t.Errorf("a forged token after the end gives %v", err)
		}
		r.expect(task, "a=COMPLETED b=CANCELLED")
	})
}

func TestLaunchErrors(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name   string
		errors []error
		want   dag.TaskStatus
		text   string
		after  time.Duration
	}{
		{"passing", []error{boom, boom}, dag.TaskCompleted, "", time.Minute},
		{"hopeless", slices.Repeat([]error{boom}, 100), dag.TaskFailed, "boom (tried 3 times)", time.Hour},
		{"never", []error{errors.Join(boom, executors.ErrNever)}, dag.TaskFailed, "boom", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(func(executors.Attempt) behaviour { return behaviour{Errors: tc.errors} })
			inBubble(t, w, func(c *Config) { c.LaunchTries = 3 }, func(r *rig) {
				t := r.t
				task := r.submit(graph("a"))
				r.sleep(tc.after)
				r.expectTask(task, tc.want)
				a := r.stage(task, "a")
				if tc.text != "" && (a.Failure == nil || a.Failure.Kind != dag.FailLaunch || !strings.Contains(a.Failure.Message, tc.text)) {
					t.Errorf("failure is %+v", a.Failure)
				}
			})
		})
	}
}

func TestCancelWaitsForTheLaunchUnderWay(t *testing.T) {
	w := newWorld(nil)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		gate := make(chan struct{})
		w.script = func(executors.Attempt) behaviour { return behaviour{Gate: gate, Hold: true} }
		task := r.submit(graph("a"))
		r.expect(task, "a=LAUNCHING")
		if err := r.engine.Cancel(ctx, Target{Task: task}, "me", "", false); err != nil {
			t.Fatal(err)
		}
		r.expect(task, "a=CANCELLING")
		if len(w.cancels) > 0 {
			t.Fatal("the attempt was cancelled before its launch was over: it would run on")
		}
		close(gate)
		r.expectTask(task, dag.TaskCancelled)
		if len(w.running()) > 0 {
			t.Error("the attempt runs on")
		}
	})
}

func TestCancelIsRepeatedUntilTheEndIsSeen(t *testing.T) {
	w := newWorld(func(executors.Attempt) behaviour { return behaviour{Hold: true, Stubborn: true} })
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		task := r.submit(graph("a"))
		r.settle()
		a := r.id(task, "a")
		if err := r.engine.Cancel(context.Background(), Target{Task: task}, "me", "", false); err != nil {
			t.Fatal(err)
		}
		r.sleep(time.Minute)
		if n := w.cancels[a]; n < 3 || n > 10 {
			t.Errorf("cancelled %d times in a minute", n)
		}
		r.restart()
		r.expect(task, "a=CANCELLING")
		w.finish(a, 1)
		r.expectTask(task, dag.TaskCancelled)
	})
}

func TestRetries(t *testing.T) {
	w := newWorld(func(a executors.Attempt) behaviour { return behaviour{Exit: map[bool]int{true: 1}[a.Number < 2]} })
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		p := graphWith("retryStrategy:\n  limit: \"3\"\n  retryPolicy: Always\n  backoff:\n    duration: \"10s\"\n    factor: 2\n", "a", "b: a")
		task := r.submit(p)
		r.expect(task, "a=RETRYING b=WAITING")
		r.restart()
		r.sleep(11 * time.Second)
		r.expect(task, "a=RETRYING b=WAITING")
		r.sleep(21 * time.Second)
		r.sleep(21 * time.Second)
		r.sleep(21 * time.Second)
		r.expectTask(task, dag.TaskCompleted)
		a := r.stage(task, "a")
		if a.Attempt != 2 || len(a.History) != 2 {
			t.Errorf("a is %+v", a.NodeState)
		}
	})
}

func TestRetryOfAnEndedTask(t *testing.T) {
	fail := true
	w := newWorld(nil)
	w.script = func(a executors.Attempt) behaviour {
		return behaviour{Exit: map[bool]int{true: 3}[fail && strings.HasSuffix(a.Stage, "-b")]}
	}
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(graph("a", "b: a", "c: b"))
		r.expectTask(task, dag.TaskFailed)
		p, err := r.engine.PlanRetry(ctx, task, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := &RetryPlan{Reset: []string{r.id(task, "b"), r.id(task, "c")}, Kept: []string{r.id(task, "a")}}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("plan (-want +got):\n%s", diff)
		}
		r.restart()
		w.mu.Lock()
		fail = false
		w.mu.Unlock()
		if _, err = r.engine.Retry(ctx, task, nil, "me"); err != nil {
			t.Fatal(err)
		}
		r.expectTask(task, dag.TaskCompleted)
		r.expect(task, "a=COMPLETED b=COMPLETED c=COMPLETED")
		if _, err := r.engine.Retry(ctx, task, nil, "me"); !errors.Is(err, dag.ErrRefused) {
			t.Errorf("retrying what completed gives %v", err)
		}
		if _, err := r.engine.Retry(ctx, "no-suchtask", nil, "me"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("retrying an unknown task gives %v", err)
		}
		if n := r.engine.Info(ctx).ActiveTasks; n != 0 {
			t.Errorf("%d tasks are still in memory", n)
		}
	})
}

func TestDeadlines(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		task := r.submit(graphWith("activeDeadlineSeconds: 30\n", "a"))
		r.sleep(29 * time.Second)
		r.expect(task, "a=RUNNING")
		r.restart()
		r.sleep(2 * time.Second)
		r.expectTask(task, dag.TaskFailed)
		if f := r.stage(task, "a").Failure; f == nil || f.Kind != dag.FailTimeout {
			t.Errorf("failure is %+v", f)
		}
	})
}

func TestExplain(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Slots = Slots{Executor: map[string]int{"local": 1}} }, func(r *rig) {
		t := r.t
		task := r.submit(graph("a", "b", "c", "d: a"))
		r.settle()
		for name, want := range map[string]string{"a": "runs since", "c": `all 1 on executor "local" are taken (place 2 of 2 in line)`, "d": "waits for " + r.id(task, "a")} {
			x, err := r.engine.Explain(context.Background(), r.id(task, name))
			if err != nil || !strings.Contains(x.Text, want) {
				t.Errorf("%s: %+v, %v; want %q in it", name, x, err, want)
			}
		}
		page, err := r.engine.Stages(context.Background(), StageQuery{Task: task, Explain: true, Statuses: []dag.Status{dag.Waiting}, Limit: 2})
		if err != nil || len(page.Stages) != 2 || page.Next < 0 || page.Stages[0].Explanation == nil {
			t.Fatalf("%+v, %v", page, err)
		}
		page, err = r.engine.Stages(context.Background(), StageQuery{Task: task, Statuses: []dag.Status{dag.Waiting}, After: page.Next})
		if err != nil || len(page.Stages) != 1 || page.Next != -1 || page.Stages[0].Name != "d" {
			t.Fatalf("%+v, %v", page, err)
		}
	})
}

func TestStopAnswersEverybody(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(graph("a"))
		r.settle()
		page, err := r.engine.Watch(ctx, task, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error)
		go func() {
			_, err := r.engine.Watch(ctx, task, page.Cursor, 0)
			errs <- err
		}()
		synctest.Wait()
		e := r.engine
		r.stop()
		if err := <-errs; !errors.Is(err, ErrStopping) {
			t.Errorf("watch gives %v", err)
		}
		if _, err := e.Task(ctx, task); !errors.Is(err, ErrStopping) {
			t.Errorf("reading gives %v", err)
		}
		if _, err := e.Submit(ctx, Submission{YAML: []byte(diamond)}); !errors.Is(err, ErrStopping) {
			t.Errorf("submitting gives %v", err)
		}
		if err := e.Stop(ctx); err != nil {
			t.Errorf("stopping twice gives %v", err)
		}
		if len(w.running()) != 1 {
			t.Error("the attempt does not run on")
		}
	})
}
