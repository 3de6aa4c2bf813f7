package kube

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

func TestLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l losses
		jobs, events := &feed{name: "Jobs in namespace argo", needed: true}, &feed{name: "events"}
		pods := &feed{name: "pods in namespace argo", needed: true}
		l.note(jobs, nil)
		l.note(events, io.EOF)
		<-time.After(time.Hour)
		if trouble, ok := l.trouble(time.Now()); ok {
			t.Errorf("events alone: %+v", trouble)
		}
		began := time.Now()
		l.note(jobs, io.ErrUnexpectedEOF)
		<-time.After(lossPatience / 2)
		l.note(pods, io.ErrUnexpectedEOF)
		l.note(jobs, io.EOF)
		if trouble, ok := l.trouble(time.Now()); ok {
			t.Errorf("too early: %+v", trouble)
		}
		<-time.After(lossPatience / 2)
		const want = "the cluster cannot be followed: Jobs in namespace argo: EOF"
		if trouble, ok := l.trouble(time.Now()); !ok || trouble.Reason != want || !trouble.Since.Equal(began) {
			t.Errorf("%+v, %v", trouble, ok)
		}
		<-time.After(lossPatience)
		if trouble, ok := l.trouble(time.Now()); !ok || trouble.Reason != want+"; pods in namespace argo: unexpected EOF" {
			t.Errorf("%+v, %v", trouble, ok)
		}
		l.note(jobs, nil)
		l.note(pods, nil)
		if trouble, ok := l.trouble(time.Now()); ok {
			t.Errorf("afterwards: %+v", trouble)
		}
	})
}

// A cluster that is lost while it is watched, and comes back.
func TestClusterLost(t *testing.T) {
	lists := make(chan bool, 1000) // a list was asked for; whether it was answered
	up := make(chan bool, 1)
	up <- true
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		is := <-up
		up <- is
		watch := r.URL.Query().Get("watch") != ""
		if !watch {
			lists <- is
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !is:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503, "message": "etcd is away"}`)
		case watch:
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			_, _ = io.WriteString(w, `{"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}`)
		}
	}))
	defer api.Close()
	e, err := New(Config{Kubeconfig: kubeconfigOf(t, api.URL), Resync: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), func(context.Context, executors.Sighting) error { return nil }); err != nil {
		t.Fatal(err)
	}
	defer func() {
		api.CloseClientConnections()
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	// What is noted in real time is looked at as it will be later.
	later := func() (executors.Trouble, bool) { return e.losses.trouble(time.Now().Add(time.Minute)) }
	until := func(what string, is func() bool) {
		t.Helper()
		limit := time.After(time.Minute)
		for !is() {
			select {
			case <-lists:
			case <-time.After(50 * time.Millisecond):
			case <-limit:
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	if trouble, ok := later(); ok {
		t.Errorf("at first: %+v", trouble)
	}
	<-up
	up <- false
	api.CloseClientConnections()
	until("the loss", func() bool {
		trouble, ok := later()
		return ok && strings.Contains(trouble.Reason, "Jobs in namespace argo: cannot ") && strings.Contains(trouble.Reason, "pods in namespace argo")
	})
	if _, ok := e.Trouble(); ok {
		t.Error("it is said at once")
	}
	<-up
	up <- true
	until("its return", func() bool { _, ok := later(); return !ok })
}

// kubeconfigOf writes the kubeconfig of an API server that asks for no certificate.
func kubeconfigOf(t *testing.T, url string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := strings.Replace(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
		"clusters": [{"name": "c", "cluster": {"server": "URL"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`, "URL", url, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
