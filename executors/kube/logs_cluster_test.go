//go:build cluster

package kube_test

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

// The cluster knows when each line was written, to the second.
func TestLogsSince(t *testing.T) {
	s := newSite(t, nil)
	s.launch(t, "since", `echo early; sleep 3; date +%s; `+forever, "")
	s.sees(t, "since", "that it runs", isRunning)
	followed, err := s.e.Logs(t.Context(), "since", executors.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = followed.Close() }()
	lines := bufio.NewScanner(followed)
	late := ""
	for lines.Scan() && late == "" {
		if lines.Text() != "early" {
			late = lines.Text()
			break
		}
	}
	seconds, err := strconv.ParseInt(late, 10, 64)
	if err != nil {
		t.Fatalf("it printed %q: %v", late, lines.Err())
	}
	for back, want := range map[int64]string{1: late + "\n", 60: "early\n" + late + "\n"} {
		l, err := s.e.Logs(t.Context(), "since", executors.LogOptions{Since: time.Unix(seconds-back, 0)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(l)
		if got := string(b); err != nil || got != want {
			t.Errorf("since %d s before: %q, %v; want %q", back, got, err, strings.ReplaceAll(want, "\n", " "))
		}
		_ = l.Close()
	}
}
