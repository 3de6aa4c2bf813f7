package plan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/dag/plan/probes"
)

// TestRuns runs the plans in testdata/runs with real processes, and compares what became of each node with the golden file.
func TestRuns(t *testing.T) {
	files, err := filepath.Glob("testdata/runs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc, ds := plan.Parse(filepath.Base(file), text)
			if err := ds.Err(); err != nil {
				t.Fatal(err)
			}
			task := plan.TaskName(doc.Name(), [8]byte{0, 1, 2, 3, 4, 5, 6, 7})
			p, prog, ds := doc.Build(doc.Name(), task, plan.BuildOptions{})
			if err := ds.Err(); err != nil {
				t.Fatal(err)
			}
			r := newRunner(t, p, prog)
			r.finish()
			got := describe(r.run)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// describe lists every node of a run in the order of the paths: id, path, kind, status, exit code, message, inputs, outputs.
func describe(run *dag.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %q\n", run.Task().Name, run.Task().Status, run.Task().Message)
	nodes := make([]*dag.Node, run.Len())
	for i := range nodes {
		nodes[i] = run.Node(int32(i))
	}
	slices.SortFunc(nodes, func(a, b *dag.Node) int { return strings.Compare(a.Spec.Path, b.Spec.Path) })
	for _, n := range nodes {
		fmt.Fprintf(&b, "%s %q %s %s", n.Spec.ID, n.Spec.Path, n.Spec.Kind, probes.Phase(n))
		if n.Exited {
			fmt.Fprintf(&b, " exit=%d", n.ExitCode)
		}
		if n.Message != "" {
			fmt.Fprintf(&b, " %q", n.Message)
		}
		list(&b, "in", n.Spec.Inputs)
		if n.Outputs != nil {
			if n.Outputs.Result != nil {
				fmt.Fprintf(&b, " result=%q", *n.Outputs.Result)
			}
			list(&b, "out", n.Outputs.Params)
			list(&b, "global", n.Outputs.Globals)
		}
		for _, h := range n.History {
			fmt.Fprintf(&b, " try%d=%d", h.Number, h.Failure.ExitCode)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func list(b *strings.Builder, what string, m map[string]string) {
	var lines []string
	for k, v := range m {
		lines = append(lines, fmt.Sprintf("%s:%q", k, v))
	}
	if slices.Sort(lines); len(lines) > 0 {
		fmt.Fprintf(b, " %s{%s}", what, strings.Join(lines, " "))
	}
}
