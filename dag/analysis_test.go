package dag_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
)

// analysed makes the run of a plan whose stages are named after their templates, and grants and ends what it is told to.
func analysed(t *testing.T, nodes ...dag.NodeSpec) *dag.Run {
	t.Helper()
	p := &dag.Plan{Name: "p", Task: "p-abcdefgh", Nodes: append([]dag.NodeSpec{{ID: "root", Kind: dag.KindDAG, Parent: dag.NoParent}}, nodes...)}
	for i := 1; i < len(p.Nodes); i++ {
		p.Nodes[i].Template = p.Nodes[i].ID
	}
	r, _, err := dag.New(p, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	step(t, r, dag.Start{At: 1})
	return r
}

func step(t *testing.T, r *dag.Run, ev dag.Event) {
	t.Helper()
	if _, err := r.Step(ev); err != nil {
		t.Fatal(err)
	}
}

func durations(m map[string]dag.Duration) dag.Known {
	return func(template string) (dag.Duration, bool) {
		d, ok := m[template]
		return d, ok
	}
}

func TestRemaining(t *testing.T) {
	known := durations(map[string]dag.Duration{"a": 100, "b": 10, "c": 50, "d": 5, "e": 70})
	r := analysed(t,
		dag.NodeSpec{ID: "a"},
		dag.NodeSpec{ID: "b", Depends: dag.Depends{On: []int32{1}}},
		dag.NodeSpec{ID: "c", Depends: dag.Depends{On: []int32{1}}},
		dag.NodeSpec{ID: "d", Depends: dag.Depends{On: []int32{2, 3}}},
		dag.NodeSpec{ID: "e"},
	)
	check := func(now dag.Time, want dag.Duration, path ...int32) {
		t.Helper()
		left, ok := r.Remaining(now, known)
		if left != want || !ok {
			t.Errorf("at %d: %d left (%v), want %d", now, left, ok, want)
		}
		if diff := cmp.Diff(path, r.CriticalPath(now, known)); diff != "" {
			t.Errorf("at %d: critical path: %s", now, diff)
		}
	}
	check(1, 155, 1, 3, 4)
	step(t, r, dag.Grant{At: 10, Node: 1})
	step(t, r, dag.Observed{At: 10, Node: 1, Phase: dag.AttemptRunning})
	check(50, 115, 1, 3, 4) // 60 of a are left
	check(500, 70, 5)       // a takes longer than it ever did: nothing of it is expected to be left
	step(t, r, dag.Observed{At: 600, Node: 1, Phase: dag.AttemptSucceeded})
	check(600, 70, 5)
	step(t, r, dag.SkipStage{At: 601, Node: 5})
	check(601, 55, 3, 4)
	if _, ok := r.Remaining(601, durations(nil)); ok {
		t.Error("the time of stages that never ran is unknown")
	}
}

func TestRemainingInGroups(t *testing.T) {
	known := durations(map[string]dag.Duration{"x": 10, "y": 20, "z": 30})
	r := analysed(t,
		dag.NodeSpec{ID: "g", Kind: dag.KindDAG},
		dag.NodeSpec{ID: "x", Parent: 1},
		dag.NodeSpec{ID: "y", Parent: 1, Depends: dag.Depends{On: []int32{2}}},
		dag.NodeSpec{ID: "z", Depends: dag.Depends{On: []int32{1}}},
	)
	if left, _ := r.Remaining(1, known); left != 60 {
		t.Errorf("%d left, want 60", left)
	}
	if diff := cmp.Diff([]int32{2, 3, 4}, r.CriticalPath(1, known)); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkStep measures one event on plans of 10,000 stages: grants and ends in turn.
func BenchmarkStep(b *testing.B) {
	shapes := map[string]func(i int32) []int32{
		"chain":   func(i int32) []int32 { return []int32{i - 1} },
		"fan-out": func(int32) []int32 { return []int32{1} },
		"layers":  func(i int32) []int32 { return []int32{max(1, i-10), max(1, i-11)} },
	}
	for name, on := range shapes {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; n < b.N; {
				b.StopTimer()
				r := shaped(b, 10_000, on)
				b.StartTimer()
				n += drive(b, r, b.N-n)
			}
		})
	}
}

func shaped(b *testing.B, size int32, on func(int32) []int32) *dag.Run {
	b.Helper()
	nodes := []dag.NodeSpec{{ID: "root", Kind: dag.KindDAG, Parent: dag.NoParent}, {ID: dag.AttemptID("s", 1)}}
	for i := int32(2); i < size; i++ {
		deps := on(i)
		if len(deps) == 2 && deps[0] == deps[1] {
			deps = deps[:1]
		}
		nodes = append(nodes, dag.NodeSpec{ID: dag.AttemptID("s", i), Depends: dag.Depends{On: deps}})
	}
	r, _, err := dag.New(&dag.Plan{Name: "p", Task: "p", Nodes: nodes}, nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Step(dag.Start{At: 1}); err != nil {
		b.Fatal(err)
	}
	return r
}

// drive gives at most limit events to a run, and reports how many it took.
func drive(b *testing.B, r *dag.Run, limit int) (steps int) {
	b.Helper()
	ready := []int32{1}
	for len(ready) > 0 && steps < limit {
		i := ready[0]
		ready = ready[1:]
		if _, err := r.Step(dag.Grant{At: 2, Node: i}); err != nil {
			b.Fatal(err)
		}
		d, err := r.Step(dag.Observed{At: 3, Node: i, Phase: dag.AttemptSucceeded})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range d.Changed {
			if r.Node(c).Ready {
				ready = append(ready, c)
			}
		}
		steps += 2
	}
	return max(steps, 1)
}
