package plan

import (
	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// templateSet is the plan in the Argo form, as it is needed to expand calls.
type templateSet struct {
	wf     *wfv1.Workflow
	all    []*template
	byName map[string]int
	// entry is the index of the entry template, -1 where there is none.
	entry int
	// exit is the plan's exit handler or nil; hooks are its other hooks.
	exit  *hook
	hooks []*hook
	// globals are the names that outputs are made global under.
	globals map[string]bool
	// exprs are the parsed expressions, by their text.
	exprs map[string]*expr.Expression
}

// template is something that can be called.
type template struct {
	index int
	// name is the template's own name; for one written inside a call, the call's.
	name     string
	src      *wfv1.Template
	at       *where
	kind     dag.Kind
	platform string
	// clicArg is the parameter that holds the command line, where the template is one of the CLIC form.
	clicArg string
	inputs  []input
	outputs []output
	calls   []*call
	byName  map[string]int
	// groups are the calls of each group of a steps template.
	groups [][]int
	target text
}

// retried reports whether the template is a group that is tried several times as a whole.
func (t *template) retried() bool { return t.src.RetryStrategy != nil && t.kind.Group() }

// nodeKind is the kind of the nodes that calls of the template make.
func (t *template) nodeKind() dag.Kind {
	if t.retried() {
		return dag.KindRetry
	}
	return t.kind
}

// input is a parameter of a template.
type input struct {
	name string
	// value and fallback are the parameter's own value and default; nil where there is none.
	value, fallback *text
	enum            []string
}

// output is an output parameter of a template.
type output struct {
	name, global string
	path         text
	parameter    text
	expression   string
	fallback     *text
}

// argument is a value that a call passes.
type argument struct {
	name  string
	value text
}

// call is a step of a steps template or a task of a dag.
type call struct {
	index, group int
	name         string
	at           *where
	callee       int // -1 where there is no such template
	args         []argument
	when         text
	hasWhen      bool
	loop         *loop
	depends      *expr.DependsExpr
	deps         []int // calls that it names, without repetition
	continues    [2]bool
	hooks        []*hook
	// dynamic calls become nodes only once they are ready to run.
	dynamic bool
	// resultUsed is set where something refers to the call's outputs.result.
	resultUsed bool
}

// loop is a call's withItems, withParam or withSequence.
type loop struct {
	items                     []expr.Item
	param                     *text
	start, end, count, format text
}

// hook is something that runs because of another node's status.
type hook struct {
	name       string
	at         *where
	callee     int
	args       []argument
	expression string
}

// exitHook is the hook that runs when its node has ended; its node is called onExit.
const exitHook = "exit"
