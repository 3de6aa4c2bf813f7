//go:build cluster

package kube_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
)

// record writes what the cluster shows of every case into testdata/seen, for the tests of the pure part.
var record = flag.Bool("record", false, "record the objects of each case in testdata/seen")

// site is an executor in a namespace of its own, and what it reports.
type site struct {
	*world
	e *kube.Executor

	mu      sync.Mutex
	reports []executors.Sighting
	changed chan struct{}
}

func newSite(t *testing.T, tune func(c *kube.Config)) *site {
	t.Helper()
	w := newWorld(t)
	c := w.config(kube.HelperNever)
	if tune != nil {
		tune(&c)
	}
	s := &site{world: w, e: w.open(t, c), changed: make(chan struct{})}
	s.start(t)
	if err := s.e.Recover(t.Context(), 1, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	e := s.e
	if err := e.Start(t.Context(), s.sink); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func (s *site) sink(_ context.Context, seen executors.Sighting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Logf("%s: phase %d, %s, %s, %+v", seen.AttemptID, seen.Phase, seen.Reason, seen.Info, seen.Failure)
	s.reports = append(s.reports, seen)
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// sees waits for a report of the attempt.
func (s *site) sees(t *testing.T, id, what string, is func(executors.Sighting) bool) executors.Sighting {
	t.Helper()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.reports, func(r executors.Sighting) bool { return r.AttemptID == id && is(r) })
		if i >= 0 {
			found := s.reports[i]
			s.mu.Unlock()
			return found
		}
		changed, all := s.changed, slices.Clone(s.reports)
		s.mu.Unlock()
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("attempt %s: %s was not reported; reported were %+v", id, what, all)
		}
	}
}

func isOver(s executors.Sighting) bool {
	return s.Phase == dag.AttemptSucceeded || s.Phase == dag.AttemptFailed || s.Phase == dag.AttemptStopped
}

func isRunning(s executors.Sighting) bool { return s.Phase == dag.AttemptRunning }

func (s *site) end(t *testing.T, id string) executors.Sighting {
	t.Helper()
	return s.sees(t, id, "its end", isOver)
}

// attempt is a shell script in a pod that patch changes, in JSON.
func (s *site) attempt(id, script, patch string) executors.Attempt {
	spec := &dag.StageSpec{
		StageID: id, Task: "task", Template: "sh", Platform: "sh", Image: shellImage,
		Command: []string{"sh", "-c"}, Args: []string{script},
	}
	if patch != "" {
		b, err := json.Marshal(map[string]string{"podSpecPatch": patch})
		if err != nil {
			s.t.Fatal(err)
		}
		spec.TemplateJSON = b
	}
	return executors.Attempt{ID: id, Task: "task", Stage: id, Epoch: 1, Spec: spec}
}

func (s *site) launch(t *testing.T, id, script, patch string) {
	t.Helper()
	if err := s.e.Launch(t.Context(), s.attempt(id, script, patch)); err != nil {
		t.Fatal(err)
	}
}

func (s *site) pod(t *testing.T, id string) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	eventually(t, "the pod of "+id, func() bool {
		pods, err := s.client.CoreV1().Pods(s.name).List(t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + id})
		if err != nil || len(pods.Items) == 0 {
			return false
		}
		found = &pods.Items[0]
		return true
	})
	return found
}

// keep records what there is.
func (s *site) keep(t *testing.T, name string) {
	t.Helper()
	if !*record {
		return
	}
	seen := struct {
		Now    time.Time      `json:"now"`
		Job    *batchv1.Job   `json:"job,omitempty"`
		Pods   []corev1.Pod   `json:"pods,omitempty"`
		Events []corev1.Event `json:"events,omitempty"`
	}{Now: time.Now().UTC().Truncate(time.Second)}
	ctx := t.Context()
	jobs, err := s.client.BatchV1().Jobs(s.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range jobs.Items {
		jobs.Items[i].ManagedFields = nil
		seen.Job = &jobs.Items[i]
	}
	pods, err := s.client.CoreV1().Pods(s.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		pods.Items[i].ManagedFields = nil
		seen.Pods = append(seen.Pods, pods.Items[i])
	}
	events, err := s.client.CoreV1().Events(s.name).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range events.Items {
		events.Items[i].ManagedFields = nil
		seen.Events = append(seen.Events, events.Items[i])
	}
	b, err := yaml.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), s.name, "argo")
	text = strings.ReplaceAll(text, s.shared, "/shared")
	if err := os.MkdirAll(filepath.Join("testdata", "seen"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", "seen", name+".yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFailure(t *testing.T, s executors.Sighting, kind dag.FailureKind, exit int, says string) {
	t.Helper()
	if s.Phase != dag.AttemptFailed || s.Failure == nil {
		t.Fatalf("it ended as %+v, want a failure", s)
	}
	if s.Failure.Kind != kind || s.Failure.ExitCode != exit || !strings.Contains(s.Failure.Message, says) {
		t.Errorf("it failed with %+v, want kind %v, exit code %d and a message with %q", s.Failure, kind, exit, says)
	}
}
