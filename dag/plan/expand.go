package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// expansion is one question of the core: what the node becomes.
type expansion struct {
	p    *program
	run  *dag.Run
	node *dag.Node
	ref  ref
	call *call // nil for the entry and for hooks
	// callee is the template that is called, sc the scope around the call.
	callee *template
	sc     *scope
}

// Expand implements dag.Expander.
func (p *program) Expand(run *dag.Run, node int32) dag.Expansion {
	n := run.Node(node)
	x, err := p.expansion(run, n)
	if err != nil {
		return dag.Expansion{Verdict: dag.Error, Message: err.Error()}
	}
	switch {
	case n.Spec.Kind == dag.KindRetry && n.Status == dag.Running:
		return x.try(n.Spec.Inputs)
	case x.call != nil && x.ref.kind == 'c' && x.call.loop != nil && x.ref.item == "":
		return x.loop()
	}
	return x.single()
}

func (p *program) expansion(run *dag.Run, n *dag.Node) (*expansion, error) {
	r, ok := parseRef(n.Spec.Call)
	if !ok || p.set == nil {
		return nil, fmt.Errorf("stage %q belongs to no call of the plan", n.Spec.ID)
	}
	x := &expansion{p: p, run: run, node: n, ref: r}
	var h *hook
	x.call, h, x.callee, ok = p.set.find(r)
	if !ok {
		return nil, fmt.Errorf("stage %q: the plan has no call %q", n.Spec.ID, n.Spec.Call)
	}
	if h != nil {
		x.call = nil
	}
	x.sc = p.around(run, n, r)
	return x, nil
}

// around is the scope around the call that made a node.
func (p *program) around(run *dag.Run, n *dag.Node, r ref) *scope {
	if r.kind != 'c' && r.kind != 'h' {
		return p.at(run, nil, -1)
	}
	sc := p.at(run, p.set.all[r.template], instanceOf(run, n))
	sc.item = r.itemScope()
	return sc
}

// instanceOf is the dag or steps node that a node's call stands in, or -1.
func instanceOf(run *dag.Run, n *dag.Node) int32 {
	for i := n.Spec.Parent; i != dag.NoParent; i = run.Node(i).Spec.Parent {
		switch run.Node(i).Spec.Kind {
		case dag.KindDAG, dag.KindSteps:
			return i
		}
	}
	return -1
}

// inSteps reports whether the call is a step, so that its faults are those of its group.
func (x *expansion) inSteps() bool { return x.sc.tmpl != nil && x.sc.tmpl.kind == dag.KindSteps }

// single is a call that is not a loop, or one turn of a loop.
func (x *expansion) single() dag.Expansion {
	if x.call == nil { // the entry or a hook: its inputs were worked out when it was made
		return x.runs(x.node.Spec.Inputs)
	}
	args, argErr := x.p.inputs(x.callee, x.call.args, x.sc, false)
	var lookup *lookupError
	if errors.As(argErr, &lookup) {
		return x.refuse(argErr, 2)
	}
	goes, skip, err := x.condition()
	switch {
	case err != nil:
		return x.badCondition(err)
	case !goes:
		return dag.Expansion{Verdict: dag.Skip, Message: skip, Kind: x.node.Spec.Kind}
	case argErr != nil:
		return x.refuse(argErr, 1)
	}
	if x.ref.item != "" {
		if args, err = x.p.inputs(x.callee, x.call.args, x.sc, true); err != nil {
			return x.refuse(err, 0)
		}
	}
	return x.runs(args)
}

// condition evaluates the call's when.
func (x *expansion) condition() (goes bool, skip string, err error) {
	if !x.call.hasWhen {
		return true, "", nil
	}
	when, err := x.sc.fill(&x.call.when, false)
	if err != nil {
		return false, "", err
	}
	goes, err = expr.EvalWhen(when)
	if err != nil {
		return false, "", err
	}
	return goes, fmt.Sprintf("when '%s' evaluated false", when), nil
}

func (x *expansion) badCondition(err error) dag.Expansion {
	var lookup *lookupError
	switch {
	case errors.As(err, &lookup):
		return x.refuse(err, 2)
	case x.inSteps() && x.ref.item == "":
		return dag.Expansion{Verdict: dag.Error, Message: "Failed to resolve references: " + err.Error(), Escalate: 1}
	}
	return dag.Expansion{Verdict: dag.Error, Message: err.Error()}
}

// refuse is an error of the node itself, or of a group around it where Argo has no node for a step yet.
func (x *expansion) refuse(err error, level int) dag.Expansion {
	if !x.inSteps() {
		level = 0
	}
	return dag.Expansion{Verdict: dag.Error, Message: err.Error(), Escalate: level}
}

// runs lets the node run with the inputs.
func (x *expansion) runs(inputs map[string]string) dag.Expansion {
	out := dag.Expansion{Kind: x.callee.nodeKind(), Inputs: inputs}
	policy, err := x.p.nodePolicy(x.callee, x.call, inputs)
	if err != nil {
		return dag.Expansion{Verdict: dag.Error, Message: err.Error()}
	}
	out.Policy = policy
	switch {
	case x.callee.retried():
		try := x.try(inputs)
		out.Verdict, out.Message, out.Children = try.Verdict, try.Message, try.Children
	case x.callee.kind.Group():
		b := newBuilder(x.p, x.run)
		b.contents(x.callee, dag.SelfParent, x.node.Spec.Path, inputs)
		return x.built(b, out)
	}
	return out
}

// try is the next try of a group that is retried.
func (x *expansion) try(inputs map[string]string) dag.Expansion {
	b := newBuilder(x.p, x.run)
	number := fmt.Sprintf("(%d)", x.node.Tries)
	pos := b.add(site{
		ref: x.ref, name: x.node.Spec.Name + number, path: x.node.Spec.Path + number, parent: dag.SelfParent, index: x.node.Tries,
	}, x.callee)
	b.specs[pos].Kind = x.callee.kind
	b.specs[pos].Inputs = inputs
	b.specs[pos].Policy = tryPolicy(x.callee)
	b.contents(x.callee, b.at(pos), b.specs[pos].Path, inputs)
	return x.built(b, dag.Expansion{Kind: dag.KindRetry, Inputs: inputs})
}

func (x *expansion) built(b *builder, out dag.Expansion) dag.Expansion {
	if b.err != nil {
		return dag.Expansion{Verdict: dag.Error, Message: b.err.Error()}
	}
	out.Children = b.specs
	return out
}

// loop is a call with withItems, withParam or withSequence.
func (x *expansion) loop() dag.Expansion {
	k := x.call
	for i := range k.args { // what cannot be listed is an error before anything else
		if _, err := x.sc.fill(&k.args[i].value, false); err != nil {
			var lookup *lookupError
			if errors.As(err, &lookup) {
				return x.refuse(err, 2)
			}
		}
	}
	items, err := x.items()
	if err != nil {
		var lookup *lookupError
		if errors.As(err, &lookup) {
			return x.refuse(err, 2)
		}
		if goes, _, whenErr := x.condition(); whenErr != nil || goes {
			return x.refuse(err, 1)
		}
		items = nil
	}
	if len(items) == 0 {
		return dag.Expansion{Verdict: dag.Skip, Message: "Skipped, empty params", Kind: dag.KindFanOut}
	}
	b := newBuilder(x.p, x.run)
	for i := range items {
		if err := x.turn(b, i, items[i]); err != nil {
			return x.refuse(err, 1)
		}
	}
	return x.built(b, dag.Expansion{Kind: dag.KindFanOut, Policy: continuePolicy(k)})
}

// turn adds one turn of the loop.
func (x *expansion) turn(b *builder, i int, item expr.Item) error {
	k, name := x.call, item.Name(i)
	s := site{ref: x.ref, name: k.name + name, path: x.node.Spec.Path + name, parent: dag.SelfParent, index: int32(i), call: k}
	s.ref.item = string(item.JSON())
	for _, h := range k.hooks {
		if x.inSteps() || h.name == exitHook {
			s.hooks = append(s.hooks, h.name)
		}
	}
	if k.hasWhen || x.callee.retried() {
		b.later(s, x.callee)
		return b.err
	}
	sc := *x.sc
	sc.item = item.Scope()
	inputs, err := x.p.inputs(x.callee, k.args, &sc, true)
	if err != nil {
		return err
	}
	if x.callee.kind.Group() && x.recursive() {
		b.later(s, x.callee)
		return b.err
	}
	b.static(s, x.callee, inputs)
	return b.err
}

// recursive reports whether the template that is called is being run around the call already.
func (x *expansion) recursive() bool {
	for i := x.node.Spec.Parent; i != dag.NoParent; i = x.run.Node(i).Spec.Parent {
		r, ok := parseRef(x.run.Node(i).Spec.Call)
		if !ok {
			continue
		}
		if _, _, t, ok := x.p.set.find(r); ok && t == x.callee {
			return true
		}
	}
	return false
}

// items are those of the loop.
func (x *expansion) items() ([]expr.Item, error) {
	l := x.call.loop
	if l.items != nil {
		return x.substituted(l.items)
	}
	if l.param != nil {
		v, err := x.sc.fill(l.param, false)
		if err != nil {
			return nil, err
		}
		return expr.ParseItems(v)
	}
	var parts [4]string
	for i, t := range []*text{&l.start, &l.end, &l.count, &l.format} {
		v, err := x.sc.fill(t, false)
		if err != nil {
			return nil, err
		}
		parts[i] = v
	}
	return expr.Sequence(parts[0], parts[1], parts[2], parts[3], expr.MaxItems)
}

// substituted fills in the tags of literal items.
func (x *expansion) substituted(items []expr.Item) ([]expr.Item, error) {
	var out []expr.Item
	for i, item := range items {
		if !strings.Contains(string(item.JSON()), "{{") {
			continue
		}
		if out == nil {
			out = slices.Clone(items)
		}
		b, err := expr.SubstituteJSON(item.JSON(), x.sc, expr.Options{AllowUnresolved: true})
		if err != nil {
			return nil, err
		}
		if out[i], err = expr.NewItem(b); err != nil {
			return nil, err
		}
	}
	if out == nil {
		return items, nil
	}
	return out, nil
}
