package plan_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

// What Argo Workflows 3.7.0 made of the plans in testdata/probes stands in golden.json beside them. TestProbes runs each
// with real processes and compares node by node.

type goldenRun struct {
	Phase, Message string
	Nodes          []goldenNode
}

type goldenNode struct {
	Path, Template, Type, Phase, Message string
	ExitCode                             *int32
	Outputs                              struct {
		Result     *string
		Parameters map[string]*string
	}
	Inputs struct{ Parameters map[string]string }
}

// row is a line of the table that the test prints.
type row struct {
	probe, argo, clic, verdict string
	nodes                      int
}

func TestProbes(t *testing.T) {
	var golden map[string]goldenRun
	b, err := os.ReadFile("testdata/probes/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/probes/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("probes are missing: %d, %v", len(files), err)
	}
	var mu sync.Mutex
	var rows []row
	t.Run("probe", func(t *testing.T) {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			want, ok := golden[name]
			if !ok {
				t.Fatalf("no golden run of %s", name)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := probe(t, name, file, want)
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
func probe(t *testing.T, name, file string, want goldenRun) row {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := row{probe: name, argo: want.Phase, nodes: len(want.Nodes), verdict: "equal"}
	doc, ds := plan.Parse(name+".yaml", text)
	if ds.HasErrors() {
		if len(want.Nodes) > 0 || !strings.HasPrefix(want.Message, "invalid spec") {
			t.Errorf("refused, but Argo runs it: %v", ds.Err())
		}
		out.clic, out.verdict = "refused", "refused: "+ds[0].Rule
		return out
	}
	task := plan.TaskName(doc.Name(), [8]byte{1, 9, 3, 3, 2, 7, 4, 8})
	p, prog, ds := doc.Build(doc.Name(), task, plan.BuildOptions{})
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, p, prog)
	r.onRunning = stopper(name)
	r.finish()
	c := comparison{t: t, run: r.run, task: task, want: want, seen: map[int32]bool{}}
	c.all()
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

// stopper cancels the two probes that somebody stopped in Argo as well.
func stopper(name string) func(*runner, int32) {
	why, handlers := "Stopped with strategy 'Stop'", true
	switch name {
	case "stop-me":
	case "terminate-me":
		why, handlers = "Stopped with strategy 'Terminate'", false
	default:
		return nil
	}
	var once sync.Once
	return func(r *runner, _ int32) {
		once.Do(func() { r.events <- dag.Cancel{At: r.now(), Node: -1, Who: "test", Why: why, Handlers: handlers} })
	}
}

// comparison compares a run with Argo's.
type comparison struct {
	t    *testing.T
	run  *dag.Run
	task string
	want goldenRun
	seen map[int32]bool
}

func (c *comparison) all() {
	c.outcome()
	byPath := map[string]int32{}
	for i := range c.run.Len() {
		byPath["WF"+c.run.Node(int32(i)).Spec.Path] = int32(i)
	}
	retries := map[string]bool{}
	for _, g := range c.want.Nodes {
		if g.Type == "Retry" {
			retries[g.Path] = true
		}
	}
	for _, g := range c.want.Nodes {
		if i, ok := byPath[g.Path]; ok {
			c.seen[i] = true
			c.node(g, c.run.Node(i))
			continue
		}
		parent, number, ok := cutTry(g.Path)
		i, known := byPath[parent]
		if !ok || !retries[parent] || !known {
			c.t.Errorf("%s: Argo has this node, clic does not", g.Path)
			continue
		}
		c.attempt(g, c.run.Node(i), number)
	}
	for i := range c.run.Len() {
		n := c.run.Node(int32(i))
		never := n.Status == dag.Omitted || n.Status == dag.Cancelled && n.Started == 0 && c.run.Task().Stop != nil
		if !c.seen[int32(i)] && !never && !loopOfSteps(c.run, n) {
			c.t.Errorf("%s: clic has this node, %s, Argo does not", c.run.Path(int32(i)), n.Status)
		}
	}
}

// loopOfSteps: in steps, Argo has no node for a loop as a whole.
func loopOfSteps(run *dag.Run, n *dag.Node) bool {
	return n.Spec.Kind == dag.KindFanOut && run.Node(n.Spec.Parent).Spec.Kind == dag.KindStepGroup
}

// cutTry takes the number of a try off a path.
func cutTry(path string) (parent string, number int, ok bool) {
	at := strings.LastIndexByte(path, '(')
	if at < 0 {
		return "", 0, false
	}
	_, err := fmt.Sscanf(path[at:], "(%d)", &number)
	return path[:at], number, err == nil
}

func (c *comparison) outcome() {
	got, want := c.run.Task().Status, c.want.Phase
	switch {
	case strings.HasPrefix(c.want.Message, "Stopped with strategy"):
		want = "CANCELLED"
	case want == "Succeeded":
		want = "COMPLETED"
	default:
		want = "FAILED"
	}
	if got.String() != want {
		c.t.Errorf("the task is %s (%s), want %s", got, c.run.Task().Message, want)
	}
	if s := c.run.Task().Stop; s != nil && s.Timeout {
		return // the deadline is the reason here; Argo names the step that it stopped
	}
	message := strings.TrimPrefix(c.want.Message, "error in entry template execution: ")
	// Ours goes on with what failed inside, and why.
	if got := c.plain(c.run.Task().Message); message != "" && got != message && !strings.HasPrefix(got, message+": ") {
		c.t.Errorf("the task's message is %q, want %q", got, message)
	}
}

// plain writes the task's name as the golden file does.
func (c *comparison) plain(s string) string { return strings.ReplaceAll(s, c.task, "WF") }

func phaseOf(n *dag.Node) string {
	switch n.Status {
	case dag.Completed:
		return "Succeeded"
	case dag.Failed:
		if n.Failure != nil && n.Failure.Errored {
			return "Error"
		}
		return "Failed"
	case dag.Skipped:
		return "Skipped"
	case dag.Omitted:
		return "Omitted"
	}
	return n.Status.String()
}

func (c *comparison) node(g goldenNode, n *dag.Node) {
	phase := phaseOf(n)
	if n.Status == dag.Cancelled && strings.HasPrefix(c.want.Message, "Stopped") {
		phase = "Failed"
	}
	if phase != g.Phase {
		c.t.Errorf("%s is %s (%s), want %s", g.Path, phase, n.Message, g.Phase)
	}
	c.messageOf(g, n)
	if g.ExitCode != nil && g.Type != "Skipped" && (!n.Exited || n.ExitCode != *g.ExitCode) {
		c.t.Errorf("%s: exit code %d (%v), want %d", g.Path, n.ExitCode, n.Exited, *g.ExitCode)
	}
	if diff := cmp.Diff(inputs(g.Inputs.Parameters), inputs(n.Spec.Inputs)); diff != "" {
		c.t.Errorf("%s: inputs differ:\n%s", g.Path, c.plain(diff))
	}
	c.outputs(g, n.Outputs)
}

func (c *comparison) messageOf(g goldenNode, n *dag.Node) {
	if g.Message == "" || n.Status == dag.Cancelled {
		return // what Argo says nothing of may have a message here
	}
	got := c.plain(n.Message)
	if n.Failure != nil && n.Failure.Kind == dag.FailTimeout {
		return // the deadline has words of its own
	}
	if got != g.Message {
		c.t.Errorf("%s: message %q, want %q", g.Path, got, g.Message)
	}
}

func (c *comparison) outputs(g goldenNode, got *dag.Outputs) {
	if got == nil {
		got = &dag.Outputs{}
	}
	if r := g.Outputs.Result; r != nil && (got.Result == nil || *got.Result != *r) {
		c.t.Errorf("%s: result %v, want %q", g.Path, deref(got.Result), *r)
	}
	for name, v := range g.Outputs.Parameters {
		switch have, ok := got.Params[name]; {
		case v == nil && ok:
			c.t.Errorf("%s: output %s is %q, want none", g.Path, name, have)
		case v != nil && (!ok || have != *v):
			c.t.Errorf("%s: output %s is %q, want %q", g.Path, name, have, *v)
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%q", *s)
}

// attempt compares a child of Argo's Retry node with an attempt of ours.
func (c *comparison) attempt(g goldenNode, n *dag.Node, number int) {
	if number >= len(n.History) {
		if int(n.Attempt) != number || n.Status != dag.Completed {
			c.t.Errorf("%s: there are %d failed attempts and the last is number %d", g.Path, len(n.History), n.Attempt)
			return
		}
		if g.Phase != "Succeeded" {
			c.t.Errorf("%s succeeded, want %s", g.Path, g.Phase)
		}
		c.outputs(g, n.Outputs)
		return
	}
	a := n.History[number]
	phase := "Failed"
	if a.Failure.Errored {
		phase = "Error"
	}
	if phase != g.Phase || a.Failure.Message != g.Message || g.ExitCode != nil && int32(a.Failure.ExitCode) != *g.ExitCode {
		c.t.Errorf("%s is %s %q %d, want %s %q %d", g.Path, phase, a.Failure.Message, a.Failure.ExitCode, g.Phase, g.Message, *g.ExitCode)
	}
	c.outputs(g, a.Outputs)
}

// inputs are parameters to compare. The list of failures has times, names of pods and an order that are Argo's own.
func inputs(params map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range params {
		out[k] = withoutTimes(v)
	}
	return out
}

func withoutTimes(v string) string {
	at := strings.Index(v, `"[{`)
	if at < 0 {
		return v
	}
	var quoted string
	var list []map[string]any
	if _, err := fmt.Sscanf(v[at:], "%q", &quoted); err != nil || json.Unmarshal([]byte(quoted), &list) != nil {
		return v
	}
	var lines []string
	for _, f := range list {
		delete(f, "finishedAt")
		delete(f, "podName")
		for k, x := range f {
			if s, ok := x.(string); ok {
				f[k] = strings.ReplaceAll(s, taskOf(s), "WF")
			}
		}
		b, _ := json.Marshal(f)
		lines = append(lines, string(b))
	}
	sort.Strings(lines)
	return v[:at] + strings.Join(lines, "\n")
}

// taskOf finds the name of the task that was used, which the golden file writes as WF.
func taskOf(s string) string {
	const suffix = "-bjddchei"
	if i := strings.Index(s, suffix); i >= 0 {
		start := strings.LastIndexAny(s[:i], "' ") + 1
		return s[start : i+len(suffix)]
	}
	return "\x00"
}
