package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master/store"
)

// TestStorm lets everything happen to a few tasks in random order: programs report, end and fail, people suspend,
// continue, cancel, skip and retry, the store fails, the master crashes. Afterwards the weather clears, and everything
// must come to its end, with every attempt launched once and every slot given back.
func TestStorm(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { storm(t, uint64(seed)) })
	}
}

type stormy struct {
	*rig
	rand  *rand.Rand // what happens
	luck  *rand.Rand // what becomes of commits; guarded by the store's lock
	tasks []string
	store *tamper
	calm  bool
}

func storm(t *testing.T, seed uint64) {
	t.Helper()
	w := newWorld(held)
	w.pauses = seed%2 == 1
	slots := Slots{Global: 3, Task: 2}
	inBubble(t, w, func(c *Config) { c.Slots, c.CommitPatience = slots, 2*time.Second }, func(r *rig) {
		s := &stormy{rig: r, rand: rand.New(rand.NewPCG(seed, 7)), luck: rand.New(rand.NewPCG(seed, 8))}
		r.stop()
		r.wrap = func(inner store.Store) store.Store {
			s.store = &tamper{Store: inner, commit: s.fate}
			return s.store
		}
		r.start()
		for n := range 3 {
			plans := []string{
				graphWith("retryStrategy:\n  limit: \"2\"\n  backoff:\n    duration: \"5s\"\n", "a", "b: a", "c: a", "d: b c", "e: b", "f"),
				clic("a", "b: a", "c: a", "d: b", "e: c d"),
			}
			sub := Submission{YAML: []byte(plans[s.rand.IntN(2)]), RequestID: fmt.Sprint("task ", n), BuildOptions: plan.BuildOptions{}}
			s.tasks = append(s.tasks, s.insist(sub))
		}
		for range 150 {
			s.happen()
			s.revive()
			if s.rand.IntN(2) == 0 {
				s.sleep(time.Duration(s.rand.IntN(4000)) * time.Millisecond)
			}
		}
		s.clear()
	})
}

// insist submits until it is accepted.
func (s *stormy) insist(sub Submission) string {
	s.t.Helper()
	for range 100 {
		a, err := s.engine.Submit(context.Background(), sub)
		if err == nil {
			return a.Task
		}
		s.revive()
		s.sleep(time.Second)
	}
	s.t.Fatal("cannot submit")
	return ""
}

// fate decides about a commit.
func (s *stormy) fate(_ int, _ []store.Change, next func() error) error {
	if s.calm {
		return next()
	}
	switch s.luck.IntN(40) {
	case 0:
		return store.ErrUnavailable
	case 1:
		return errors.Join(store.ErrUnavailable, next())
	case 2:
		return errors.New("refused")
	case 3:
		return errors.Join(errors.New("unlucky"), next())
	case 4:
		s.store.dead = errors.New("crash")
		return s.store.dead
	case 5:
		err := next()
		s.store.dead = errors.New("crash")
		return errors.Join(s.store.dead, err)
	}
	return next()
}

// revive starts a master that crashed.
func (s *stormy) revive() {
	s.t.Helper()
	s.settle()
	for s.store.died() != nil {
		s.stop()
		if err := s.tryStart(); err != nil && s.store.died() == nil {
			s.t.Fatal(err)
		}
		s.settle()
	}
}

// happen lets something happen. Whatever is refused is refused.
func (s *stormy) happen() {
	ctx := context.Background()
	var ids []string
	task := s.tasks[s.rand.IntN(len(s.tasks))]
	if page, err := s.engine.Stages(ctx, StageQuery{Task: task, Groups: true}); err == nil {
		for _, v := range page.Stages {
			ids = append(ids, v.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	id := ids[s.rand.IntN(len(ids))]
	target := Target{Stage: id}
	var err error
	switch s.rand.IntN(16) {
	case 0:
		_, err = s.engine.Suspend(ctx, target, dag.Hold{Mode: dag.Mode(s.rand.IntN(3)), Who: "storm"})
	case 1, 2:
		err = s.engine.Continue(ctx, target, "storm")
	case 3:
		err = s.engine.Skip(ctx, id, "storm", "")
	case 4:
		if s.rand.IntN(3) == 0 {
			err = s.engine.Cancel(ctx, target, "storm", "", false)
		}
	case 5:
		_, err = s.engine.Retry(ctx, task, nil, "storm")
	case 6:
		if s.rand.IntN(6) == 0 {
			err = s.engine.Cancel(ctx, Target{Task: task}, "storm", "", true)
		}
	case 7:
		if s.rand.IntN(3) == 0 {
			s.restart()
		}
	default:
		s.program()
	}
	for _, known := range []error{nil, dag.ErrRefused, store.ErrUnavailable, store.ErrFenced} {
		if errors.Is(err, known) {
			return
		}
	}
	if s.store.died() == nil {
		s.t.Errorf("unexpected answer: %v", err)
	}
}

// program lets one of the running programs go on.
func (s *stormy) program() {
	running := s.world.running()
	if len(running) == 0 {
		return
	}
	id := running[s.rand.IntN(len(running))]
	s.world.mu.Lock()
	a := s.world.procs[id].attempt
	s.world.mu.Unlock()
	what := []dag.What{dag.ReportStarted, dag.ReportPrepared, dag.ReportCompleted, dag.ReportFailed, 0, 0, 0, 0}[s.rand.IntN(8)]
	if what == 0 {
		s.world.finish(id, s.rand.IntN(5)/4)
		return
	}
	// A program whose report is not taken goes on all the same.
	_, _, err := s.engine.Report(context.Background(), StageReport{StageID: a.Stage, Attempt: a.Number, Token: a.Token, What: what})
	if errors.Is(err, dag.ErrUnknownNode) || errors.Is(err, ErrToken) {
		s.t.Errorf("report of %s: %v", id, err)
	}
}

// clear ends the storm, lets everything run to its end, and looks at what is left.
func (s *stormy) clear() {
	ctx := context.Background()
	s.store.mu.Lock()
	s.calm = true
	s.store.mu.Unlock()
	s.revive()
	for _, task := range s.tasks {
		s.finish(ctx, task)
	}
	for _, id := range s.world.running() {
		s.world.finish(id, 0)
	}
	s.sleep(5 * time.Minute)
	began := map[string]int{}
	for _, id := range s.world.began() {
		if began[id]++; began[id] > 1 {
			s.t.Errorf("attempt %s was started %d times", id, began[id])
		}
	}
	if kept := s.world.kept(); len(kept) > 0 {
		s.t.Errorf("attempts are still paused: %v", kept)
	}
	if i := s.engine.Info(ctx); i.ActiveTasks != 0 {
		s.t.Errorf("%d tasks are still in memory", i.ActiveTasks)
	}
	if n := len(s.engine.attempts.byID); n != 0 {
		s.t.Errorf("%d attempts are still known: %v", n, s.engine.attempts.byID)
	}
	if n := s.engine.dispatch.global.used; n != 0 {
		s.t.Errorf("%d slots are still taken", n)
	}
	if n := s.engine.Stats().Broken; n != 0 {
		s.t.Errorf("%d tasks broke", n)
	}
}

// finish continues whatever is held and ends whatever runs, until the task has ended.
func (s *stormy) finish(ctx context.Context, task string) {
	s.t.Helper()
	for range 200 {
		s.sleep(20 * time.Second)
		v, err := s.engine.Task(ctx, task)
		if err != nil {
			s.t.Fatal(err)
		}
		if v.Status.Terminal() {
			return
		}
		for _, h := range v.Holds {
			if err := s.engine.Continue(ctx, Target{Stage: h.RootStage}, "sun"); err != nil && !errors.Is(err, dag.ErrRefused) {
				s.t.Error(err)
			}
		}
		s.settle()
		for _, id := range s.world.running() {
			s.end(ctx, id)
		}
	}
	var why []string
	page, err := s.engine.Stages(ctx, StageQuery{Task: task, Explain: true, Groups: true})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range page.Stages {
		why = append(why, fmt.Sprintf("%s %s live=%v: %s", v.ID, v.Status, v.Live, v.Explanation.Text))
	}
	s.t.Fatalf("task %s does not end:\n%s", task, strings.Join(why, "\n"))
}

// end lets an attempt report its completion and end.
func (s *stormy) end(ctx context.Context, id string) {
	s.world.mu.Lock()
	a := s.world.procs[id].attempt
	s.world.mu.Unlock()
	if _, _, err := s.engine.Report(ctx, StageReport{StageID: a.Stage, Attempt: a.Number, What: dag.ReportCompleted}); err != nil {
		s.t.Error(err)
	}
	s.world.finish(id, 0)
	s.settle()
}
