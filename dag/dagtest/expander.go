// Package dagtest has what the tests of the core and of the engine share: random plans, a driver that checks every rule
// of the core after every step against slow and obvious code, and an expander whose answers stand in the plan.
package dagtest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// Expander answers from the Call of a node: "go", "skip", "error", "error:1", "fan:3" (a loop of three stages), and for
// retry groups "retry". Hooks named "exit" always fire; "failed" fires once its node has FAILED.
type Expander struct {
	// Handler is set where the plan has an exit handler.
	Handler bool
}

// Expand implements dag.Expander.
func (x Expander) Expand(r *dag.Run, i int32) dag.Expansion {
	n := r.Node(i)
	verb, arg, _ := strings.Cut(n.Spec.Call, ":")
	count, _ := strconv.Atoi(arg)
	switch verb {
	case "skip":
		return dag.Expansion{Verdict: dag.Skip, Message: "when '1 == 2' evaluated false"}
	case "error":
		return dag.Expansion{Verdict: dag.Error, Message: "cannot evaluate", Escalate: count}
	case "fan":
		e := dag.Expansion{Kind: dag.KindFanOut}
		for k := range count {
			e.Children = append(e.Children, child(n, fmt.Sprintf("(%d)", k), k))
		}
		return e
	case "retry":
		return dag.Expansion{Kind: dag.KindRetry, Children: []dag.NodeSpec{child(n, fmt.Sprintf("(%d)", n.Tries), int(n.Tries))}}
	}
	return dag.Expansion{Kind: n.Spec.Kind}
}

func child(n *dag.Node, suffix string, index int) dag.NodeSpec {
	return dag.NodeSpec{
		ID: n.Spec.ID + suffix, Name: n.Spec.Name + suffix, Path: n.Spec.Path + suffix,
		Parent: dag.SelfParent, Index: int32(index), Template: "t",
	}
}

// Hook implements dag.Expander.
func (x Expander) Hook(r *dag.Run, i int32, hook string) ([]dag.NodeSpec, bool, error) {
	n := r.Node(i)
	if hook == "failed" && n.Status != dag.Failed {
		return nil, false, nil
	}
	s := dag.NodeSpec{ID: n.Spec.ID + "." + hook, Name: n.Spec.Name + "." + hook, Path: n.Spec.Path + "." + hook, Parent: dag.SelfParent}
	return []dag.NodeSpec{s}, true, nil
}

// OnExit implements dag.Expander.
func (x Expander) OnExit(*dag.Run) ([]dag.NodeSpec, error) {
	if !x.Handler {
		return nil, errors.New("the plan has no exit handler")
	}
	return []dag.NodeSpec{{ID: "onexit", Name: "onExit", Path: ".onExit", Parent: dag.NoParent}}, nil
}

// GroupOutputs implements dag.Expander.
func (x Expander) GroupOutputs(*dag.Run, int32) (*dag.Outputs, error) { return nil, nil }

// RetryAllowed implements dag.Expander.
func (x Expander) RetryAllowed(_ *dag.Run, _ int32, f *dag.Failure) (bool, error) {
	return f.ExitCode < 5, nil
}
