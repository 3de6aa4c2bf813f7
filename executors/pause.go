package executors

import (
	"context"
	"time"
)

// Pauser is an Executor that can stop an attempt so that the same attempt goes on later, as a Kubernetes Job that is
// suspended does. What the attempt had in memory is lost; its name, and what the executor keeps for it, are not.
type Pauser interface {
	// Pause stops the attempt's programs like Cancel, and keeps the attempt. It returns when the stop is under way; once
	// nothing of it runs, that is reported as dag.AttemptStopped with Sighting.Kept. A Launch of the same attempt lets it go
	// on. Idempotent. An attempt that has ended, or that has never been, is no error: its end is reported (without Kept). A
	// call that was given up must not take effect after a later Launch of the same attempt.
	//
	// Kept is only ever reported of attempts that were paused by this call: one that somebody else has stopped for a while
	// is pending. Recover is given kept attempts like those that run; an attempt of which nothing is left is begun anew by
	// Launch.
	Pause(ctx context.Context, attemptID string, grace time.Duration) error
}
