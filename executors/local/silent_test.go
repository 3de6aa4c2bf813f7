package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// kept counts what is kept in a part of the data directory.
func (w *world) kept(part string) int {
	w.Helper()
	entries, err := os.ReadDir(filepath.Join(w.c.DataDir, part))
	if err != nil {
		w.Fatal(err)
	}
	return len(entries)
}

// Attempts that leave nothing cost no directory each, and are known all the same: to who launches them again, to who reads
// their logs, and to the next nursery.
func TestSilent(t *testing.T) {
	w := newWorld(t)
	const n = 30
	id := func(i int) string { return fmt.Sprintf("silent%d", i) }
	attempts := make([]executors.Attempt, n)
	for i := range attempts {
		// Each looks whether another one has left anything to it.
		script := fmt.Sprintf(`[ -z "$(ls -A . "$TMPDIR" | grep -v :)" ] && [ -d "$CLIC_ATTEMPT_DIR" ] || exit 99; exit %d`, i%3)
		attempts[i] = w.attempt(id(i), script)
		w.launch(attempts[i])
		if s := w.end(id(i)); s.ExitCode != i%3 {
			t.Errorf("%s: %+v, %+v", id(i), s, s.Failure)
		}
	}
	if got := w.kept("attempts"); got > 3 { // one, or more where the next came before the last was tidied up
		t.Errorf("%d directories are kept of %d attempts", got, n)
	}
	w.launch(w.attempt(id(4), "exit 98"))
	if s := w.end(id(4)); s.ExitCode != 1 {
		t.Errorf("launched again: %+v, %+v", s, s.Failure)
	}
	for _, follow := range []bool{false, true} {
		if got := w.log(id(4), executors.LogOptions{Follow: follow}); got != "" {
			t.Errorf("the log is %q", got)
		}
	}
	w.killNursery()
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.open()
	if err := w.e.Recover(t.Context(), 1, attempts); err != nil {
		t.Fatal(err)
	}
	for recovered := map[string]bool{}; len(recovered) < n; { // reports may come twice
		s := <-w.seen
		recovered[s.AttemptID] = true
		var i int
		if _, err := fmt.Sscanf(s.AttemptID, "silent%d", &i); err != nil || s.ExitCode != i%3 || s.Phase == dag.AttemptRunning {
			t.Errorf("recovered: %+v, %+v", s, s.Failure)
		}
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = id(i)
	}
	if err := w.e.Forget(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	if a, e := w.kept("attempts"), w.kept("ended"); a+e > 0 {
		t.Errorf("%d directories and %d records are kept of what was forgotten", a, e)
	}
	if _, err := w.e.Logs(t.Context(), id(4), executors.LogOptions{}); !errors.Is(err, executors.ErrNoLogs) {
		t.Errorf("the log of what was forgotten: %v", err)
	}
	w.launch(w.attempt(id(4), "exit 5"))
	w.until("what was forgotten to run anew", func() bool { return w.end(id(4)).ExitCode == 5 })
}

// What an attempt leaves behind, outside of what it was given too, is not found by another one.
func TestLeftBehind(t *testing.T) {
	for _, where := range []string{".", "$TMPDIR", "$TMPDIR/..", "$CLIC_ATTEMPT_DIR"} {
		t.Run(where, func(t *testing.T) {
			w := newWorld(t)
			w.launch(w.attempt("first", fmt.Sprintf(`touch "%s/left"`, where)))
			w.end("first")
			w.launch(w.attempt("second", fmt.Sprintf(`[ ! -e "%s/left" ]`, where)))
			if s := w.end("second"); s.Phase != dag.AttemptSucceeded {
				t.Errorf("%+v, %+v", s, s.Failure)
			}
		})
	}
}
