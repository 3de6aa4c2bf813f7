package dag

import (
	"errors"
	"fmt"
)

// ErrTooLarge: the plan, or what it grew to at run time, exceeds its limits.
var ErrTooLarge = errors.New("plan is too large")

// New makes the run of a plan. Nothing of it starts before the Start event. The delta names the header and every node.
func New(p *Plan, x Expander, submitted Time) (*Run, Delta, error) {
	if len(p.Nodes) == 0 {
		return nil, Delta{}, fmt.Errorf("%w: plan %q has no nodes", ErrCorrupt, p.Name)
	}
	r := &Run{x: x, task: Task{
		Name: p.Task, Plan: p.Name, Form: p.Form, Labels: p.Labels, Params: p.Params, Priority: p.Priority,
		Submitted: submitted, Timeout: p.Timeout, Parallelism: p.Parallelism, Limits: p.Limits, OnExit: p.OnExit,
	}}
	if r.task.Limits.Nodes == 0 {
		r.task.Limits.Nodes = DefaultLimits.Nodes
	}
	if r.task.Limits.Depth == 0 {
		r.task.Limits.Depth = DefaultLimits.Depth
	}
	r.begin(submitted)
	r.reserve(len(p.Nodes))
	for i := range p.Nodes {
		if err := r.check(&p.Nodes[i], int32(i), int32(len(p.Nodes))); err != nil {
			return nil, Delta{}, err
		}
		r.append(&p.Nodes[i])
	}
	for i := range r.nodes {
		r.wire(int32(i))
	}
	r.step.delta.Header = true
	if p.Suspended {
		r.hold(0, Hold{Who: "plan", Why: "the plan starts suspended", Since: submitted})
	}
	r.refresh()
	d := r.finish()
	return r, d, nil
}

// check guards against specs that would break the run's arithmetic.
func (r *Run) check(s *NodeSpec, i, total int32) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: node %d (%s): %s", ErrCorrupt, i, s.ID, fmt.Sprintf(format, args...))
	}
	if total > r.task.Limits.Nodes {
		return fmt.Errorf("%w: %d nodes, at most %d are allowed", ErrTooLarge, total, r.task.Limits.Nodes)
	}
	if s.Parent != NoParent && (s.Parent < 0 || s.Parent >= i) {
		return bad("parent %d does not come before it", s.Parent)
	}
	if int(s.Kind) >= numKinds {
		return bad("unknown kind %d", s.Kind)
	}
	if s.HookOf < 0 || s.HookOf > total {
		return bad("is a hook of unknown node %d", s.HookOf-1)
	}
	for _, d := range s.Depends.On {
		if d < 0 || d >= total || d == i {
			return bad("depends on unknown node %d", d)
		}
	}
	return checkExpr(s.Depends.Expr, s.Depends.On, bad)
}

func checkExpr(e *Expr, on []int32, bad func(string, ...any) error) error {
	if e == nil {
		return nil
	}
	if e.Op == OpAtom && !contains(on, e.Node) {
		return bad("condition names node %d, which it does not depend on", e.Node)
	}
	for _, s := range e.Sub {
		if err := checkExpr(s, on, bad); err != nil {
			return err
		}
	}
	return nil
}

// reserve makes room for more nodes.
func (r *Run) reserve(n int) {
	if r.byID == nil {
		r.byID = make(map[string]int32, n)
		r.nodes = make([]*Node, 0, n)
	}
	if cap(r.slab)-len(r.slab) < n {
		r.slab = make([]Node, 0, n)
	}
}

// append adds a node without connections.
func (r *Run) append(s *NodeSpec) int32 {
	if len(r.slab) == cap(r.slab) {
		r.slab = make([]Node, 0, 64)
	}
	r.slab = append(r.slab, Node{Index: int32(len(r.nodes)), Spec: s})
	n := &r.slab[len(r.slab)-1]
	r.nodes = append(r.nodes, n)
	r.byID[s.ID] = n.Index
	r.task.Nodes++
	if !s.Kind.Group() {
		r.task.Stages++
	}
	r.count(n)
	r.step.delta.Header = true
	r.step.delta.Added = append(r.step.delta.Added, n.Index)
	r.step.marks[n.Index] |= markAdded
	return n.Index
}

// wire connects a node to those that it names. Every node that it names must have been appended.
func (r *Run) wire(i int32) {
	n := r.nodes[i]
	if p := n.Spec.Parent; p != NoParent {
		g := r.nodes[p]
		g.children = append(g.children, i)
		if !n.settled {
			g.openKids++
		}
		if m, ok := r.names[p]; ok && n.Spec.HookOf == 0 {
			m[n.Spec.Name] = i
		}
	}
	for _, d := range n.Spec.Depends.On {
		r.nodes[d].dependents = append(r.nodes[d].dependents, i)
		if !r.settledFor(d, n) {
			n.unsettled++
		}
	}
	if h := n.Spec.HookOf; h != 0 {
		r.nodes[h-1].hooks = append(r.nodes[h-1].hooks, i)
	}
}

// Load makes a run from what was stored: the header as AppendHeader, each node as AppendSpec and AppendState encoded it.
func Load(header []byte, nodes []Record, x Expander) (*Run, error) {
	t, err := DecodeHeader(header)
	if err != nil {
		return nil, err
	}
	r := &Run{x: x, task: *t}
	r.task.Nodes, r.task.Stages = 0, 0
	r.begin(0)
	r.reserve(len(nodes))
	policies := map[string]*Policy{}
	for i := range nodes {
		s, err := decodeSpec(nodes[i].Spec, policies)
		if err != nil {
			return nil, fmt.Errorf("node %d of task %q: %w", i, t.Name, err)
		}
		if err := r.check(s, int32(i), int32(len(nodes))); err != nil {
			return nil, err
		}
		n := r.nodes[r.append(s)]
		if len(nodes[i].State) > 0 {
			if err := decodeState(nodes[i].State, &n.NodeState); err != nil {
				return nil, fmt.Errorf("node %q of task %q: %w", s.ID, t.Name, err)
			}
		}
	}
	if int32(len(nodes)) != t.Nodes {
		return nil, fmt.Errorf("%w: task %q has %d nodes of %d", ErrCorrupt, t.Name, len(nodes), t.Nodes)
	}
	r.rebuild()
	r.step.delta = Delta{} // loading changes nothing
	return r, nil
}

// rebuild computes everything that follows from specs and states.
func (r *Run) rebuild() {
	r.names, r.carriers, r.waitlist, r.places = nil, nil, nil, 0
	r.task.Counts, r.idle = [numStatuses]int32{}, [numStatuses]int32{}
	for _, n := range r.nodes {
		n.children, n.dependents, n.hooks, n.waitlist = n.children[:0], n.dependents[:0], n.hooks[:0], nil
		n.unsettled, n.openKids, n.places, n.placed = 0, 0, 0, false
		n.settled = false
		r.count(n)
		for _, h := range n.Holds {
			r.carry(h, n.Index)
		}
	}
	for _, n := range r.nodes {
		if h := n.Spec.HookOf; h != 0 {
			r.nodes[h-1].hooks = append(r.nodes[h-1].hooks, n.Index)
		}
	}
	for _, n := range r.nodes {
		n.settled = r.endedWithHooks(n)
		n.hooks = n.hooks[:0] // wire fills it again
	}
	for i := range r.nodes {
		r.wire(int32(i))
	}
	for _, n := range r.nodes {
		if n.takesPlace() {
			r.take(n)
		}
	}
	for _, n := range r.nodes { // all places are known now, so everybody joins the right line
		if !n.placed && r.eligible(n) {
			r.enqueue(n)
		}
	}
}

// takesPlace reports whether the state of a node means that it has a place of the parallelism limits.
func (n *Node) takesPlace() bool {
	switch n.Status {
	case Launching, Running, Cancelling:
		return true
	case Waiting:
		return n.Ready
	}
	return false
}

// endedWithHooks reports whether the node and all hooks that it fired have ended.
func (r *Run) endedWithHooks(n *Node) bool {
	if !n.Status.Terminal() {
		return false
	}
	for _, h := range n.hooks {
		if !r.nodes[h].Status.Terminal() {
			return false
		}
	}
	return true
}

// adopt adds the nodes that an expansion made. group is what SelfParent stands for.
func (r *Run) adopt(specs []NodeSpec, group int32) ([]int32, error) {
	base := int32(len(r.nodes))
	resolve := func(v int32) int32 {
		if v <= -2 && v != SelfParent {
			return base + (-v - 2)
		}
		return v
	}
	total := base + int32(len(specs))
	for k := range specs {
		s := &specs[k]
		if s.Parent == SelfParent {
			s.Parent = group
		} else {
			s.Parent = resolve(s.Parent)
		}
		for j := range s.Depends.On {
			s.Depends.On[j] = resolve(s.Depends.On[j])
		}
		for j := range s.Depends.Cancel {
			s.Depends.Cancel[j] = resolve(s.Depends.Cancel[j])
		}
		resolveExpr(s.Depends.Expr, resolve)
		if err := r.check(s, base+int32(k), total); err != nil {
			return nil, err
		}
		if _, taken := r.byID[s.ID]; taken {
			return nil, fmt.Errorf("%w: stage id %q twice", ErrCorrupt, s.ID)
		}
	}
	if group != NoParent && len(specs) > 0 {
		if d := r.depth(group) + 1; d > r.task.Limits.Depth {
			return nil, fmt.Errorf("%w: groups inside groups %d deep, at most %d are allowed", ErrTooLarge, d, r.task.Limits.Depth)
		}
	}
	r.reserve(len(specs))
	added := make([]int32, len(specs))
	for k := range specs {
		added[k] = r.append(&specs[k])
	}
	for _, i := range added {
		r.wire(i)
	}
	for _, i := range added {
		r.inherit(i)
	}
	return added, nil
}

func resolveExpr(e *Expr, resolve func(int32) int32) {
	if e == nil {
		return
	}
	if e.Op == OpAtom {
		e.Node = resolve(e.Node)
	}
	for _, s := range e.Sub {
		resolveExpr(s, resolve)
	}
}

func (r *Run) depth(i int32) (d int32) {
	for i != NoParent {
		d++
		i = r.nodes[i].Spec.Parent
	}
	return d
}
