package executors_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
)

func TestMain(m *testing.M) {
	if local.RunShimIfAsked() {
		return
	}
	m.Run()
}

// A lost request, a lost answer and a doubled report, in front of an executor that runs.
func TestFaulty(t *testing.T) {
	next, err := local.New(local.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("lost")
	var mu sync.Mutex
	var asked []executors.Op
	fail := map[string]error{} // by when and id
	e := executors.Faulty(next, executors.Faults{
		Before: func(op executors.Op, id string) error {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, op)
			return fail["before "+id]
		},
		After: func(_ executors.Op, id string) error { return fail["after "+id] },
		Sighting: func(s executors.Sighting) []executors.Sighting {
			if s.Phase == dag.AttemptRunning {
				return nil
			}
			return []executors.Sighting{s, s}
		},
	})
	seen := make(chan executors.Sighting, 10)
	if err := e.Start(t.Context(), func(_ context.Context, s executors.Sighting) error { seen <- s; return nil }); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	file := filepath.Join(t.TempDir(), "ran")
	a := executors.Attempt{ID: "a", Stage: "a", Spec: &dag.StageSpec{Command: []string{"sh", "-c", "echo x >> " + file}}}
	for _, when := range []string{"before a", "after a"} {
		fail = map[string]error{when: lost}
		if err := e.Launch(t.Context(), a); !errors.Is(err, lost) {
			t.Errorf("%s: Launch gave %v", when, err)
		}
	}
	for range 2 {
		if s := <-seen; s.AttemptID != "a" || s.Phase != dag.AttemptSucceeded {
			t.Errorf("%+v", s)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x\n" {
		t.Errorf("it ran: %q, %v", b, err)
	}
	if _, err := e.Logs(t.Context(), "a", executors.LogOptions{}); !errors.Is(err, lost) {
		t.Errorf("Logs gave %v", err)
	}
	fail = nil
	if err := errors.Join(e.Recover(t.Context(), 1, nil), e.Cancel(t.Context(), "b", 0), e.Forget(t.Context(), []string{"a"})); err != nil {
		t.Error(err)
	}
	want := []executors.Op{executors.OpLaunch, executors.OpLaunch, executors.OpLogs, executors.OpRecover, executors.OpCancel, executors.OpForget}
	for i, op := range want {
		if i >= len(asked) || asked[i] != op {
			t.Fatalf("asked about %v, want %v", asked, want)
		}
	}
}
