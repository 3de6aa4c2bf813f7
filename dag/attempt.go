package dag

import "fmt"

// Linger is how long a program may go on after it has reported its completion before its attempt is stopped.
const Linger Duration = 60_000

// grant turns a ready stage into one to launch.
func (r *Run) grant(i int32) error {
	n := r.nodes[i]
	if n.Spec.Kind != KindStage || n.Status != Waiting || !n.Ready {
		return &Refusal{Reason: fmt.Sprintf("stage %q is %s and not ready to be launched", n.Spec.ID, n.Status)}
	}
	n.Launched, n.Started, n.PreparedAt, n.Ended, n.Due = r.step.now, 0, 0, 0, 0
	n.Live, n.Seen, n.Intent = true, 0, IntentNone // Kept says that the attempt goes on
	n.Failure, n.Message, n.Reason, n.Info = nil, "", "", ""
	n.Outputs, n.Usage, n.Progress = nil, nil, nil
	n.ExitCode, n.Exited = 0, false
	if p := n.Spec.Policy; p != nil && p.Timeout > 0 {
		n.Due = r.step.now + Time(p.Timeout)
	}
	r.began()
	r.move(i, Launching, "", "")
	return nil
}

// report takes a callback of the program of an attempt. What comes late, twice or for another attempt changes nothing.
func (r *Run) report(e Report) error {
	n := r.nodes[e.Node]
	current := e.Attempt == CurrentAttempt || e.Attempt == n.Attempt
	if n.Spec.Kind != KindStage || !current || !n.Status.Active() || n.Status == Cancelling {
		return nil
	}
	switch e.What {
	case ReportStarted:
		if n.Seen&SeenStarted == 0 {
			n.Seen |= SeenStarted
			if e.Info != "" {
				n.Info = e.Info
			}
			r.changed(e.Node)
			r.running(e.Node, r.step.now)
		}
	case ReportPrepared:
		switch {
		case n.Spec.Policy != nil && n.Spec.Policy.Withheld:
			r.withhold(e.Node)
		case n.Status != Prepared:
			n.Seen |= SeenPrepared
			r.prepare(e.Node)
		}
	case ReportCompleted:
		r.reportedDone(e.Node, e.Outputs)
	case ReportFailed:
		r.reportedFailure(e.Node, e.Failure)
	case ReportProgress:
		if e.Progress != nil {
			p := *e.Progress
			n.Progress = &p
			r.changed(e.Node)
		}
	case ReportHeartbeat:
	}
	return nil
}

// running notes that the attempt was seen to run.
func (r *Run) running(i int32, since Time) {
	n := r.nodes[i]
	if n.Started == 0 {
		n.Started = since
		r.changed(i)
	}
	if n.FirstStarted == 0 {
		n.FirstStarted = n.Started
	}
	if n.Status == Launching {
		n.Reason, n.Kept = "", false
		r.move(i, Running, "", "")
	}
}

// withhold notes that a stage has prepared data that is not in its place yet. The stage keeps its own.
func (r *Run) withhold(i int32) {
	n := r.nodes[i]
	r.running(i, r.step.now)
	if n.PreparedAt == 0 {
		n.PreparedAt = r.step.now
		r.changed(i)
		r.note(i, "it has prepared its data, which nobody can read before it is published")
	}
}

// prepare passes the stage's promise on to the dependents, and gives its place back: what reads its data may be what it
// waits for.
func (r *Run) prepare(i int32) {
	n := r.nodes[i]
	r.running(i, r.step.now)
	first := !n.Promised
	n.Promised = true
	n.PreparedAt = r.step.now
	r.move(i, Prepared, "", "")
	r.leave(n)
	for _, d := range n.dependents {
		dn := r.nodes[d]
		if !onlyGood(&dn.Spec.Depends, i) || !first && !contains(dn.Spec.Depends.Cancel, i) {
			continue
		}
		dn.unsettled--
		r.consider(d)
	}
}

// revoke takes the promise of an attempt back where the edge says so: dependents that run on it are stopped, and wait for
// the next attempt like those that had not started.
func (r *Run) revoke(i int32) {
	for _, d := range r.nodes[i].dependents {
		dn := r.nodes[d]
		if !contains(dn.Spec.Depends.Cancel, i) || dn.Status.Terminal() {
			continue
		}
		r.recount(d)
		r.stopTree(d, IntentRequeue, NewFailure(FailUpstream, 0,
			fmt.Sprintf("stage %q failed after it had prepared its data", r.nodes[i].Spec.ID)))
	}
}

// recount computes anew how many dependencies of a node are not settled, and takes its place back if it only waited.
func (r *Run) recount(d int32) {
	n := r.nodes[d]
	n.unsettled = 0
	for _, i := range n.Spec.Depends.On {
		if !r.settledFor(i, n) {
			n.unsettled++
		}
	}
	if n.Ready && n.unsettled > 0 {
		n.Ready = false
		r.changed(d)
		r.leave(n)
	}
}

func (r *Run) reportedDone(i int32, out *Outputs) {
	n := r.nodes[i]
	n.Seen |= SeenCompleted
	r.running(i, r.step.now)
	if n.Spec.callbacks() == CallbacksNone {
		// Its exit status is what decides, so this says that it is 0: whoever is to see it need not wait for the executor.
		n.ExitCode, n.Exited = 0, true
	}
	if n.Live && n.Spec.Policy.awaits(out) {
		if out != nil {
			n.Outputs = out
		}
		r.changed(i)
		return // the attempt's end brings the rest of the outputs, or says that they are good
	}
	r.complete(i, out)
}

func (r *Run) reportedFailure(i int32, f *Failure) {
	n := r.nodes[i]
	if f == nil {
		f = NewFailure(FailReported, 0, "the stage reported a failure")
	}
	n.Failure, n.Intent = f, IntentFail
	r.move(i, Cancelling, f.Message, "")
}

// complete ends a stage well.
func (r *Run) complete(i int32, out *Outputs) {
	n := r.nodes[i]
	if out != nil {
		n.Outputs = merged(n.Outputs, out)
	}
	n.Outputs = n.Spec.Policy.named(n.Outputs)
	n.Failure, n.Message, n.Due = nil, "", 0
	if n.Live {
		n.Due = r.step.now + Time(Linger)
	}
	if n.Spec.callbacks() != CallbacksNone && n.Seen&SeenCompleted != 0 && n.PreparedAt == 0 {
		r.warn(i, "it completed without having reported that its data is prepared")
	}
	r.publish(n.Outputs)
	r.move(i, Completed, "", "")
}

// merged puts b's outputs over a's.
func merged(a, b *Outputs) *Outputs {
	if a == nil {
		return b
	}
	m := *a
	if b.Result != nil {
		m.Result = b.Result
	}
	if b.Params != nil {
		m.Params = b.Params
	}
	if b.Globals != nil {
		m.Globals = b.Globals
	}
	return &m
}

// publish makes global outputs known to the whole task.
func (r *Run) publish(out *Outputs) {
	if out == nil || len(out.Globals) == 0 {
		return
	}
	if r.task.Globals == nil {
		r.task.Globals = make(map[string]string)
	}
	for k, v := range out.Globals {
		r.task.Globals[k] = v
	}
	r.step.delta.Header = true
}

func (s *NodeSpec) callbacks() Callbacks {
	if s.Policy == nil {
		return CallbacksNone
	}
	return s.Policy.Callbacks
}

// observed takes what an executor saw of an attempt.
func (r *Run) observed(e Observed) error {
	n := r.nodes[e.Node]
	if n.Spec.Kind != KindStage || e.Attempt != n.Attempt || !n.Live {
		return nil
	}
	if e.Kept && e.Phase == AttemptStopped {
		r.paused(e)
		return nil
	}
	r.describe(e)
	switch e.Phase {
	case AttemptPending:
	case AttemptRunning:
		if n.Seen&SeenRunning == 0 {
			n.Seen |= SeenRunning
			r.changed(e.Node)
		}
		if n.Status == Launching {
			since := e.Started
			if since == 0 {
				since = r.step.now
			}
			r.running(e.Node, since)
		}
	case AttemptSucceeded, AttemptFailed, AttemptStopped:
		r.attemptEnded(e)
	}
	return nil
}

// describe keeps what the executor says of the attempt for people.
func (r *Run) describe(e Observed) {
	n := r.nodes[e.Node]
	if e.Info != "" && e.Info != n.Info {
		n.Info = e.Info
		r.changed(e.Node)
	}
	if e.Phase == AttemptPending && e.Reason != n.Reason && n.Status == Launching {
		n.Reason = e.Reason
		r.changed(e.Node)
		if n.Seen&SeenWaiting == 0 { // once: reasons come and go
			n.Seen |= SeenWaiting
			r.note(e.Node, "not running yet: "+e.Reason)
		}
	}
	if e.Usage != nil {
		u := *e.Usage
		n.Usage = &u
		r.changed(e.Node)
	}
	if e.Progress != nil && (n.Progress == nil || *n.Progress != *e.Progress) {
		p := *e.Progress
		n.Progress = &p
		r.changed(e.Node)
	}
}

// pausing reports whether the attempt is stopped only to go on later: somebody's hold does so, while an attempt that had
// begun too early has to begin again.
func (n *Node) pausing() bool {
	return n.Status == Cancelling && n.Intent == IntentRequeue && n.Failure == nil
}

// paused takes note of an attempt that was stopped and can go on. It is no end: the stage waits with the attempt it has.
// Where it was decided meanwhile that the attempt has to end, its cancel is on its way; where the stage is being launched,
// what was seen is what the launch changes.
func (r *Run) paused(e Observed) {
	n, i := r.nodes[e.Node], e.Node
	if !n.pausing() {
		return
	}
	n.Live, n.Kept, n.Intent, n.Due = false, true, IntentNone, 0
	if e.Usage != nil {
		u := *e.Usage
		n.Usage = &u
	}
	r.requeue(i, "paused")
}

// endKept has the attempt of a stage stopped that was paused, and that will not go on.
func (r *Run) endKept(n *Node) {
	n.Kept, n.Live, n.Intent = false, true, IntentCancel
	r.changed(n.Index)
}

// unresumed reports whether an attempt that was paused could not be made to go on. It exists all the same.
func (n *Node) unresumed(e Observed) bool {
	if !n.Kept || n.Status != Launching || e.Phase != AttemptFailed || e.Failure == nil {
		return false
	}
	return e.Failure.Kind == FailLaunch || e.Failure.Kind == FailPlan
}

// exited reports whether the program has ended, so that its exit status is one: what was stopped or lost before it had begun has none.
func (e *Observed) exited() bool {
	switch {
	case e.Phase == AttemptFailed && e.Failure != nil && e.Failure.Kind == FailLaunch:
		return false
	case e.ExitCode != 0, e.Started != 0, e.Phase == AttemptSucceeded:
		return true
	case e.Phase != AttemptFailed:
		return false
	case e.Failure == nil:
		return true
	}
	switch e.Failure.Kind {
	case FailTimeout, FailEvicted, FailLost:
		return false
	}
	return true
}

func (r *Run) attemptEnded(e Observed) {
	n, i := r.nodes[e.Node], e.Node
	if n.unresumed(e) {
		r.reportedFailure(i, e.Failure)
		return
	}
	n.Live, n.Kept = false, false
	if n.Status.Terminal() && n.Status != Completed { // it was paused when the stage ended: there is nothing more to say of it
		n.Intent = IntentNone
		r.changed(i)
		return
	}
	n.Seen |= SeenEnded
	n.Due = 0
	n.ExitCode, n.Exited = e.ExitCode, e.exited()
	if e.Started != 0 && n.Started == 0 {
		n.Started = e.Started
		if n.FirstStarted == 0 {
			n.FirstStarted = n.Started
		}
	}
	r.changed(i)
	switch {
	case n.Status.Terminal():
		if n.Status == Completed && e.ExitCode != 0 && n.Intent != IntentCancel {
			r.warn(i, fmt.Sprintf("its program ended with exit status %d after it had reported its completion", e.ExitCode))
		}
		n.Intent = IntentNone
	case n.Status == Cancelling:
		r.stopped(e)
	case e.Phase == AttemptSucceeded:
		r.succeeded(e)
	case e.Phase == AttemptStopped:
		r.attemptFailed(i, NewFailure(FailLost, int(e.ExitCode), "somebody else stopped the attempt"), e.Outputs, e.Random)
	default:
		f := e.Failure
		if f == nil {
			f = NewFailure(FailExit, int(e.ExitCode), fmt.Sprintf("main: Error (exit code %d)", e.ExitCode))
		}
		r.attemptFailed(i, f, e.Outputs, e.Random)
	}
}

// succeeded judges an exit status of 0. Old stage programs exit with 0 whatever happened: once they have reported their
// start, only their own report of completion counts.
func (r *Run) succeeded(e Observed) {
	n := r.nodes[e.Node]
	cb := n.Spec.callbacks()
	if n.Status == Launching { // it was too quick to be seen running
		r.running(e.Node, n.Launched)
	}
	switch {
	case n.Seen&SeenCompleted != 0 || cb == CallbacksNone:
		r.complete(e.Node, e.Outputs)
	case n.Seen&(SeenStarted|SeenPrepared) != 0:
		r.attemptFailed(e.Node, NewFailure(FailUnreported, 0, "it ended without reporting completion"), e.Outputs, e.Random)
	case cb == CallbacksRequired:
		r.attemptFailed(e.Node, NewFailure(FailUnreported, 0,
			"it ended without any report, and its platform is configured to require reports"), e.Outputs, e.Random)
	default:
		r.complete(e.Node, e.Outputs)
	}
}

// stopped does what the stage was stopped for.
func (r *Run) stopped(e Observed) {
	n, i := r.nodes[e.Node], e.Node
	switch n.Intent {
	case IntentFail:
		f := n.Failure
		if f == nil {
			f = NewFailure(FailExit, int(e.ExitCode), "stopped")
		}
		if f.ExitCode == 0 {
			c := *f
			c.ExitCode = int(e.ExitCode)
			f = &c
		}
		r.attemptFailed(i, f, e.Outputs, e.Random)
	case IntentRequeue:
		r.remember(n, n.Failure, e.Outputs)
		n.Attempt++
		n.Intent, n.Failure = IntentNone, nil
		r.requeue(i, "stopped")
	default:
		r.move(i, Cancelled, n.Message, "")
	}
}

// requeue lets a stage wait again that was stopped to run again. how says what became of its attempt.
func (r *Run) requeue(i int32, how string) {
	n := r.nodes[i]
	r.leave(n)
	again := "it runs again"
	if n.Kept {
		again = "it goes on"
	}
	switch {
	case r.beingStopped(n.Spec.Parent):
		r.move(i, Waiting, how, "")
		r.omit(i, "omitted: the group it is in has failed")
	case len(n.Holds) > 0:
		r.move(i, Suspended, how+"; "+again+" after continue", "")
	default:
		r.move(i, Waiting, how+"; "+again, "")
		r.consider(i)
	}
}

// remember keeps the record of an attempt that did not complete the stage.
func (r *Run) remember(n *Node, f *Failure, out *Outputs) {
	if len(n.History) >= MaxHistory {
		n.History = append(n.History[:0], n.History[1:]...)
	}
	start := n.Started
	if start == 0 {
		start = n.Launched
	}
	n.History = append(n.History, AttemptRecord{Number: n.Attempt, Started: start, Ended: r.step.now, Failure: f, Outputs: out})
}

// attemptFailed ends an attempt badly: the stage is retried or has failed.
func (r *Run) attemptFailed(i int32, f *Failure, out *Outputs, random float64) {
	n := r.nodes[i]
	r.remember(n, f, out)
	n.Failure, n.Outputs, n.Due = f, out, 0
	v := r.decide(n, f, random)
	if !v.again {
		n.Message = v.message
		r.move(i, Failed, v.message, "")
		return
	}
	if v.free {
		n.Unstarted++
	} else {
		n.Tries++
	}
	n.Attempt++
	n.Intent = IntentNone
	n.Message = f.Message
	n.RetryAt = r.step.now + Time(v.delay)
	r.move(i, Retrying, f.Message, "")
	r.leave(n)
	switch {
	case len(n.Holds) > 0:
		r.move(i, Suspended, "", "")
	case v.delay == 0:
		r.retryDue(i)
	}
}

// retryDue lets a RETRYING stage go on.
func (r *Run) retryDue(i int32) {
	r.nodes[i].RetryAt = 0
	r.move(i, Waiting, "", "")
	r.consider(i)
}
