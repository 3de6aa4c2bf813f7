package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// tamper is a store whose commits a test interferes with.
type tamper struct {
	store.Store
	mu sync.Mutex
	n  int
	// commit decides about the n-th commit, counted from 1; next is the real one.
	commit func(n int, batch []store.Change, next func() error) error
	dead   error // what every call returns once it is set
}

func (s *tamper) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead != nil {
		return s.dead
	}
	s.n++
	return s.commit(s.n, batch, func() error { return s.Store.Commit(ctx, epoch, batch) })
}

func (s *tamper) died() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

func (s *tamper) Load(ctx context.Context, task string) (*store.Record, error) {
	if err := s.died(); err != nil {
		return nil, err
	}
	return s.Store.Load(ctx, task)
}

func (s *tamper) Resolve(ctx context.Context, k store.Key) (string, error) {
	if err := s.died(); err != nil {
		return "", err
	}
	return s.Store.Resolve(ctx, k)
}

// bumpy is a plan in which a stage fails at first, and one fails for good.
var bumpy = graphWith("retryStrategy:\n  limit: \"1\"\n  retryPolicy: Always\n  backoff:\n    duration: \"10s\"\n",
	"a", "b: a", "c: a", "d: b c", "e", "f: e")

func bumpyWorld() *world {
	return newWorld(func(a executors.Attempt) behaviour {
		bad := strings.HasSuffix(a.Stage, "-b") && a.Number == 0 || strings.HasSuffix(a.Stage, "-e")
		return behaviour{Exit: map[bool]int{true: 1}[bad]}
	})
}

// runBumpy submits the plan, again and again if need be, and waits for its end.
func runBumpy(t *testing.T, r *rig) (task string) {
	t.Helper()
	ctx := context.Background()
	for range 100 {
		a, err := r.engine.Submit(ctx, Submission{YAML: []byte(bumpy), RequestID: "once"})
		r.settle()
		if err == nil {
			r.sleep(30 * time.Second)
			task = a.Task
			if _, err = r.engine.Task(ctx, task); err == nil {
				return task
			}
		}
		if s, ok := r.engine.cfg.Store.(*tamper); ok && s.died() != nil {
			r.restart()
		}
	}
	t.Fatal("the task cannot be submitted")
	return ""
}

// outcome is what must not depend on faults: how every stage ended, and which attempts began, each once.
func outcome(t *testing.T, r *rig, task string) string {
	t.Helper()
	attempts := map[string]int{}
	for _, id := range r.world.began() {
		attempts[strings.TrimPrefix(id, task)]++
	}
	var list []string
	for _, id := range slices.Sorted(maps.Keys(attempts)) {
		list = append(list, fmt.Sprintf("%s x%d", id, attempts[id]))
	}
	return flat(r.statuses(task)) + "\n" + strings.Join(list, "\n")
}

func undisturbed(t *testing.T) (want string, commits int) {
	t.Helper()
	w := bumpyWorld()
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		task := runBumpy(t, r)
		r.expectTask(task, dag.TaskFailed)
		want, commits = outcome(t, r, task), int(r.engine.Stats().Commits)
	})
	if !strings.Contains(want, "-b-r1 x1") {
		t.Fatalf("the undisturbed run is not what the test expects:\n%s", want)
	}
	return want, commits
}

// TestCrashAtEveryCommit kills the master at every commit, before it is written and after, and compares what comes of
// the task with an undisturbed run.
func TestCrashAtEveryCommit(t *testing.T) {
	want, commits := undisturbed(t)
	for k := 1; k <= commits; k++ {
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("commit %d written %v", k, written), func(t *testing.T) {
				killed := false
				commit := func(s *tamper) func(int, []store.Change, func() error) error {
					return func(n int, _ []store.Change, next func() error) error {
						if n != k || killed {
							return next()
						}
						killed = true
						if written {
							if err := next(); err != nil {
								return err
							}
						}
						s.dead = errors.New("killed")
						return s.dead
					}
				}
				crashRig(t, commit, func(r *rig) {
					t := r.t
					task := runBumpy(t, r)
					if s := r.engine.cfg.Store.(*tamper); s.died() != nil {
						r.restart()
						r.sleep(30 * time.Second)
					}
					if diff := cmp.Diff(want, outcome(t, r, task)); diff != "" {
						t.Errorf("outcome (-undisturbed +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// TestCommitFailures lets a commit fail in every way, and expects that nobody notices.
func TestCommitFailures(t *testing.T) {
	want, commits := undisturbed(t)
	broken := errors.New("disk on fire")
	for _, tc := range []struct {
		name string
		fail func(next func() error) error
	}{
		{"refused", func(func() error) error { return broken }},
		{"written, but said to have failed", func(next func() error) error { return errors.Join(broken, next()) }},
		{"unavailable", func(func() error) error { return store.ErrUnavailable }},
		{"written, but unavailable", func(next func() error) error { return errors.Join(store.ErrUnavailable, next()) }},
	} {
		for k := 1; k <= commits; k++ {
			t.Run(fmt.Sprintf("%s at %d", tc.name, k), func(t *testing.T) {
				commit := func(*tamper) func(int, []store.Change, func() error) error {
					return func(n int, _ []store.Change, next func() error) error {
						if n == k {
							return tc.fail(next)
						}
						return next()
					}
				}
				crashRig(t, commit, func(r *rig) {
					t := r.t
					task := runBumpy(t, r)
					if diff := cmp.Diff(want, outcome(t, r, task)); diff != "" {
						t.Errorf("outcome (-undisturbed +got):\n%s", diff)
					}
				})
			})
		}
	}
}

func crashRig(t *testing.T, commit func(*tamper) func(int, []store.Change, func() error) error, test func(*rig)) {
	t.Helper()
	w := bumpyWorld()
	inBubble(t, w, nil, func(r *rig) {
		r.stop()
		r.wrap = func(s store.Store) store.Store {
			x := &tamper{Store: s}
			x.commit = commit(x)
			return x
		}
		r.start()
		test(r)
	})
}

// TestStoreOutage lets the store be away for longer than the engine's patience: requests fail with an error that says
// so, and everything goes on by itself afterwards.
func TestStoreOutage(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.CommitPatience = 5 * time.Second }, func(r *rig) {
		t := r.t
		ctx := context.Background()
		var s *tamper
		r.stop()
		r.wrap = func(inner store.Store) store.Store {
			s = &tamper{Store: inner, commit: func(_ int, _ []store.Change, next func() error) error { return next() }}
			return s
		}
		r.start()
		task := r.submit(graph("a", "b: a"))
		r.settle()
		id := r.id(task, "a")
		away := func(err error) { s.mu.Lock(); s.dead = err; s.mu.Unlock() }
		away(store.ErrUnavailable)
		w.finish(id, 0)
		r.settle()
		begun := r.engine.cfg.Now()
		_, err := r.engine.Submit(ctx, Submission{PlanName: "new", YAML: []byte(graph("x"))})
		if took := r.engine.cfg.Now().Sub(begun); !errors.Is(err, store.ErrUnavailable) || took > 0 {
			t.Errorf("a submission gives %v after %s; it should be refused at once", err, took)
		}
		err = r.engine.Cancel(ctx, Target{Task: task}, "me", "", false)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a command gives %v", err)
		}
		r.sleep(time.Minute)
		away(nil)
		r.sleep(time.Minute)
		r.expect(task, "a=COMPLETED b=RUNNING")
		if n := r.engine.Stats().Reloads; n == 0 {
			t.Error("the run was never loaded again")
		}
	})
}

// TestOneBadChangeTakesNoOther lets one task be refused by the store for good: others in the same batch go on.
func TestOneBadChangeTakesNoOther(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Shards = 1 }, func(r *rig) {
		bad := ""
		var s *tamper
		refuse := func(task string) { s.mu.Lock(); bad = task; s.mu.Unlock() }
		r.stop()
		r.wrap = func(inner store.Store) store.Store {
			s = &tamper{Store: inner, commit: func(_ int, batch []store.Change, next func() error) error {
				for i := range batch {
					if bad != "" && batch[i].Task == bad {
						return errors.New("this one never")
					}
				}
				return next()
			}}
			return s
		}
		r.start()
		one, two := r.submit(graph("a", "b: a")), r.submit(graph("a", "b: a"))
		r.settle()
		refuse(one)
		first, second := r.id(one, "a"), r.id(two, "a")
		w.finish(first, 0)
		w.finish(second, 0)
		r.expect(two, "a=COMPLETED b=RUNNING")
		refuse("")
		r.sleep(time.Minute)
		r.expect(one, "a=COMPLETED b=RUNNING")
	})
}

func TestTasksThatCannotBeLoadedAreIsolated(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		bad, good := r.submit(graph("a")), r.submit(graph("a"))
		r.settle()
		rec, err := r.store.Load(ctx, bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.engine.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		epoch, err := r.store.Lead(ctx, "saboteur")
		if err != nil {
			t.Fatal(err)
		}
		err = r.store.Commit(ctx, epoch, []store.Change{{Task: bad, Nodes: []store.NodeRecord{{Index: 1, Stage: rec.Nodes[1].Stage, State: []byte("{")}}}})
		if err != nil {
			t.Fatal(err)
		}
		r.restart()
		r.expect(good, "a=RUNNING")
		if n := r.engine.Stats().Broken; n != 1 {
			t.Errorf("%d tasks are broken", n)
		}
		if err := r.engine.Cancel(ctx, Target{Task: bad}, "me", "", false); err == nil || !strings.Contains(err.Error(), "cannot be run") {
			t.Errorf("a command to it gives %v", err)
		}
		if page, err := r.engine.Tasks(ctx, store.Query{}); err != nil || len(page.Tasks) != 2 {
			t.Errorf("the list gives %+v, %v", page, err)
		}
		if v, err := r.engine.Task(ctx, bad); err != nil || !strings.Contains(v.Message, "cannot be run") {
			t.Errorf("the task says %+v, %v", v, err)
		}
		if err := r.engine.Delete(ctx, bad, false, "me"); err == nil {
			t.Error("it can be deleted without force, though it has not ended")
		}
		if err := r.engine.Delete(ctx, bad, true, "me"); err != nil {
			t.Error(err)
		}
		if _, err := r.engine.Task(ctx, bad); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("reading it gives %v", err)
		}
	})
}

func TestAnotherMaster(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		ctx := context.Background()
		task := r.submit(graph("a", "b: a"))
		r.settle()
		if _, err := r.store.Lead(ctx, "another"); err != nil {
			t.Fatal(err)
		}
		w.finish(r.id(task, "a"), 0)
		r.settle()
		select {
		case <-r.engine.Lost():
		default:
			t.Fatal("the engine does not know that another master leads")
		}
		if len(w.running()) != 0 {
			t.Errorf("%v was launched without the lead", w.running())
		}
		if _, err := r.engine.Task(ctx, task); !errors.Is(err, ErrStopping) || !errors.Is(err, store.ErrFenced) {
			t.Errorf("reading gives %v", err)
		}
		r.restart()
		r.expect(task, "a=COMPLETED b=RUNNING")
	})
}
