package dag

import (
	"errors"
	"fmt"
)

// expand asks the Expander what a ready Deferred node becomes, and records it. It reports whether the node goes on.
func (r *Run) expand(i int32) bool {
	n := r.nodes[i]
	n.Expanded = true
	r.changed(i)
	if r.x == nil {
		r.fail(i, NewFailure(FailPlan, 0, "the plan has parts that are only known at run time, and nothing to work them out"))
		return false
	}
	e := r.x.Expand(r, i)
	switch e.Verdict {
	case Skip:
		r.endUnlaunched(i, Skipped, e.Message, "")
		return false
	case Error:
		r.cannotExpand(i, e)
		return false
	}
	r.respec(n, e)
	if _, err := r.adopt(e.Children, i); err != nil {
		r.fail(i, planFailure(err))
		return false
	}
	return true
}

func planFailure(err error) *Failure {
	f := NewFailure(FailPlan, 0, err.Error())
	f.Permanent = errors.Is(err, ErrTooLarge)
	return f
}

// respec settles what was open in a Deferred node's spec.
func (r *Run) respec(n *Node, e Expansion) {
	spec := *n.Spec
	if e.Inputs != nil {
		spec.Inputs = e.Inputs
	}
	if e.Policy != nil {
		spec.Policy = e.Policy
	}
	if e.Kind != spec.Kind {
		placed := n.placed
		r.leave(n)
		r.uncount(n)
		if spec.Kind.Group() != e.Kind.Group() {
			r.task.Stages += stageCount(e.Kind) - stageCount(spec.Kind)
		}
		spec.Kind = e.Kind
		n.Spec = &spec
		r.count(n)
		if placed {
			r.take(n)
		}
	}
	n.Spec = &spec
	r.respecced(n.Index)
}

func stageCount(k Kind) int32 {
	if k.Group() {
		return 0
	}
	return 1
}

// cannotExpand fails the node, or the group around it that the expansion names.
func (r *Run) cannotExpand(i int32, e Expansion) {
	n := r.nodes[i]
	f := NewFailure(FailPlan, 0, e.Message)
	target := n.Spec.Parent
	if e.Escalate <= 0 || target == NoParent {
		r.fail(i, f)
		return
	}
	for level := 1; level < e.Escalate && r.nodes[target].Spec.Parent != NoParent; level++ {
		if g := r.nodes[target]; g.Intent == IntentNone {
			g.Intent = IntentOmit
			g.Message = e.Message
			r.changed(target)
		}
		target = r.nodes[target].Spec.Parent
	}
	r.nodes[target].Failure, r.nodes[target].Intent = f, IntentFail
	r.changed(target)
	r.omit(i, e.Message)
	r.omitWaiting(target)
}

// omitWaiting omits what was not launched inside a group.
func (r *Run) omitWaiting(g int32) {
	for _, c := range r.nodes[g].children {
		switch n := r.nodes[c]; {
		case n.Status.Launchable():
			r.omit(c, "omitted: the group it is in has failed")
		case n.Spec.Kind.Group() && n.Status == Running:
			r.omitWaiting(c)
		}
	}
}

// fail gives a node that has no attempt the status FAILED.
func (r *Run) fail(i int32, f *Failure) {
	n := r.nodes[i]
	n.Failure, n.Message = f, f.Message
	r.move(i, Failed, f.Message, "")
	for _, c := range n.children {
		if r.nodes[c].Status.Launchable() {
			r.omit(c, "omitted: the group it is in has failed")
		}
	}
}

// startGroup starts a group and whatever in it is ready.
func (r *Run) startGroup(i int32) {
	n := r.nodes[i]
	r.began()
	n.Expanded = true
	n.Started = r.step.now
	if n.FirstStarted == 0 {
		n.FirstStarted = r.step.now
	}
	if p := n.Spec.Policy; p != nil && p.Timeout > 0 {
		n.Due = r.step.now + Time(p.Timeout)
	}
	r.move(i, Running, "", "")
	r.considerChildren(i)
	if n.openKids == 0 {
		r.finishGroup(i)
	}
}

func (r *Run) considerChildren(i int32) {
	n := r.nodes[i]
	for k := 0; k < len(n.children); k++ { // the list may grow meanwhile
		r.consider(n.children[k])
	}
}

// childEnded is told of each node in a group that has settled.
func (r *Run) childEnded(g, n *Node) {
	if g.Status != Running {
		return
	}
	if n.Status == Failed && n.Spec.HookOf == 0 && !r.continuesOn(n) {
		r.failFast(g)
	}
	if g.openKids > 0 {
		return
	}
	if g.Spec.Kind == KindRetry && g.Intent == IntentNone && g.Failure == nil {
		r.tryEnded(g)
		return
	}
	r.finishGroup(g.Index)
}

// failFast cuts a steps group short where its template says so. (Argo's dag never does: see ARCHITECTURE.md.)
func (r *Run) failFast(g *Node) {
	steps := g
	for steps.Spec.Kind == KindStepGroup || steps.Spec.Kind == KindFanOut {
		if steps.Spec.Parent == NoParent {
			return
		}
		steps = r.nodes[steps.Spec.Parent]
	}
	if steps.Spec.Kind == KindSteps && steps.Spec.Policy != nil && steps.Spec.Policy.FailFast {
		r.omitWaiting(g.Index)
	}
}

// tryEnded decides whether a group that is retried has another try.
func (r *Run) tryEnded(g *Node) {
	last := r.lastTry(g)
	if last == nil || last.Status != Failed {
		r.finishGroup(g.Index)
		return
	}
	f := *last.Failure
	v := r.decide(g, &f, 0)
	if !v.again {
		g.Failure = &Failure{Kind: FailChild, ExitCode: f.ExitCode, Message: v.message, Errored: f.Errored, Child: last.Index + 1}
		r.finishGroup(g.Index)
		return
	}
	g.Tries++
	r.changed(g.Index)
	if v.delay > 0 {
		g.RetryAt = r.step.now + Time(v.delay)
		return
	}
	r.nextTry(g.Index)
}

func (r *Run) lastTry(g *Node) *Node {
	for k := len(g.children) - 1; k >= 0; k-- {
		if n := r.nodes[g.children[k]]; n.Spec.HookOf == 0 {
			return n
		}
	}
	return nil
}

// nextTry makes the next child of a KindRetry node.
func (r *Run) nextTry(i int32) {
	g := r.nodes[i]
	g.RetryAt = 0
	r.changed(i)
	if err := r.addTry(i); err != nil {
		g.Failure = planFailure(err)
		r.finishGroup(i)
		return
	}
	r.considerChildren(i)
}

func (r *Run) addTry(i int32) error {
	e := r.x.Expand(r, i)
	switch {
	case e.Verdict != Go:
		return errors.New(e.Message)
	case len(e.Children) == 0:
		return errors.New("the plan has no further try")
	}
	_, err := r.adopt(e.Children, i)
	return err
}

// finishGroup gives a group its status, once everything in it has ended.
func (r *Run) finishGroup(i int32) {
	n := r.nodes[i]
	switch {
	case n.Intent == IntentCancel:
		r.move(i, Cancelled, n.Message, "")
		return
	case n.Intent == IntentOmit && n.Failure == nil:
		r.move(i, Omitted, n.Message, "")
		return
	}
	f := n.Failure
	if f == nil {
		f = r.groupFailure(n)
	}
	if f == nil && i == 0 && r.task.Stop != nil && r.task.Stop.Timeout {
		f = NewFailure(FailTimeout, 0, r.task.Stop.Why)
	}
	if f == nil {
		f = r.groupOutputs(n)
	}
	if f != nil {
		r.fail(i, f)
		return
	}
	n.Failure, n.Message, n.Due = nil, "", 0
	r.move(i, Completed, "", "")
}

// groupOutputs has the outputs of a group computed.
func (r *Run) groupOutputs(n *Node) *Failure {
	if r.x == nil || n.Spec.Kind == KindStepGroup {
		return nil
	}
	out, err := r.x.GroupOutputs(r, n.Index)
	if err != nil {
		return NewFailure(FailPlan, 0, err.Error())
	}
	n.Outputs = out
	r.publish(out)
	return nil
}

// groupFailure says whether, and how, a group whose children have all ended has failed.
func (r *Run) groupFailure(n *Node) *Failure {
	switch n.Spec.Kind {
	case KindDAG:
		return r.dagFailure(n)
	case KindRetry:
		return r.retryFailure(n)
	}
	var bad *Node
	for _, c := range n.children {
		k := r.nodes[c]
		if k.Spec.HookOf != 0 || k.Status != Failed && k.Status != Cancelled || r.continuesOn(k) {
			continue
		}
		if n.Spec.Kind == KindFanOut && n.errorsPassUp(k) || bad == nil {
			bad = k
		}
	}
	if bad == nil {
		return nil
	}
	f := &Failure{Kind: FailChild, Message: r.childMessage(n, bad), Child: bad.Index + 1}
	if bad.Failure != nil {
		f.ExitCode = bad.Failure.ExitCode
		f.Errored = n.Spec.Kind == KindFanOut && bad.Failure.Errored
	}
	return f
}

// Cause follows a failed node to what made it fail, inside of it.
func (r *Run) Cause(i int32) int32 {
	for {
		f := r.nodes[i].Failure
		if f == nil || f.Child <= 0 || int(f.Child) > len(r.nodes) {
			return i
		}
		i = f.Child - 1
	}
}

// withCause is the message of a failed node, and what made it fail where that is somewhere else.
func (r *Run) withCause(i int32) string {
	n, c := r.nodes[i], r.Cause(i)
	if c == i || r.nodes[c].Message == "" || r.nodes[c].Message == n.Message {
		return n.Message
	}
	return n.Message + ": " + r.nodes[c].Spec.ID + ": " + r.nodes[c].Message
}

// errorsPassUp: a loop whose instance ended in error is in error itself, whichever instance it was.
func (n *Node) errorsPassUp(k *Node) bool { return k.errored() }

func (r *Run) childMessage(g, bad *Node) string {
	if g.Spec.Kind == KindSteps && bad.Message != "" {
		return bad.Message
	}
	for bad.Spec.Kind == KindFanOut {
		inner := bad
		for _, c := range bad.children {
			if k := r.nodes[c]; k.Spec.HookOf == 0 && (k.Status == Failed || k.Status == Cancelled) {
				inner = k
				break
			}
		}
		if inner == bad {
			break
		}
		bad = inner
	}
	return fmt.Sprintf("child '%s' failed", r.Path(bad.Index))
}

func (r *Run) retryFailure(g *Node) *Failure {
	last := r.lastTry(g)
	if last == nil || last.Status != Failed && last.Status != Cancelled {
		return nil
	}
	f := &Failure{Kind: FailChild, Message: last.Message, Child: last.Index + 1}
	if last.Failure != nil {
		f.ExitCode, f.Errored = last.Failure.ExitCode, last.Failure.Errored
	}
	return f
}

// dagFailure follows Argo: the outcome of a dag is that of its leaves. A leaf that was omitted or skipped has the outcome
// of the branches that led to it, so a failure that somebody handles is none.
func (r *Run) dagFailure(n *Node) *Failure {
	branches := make(map[int32]*Node)
	for _, c := range n.children {
		leaf := r.nodes[c]
		if len(leaf.dependents) > 0 || leaf.Spec.HookOf != 0 {
			continue
		}
		bad := r.branch(c, branches)
		if bad == nil {
			continue
		}
		failed := bad.Status == Failed && !bad.errored() || bad.Status == Cancelled
		if r.continues(leaf, failed, bad.errored()) {
			continue
		}
		f := &Failure{Kind: FailChild, Message: r.childMessage(n, bad), Errored: bad.errored(), Child: bad.Index + 1}
		if bad.Failure != nil {
			f.ExitCode = bad.Failure.ExitCode
		}
		return f
	}
	return nil
}

// branch finds the failed node whose outcome node i has: itself if it ran, or else the worst of what it depended on.
// It walks with a stack of its own, because an omitted chain may be as long as the plan.
func (r *Run) branch(i int32, known map[int32]*Node) *Node {
	stack := []int32{i}
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		n := r.nodes[top]
		if _, done := known[top]; done {
			stack = stack[:len(stack)-1]
			continue
		}
		switch n.Status {
		case Failed, Cancelled:
			known[top] = n
		case Skipped, Omitted:
			open := len(stack)
			var worst *Node
			for _, d := range n.Spec.Depends.On {
				bad, done := known[d]
				if !done {
					stack = append(stack, d)
				}
				if bad != nil && worst == nil {
					worst = bad
				}
			}
			if len(stack) > open {
				continue
			}
			known[top] = worst
		default:
			known[top] = nil
		}
		stack = stack[:len(stack)-1]
	}
	return known[i]
}
