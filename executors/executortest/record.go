package executortest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

func background() context.Context { return context.Background() }

// recorder keeps what an executor reported.
type recorder struct {
	mu      sync.Mutex
	reports map[string][]executors.Sighting
	changed chan struct{} // closed and replaced at every report
}

func newRecorder() *recorder {
	return &recorder{reports: map[string][]executors.Sighting{}, changed: make(chan struct{})}
}

func (r *recorder) sink(_ context.Context, s executors.Sighting) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports[s.AttemptID] = append(r.reports[s.AttemptID], s)
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// of gives the reports of an attempt.
func (r *recorder) of(id string) []executors.Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reports[id])
}

// wait waits for a report of the attempt that is as asked for.
func (r *recorder) wait(id string, is func(executors.Sighting) bool, limit time.Duration) (executors.Sighting, bool) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		r.mu.Lock()
		i := slices.IndexFunc(r.reports[id], is)
		if i >= 0 {
			s := r.reports[id][i]
			r.mu.Unlock()
			return s, true
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-timeout.C:
			return executors.Sighting{}, false
		}
	}
}

// count is how many reports of an attempt are as asked for.
func (r *recorder) count(id string, is func(executors.Sighting) bool) (n int) {
	for _, s := range r.of(id) {
		if is(s) {
			n++
		}
	}
	return n
}
