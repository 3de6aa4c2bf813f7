package dag

// outcome tests one atom of the condition d: whether node i, which is settled for d, has what is wanted.
func (r *Run) outcome(d *Depends, i int32, want Want) bool {
	n := r.nodes[i]
	succeeded := n.Status == Completed || n.Status == Prepared || n.Promised && !contains(d.Cancel, i)
	failed := n.Status == Failed && !n.errored() || n.Status == Cancelled
	errored := n.Status == Failed && n.errored()
	var has Want
	set := func(ok bool, w Want) {
		if ok {
			has |= w
		}
	}
	set(succeeded || n.Status == Skipped || r.continues(n, failed, errored), WantPlain)
	set(succeeded, WantSucceeded)
	set(failed, WantFailed)
	set(errored, WantErrored)
	set(n.Status == Skipped, WantSkipped)
	set(n.Status == Omitted, WantOmitted)
	set(n.Status == Prepared, WantDaemoned)
	if want&(WantAnySucceeded|WantAllFailed) != 0 {
		set(r.instances(n, false), WantAnySucceeded)
		set(r.instances(n, true), WantAllFailed)
	}
	return has&want != 0
}

func (n *Node) errored() bool { return n.Failure != nil && n.Failure.Errored }

// continues reports whether the node's continueOn lets others go on after such an end.
func (r *Run) continues(n *Node, failed, errored bool) bool {
	p := n.Spec.Policy
	return p != nil && (failed && p.ContinueFailed || errored && p.ContinueErrored)
}

// continuesOn is continues for the node's own end.
func (r *Run) continuesOn(n *Node) bool {
	return r.continues(n, n.Status == Failed && !n.errored() || n.Status == Cancelled, n.Status == Failed && n.errored())
}

// instances tests the children of a fan-out: whether all of them failed, or whether any succeeded.
func (r *Run) instances(n *Node, allFailed bool) bool {
	if n.Spec.Kind != KindFanOut || len(n.children) == 0 {
		if allFailed {
			return n.Status == Failed
		}
		return n.Status == Completed
	}
	for _, c := range n.children {
		k := r.nodes[c]
		if k.Spec.HookOf != 0 {
			continue
		}
		if allFailed && k.Status != Failed {
			return false
		}
		if !allFailed && k.Status == Completed {
			return true
		}
	}
	return allFailed
}

// satisfied evaluates a condition whose nodes are all settled for the node it belongs to.
func (r *Run) satisfied(d *Depends) bool {
	if d.Expr != nil {
		return r.eval(d, d.Expr)
	}
	for _, i := range d.On {
		if !r.outcome(d, i, WantPlain) {
			return false
		}
	}
	return true
}

func (r *Run) eval(d *Depends, e *Expr) bool {
	switch e.Op {
	case OpAnd:
		for _, s := range e.Sub {
			if !r.eval(d, s) {
				return false
			}
		}
		return true
	case OpOr:
		for _, s := range e.Sub {
			if r.eval(d, s) {
				return true
			}
		}
		return false
	case OpNot:
		return len(e.Sub) == 1 && !r.eval(d, e.Sub[0])
	default:
		return r.outcome(d, e.Node, e.Want)
	}
}

// settledFor reports whether node i is settled as far as dependent d is concerned: it has ended, or it has promised its
// data and d asks for no more than that.
func (r *Run) settledFor(i int32, d *Node) bool {
	n := r.nodes[i]
	return n.settled || r.promisedTo(n, i, d)
}

// promisedTo reports whether a promise of n counts for d. On an edge that is cancelled with its source, only the
// promise of the current attempt does.
func (r *Run) promisedTo(n *Node, i int32, d *Node) bool {
	if !n.Promised || !onlyGood(&d.Spec.Depends, i) {
		return false
	}
	current := n.Status == Prepared || n.Status == Completed && n.PreparedAt > 0
	return current || !contains(d.Spec.Depends.Cancel, i)
}

// onlyGood reports whether the condition asks nothing of node i but that it succeeded.
func onlyGood(d *Depends, i int32) bool {
	if d.Expr == nil {
		return true
	}
	good := true
	var walk func(e *Expr)
	walk = func(e *Expr) {
		if e.Op == OpAtom && e.Node == i && e.Want&(WantSucceeded|WantPlain|WantDaemoned) == 0 {
			good = false
		}
		for _, s := range e.Sub {
			walk(s)
		}
	}
	walk(d.Expr)
	return good
}

func contains(list []int32, v int32) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}
