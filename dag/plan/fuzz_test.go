package plan_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

// FuzzParse: whatever the text, reading and building it ends soon and without a panic, each diagnostic has its parts, and
// what was built is accepted by the core and has a program for each of its stages.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"probes", "runs", "diagnostics"} {
		files, err := filepath.Glob("testdata/" + dir + "/*.yaml")
		if err != nil || len(files) == 0 {
			f.Fatal(dir, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add(clicText(3))
	f.Add(argoText(3))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) <= 64<<10 {
			try(t, text)
		}
	})
}

// FuzzLines mixes lines of the plans in testdata, so that more of what is tried is YAML: each three numbers replace one
// line by any line that is indented as deep, put it there twice, or leave it out.
func FuzzLines(f *testing.F) {
	var plans [][]string
	deep := map[int][]string{}
	for _, dir := range []string{"probes", "runs", "diagnostics"} {
		files, err := filepath.Glob("testdata/" + dir + "/*.yaml")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			lines := strings.SplitAfter(string(b), "\n")
			plans = append(plans, lines)
			for _, l := range lines {
				deep[depth(l)] = append(deep[depth(l)], l)
			}
		}
	}
	f.Add(byte(0), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, which byte, changes []byte) {
		lines := append([]string(nil), plans[int(which)%len(plans)]...)
		for ; len(changes) >= 3; changes = changes[3:] {
			at := int(changes[0]) % len(lines)
			pool := deep[depth(lines[at])]
			switch n := int(changes[1])<<8 | int(changes[2]); n % 8 {
			case 0:
				lines[at] = ""
			case 1:
				lines[at] += lines[at]
			case 2:
				lines[at] += pool[n%len(pool)]
			default:
				lines[at] = pool[n%len(pool)]
			}
		}
		try(t, []byte(strings.Join(lines, "")))
	})
}

func depth(line string) int { return len(line) - len(strings.TrimLeft(line, " -")) }

// try reads, builds and asks.
func try(t *testing.T, text []byte) {
	t.Helper()
	began := time.Now()
	doc, ds := plan.Parse("fuzz.yaml", text)
	check(t, ds)
	if doc == nil {
		return
	}
	doc.Report()
	p, prog, built := doc.Build("fuzz", "fuzz-abcdefgh", plan.BuildOptions{Limits: dag.Limits{Nodes: 2000}})
	check(t, built)
	if ds.HasErrors() != (p == nil) && !built.HasErrors() {
		t.Fatalf("errors %v but plan %v", ds.HasErrors(), p != nil)
	}
	if p == nil {
		return
	}
	run, _, err := dag.New(p, prog, 1)
	if err != nil {
		t.Fatalf("the core refuses the plan: %v", err)
	}
	ask(t, run, prog)
	simulate(t, run, prog)
	if d := time.Since(began); d > 20*time.Second {
		t.Fatalf("it took %s", d)
	}
}

// simulate runs a plan with programs that end at once, well or badly by turns. It must end, unless it waits for somebody.
func simulate(t *testing.T, run *dag.Run, prog dag.Program) {
	t.Helper()
	now, turn := dag.Time(1000), 0
	step := func(ev dag.Event) {
		if _, err := run.Step(ev); err != nil && !errors.Is(err, dag.ErrRefused) {
			t.Fatalf("%#v: %v", ev, err)
		}
	}
	step(dag.Start{At: now})
	for steps := 0; !run.Task().Status.Terminal(); steps++ {
		pending := run.Pending()
		if len(pending) == 0 || steps > 500 {
			step(dag.Cancel{At: now, Node: -1, Handlers: steps%2 == 0})
			if steps > 2000 {
				t.Fatalf("the task is %s and does not end", run.Task().Status)
			}
		}
		for _, e := range pending {
			now++
			switch e.Kind {
			case dag.EffectReady:
				step(dag.Grant{At: now, Node: e.Node})
			case dag.EffectLaunch, dag.EffectCancel:
				o := dag.Observed{At: now, Node: e.Node, Attempt: e.Attempt, Phase: dag.AttemptSucceeded, Outputs: &dag.Outputs{}}
				spec, err := prog.Stage(run, e.Node)
				if turn++; turn%5 == 0 || err != nil {
					o.Phase, o.ExitCode, o.Failure = dag.AttemptFailed, 1, dag.NewFailure(dag.FailExit, 1, "by turns")
				} else {
					o.Outputs = made(spec)
				}
				step(o)
			case dag.EffectTimer:
				now = max(now, e.At)
				step(dag.Tick{At: now, Node: e.Node})
			}
		}
		for i := range min(run.Len(), 50) { // gates
			if n := run.Node(int32(i)); n.Status == dag.Suspended {
				step(dag.Continue{At: now, Node: n.Index})
			}
		}
	}
}

// made are outputs as the stage declares them.
func made(s *dag.StageSpec) *dag.Outputs {
	out := &dag.Outputs{}
	if s.CaptureResult {
		result := `["1", {"a": 2}]`
		out.Result = &result
	}
	for _, f := range s.OutputFiles {
		if out.Params == nil {
			out.Params = map[string]string{}
		}
		out.Params[f.Name] = "out"
	}
	return out
}

func check(t *testing.T, ds plan.Diagnostics) {
	t.Helper()
	for _, d := range ds {
		if d.Message == "" || d.Rule == "" || d.Severity == "" {
			t.Fatalf("incomplete: %+v", d)
		}
	}
}

// ask puts every question that the core may have.
func ask(t *testing.T, run *dag.Run, prog dag.Program) {
	t.Helper()
	for i := range run.Len() {
		n := run.Node(int32(i))
		if n.Spec.Kind == dag.KindStage {
			if s, err := prog.Stage(run, int32(i)); err == nil && s.StageID != n.Spec.ID {
				t.Fatalf("the stage of %q is %q", n.Spec.ID, s.StageID)
			}
		}
		if n.Spec.Deferred {
			prog.Expand(run, int32(i))
		}
		for _, h := range n.Spec.Hooks {
			_, _, _ = prog.Hook(run, int32(i), h)
		}
		_, _ = prog.GroupOutputs(run, int32(i))
		_, _ = prog.RetryAllowed(run, int32(i), dag.NewFailure(dag.FailExit, 1, "x"))
	}
	_, _ = prog.OnExit(run)
}
