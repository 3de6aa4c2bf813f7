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

// A stage that was asked for outputs is completed by the report that brings all of them. What its executor sees later is no news.
func TestReportWithOutputs(t *testing.T) {
	result := func(s string) *string { return &s }
	all := &dag.Asked{Result: true, Params: []dag.AskedParam{{Name: "x", Global: "gx"}, {Name: "y"}}}
	for name, tt := range map[string]struct {
		asked   *dag.Asked
		outputs *dag.Outputs
		checked bool
		want    dag.Status
	}{
		"all":               {all, &dag.Outputs{Result: result("r"), Params: map[string]string{"x": "1", "y": "", "more": "3"}}, false, dag.Completed},
		"none":              {all, nil, false, dag.Running},
		"no result":         {all, &dag.Outputs{Params: map[string]string{"x": "1", "y": "2"}}, false, dag.Running},
		"a parameter less":  {all, &dag.Outputs{Result: result("r"), Params: map[string]string{"x": "1"}}, false, dag.Running},
		"not known":         {nil, &dag.Outputs{Result: result("r"), Params: map[string]string{"x": "1", "y": "2"}}, false, dag.Running},
		"to be looked at":   {all, &dag.Outputs{Result: result("r"), Params: map[string]string{"x": "1", "y": "2"}}, true, dag.Running},
		"only the result":   {&dag.Asked{Result: true}, &dag.Outputs{Result: result("")}, false, dag.Completed},
		"only a parameter":  {&dag.Asked{Params: all.Params[:1]}, &dag.Outputs{Params: map[string]string{"x": "1"}}, false, dag.Completed},
		"parameter missing": {&dag.Asked{Params: all.Params[:1]}, &dag.Outputs{Result: result("r")}, false, dag.Running},
	} {
		t.Run(name, func(t *testing.T) {
			run, _, err := dag.New(&dag.Plan{Name: "p", Task: "p", Nodes: []dag.NodeSpec{
				{ID: "p", Path: "", Kind: dag.KindDAG, Parent: dag.NoParent},
				{ID: "p-a", Name: "a", Path: ".a", Policy: &dag.Policy{Captures: true, Asked: tt.asked, Checked: tt.checked}},
			}}, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			step := func(ev dag.Event) {
				t.Helper()
				if _, err := run.Step(ev); err != nil {
					t.Fatalf("%T: %v", ev, err)
				}
			}
			step(dag.Start{At: 2})
			step(dag.Grant{At: 3, Node: 1})
			step(dag.Report{At: 4, Node: 1, Attempt: 0, What: dag.ReportCompleted, Outputs: tt.outputs})
			if n := run.Node(1); n.Status != tt.want {
				t.Fatalf("after the report it is %s", n.Status)
			}
			// The end brings what the executor has; what came before stays where it has less.
			step(dag.Observed{At: 5, Node: 1, Attempt: 0, Phase: dag.AttemptSucceeded})
			n := run.Node(1)
			if n.Status != dag.Completed || !n.Exited || len(n.Warnings) > 0 || run.Task().Status != dag.TaskCompleted {
				t.Errorf("after its end it is %s, exited %v, %q", n.Status, n.Exited, n.Warnings)
			}
			if tt.asked == nil || tt.outputs == nil || len(tt.asked.Params) == 0 || tt.outputs.Params == nil {
				return
			}
			if got := run.Task().Globals["gx"]; got != "1" || n.Outputs.Globals["gx"] != "1" || tt.outputs.Globals != nil {
				t.Errorf("the task knows gx as %q, the stage has %v", got, n.Outputs)
			}
		})
	}
}

// What a stage writes that is published in the end is nobody's before: that it is prepared is noted, and lets no dependent begin.
func TestPreparedIsWithheld(t *testing.T) {
	run, _, err := dag.New(&dag.Plan{Name: "p", Task: "p", Nodes: []dag.NodeSpec{
		{ID: "p", Path: "", Kind: dag.KindDAG, Parent: dag.NoParent},
		{ID: "p-a", Name: "a", Path: ".a", Policy: &dag.Policy{Checked: true, Withheld: true}},
		{ID: "p-b", Name: "b", Path: ".b", Depends: dag.Depends{On: []int32{1}}},
	}}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	prepared := dag.Report{At: 4, Node: 1, Attempt: 0, What: dag.ReportPrepared}
	notes := 0
	for _, ev := range []dag.Event{dag.Start{At: 2}, dag.Grant{At: 3, Node: 1}, prepared, prepared} {
		d, err := run.Step(ev)
		if err != nil {
			t.Fatalf("%T: %v", ev, err)
		}
		for _, e := range d.Log {
			if e.Node == 1 && e.From == "" && e.To == "" {
				notes++
			}
		}
	}
	if a, b := run.Node(1), run.Node(2); a.Status != dag.Running || b.Ready || notes != 1 {
		t.Errorf("a is %s, b is ready %v, after %d notes; want RUNNING, false, 1", a.Status, b.Ready, notes)
	}
	if _, err := run.Step(dag.Observed{At: 5, Node: 1, Attempt: 0, Phase: dag.AttemptSucceeded}); err != nil {
		t.Fatal(err)
	}
	if a, b := run.Node(1), run.Node(2); a.Status != dag.Completed || !b.Ready {
		t.Errorf("at its end a is %s, b is ready %v", a.Status, b.Ready)
	}
}
