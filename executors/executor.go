// Package executors is the contract between the engine and whatever runs attempts of stages: processes of this machine,
// Kubernetes Jobs, Spark drivers. Package executortest is the suite that every implementation passes.
package executors

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/clic-orchestrator/clic/dag"
)

// Errors that callers branch on.
var (
	// ErrNoLogs: the attempt has no log (yet, or any more).
	ErrNoLogs = errors.New("no log")
	// ErrClosed: the executor was stopped.
	ErrClosed = errors.New("executor is closed")
	// ErrNever marks a launch error that repeating cannot mend, such as a command that does not exist. Launch returns it
	// wrapped; the attempt then fails with dag.FailLaunch, and is not launched again by itself.
	ErrNever = errors.New("cannot be launched")
)

// Attempt is one launch of a stage.
type Attempt struct {
	// ID names the attempt (dag.AttemptID): deterministic, so that launching twice is adopting.
	ID string
	// Task is the task's full name, Stage the stage id, Number the attempt's number from 0.
	Task, Stage string
	Number      int32
	// Epoch is the leader's epoch at the decision. An executor that has seen a higher one refuses.
	Epoch uint64
	Spec  *dag.StageSpec
	// MasterHost and MasterPort are where the stage's program calls back. Token proves to the master that a callback comes
	// from this attempt; it goes into the environment and never into a log.
	MasterHost string
	MasterPort int
	Token      string
	// OutputPath is where the attempt is to write its data; "" if the plan says nothing of it.
	OutputPath string
	// Options are the task's own for executors (a namespace, say).
	Options map[string]string
}

// Executor launches, stops and watches attempts. All methods may be called from several goroutines.
type Executor interface {
	// Start begins watching. What is seen goes to sink, from any goroutine, until Stop has returned. Sink may block for
	// back-pressure. Reports may come twice and out of order; the core drops what is stale.
	Start(ctx context.Context, sink Sink) error
	// Launch starts the attempt. Idempotent by Attempt.ID: an attempt that exists already, running or ended, is adopted
	// and its state reported. A returned error means that nothing was started, and nothing will be by this call: where that
	// is not known, the executor asks until it is, or until ctx is done. Unless it wraps ErrNever the engine
	// repeats the call with back-off; without end if it wraps ErrAway, and else a few times.
	Launch(ctx context.Context, a Attempt) error
	// Cancel stops the attempt and its children: politely, then after grace by force (0: the executor's default). It
	// returns when the stop is under way; the end is reported to the sink as dag.AttemptStopped. Idempotent; an unknown
	// attempt is no error and is reported as stopped too.
	Cancel(ctx context.Context, attemptID string, grace time.Duration) error
	// Recover is called once after Start with every attempt that may exist outside. Each is re-adopted (its state is
	// reported) or reported as failed with dag.FailLost. Attempts of the executor's that are not in the list are orphans
	// of tasks that are gone: they are stopped. epoch is that of the leader; an executor that has seen a higher one refuses
	// with ErrStale, and one that has not refuses launches of lower ones from then on.
	Recover(ctx context.Context, epoch uint64, attempts []Attempt) error
	// Logs reads the attempt's output. ErrNoLogs if there is none.
	Logs(ctx context.Context, attemptID string, o LogOptions) (io.ReadCloser, error)
	// Forget drops what is kept of ended attempts (files, objects). Unknown ids are no error.
	Forget(ctx context.Context, attemptIDs []string) error
	// Stop ends watching and waits for the executor's goroutines. Attempts run on. Idempotent.
	Stop(ctx context.Context) error
}

// LogOptions choose a part of a log.
type LogOptions struct {
	// Offset is the first byte; negative counts from the end. Limit is the most bytes to return; 0 is all.
	Offset, Limit int64
	// TailLines restricts to the last lines; 0 is all.
	TailLines int
	// Since leaves out what was written before; zero is nothing. Offsets then count from there. Where it is not known when each
	// line was written, all is given of a log that was written to since then, and nothing of another.
	Since time.Time
	// Follow goes on until the attempt has ended or the context is done.
	Follow bool
	// Stderr chooses the error output only, Stdout the standard output only; neither (or both) is everything, in order as
	// far as the executor knows it.
	Stdout, Stderr bool
}

// Sink takes what an executor saw. It returns an error only when the executor should stop reporting.
type Sink func(ctx context.Context, s Sighting) error

// Sighting is what an executor saw of one attempt.
type Sighting struct {
	AttemptID string
	Phase     dag.AttemptPhase
	At        time.Time
	// Started is when the attempt really began, if known.
	Started time.Time
	// Reason explains a pending attempt in one line. Info describes the attempt for people ("pid 4711").
	Reason, Info string
	ExitCode     int
	Failure      *dag.Failure
	Outputs      *dag.Outputs
	Usage        *dag.Usage
	// Progress is how far a running attempt is, where the executor can tell; nil leaves what was known.
	Progress *dag.Progress
	// Kept goes with dag.AttemptStopped where the attempt was paused and can go on: see Pauser.
	Kept bool
}
