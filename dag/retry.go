package dag

import (
	"fmt"
	"maps"
	"slices"
	"sort"
)

// RetryPlan says what RetryTask would do: the stages that would run again, and the completed ones that stay. With nodes,
// only these and what depends on them are run again. It changes nothing.
func (r *Run) RetryPlan(nodes []int32) (reset, kept []int32, err error) {
	set, err := r.resetSet(nodes)
	if err != nil {
		return nil, nil, err
	}
	for i, n := range r.nodes {
		switch {
		case n.Spec.Kind.Group():
		case inSet(set, int32(i)):
			reset = append(reset, int32(i))
		case n.Status == Completed:
			kept = append(kept, int32(i))
		}
	}
	return reset, kept, nil
}

func inSet(set resetSet, i int32) bool {
	_, in := set[i]
	return in
}

// resetSet says which nodes run again: those that failed, were cancelled or cut off, and what depends on them. The value
// is true for nodes that start from nothing; a group that failed itself merely goes on where it stopped.
type resetSet map[int32]bool

func (r *Run) resetSet(nodes []int32) (resetSet, error) {
	set := make(resetSet)
	var todo []int32
	push := func(i int32, whole bool) {
		if was, in := set[i]; !in || whole && !was {
			set[i] = whole
			todo = append(todo, i)
		}
	}
	if err := r.retryRoots(nodes, push); err != nil {
		return nil, err
	}
	if len(todo) == 0 {
		return nil, &Refusal{Reason: fmt.Sprintf("task %q has nothing to retry: no stage failed, was cancelled or omitted", r.task.Name)}
	}
	climbed := make(map[int32]bool)
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r.resetFollows(i, set[i], climbed, push)
	}
	for _, i := range slices.Sorted(maps.Keys(set)) { // in order, so that the same is refused for the same reason
		if err := r.resettable(r.nodes[i], set[i]); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// resettable refuses what is still on its way to its end.
func (r *Run) resettable(n *Node, whole bool) error {
	switch {
	case r.beingStopped(n.Spec.Parent):
		return &Refusal{Reason: fmt.Sprintf("the group that %q is in is being stopped", n.Spec.ID), Hint: "retry it when that has ended"}
	case n.Live && n.Status.Terminal():
		return &Refusal{Reason: fmt.Sprintf("%q is %s, and its attempt has not ended yet", n.Spec.ID, n.Status), Hint: "retry it when that has ended"}
	case n.Live || n.Status.Active() && (whole || !n.Spec.Kind.Group()):
		return &Refusal{
			Reason: fmt.Sprintf("%q depends on what would run again, and has not ended yet (it is %s)", n.Spec.ID, n.Status),
			Hint:   "wait for its end, or cancel it",
		}
	}
	return nil
}

func (r *Run) retryRoots(nodes []int32, push func(int32, bool)) error {
	repeatable := func(n *Node) bool { return n.Status == Failed || n.Status == Cancelled || n.Status == Omitted }
	for _, i := range nodes {
		if i < 0 || i >= int32(len(r.nodes)) {
			return fmt.Errorf("%w: index %d", ErrUnknownNode, i)
		}
		if n := r.nodes[i]; !repeatable(n) || r.inSkipped(n) {
			return &Refusal{Reason: fmt.Sprintf("%q is %s; only what failed, was cancelled or omitted can be retried", n.Spec.ID, n.Status)}
		}
		push(i, false)
	}
	if len(nodes) > 0 {
		return nil
	}
	for i, n := range r.nodes {
		if repeatable(n) && !r.keptAsItWas(n) && !r.inSkipped(n) && (n.Status != Omitted || r.cutOff(n)) {
			push(int32(i), false)
		}
	}
	return nil
}

// cutOff reports whether an OMITTED node would have run, had the group around it not ended first. One that was omitted
// for its own condition runs again only where something that it depends on does.
func (r *Run) cutOff(n *Node) bool {
	if p := n.Spec.Parent; p != NoParent {
		if s := r.nodes[p].Status; s == Skipped || s == Omitted {
			return false // the group decides
		}
	}
	return r.satisfied(&n.Spec.Depends)
}

// inSkipped reports whether a group around the node was skipped.
func (r *Run) inSkipped(n *Node) bool {
	for p := n.Spec.Parent; p != NoParent; p = r.nodes[p].Spec.Parent {
		if r.nodes[p].Status == Skipped {
			return true
		}
	}
	return false
}

// keptAsItWas reports whether the node is in a try of a KindRetry group, which has a new try instead, or is (in) a hook:
// hooks have fired, and do not fire again.
func (r *Run) keptAsItWas(n *Node) bool {
	for {
		if n.Spec.HookOf != 0 {
			return true
		}
		if n.Spec.Parent == NoParent {
			return false
		}
		n = r.nodes[n.Spec.Parent]
		if n.Spec.Kind == KindRetry {
			return true
		}
	}
}

// resetFollows pushes what has to run again because node i does.
func (r *Run) resetFollows(i int32, whole bool, climbed map[int32]bool, push func(int32, bool)) {
	n := r.nodes[i]
	for _, d := range n.dependents {
		push(d, true)
	}
	goesOn := !whole && reopens(n)
	for _, c := range n.children {
		k := r.nodes[c]
		switch {
		case n.Spec.Kind == KindRetry || k.Spec.HookOf != 0:
		case !goesOn:
			push(c, true)
		case k.Status == Failed || k.Status == Cancelled || k.Status == Omitted && r.cutOff(k):
			push(c, false)
		}
	}
	if p := n.Spec.Parent; p != NoParent && r.nodes[p].Status == Omitted {
		push(p, false)
	}
	for p := n.Spec.Parent; p != NoParent && !climbed[p]; p = r.nodes[p].Spec.Parent {
		climbed[p] = true
		for _, d := range r.nodes[p].dependents {
			push(d, true)
		}
	}
}

// reopens reports whether a group goes on where it stopped: what completed in it is kept.
func reopens(n *Node) bool {
	return n.Spec.Kind.Group() && n.Expanded && n.Started > 0 && (n.Status == Failed || n.Status == Cancelled)
}

// retry runs the reset set again.
func (r *Run) retry(e RetryTask) error {
	if r.task.Stop != nil && !r.task.Status.Terminal() {
		return &Refusal{Reason: fmt.Sprintf("task %q is being stopped", r.task.Name), Hint: "retry it when it has ended"}
	}
	for _, h := range r.nodes[0].hooks {
		if r.busy(h) {
			return &Refusal{Reason: fmt.Sprintf("a hook of task %q has not ended", r.task.Name), Hint: "retry it when it has"}
		}
	}
	if x := r.task.ExitNode; x != 0 && r.busy(x) {
		return &Refusal{Reason: fmt.Sprintf("the exit handler of task %q has not ended", r.task.Name), Hint: "retry it when it has"}
	}
	set, err := r.resetSet(e.Nodes)
	if err != nil {
		return err
	}
	order := make([]int32, 0, len(set))
	for i := range set {
		order = append(order, i)
	}
	sort.Slice(order, func(a, b int) bool { return order[a] < order[b] })
	r.log(Entry{Node: -1, Message: fmt.Sprintf("retried: %d nodes run again", len(order)), Who: e.Who})
	r.reopenTask()
	var tries []int32
	for _, i := range order {
		if r.reset(i, set[i], e.Who) {
			tries = append(tries, i)
		}
		r.reopenAround(i, e.Who)
	}
	if x := r.task.ExitNode; x != 0 {
		r.resetTree(x, e.Who)
	}
	r.rebuild()
	for _, i := range tries {
		r.nextTry(i)
	}
	for i := range r.nodes {
		if n := r.nodes[i]; n.Status == Waiting {
			r.consider(int32(i))
		} else if n.Status == Running && n.Spec.Kind.Group() && n.openKids == 0 {
			r.finishGroup(int32(i))
		}
	}
	return nil
}

func (r *Run) reopenTask() {
	t := &r.task
	t.Stop, t.Ended, t.Message = nil, 0, ""
	if t.Timeout > 0 {
		t.Due = r.step.now + Time(t.Timeout)
	}
	if t.Status.Terminal() {
		r.setTask(TaskRunning, "")
	}
	r.step.delta.Header = true
}

// reset makes one node as if it had not run, but for the number of its attempts. It reports whether the node is a
// KindRetry group that needs another try.
func (r *Run) reset(i int32, whole bool, who string) bool {
	n := r.nodes[i]
	if !n.Status.Terminal() {
		if n.Ready { // it has to wait again for what it depends on
			n.Ready = false
			r.changed(i)
		}
		return false
	}
	if !whole && reopens(n) {
		r.reopen(i, who)
		return n.Spec.Kind == KindRetry
	}
	started := n.Launched > 0
	keep := NodeState{Status: n.Status, Attempt: n.Attempt, History: n.History}
	if n.Spec.Kind.Group() {
		keep.Expanded = n.Expanded && len(n.children) > 0 && n.Spec.Kind != KindRetry
		keep.Tries, keep.TriesBase = n.Tries, n.Tries
	}
	if started {
		keep.Attempt++
	}
	n.NodeState = keep
	r.move(i, Waiting, "", who)
	return false
}

// reopen lets a group that had ended go on.
func (r *Run) reopen(i int32, who string) {
	n := r.nodes[i]
	n.Failure, n.Message, n.Outputs, n.Intent, n.Ended, n.Due, n.RetryAt = nil, "", nil, IntentNone, 0, 0, 0
	if n.Spec.Kind == KindRetry {
		n.Tries++
		n.TriesBase = n.Tries
	}
	if p := n.Spec.Policy; p != nil && p.Timeout > 0 {
		n.Due = r.step.now + Time(p.Timeout)
	}
	r.move(i, Running, "", who)
}

// reopenAround opens the groups around a node that runs again.
func (r *Run) reopenAround(i int32, who string) {
	for p := r.nodes[i].Spec.Parent; p != NoParent; p = r.nodes[p].Spec.Parent {
		switch r.nodes[p].Status {
		case Failed, Cancelled, Completed:
			r.reopen(p, who)
		}
	}
}

// busy reports whether something in a node may still exist outside.
func (r *Run) busy(i int32) bool {
	n := r.nodes[i]
	if n.Live || n.Status.Active() {
		return true
	}
	for _, c := range n.children {
		if r.busy(c) {
			return true
		}
	}
	return false
}

// resetTree makes a node and everything in it as if it had not run.
func (r *Run) resetTree(i int32, who string) {
	n := r.nodes[i]
	if n.Status.Terminal() {
		r.reset(i, true, who)
	}
	for _, c := range n.children {
		r.resetTree(c, who)
	}
}
