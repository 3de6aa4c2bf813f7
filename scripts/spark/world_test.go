//go:build spark || sparkcluster

package spark

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
)

func TestMain(m *testing.M) {
	if local.RunShimIfAsked() {
		return
	}
	goleak.VerifyTestMain(m)
}

// outcome is how an application ends; a kind of 0 stands for success, whose log has the message, and an exit of -1 for any.
type outcome struct {
	name    string
	app     app
	kind    dag.FailureKind
	exit    int
	message string
}

// ends runs an application and compares its end.
func (e outcome) ends(t *testing.T, x executors.Executor, w *watcher) {
	t.Helper()
	id := newID(e.name)
	launch(t, x, attempt(t, id, e.app, 1))
	if e.kind == 0 {
		w.succeeded(id)
		logged(t, x, id, e.message)
		return
	}
	w.failed(id, e.kind, e.exit, e.message)
}

// patience is how long anything may take. A test that passes never waits that long.
const patience = 10 * time.Minute

// small keeps the JVMs of tests small.
const small = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"

// app is the description of an application, as a plan has it.
type app map[string]any

func jvm(dir string, args ...string) app {
	return app{
		"mainClass": "demo.App", "mainApplicationFile": dir + "/demo.jar", "arguments": args,
		"driver": app{"memory": "512m"}, "executor": app{"memory": "512m", "instances": 1},
		"conf": app{"spark.executor.extraJavaOptions": small},
	}
}

func python(dir string, args ...string) app {
	a := jvm(dir, args...)
	delete(a, "mainClass")
	a["mainApplicationFile"] = dir + "/app.py"
	return a
}

// with is the application with other fields.
func (a app) with(fields app) app {
	a = maps.Clone(a)
	maps.Copy(a, fields)
	return a
}

// attempt is one of an application. Ids tell tests apart that share a world.
func attempt(t *testing.T, id string, a app, epoch uint64) executors.Attempt {
	t.Helper()
	template, err := json.Marshal(map[string]any{"name": "app", "plugin": map[string]any{"spark": a}})
	if err != nil {
		t.Fatal(err)
	}
	return executors.Attempt{
		ID: id, Task: "test", Stage: id, Epoch: epoch,
		Spec: &dag.StageSpec{StageID: id, Task: "test", Template: "app", Platform: "spark", Plugin: "spark", TemplateJSON: template},
	}
}

// watcher keeps what an executor has reported.
type watcher struct {
	t    *testing.T
	mu   sync.Mutex
	x    executors.Executor
	seen map[string][]executors.Sighting
	news chan struct{}
}

func newWatcher(t *testing.T, x executors.Executor) *watcher {
	return &watcher{t: t, x: x, seen: map[string][]executors.Sighting{}, news: make(chan struct{})}
}

func (w *watcher) sink(_ context.Context, s executors.Sighting) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[s.AttemptID] = append(w.seen[s.AttemptID], s)
	w.t.Logf("%s: phase %d, reason %q, info %q, exit %d, failure %+v, progress %+v", s.AttemptID, s.Phase, s.Reason, s.Info, s.ExitCode, s.Failure, s.Progress)
	close(w.news)
	w.news = make(chan struct{})
	return nil
}

// until waits for a sighting of an attempt.
func (w *watcher) until(id, what string, is func(s *executors.Sighting) bool) executors.Sighting {
	w.t.Helper()
	limit := time.After(patience)
	for {
		w.mu.Lock()
		for i := range w.seen[id] {
			if is(&w.seen[id][i]) {
				s := w.seen[id][i]
				w.mu.Unlock()
				return s
			}
		}
		news := w.news
		w.mu.Unlock()
		select {
		case <-news:
		case <-limit:
			w.t.Fatalf("%s: waited for %s in vain", id, what)
		}
	}
}

func (w *watcher) runs(id string) executors.Sighting {
	w.t.Helper()
	return w.until(id, "its start", func(s *executors.Sighting) bool { return s.Phase == dag.AttemptRunning })
}

func (w *watcher) end(id string) executors.Sighting {
	w.t.Helper()
	return w.until(id, "its end", func(s *executors.Sighting) bool {
		return s.Phase == dag.AttemptSucceeded || s.Phase == dag.AttemptFailed || s.Phase == dag.AttemptStopped
	})
}

// busy waits until tasks of the application have ended, and others have not.
func (w *watcher) busy(id string) executors.Sighting {
	w.t.Helper()
	return w.until(id, "progress", func(s *executors.Sighting) bool {
		return s.Progress != nil && s.Progress.Done > 0 && s.Progress.Total > 0
	})
}

// failed checks the end of an attempt.
func (w *watcher) failed(id string, kind dag.FailureKind, exit int, message string) {
	w.t.Helper()
	s := w.end(id)
	if s.Phase != dag.AttemptFailed || s.Failure == nil {
		w.t.Fatalf("%s: it has not failed: %+v", id, s)
	}
	if f := s.Failure; f.Kind != kind || exit >= 0 && f.ExitCode != exit || !strings.Contains(f.Message, message) {
		w.t.Errorf("%s: got %s, exit %d, %q; want %s, %d, %q", id, f.Kind, f.ExitCode, f.Message, kind, exit, message)
		logged(w.t, w.x, id, "what would explain it")
	}
}

func (w *watcher) succeeded(id string) {
	w.t.Helper()
	if s := w.end(id); s.Phase != dag.AttemptSucceeded {
		w.t.Errorf("%s: it has not succeeded: %+v %+v", id, s, s.Failure)
	}
}

// started starts an executor, and has it stopped after the test.
func started(t *testing.T, x executors.Executor) *watcher {
	t.Helper()
	w := newWatcher(t, x)
	if err := x.Start(t.Context(), w.sink); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, x) })
	return w
}

func stop(t *testing.T, x executors.Executor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func recovered(t *testing.T, x executors.Executor, epoch uint64, attempts ...executors.Attempt) {
	t.Helper()
	if err := x.Recover(t.Context(), epoch, attempts); err != nil {
		t.Fatal(err)
	}
}

func launch(t *testing.T, x executors.Executor, a executors.Attempt) {
	t.Helper()
	if err := x.Launch(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// logged checks that the log of an attempt has a text.
func logged(t *testing.T, x executors.Executor, id, text string) {
	t.Helper()
	log, err := x.Logs(t.Context(), id, executors.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	b, err := io.ReadAll(log)
	if err != nil || !strings.Contains(string(b), text) {
		t.Errorf("%s: the log lacks %q (%v):\n%s", id, text, err, b)
	}
	notRefused(t, id, string(b))
}

// notRefused looks in a driver's log for what the cluster did not let it do.
func notRefused(t *testing.T, id, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if strings.Contains(line, " is forbidden: ") {
			t.Errorf("%s was refused something: %s", id, line)
		}
	}
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// getenv is a variable that scripts/spark-test.sh sets.
func getenv(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run this by scripts/spark-test.sh", name)
	}
	return v
}

var ids struct {
	sync.Mutex
	n int
}

// newID is an attempt's id that no other test has.
func newID(name string) string {
	ids.Lock()
	defer ids.Unlock()
	ids.n++
	return fmt.Sprintf("%s-%d-%d", name, os.Getpid(), ids.n)
}
