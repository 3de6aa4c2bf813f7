package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// The local executor starts this program again for its processes.
func TestMain(m *testing.M) {
	if local.RunShimIfAsked() {
		return
	}
	goleak.VerifyTestMain(m)
}

// house is an engine with real processes.
type house struct {
	t   testing.TB
	dir string
	e   *Engine
	s   *bolt.Store

	slots int
}

func (h *house) start() {
	h.t.Helper()
	x, err := local.New(local.Config{DataDir: filepath.Join(h.dir, "attempts")})
	if err != nil {
		h.t.Fatal(err)
	}
	if h.s, err = bolt.Open(h.dir); err != nil {
		h.t.Fatal(err)
	}
	h.e, err = New(Config{Store: h.s, Executors: map[string]executors.Executor{"local": x}, Slots: Slots{Global: h.slots}})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.e.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) stop() {
	h.t.Helper()
	if err := h.e.Stop(context.Background()); err != nil {
		h.t.Error(err)
	}
	if err := h.s.Close(); err != nil {
		h.t.Error(err)
	}
}

// until follows a task until an event has what is asked for.
func (h *house) until(task string, found func(e Event) bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	var cursor uint64
	for {
		page, err := h.e.Watch(ctx, task, cursor, 0)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, e := range page.Events {
			if found(e) {
				return
			}
		}
		if cursor = page.Cursor; page.Done || ctx.Err() != nil {
			h.t.Fatalf("task %s is %s, and what was waited for did not happen", task, page.Status)
		}
	}
}

func (h *house) ended(task string) dag.TaskStatus {
	h.t.Helper()
	var status string
	h.until(task, func(e Event) bool {
		status = e.To
		return e.Node < 0 && (e.To == "COMPLETED" || e.To == "FAILED" || e.To == "CANCELLED")
	})
	st, err := dag.ParseTaskStatus(status)
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

// script makes a plan whose stages each run a line of shell.
func script(lines ...string) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: real\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n")
	var templates strings.Builder
	for _, line := range lines {
		head, command, _ := strings.Cut(line, "|")
		name, deps, _ := strings.Cut(head, ":")
		fmt.Fprintf(&b, "      - name: %s\n        template: t-%s\n        dependencies: [%s]\n", name, name, strings.Join(strings.Fields(deps), ", "))
		fmt.Fprintf(&templates, "  - name: t-%s\n    container:\n      image: alpine\n      command: [sh, -c]\n      args: [%q]\n", name, strings.TrimSpace(command))
	}
	return []byte(b.String() + templates.String())
}

func TestRealProcesses(t *testing.T) {
	h := &house{t: t, dir: t.TempDir(), slots: 4}
	out := filepath.Join(h.dir, "out")
	h.start()
	defer func() { h.stop() }()
	ctx := t.Context()
	a, err := h.e.Submit(ctx, Submission{YAML: script(
		"a: | echo a >> "+out,
		"b: a | while [ ! -e "+out+".go ]; do sleep 0.02; done; echo b >> "+out,
		"c: b | echo c >> "+out,
		"d: c | echo broken >&2; exit 3",
		"e: d | echo never >> "+out,
	)})
	if err != nil {
		t.Fatal(err)
	}
	isRunning := func(name string) func(e Event) bool {
		return func(e Event) bool { return e.To == "RUNNING" && strings.HasSuffix(e.Stage, "-"+name) }
	}
	h.until(a.Task, isRunning("b"))
	h.stop()
	h.start() // b runs on, and is adopted
	if err := os.WriteFile(out+".go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st := h.ended(a.Task); st != dag.TaskFailed {
		t.Errorf("the task is %s", st)
	}
	text, err := os.ReadFile(out)
	if err != nil || string(text) != "a\nb\nc\n" {
		t.Errorf("the stages wrote %q, %v", text, err)
	}
	page, err := h.e.Stages(ctx, StageQuery{Task: a.Task})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range page.Stages {
		got = append(got, fmt.Sprintf("%s=%s/%d", s.Name, s.Status, s.ExitCode))
	}
	if want := "a=COMPLETED/0 b=COMPLETED/0 c=COMPLETED/0 d=FAILED/3 e=OMITTED/0"; strings.Join(got, " ") != want {
		t.Errorf("stages are %s, want %s", strings.Join(got, " "), want)
	}
	if err := h.e.Delete(ctx, a.Task, false, "me"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(h.dir, "attempts", "attempts", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("the executor keeps %v, %v", left, err)
	}
}

func TestRealCancel(t *testing.T) {
	h := &house{t: t, dir: t.TempDir(), slots: 4}
	h.start()
	defer func() { h.stop() }()
	ctx := t.Context()
	a, err := h.e.Submit(ctx, Submission{YAML: script("a: | sleep 1000", "b: a | true")})
	if err != nil {
		t.Fatal(err)
	}
	h.until(a.Task, func(e Event) bool { return e.To == "RUNNING" && strings.HasSuffix(e.Stage, "-a") })
	if err := h.e.Cancel(ctx, Target{Task: a.Task}, "me", "enough", false); err != nil {
		t.Fatal(err)
	}
	if st := h.ended(a.Task); st != dag.TaskCancelled {
		t.Errorf("the task is %s", st)
	}
}

// benchLocal runs a plan of `true` processes again and again.
func benchLocal(b *testing.B, slots int, lines []string) {
	b.Helper()
	h := &house{t: b, dir: b.TempDir(), slots: slots}
	h.start()
	defer h.stop()
	yaml := []byte(graph(lines...))
	began := h.e.Stats()
	for b.Loop() {
		a, err := h.e.Submit(b.Context(), Submission{YAML: yaml})
		if err != nil {
			b.Fatal(err)
		}
		if st := h.ended(a.Task); st != dag.TaskCompleted {
			b.Fatalf("the task is %s", st)
		}
	}
	stages := float64(b.N * len(lines))
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/stages, "ms/stage")
	b.ReportMetric(float64(h.e.Stats().Commits-began.Commits)/stages, "commits/stage")
}

// BenchmarkLocalChain runs a chain of 100 processes, every step of which is durable.
func BenchmarkLocalChain(b *testing.B) {
	lines := []string{"s0"}
	for i := 1; i < 100; i++ {
		lines = append(lines, fmt.Sprintf("s%d: s%d", i, i-1))
	}
	benchLocal(b, 4, lines)
}

// BenchmarkLocalFanOut runs 1,000 processes that do not depend on each other.
func BenchmarkLocalFanOut(b *testing.B) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("s%d", i))
	}
	benchLocal(b, 8, lines)
}
