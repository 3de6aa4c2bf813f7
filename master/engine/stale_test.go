package engine

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// outage is a store that can be made unreachable.
type outage struct {
	store.Store
	cause atomic.Pointer[error]
}

func (s *outage) begin(err error) { s.cause.Store(&err) }
func (s *outage) end()            { s.cause.Store(nil) }

func (s *outage) err() error {
	if e := s.cause.Load(); e != nil {
		return *e
	}
	return nil
}

func (s *outage) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Commit(ctx, epoch, batch)
}

func (s *outage) List(ctx context.Context, q store.Query) (*store.Page, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, q)
}

func (s *outage) Header(ctx context.Context, task string) (*store.Header, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Header(ctx, task)
}

// awayRig is a rig whose store can be made unreachable, with a stage that runs until it is told, and one after it.
func awayRig(t *testing.T, test func(r *rig, s *outage, task string)) {
	t.Helper()
	inBubble(t, newWorld(held), func(c *Config) { c.CommitPatience = -1 }, func(r *rig) {
		r.stop()
		s := &outage{}
		r.wrap = func(inner store.Store) store.Store { s.Store = inner; return s }
		r.start()
		task := r.submit(graph("a", "b: a"))
		r.expect(task, "a=RUNNING b=WAITING")
		test(r, s, task)
	})
}

// While the store is away, what is in memory can be looked at, and says that it is stale; changes are refused at once; a
// stage's report waits and is answered when the store is back, for however long that takes.
func TestStoreAway(t *testing.T) {
	for name, cause := range map[string]error{"unavailable": store.ErrUnavailable, "rolled back": store.ErrRolledBack} {
		t.Run(name, func(t *testing.T) {
			awayRig(t, func(r *rig, s *outage, task string) {
				t, ctx := r.t, context.Background()
				a, b := r.id(task, "a"), r.id(task, "b")
				if since, stale := r.engine.Stale(); stale {
					t.Fatalf("stale since %d though all is well", since)
				}
				s.begin(cause)
				reported := make(chan error, 1)
				go func() {
					_, _, err := r.engine.Report(ctx, StageReport{StageID: a, Attempt: 0, What: dag.ReportCompleted})
					reported <- err
				}()
				r.sleep(10 * time.Minute)

				if _, stale := r.engine.Stale(); !stale {
					t.Error("not stale")
				}
				if i := r.engine.Info(ctx); i.StaleSince == 0 || !strings.Contains(i.StoreTrouble, cause.Error()) {
					t.Errorf("info is %+v", i)
				}
				if v, err := r.engine.Stage(ctx, b); err != nil || v.Status.Terminal() {
					t.Errorf("stage b: %+v, %v", v, err)
				}
				if page, err := r.engine.Tasks(ctx, store.Query{}); err != nil || len(page.Tasks) != 1 || page.Tasks[0].Name != task {
					t.Errorf("list: %+v, %v", page, err)
				}
				if page, err := r.engine.Tasks(ctx, store.Query{Plan: "other"}); err != nil || len(page.Tasks) != 0 {
					t.Errorf("list of another plan: %+v, %v", page, err)
				}
				_, err := r.engine.Suspend(ctx, Target{Stage: b}, dag.Hold{})
				if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "since") {
					t.Errorf("suspend: %v", err)
				}
				if _, err := r.engine.Submit(ctx, Submission{YAML: []byte(graph("x"))}); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("submit: %v", err)
				}
				select {
				case err := <-reported:
					t.Fatalf("the report was answered before it was saved: %v", err)
				default:
				}

				s.end()
				r.sleep(time.Minute)
				if err := <-reported; err != nil {
					t.Errorf("report: %v", err)
				}
				r.expect(task, "a=COMPLETED b=RUNNING")
				if _, stale := r.engine.Stale(); stale {
					t.Error("still stale")
				}
			})
		})
	}
}

// Who was told to ask again is not served behind his back.
func TestAbandonedCommand(t *testing.T) {
	awayRig(t, func(r *rig, s *outage, task string) {
		t := r.t
		a := r.id(task, "a")
		s.begin(store.ErrUnavailable)
		// Both are on their way before the outage is known: the first makes it known.
		go func() {
			_, _, _ = r.engine.Report(context.Background(), StageReport{StageID: a, What: dag.ReportPrepared})
		}()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		shard := r.engine.shardOf(task)
		c := &command{quiet: quiet{task}, call: newCall(), make: func(*activeRun, dag.Time) (dag.Event, error) {
			t.Error("the command was carried out")
			return nil, nil
		}}
		r.settle()
		if err := shard.await(ctx, c, c.call); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("await: %v", err)
		}
		s.end()
		r.sleep(time.Minute)
		r.expect(task, "a=PREPARED b=RUNNING")
	})
}

// An engine that does not know whether it still leads launches nothing, and goes on when it does.
func TestTrust(t *testing.T) {
	awayRig(t, func(r *rig, _ *outage, task string) {
		t := r.t
		before := len(r.world.began())
		r.engine.Trust(time.Now().Add(-time.Second))
		r.report(r.id(task, "a"), 0, dag.ReportCompleted)
		r.sleep(time.Minute)
		r.expect(task, "a=COMPLETED b=LAUNCHING")
		if got := len(r.world.began()); got != before {
			t.Errorf("%d attempts began without trust", got-before)
		}
		if since, stale := r.engine.Stale(); !stale || since == 0 {
			t.Error("not stale without trust")
		}
		r.engine.Trust(time.Now().Add(time.Hour))
		r.sleep(time.Minute)
		r.expect(task, "a=COMPLETED b=RUNNING")
		r.engine.Depose(store.ErrFenced)
		<-r.engine.Lost()
	})
}

// A task that the store has and nobody runs is found.
func TestTakeOver(t *testing.T) {
	awayRig(t, func(r *rig, _ *outage, _ string) {
		// As if its creation had come late: in the store, and unknown to the engine.
		other := r.submit(graph("x", "y: x"))
		r.settle()
		shard := r.engine.shardOf(other)
		forget := &query{quiet: quiet{other}, call: newCall(), look: func(t *activeRun) error {
			shard.evict(t)
			return nil
		}}
		if err := shard.await(context.Background(), forget, forget.call); err != nil {
			r.t.Fatal(err)
		}
		if r.engine.active.get(other) != nil {
			r.t.Fatal("the task is still active")
		}
		r.sleep(2 * r.engine.cfg.JanitorPeriod)
		if r.engine.active.get(other) == nil {
			r.t.Error("nobody runs the task")
		}
	})
}

// An executor that has heard of a later leader ends the lead: what it refuses would be repeated for ever.
func TestOutranked(t *testing.T) {
	w := newWorld(func(executors.Attempt) behaviour { return behaviour{Errors: []error{executors.ErrStale}} })
	inBubble(t, w, nil, func(r *rig) {
		r.submit(graph("a"))
		r.settle()
		select {
		case <-r.engine.Lost():
		default:
			r.t.Error("it still leads")
		}
		if _, err := r.engine.Submit(context.Background(), Submission{YAML: []byte(graph("b"))}); !errors.Is(err, ErrStopping) {
			r.t.Errorf("submit: %v", err)
		}
	})
}

// A report that comes when another leader has the task is not told that it came too late: the stage would end, and be taken for one
// that never reported.
func TestReportToTheWrongMaster(t *testing.T) {
	awayRig(t, func(r *rig, _ *outage, task string) {
		t, ctx := r.t, context.Background()
		a := r.id(task, "a")
		report := func() error {
			_, _, err := r.engine.Report(ctx, StageReport{StageID: a, What: dag.ReportCompleted})
			return err
		}
		shard := r.engine.shardOf(task)
		forget := &query{quiet: quiet{task}, call: newCall(), look: func(t *activeRun) error {
			shard.evict(t)
			return nil
		}}
		if err := shard.await(ctx, forget, forget.call); err != nil {
			t.Fatal(err)
		}
		if err := report(); !errors.Is(err, ErrStopping) {
			t.Errorf("for a task that nobody runs: %v", err)
		}
		r.engine.Depose(store.ErrFenced)
		if err := report(); !errors.Is(err, ErrStopping) {
			t.Errorf("to a master that was deposed: %v", err)
		}
	})
}
