package dag

import "testing"

// What was stopped or lost before its program had begun has no exit status, and 0 least of all.
func TestExited(t *testing.T) {
	for _, c := range []struct {
		name string
		seen Observed
		want bool
	}{
		{"succeeded", Observed{Phase: AttemptSucceeded}, true},
		{"failed by itself", Observed{Phase: AttemptFailed, ExitCode: 3}, true},
		{"failed without a reason", Observed{Phase: AttemptFailed}, true},
		{"without its output", Observed{Phase: AttemptFailed, Failure: NewFailure(FailOutput, 0, "")}, true},
		{"could not be launched", Observed{Phase: AttemptFailed, ExitCode: 128, Failure: NewFailure(FailLaunch, 128, "")}, false},
		{"killed at its deadline", Observed{Phase: AttemptFailed, ExitCode: 143, Failure: NewFailure(FailTimeout, 143, "")}, true},
		{"ended well at its deadline", Observed{Phase: AttemptFailed, Started: 5, Failure: NewFailure(FailTimeout, 0, "")}, true},
		{"its deadline came before it began", Observed{Phase: AttemptFailed, Failure: NewFailure(FailTimeout, 0, "")}, false},
		{"evicted before it began", Observed{Phase: AttemptFailed, Failure: NewFailure(FailEvicted, 0, "")}, false},
		{"lost", Observed{Phase: AttemptFailed, Failure: NewFailure(FailLost, 0, "")}, false},
		{"stopped before it began", Observed{Phase: AttemptStopped}, false},
		{"stopped, ends well", Observed{Phase: AttemptStopped, Started: 5}, true},
		{"stopped by force", Observed{Phase: AttemptStopped, ExitCode: 137}, true},
	} {
		if got := c.seen.exited(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
