package plan_test

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/dag/plan/probes"
)

// What Argo Workflows 3.7.0 made of the plans in testdata/probes stands in golden.json beside them. TestProbes runs each
// with real processes and compares node by node.

// row is a line of the table that the test prints.
type row struct {
	probe, argo, clic, verdict string
	nodes                      int
}

func TestProbes(t *testing.T) {
	all, err := probes.Read("testdata/probes")
	if err != nil || len(all) < 50 {
		t.Fatalf("probes are missing: %d, %v", len(all), err)
	}
	var mu sync.Mutex
	var rows []row
	t.Run("probe", func(t *testing.T) {
		for _, p := range all {
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				r := probe(t, p)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, r)
			})
		}
	})
	sort.Slice(rows, func(i, j int) bool { return rows[i].probe < rows[j].probe })
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "probe\tArgo\tclic\tnodes\tverdict")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", r.probe, r.argo, r.clic, r.nodes, r.verdict)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

// probe runs one plan and compares it with what Argo made of it.
func probe(t *testing.T, p probes.Probe) row {
	t.Helper()
	out := row{probe: p.Name, argo: p.Want.Phase, nodes: len(p.Want.Nodes), verdict: "equal"}
	doc, ds := plan.Parse(p.Name+".yaml", p.YAML)
	if ds.HasErrors() {
		if !p.Refused() {
			t.Errorf("refused, but Argo runs it: %v", ds.Err())
		}
		out.clic, out.verdict = "refused", "refused: "+ds[0].Rule
		return out
	}
	task := plan.TaskName(doc.Name(), [8]byte{1, 9, 3, 3, 2, 7, 4, 8})
	built, prog, ds := doc.Build(doc.Name(), task, plan.BuildOptions{})
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, built, prog)
	r.onRunning = stopper(p)
	r.finish()
	for _, difference := range probes.Compare(probes.OutcomeOf(r.run), p.Want) {
		t.Error(difference)
	}
	out.clic = r.run.Task().Status.String()
	switch {
	case out.clic == "CANCELLED":
		out.verdict = "equal, but for the word: what is stopped is CANCELLED here"
	case r.run.Task().Stop != nil:
		out.verdict = "equal, but for the task's message: it names the deadline"
	}
	if t.Failed() {
		out.verdict = "DIFFERENT"
	}
	return out
}

// stopper cancels the probes that somebody stopped in Argo as well.
func stopper(p probes.Probe) func(*runner, int32) {
	why, handlers, ok := p.Stop()
	if !ok {
		return nil
	}
	var once sync.Once
	return func(r *runner, _ int32) {
		once.Do(func() { r.events <- dag.Cancel{At: r.now(), Node: -1, Who: "test", Why: why, Handlers: handlers} })
	}
}
