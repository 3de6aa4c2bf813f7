package dag

import (
	"fmt"
	"sort"
	"strings"
)

// suspend puts a hold on a node and on everything that depends on it, directly or not.
func (r *Run) suspend(e Suspend) error {
	n := r.nodes[e.Node]
	for _, h := range r.task.Holds {
		if h.Root == e.Node {
			return &Refusal{Reason: fmt.Sprintf("%q is suspended already, by %s", n.Spec.ID, orSomebody(h.Who)), Hint: "continue it first"}
		}
	}
	switch {
	case r.task.Status.Terminal():
		return &Refusal{Reason: fmt.Sprintf("task %q has ended (%s)", r.task.Name, r.task.Status)}
	case n.Status.Terminal():
		return &Refusal{Reason: fmt.Sprintf("%q has ended (%s)", n.Spec.ID, n.Status)}
	case n.Status == Cancelling:
		return &Refusal{Reason: fmt.Sprintf("%q is being stopped", n.Spec.ID)}
	case n.Status.Active() && !n.Spec.Kind.Group() && e.Hold.Mode == HoldStart:
		return &Refusal{
			Reason: fmt.Sprintf("%q is %s already", n.Spec.ID, n.Status),
			Hint:   "mode drain holds what depends on it and lets it end; mode requeue stops it and runs it again after continue",
		}
	}
	h := e.Hold
	h.Since = e.At
	r.hold(e.Node, h)
	return nil
}

func orSomebody(who string) string {
	if who == "" {
		return "somebody"
	}
	return who
}

func (r *Run) hold(root int32, h Hold) {
	h.Root = root
	n := r.nodes[root]
	drain := h.Mode == HoldDrain && n.Status.Active()
	requeue := h.Mode == HoldRequeue && n.Status.Active()
	r.log(Entry{Node: root, Stage: n.Spec.ID, Attempt: n.Attempt, Message: "suspended (" + h.Mode.String() + ")" + because(h.Why), Who: h.Who})
	r.putHold(h, r.affected(root, !drain))
	if requeue {
		id := r.task.LastHold
		r.carryActive(root, id)
		r.stopTree(root, IntentRequeue, nil)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// carryActive lets stages that are about to be stopped carry the hold, so that they are SUSPEND once they have stopped.
func (r *Run) carryActive(i int32, id int64) {
	n := r.nodes[i]
	if n.Spec.Kind == KindStage && n.Status.Active() {
		n.Holds = append(n.Holds, id)
		r.carry(id, i)
		r.changed(i)
	}
	for _, c := range n.children {
		r.carryActive(c, id)
	}
}

// putHold records a hold and lets the nodes carry it, as far as their status allows.
func (r *Run) putHold(h Hold, nodes []int32) {
	r.task.LastHold++
	h.ID = r.task.LastHold
	r.task.Holds = append(r.task.Holds, h)
	r.step.delta.Header = true
	for _, i := range nodes {
		r.give(i, h.ID)
	}
}

// give lets a node carry a hold.
func (r *Run) give(i int32, id int64) {
	n := r.nodes[i]
	running := n.Spec.Kind.Group() && n.Status == Running
	if !n.Status.Launchable() && !running {
		return
	}
	for _, have := range n.Holds {
		if have == id {
			return
		}
	}
	n.Holds = append(n.Holds, id)
	r.carry(id, i)
	r.changed(i)
	if running || n.Status == Suspended {
		return
	}
	n.Ready = false
	r.move(i, Suspended, "", "")
	r.leave(n)
}

func (r *Run) carry(id int64, i int32) {
	if r.carriers == nil {
		r.carriers = make(map[int64][]int32)
	}
	r.carriers[id] = append(r.carriers[id], i)
}

// dropHolds lets a node that has ended carry nothing any more. The holds stay in force for others.
func (r *Run) dropHolds(i int32) {
	r.nodes[i].Holds = nil
}

// inherit lets a node that has just appeared carry the holds of its group, and of what it depends on.
func (r *Run) inherit(i int32) {
	n := r.nodes[i]
	if n.Spec.Parent == NoParent {
		return
	}
	for _, id := range r.nodes[n.Spec.Parent].Holds {
		r.give(i, id)
	}
}

// affected lists the node (if asked for), everything in it, and everything that depends on one of these or on a group
// around them.
func (r *Run) affected(root int32, include bool) []int32 {
	seen := make(map[int32]bool)
	var list, todo []int32
	push := func(i int32) {
		if !seen[i] {
			seen[i] = true
			todo = append(todo, i)
		}
	}
	climbed := make(map[int32]bool)
	follow := func(i int32) {
		for _, d := range r.nodes[i].dependents {
			push(d)
		}
		for p := r.nodes[i].Spec.Parent; p != NoParent && !climbed[p] && !seen[p]; p = r.nodes[p].Spec.Parent {
			climbed[p] = true
			for _, d := range r.nodes[p].dependents {
				push(d)
			}
		}
	}
	if include {
		push(root)
	} else {
		follow(root)
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		list = append(list, i)
		follow(i)
		for _, c := range r.nodes[i].children {
			push(c)
		}
	}
	sort.Slice(list, func(a, b int) bool { return list[a] < list[b] })
	return list
}

// resume removes the hold whose root is the node.
func (r *Run) resume(e Continue) error {
	for _, h := range r.task.Holds {
		if h.Root == e.Node {
			n := r.nodes[e.Node]
			r.log(Entry{Node: e.Node, Stage: n.Spec.ID, Attempt: n.Attempt, Message: "continued", Who: e.Who})
			r.release(h.ID, e.Who)
			return nil
		}
	}
	n := r.nodes[e.Node]
	if len(n.Holds) == 0 {
		return &Refusal{Reason: fmt.Sprintf("%q is not suspended (it is %s)", n.Spec.ID, n.Status)}
	}
	var roots []string
	for _, h := range r.HoldsOf(e.Node) {
		roots = append(roots, r.nodes[h.Root].Spec.ID)
	}
	return &Refusal{
		Reason: fmt.Sprintf("%q is held through %s", n.Spec.ID, strings.Join(roots, ", ")),
		Hint:   "continue that one",
	}
}

// release takes a hold away from everything that carries it.
func (r *Run) release(id int64, who string) {
	kept := r.task.Holds[:0]
	for _, h := range r.task.Holds {
		if h.ID != id {
			kept = append(kept, h)
		}
	}
	r.task.Holds = kept
	r.step.delta.Header = true
	free := r.carriers[id]
	delete(r.carriers, id)
	sort.Slice(free, func(a, b int) bool { return free[a] < free[b] })
	var freed []int32
	for _, i := range free {
		if r.uncarry(i, id) && r.nodes[i].Status == Suspended {
			freed = append(freed, i)
		}
	}
	for _, i := range freed {
		r.unsuspend(i, who)
	}
	for _, i := range freed {
		r.consider(i)
	}
}

// uncarry removes a hold from a node and reports whether it was the node's last.
func (r *Run) uncarry(i int32, id int64) bool {
	n := r.nodes[i]
	for k, have := range n.Holds {
		if have == id {
			n.Holds = append(n.Holds[:k:k], n.Holds[k+1:]...)
			if len(n.Holds) == 0 {
				n.Holds = nil
			}
			r.changed(i)
			return len(n.Holds) == 0
		}
	}
	return false
}

func (r *Run) unsuspend(i int32, who string) {
	n := r.nodes[i]
	switch {
	case n.Spec.Kind == KindGate && n.Expanded:
		n.Message = ""
		r.move(i, Completed, "opened", who)
	case n.RetryAt > r.step.now:
		r.move(i, Retrying, "", who)
	default:
		n.RetryAt = 0
		r.move(i, Waiting, "", who)
	}
}

// HoldsOf gives the holds that a node carries, oldest first.
func (r *Run) HoldsOf(i int32) []Hold {
	var list []Hold
	for _, id := range r.nodes[i].Holds {
		for _, h := range r.task.Holds {
			if h.ID == id {
				list = append(list, h)
			}
		}
	}
	return list
}
