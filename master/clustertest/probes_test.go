//go:build cluster

package clustertest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/probes"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

const (
	// probesAtOnce bounds the plans that run together, podsAtOnce the pods: more of them would only wait for the node.
	probesAtOnce = 16
	podsAtOnce   = 24
	probesLast   = 12 * time.Minute
)

// meant is a difference between a cluster and Argo that is meant to be: a piece of the line that tells it, and why.
type meant struct{ line, why string }

var (
	// ownFile: Argo looks for an output below a directory of its own, and says so; the helper names the file and the parameter.
	ownFile = meant{`open /tmp/none: no such file or directory`, "the message names the file as the plan does"}

	// differences are those that are meant, by probe.
	differences = map[string][]meant{
		"output-missing-file":     {ownFile},
		"retry-default-on-error":  {ownFile},
		"retry-always-error-then": {ownFile},
	}
)

// verdict is a line of the table that the test prints.
type verdict struct {
	probe, argo, clic, text string
	nodes                   int
	took                    time.Duration
}

func TestProbes(t *testing.T) {
	all, err := probes.Read("../../dag/plan/testdata/probes")
	if err != nil || len(all) < 50 {
		t.Fatalf("probes are missing: %d, %v", len(all), err)
	}
	w := newWorld(t)
	api := w.master()
	began := time.Now()
	var mu sync.Mutex
	var verdicts []verdict
	slots := make(chan struct{}, probesAtOnce)
	t.Run("probe", func(t *testing.T) {
		for _, p := range all {
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				v := probe(t, api, p)
				mu.Lock()
				defer mu.Unlock()
				verdicts = append(verdicts, v)
			})
		}
	})
	slices.SortFunc(verdicts, func(a, b verdict) int { return strings.Compare(a.probe, b.probe) })
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "probe\tArgo\tclic\tnodes\tseconds\tverdict")
	for _, v := range verdicts {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%.1f\t%s\n", v.probe, v.argo, v.clic, v.nodes, v.took.Seconds(), v.text)
	}
	if err := tw.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d probes in %.0f s\n%s", len(verdicts), time.Since(began).Seconds(), table.String())
	w.eventually("nothing to run on", func() bool { return len(w.left()) == 0 })
}

// master runs a master in this process, whose stages are Jobs of the namespace.
func (w *world) master() engine.API {
	w.Helper()
	log := &lockedBuffer{}
	m, err := master.New(master.Config{
		Listen: w.address() + ":0", DataDir: w.TempDir(), TimeZone: "UTC", Version: "v-test",
		Executors: map[string]string{"*": "kube"}, Slots: engine.Slots{Executor: map[string]int{"kube": podsAtOnce}},
		Kube: kubeconf.Config{
			Kubeconfig: os.Getenv("KUBECONFIG"), Namespace: w.namespace, Instance: w.namespace, PVC: kubeconf.NoClaim, StageImage: stageImage,
			StartTimeout: time.Minute, Grace: 5 * time.Second,
		},
		Makers: master.Makers{Kube: func(c kubeconf.Config) (executors.Executor, error) { return kube.New(kube.Config(c)) }},
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.Errorf("the master ended with %v", err)
		}
		if w.Failed() {
			w.Logf("the master's log:\n%s", log.text())
		}
	})
	select {
	case <-m.Ready():
	case <-time.After(patience):
		w.Fatalf("the master does not become ready:\n%s", log.text())
	}
	return m.API()
}

// probe runs one plan and compares it with what Argo made of it.
func probe(t *testing.T, api engine.API, p probes.Probe) verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), probesLast)
	defer cancel()
	began := time.Now()
	v := verdict{probe: p.Name, argo: p.Want.Phase, nodes: len(p.Want.Nodes), text: "equal"}
	yaml := bytes.ReplaceAll(p.YAML, []byte("alpine:3.7"), []byte(shellImage))
	s, err := api.Submit(ctx, engine.Submission{File: p.Name + ".yaml", YAML: yaml})
	if err != nil {
		v.clic, v.text = "refused", "refused"
		if !p.Refused() {
			t.Errorf("refused, but Argo runs it: %v", err)
			v.text = "DIFFERENT"
		}
		return v
	}
	attend(ctx, t, api, s.Task, p)
	o := outcome(ctx, t, api, s.Task)
	v.clic, v.took = o.Task.Status.String(), time.Since(began)
	switch {
	case o.Task.Status == dag.TaskCancelled:
		v.text = "equal, but for the word: what is stopped is CANCELLED here"
	case o.Task.Stop != nil:
		v.text = "equal, but for the task's message: it names the deadline"
	}
	why := map[string]bool{}
	for _, line := range probes.Compare(o, p.Want) {
		i := slices.IndexFunc(differences[p.Name], func(m meant) bool { return strings.Contains(line, m.line) })
		if i < 0 {
			t.Error(line)
			continue
		}
		why[differences[p.Name][i].why] = true
	}
	if len(why) > 0 {
		v.text = "different on purpose: " + strings.Join(slices.Sorted(maps.Keys(why)), "; ")
	}
	if t.Failed() {
		v.text = "DIFFERENT"
	}
	return v
}

// attend waits for the end of a task. It does what people did to the workflow in Argo: it stops it once a pod runs, or lets it go on
// where it began suspended.
func attend(ctx context.Context, t *testing.T, api engine.API, task string, p probes.Probe) {
	t.Helper()
	why, handlers, stop := p.Stop()
	var cursor uint64
	for {
		page, err := api.Watch(ctx, task, cursor, 0)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("the task does not end: %v\n%s", err, unended(t, api, task))
		}
		for _, e := range page.Events {
			if stop && e.To == dag.Running.String() && e.Stage != "" && view(ctx, t, api, e.Stage).Kind == dag.KindStage {
				stop = false
				if err := api.Cancel(ctx, engine.Target{Task: task}, "test", why, handlers); err != nil {
					t.Error(err)
				}
			}
		}
		if page.Done {
			return
		}
		if page.Status == dag.TaskSuspended && view(ctx, t, api, all(ctx, t, api, task)[0].ID).Status == dag.Suspended {
			if err := api.Continue(ctx, engine.Target{Task: task}, "test"); err != nil {
				t.Error(err)
			}
		}
		cursor = page.Cursor
	}
}

func view(ctx context.Context, t *testing.T, api engine.API, stage string) *engine.StageView {
	t.Helper()
	v, err := api.Stage(ctx, stage)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// all lists the nodes of a task.
func all(ctx context.Context, t *testing.T, api engine.API, task string) (nodes []engine.StageView) {
	t.Helper()
	for q := (engine.StageQuery{Task: task, Groups: true, Explain: true}); q.After >= 0; {
		page, err := api.Stages(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, page.Stages...)
		q.After = page.Next
	}
	return nodes
}

// outcome is what became of a task.
func outcome(ctx context.Context, t *testing.T, api engine.API, task string) probes.Outcome {
	t.Helper()
	v, err := api.Task(ctx, task)
	if err != nil {
		t.Fatal(err)
	}
	o := probes.Outcome{Task: &v.Task}
	for _, n := range all(ctx, t, api, task) {
		o.Nodes = append(o.Nodes, &dag.Node{Index: n.Index, Spec: &n.NodeSpec, NodeState: n.NodeState})
	}
	return o
}

// unended says what the nodes of a task wait for.
func unended(t *testing.T, api engine.API, task string) string {
	t.Helper()
	var left []string
	for _, n := range all(context.Background(), t, api, task) {
		if !n.Status.Terminal() {
			left = append(left, fmt.Sprintf("%s %s: %+v", n.Path, n.Status, n.Explanation))
		}
	}
	return lines(left)
}

// lockedBuffer takes a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// text is the end of what was written.
func (l *lockedBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 20_000
	b := l.b.Bytes()
	return string(b[max(0, len(b)-most):])
}
