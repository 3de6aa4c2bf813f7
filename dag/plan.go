package dag

import "errors"

// Form is the form of a plan.
type Form uint8

const (
	// FormArgo is any plan with Argo's meaning.
	FormArgo Form = iota
	// FormCLIC is a plan as the old CLIC programs generate it.
	FormCLIC
)

// Plan is what a submission becomes before anything runs. It is not changed afterwards.
type Plan struct {
	// Name is the plan's name; Task is the full name of the task, the plan's name and a random suffix.
	Name string
	Task string
	Form Form
	// Nodes are the nodes known at submission, parents before their children. Node 0 is the entry.
	Nodes []NodeSpec
	// Params are the values of the workflow's own parameters.
	Params   map[string]string
	Labels   map[string]string
	Priority int32
	// Timeout is the task's deadline from its start; 0 is none. Parallelism bounds its active stages; 0 is no bound.
	Timeout     Duration
	Parallelism int32
	// Suspended starts the task with a hold on its entry.
	Suspended bool
	// OnExit is set where the plan has an exit handler; the Expander makes its node when it is due.
	OnExit bool
	// Limits bound what the plan may become. Zero fields stand for DefaultLimits.
	Limits Limits
}

// Limits bound a run.
type Limits struct {
	Nodes int32 `json:"nodes,omitempty"`
	Depth int32 `json:"depth,omitempty"`
}

// DefaultLimits bound a run whose plan says nothing: nodes in all, and groups inside groups.
var DefaultLimits = Limits{Nodes: 250_000, Depth: 100}

// Expander says what calls become when they are ready to run. It is a pure function of the plan and the run: asked
// twice in the same state, it answers the same. The run records the answer and never asks again for the same node,
// except for the next try of a KindRetry node.
type Expander interface {
	// Expand is asked for a Deferred node whose dependencies are satisfied, and for each try of a KindRetry node
	// (run.Node(i).Tries is its number).
	Expand(run *Run, node int32) Expansion
	// Hook is asked for each name in a node's Hooks when the node's status changes, until it fired. fire is false
	// while the hook's own condition is false.
	Hook(run *Run, node int32, hook string) (spec []NodeSpec, fire bool, err error)
	// OnExit makes the nodes of the exit handler once the entry has ended. The first has the Parent NoParent.
	OnExit(run *Run) ([]NodeSpec, error)
	// GroupOutputs computes the declared outputs of a group (and the aggregate of a fan-out) that completed.
	GroupOutputs(run *Run, node int32) (*Outputs, error)
	// RetryAllowed evaluates the retry expression of a node whose attempt ended with the failure.
	RetryAllowed(run *Run, node int32, failure *Failure) (bool, error)
}

// Program is a compiled plan: what the core and the engine need of it while it runs.
type Program interface {
	Expander
	// Stage says what the executor has to run for the current attempt of a stage. Pure, like Expand.
	Stage(run *Run, node int32) (*StageSpec, error)
}

// Verdict is what an Expansion decides.
type Verdict uint8

const (
	// Go: the node runs (a stage is launched, a group starts with its children).
	Go Verdict = iota
	// Skip: the node's condition is false, or its loop is empty.
	Skip
	// Error: what the plan says cannot be evaluated. The node fails with FailPlan.
	Error
)

// Expansion is what a Deferred node becomes.
type Expansion struct {
	Verdict Verdict
	// Message is the reason of a Skip or an Error.
	Message string
	// Escalate makes an Error fail a group around the node, while the node itself is OMITTED: 1 is the group it is in (Argo
	// does so for a bad condition in a step), 2 the group around that (an argument that cannot be resolved).
	Escalate int
	// Kind is what the node turns out to be.
	Kind   Kind
	Inputs map[string]string
	// Policy replaces the node's policy where not nil (a policy may depend on inputs).
	Policy *Policy
	// Children are the nodes in the group. Parent and Depends count from -(index in Children + 2) for nodes of this same
	// expansion; see Ref. A Parent of SelfParent is the expanded node itself.
	Children []NodeSpec
}

// SelfParent is the Parent of a node in an expansion that is a child of the expanded node. In the specs that Hook
// returns it stands for the group of the hook's node.
const SelfParent int32 = -1 << 30

// Ref is how specs inside one expansion name each other in Parent and Depends before they have indices.
func Ref(position int) int32 { return -int32(position) - 2 }

// Errors that branch.
var (
	// ErrUnknownNode: the run has no such node.
	ErrUnknownNode = errors.New("unknown stage")
	// ErrRefused: the state forbids what was asked. The error is a *Refusal.
	ErrRefused = errors.New("refused")
)

// Refusal says why a request that is legal in itself is not legal in this state. It wraps ErrRefused.
type Refusal struct {
	// Reason says what forbids it; Hint what could be done instead, or "".
	Reason, Hint string
}

// Error gives the reason and the hint.
func (r *Refusal) Error() string {
	if r.Hint == "" {
		return r.Reason
	}
	return r.Reason + "; " + r.Hint
}

// Unwrap makes errors.Is(err, ErrRefused) true.
func (r *Refusal) Unwrap() error { return ErrRefused }
