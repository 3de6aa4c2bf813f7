package engine

import (
	"context"
	"io"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// API is what the engine does for front ends. Names are full task names and stage ids. Errors wrap dag.ErrUnknownNode or
// store.ErrNotFound for names that nothing has, dag.ErrRefused (a *dag.Refusal) where the state forbids it,
// *plan.InvalidError for bad plans, store.ErrUnavailable and ErrStopping where the same call may succeed later.
type API interface {
	Submit(ctx context.Context, s Submission) (*Submitted, error)
	// Task reads one task; Tasks a page of them.
	Task(ctx context.Context, name string) (*TaskView, error)
	Tasks(ctx context.Context, q store.Query) (*TaskPage, error)
	// Source is the plan's YAML as it was submitted.
	Source(ctx context.Context, task string) ([]byte, error)
	Stage(ctx context.Context, stageID string) (*StageView, error)
	Stages(ctx context.Context, q StageQuery) (*StagePage, error)
	// Explain says why a stage is where it is: the core's reason, refined by the dispatcher (slots) and the executor.
	Explain(ctx context.Context, stageID string) (*dag.Explanation, error)

	// Suspend puts a hold; an empty stageID with a task name holds the whole task by its entry. Hold.Root, ID and Since
	// are set by the engine.
	Suspend(ctx context.Context, target Target, hold dag.Hold) (*HoldView, error)
	Continue(ctx context.Context, target Target, who string) error
	Cancel(ctx context.Context, target Target, who, why string, handlers bool) error
	Skip(ctx context.Context, stageID, who, why string) error
	PlanRetry(ctx context.Context, task string, stages []string) (*RetryPlan, error)
	Retry(ctx context.Context, task string, stages []string, who string) (*RetryPlan, error)
	// Delete removes an ended task with its logs; force cancels one that has not ended first and waits for its end.
	Delete(ctx context.Context, task string, force bool, who string) error

	// Report takes a callback of a stage program. accepted is false where it came too late and changed nothing.
	Report(ctx context.Context, r StageReport) (accepted bool, cancelRequested bool, err error)

	// Watch gives history entries after the cursor; without any it waits for the first until ctx is done, and then gives
	// an empty page and no error.
	Watch(ctx context.Context, task string, cursor uint64, limit int) (*EventPage, error)
	// Logs opens the log of an attempt (attempt < 0: the newest). The number of the attempt is returned.
	Logs(ctx context.Context, stageID string, attempt int32, o executors.LogOptions) (io.ReadCloser, int32, error)
	// ResultPath says where the result of a stage is: for the CLIC form the outputPath of its dagPath file, else the
	// parameter named "outputPath" or the value of outputs.result. *NotReadyError unless the stage is COMPLETED.
	ResultPath(ctx context.Context, stageID string) (*ResultRef, error)
	Info(ctx context.Context) Info
	// Stale reports whether the store has not confirmed for a while what the calls above say, and since when.
	Stale() (since dag.Time, stale bool)
}

// Target names a task (Stage == "") or a stage (Task may be "").
type Target struct{ Task, Stage string }

// Submission is a plan to run.
type Submission struct {
	// PlanName names the task; "" takes the plan's own name.
	PlanName string
	// File is where the plan came from, for messages.
	File string
	YAML []byte
	plan.BuildOptions
	// DryRun validates and builds, and starts nothing.
	DryRun bool
	// RequestID makes the submission idempotent.
	RequestID string
	Owner     string
	// Options go to the executors.
	Options map[string]string
	// Retain is how long the task is kept after its end; 0 is the engine's default.
	Retain    dag.Duration
	Suspended bool
	// Claim takes hold of what the task needs elsewhere, under the task's name, before there is a task; its error is the submission's.
	// What it took for a task that came to nothing is for its owner to find. May be nil.
	Claim func(ctx context.Context, task string) error
}

// Submitted is the answer to a submission.
type Submitted struct {
	Task        string
	Created     bool
	Stages      int
	Diagnostics plan.Diagnostics
}

// TaskView is a task as it stood at one moment.
type TaskView struct {
	dag.Task
	Holds []HoldView
	// Expires is when the task is deleted by itself, 0 for never. Remaining is the estimated time to its end, or < 0.
	Expires   dag.Time
	Remaining dag.Duration
}

// TaskPage is a part of the list of tasks.
type TaskPage struct {
	Tasks []TaskView
	Next  string
}

// HoldView is a hold with the id of its root.
type HoldView struct {
	dag.Hold
	RootStage string
}

// StageView is a node as it stood at one moment.
type StageView struct {
	Task  string
	Index int32
	dag.NodeSpec
	dag.NodeState
	// Parents and Children are the ids of what it depends on and what depends on it; Group is the id of the group it is in.
	Parents, Children []string
	Group             string
	Holds             []HoldView
	// Explanation is set where it was asked for.
	Explanation *dag.Explanation
}

// StageQuery restricts a list of stages.
type StageQuery struct {
	Task     string
	Statuses []dag.Status
	Groups   bool
	Explain  bool
	// After is the index after which the page starts, counted as index+1 (0: from the beginning).
	After int32
	Limit int
}

// StagePage is a part of a task's stages. Next is the After of the next page, or -1.
type StagePage struct {
	Stages []StageView
	Next   int32
}

// RetryPlan is what a retry runs again, and what it keeps.
type RetryPlan struct{ Reset, Kept []string }

// StageReport is a callback.
type StageReport struct {
	StageID string
	// Attempt is dag.CurrentAttempt where the program does not know it. Token is checked where it is not "".
	Attempt  int32
	Token    string
	What     dag.What
	Failure  *dag.Failure
	Outputs  *dag.Outputs
	Progress *dag.Progress
	Info     string
}

// EventPage is a part of a task's history. Cursor continues it; Done is set when the task has ended and all was given.
type EventPage struct {
	Events []Event
	Cursor uint64
	Status dag.TaskStatus
	Done   bool
}

// Event is a history entry with its number.
type Event struct {
	Seq uint64
	dag.Entry
}

// ResultRef is where a stage's result is: a path, or the value itself.
type ResultRef struct {
	StageID string
	Path    string
	Value   *string
}

// Info describes the engine.
type Info struct {
	Epoch        uint64
	ActiveTasks  int
	ActiveStages int
	Executors    []string
	// Troubles are the executors that can do nothing at the moment, by name.
	Troubles map[string]executors.Trouble
	// StaleSince is since when the store has not confirmed what is in memory, 0 if it does; StoreTrouble says why.
	StaleSince   dag.Time
	StoreTrouble string
}

// NotReadyError says what a stage whose result was asked for is waiting for.
type NotReadyError struct {
	StageID     string
	Status      dag.Status
	Explanation dag.Explanation
}

// Error names the stage, its status and the reason.
func (e *NotReadyError) Error() string {
	return "stage " + e.StageID + " has no result yet: it is " + e.Status.String() + " (" + e.Explanation.Text + ")"
}
