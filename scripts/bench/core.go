package main

import (
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/dagtest"
	"github.com/clic-orchestrator/clic/dag/plan"
)

// shape is a plan for the core alone.
type shape struct {
	name string
	// on gives the dependencies of stage i (from 1; 0 is the group around them).
	on func(i, n int) []int32
}

var shapes = []shape{
	{"chain", func(i, _ int) []int32 {
		if i == 1 {
			return nil
		}
		return []int32{int32(i - 1)}
	}},
	// Layers of ten between single stages: 1, 10, 1, 10, ...
	{"diamonds", func(i, _ int) []int32 {
		switch k := (i - 1) % 11; {
		case i == 1:
			return nil
		case k == 0:
			all := make([]int32, 10)
			for d := range all {
				all[d] = int32(i - 10 + d)
			}
			return all
		default:
			return []int32{int32(i - k)}
		}
	}},
	{"fan-out", func(i, n int) []int32 {
		switch i {
		case 1:
			return nil
		case n:
			all := make([]int32, n-2)
			for d := range all {
				all[d] = int32(d + 2)
			}
			return all
		}
		return []int32{1}
	}},
}

// steps measures dag.Run.Step: every stage is granted, seen to run and seen to end. The second figure of each shape also encodes
// what changed, as the engine does.
func steps(b *bench) error {
	n := b.pick(100_000, 10_000)
	for _, s := range shapes {
		for _, encode := range []bool{false, true} {
			var took []time.Duration
			var count, size int
			for range b.pick(3, 1) {
				t, c, z, err := drive(s, n, encode)
				if err != nil {
					return err
				}
				took, count, size = append(took, t), c, z
			}
			name, under := "step/"+s.name, fmt.Sprintf("one core, %d stages, grant + running + completed each, no store", n)
			if encode {
				name, under = name+"+encode", under+fmt.Sprintf("; with all records and events encoded, %d B per stage", size/n)
			}
			b.tell(name, rates(count, took), "steps/s", "", under)
		}
	}
	return nil
}

// drive runs a plan of a shape to its end. It gives the time, the number of steps and the bytes that were encoded.
func drive(s shape, n int, encode bool) (took time.Duration, count, size int, err error) {
	p := &dag.Plan{Name: "bench", Task: "bench-abcdefgh", Nodes: make([]dag.NodeSpec, n+1)}
	p.Nodes[0] = dag.NodeSpec{ID: "bench-abcdefgh", Name: "main", Kind: dag.KindDAG, Parent: dag.NoParent}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("s%d", i)
		p.Nodes[i] = dag.NodeSpec{
			ID: "bench-abcdefgh-" + name, Name: name, Path: "." + name, Template: "work", Platform: "work",
			Depends: dag.Depends{On: s.on(i, n)},
		}
	}
	r, _, err := dag.New(p, dagtest.Expander{}, 1)
	if err != nil {
		return 0, 0, 0, err
	}
	var buf []byte
	var ready []int32
	now := dag.Time(1)
	began := time.Now()
	step := func(ev dag.Event) error {
		d, err := r.Step(ev)
		if err != nil {
			return err
		}
		count++
		for _, i := range d.Changed {
			if n := r.Node(i); n.Ready && n.Status == dag.Waiting {
				ready = append(ready, i)
			}
			if encode {
				buf = r.AppendState(buf[:0], i)
				size += len(buf)
			}
		}
		if encode {
			for _, e := range d.Log {
				buf = dag.AppendEntry(buf[:0], e)
				size += len(buf)
			}
		}
		return nil
	}
	if err := step(dag.Start{At: now}); err != nil {
		return 0, 0, 0, err
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		now++
		for _, ev := range []dag.Event{
			dag.Grant{At: now, Node: i},
			dag.Observed{At: now, Node: i, Phase: dag.AttemptRunning},
			dag.Observed{At: now, Node: i, Phase: dag.AttemptSucceeded},
		} {
			if err := step(ev); err != nil {
				return 0, 0, 0, err
			}
		}
	}
	took = time.Since(began)
	if r.Task().Status != dag.TaskCompleted {
		return 0, 0, 0, fmt.Errorf("the task is %s after %d steps", r.Task().Status, count)
	}
	return took, count, size, nil
}

// parsePlan measures how long a large plan takes from its YAML to nodes, with everything checked.
func parsePlan(b *bench) error {
	n := b.pick(100_000, 5_000)
	for _, form := range []struct{ name, text string }{
		{"clic", clicPlan(n, n/100)}, {"argo", argoPlan(n, n/100)},
	} {
		var took []time.Duration
		for range b.pick(3, 1) {
			began := time.Now()
			doc, ds := plan.Parse("bench.yaml", []byte(form.text))
			if doc == nil {
				return ds.Err()
			}
			_, _, more := doc.Build("bench", "bench-abcdefgh", plan.BuildOptions{})
			took = append(took, time.Since(began))
			if err := append(ds, more...).Err(); err != nil {
				return err
			}
		}
		b.tell("plan/"+form.name, median(took).Seconds(), "s", "a few s",
			fmt.Sprintf("parse and validation of %d stages, %.1f MB of YAML, in layers of %d", n, float64(len(form.text))/1e6, n/100))
	}
	return nil
}
