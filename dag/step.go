package dag

import "fmt"

// Step applies one event. A *Refusal or ErrUnknownNode means that nothing changed. Any other error means that the run
// cannot be relied on any more and has to be loaded again from what was stored.
func (r *Run) Step(ev Event) (Delta, error) {
	at, node := when(ev)
	r.begin(at)
	if outside := node < 0 && !mayBeTask(ev); outside || node >= int32(len(r.nodes)) {
		return Delta{}, fmt.Errorf("%w: index %d", ErrUnknownNode, node)
	}
	if err := r.apply(ev); err != nil {
		return Delta{}, err
	}
	r.drain()
	r.refresh()
	d := r.finish()
	if r.step.fault != nil {
		return Delta{}, r.step.fault
	}
	return d, nil
}

// mayBeTask reports whether a negative node of the event stands for the task.
func mayBeTask(ev Event) bool {
	switch ev.(type) {
	case Cancel, Tick:
		return true
	}
	return false
}

func when(ev Event) (Time, int32) {
	switch e := ev.(type) {
	case Start:
		return e.At, 0
	case Grant:
		return e.At, e.Node
	case Report:
		return e.At, e.Node
	case Observed:
		return e.At, e.Node
	case Suspend:
		return e.At, e.Node
	case Continue:
		return e.At, e.Node
	case Cancel:
		return e.At, e.Node
	case SkipStage:
		return e.At, e.Node
	case RetryTask:
		return e.At, 0
	case Tick:
		return e.At, e.Node
	}
	return 0, 0
}

func (r *Run) apply(ev Event) error {
	switch e := ev.(type) {
	case Start:
		return r.start()
	case Grant:
		return r.grant(e.Node)
	case Report:
		return r.report(e)
	case Observed:
		return r.observed(e)
	case Suspend:
		return r.suspend(e)
	case Continue:
		return r.resume(e)
	case Cancel:
		return r.cancel(e)
	case SkipStage:
		return r.skip(e)
	case RetryTask:
		return r.retry(e)
	case Tick:
		return r.tick(e.Node)
	}
	return fmt.Errorf("unknown event %T", ev)
}

func (r *Run) begin(now Time) {
	r.step.now = now
	r.step.delta = Delta{}
	r.step.fault = nil
	r.step.ended, r.step.moved, r.step.freed = r.step.ended[:0], r.step.moved[:0], r.step.freed[:0]
	if r.step.marks == nil || len(r.step.marks) > 64 { // clearing a map costs what it once held
		r.step.marks = make(map[int32]mark)
	}
	clear(r.step.marks)
}

func (r *Run) finish() Delta {
	d := r.step.delta
	if !d.Empty() {
		r.task.Seq++
		d.Header = true
	}
	r.step.delta = Delta{}
	return d
}

// start makes the entry ready.
func (r *Run) start() error {
	if r.nodes[0].Expanded || r.nodes[0].Status.Terminal() {
		return nil
	}
	if r.task.Timeout > 0 {
		r.task.Due = r.step.now + Time(r.task.Timeout)
	}
	r.step.delta.Header = true
	r.consider(0)
	return nil
}

// drain passes on what has ended until nothing more follows from it. It is a loop and not a recursion, so that the
// longest chain costs no stack.
func (r *Run) drain() {
	for r.step.fault == nil {
		switch {
		case len(r.step.moved) > 0:
			i := r.step.moved[0]
			r.step.moved = r.step.moved[1:]
			r.askHooks(i)
		case len(r.step.ended) > 0:
			i := r.step.ended[0]
			r.step.ended = r.step.ended[1:]
			r.settle(i)
		case len(r.step.freed) > 0:
			b := r.step.freed[0]
			r.step.freed = r.step.freed[1:]
			r.refill(b)
		default:
			return
		}
	}
}

// settle tells the dependents and the group of a node that it has ended, once its hooks have as well.
func (r *Run) settle(i int32) {
	n := r.nodes[i]
	r.leave(n) // its hooks may want the place
	if n.settled || !r.endedWithHooks(n) {
		return
	}
	n.settled = true
	for _, d := range n.dependents {
		dn := r.nodes[d]
		if !r.promisedTo(n, i, dn) { // a promise was counted when it was given
			dn.unsettled--
		}
		r.consider(d)
	}
	if h := n.Spec.HookOf; h != 0 {
		r.settle(h - 1)
	}
	switch p := n.Spec.Parent; {
	case p != NoParent:
		g := r.nodes[p]
		g.openKids--
		r.childEnded(g, n)
	default:
		r.rootEnded(i)
	}
}

// rootEnded goes on after the entry or the exit handler has ended.
func (r *Run) rootEnded(i int32) {
	if i == 0 && r.task.OnExit && (r.task.Stop == nil || r.task.Stop.Handlers) {
		r.runExitHandler()
	}
	if e := r.task.ExitNode; r.nodes[0].settled && (e == 0 || r.nodes[e].settled) {
		r.conclude()
	}
}

// conclude ends the task.
func (r *Run) conclude() {
	root, t := r.nodes[0], &r.task
	if t.Status.Terminal() {
		return
	}
	status, message := TaskCompleted, ""
	switch root.Status {
	case Failed:
		status, message = TaskFailed, r.withCause(0)
	case Cancelled:
		status, message = TaskCancelled, root.Message
	}
	if e := t.ExitNode; e != 0 && status == TaskCompleted {
		if h := r.nodes[e]; h.Status == Failed || h.Status == Cancelled {
			status, message = TaskFailed, r.withCause(e)
		}
	}
	if t.Stop != nil {
		status, message = TaskCancelled, t.Stop.Why
		if t.Stop.Timeout {
			status = TaskFailed
		}
	}
	r.setTask(status, message)
	t.Ended = r.step.now
	t.Due = 0
}

func (r *Run) setTask(to TaskStatus, message string) {
	t := &r.task
	if t.Status == to {
		return
	}
	who := ""
	if t.Stop != nil && to == TaskCancelled {
		who = t.Stop.Who
	}
	r.log(Entry{Node: -1, From: t.Status.String(), To: to.String(), Message: message, Who: who})
	t.Status, t.Message = to, message
	r.step.delta.Header = true
}

// refresh computes the task's status where it has not ended: it is suspended while nothing runs and all that is left is
// held.
func (r *Run) refresh() {
	t := &r.task
	if t.Status.Terminal() {
		return
	}
	busy := r.idle[Launching] + r.idle[Running] + r.idle[Prepared] + r.idle[Cancelling] + r.idle[Waiting] + r.idle[Retrying]
	switch {
	case busy == 0 && r.idle[Suspended] > 0:
		r.setTask(TaskSuspended, "")
	case t.Started == 0:
		r.setTask(TaskNew, "")
	default:
		r.setTask(TaskRunning, "")
	}
}

// began notes that something of the task was launched.
func (r *Run) began() {
	if r.task.Started == 0 {
		r.task.Started = r.step.now
		r.step.delta.Header = true
	}
}
