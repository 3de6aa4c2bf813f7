package dag_test

import (
	"testing"

	"github.com/clic-orchestrator/clic/dag"
)

// A stage whose program reports its completion before the executor has seen the end has an exit status for those who ask for it in the
// plan, unless it is one of the old programs, which go on after their report.
func TestExitStatusOfReport(t *testing.T) {
	for name, tt := range map[string]struct {
		callbacks dag.Callbacks
		want      bool
	}{
		"exit status decides": {dag.CallbacksNone, true},
		"old program":         {dag.CallbacksOptional, false},
	} {
		t.Run(name, func(t *testing.T) {
			run, _, err := dag.New(&dag.Plan{Name: "p", Task: "p", Nodes: []dag.NodeSpec{
				{ID: "p", Path: "", Kind: dag.KindDAG, Parent: dag.NoParent},
				{ID: "p-a", Name: "a", Path: ".a", Policy: &dag.Policy{Callbacks: tt.callbacks}},
			}}, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range []dag.Event{
				dag.Start{At: 2},
				dag.Grant{At: 3, Node: 1},
				dag.Report{At: 4, Node: 1, Attempt: 0, What: dag.ReportCompleted},
			} {
				if _, err := run.Step(ev); err != nil {
					t.Fatalf("%T: %v", ev, err)
				}
			}
			n := run.Node(1)
			if n.Status != dag.Completed || n.Exited != tt.want || n.ExitCode != 0 {
				t.Fatalf("after the report it is %s, exited %v with %d", n.Status, n.Exited, n.ExitCode)
			}
			end := dag.Observed{At: 5, Node: 1, Attempt: 0, Phase: dag.AttemptFailed, ExitCode: 3, Failure: dag.NewFailure(dag.FailExit, 3, "")}
			if _, err := run.Step(end); err != nil {
				t.Fatal(err)
			}
			if n := run.Node(1); n.Status != dag.Completed || !n.Exited || n.ExitCode != 3 || len(n.Warnings) == 0 {
				t.Errorf("after its end it is %s, exited %v with %d, %q", n.Status, n.Exited, n.ExitCode, n.Warnings)
			}
		})
	}
}
