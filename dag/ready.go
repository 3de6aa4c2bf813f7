package dag

// eligible reports whether a node waits for nothing but a place: its group runs, its dependencies are settled and it is
// not held.
func (r *Run) eligible(n *Node) bool {
	if n.Status != Waiting || n.unsettled > 0 || len(n.Holds) > 0 {
		return false
	}
	switch {
	case n.Spec.Parent != NoParent:
		g := r.nodes[n.Spec.Parent]
		return g.Status == Running && g.Intent == IntentNone
	case n.Index == 0, n.Spec.HookOf != 0:
		return true
	default: // the exit handler
		return r.nodes[0].settled
	}
}

// consider looks at a node for which something may have changed, and does what follows: it is omitted, takes a place,
// or waits on.
func (r *Run) consider(i int32) {
	n := r.nodes[i]
	if !n.Status.Launchable() || n.unsettled > 0 || n.Ready {
		return
	}
	if p := n.Spec.Parent; p != NoParent && r.nodes[p].Status != Running {
		return
	}
	if len(n.Spec.Depends.On) > 0 && !r.satisfied(&n.Spec.Depends) {
		r.omit(i, "omitted: depends condition not met")
		return
	}
	if !r.eligible(n) || n.placed {
		return
	}
	if !r.placeFree(n) {
		r.enqueue(n)
		return
	}
	r.take(n)
	r.begins(i)
}

// omit ends a node that can never run, with everything in it.
func (r *Run) omit(i int32, why string) {
	r.endUnlaunched(i, Omitted, why, "")
}

// endUnlaunched gives a node that was not launched a terminal status, and omits what is in it.
func (r *Run) endUnlaunched(i int32, to Status, why, who string) {
	n := r.nodes[i]
	n.Message = why
	r.move(i, to, why, who)
	for _, c := range n.children {
		if r.nodes[c].Status.Launchable() {
			r.omit(c, "omitted: the group it is in did not run")
		}
	}
}

// boundary is the group whose parallelism a node falls under, or NoParent: the dag or steps of its template. Step
// groups, loops and tries are transparent, as in Argo.
func (r *Run) boundary(n *Node) int32 {
	if n.Spec.Kind == KindStepGroup || n.Spec.Kind == KindFanOut {
		return NoParent
	}
	p := n.Spec.Parent
	for p != NoParent {
		switch r.nodes[p].Spec.Kind {
		case KindStepGroup, KindFanOut:
			p = r.nodes[p].Spec.Parent
			continue
		case KindRetry:
			return NoParent // the retry group has the place of its tries
		}
		return p
	}
	return NoParent
}

func (r *Run) limitOf(b int32) int32 {
	if b == NoParent || r.nodes[b].Spec.Policy == nil {
		return 0
	}
	return r.nodes[b].Spec.Policy.Parallelism
}

// placeFree reports whether the limits of the plan leave room for the node.
func (r *Run) placeFree(n *Node) bool {
	if b := r.boundary(n); b != NoParent && r.full(b) {
		return false
	}
	return n.Spec.Kind != KindStage || !r.full(NoParent)
}

// enqueue puts a node in the line of the limit that is reached.
func (r *Run) enqueue(n *Node) {
	if b := r.boundary(n); b != NoParent && r.full(b) {
		r.nodes[b].waitlist.push(n.Index)
		return
	}
	r.waitlist.push(n.Index)
}

func (r *Run) take(n *Node) {
	n.placed = true
	if b := r.boundary(n); b != NoParent {
		r.nodes[b].places++
	}
	if n.Spec.Kind == KindStage {
		r.places++
	}
}

// leave gives the node's place back. Who is next in line is looked at when the event has been applied.
func (r *Run) leave(n *Node) {
	if !n.placed {
		return
	}
	n.placed = false
	if b := r.boundary(n); b != NoParent {
		r.nodes[b].places--
		if r.limitOf(b) > 0 {
			r.step.freed = append(r.step.freed, b)
		}
	}
	if n.Spec.Kind == KindStage {
		r.places--
		if r.task.Parallelism > 0 {
			r.step.freed = append(r.step.freed, NoParent)
		}
	}
}

// refill lets those who wait for a place of a group (or of the task: NoParent) have what is free. Entries of a line may
// be stale: they are looked at again.
func (r *Run) refill(b int32) {
	line := &r.waitlist
	if b != NoParent {
		line = &r.nodes[b].waitlist
	}
	for {
		i, ok := line.pop()
		if !ok {
			return
		}
		n := r.nodes[i]
		if !r.eligible(n) || n.placed {
			continue
		}
		if r.placeFree(n) {
			r.consider(i)
			continue
		}
		r.enqueue(n)
		if r.full(b) {
			return
		} // else it has joined the other line: the next one may still go
	}
}

// full reports whether the limit of a group (NoParent: of the task) is reached.
func (r *Run) full(b int32) bool {
	if b == NoParent {
		return r.task.Parallelism > 0 && r.places >= r.task.Parallelism
	}
	return r.limitOf(b) > 0 && r.nodes[b].places >= r.limitOf(b)
}

// begins makes a node that has its place do what its kind does.
func (r *Run) begins(i int32) {
	n := r.nodes[i]
	if n.Spec.Deferred && !n.Expanded && !r.expand(i) {
		return
	}
	switch n.Spec.Kind {
	case KindStage:
		n.Ready = true
		r.changed(i)
	case KindGate:
		r.openGate(i)
	default:
		r.startGroup(i)
	}
}

// openGate makes a gate wait: it carries a hold of its own until somebody continues it or its time is over.
func (r *Run) openGate(i int32) {
	n := r.nodes[i]
	r.began()
	n.Expanded = true
	n.Started = r.step.now
	h := Hold{Root: i, Who: "plan", Why: "the plan waits here", Since: r.step.now}
	if p := n.Spec.Policy; p != nil && p.GateFor > 0 {
		h.Until = r.step.now + Time(p.GateFor)
		h.Why = "the plan waits here for a time"
	}
	r.leave(n)
	r.putHold(h, []int32{i})
}
