package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// viewer makes views of a run, whose parts are copies: a view stays as it is while the run goes on.
type viewer struct {
	e       *Engine
	run     *dag.Run
	task    *task // nil for a task that is not active
	expires dag.Time
}

func (v viewer) id(i int32) string { return v.run.Node(i).Spec.ID }

func (v viewer) ids(list []int32) []string {
	if len(list) == 0 {
		return nil
	}
	ids := make([]string, len(list))
	for k, i := range list {
		ids[k] = v.id(i)
	}
	return ids
}

func (v viewer) hold(h dag.Hold) HoldView {
	view := HoldView{Hold: h}
	if h.Root >= 0 && int(h.Root) < v.run.Len() {
		view.RootStage = v.id(h.Root)
	}
	return view
}

func (v viewer) holds(list []dag.Hold) []HoldView {
	var views []HoldView
	for _, h := range list {
		views = append(views, v.hold(h))
	}
	return views
}

// ofTask is the view of the whole task.
func (v viewer) ofTask() *TaskView {
	t := v.run.Task()
	view := taskView(*t, v.expires)
	view.Holds = v.holds(t.Holds)
	if v.task != nil && !t.Status.Terminal() {
		if left, ok := v.run.Remaining(v.e.now(), v.e.durations.known(t.Plan)); ok {
			view.Remaining = left
		}
	}
	if v.task != nil && t.Status.Terminal() {
		view.Expires = t.Ended + dag.Time(v.e.cfg.retain(t))
	}
	return view
}

// taskView copies a task record.
func taskView(t dag.Task, expires dag.Time) *TaskView {
	t.Holds = slices.Clone(t.Holds)
	t.Globals = maps.Clone(t.Globals)
	if t.Stop != nil {
		stop := *t.Stop
		t.Stop = &stop
	}
	return &TaskView{Task: t, Expires: expires, Remaining: -1}
}

// ofStage is the view of a node.
func (v viewer) ofStage(i int32) StageView {
	n := v.run.Node(i)
	view := StageView{
		Task: v.run.Task().Name, Index: i, NodeSpec: *n.Spec, NodeState: n.NodeState,
		Parents: v.ids(n.Spec.Depends.On), Children: v.ids(n.Dependents()), Holds: v.holds(v.run.HoldsOf(i)),
	}
	view.NodeState.Holds = slices.Clone(n.NodeState.Holds)
	view.History = slices.Clone(n.History)
	view.Warnings = slices.Clone(n.Warnings)
	view.Outputs = cloneOutputs(n.Outputs)
	view.Usage, view.Progress, view.Failure = clone(n.Usage), clone(n.Progress), clone(n.Failure)
	view.Inputs = maps.Clone(n.Spec.Inputs)
	if p := n.Spec.Parent; p != dag.NoParent {
		view.Group = v.id(p)
	}
	return view
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func cloneOutputs(o *dag.Outputs) *dag.Outputs {
	if o = clone(o); o != nil {
		o.Params, o.Globals = maps.Clone(o.Params), maps.Clone(o.Globals)
	}
	return o
}

// explain is the core's explanation, with what only the engine knows: which limit a ready stage waits for, and how far
// its launch is. exact asks for its position in the line, which costs as much as the line is long.
func (v viewer) explain(i int32, exact bool) dag.Explanation {
	x := v.run.Explain(i)
	x.Nodes = slices.Clone(x.Nodes)
	if v.task == nil || v.run.Node(i).Spec.Kind != dag.KindStage {
		return x
	}
	n, sd := v.run.Node(i), v.task.side[i]
	name := v.e.cfg.executorOf(v.run.Task(), n.Spec)
	switch {
	case sd == nil:
	case n.Status == dag.Waiting && n.Ready && sd.slot != nil:
		p, ok := v.e.dispatch.place(sd.slot, exact)
		if !ok {
			x.Reason, x.Text = dag.ReasonQueue, "ready; about to be launched"
			break
		}
		x.Reason = dag.ReasonQueue
		x.Text = fmt.Sprintf("ready; waits for a slot: all %d %s are taken", p.max, p.limit)
		if exact {
			x.Text += fmt.Sprintf(" (place %d of %d in line)", p.ahead+1, p.queued)
		}
	case n.Status == dag.Launching && n.Reason == "":
		switch sd.launch {
		case launchQueued:
			x.Reason, x.Text = dag.ReasonQueue, fmt.Sprintf("has a slot; waits for executor %q to take the launch", name)
		case launchSent:
			x.Reason, x.Text = dag.ReasonQueue, fmt.Sprintf("is being launched by executor %q", name)
		case launchLater:
			x.Reason = dag.ReasonExecutor
			x.Text = fmt.Sprintf("executor %q could not launch it (%d of %d tries): %s", name, sd.tries, v.e.cfg.LaunchTries, sd.error)
			if sd.tries == 0 { // which says nothing about the launch
				x.Text = fmt.Sprintf("executor %q cannot launch it now: %s", name, sd.error)
			}
		case launchDone:
			x.Reason, x.Text = dag.ReasonExecutor, fmt.Sprintf("launched; executor %q has not reported that it runs", name)
		}
	}
	return v.troubled(x, name, n.Status)
}

// troubled adds what keeps a stage's executor from doing anything, where the stage has to do with it and that was not said.
func (v viewer) troubled(x dag.Explanation, name string, s dag.Status) dag.Explanation {
	if !s.Active() && x.Reason != dag.ReasonQueue {
		return x
	}
	t, ok := executors.TroubleOf(v.e.cfg.Executors[name])
	if !ok || strings.Contains(x.Text, t.Reason) {
		return x
	}
	x.Text += fmt.Sprintf("; executor %q can do nothing since %s: %s", name, t.Since.UTC().Format("15:04:05 UTC"), t.Reason)
	return x
}
