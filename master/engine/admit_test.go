package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
)

// What the configuration says of a submission counts: its options go to the executor, its executor runs the stages, and its
// remarks are the answer.
func TestAdmit(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) {
		c.Route = func(string) string { return "nobody" }
		c.Admit = func(a Admission) (map[string]string, plan.Diagnostics) {
			note := a.Document.Remark(plan.SeverityNote, "seen", fmt.Sprint(a.Options, a.Labels), "", "metadata", "name")
			if a.Options["where"] == "" {
				return nil, append(a.Diagnostics, note)
			}
			return map[string]string{OptionExecutor: a.Options["where"], "namespace": "n"}, append(a.Diagnostics, note)
		}
	}, func(r *rig) {
		ctx := context.Background()
		submit := func(where string) (*Submitted, error) {
			return r.engine.Submit(ctx, Submission{
				YAML: []byte(graph("a")), Options: map[string]string{"where": where}, BuildOptions: plan.BuildOptions{Labels: map[string]string{"l": "v"}},
			})
		}
		for where, want := range map[string]string{"": "nobody", "elsewhere": "elsewhere"} {
			_, err := submit(where)
			if invalid := new(plan.InvalidError); !errors.As(err, &invalid) || !strings.Contains(err.Error(), fmt.Sprintf("executor %q should run", want)) {
				t.Errorf("executor %q: %v", where, err)
			}
		}
		a, err := submit("local")
		if err != nil {
			t.Fatal(err)
		}
		if n := len(a.Diagnostics); n != 1 || !strings.Contains(a.Diagnostics[0].Message, "where:local") || !strings.Contains(a.Diagnostics[0].Message, "l:v") {
			t.Errorf("said: %v", a.Diagnostics)
		}
		r.expect(a.Task, "a=RUNNING")
		r.restart()
		r.expect(a.Task, "a=RUNNING") // on the same executor
		if o := w.procs[r.id(a.Task, "a")].attempt.Options; o["namespace"] != "n" || o[OptionExecutor] != "local" || o["where"] != "" {
			t.Errorf("options: %v", o)
		}
	})
}

// While an executor cannot be reached launches wait, as long as it takes.
func TestExecutorIsAway(t *testing.T) {
	var away []error
	for range 30 {
		away = append(away, fmt.Errorf("%w: connection refused", executors.ErrAway))
	}
	w := newWorld(func(executors.Attempt) behaviour { return behaviour{Hold: true, Errors: away} })
	inBubble(t, w, nil, func(r *rig) {
		task := r.submit(graph("a"))
		r.expect(task, "a=LAUNCHING")
		x, err := r.engine.Explain(context.Background(), r.id(task, "a"))
		if want := `executor "local" cannot launch it now: executor cannot be reached: connection refused`; err != nil || x.Reason != dag.ReasonExecutor || x.Text != want {
			t.Errorf("explained as %v, %v", x, err)
		}
		r.sleep(80 * time.Second)
		r.expect(task, "a=LAUNCHING")
		r.sleep(20 * time.Second)
		r.expect(task, "a=RUNNING")
	})
}
