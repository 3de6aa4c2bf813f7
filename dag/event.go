package dag

// Event is something that happened to a run. At is when; the core knows no other time.
type Event interface{ event() }

type (
	// Start begins the run: its entry becomes ready. Given once, by whoever submits.
	Start struct{ At Time }

	// Grant gives a ready stage its slot: WAITING becomes LAUNCHING.
	Grant struct {
		At   Time
		Node int32
	}

	// Report is a callback of the stage program itself, or of an executor, about an attempt.
	Report struct {
		At   Time
		Node int32
		// Attempt is the attempt the report is about; CurrentAttempt for programs that cannot say.
		Attempt int32
		What    What
		// Failure goes with ReportFailed; Outputs with ReportCompleted and ReportOutputs; Progress with ReportProgress.
		Failure  *Failure
		Outputs  *Outputs
		Progress *Progress
		// Info is what the program said of itself, for people.
		Info string
	}

	// Observed is what an executor saw of an attempt.
	Observed struct {
		At      Time
		Node    int32
		Attempt int32
		Phase   AttemptPhase
		// Reason explains a pending attempt; Info describes it for people.
		Reason, Info string
		// ExitCode goes with the ended phases; Failure with AttemptFailed.
		ExitCode int32
		Failure  *Failure
		Outputs  *Outputs
		Usage    *Usage
		// Progress is how far a running attempt is, where the executor can tell.
		Progress *Progress
		// Started is when the attempt really began, where the executor knows better than At.
		Started Time
		// Kept goes with AttemptStopped where the attempt was paused: it does not run, and its next launch lets it go on.
		Kept bool
		// Random in [0,1) drives the jitter of a retry.
		Random float64
	}

	// Suspend puts a hold on a node and on what depends on it.
	Suspend struct {
		At   Time
		Node int32
		Hold Hold
	}

	// Continue removes the hold whose root is the node.
	Continue struct {
		At   Time
		Node int32
		Who  string
	}

	// Cancel stops the whole task (Node < 0) or one node.
	Cancel struct {
		At   Time
		Node int32
		Who  string
		// Why is kept as the message. Handlers asks for the exit handler to run (Argo's stop, not terminate).
		Why      string
		Handlers bool
	}

	// SkipStage marks a node that was not launched as SKIPPED, so that its dependents go on.
	SkipStage struct {
		At   Time
		Node int32
		Who  string
		Why  string
	}

	// RetryTask runs failed, cancelled and omitted nodes again, and what depends on them.
	RetryTask struct {
		At  Time
		Who string
		// Nodes restricts it to these nodes and what depends on them; empty is all.
		Nodes []int32
	}

	// Tick says that time has passed: every timer that is due by At fires for the node, or for the task (Node < 0).
	Tick struct {
		At   Time
		Node int32
	}
)

func (Start) event()     {}
func (Grant) event()     {}
func (Report) event()    {}
func (Observed) event()  {}
func (Suspend) event()   {}
func (Continue) event()  {}
func (Cancel) event()    {}
func (SkipStage) event() {}
func (RetryTask) event() {}
func (Tick) event()      {}

// CurrentAttempt stands for whichever attempt is current, in reports of programs that do not know their number.
const CurrentAttempt int32 = -1

// What is the kind of a Report.
type What uint8

const (
	// ReportStarted: the program has begun.
	ReportStarted What = iota + 1
	// ReportPrepared: the program's output can be read; dependents may start.
	ReportPrepared
	// ReportCompleted: the program's work is done.
	ReportCompleted
	// ReportFailed: the program's work failed.
	ReportFailed
	// ReportHeartbeat: the program is alive.
	ReportHeartbeat
	// ReportProgress: the program says how far it is.
	ReportProgress
)

// AttemptPhase is where an executor sees an attempt.
type AttemptPhase uint8

const (
	// AttemptPending: accepted outside, not running yet; Reason says why.
	AttemptPending AttemptPhase = iota + 1
	// AttemptRunning: the program runs.
	AttemptRunning
	// AttemptSucceeded: the program ended with exit status 0 and its outputs are there.
	AttemptSucceeded
	// AttemptFailed: the attempt ended otherwise; Failure says how.
	AttemptFailed
	// AttemptStopped: the attempt was stopped because somebody asked the executor to.
	AttemptStopped
)

// Mode is how a hold treats stages that already run.
type Mode uint8

const (
	// HoldStart holds what was not launched yet. Suspending a stage that runs is refused.
	HoldStart Mode = iota
	// HoldDrain lets the stage run to its end and holds what depends on it.
	HoldDrain
	// HoldRequeue stops the stage's attempt; it runs again after continue, without spending a retry.
	HoldRequeue
)

// String is the mode's name in the shell and on the wire.
func (m Mode) String() string { return [...]string{"hold", "drain", "requeue"}[m%3] }

// Hold is one suspension: who held what, why, since when, and until when at most.
type Hold struct {
	// ID numbers the holds of a task; Root is the node it was put on.
	ID   int64  `json:"id"`
	Root int32  `json:"root"`
	Mode Mode   `json:"mode,omitempty"`
	Who  string `json:"who,omitempty"`
	Why  string `json:"why,omitempty"`
	// Since is when it was put; Until releases it by itself, 0 is never.
	Since Time `json:"since"`
	Until Time `json:"until,omitempty"`
}

// Entry is a line of a task's history: a status that changed, or something that somebody should know.
type Entry struct {
	At Time `json:"at"`
	// Node is the node's index, or -1 for the task.
	Node int32 `json:"n"`
	// Stage is the node's id, for readers who do not have the run.
	Stage string `json:"stage,omitempty"`
	// From and To are the statuses of a transition; both are "" for a note.
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Attempt int32  `json:"att,omitempty"`
	Message string `json:"msg,omitempty"`
	Who     string `json:"who,omitempty"`
}

// Delta is what a Step changed. Indices are without repetition.
type Delta struct {
	// Header is set when the task's own record changed.
	Header bool
	// Added are nodes whose spec and state are new; Changed are nodes whose state changed (and Respecced whose spec did).
	Added, Changed, Respecced []int32
	// Log is the history of the change.
	Log []Entry
}

// Empty reports whether nothing has to be written.
func (d *Delta) Empty() bool {
	return !d.Header && len(d.Added) == 0 && len(d.Changed) == 0 && len(d.Log) == 0 && len(d.Respecced) == 0
}
