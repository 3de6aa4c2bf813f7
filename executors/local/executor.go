package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

// RunShimIfAsked turns this process into a nursery if it was started as one, and reports whether it was; main then has
// nothing left to do and returns. It has to come first in the main of every program that uses the executor, and in the
// TestMain of every test that does:
//
//	if local.RunShimIfAsked() {
//		return
//	}
func RunShimIfAsked() bool { return nursery.IfAsked(os.Args) }

// Executor runs attempts as processes of this machine. It implements executors.Executor.
type Executor struct {
	cfg  Config
	base *environment
	data string

	mu      sync.Mutex
	link    *link
	relink  chan struct{} // closed and replaced whenever link changes
	started bool
	closed  bool
	// watched are the attempts whose end was not reported yet.
	watched map[string]*watch

	// nurseries are the pids of those that this executor has started. Only connect and keep touch them.
	nurseries []int

	sink   executors.Sink
	inbox  inbox
	ctx    context.Context //nolint:containedctx // the life of what Start starts
	cancel context.CancelFunc
	work   sync.WaitGroup
}

var _ executors.Executor = (*Executor)(nil)

// New makes an executor. It does nothing until Start.
func New(c Config) (*Executor, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot configure the local executor: %w", err)
	}
	e := &Executor{cfg: c, base: c.base(), watched: map[string]*watch{}, relink: make(chan struct{})}
	e.inbox.wake = make(chan struct{}, 1)
	return e, nil
}

// Start connects to the data directory's nursery, and starts one if there is none. ctx is for that only.
func (e *Executor) Start(ctx context.Context, sink executors.Sink) error {
	if os.Getenv(nursery.EnvChild) != "" {
		return errors.New("this process was started as a nursery, but its main does not begin with local.RunShimIfAsked")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return executors.ErrClosed
	}
	if e.started {
		return nil
	}
	var err error
	if e.data, err = makeDataDir(e.cfg.DataDir); err != nil {
		return err
	}
	l, err := e.connect(ctx)
	if err != nil {
		return fmt.Errorf("cannot start the local executor: %w", err)
	}
	e.sink, e.link, e.started = sink, l, true
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.work.Go(func() { e.keep(l) })
	e.work.Go(e.deliver)
	return nil
}

// Stop ends watching. Attempts run on, unless Config.Private says otherwise.
func (e *Executor) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	if e.started {
		e.cancel()
		if e.link != nil {
			e.link.close()
		}
	}
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot stop the local executor in time: %w", ctx.Err())
	}
}

// keep sees to it that there is a nursery, for as long as the executor runs.
func (e *Executor) keep(l *link) {
	pause := 10 * time.Millisecond
	for {
		if l != nil {
			l.read()
		}
		e.setLink(nil)
		e.reap()
		if e.ctx.Err() != nil {
			return
		}
		if l != nil {
			e.cfg.Logger.Warn("the nursery is gone, starting another")
		}
		var err error
		if l, err = e.connect(e.ctx); err != nil {
			l = nil
			if e.ctx.Err() != nil {
				return
			}
			e.cfg.Logger.Error("cannot start a nursery", "error", err)
			select {
			case <-time.After(pause):
			case <-e.ctx.Done():
				return
			}
			pause = min(2*pause, 5*time.Second)
			continue
		}
		pause = 10 * time.Millisecond
		if !e.setLink(l) {
			l.close()
			return
		}
		ids := e.watching()
		// The answers come as news; that this was asked is enough.
		e.work.Go(func() { _, _ = l.call(e.ctx, nursery.Request{Watch: &nursery.Watch{IDs: ids}}) })
	}
}

// setLink makes l current, and reports whether the executor still runs.
func (e *Executor) setLink(l *link) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.link = l
	close(e.relink)
	e.relink = make(chan struct{})
	return !e.closed
}

// watch is what the executor knows of an attempt that it watches.
type watch struct {
	// known is set once the attempt exists for all this executor knows; until then launching counts the calls under way.
	// A nursery that does not know it is only then a reason to call it lost.
	known     bool
	launching int
}

func (e *Executor) watching() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]string, 0, len(e.watched))
	for id, w := range e.watched {
		if w.known {
			ids = append(ids, id)
		}
	}
	return ids
}

func (e *Executor) watch(ids ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if w := e.watched[id]; w != nil {
			w.known = true
		} else {
			e.watched[id] = &watch{known: true}
		}
	}
}

func (e *Executor) unwatch(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watched, id)
}

// launching notes that an attempt is being launched.
func (e *Executor) launching(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watched[id]
	if w == nil {
		w = &watch{}
		e.watched[id] = w
	}
	w.launching++
}

// launched notes how that ended, over the link l. It reports whether the nursery has to be asked for the attempt: the one
// that started it is gone, and the next one was told before this.
func (e *Executor) launched(id string, ok bool, l *link) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watched[id]
	if w == nil { // its end was reported already
		return false
	}
	w.launching--
	if !ok {
		if !w.known && w.launching <= 0 {
			delete(e.watched, id)
		}
		return false
	}
	missed := !w.known && l != e.link
	w.known = true
	return missed
}

// call asks the nursery, whichever there is, and again if it dies meanwhile: every request may be repeated.
func (e *Executor) call(ctx context.Context, r nursery.Request) (nursery.Response, error) {
	answer, _, err := e.callOver(ctx, r)
	return answer, err
}

// callOver also tells over which link the answer came.
func (e *Executor) callOver(ctx context.Context, r nursery.Request) (nursery.Response, *link, error) {
	for {
		e.mu.Lock()
		l, relink := e.link, e.relink
		switch {
		case e.closed:
			e.mu.Unlock()
			return nursery.Response{}, nil, executors.ErrClosed
		case !e.started:
			e.mu.Unlock()
			return nursery.Response{}, nil, errors.New("the local executor was not started")
		}
		stopped := e.ctx.Done()
		e.mu.Unlock()
		if l != nil {
			answer, err := l.call(ctx, r)
			if !errors.Is(err, errLink) {
				return answer, l, err
			}
			// keep replaces the link; until then it may still be the dead one.
			select {
			case <-l.down:
			case <-ctx.Done():
				return nursery.Response{}, nil, ctx.Err()
			}
		}
		e.mu.Lock()
		same := e.link == l
		e.mu.Unlock()
		if !same {
			continue
		}
		select {
		case <-relink:
		case <-stopped:
			return nursery.Response{}, nil, executors.ErrClosed
		case <-ctx.Done():
			return nursery.Response{}, nil, ctx.Err()
		}
	}
}
