package dagtest

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag"
)

// Plan draws a plan of at most size nodes: groups in groups, dependencies of every kind, policies, loops.
func Plan(t *rapid.T, size int) *dag.Plan {
	b := &builder{t: t, left: rapid.IntRange(1, size).Draw(t, "nodes")}
	b.nodes = append(b.nodes, dag.NodeSpec{ID: "n0", Name: "root", Kind: dag.KindDAG, Parent: dag.NoParent, Policy: b.groupPolicy()})
	if b.chance(4, "rootHooks") {
		b.nodes[0].Hooks = []string{"exit", "failed"}
	}
	b.dagGroup(0, 1)
	return &dag.Plan{
		Name: "p", Task: "p-abcdefgh", Nodes: b.nodes,
		Parallelism: rapid.SampledFrom([]int32{0, 0, 0, 1, 3}).Draw(t, "parallelism"),
		Suspended:   rapid.IntRange(0, 9).Draw(t, "suspended") == 0,
		OnExit:      rapid.Bool().Draw(t, "onExit"),
		Timeout:     rapid.SampledFrom([]dag.Duration{0, 0, 0, 500}).Draw(t, "timeout"),
	}
}

type builder struct {
	t     *rapid.T
	nodes []dag.NodeSpec
	left  int
}

func (b *builder) chance(n int, label string) bool {
	return rapid.IntRange(0, n-1).Draw(b.t, label) == 0
}

func (b *builder) add(s dag.NodeSpec) int32 {
	i := int32(len(b.nodes))
	s.ID = fmt.Sprintf("n%d", i)
	if s.Name == "" {
		s.Name = s.ID
	}
	if s.Parent != dag.NoParent {
		s.Path = b.nodes[s.Parent].Path + "." + s.Name
	}
	b.nodes = append(b.nodes, s)
	b.left--
	return i
}

// dagGroup fills a group with nodes that depend on earlier ones.
func (b *builder) dagGroup(g int32, depth int) {
	var mine []int32
	want := rapid.IntRange(1, 6).Draw(b.t, "children")
	if depth == 1 {
		want = b.left
	}
	for k := 0; k < want && b.left > 0; k++ {
		s := dag.NodeSpec{Parent: g}
		if len(mine) > 0 && !b.chance(4, "source") {
			s.Depends = b.depends(mine)
		}
		mine = append(mine, b.node(s, depth))
	}
}

func (b *builder) depends(from []int32) dag.Depends {
	var d dag.Depends
	for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(from)-1), 1, min(3, len(from)), rapid.ID[int]).Draw(b.t, "on") {
		d.On = append(d.On, from[k])
	}
	if b.chance(4, "cancel") {
		d.Cancel = d.On[:1]
	}
	if b.chance(4, "expr") {
		wants := []dag.Want{dag.WantPlain, dag.WantSucceeded, dag.WantFailed, dag.WantSkipped, dag.WantOmitted, dag.WantAnySucceeded, dag.WantAllFailed}
		d.Expr = &dag.Expr{Op: rapid.SampledFrom([]dag.Op{dag.OpAnd, dag.OpOr}).Draw(b.t, "op")}
		for _, i := range d.On {
			a := &dag.Expr{Node: i, Want: rapid.SampledFrom(wants).Draw(b.t, "want")}
			if b.chance(5, "not") {
				a = &dag.Expr{Op: dag.OpNot, Sub: []*dag.Expr{a}}
			}
			d.Expr.Sub = append(d.Expr.Sub, a)
		}
	}
	return d
}

// node adds a stage, a gate, a loop, a retry group or a whole group.
func (b *builder) node(s dag.NodeSpec, depth int) int32 {
	if b.chance(6, "hooks") {
		s.Hooks = rapid.SampledFrom([][]string{{"exit"}, {"failed"}, {"exit", "failed"}}).Draw(b.t, "hook")
	}
	switch pick := rapid.IntRange(0, 19).Draw(b.t, "kind"); {
	case pick < 2 && depth < 4 && b.left > 3:
		s.Kind, s.Policy = dag.KindDAG, b.groupPolicy()
		i := b.add(s)
		b.dagGroup(i, depth+1)
		return i
	case pick < 4 && depth < 4 && b.left > 4:
		return b.steps(s, depth)
	case pick == 4:
		s.Kind = dag.KindGate
		return b.add(s)
	case pick < 9:
		s.Deferred = true
		s.Policy = b.policy()
		s.Call = rapid.SampledFrom([]string{"go", "skip", "error", "error:1", "error:2", "fan:0", "fan:3", "retry"}).Draw(b.t, "call")
		if s.Call == "retry" {
			s.Kind = dag.KindRetry
		}
		return b.add(s)
	}
	s.Policy = b.policy()
	return b.add(s)
}

func (b *builder) steps(s dag.NodeSpec, depth int) int32 {
	s.Kind, s.Policy = dag.KindSteps, b.groupPolicy()
	i := b.add(s)
	for k, before := 0, int32(-1); k < rapid.IntRange(1, 3).Draw(b.t, "groups") && b.left > 0; k++ {
		g := dag.NodeSpec{Kind: dag.KindStepGroup, Parent: i, Name: fmt.Sprintf("[%d]", k)}
		if before >= 0 {
			g.Depends.On = []int32{before}
		}
		before = b.add(g)
		for c := 0; c < rapid.IntRange(1, 3).Draw(b.t, "steps") && b.left > 0; c++ {
			b.node(dag.NodeSpec{Parent: before}, depth+1)
		}
	}
	return i
}

func (b *builder) groupPolicy() *dag.Policy {
	return &dag.Policy{
		Parallelism:    rapid.SampledFrom([]int32{0, 0, 1, 2}).Draw(b.t, "groupParallelism"),
		FailFast:       rapid.Bool().Draw(b.t, "failFast"),
		Timeout:        rapid.SampledFrom([]dag.Duration{0, 0, 0, 0, 40}).Draw(b.t, "groupTimeout"),
		ContinueFailed: b.chance(4, "continueFailed"),
	}
}

func (b *builder) policy() *dag.Policy {
	if b.chance(2, "plain") {
		return nil
	}
	p := &dag.Policy{
		Callbacks:       rapid.SampledFrom([]dag.Callbacks{dag.CallbacksNone, dag.CallbacksOptional, dag.CallbacksRequired}).Draw(b.t, "callbacks"),
		Captures:        b.chance(4, "captures"),
		Checked:         b.chance(8, "checked"),
		ContinueFailed:  b.chance(4, "continueFailed"),
		ContinueErrored: b.chance(4, "continueErrored"),
		Timeout:         rapid.SampledFrom([]dag.Duration{0, 0, 0, 20}).Draw(b.t, "timeout"),
	}
	if p.Captures {
		p.Asked = b.asked()
	}
	if b.chance(2, "retry") {
		p.Retry = &dag.Retry{
			Limit:      rapid.Int32Range(0, 3).Draw(b.t, "limit"),
			Base:       rapid.SampledFrom([]dag.Duration{0, 10}).Draw(b.t, "base"),
			Factor:     2,
			Started:    rapid.Bool().Draw(b.t, "retryStarted"),
			Failed:     rapid.Bool().Draw(b.t, "retryFailed"),
			Expression: b.chance(4, "retryExpression"),
			Jitter:     0.5,
		}
	}
	return p
}
