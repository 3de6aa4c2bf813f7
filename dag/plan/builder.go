package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// builder makes nodes of calls: all of a plan that is known at submission, or what one node becomes in a run.
type builder struct {
	p *program
	// run is nil at submission; then positions are indices, otherwise they are dag.Refs.
	run   *dag.Run
	ids   *namer
	specs []dag.NodeSpec
	// stack are the templates that are being built; a call of one of them is recursion, and left for later.
	stack []int
	limit int
	err   error
	// policies are those of calls that need no substitution, so that nodes share them.
	policies map[policyKey]*dag.Policy
}

type policyKey struct {
	t *template
	k *call
}

// policy is the policy of a node whose inputs are known.
func (b *builder) policy(t *template, k *call, inputs map[string]string) (*dag.Policy, error) {
	if templated(t.src) {
		return b.p.nodePolicy(t, k, inputs)
	}
	key := policyKey{t, k}
	if have, ok := b.policies[key]; ok {
		return have, nil
	}
	made, err := b.p.policy(t, k, nil)
	if err != nil {
		return nil, err
	}
	if b.policies == nil {
		b.policies = map[policyKey]*dag.Policy{}
	}
	b.policies[key] = made
	return made, nil
}

func newBuilder(p *program, run *dag.Run) *builder {
	b := &builder{p: p, run: run, limit: int(limits(p.opts.Limits).Nodes)}
	if run == nil {
		b.ids = newNamer(p.task, nil, 16)
		return b
	}
	b.limit -= run.Len()
	b.ids = newNamer(p.task, func(id string) bool {
		_, err := run.Find(id)
		return err == nil
	}, 4)
	return b
}

// site is where a node stands.
type site struct {
	ref        ref
	name, path string
	parent     int32
	index      int32
	hooks      []string
	call       *call
}

// at is how others refer to the spec at that position.
func (b *builder) at(position int) int32 {
	if b.run == nil {
		return int32(position)
	}
	return dag.Ref(position)
}

// add appends the node of a site and gives its position.
func (b *builder) add(s site, t *template) int {
	if len(b.specs) >= b.limit && b.err == nil {
		b.err = fmt.Errorf("the plan has more than %d nodes", limits(b.p.opts.Limits).Nodes)
	}
	b.specs = append(b.specs, dag.NodeSpec{
		ID: b.ids.path(s.path, t.name), Name: s.name, Path: s.path, Kind: t.nodeKind(), Parent: s.parent,
		Template: t.name, Platform: t.platform, Call: s.ref.String(), Index: s.index, Hooks: s.hooks,
	})
	return len(b.specs) - 1
}

// plan makes the nodes that are known at submission.
func (b *builder) plan() []dag.NodeSpec {
	set := b.p.set
	t := set.all[set.entry]
	s := site{ref: ref{kind: 'e'}, name: b.p.task, parent: dag.NoParent}
	for _, h := range set.hooks {
		s.hooks = append(s.hooks, h.name)
	}
	inputs, err := b.p.inputs(t, b.p.planArguments(), b.p.at(nil, nil, -1), false)
	if err != nil {
		b.err = err
		return nil
	}
	b.static(s, t, inputs)
	return b.specs
}

// planArguments are the plan's parameters as arguments of the entry.
func (p *program) planArguments() []argument {
	var args []argument
	for i := range p.wf.Spec.Arguments.Parameters {
		name := p.wf.Spec.Arguments.Parameters[i].Name
		args = append(args, argument{name: name, value: text{raw: p.globals["workflow.parameters."+name]}})
	}
	return args
}

// static adds a node whose inputs are known, and everything in it.
func (b *builder) static(s site, t *template, inputs map[string]string) int {
	pos := b.add(s, t)
	b.specs[pos].Inputs = inputs
	if t.retried() || slices.Contains(b.stack, t.index) {
		b.specs[pos].Deferred = true
	}
	policy, err := b.policy(t, s.call, inputs)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("%s: %w", t.name, err)
	}
	b.specs[pos].Policy = policy
	if !b.specs[pos].Deferred && t.kind.Group() {
		b.contents(t, b.at(pos), s.path, inputs)
	}
	return pos
}

// later adds a node that is worked out when its turn comes.
func (b *builder) later(s site, t *template) int {
	pos := b.add(s, t)
	b.specs[pos].Deferred = true
	if s.call != nil && s.call.loop != nil && s.ref.item == "" {
		b.specs[pos].Kind = dag.KindFanOut
		b.specs[pos].Policy = continuePolicy(s.call)
		return pos
	}
	if !templated(t.src) {
		b.specs[pos].Policy, _ = b.policy(t, s.call, nil) // without tags there is nothing that could fail
	}
	return pos
}

// continuePolicy is the policy of the group of a loop.
func continuePolicy(k *call) *dag.Policy {
	if k.continues == [2]bool{} {
		return nil
	}
	return &dag.Policy{ContinueFailed: k.continues[0], ContinueErrored: k.continues[1]}
}

// contents adds the calls of a group to the node parent.
func (b *builder) contents(t *template, parent int32, path string, inputs map[string]string) {
	if len(b.stack) > int(limits(b.p.opts.Limits).Depth) && b.err == nil {
		b.err = fmt.Errorf("templates call each other deeper than %d", limits(b.p.opts.Limits).Depth)
	}
	if b.err != nil {
		return
	}
	b.stack = append(b.stack, t.index)
	sc := b.p.at(b.run, t, -1)
	sc.inputs = inputs
	if t.kind == dag.KindSteps {
		b.steps(t, parent, path, sc)
	} else {
		b.tasks(t, parent, path, sc)
	}
	b.stack = b.stack[:len(b.stack)-1]
}

func (b *builder) steps(t *template, parent int32, path string, sc *scope) {
	before := -1
	for g, calls := range t.groups {
		pos := len(b.specs)
		group := dag.NodeSpec{Name: groupName(g), Path: path + groupName(g), Kind: dag.KindStepGroup, Parent: parent}
		group.ID = b.ids.path(group.Path, "")
		if before >= 0 {
			group.Depends.On = []int32{b.at(before)}
		}
		b.specs = append(b.specs, group)
		before = pos
		for _, c := range calls {
			b.call(t, t.calls[c], b.at(pos), group.Path, sc)
		}
	}
}

func (b *builder) tasks(t *template, parent int32, path string, sc *scope) {
	wanted := b.targets(t, sc) // as long as t.calls, or nil
	left := func(i int) bool { return len(wanted) > 0 && !wanted[i] }
	position := make([]int, len(t.calls))
	for i, k := range t.calls {
		if !left(i) {
			position[i] = b.call(t, k, parent, path, sc)
		}
	}
	if b.err != nil {
		return
	}
	for i, k := range t.calls {
		if left(i) || len(k.deps) == 0 {
			continue
		}
		d := dag.Depends{On: make([]int32, 0, len(k.deps))}
		for _, on := range k.deps {
			d.On = append(d.On, b.at(position[on]))
			if b.p.cancels(t.calls[on]) {
				d.Cancel = append(d.Cancel, b.at(position[on]))
			}
		}
		if k.depends != nil {
			d.Expr = b.condition(t, k.depends, position)
		}
		b.specs[position[i]].Depends = d
	}
}

// cancels reports whether dependents of a call are stopped with it if it fails after having prepared its data.
func (p *program) cancels(k *call) bool {
	return k.callee >= 0 && annotation(p.wf, p.set.all[k.callee].src, annotationPrepared) == "cancel"
}

// targets are the tasks that a dag's target asks for, with all that they depend on; nil stands for all.
func (b *builder) targets(t *template, sc *scope) []bool {
	names, err := t.target.fill(sc, false)
	if err != nil || strings.TrimSpace(names) == "" {
		return nil
	}
	wanted := make([]bool, len(t.calls))
	var queue []int
	for _, name := range strings.Fields(names) {
		i, ok := t.byName[name]
		if !ok {
			if b.err == nil {
				b.err = fmt.Errorf("the dag %q has no task %q, which its target names", t.name, name)
			}
			continue
		}
		queue = append(queue, i)
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !wanted[i] {
			wanted[i] = true
			queue = append(queue, t.calls[i].deps...)
		}
	}
	return wanted
}

// call adds the node of a call and gives its position.
func (b *builder) call(t *template, k *call, parent int32, path string, sc *scope) int {
	s := site{
		ref: ref{kind: 'c', template: t.index, call: k.index}, name: k.name, path: path + "." + k.name, parent: parent, call: k,
	}
	if k.loop == nil || t.kind == dag.KindDAG {
		s.hooks = k.hookNames()
	}
	callee := b.p.set.all[k.callee]
	if b.err != nil {
		return 0
	}
	if k.dynamic || slices.Contains(b.stack, k.callee) {
		return b.later(s, callee)
	}
	inputs, err := b.p.inputs(callee, k.args, sc, false)
	if err != nil {
		return b.later(s, callee) // the failure belongs to the run
	}
	return b.static(s, callee, inputs)
}

// condition translates depends.
func (b *builder) condition(t *template, e *expr.DependsExpr, position []int) *dag.Expr {
	switch e.Op {
	case expr.DependsAtom:
		return &dag.Expr{Op: dag.OpAtom, Node: b.at(position[t.byName[e.Task]]), Want: wants(e.Result)}
	case expr.DependsNot:
		return &dag.Expr{Op: dag.OpNot, Sub: []*dag.Expr{b.condition(t, e.Sub[0], position)}}
	}
	out := &dag.Expr{Op: dag.OpAnd}
	if e.Op == expr.DependsOr {
		out.Op = dag.OpOr
	}
	for _, s := range e.Sub {
		out.Sub = append(out.Sub, b.condition(t, s, position))
	}
	return out
}

func wants(result string) dag.Want {
	switch result {
	case "Succeeded":
		return dag.WantSucceeded
	case "Failed":
		return dag.WantFailed
	case "Errored":
		return dag.WantErrored
	case "Skipped":
		return dag.WantSkipped
	case "Omitted":
		return dag.WantOmitted
	case "Daemoned":
		return dag.WantDaemoned
	case "AnySucceeded":
		return dag.WantAnySucceeded
	case "AllFailed":
		return dag.WantAllFailed
	}
	return dag.WantPlain
}

// inputs works out the parameters of a template from the arguments of a call: as passed, or else the parameter's own
// value, or else its default.
func (p *program) inputs(t *template, args []argument, sc *scope, strict bool) (map[string]string, error) {
	if len(t.inputs) == 0 {
		for i := range args { // as in Argo, what cannot be resolved is an error even where nobody wants it
			if _, err := sc.fill(&args[i].value, strict); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	given := make(map[string]string, len(args))
	for i := range args {
		v, err := sc.fill(&args[i].value, strict)
		if err != nil {
			return nil, err
		}
		given[args[i].name] = v
	}
	in := make(map[string]string, len(t.inputs))
	var open []input
	for _, i := range t.inputs {
		v, ok := given[i.name]
		switch {
		case ok:
			in[i.name] = v
		case i.value != nil || i.fallback != nil:
			open = append(open, i)
		default:
			return nil, fmt.Errorf("inputs.parameters.%s was not supplied", i.name)
		}
	}
	inner := &scope{p: p, run: sc.run, tmpl: t, instance: -1, inputs: in, own: -1, stage: -1}
	for _, i := range open {
		from := i.value
		if from == nil {
			from = i.fallback
		}
		v, err := inner.fill(from, false)
		if err != nil {
			return nil, err
		}
		in[i.name] = v
	}
	return in, nil
}

// nodePolicy is the policy of a node whose inputs are known.
func (p *program) nodePolicy(t *template, k *call, inputs map[string]string) (*dag.Policy, error) {
	if !templated(t.src) {
		return p.policy(t, k, nil)
	}
	return p.policy(t, k, &scope{p: p, tmpl: t, instance: -1, inputs: inputs, own: -1, stage: -1})
}
