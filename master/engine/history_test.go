package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// TestWatch follows a task from the beginning with pages of every size, while it runs, and expects every event once.
func TestWatch(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(diamond)
		type log struct {
			seqs []uint64
			ends map[string]string
			err  error
		}
		logs := make(chan log)
		const watchers = 5
		for limit := range watchers {
			go func() {
				l := log{ends: map[string]string{}}
				var cursor uint64
				for {
					page, err := r.engine.Watch(ctx, task, cursor, limit)
					if err != nil {
						l.err = err
						break
					}
					for _, e := range page.Events {
						l.seqs = append(l.seqs, e.Seq)
						l.ends[e.Stage] = e.To
					}
					if cursor = page.Cursor; page.Done {
						if page.Status != dag.TaskCompleted {
							l.err = fmt.Errorf("done, but %s", page.Status)
						}
						break
					}
				}
				logs <- l
			}()
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			r.settle()
			w.finish(r.id(task, name), 0)
		}
		for range watchers {
			l := <-logs
			if l.err != nil {
				t.Error(l.err)
			}
			for i, seq := range l.seqs {
				if seq != uint64(i)+1 {
					t.Fatalf("events are %v: not every one once", l.seqs)
				}
			}
			if l.ends[r.id(task, "d")] != "COMPLETED" {
				t.Errorf("the end of d is missing: %v", l.ends)
			}
		}
		page, err := r.engine.Watch(ctx, task, 1_000_000, 10)
		if err != nil || !page.Done || len(page.Events) != 0 {
			t.Errorf("after the end: %+v, %v", page, err)
		}
		if n := len(r.engine.topics.named); n != 0 {
			t.Errorf("%d topics are left", n)
		}
	})
}

func TestWatchWaits(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		task := r.submit(graph("a"))
		r.rest()
		page, err := r.engine.Watch(context.Background(), task, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		empty, err := r.engine.Watch(ctx, task, page.Cursor, 0)
		if err != nil || len(empty.Events) != 0 || empty.Done || empty.Cursor != page.Cursor || time.Since(began) != 10*time.Second {
			t.Errorf("%+v, %v after %v", empty, err, time.Since(began))
		}
		if _, err := r.engine.Watch(context.Background(), "no-suchtask", 0, 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown task gives %v", err)
		}
		gone := make(chan error)
		go func() {
			_, err := r.engine.Watch(context.Background(), task, page.Cursor, 0)
			for cursor := page.Cursor; err == nil; {
				var p *EventPage
				if p, err = r.engine.Watch(context.Background(), task, cursor, 0); err == nil {
					if cursor = p.Cursor; p.Done {
						break
					}
				}
			}
			gone <- err
		}()
		synctest.Wait()
		if err := r.engine.Delete(context.Background(), task, true, "me"); err != nil {
			t.Fatal(err)
		}
		if err := <-gone; err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("watching a task that is deleted gives %v", err)
		}
	})
}

func TestDelete(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		one, two := r.submit(graph("a", "b: a")), r.submit(graph("a", "b: a"))
		r.settle()
		a := r.id(one, "a")
		if err := r.engine.Delete(ctx, one, false, "me"); !errors.Is(err, dag.ErrRefused) {
			t.Errorf("deleting a task that runs gives %v", err)
		}
		if err := r.engine.Delete(ctx, one, true, "me"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.engine.Task(ctx, one); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("reading a deleted task gives %v", err)
		}
		if _, err := r.engine.Stage(ctx, a); !errors.Is(err, dag.ErrUnknownNode) {
			t.Errorf("reading its stage gives %v", err)
		}
		if !w.forgot[a] || len(w.running()) != 1 {
			t.Errorf("the log of %s is kept, or it runs on: %v", a, w.running())
		}
		id := r.id(two, "a")
		w.finish(id, 1)
		r.expectTask(two, dag.TaskFailed)
		if err := r.engine.Delete(ctx, two, false, "me"); err != nil {
			t.Fatal(err)
		}
		if !w.forgot[id] {
			t.Error("the log is kept")
		}
		for _, force := range []bool{false, true} {
			if err := r.engine.Delete(ctx, two, force, "me"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("deleting it again gives %v", err)
			}
		}
	})
}

func TestExpiry(t *testing.T) {
	w := newWorld(nil)
	inBubble(t, w, func(c *Config) { c.Retain = time.Hour }, func(r *rig) {
		t := r.t
		ctx := context.Background()
		short := r.submit(graph("a"))
		long := r.submit(graph("a"), func(s *Submission) { s.Retain = dag.Duration((3 * time.Hour).Milliseconds()) })
		r.settle()
		a, b := r.id(short, "a"), r.id(long, "a")
		v, err := r.engine.Task(ctx, short)
		if err != nil || v.Expires != v.Ended+3_600_000 {
			t.Errorf("%+v, %v", v, err)
		}
		r.sleep(50 * time.Minute)
		r.restart()
		if _, err := r.engine.Task(ctx, short); err != nil {
			t.Errorf("deleted too early: %v", err)
		}
		r.sleep(20 * time.Minute)
		if _, err := r.engine.Task(ctx, short); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("reading an expired task gives %v", err)
		}
		if !w.forgot[a] || w.forgot[b] {
			t.Errorf("forgot %v", w.forgot)
		}
		if _, err := r.engine.Task(ctx, long); err != nil {
			t.Error(err)
		}
		r.sleep(3 * time.Hour)
		if _, err := r.engine.Task(ctx, long); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("reading an expired task gives %v", err)
		}
		if n := r.engine.Stats().Expired; n != 2 {
			t.Errorf("%d expired", n)
		}
	})
}

func TestLogs(t *testing.T) {
	w := newWorld(func(a executors.Attempt) behaviour { return behaviour{Exit: int(1 - min(a.Number, 1))} })
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(graphWith("retryStrategy:\n  limit: \"1\"\n  backoff:\n    duration: \"10s\"\n", "a", "b: a"))
		r.settle()
		a := r.id(task, "a")
		read := func(attempt int32) string {
			rc, n, err := r.engine.Logs(ctx, a, attempt, executors.LogOptions{})
			if err != nil {
				return err.Error()
			}
			b, err := io.ReadAll(rc)
			if err = errors.Join(err, rc.Close()); err != nil {
				return err.Error()
			}
			return fmt.Sprint(n, strings.TrimSpace(strings.TrimPrefix(string(b), "log of "+a)))
		}
		if got := read(-1); got != "0" {
			t.Errorf("the newest log while it is being retried is %q", got)
		}
		if _, _, err := r.engine.Logs(ctx, r.id(task, "b"), -1, executors.LogOptions{}); !errors.Is(err, executors.ErrNoLogs) || !strings.Contains(err.Error(), "waits for") {
			t.Errorf("the log of b gives %v", err)
		}
		r.sleep(11 * time.Second)
		r.sleep(11 * time.Second)
		r.expectTask(task, dag.TaskCompleted)
		if got := read(-1); got != "1-r1" {
			t.Errorf("the newest log is %q", got)
		}
		if got := read(0); got != "0" {
			t.Errorf("the first log is %q", got)
		}
		if _, _, err := r.engine.Logs(ctx, a, 2, executors.LogOptions{}); !errors.Is(err, executors.ErrNoLogs) {
			t.Errorf("an attempt that was never made gives %v", err)
		}
	})
}

func TestResultPath(t *testing.T) {
	result := "42"
	w := newWorld(func(a executors.Attempt) behaviour {
		if strings.HasSuffix(a.Stage, "-b") {
			return behaviour{Outputs: &dag.Outputs{Params: map[string]string{"outputPath": "/out/b"}}}
		}
		return behaviour{Hold: true, Outputs: &dag.Outputs{Result: &result}}
	})
	files := map[string]string{"/data/x.yml": "operators:\n- id: a\n  params: {}\n- id: sink\n  params:\n    outputPath: /data/out.csv\n"}
	inBubble(t, w, func(c *Config) {
		c.ReadFile = func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		}
	}, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(graph("a", "b"))
		r.settle()
		a := r.id(task, "a")
		var wait *NotReadyError
		if _, err := r.engine.ResultPath(ctx, a); !errors.As(err, &wait) || wait.Status != dag.Running {
			t.Errorf("a stage that runs gives %v", err)
		}
		w.finish(a, 0)
		r.settle()
		if ref, err := r.engine.ResultPath(ctx, a); err != nil || ref.Value == nil || *ref.Value != "42" {
			t.Errorf("a: %+v, %v", ref, err)
		}
		if ref, err := r.engine.ResultPath(ctx, r.id(task, "b")); err != nil || ref.Path != "/out/b" {
			t.Errorf("b: %+v, %v", ref, err)
		}
		old := r.submit(clic("x", "y"))
		r.settle()
		for _, id := range w.running() {
			w.finish(id, 0)
		}
		r.settle()
		stages, err := r.engine.Stages(ctx, StageQuery{Task: old})
		if err != nil || len(stages.Stages) != 2 {
			t.Fatal(stages, err)
		}
		if ref, err := r.engine.ResultPath(ctx, stages.Stages[0].ID); err != nil || ref.Path != "/data/out.csv" {
			t.Errorf("x: %+v, %v", ref, err)
		}
		r.restart()
		if ref, err := r.engine.ResultPath(ctx, stages.Stages[0].ID); err != nil || ref.Path != "/data/out.csv" {
			t.Errorf("x after a restart: %+v, %v", ref, err)
		}
		if _, err := r.engine.ResultPath(ctx, stages.Stages[1].ID); !errors.Is(err, ErrNoSource) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("y, whose plan file is missing, gives %v", err)
		}
	})
}

func TestRemaining(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		run := func() (left dag.Duration) {
			task := r.submit(graph("a", "b: a"))
			r.settle()
			v, err := r.engine.Task(ctx, task)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "b"} {
				r.sleep(10 * time.Second)
				w.finish(r.id(task, name), 0)
				r.settle()
			}
			return v.Remaining
		}
		if left := run(); left >= 0 {
			t.Errorf("the first run knows that it takes %d", left)
		}
		if left := run(); left != 20_000 {
			t.Errorf("the second run takes %d, want 20 s", left)
		}
	})
}

// TestReadsOfEndedTasks looks at tasks that are in the store only.
func TestReadsOfEndedTasks(t *testing.T) {
	w := newWorld(nil)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		var tasks []string
		for range maxFinished + 4 {
			tasks = append(tasks, r.submit(diamond))
		}
		r.settle()
		for range 2 {
			for _, task := range tasks {
				r.expect(task, "a=COMPLETED b=COMPLETED c=COMPLETED d=COMPLETED")
				x, err := r.engine.Explain(ctx, r.id(task, "a"))
				if err != nil || x.Reason != dag.ReasonEnded {
					t.Errorf("%+v, %v", x, err)
				}
			}
		}
		if n := len(r.engine.finished.runs); n > maxFinished {
			t.Errorf("%d ended runs are in memory", n)
		}
		var names []string
		q := store.Query{Limit: 5}
		for {
			page, err := r.engine.Tasks(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Tasks {
				names = append(names, v.Name)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if len(names) != len(tasks) {
			t.Errorf("the list has %d of %d tasks", len(names), len(tasks))
		}
		if err := r.engine.Cancel(ctx, Target{Task: tasks[0]}, "me", "", false); !errors.Is(err, dag.ErrRefused) {
			t.Errorf("cancelling an ended task gives %v", err)
		}
		if _, err := r.engine.Suspend(ctx, Target{Stage: r.id(tasks[0], "a")}, dag.Hold{}); !errors.Is(err, dag.ErrRefused) {
			t.Errorf("suspending an ended stage gives %v", err)
		}
		if n := r.engine.Info(ctx).ActiveTasks; n != 0 {
			t.Errorf("%d tasks are active", n)
		}
	})
}
