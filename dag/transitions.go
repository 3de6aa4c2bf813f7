package dag

import "fmt"

// Transition is one line of the table of what can happen to a node.
type Transition struct {
	From []Status
	To   Status
	// Why names what makes it happen.
	Why string
}

var launchable = []Status{Waiting, Retrying, Suspended}

// transitions is everything that can happen to a node's status. The diagram in ARCHITECTURE.md is generated from it; a
// change that is not in it is a fault of the core and is refused.
//
//nolint:gochecknoglobals // a constant table; Go has no constant slices
var transitions = []Transition{
	{[]Status{Waiting}, Launching, "granted a slot"},
	{[]Status{Waiting}, Running, "group: started"},
	{[]Status{Waiting, Retrying, Cancelling}, Suspended, "held"},
	{[]Status{Suspended}, Waiting, "last hold gone"},
	{[]Status{Suspended}, Retrying, "last hold gone, retry not due"},
	{[]Status{Launching}, Running, "attempt seen to run"},
	{[]Status{Launching, Running}, Prepared, "data prepared"},
	{[]Status{Launching, Running, Prepared}, Completed, "done"},
	{[]Status{Waiting, Suspended}, Completed, "gate: opened"},
	{[]Status{Launching, Running, Prepared, Cancelling}, Retrying, "attempt failed, retry left"},
	{[]Status{Retrying}, Waiting, "retry due"},
	{[]Status{Launching, Running, Prepared, Cancelling}, Failed, "attempt failed, no retry left"},
	{[]Status{Waiting}, Failed, "plan cannot be evaluated"},
	{[]Status{Launching, Running, Prepared}, Cancelling, "to be stopped"},
	{[]Status{Cancelling}, Cancelled, "stopped"},
	{launchable, Cancelled, "cancelled before launch"},
	{[]Status{Running}, Cancelled, "group: cancelled"},
	{[]Status{Running}, Omitted, "group: nothing of it could run"},
	{[]Status{Cancelling}, Waiting, "stopped to run again"},
	{launchable, Skipped, "condition false, or skipped by hand"},
	{launchable, Omitted, "can never run"},
	{[]Status{Completed, Failed, Cancelled, Skipped, Omitted}, Waiting, "task retried"},
	{[]Status{Completed, Failed, Cancelled}, Running, "group: task retried"},
}

// Transitions gives a copy of the table.
func Transitions() []Transition { return append([]Transition(nil), transitions...) }

//nolint:gochecknoglobals // computed once from the table above
var allowed = func() (m [numStatuses]uint16) {
	for _, t := range transitions {
		for _, f := range t.From {
			m[f] |= 1 << t.To
		}
	}
	return m
}()

// move is the only place where a node's status changes.
func (r *Run) move(i int32, to Status, message, who string) {
	n := r.nodes[i]
	from := n.Status
	if allowed[from]&(1<<to) == 0 {
		r.broken(fmt.Errorf("%w: node %q cannot go from %s to %s", ErrCorrupt, n.Spec.ID, from, to))
		return
	}
	r.uncount(n)
	n.Status = to
	r.count(n)
	if to != Waiting {
		n.Ready = false
	}
	r.changed(i)
	if from == Prepared && to != Completed {
		r.revoke(i)
	}
	r.log(Entry{Node: i, Stage: n.Spec.ID, From: from.String(), To: to.String(), Attempt: n.Attempt, Message: message, Who: who})
	if to.Terminal() {
		n.Ended = r.step.now
		n.RetryAt = 0
		n.Intent = IntentNone
		if n.Kept {
			r.endKept(n)
		}
		r.dropHolds(i)
		r.step.ended = append(r.step.ended, i)
	}
	if len(n.Spec.Hooks) > 0 {
		r.step.moved = append(r.step.moved, i)
	}
}

func (r *Run) broken(err error) {
	if r.step.fault == nil {
		r.step.fault = err
	}
}

// count and uncount keep the numbers of nodes per status.
func (r *Run) count(n *Node)   { r.tally(n, 1) }
func (r *Run) uncount(n *Node) { r.tally(n, -1) }

func (r *Run) tally(n *Node, d int32) {
	if !n.Spec.Kind.Group() {
		r.task.Counts[n.Status] += d
		r.step.delta.Header = true
	}
	if !n.Spec.Kind.Group() || n.Status != Running {
		r.idle[n.Status] += d
	}
}

func (r *Run) changed(i int32) {
	if r.step.marks[i]&(markAdded|markChanged) == 0 {
		r.step.delta.Changed = append(r.step.delta.Changed, i)
		r.step.marks[i] |= markChanged
	}
}

func (r *Run) respecced(i int32) {
	if r.step.marks[i]&(markAdded|markRespecced) == 0 {
		r.step.delta.Respecced = append(r.step.delta.Respecced, i)
		r.step.marks[i] |= markRespecced
	}
}

func (r *Run) log(e Entry) {
	e.At = r.step.now
	r.step.delta.Log = append(r.step.delta.Log, e)
}

// note logs something worth knowing that changes no status.
func (r *Run) note(i int32, message string) {
	n := r.nodes[i]
	r.log(Entry{Node: i, Stage: n.Spec.ID, Attempt: n.Attempt, Message: message})
}

// maxWarnings bounds what a node remembers of odd reports.
const maxWarnings = 8

func (r *Run) warn(i int32, message string) {
	n := r.nodes[i]
	if len(n.Warnings) < maxWarnings {
		n.Warnings = append(n.Warnings, message)
	}
	r.changed(i)
	r.note(i, "warning: "+message)
}
