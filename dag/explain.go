package dag

import (
	"fmt"
	"strings"
	"time"
)

// Explain says in one line why a node is where it is. It knows the plan and the run; the engine refines "queue", and the
// executor's own words are in "executor".
func (r *Run) Explain(i int32) Explanation {
	n := r.nodes[i]
	switch {
	case n.Status.Terminal():
		return r.explainEnd(n)
	case len(n.Holds) > 0:
		return r.explainHolds(n)
	case n.Status == Retrying:
		return Explanation{Reason: ReasonRetry, Until: n.RetryAt, Text: fmt.Sprintf("attempt %d failed (%s); the next is due at %s",
			n.Attempt-1, n.Message, n.RetryAt.clock())}
	case n.Status == Launching && n.Reason != "":
		return Explanation{Reason: ReasonExecutor, Text: "launched, not running yet: " + n.Reason}
	case n.Status == Launching:
		text := "its launch is under way"
		if n.Kept {
			text = "its attempt was paused, and is about to go on"
		}
		return Explanation{Reason: ReasonQueue, Text: text}
	case n.Status == Cancelling:
		return Explanation{Reason: ReasonRunning, Text: "it is being stopped: " + n.stopReason()}
	case n.Status == Prepared:
		return Explanation{Reason: ReasonRunning, Text: "it has prepared its data and runs on"}
	case n.Status == Running && n.Spec.Kind.Group():
		return r.explainGroup(n)
	case n.Status == Running:
		text := "it runs since " + n.Started.clock()
		if p := n.Progress; p != nil && p.Message != "" { // which may say what it waits for in its turn
			text += "; " + p.Message
		}
		return Explanation{Reason: ReasonRunning, Text: text}
	case n.Ready:
		return Explanation{Reason: ReasonQueue, Text: "it is ready and waits for a free slot"}
	}
	return r.explainWait(n)
}

// clock is the time of day for people, in UTC.
func (t Time) clock() string {
	if t == 0 {
		return "an unknown time"
	}
	return time.UnixMilli(int64(t)).UTC().Format("15:04:05 UTC")
}

func (n *Node) stopReason() string {
	switch {
	case n.Intent == IntentRequeue && n.Failure == nil:
		return "it runs again after continue"
	case n.Failure != nil:
		return n.Failure.Message
	case n.Message != "":
		return n.Message
	}
	return "cancelled"
}

func (r *Run) explainEnd(n *Node) Explanation {
	x := Explanation{Reason: ReasonEnded, Text: r.withCause(n.Index)}
	if x.Text == "" {
		x.Text = "it has ended"
	}
	if c := r.Cause(n.Index); c != n.Index {
		x.Nodes = []int32{c}
	}
	return x
}

func (r *Run) explainHolds(n *Node) Explanation {
	x := Explanation{Reason: ReasonHold}
	var parts []string
	for _, h := range r.HoldsOf(n.Index) {
		if h.Root == n.Index && n.Spec.Kind == KindGate && h.Who == "plan" {
			x.Reason = ReasonGate
		}
		x.Nodes = append(x.Nodes, h.Root)
		root := "itself"
		if h.Root != n.Index {
			root = r.nodes[h.Root].Spec.ID
		}
		part := fmt.Sprintf("%s by %s since %s", root, orSomebody(h.Who), h.Since.clock()) + because(h.Why)
		if h.Until > 0 {
			part += ", until " + h.Until.clock()
			x.Until = max(x.Until, h.Until)
		}
		parts = append(parts, part)
	}
	x.Text = "held through " + strings.Join(parts, "; and through ")
	if n.Kept {
		x.Text += "; its attempt is paused, and goes on then"
	}
	return x
}

func (r *Run) explainGroup(n *Node) Explanation {
	var open, done int
	for _, c := range n.children {
		if r.nodes[c].Status.Terminal() {
			done++
		} else {
			open++
		}
	}
	return Explanation{Reason: ReasonRunning, Text: fmt.Sprintf("%d of the %d nodes in it have ended", done, done+open)}
}

// explainWait explains a WAITING node that is not ready.
func (r *Run) explainWait(n *Node) Explanation {
	if p := n.Spec.Parent; p != NoParent && r.nodes[p].Status != Running {
		return Explanation{
			Reason: ReasonParents, Nodes: []int32{p},
			Text: fmt.Sprintf("the group %s that it is in has not started (%s)", r.nodes[p].Spec.ID, r.nodes[p].Status),
		}
	}
	x := Explanation{Reason: ReasonParents}
	var names []string
	for _, d := range n.Spec.Depends.On {
		if r.settledFor(d, n) {
			continue
		}
		x.Nodes = append(x.Nodes, d)
		if len(names) < 3 {
			names = append(names, fmt.Sprintf("%s (%s)", r.nodes[d].Spec.ID, r.nodes[d].Status))
		}
	}
	if len(x.Nodes) > 0 {
		x.Text = "waits for " + strings.Join(names, ", ")
		if more := len(x.Nodes) - len(names); more > 0 {
			x.Text += fmt.Sprintf(" and %d more", more)
		}
		return x
	}
	if n.Index != 0 && n.Spec.Parent == NoParent {
		return Explanation{Reason: ReasonParents, Nodes: []int32{0}, Text: "it runs when the task has ended"}
	}
	if b := r.boundary(n); b != NoParent && r.full(b) {
		return Explanation{Reason: ReasonLimit, Nodes: []int32{b}, Text: fmt.Sprintf("the parallelism of %d of %s is used up", r.limitOf(b), r.nodes[b].Spec.ID)}
	}
	if r.full(NoParent) {
		return Explanation{Reason: ReasonLimit, Text: fmt.Sprintf("the task's parallelism of %d is used up", r.task.Parallelism)}
	}
	return Explanation{Reason: ReasonQueue, Text: "the task has not started yet"}
}
