package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// node serves the log of a pod as a cluster does: from its beginning.
type node struct {
	mu      sync.Mutex
	log     []byte
	grown   chan struct{} // closed when there is more
	ended   bool
	asked   []string
	written int64
}

func (n *node) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, text...)
	close(n.grown)
	n.grown = make(chan struct{})
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.asked = append(n.asked, r.URL.RawQuery)
	n.mu.Unlock()
	for at := 0; ; {
		n.mu.Lock()
		more, grown, ended := n.log[at:], n.grown, n.ended
		n.mu.Unlock()
		sent, err := w.Write(more)
		at += sent
		n.mu.Lock()
		n.written += int64(sent)
		n.mu.Unlock()
		if err != nil || ended || r.URL.Query().Get("follow") == "" {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-grown:
		case <-r.Context().Done():
			return
		}
	}
}

func (n *node) requests() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.asked)
}

func serveLog(t *testing.T, log string) (*node, *Executor, *podLog) {
	t.Helper()
	n := &node{log: []byte(log), grown: make(chan struct{})}
	api := httptest.NewServer(n)
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}], "clusters": [{"name": "c", "cluster": {"server": %q}}]}`, api.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Kubeconfig: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "argo", Name: "p", UID: "1", Annotations: map[string]string{annotationContainer: "main"}}}
	return n, e, &podLog{e: e, key: "argo/p", pod: pod}
}

func page(t *testing.T, e *Executor, p *podLog, o executors.LogOptions) string {
	t.Helper()
	l, err := e.read(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	b, err := io.ReadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Who takes a log in parts costs the cluster two readings of it, not one for each part.
func TestLogInParts(t *testing.T) {
	var all strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&all, "line %d of the log\n", i)
	}
	n, e, p := serveLog(t, all.String())
	var got strings.Builder
	for {
		part := page(t, e, p, executors.LogOptions{Offset: int64(got.Len()), Limit: 10_000})
		if got.WriteString(part); part == "" {
			break
		}
		if got.Len() == 50_000 {
			n.add("and one that was written meanwhile\n")
		}
	}
	if want := all.String() + "and one that was written meanwhile\n"; got.String() != want {
		t.Errorf("read %d bytes, want %d", got.Len(), len(want))
	}
	if r := n.requests(); r > 3 { // the first, the look at the end, and that there is no more
		t.Errorf("%d requests", r)
	}
	// From somewhere else it is read again.
	if got := page(t, e, p, executors.LogOptions{Offset: 5, Limit: 3}); got != "0 o" {
		t.Errorf("read %q", got)
	}
}

// A log that is followed goes on as well where somebody has stopped waiting, with nothing lost or twice.
func TestFollowInParts(t *testing.T) {
	n, e, p := serveLog(t, "one\n")
	pos := int64(0)
	next := func(want string) {
		t.Helper()
		l, err := e.read(t.Context(), p, executors.LogOptions{Offset: pos, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(want))
		if _, err := io.ReadFull(l, b); err != nil || string(b) != want {
			t.Fatalf("read %q, %v; want %q", b, err, want)
		}
		pos += int64(len(b))
		// Another Read waits for what does not come.
		done := make(chan error, 1)
		go func() {
			_, err := l.Read(make([]byte, 1))
			done <- err
		}()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("a Read that waits ends with %v", err)
		}
	}
	next("one\n")
	for i := range 20 {
		text := fmt.Sprintf("more %d\n", i)
		n.add(text)
		next(text)
	}
	if r := n.requests(); r != 1 {
		t.Errorf("%d requests", r)
	}
}

// What is kept may have ended before the log has: a connection that broke, or a look that was over.
func TestPartsAreLookedAtAgain(t *testing.T) {
	for _, follow := range []bool{false, true} {
		n, e, p := serveLog(t, "one\ntwo\n")
		n.ended = true // so that following ends with what there is
		l, err := e.read(t.Context(), p, executors.LogOptions{Follow: follow, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(l); err != nil || string(b) != "one\n" {
			t.Fatalf("read %q, %v", b, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		n.add("three\n")
		if got := page(t, e, p, executors.LogOptions{Follow: follow, Offset: 4}); got != "two\nthree\n" {
			t.Errorf("follow %v: read %q", follow, got)
		}
		if got := page(t, e, p, executors.LogOptions{Follow: follow, Offset: 14}); got != "" {
			t.Errorf("follow %v: behind the end there is %q", follow, got)
		}
	}
}

// What is kept is bounded, and ends with the executor.
func TestParkedLogs(t *testing.T) {
	n, e, p := serveLog(t, strings.Repeat("x", 1<<20))
	for i := range parkedLogs + 5 {
		page(t, e, p, executors.LogOptions{Offset: int64(i), Limit: 1000})
	}
	if got := len(e.parked.list); got != parkedLogs {
		t.Errorf("%d are kept", got)
	}
	before := n.requests()
	page(t, e, p, executors.LogOptions{Offset: 1000 + parkedLogs, Limit: 1})
	page(t, e, p, executors.LogOptions{Offset: 1000, Limit: 1}) // the oldest had to go
	if got := n.requests() - before; got != 1 {
		t.Errorf("%d requests", got)
	}
	if err := e.Stop(t.Context()); err != nil || len(e.parked.list) > 0 {
		t.Errorf("%v; %d are kept", err, len(e.parked.list))
	}
	if _, err := e.read(t.Context(), p, executors.LogOptions{}); !errors.Is(err, executors.ErrClosed) {
		t.Errorf("after Stop: %v", err)
	}
}

func TestLogSince(t *testing.T) {
	n, e, p := serveLog(t, "all that was written since then")
	p.since = time.Date(2026, 3, 5, 12, 0, 0, 5, time.UTC)
	if got := page(t, e, p, executors.LogOptions{Offset: 4, Limit: 4}); got != "that" {
		t.Errorf("read %q", got)
	}
	if q := n.asked[0]; !strings.Contains(q, "sinceTime=2026-03-05T12%3A00%3A00Z") {
		t.Errorf("asked for %s", q)
	}
	// What is kept of one time is not of another.
	p.since = time.Time{}
	if got := page(t, e, p, executors.LogOptions{Offset: 8}); got != " was written since then" || n.requests() != 2 {
		t.Errorf("read %q, %d requests", got, n.requests())
	}

	e.logs = kubeconf.LogDir(t.TempDir())
	if err := e.logs.Put(t.Context(), "a", strings.NewReader("kept")); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[time.Duration]string{-time.Hour: "kept", time.Hour: ""} {
		l, err := e.openLog(t.Context(), "a", executors.LogOptions{Since: time.Now().Add(d)})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(l); err != nil || b.String() != want {
			t.Errorf("since %v: %q, %v", d, b.String(), err)
		}
		_ = l.Close()
	}
}
