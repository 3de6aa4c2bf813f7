package engine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// world is what runs attempts in tests: processes that exist outside of any engine and outlive it. What they do is
// scripted. executor makes the executors that look at it.
type world struct {
	mu       sync.Mutex
	procs    map[string]*proc
	script   func(a executors.Attempt) behaviour
	launches []string // ids in the order in which attempts really began
	resumed  []string // ids of paused attempts in the order in which they went on
	pauses   bool     // executors can pause attempts
	forgot   map[string]bool
	cancels  map[string]int
	most     int // attempts that were under way at once
	now      int
	changed  chan struct{} // closed when something changes, and replaced
	session  *session
}

// behaviour is what a scripted attempt does.
type behaviour struct {
	// Errors are returned by the first launches. Gate, if not nil, keeps Launch from returning until it is closed.
	Errors []error
	Gate   chan struct{}
	// Hold lets the attempt run until finish is called; otherwise it ends at once with Exit.
	Hold    bool
	Exit    int
	Failure *dag.Failure
	Outputs *dag.Outputs
	// lazy attempts run on when they are to be paused; the answer to a pause waits for answer, if that is not nil.
	lazy   bool
	answer chan struct{}
	// Stubborn attempts do not end when they are cancelled, until finish is called.
	Stubborn bool
}

type proc struct {
	behaviour
	attempt executors.Attempt
	tried   int
	exists  bool
	ended   bool
	stopped bool
	paused  bool
}

func newWorld(script func(a executors.Attempt) behaviour) *world {
	if script == nil {
		script = func(executors.Attempt) behaviour { return behaviour{} }
	}
	return &world{procs: map[string]*proc{}, script: script, forgot: map[string]bool{}, cancels: map[string]int{}, changed: make(chan struct{})}
}

// session is an executor: what one engine has of the world. It reports in order, from a goroutine of its own.
type session struct {
	w     *world
	mu    sync.Mutex
	queue []executors.Sighting
	wake  chan struct{}
	stop  context.CancelFunc
	done  chan struct{}
	once  sync.Once
}

func (w *world) executor() *session {
	return &session{w: w, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

var _ executors.Executor = (*session)(nil)

// pauser is a session that can pause attempts.
type pauser struct{ *session }

var _ executors.Pauser = pauser{}

func (s pauser) Pause(_ context.Context, id string, _ time.Duration) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.news()
	p := w.procs[id]
	if p == nil || !p.exists {
		s.report(executors.Sighting{AttemptID: id, Phase: dag.AttemptStopped, At: time.Now()})
		return nil
	}
	if p.lazy {
		return nil
	}
	if !p.ended && !p.paused {
		p.paused = true
		w.now--
	}
	w.see(p)
	if answer := p.answer; answer != nil {
		w.mu.Unlock()
		<-answer
		w.mu.Lock()
	}
	return nil
}

func (s *session) Start(ctx context.Context, sink executors.Sink) error {
	ctx, s.stop = context.WithCancel(ctx)
	s.w.mu.Lock()
	s.w.session = s
	s.w.mu.Unlock()
	go func() {
		defer close(s.done)
		for {
			s.mu.Lock()
			queue := s.queue
			s.queue = nil
			s.mu.Unlock()
			for _, g := range queue {
				if sink(ctx, g) != nil {
					return
				}
			}
			if len(queue) > 0 {
				continue
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

func (s *session) report(g executors.Sighting) {
	s.mu.Lock()
	s.queue = append(s.queue, g)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) Launch(ctx context.Context, a executors.Attempt) error {
	w := s.w
	w.mu.Lock()
	p := w.procs[a.ID]
	if p == nil {
		p = &proc{behaviour: w.script(a), attempt: a}
		w.procs[a.ID] = p
	}
	gate := p.Gate
	w.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.news()
	if p.tried < len(p.Errors) {
		p.tried++
		return p.Errors[p.tried-1]
	}
	if !p.exists {
		p.exists = true
		w.launches = append(w.launches, a.ID)
		w.now++
		w.most = max(w.most, w.now)
		w.see(p)
		if !p.Hold {
			w.end(p)
		}
		return nil
	}
	if p.paused && !p.ended {
		p.paused = false
		w.resumed = append(w.resumed, a.ID)
		w.now++
		w.most = max(w.most, w.now)
	}
	w.see(p)
	return nil
}

// see reports the state of an attempt. The world's lock is held, here and below.
func (w *world) see(p *proc) {
	g := executors.Sighting{AttemptID: p.attempt.ID, Phase: dag.AttemptRunning, At: time.Now(), Info: "scripted"}
	if p.paused && !p.ended {
		g.Phase, g.Kept = dag.AttemptStopped, true
	}
	if p.ended {
		g.ExitCode, g.Failure, g.Outputs = p.Exit, p.Failure, p.Outputs
		switch {
		case p.stopped:
			g.Phase = dag.AttemptStopped
		case p.Exit != 0 || p.Failure != nil:
			g.Phase = dag.AttemptFailed
		default:
			g.Phase = dag.AttemptSucceeded
		}
	}
	if w.session != nil {
		w.session.report(g)
	}
}

func (w *world) end(p *proc) {
	if !p.ended {
		p.ended = true
		if !p.paused {
			w.now--
		}
		w.see(p)
	}
}

func (w *world) news() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (s *session) Cancel(_ context.Context, id string, _ time.Duration) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.news()
	w.cancels[id]++
	p := w.procs[id]
	if p == nil || !p.exists {
		s.report(executors.Sighting{AttemptID: id, Phase: dag.AttemptStopped, At: time.Now()})
		return nil
	}
	if p.ended {
		w.see(p)
	} else if !p.Stubborn {
		p.stopped = true
		w.end(p)
	}
	return nil
}

func (s *session) Recover(_ context.Context, _ uint64, attempts []executors.Attempt) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[string]bool{}
	for _, a := range attempts {
		known[a.ID] = true
		if p := w.procs[a.ID]; p != nil && p.exists {
			w.see(p)
			continue
		}
		s.report(executors.Sighting{
			AttemptID: a.ID, Phase: dag.AttemptFailed, At: time.Now(), Failure: dag.NewFailure(dag.FailLost, 0, "it is not there"),
		})
	}
	for id, p := range w.procs {
		if !known[id] && p.exists && !p.ended {
			p.stopped = true
			w.end(p)
		}
	}
	w.news()
	return nil
}

func (s *session) Logs(_ context.Context, id string, _ executors.LogOptions) (io.ReadCloser, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if p := s.w.procs[id]; p == nil || !p.exists || s.w.forgot[id] {
		return nil, executors.ErrNoLogs
	}
	return io.NopCloser(strings.NewReader("log of " + id + "\n")), nil
}

func (s *session) Forget(_ context.Context, ids []string) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, id := range ids {
		s.w.forgot[id] = true
	}
	return nil
}

func (s *session) Stop(context.Context) error {
	s.once.Do(func() {
		s.w.mu.Lock()
		if s.w.session == s {
			s.w.session = nil
		}
		s.w.mu.Unlock()
		if s.stop == nil {
			close(s.done)
			return
		}
		s.stop()
	})
	<-s.done
	return nil
}

// finish ends an attempt that was held.
func (w *world) finish(id string, exit int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.procs[id]
	if p == nil || !p.exists {
		panic(fmt.Sprintf("attempt %q was not launched; there are %v", id, w.launches))
	}
	p.Exit = exit
	w.end(p)
	w.news()
}

// began lists the attempts that were really launched, in order.
func (w *world) began() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.launches)
}

// kept lists the attempts that are paused now.
func (w *world) kept() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.launches {
		if p := w.procs[id]; p.paused && !p.ended {
			ids = append(ids, id)
		}
	}
	return ids
}

// running lists the stages that run now.
func (w *world) running() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.launches {
		if p := w.procs[id]; !p.ended && !p.paused {
			ids = append(ids, id)
		}
	}
	return ids
}
