package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

// Launch starts the attempt's process. See executors.Executor.
func (e *Executor) Launch(ctx context.Context, a executors.Attempt) error {
	l, err := e.prepare(a)
	if err != nil {
		return launchError(a.ID, err)
	}
	e.launching(a.ID)
	answer, over, err := e.callOver(ctx, nursery.Request{Launch: l})
	if err == nil {
		err = errorOf(answer)
	}
	if e.launched(a.ID, err == nil, over) {
		_, err = e.call(ctx, nursery.Request{Watch: &nursery.Watch{IDs: []string{a.ID}}})
	}
	if err != nil {
		return launchError(a.ID, err)
	}
	return nil
}

// launchError names the attempt. executors.ErrNever, which comes first in what wraps it, has the verb already.
func launchError(id string, err error) error {
	if errors.Is(err, executors.ErrNever) {
		return fmt.Errorf("attempt %q %w", id, err)
	}
	return fmt.Errorf("cannot launch attempt %q: %w", id, err)
}

func errorOf(r nursery.Response) error {
	switch r.Code {
	case "":
		return nil
	case nursery.CodeStale:
		return fmt.Errorf("%w: %s", executors.ErrStale, r.Error)
	case nursery.CodeNever:
		return fmt.Errorf("%w: %s", executors.ErrNever, r.Error)
	default:
		return errors.New(r.Error)
	}
}

// prepare turns an attempt into what the nursery has to do.
func (e *Executor) prepare(a executors.Attempt) (*nursery.Launch, error) {
	e.mu.Lock()
	data, started := e.data, e.started
	e.mu.Unlock()
	switch {
	case !started:
		return nil, errors.New("the local executor was not started")
	case a.ID == "" || a.Spec == nil:
		return nil, fmt.Errorf("%w: it has no id or no description", executors.ErrNever)
	}
	dir := nursery.Dir(data, a.ID)
	env, err := e.environ(a, dir)
	if err != nil {
		return nil, err
	}
	p, err := programOf(a, env, dir)
	if err != nil {
		return nil, err
	}
	l := &nursery.Launch{
		ID: a.ID, Task: a.Task, Stage: a.Stage, Number: a.Number, Epoch: a.Epoch,
		Path: p.path, Argv: p.argv, Env: env.bytes(), Dir: p.dir, Script: p.script, Refusal: p.refusal,
		Note: notes(a.Spec),
		Want: nursery.Want{
			LogLimit: e.cfg.LogLimit, Capture: a.Spec.CaptureResult, ResultLimit: e.cfg.ResultLimit,
			FileLimit: e.cfg.OutputLimit, Linger: e.cfg.Linger, Grace: e.cfg.Grace,
			Private: e.cfg.Private,
		},
	}
	if a.Spec.Grace > 0 {
		l.Want.Grace = time.Duration(a.Spec.Grace) * time.Millisecond
	}
	for _, f := range a.Spec.OutputFiles {
		l.Want.Files = append(l.Want.Files, nursery.File{Name: f.Name, Path: filepath.Clean(f.Path), Default: f.Default})
	}
	return l, nil
}

// Cancel stops an attempt. See executors.Executor.
func (e *Executor) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	e.watch(attemptID)
	e.inbox.expectStop(attemptID)
	if _, err := e.call(ctx, nursery.Request{Cancel: &nursery.Cancel{ID: attemptID, Grace: grace}}); err != nil {
		return fmt.Errorf("cannot cancel attempt %q: %w", attemptID, err)
	}
	return nil
}

// Recover adopts attempts. See executors.Executor.
func (e *Executor) Recover(ctx context.Context, epoch uint64, attempts []executors.Attempt) error {
	w := &nursery.Watch{Epoch: epoch, Orphans: true, Grace: e.cfg.Grace, IDs: make([]string, len(attempts))}
	for i, a := range attempts {
		w.IDs[i] = a.ID
	}
	e.watch(w.IDs...)
	switch r, err := e.call(ctx, nursery.Request{Watch: w}); {
	case err != nil:
		return fmt.Errorf("cannot recover attempts: %w", err)
	case r.Code == nursery.CodeStale:
		return fmt.Errorf("cannot recover attempts: %w: %s", executors.ErrStale, r.Error)
	}
	return nil
}

// Forget removes what is kept of attempts that have ended. See executors.Executor.
func (e *Executor) Forget(ctx context.Context, attemptIDs []string) error {
	if len(attemptIDs) == 0 {
		return nil
	}
	if _, err := e.call(ctx, nursery.Request{Forget: attemptIDs}); err != nil {
		return fmt.Errorf("cannot forget attempts: %w", err)
	}
	return nil
}

// inbox holds news between the connection, which must go on reading, and the sink, which may block. It holds a few entries
// per attempt at most.
type inbox struct {
	mu    sync.Mutex
	news  []*nursery.Response
	stops map[string]struct{} // cancelled: if it turns out to be unknown, it counts as stopped
	shut  bool                // nobody takes anything out any more
	wake  chan struct{}
}

func (b *inbox) expectStop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stops == nil {
		b.stops = map[string]struct{}{}
	}
	b.stops[id] = struct{}{}
}

// stopped reports, once, whether an attempt's stop was asked for.
func (b *inbox) stopped(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.stops[id]
	delete(b.stops, id)
	return ok
}

func (b *inbox) put(r *nursery.Response) {
	b.mu.Lock()
	if !b.shut {
		b.news = append(b.news, r)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []*nursery.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := b.news
	b.news = nil
	return news
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut, b.news = true, nil
}

// deliver hands news to the sink, in order.
func (e *Executor) deliver() {
	defer e.inbox.close()
	for {
		select {
		case <-e.inbox.wake:
		case <-e.ctx.Done():
			return
		}
		for _, r := range e.inbox.take() {
			over := r.End != nil || r.Unknown
			s := sightingOf(r, time.Now())
			if over {
				if cancelled := e.inbox.stopped(r.ID); r.Unknown && cancelled {
					s = stoppedUnknown(r.ID, s.At)
				}
			}
			if e.ctx.Err() != nil {
				return
			}
			if err := e.sink(e.ctx, s); err != nil {
				if e.ctx.Err() == nil {
					e.cfg.Logger.Error("nobody takes reports any more", "error", err)
				}
				return
			}
			if over {
				e.unwatch(r.ID)
			}
		}
	}
}
