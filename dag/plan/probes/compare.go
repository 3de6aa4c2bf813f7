package probes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// comparison compares an outcome with Argo's.
type comparison struct {
	Outcome
	want        Run
	seen        map[int32]bool
	differences []string
}

// Compare gives the differences between an outcome and what Argo made of the plan, a line or more each. What we call by another name
// on purpose is none: a task that was stopped is CANCELLED, and deadlines have words of their own.
func Compare(o Outcome, want Run) []string {
	c := comparison{Outcome: o, want: want, seen: map[int32]bool{}}
	c.outcome()
	byPath := map[string]*dag.Node{}
	for _, n := range o.Nodes {
		byPath["WF"+n.Spec.Path] = n
	}
	retries := map[string]bool{}
	for _, g := range want.Nodes {
		if g.Type == "Retry" {
			retries[g.Path] = true
		}
	}
	for _, g := range want.Nodes {
		if n, ok := byPath[g.Path]; ok {
			c.seen[n.Index] = true
			c.node(g, n)
			continue
		}
		parent, number, ok := cutTry(g.Path)
		n, known := byPath[parent]
		if !ok || !retries[parent] || !known {
			c.differ("%s: Argo has this node, clic does not", g.Path)
			continue
		}
		c.attempt(g, n, number)
	}
	for _, n := range o.Nodes {
		never := n.Status == dag.Omitted || n.Status == dag.Cancelled && n.Started == 0 && o.Task.Stop != nil
		if !c.seen[n.Index] && !never && !c.loopOfSteps(n) {
			c.differ("WF%s: clic has this node, %s, Argo does not", n.Spec.Path, n.Status)
		}
	}
	return c.differences
}

func (c *comparison) differ(format string, args ...any) {
	c.differences = append(c.differences, fmt.Sprintf(format, args...))
}

// loopOfSteps: in steps, Argo has no node for a loop as a whole.
func (c *comparison) loopOfSteps(n *dag.Node) bool {
	return n.Spec.Kind == dag.KindFanOut && c.Nodes[n.Spec.Parent].Spec.Kind == dag.KindStepGroup
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

// outcome compares the task as a whole.
func (c *comparison) outcome() {
	want := c.want.Phase
	switch {
	case strings.HasPrefix(c.want.Message, "Stopped with strategy"):
		want = "CANCELLED"
	case want == "Succeeded":
		want = "COMPLETED"
	default:
		want = "FAILED"
	}
	if c.Task.Status.String() != want {
		c.differ("the task is %s (%s), want %s", c.Task.Status, c.Task.Message, want)
	}
	if s := c.Task.Stop; s != nil && s.Timeout {
		return // the deadline is the reason here; Argo names the step that it stopped
	}
	message := strings.TrimPrefix(c.want.Message, "error in entry template execution: ")
	// Ours goes on with what failed inside, and why.
	if got := c.plain(c.Task.Message); message != "" && got != message && !strings.HasPrefix(got, message+": ") {
		c.differ("the task's message is %q, want %q", got, message)
	}
}

// plain writes the task's name as Argo's answers do.
func (c *comparison) plain(s string) string { return strings.ReplaceAll(s, c.Task.Name, "WF") }

// Phase is what Argo calls the state of a node.
func Phase(n *dag.Node) string {
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

func (c *comparison) node(g Node, n *dag.Node) {
	got := Phase(n)
	if n.Status == dag.Cancelled && strings.HasPrefix(c.want.Message, "Stopped") {
		got = "Failed"
	}
	if got != g.Phase {
		c.differ("%s is %s (%s), want %s", g.Path, got, n.Message, g.Phase)
	}
	c.message(g, n)
	if g.ExitCode != nil && g.Type != "Skipped" && (!n.Exited || n.ExitCode != *g.ExitCode) {
		c.differ("%s: exit code %d (%v), want %d", g.Path, n.ExitCode, n.Exited, *g.ExitCode)
	}
	want, have := c.inputs(g.Inputs.Parameters), c.inputs(n.Spec.Inputs)
	for _, name := range slices.Sorted(maps.Keys(union(want, have))) {
		if want[name] != have[name] {
			c.differ("%s: input %s is %q, want %q", g.Path, name, have[name], want[name])
		}
	}
	c.outputs(g, n.Outputs)
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func (c *comparison) message(g Node, n *dag.Node) {
	if g.Message == "" || n.Status == dag.Cancelled {
		return // what Argo says nothing of may have a message here
	}
	if n.Failure != nil && n.Failure.Kind == dag.FailTimeout {
		return // the deadline has words of its own
	}
	if got := c.plain(n.Message); got != g.Message {
		c.differ("%s: message %q, want %q", g.Path, got, g.Message)
	}
}

func (c *comparison) outputs(g Node, got *dag.Outputs) {
	if got == nil {
		got = &dag.Outputs{}
	}
	if r := g.Outputs.Result; r != nil && (got.Result == nil || *got.Result != *r) {
		c.differ("%s: result %s, want %q", g.Path, quoted(got.Result), *r)
	}
	for name, v := range g.Outputs.Parameters {
		switch have, ok := got.Params[name]; {
		case v == nil && ok:
			c.differ("%s: output %s is %q, want none", g.Path, name, have)
		case v != nil && (!ok || have != *v):
			c.differ("%s: output %s is %q, want %q", g.Path, name, have, *v)
		}
	}
}

func quoted(s *string) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%q", *s)
}

// attempt compares a child of Argo's Retry node with an attempt of ours.
func (c *comparison) attempt(g Node, n *dag.Node, number int) {
	if number >= len(n.History) {
		if int(n.Attempt) != number || n.Status != dag.Completed {
			c.differ("%s: there are %d failed attempts and the last is number %d", g.Path, len(n.History), n.Attempt)
			return
		}
		if g.Phase != "Succeeded" {
			c.differ("%s succeeded, want %s", g.Path, g.Phase)
		}
		c.outputs(g, n.Outputs)
		return
	}
	a := n.History[number]
	got := "Failed"
	if a.Failure.Errored {
		got = "Error"
	}
	if got != g.Phase || a.Failure.Message != g.Message || g.ExitCode != nil && int32(a.Failure.ExitCode) != *g.ExitCode {
		c.differ("%s is %s %q %d, want %s %q %s", g.Path, got, a.Failure.Message, a.Failure.ExitCode, g.Phase, g.Message, exitCode(g.ExitCode))
	}
	c.outputs(g, a.Outputs)
}

func exitCode(code *int32) string {
	if code == nil {
		return "without exit code"
	}
	return fmt.Sprint(*code)
}

// inputs are parameters to compare. The list of failures has times, names of pods and an order that are Argo's own.
func (c *comparison) inputs(params map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range params {
		out[k] = c.withoutTimes(v)
	}
	return out
}

func (c *comparison) withoutTimes(v string) string {
	at := strings.Index(v, `"[{`)
	if at < 0 {
		return c.plain(v)
	}
	var text string
	var list []map[string]any
	if _, err := fmt.Sscanf(v[at:], "%q", &text); err != nil || json.Unmarshal([]byte(text), &list) != nil {
		return c.plain(v)
	}
	var lines []string
	for _, f := range list {
		delete(f, "finishedAt")
		delete(f, "podName")
		for k, x := range f {
			if s, ok := x.(string); ok {
				f[k] = c.plain(s)
			}
		}
		b, _ := json.Marshal(f) // made of JSON, so it can be written as such
		lines = append(lines, string(b))
	}
	slices.Sort(lines)
	return c.plain(v[:at]) + strings.Join(lines, "\n")
}
