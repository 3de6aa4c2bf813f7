package dag

// Time is a moment in milliseconds since the Unix epoch; 0 is "not yet".
type Time int64

// Duration is a span of time in milliseconds.
type Duration int64

// Kind says what a node is.
type Kind uint8

const (
	// KindStage is run by an executor.
	KindStage Kind = iota
	// KindDAG is a group whose children depend on each other; its outcome comes from its leaves.
	KindDAG
	// KindSteps is a group of step groups that run one after the other.
	KindSteps
	// KindStepGroup is one group of parallel steps.
	KindStepGroup
	// KindFanOut is the group of the instances of a loop.
	KindFanOut
	// KindRetry is the group of the tries of a template that is itself a group; its outcome is its last child's.
	KindRetry
	// KindGate runs nothing: it holds itself when it becomes ready, and completes when that hold goes (Argo's suspend).
	KindGate

	numKinds = int(KindGate) + 1
)

var kindNames = [numKinds]string{"stage", "dag", "steps", "step-group", "fan-out", "retry", "gate"}

// String names the kind.
func (k Kind) String() string {
	if int(k) < numKinds {
		return kindNames[k]
	}
	return "kind"
}

// Group reports whether nodes of this kind contain others.
func (k Kind) Group() bool { return k >= KindDAG && k <= KindRetry }

// NoParent is the Parent of a root: the plan's entry, and its exit handler.
const NoParent int32 = -1

// NodeSpec is what a node is from the moment it exists. It is written once and never changes, but for Inputs, Kind
// and Policy of a Deferred node, which its expansion settles.
type NodeSpec struct {
	// ID is the stage id of the contract: unique in the whole system, stable across restarts.
	ID string `json:"id"`
	// Name is the call's own name in its group, such as "a" or "a(0:x)".
	Name string `json:"name"`
	// Path is the name of the node in the tree of calls without the task's name in front, such as "[0].a(0:x)".
	Path string `json:"path"`
	Kind Kind   `json:"kind,omitempty"`
	// Parent is the index of the group that the node is in, or NoParent.
	Parent   int32  `json:"parent"`
	Template string `json:"tmpl,omitempty"`
	Platform string `json:"plat,omitempty"`
	// Call is the plan's own reference to the call that made the node. The core hands it back to the Expander.
	Call string `json:"call,omitempty"`
	// Deferred nodes are handed to the Expander when they become ready.
	Deferred bool `json:"defer,omitempty"`
	// Depends says on which siblings the node waits, and for what.
	Depends Depends `json:"dep,omitzero"`
	// Inputs are the resolved input parameters.
	Inputs map[string]string `json:"in,omitempty"`
	// Index is the position of a child in its fan-out, or the number of a try in its retry group.
	Index int32 `json:"idx,omitempty"`
	// Hooks are the names of the node's hooks; "exit" runs when the node has ended.
	Hooks []string `json:"hooks,omitempty"`
	// HookOf is 1 + the index of the node whose hook this is; 0 for all others.
	HookOf int32 `json:"hookof,omitempty"`
	// Policy is shared between nodes and never changed; nil is the default policy.
	Policy *Policy `json:"pol,omitempty"`
}

// Policy is how a node's attempts are treated.
type Policy struct {
	// Retry is nil where the plan asks for none; attempts that never started are repeated all the same (Unstarted).
	Retry *Retry `json:"retry,omitempty"`
	// Unstarted is how often an attempt that never started is repeated without spending a retry; negative: never;
	// 0: DefaultUnstarted.
	Unstarted int32 `json:"unstarted,omitempty"`
	// Timeout ends an attempt that long after its launch; 0 is none. For a group: after its start.
	Timeout Duration `json:"timeout,omitempty"`
	// Callbacks says what the end of the program means where the program reports by itself.
	Callbacks Callbacks `json:"cb,omitempty"`
	// Captures is set where the end of the attempt carries outputs, so that a completion callback alone is not the end.
	Captures bool `json:"cap,omitempty"`
	// Asked says which, where the plan says it: a completion callback that brings them all is the end.
	Asked *Asked `json:"asked,omitempty"`
	// Checked is set where the stage's output is looked at once its program has ended well, so that a completion callback alone is not
	// the end either.
	Checked bool `json:"chk,omitempty"`
	// Withheld is set where what the stage writes is not in its place before it has completed, so that nobody can begin on data that it
	// reports to be prepared.
	Withheld bool `json:"wh,omitempty"`
	// ContinueFailed and ContinueErrored let dependents and the group go on after such an end (Argo's continueOn).
	ContinueFailed  bool `json:"cf,omitempty"`
	ContinueErrored bool `json:"ce,omitempty"`
	// Parallelism bounds the children of a group that are active at once; 0 is no bound.
	Parallelism int32 `json:"par,omitempty"`
	// FailFast lets a steps group leave out what has not started once something in it failed.
	FailFast bool `json:"ff,omitempty"`
	// Priority orders stages that wait for a slot, on top of the task's own; higher goes first.
	Priority int32 `json:"prio,omitempty"`
	// GateFor opens a gate by itself after that long; 0: only somebody's continue opens it.
	GateFor Duration `json:"gate,omitempty"`
	// Grace is how long a stopped program may take to end before it is killed; 0: the executor's default.
	Grace Duration `json:"grace,omitempty"`
}

// DefaultUnstarted is how often an attempt that never started (launch error, image pull, eviction or loss before the
// start) is repeated where the policy does not say.
const DefaultUnstarted = 3

// Callbacks says how the program of a stage reports.
type Callbacks uint8

const (
	// CallbacksNone: the program's exit status decides; reports refine it.
	CallbacksNone Callbacks = iota
	// CallbacksOptional: a stage of the CLIC form. Once it reported its start, only its own report completes it.
	CallbacksOptional
	// CallbacksRequired: like CallbacksOptional, and ending without any report is a failure too.
	CallbacksRequired
)

// Retry is when an attempt that ended badly is repeated.
type Retry struct {
	// Limit is the number of retries after the first attempt; negative is no limit.
	Limit int32 `json:"limit"`
	// Kinds is the set of failure kinds that are retried, as bits 1<<kind; 0 stands for all.
	Kinds uint32 `json:"kinds,omitempty"`
	// Failed and Errored choose by Argo's classes. Both false stands for both.
	Failed  bool `json:"f,omitempty"`
	Errored bool `json:"e,omitempty"`
	// Expression is set where the Expander has to be asked as well (retryStrategy.expression).
	Expression bool `json:"expr,omitempty"`
	// Started repeats a stage of the CLIC form even after it reported its start, which may double appended output.
	Started bool `json:"started,omitempty"`
	// Base is the delay before the first retry, multiplied by Factor for each later one and capped by Cap.
	Base   Duration `json:"base,omitempty"`
	Factor float64  `json:"factor,omitempty"`
	Cap    Duration `json:"cap,omitempty"`
	// Within is the time since the first attempt's start after which nothing is retried any more; 0 is no bound.
	Within Duration `json:"within,omitempty"`
	// Jitter is the share of the delay, 0 to 1, that the event's random number may take off.
	Jitter float64 `json:"jitter,omitempty"`
}

// Outputs is what a node gives to others.
type Outputs struct {
	// Result is the program's standard output without its last newline.
	Result *string           `json:"result,omitempty"`
	Params map[string]string `json:"params,omitempty"`
	// Globals are output parameters that the plan makes known to the whole task.
	Globals map[string]string `json:"globals,omitempty"`
}

// Seen is the set of reports that an attempt has given.
type Seen uint8

const (
	// SeenStarted: the program reported its start.
	SeenStarted Seen = 1 << iota
	// SeenPrepared: the program reported that its data can be read.
	SeenPrepared
	// SeenCompleted: the program reported its completion.
	SeenCompleted
	// SeenRunning: the executor saw the attempt run.
	SeenRunning
	// SeenEnded: the executor saw the attempt's end.
	SeenEnded
	// SeenWaiting: the executor has said why the attempt does not run yet, and the history says so.
	SeenWaiting
)

// Intent is why a stage is being cancelled, and so what it becomes when its attempt has ended.
type Intent uint8

const (
	// IntentNone: nobody stops the stage.
	IntentNone Intent = iota
	// IntentCancel: it becomes CANCELLED.
	IntentCancel
	// IntentFail: it becomes FAILED (or is retried) with the recorded failure, such as a timeout.
	IntentFail
	// IntentRequeue: it becomes SUSPEND or WAITING, and runs again without spending a retry.
	IntentRequeue
	// IntentOmit: a group of which nothing could be evaluated; it becomes OMITTED.
	IntentOmit
)

// AttemptRecord is what is remembered of an attempt that ended without completing the stage.
type AttemptRecord struct {
	Number  int32    `json:"n"`
	Started Time     `json:"start,omitempty"`
	Ended   Time     `json:"end,omitempty"`
	Failure *Failure `json:"fail,omitempty"`
	Outputs *Outputs `json:"out,omitempty"`
}

// MaxHistory bounds the attempts that a node remembers one by one; older ones are forgotten, the count is not.
const MaxHistory = 16

// Usage is what an attempt has used, as far as the executor can tell.
type Usage struct {
	// CPU is processor time (user and system) in milliseconds; MaxRSS the peak memory in bytes.
	// 0 is unknown: the local executor cannot tell a peak below its own from it.
	CPU    Duration `json:"cpu,omitempty"`
	MaxRSS int64    `json:"rss,omitempty"`
}

// Progress is what a stage says of its own advance.
type Progress struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total,omitempty"`
	Message string `json:"msg,omitempty"`
}

// NodeState is what changes in a node's life.
type NodeState struct {
	Status Status `json:"st"`
	// Attempt numbers the launches of a stage from 0; it only grows. Tries counts the retries that were spent.
	Attempt   int32 `json:"att,omitempty"`
	Tries     int32 `json:"tries,omitempty"`
	Unstarted int32 `json:"unst,omitempty"`
	// TriesBase is what Tries was when somebody retried the group, so that it has its retries again.
	TriesBase int32 `json:"tbase,omitempty"`
	// Live is set from the launch until the executor reported the attempt's end, whatever the status says.
	Live bool `json:"live,omitempty"`
	// Kept is set while the attempt is paused: it exists outside and does not run, and its launch lets it go on. It stays set
	// during that launch, until the attempt was seen to run.
	Kept   bool   `json:"kept,omitempty"`
	Seen   Seen   `json:"seen,omitempty"`
	Intent Intent `json:"intent,omitempty"`
	// Expanded is set once the Expander was asked (Deferred nodes) or the group was started.
	Expanded bool `json:"exp,omitempty"`
	// Ready is set while a WAITING stage has its dependencies met and its place in the plan's own limits, so that only a
	// slot is missing.
	Ready bool `json:"ready,omitempty"`
	// Promised is set once the current run of the stage has prepared its data; the promise outlives a failure.
	Promised bool `json:"prom,omitempty"`

	FirstStarted Time `json:"first,omitempty"`
	Launched     Time `json:"launch,omitempty"`
	Started      Time `json:"start,omitempty"`
	PreparedAt   Time `json:"prep,omitempty"`
	Ended        Time `json:"end,omitempty"`
	// RetryAt is when a RETRYING stage is due. Due is when a deadline or a gate's time is over.
	RetryAt Time `json:"retryat,omitempty"`
	Due     Time `json:"due,omitempty"`

	Failure *Failure `json:"fail,omitempty"`
	Message string   `json:"msg,omitempty"`
	// ExitCode is the last attempt's exit status, once Exited.
	ExitCode int32     `json:"exit,omitempty"`
	Exited   bool      `json:"exited,omitempty"`
	Outputs  *Outputs  `json:"out,omitempty"`
	Usage    *Usage    `json:"usage,omitempty"`
	Progress *Progress `json:"prog,omitempty"`
	// Holds are the ids of the holds that the node carries, in the order in which they came.
	Holds   []int64         `json:"holds,omitempty"`
	History []AttemptRecord `json:"hist,omitempty"`
	// Info is the executor's description of the attempt (a process, a Job), for people.
	Info string `json:"info,omitempty"`
	// Reason is what the executor last said about an attempt that does not run yet.
	Reason string `json:"reason,omitempty"`
	// Warnings are events that do not change the outcome but that somebody should read.
	Warnings []string `json:"warn,omitempty"`
}

// Node is a node of a run. Its exported fields are read-only outside this package.
type Node struct {
	Index int32
	Spec  *NodeSpec
	NodeState

	// What follows can be computed from the specs and states of all nodes (see rebuild).

	children   []int32
	dependents []int32
	hooks      []int32
	unsettled  int32 // dependencies that are not settled for this node yet
	openKids   int32 // children (hooks included) that are not settled yet
	places     int32 // places of the group's parallelism that are taken
	placed     bool  // takes a place of its boundary's parallelism, and of the task's
	settled    bool  // dependents and parent have been told of the end
	waitlist   indexHeap
}

// Children are the indices of the nodes in a group, in the order in which they were made.
func (n *Node) Children() []int32 { return n.children }

// Dependents are the indices of the nodes whose condition names this one.
func (n *Node) Dependents() []int32 { return n.dependents }

// Hooked are the indices of the hooks of this node that have been made.
func (n *Node) Hooked() []int32 { return n.hooks }
