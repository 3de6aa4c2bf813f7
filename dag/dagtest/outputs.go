package dagtest

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag"
)

// asked draws what a stage's attempts have to bring; nil is where a plan does not say.
func (b *builder) asked() *dag.Asked {
	if !b.chance(2, "asked") {
		return nil
	}
	a := &dag.Asked{Result: rapid.Bool().Draw(b.t, "askedResult")}
	for _, name := range []string{"x", "y"} {
		if b.chance(2, "askedParam") {
			a.Params = append(a.Params, dag.AskedParam{Name: name, Global: rapid.SampledFrom([]string{"", "g"}).Draw(b.t, "global")})
		}
	}
	return a
}

// outputs draws what a program reports with its completion.
func outputs(t *rapid.T) *dag.Outputs {
	o := &dag.Outputs{}
	all := rapid.Bool().Draw(t, "all outputs")
	if all || rapid.Bool().Draw(t, "result") {
		text := "r"
		o.Result = &text
	}
	for _, name := range []string{"x", "y"} {
		if all || rapid.Bool().Draw(t, "param "+name) {
			if o.Params == nil {
				o.Params = map[string]string{}
			}
			o.Params[name] = name + "!"
		}
	}
	if o.Result == nil && o.Params == nil {
		return nil
	}
	return o
}

// checkOutputs: a stage whose outputs are wanted is not completed by its report alone, unless the report brings them all; then it is,
// and what is wanted by the whole task is known there.
func (w *World) checkOutputs(ev dag.Event, _ dag.Delta) error {
	r, ok := ev.(dag.Report)
	if !ok || r.What != dag.ReportCompleted {
		return nil
	}
	n, before := w.Run.Node(r.Node), w.last[r.Node]
	p := n.Spec.Policy
	current := r.Attempt == dag.CurrentAttempt || r.Attempt == n.Attempt
	if n.Spec.Kind != dag.KindStage || !current || !before.Active() || before == dag.Cancelling || p == nil || !p.Captures && !p.Checked {
		return nil
	}
	whole := p.Asked != nil && r.Outputs != nil && (!p.Asked.Result || r.Outputs.Result != nil)
	if whole {
		for _, a := range p.Asked.Params {
			whole = whole && r.Outputs.Params[a.Name] != ""
		}
	}
	want := !p.Checked && whole
	if got := n.Status == dag.Completed; got != want {
		return fmt.Errorf("%s is %s after a report with %+v of %+v (looked at: %v)", n.Spec.ID, n.Status, r.Outputs, p.Asked, p.Checked)
	}
	if !want {
		return nil
	}
	for _, a := range p.Asked.Params {
		if a.Global != "" && (w.Run.Task().Globals[a.Global] == "" || n.Outputs.Globals[a.Global] == "") {
			return fmt.Errorf("%s brought %q, and the task does not know it as %q", n.Spec.ID, a.Name, a.Global)
		}
	}
	return nil
}
