package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// hand drives the shards of an engine that was never started, without goroutines, and with a clock of its own.
type hand struct {
	t       *testing.T
	e       *Engine
	now     dag.Time
	inputs  []input
	changes []store.Change
	fail    func(store.Change) error
	stored  map[string]*store.Record
}

func newHand(t *testing.T, cfg Config) *hand {
	t.Helper()
	s, err := bolt.Open(t.TempDir()) // only so that there is one: a hand commits by itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &hand{t: t, now: 1_000_000, stored: map[string]*store.Record{}}
	cfg.Store, cfg.Shards = s, 1
	cfg.Executors = map[string]executors.Executor{"local": newWorld(nil).executor()}
	cfg.Now = func() time.Time { return time.UnixMilli(int64(h.now)) }
	cfg.Random = func() float64 { return 0.5 }
	if h.e, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	h.e.dispatch.start()
	h.inputs = append(h.inputs, &control{open: true})
	return h
}

func (h *hand) submit(yaml, name string) *task {
	h.t.Helper()
	src := &source{Plan: "test", YAML: yaml, Options: plan.BuildOptions{UID: "uid", Created: h.now}}
	p, program, ds := src.compile(name)
	if err := ds.Err(); err != nil {
		h.t.Fatal(err)
	}
	run, delta, err := dag.New(p, program, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	body, err := src.encode()
	if err != nil {
		h.t.Fatal(err)
	}
	n := &newcomer{quiet: quiet{name}, run: newTask(name, run, program, 0), delta: delta}
	n.run.create = &creation{source: body}
	h.inputs = append(h.inputs, n)
	return n.run
}

// cycle is what a shard's goroutine does, once.
func (h *hand) cycle() effects {
	s := h.e.shards[0]
	in := append(s.backlog, h.inputs...)
	s.backlog, h.inputs = nil, nil
	b := s.step(h.now, in)
	errs := make([]error, len(b.changes))
	for i, c := range b.changes {
		if h.fail != nil {
			errs[i] = h.fail(c)
		}
		if errs[i] == nil {
			h.changes = append(h.changes, c)
		}
	}
	return s.finish(h.now, b, errs)
}

// world answers launches like an executor whose attempts take a second.
func (h *hand) world(fx effects) {
	for _, l := range fx.launches {
		q := l.order
		h.inputs = append(h.inputs,
			&launched{quiet: q, executor: l.executor, node: l.node, attempt: l.attempt.Number},
			&sighting{q, l.node, l.attempt.Number, executors.Sighting{Phase: dag.AttemptRunning}},
			&sighting{q, l.node, l.attempt.Number, executors.Sighting{Phase: dag.AttemptSucceeded}})
	}
}

// TestShardIsAFunction runs the same inputs twice and expects the same changes, byte by byte.
func TestShardIsAFunction(t *testing.T) {
	play := func() []store.Change {
		h := newHand(t, Config{Slots: Slots{Global: 2}})
		h.submit(diamond, "test-abcdefgh")
		h.submit(diamond, "test-hgfedcba")
		for range 30 {
			h.world(h.cycle())
			h.now += 1000
		}
		if n := len(h.e.shards[0].tasks); n != 0 {
			t.Fatalf("%d tasks have not ended", n)
		}
		return h.changes
	}
	one, two := play(), play()
	if len(one) < 10 {
		t.Fatalf("only %d changes", len(one))
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("the same inputs gave other changes:\n%s", diff)
	}
}

// TestNothingHappensBeforeTheCommit looks at the order that everything rests on.
func TestNothingHappensBeforeTheCommit(t *testing.T) {
	h := newHand(t, Config{})
	run := h.submit(graph("a"), "test-abcdefgh")
	answer := newCall()
	c := &command{quiet: quiet{run.name}, call: answer, make: func(_ *task, now dag.Time) (dag.Event, error) {
		return dag.Suspend{At: now, Node: 0, Hold: dag.Hold{Mode: dag.HoldDrain}}, nil
	}}
	h.inputs = append(h.inputs, c)
	h.fail = func(store.Change) error {
		if len(answer.ch) != 0 {
			t.Error("the caller was answered before the commit")
		}
		return errors.New("no")
	}
	fx := h.cycle()
	if err := <-answer.ch; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the command gives %v", err)
	}
	if len(fx.launches) != 0 {
		t.Errorf("launched without a commit: %+v", fx.launches)
	}
	h.fail = nil
	h.now += dag.Time(h.e.cfg.Backoff.Milliseconds())
	if fx = h.cycle(); len(fx.loads) != 1 || fx.loads[0] != run.name {
		t.Fatalf("effects are %+v, want that the task is loaded", fx)
	}
	h.inputs = append(h.inputs, &loaded{quiet: quiet{run.name}, err: store.ErrNotFound})
	h.cycle()
	if _, n := h.e.active.size(); n != 0 {
		t.Errorf("%d stages are active of a task that was never written", n)
	}
}

// bomb is a program that panics.
type bomb struct {
	dag.Program
	expand, stage bool
}

func (b *bomb) Stage(run *dag.Run, i int32) (*dag.StageSpec, error) {
	if b.stage {
		panic("bomb")
	}
	return b.Program.Stage(run, i)
}

func (b *bomb) GroupOutputs(run *dag.Run, i int32) (*dag.Outputs, error) {
	if b.expand {
		panic("bomb")
	}
	return b.Program.GroupOutputs(run, i)
}

// TestTasksThatBreakAreIsolated lets a plan panic whenever its task should end: nobody else notices.
func TestTasksThatBreakAreIsolated(t *testing.T) {
	h := newHand(t, Config{})
	bad := h.submit(graph("a"), "test-abcdefgh")
	good := h.submit(graph("a"), "test-hgfedcba")
	body, err := (&source{Plan: "test", YAML: graph("a")}).encode()
	if err != nil {
		t.Fatal(err)
	}
	fx := h.cycle()
	defuse := func(run *task) *task {
		// The run as it is stored, with a program that panics.
		var nodes []dag.Record
		for i := range int32(run.run.Len()) {
			nodes = append(nodes, dag.Record{Spec: run.run.AppendSpec(nil, i), State: run.run.AppendState(nil, i)})
		}
		program := &bomb{Program: run.program, expand: true}
		again, err := dag.Load(run.run.AppendHeader(nil), nodes, program)
		if err != nil {
			t.Fatal(err)
		}
		return newTask(run.name, again, program, run.seq)
	}
	copies := make([]*task, 30)
	for i := range copies {
		copies[i] = defuse(bad)
	}
	*bad = *func() *task {
		c := defuse(bad)
		c.lane, c.side, c.marks, c.live = bad.lane, bad.side, bad.marks, bad.live
		return c
	}()
	h.world(fx)
	for i := range 400 {
		fx := h.cycle()
		for _, name := range fx.loads {
			h.inputs = append(h.inputs, &loaded{quiet: quiet{name}, run: copies[i%len(copies)]})
			copies[i%len(copies)] = nil
		}
		// The executor insists that the attempt has ended.
		for id, ref := range h.e.attempts.byID {
			if strings.HasPrefix(id, bad.name) {
				h.inputs = append(h.inputs, &sighting{quiet{ref.task}, ref.node, ref.attempt, executors.Sighting{Phase: dag.AttemptSucceeded}})
			}
		}
		h.now += 1000
	}
	_ = body
	if h.e.shards[0].broken[bad.name] == nil {
		t.Error("the task that breaks is not isolated")
	}
	if _, ok := h.e.shards[0].tasks[good.name]; ok {
		t.Error("the other task has not ended")
	}
	if n := h.e.Stats().Broken; n != 1 {
		t.Errorf("%d tasks broke", n)
	}
}

// TestStagesThatCannotBeDescribed lets the plan panic when it should say what to run.
func TestStagesThatCannotBeDescribed(t *testing.T) {
	h := newHand(t, Config{})
	run := h.submit(graph("a"), "test-abcdefgh")
	run.program = &bomb{Program: run.program, stage: true}
	h.cycle()
	n := run.run.Node(1)
	h.cycle()
	if n.Status != dag.Failed || n.Failure == nil || n.Failure.Kind != dag.FailPlan {
		t.Errorf("the stage is %s: %+v", n.Status, n.Failure)
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"empty", Config{}, []string{"no store", "no executor"}},
		{"numbers", Config{Shards: -1, MasterPort: 70000, Slots: Slots{Global: -1}}, []string{"shards must not be negative", "70000", "global slots"}},
		{"names", Config{
			Executors: map[string]executors.Executor{"x": nil}, Slots: Slots{Executor: map[string]int{"y": 1}},
		}, []string{`executor "x" is not given`, `executor "y", but there is x only`}},
	} {
		_, err := New(tc.cfg)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", tc.name, err, want)
			}
		}
	}
	e, err := New(Config{Store: &tamper{}, Executors: map[string]executors.Executor{"local": &session{}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Stop(context.Background()); err != nil {
			t.Errorf("stopping an engine that was never started: %v", err)
		}
	}
	if _, err := e.Task(context.Background(), "x"); !errors.Is(err, ErrStopping) {
		t.Errorf("reading from it gives %v", err)
	}
	if err := e.Start(context.Background()); err == nil {
		t.Error("an engine that was stopped can be started")
	}
}
