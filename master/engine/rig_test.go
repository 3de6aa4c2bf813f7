package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// rig is an engine with a real store and a scripted world. It is used inside a synctest bubble: time is virtual, and
// settle waits until nothing moves any more.
type rig struct {
	t      *testing.T
	dir    string
	cfg    Config
	world  *world
	store  store.Store
	engine *Engine
	wrap   func(store.Store) store.Store
}

// inBubble runs a test of a rig.
func inBubble(t *testing.T, w *world, change func(*Config), test func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir, world: w, cfg: Config{Shards: 2, TokenKey: []byte("key"), MasterHost: "master", MasterPort: 7777}}
		r.cfg.Random = func() float64 { return 0 }
		r.cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if change != nil {
			change(&r.cfg)
		}
		r.start()
		defer r.stop()
		test(r)
	})
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (r *rig) start() {
	r.t.Helper()
	if err := r.tryStart(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tryStart() error {
	s, err := bolt.Open(r.dir)
	if err != nil {
		return err
	}
	r.store = s
	cfg := r.cfg
	if cfg.Store = s; r.wrap != nil {
		cfg.Store = r.wrap(s)
	}
	cfg.Executors = map[string]executors.Executor{"local": r.world.executor()}
	if r.world.pauses {
		cfg.Executors["local"] = pauser{r.world.executor()}
	}
	if r.engine, err = New(cfg); err != nil {
		return err
	}
	return r.engine.Start(context.Background())
}

func (r *rig) stop() {
	r.t.Helper()
	if r.engine == nil {
		return
	}
	if err := r.engine.Stop(context.Background()); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
	r.engine = nil
}

func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// settle waits until nothing happens any more at this moment of the virtual time.
func (r *rig) settle() { synctest.Wait() }

// rest is settle for what has no hurry as well. The virtual time goes on meanwhile.
func (r *rig) rest() {
	synctest.Wait()
	<-time.After(lingering)
	synctest.Wait()
}

func (r *rig) submit(yaml string, change ...func(*Submission)) string {
	r.t.Helper()
	s := Submission{File: "test.yaml", YAML: []byte(yaml)}
	for _, f := range change {
		f(&s)
	}
	a, err := r.engine.Submit(context.Background(), s)
	if err != nil {
		r.t.Fatal(err)
	}
	return a.Task
}

// statuses gives the statuses of a task's stages by their names.
func (r *rig) statuses(task string) map[string]string {
	r.t.Helper()
	page, err := r.engine.Stages(context.Background(), StageQuery{Task: task})
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]string{}
	for _, s := range page.Stages {
		out[s.Name] = s.Status.String()
	}
	return out
}

func (r *rig) stage(task, name string) *StageView {
	r.t.Helper()
	page, err := r.engine.Stages(context.Background(), StageQuery{Task: task, Groups: true})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range page.Stages {
		if s.Name == name {
			return &s
		}
	}
	r.t.Fatalf("task %s has no stage %q", task, name)
	return nil
}

func (r *rig) id(task, name string) string { r.t.Helper(); return r.stage(task, name).ID }

func (r *rig) expect(task, want string) {
	r.t.Helper()
	r.settle()
	if got := flat(r.statuses(task)); got != want {
		r.t.Fatalf("stages are\n\t%s, want\n\t%s", got, want)
	}
}

func (r *rig) expectTask(task string, want dag.TaskStatus) {
	r.t.Helper()
	r.settle()
	v, err := r.engine.Task(context.Background(), task)
	if err != nil {
		r.t.Fatal(err)
	}
	if v.Status != want {
		r.t.Fatalf("task %s is %s (%s), want %s; its stages: %s", task, v.Status, v.Message, want, flat(r.statuses(task)))
	}
}

func flat(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, " ")
}

func (r *rig) report(stage string, attempt int32, what dag.What) (accepted, cancel bool) {
	r.t.Helper()
	accepted, cancel, err := r.engine.Report(context.Background(), StageReport{StageID: stage, Attempt: attempt, What: what})
	if err != nil {
		r.t.Fatal(err)
	}
	return accepted, cancel
}

func (r *rig) sleep(d time.Duration) { <-time.After(d); r.settle() }

// graph makes a plan of container stages from lines like "c: a b", in the language of Argo.
func graph(lines ...string) string { return graphWith("", lines...) }

// graphWith adds lines to the template of all stages.
func graphWith(template string, lines ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: test\nspec:\n  entrypoint: main\n  templates:\n")
	b.WriteString("  - name: main\n    dag:\n      tasks:\n")
	for _, line := range lines {
		name, deps, _ := strings.Cut(line, ":")
		fmt.Fprintf(&b, "      - name: %s\n        template: work\n", name)
		if f := strings.Fields(deps); len(f) > 0 {
			fmt.Fprintf(&b, "        dependencies: [%s]\n", strings.Join(f, ", "))
		}
	}
	b.WriteString("  - name: work\n")
	for line := range strings.Lines(template) {
		b.WriteString("    " + line)
	}
	b.WriteString("    container:\n      image: alpine\n      command: [\"true\"]\n")
	return b.String()
}

// clic makes a plan of the CLIC form from lines like "b java: a".
func clic(lines ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: old-\nspec:\n  entrypoint: main\n  templates:\n")
	b.WriteString("  - name: main\n    dag:\n      tasks:\n")
	for _, line := range lines {
		head, deps, _ := strings.Cut(line, ":")
		fmt.Fprintf(&b, "      - name: %s\n        template: java\n", head)
		if f := strings.Fields(deps); len(f) > 0 {
			fmt.Fprintf(&b, "        dependencies: [%s]\n", strings.Join(f, ", "))
		}
		fmt.Fprintf(&b, "        arguments:\n          parameters:\n          - name: javaArgs\n            value: run --dagPath=/data/%s.yml\n", head)
	}
	b.WriteString("  - name: java\n    inputs:\n      parameters:\n      - name: javaArgs\n    container:\n      image: clic-java\n")
	return b.String()
}
