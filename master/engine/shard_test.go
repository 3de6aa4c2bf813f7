package engine

import (
	"context"
	"errors"
	"slices"
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
	// wrap, if set, changes the programs of the plans.
	wrap func(task string, p dag.Program) dag.Program
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
	p, program, ds := h.e.documents.compile(name, src)
	if err := ds.Err(); err != nil {
		h.t.Fatal(err)
	}
	if h.wrap != nil {
		program = h.wrap(name, program)
	}
	run, delta, err := dag.New(p, program, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	body, err := src.encode()
	if err != nil {
		h.t.Fatal(err)
	}
	n := &newcomer{quiet: quiet{name}, run: newTask(name, run, program), delta: delta}
	n.run.create = &creation{source: body}
	h.inputs = append(h.inputs, n)
	return n.run
}

// cycle is what a shard's goroutine does, once.
func (h *hand) cycle() effects {
	s := h.e.shards[0]
	in := slices.Concat(s.backlog, h.inputs)
	s.backlog, h.inputs = nil, nil
	b := s.step(h.now, in)
	errs := make([]error, len(b.changes))
	for i, c := range b.changes {
		if h.fail != nil {
			errs[i] = h.fail(c)
		}
		if errs[i] == nil {
			h.changes = append(h.changes, c)
			h.store(c)
		}
	}
	return s.finish(h.now, b, errs)
}

// store keeps what was committed, for load.
func (h *hand) store(c store.Change) {
	r := h.stored[c.Task]
	if r == nil {
		r = &store.Record{Source: c.Source}
		h.stored[c.Task] = r
	}
	if c.Header != nil {
		r.Header = *c.Header
	}
	for _, n := range c.Nodes {
		for int(n.Index) >= len(r.Nodes) {
			r.Nodes = append(r.Nodes, store.NodeRecord{Index: int32(len(r.Nodes))})
		}
		at := &r.Nodes[n.Index]
		if n.Spec != nil {
			at.Spec = n.Spec
		}
		if n.State != nil {
			at.State = n.State
		}
	}
	for _, l := range c.Log {
		r.LastSeq = l.Seq
	}
}

// load answers the wish to have a task loaded.
func (h *hand) load(name string) {
	h.t.Helper()
	t, err := h.e.revive(h.stored[name])
	if err != nil {
		h.t.Fatal(err)
	}
	if h.wrap != nil {
		t.program = h.wrap(name, t.program)
		if t.run, err = dag.Load(h.stored[name].Header.Body, records(h.stored[name]), t.program); err != nil {
			h.t.Fatal(err)
		}
	}
	h.inputs = append(h.inputs, &loaded{quiet: quiet{name}, run: t})
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

// bomb is a program that panics when it is asked what to run, or what came of a group.
type bomb struct {
	dag.Program
	stage, outputs bool
}

func (b *bomb) Stage(run *dag.Run, i int32) (*dag.StageSpec, error) {
	if b.stage {
		panic("bomb")
	}
	return b.Program.Stage(run, i)
}

func (b *bomb) GroupOutputs(run *dag.Run, i int32) (*dag.Outputs, error) {
	if b.outputs {
		panic("bomb")
	}
	return b.Program.GroupOutputs(run, i)
}

// TestTasksThatBreakAreIsolated lets a plan panic whenever its task should end: nobody else notices.
func TestTasksThatBreakAreIsolated(t *testing.T) {
	h := newHand(t, Config{})
	const bad, good = "test-abcdefgh", "test-hgfedcba"
	h.wrap = func(task string, p dag.Program) dag.Program { return &bomb{Program: p, outputs: task == bad} }
	h.submit(graph("a"), bad)
	h.submit(graph("a"), good)
	h.world(h.cycle())
	for range 200 {
		for _, name := range h.cycle().loads {
			h.load(name)
		}
		for _, ref := range h.e.attempts.byID { // the executor insists
			h.inputs = append(h.inputs, &sighting{quiet{ref.task}, ref.node, ref.attempt, executors.Sighting{Phase: dag.AttemptSucceeded}})
		}
		h.now += 1000
	}
	if err := h.e.shards[0].broken[bad]; err == nil || !strings.Contains(err.Error(), "bomb") {
		t.Errorf("the task that breaks is not isolated: %v", err)
	}
	if h.e.shards[0].broken[good] != nil || h.stored[good].Header.Status != dag.TaskCompleted {
		t.Errorf("the other task is %s", h.stored[good].Header.Status)
	}
	if n := h.e.Stats().Broken; n != 1 {
		t.Errorf("%d tasks broke", n)
	}
}

// TestStagesThatCannotBeDescribed lets the plan panic when it should say what to run.
func TestStagesThatCannotBeDescribed(t *testing.T) {
	h := newHand(t, Config{})
	h.wrap = func(_ string, p dag.Program) dag.Program { return &bomb{Program: p, stage: true} }
	run := h.submit(graph("a"), "test-abcdefgh")
	n := run.run.Node(1)
	h.cycle()
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
