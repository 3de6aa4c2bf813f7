package local

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

// sightingOf says what the nursery's news of an attempt mean. A pure function of them; now is for news without a time.
func sightingOf(r *nursery.Response, now time.Time) executors.Sighting {
	s := executors.Sighting{AttemptID: r.ID, At: now}
	if b := r.Begun; b != nil {
		s.Phase = dag.AttemptRunning
		s.Started = time.UnixMilli(b.Started)
		s.At = s.Started
		s.Info = infoOf(b)
	}
	if r.Waits != "" {
		s.Phase = dag.AttemptPending
		s.Reason = r.Waits
	}
	if r.Unknown {
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailLost, 0, "nothing is known of this attempt on this machine")
	}
	if r.End != nil {
		ended(&s, r.End)
	}
	return s
}

func infoOf(b *nursery.Begun) string {
	var parts []string
	if b.PID > 0 {
		parts = append(parts, fmt.Sprintf("pid %d", b.PID))
	}
	if b.Note != "" {
		parts = append(parts, b.Note)
	}
	return strings.Join(parts, "; ")
}

func ended(s *executors.Sighting, e *nursery.End) {
	s.At = time.UnixMilli(e.At)
	if e.Started != 0 {
		s.Started = time.UnixMilli(e.Started)
	}
	s.ExitCode = e.Exit
	if e.CPU != 0 || e.MaxRSS != 0 {
		s.Usage = &dag.Usage{CPU: dag.Duration(e.CPU), MaxRSS: e.MaxRSS}
	}
	if e.Result != nil || len(e.Params) > 0 {
		s.Outputs = &dag.Outputs{Result: e.Result, Params: e.Params}
	}
	for _, note := range []string{e.Note, killedNote(e)} {
		if note != "" {
			s.Info = strings.TrimPrefix(s.Info+"; "+note, "; ")
		}
	}
	switch {
	case e.Stopped:
		s.Phase = dag.AttemptStopped
	case e.Lost != "":
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailLost, 0, e.Lost)
	case e.Failed != "":
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailLaunch, 0, e.Failed)
	case e.Refusal != "":
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailExit, e.Exit, fmt.Sprintf("main: Error (exit code %d): %s", e.Exit, e.Refusal))
	case e.Exit != 0:
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailExit, e.Exit, exitMessage(e))
	case e.Output != "":
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailOutput, 0, "wait: Error (exit code 64): "+e.Output)
	default:
		s.Phase = dag.AttemptSucceeded
	}
}

func killedNote(e *nursery.End) string {
	if e.Killed == 0 || e.Stopped {
		return ""
	}
	return fmt.Sprintf("stopped %d process(es) that it left running", e.Killed)
}

// exitMessage says what Argo would, and more where a signal ended the program.
func exitMessage(e *nursery.End) string {
	m := fmt.Sprintf("main: Error (exit code %d)", e.Exit)
	if e.Signal == 0 {
		return m
	}
	sig := syscall.Signal(e.Signal)
	m += fmt.Sprintf(": ended by signal %d (%s)", e.Signal, sig)
	if sig == syscall.SIGKILL {
		m += " that was not sent from here: the system may have run out of memory, or somebody killed it"
	}
	return m
}

// stoppedUnknown is the report of an attempt that was to be stopped and that there never was, or no longer is.
func stoppedUnknown(id string, now time.Time) executors.Sighting {
	return executors.Sighting{
		AttemptID: id, Phase: dag.AttemptStopped, At: now, Info: "nothing was running",
	}
}
