package dag

import "fmt"

// cancel stops one node, or the whole task.
func (r *Run) cancel(e Cancel) error {
	why := e.Why
	if why == "" {
		why = "cancelled by " + orSomebody(e.Who)
	}
	if e.Node < 0 {
		return r.cancelTask(e, why)
	}
	n := r.nodes[e.Node]
	switch {
	case n.Status.Terminal():
		return &Refusal{Reason: fmt.Sprintf("%q has ended (%s)", n.Spec.ID, n.Status)}
	case n.Status == Cancelling && n.Intent != IntentRequeue || n.Intent == IntentCancel:
		return &Refusal{Reason: fmt.Sprintf("%q is being stopped already", n.Spec.ID)}
	}
	r.log(Entry{Node: e.Node, Stage: n.Spec.ID, Attempt: n.Attempt, Message: "cancel asked for" + because(e.Why), Who: e.Who})
	r.cancelTree(e.Node, why, e.Who)
	return nil
}

func (r *Run) cancelTask(e Cancel, why string) error {
	t := &r.task
	switch {
	case t.Status.Terminal():
		return &Refusal{Reason: fmt.Sprintf("task %q has ended (%s)", t.Name, t.Status)}
	case t.Stop != nil && (e.Handlers || !t.Stop.Handlers):
		return &Refusal{Reason: fmt.Sprintf("task %q is being stopped already", t.Name)}
	}
	r.log(Entry{Node: -1, Message: "cancel asked for" + because(e.Why), Who: e.Who})
	t.Stop = &Stop{At: r.step.now, Who: e.Who, Why: why, Handlers: e.Handlers}
	r.step.delta.Header = true
	r.cancelTree(0, why, e.Who)
	for _, h := range r.nodes[0].hooks { // they stand beside the entry, not in it
		r.cancelTree(h, why, e.Who)
	}
	if x := t.ExitNode; x != 0 && !e.Handlers {
		r.cancelTree(x, why, e.Who)
	}
	return nil
}

// cancelTree cancels a node with everything in it.
func (r *Run) cancelTree(i int32, why, who string) {
	n := r.nodes[i]
	switch {
	case n.Status.Terminal():
	case n.Status.Launchable():
		r.endUnlaunched(i, Cancelled, why, who)
	case n.Spec.Kind.Group():
		n.Intent, n.Message, n.RetryAt = IntentCancel, why, 0
		r.changed(i)
		for k := 0; k < len(n.children); k++ {
			r.cancelTree(n.children[k], why, who)
		}
		if n.openKids == 0 && n.Status == Running {
			r.finishGroup(i)
		}
	default:
		n.Intent, n.Message = IntentCancel, why
		r.changed(i)
		if n.Status != Cancelling {
			r.move(i, Cancelling, why, who)
		}
	}
}

// stopTree stops the live attempts in a node for another reason than cancellation. With IntentFail, what was not
// launched is omitted.
func (r *Run) stopTree(i int32, intent Intent, f *Failure) {
	n := r.nodes[i]
	switch {
	case n.Status.Terminal():
	case n.Status.Launchable():
		if intent == IntentFail {
			r.omit(i, "omitted: "+f.Message)
		}
	case n.Spec.Kind.Group():
		if intent == IntentFail {
			n.Intent, n.Failure, n.RetryAt = IntentFail, f, 0
			r.changed(i)
		}
		for k := 0; k < len(n.children); k++ {
			r.stopTree(n.children[k], intent, f)
		}
		if intent == IntentFail && n.openKids == 0 && n.Status == Running {
			r.finishGroup(i)
		}
	case n.Status == Cancelling:
		if intent == IntentFail && n.Intent == IntentRequeue { // it does not run again
			n.Intent, n.Failure = intent, f
			r.changed(i)
		}
	default:
		n.Intent, n.Failure = intent, f
		message := ""
		if f != nil {
			message = f.Message
		}
		r.move(i, Cancelling, message, "")
	}
}

// skip marks a node that was not launched as SKIPPED.
func (r *Run) skip(e SkipStage) error {
	n := r.nodes[e.Node]
	if !n.Status.Launchable() {
		return &Refusal{Reason: fmt.Sprintf("%q is %s; only what was not launched can be skipped", n.Spec.ID, n.Status)}
	}
	why := "skipped by " + orSomebody(e.Who) + because(e.Why)
	r.endUnlaunched(e.Node, Skipped, why, e.Who)
	return nil
}

// tick fires the timers of a node, or of the task, that are due.
func (r *Run) tick(i int32) error {
	if i < 0 {
		r.tickTask()
		return nil
	}
	n, now := r.nodes[i], r.step.now
	switch {
	case n.Status == Retrying && n.RetryAt <= now:
		r.retryDue(i)
	case n.Status == Running && n.Spec.Kind == KindRetry && n.RetryAt > 0 && n.RetryAt <= now && len(n.Holds) == 0:
		r.nextTry(i)
	case n.Due == 0 || n.Due > now:
	case n.Status.Terminal() && n.Live:
		n.Due, n.Intent = 0, IntentCancel
		r.changed(i)
		r.note(i, "its program went on long after it had reported its completion, and is stopped")
	case n.Status == Running && n.Spec.Kind.Group():
		n.Due = 0
		r.stopTree(i, IntentFail, NewFailure(FailTimeout, 0, "it ran longer than its deadline"))
	case n.Status.Active() && n.Status != Cancelling:
		n.Due = 0
		r.stopTree(i, IntentFail, NewFailure(FailTimeout, 0, "it was active longer than the specified deadline"))
	}
	return nil
}

func (r *Run) tickTask() {
	t, now := &r.task, r.step.now
	if t.Due > 0 && t.Due <= now && !t.Status.Terminal() {
		t.Due = 0
		r.step.delta.Header = true
		if t.Stop == nil {
			t.Stop = &Stop{At: now, Why: "the task ran longer than its deadline", Handlers: true, Timeout: true}
			late := NewFailure(FailTimeout, 0, "the task ran longer than its deadline")
			r.stopTree(0, IntentFail, late)
			for _, h := range r.nodes[0].hooks {
				r.stopTree(h, IntentFail, late)
			}
		}
	}
	for {
		h := r.dueHold()
		if h == nil {
			return
		}
		r.log(Entry{Node: h.Root, Stage: r.nodes[h.Root].Spec.ID, Message: "continued: the hold's time is over"})
		r.release(h.ID, "")
	}
}

func (r *Run) dueHold() *Hold {
	for k := range r.task.Holds {
		if h := &r.task.Holds[k]; h.Until > 0 && h.Until <= r.step.now {
			c := *h
			return &c
		}
	}
	return nil
}
