package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/metrics"
	toolswatch "k8s.io/client-go/tools/watch"
)

// Names that the executor gives: the label that tells installations apart, and the annotation with the attempt's id.
const (
	instanceLabel     = "clic/instance"
	attemptAnnotation = "clic/attempt-id"
)

// follower gives the objects that come into a watch, each once.
type follower struct {
	w      watch.Interface
	object runtime.Object
}

// next waits for an object. It reports false once the watch is over.
func (f *follower) next() bool {
	for e := range f.w.ResultChan() {
		switch e.Type {
		case watch.Added:
			f.object = e.Object
			return true
		case watch.Error:
			return false
		}
	}
	return false
}

func (f *follower) stop() {
	f.w.Stop()
	for range f.w.ResultChan() { // what it still has to say keeps it from ending
	}
}

// watchFunc makes a watch that outlives its connections.
type watchFunc func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)

// WatchWithContext is cache.WatcherWithContext's.
func (w watchFunc) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return w(ctx, o)
}

func follow(ctx context.Context, version string, w watchFunc) (*follower, error) {
	r, err := toolswatch.NewRetryWatcherWithContext(ctx, version, w)
	if err != nil {
		return nil, err
	}
	return &follower{w: r}, nil
}

// newJobs follows the creation of Jobs from now on.
func (c *cluster) newJobs(ctx context.Context) (*follower, error) {
	api := c.api.BatchV1().Jobs(c.namespace)
	now, err := api.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, err
	}
	return follow(ctx, now.ResourceVersion, api.Watch)
}

// newEnds follows pods that succeed from now on. The server sends each once, when that has happened.
func (c *cluster) newEnds(ctx context.Context) (*follower, error) {
	api := c.api.CoreV1().Pods(c.namespace)
	now, err := api.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, err
	}
	return follow(ctx, now.ResourceVersion, func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = "status.phase=" + string(corev1.PodSucceeded)
		return api.Watch(ctx, o)
	})
}

// ownRequest marks the context of requests that are the bench's own, stepOf that of a launch, whose value is a *step.
type (
	ownRequest struct{}
	stepOf     struct{}
)

// requests counts what the executor in this process asks of the API server, by verb and resource ("create jobs"). It is called
// by the Kubernetes client for every request but watches.
type requests struct {
	mu    sync.Mutex
	count map[string]int
}

// countRequests begins to count. There is one counter at a time: the client has one place for it.
func countRequests() *requests {
	r := &requests{count: map[string]int{}}
	metrics.RequestLatency = r
	return r
}

// Observe is metrics.LatencyMetric's.
func (r *requests) Observe(ctx context.Context, verb string, u url.URL, latency time.Duration) {
	now := time.Now()
	if ctx.Value(ownRequest{}) != nil {
		return
	}
	if s, ok := ctx.Value(stepOf{}).(*step); ok && verb == "POST" {
		s.request(now.Add(-latency), now)
	}
	path, one := strings.CutSuffix(u.Path, "/{name}")
	what := map[string]string{"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "list"}[verb]
	if what == "list" && one {
		what = "get"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count[fmt.Sprintf("%s %s", what, path[strings.LastIndex(path, "/")+1:])]++
}

// take gives what was counted so far, and begins anew.
func (r *requests) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.count
	r.count = map[string]int{}
	return count
}

var _ metrics.LatencyMetric = (*requests)(nil)
