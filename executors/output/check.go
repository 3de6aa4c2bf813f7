package output

import (
	"context"
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// saw passes on what the executor saw, but for ends that the output decides on.
func (x *checked) saw(ctx context.Context, s executors.Sighting) error {
	x.mu.Lock()
	spec := x.promised[s.AttemptID]
	_, busy := x.busy[s.AttemptID]
	switch {
	case x.closed:
		x.mu.Unlock()
		return executors.ErrClosed
	case spec == nil, s.Phase == dag.AttemptPending, s.Phase == dag.AttemptRunning, s.Kept:
		x.mu.Unlock()
		return x.sink(ctx, s)
	case busy:
		x.mu.Unlock()
		return nil // the end that was seen first is the attempt's
	}
	own, cancel := context.WithCancel(x.ctx)
	x.busy[s.AttemptID] = cancel
	x.work.Add(1) // under the lock: Stop waits only for what began before it
	x.mu.Unlock()
	go x.judge(own, cancel, spec, s)
	return nil
}

// judge looks at the output of an attempt that has ended, and reports what that comes to.
func (x *checked) judge(ctx context.Context, cancel context.CancelFunc, spec *dag.StageSpec, s executors.Sighting) {
	defer x.work.Done()
	defer cancel()
	if s.Phase == dag.AttemptSucceeded {
		if err := x.settle(ctx, spec, s.AttemptID); err != nil && ctx.Err() == nil {
			s.Phase, s.Failure = dag.AttemptFailed, dag.NewFailure(dag.FailOutput, s.ExitCode, err.Error())
		}
	}
	x.mu.Lock()
	delete(x.busy, s.AttemptID)
	x.mu.Unlock()
	if x.ctx.Err() != nil {
		return // the executor is stopped: its successor will see the same end
	}
	if err := x.sink(x.ctx, s); err != nil {
		return
	}
	x.mu.Lock()
	delete(x.promised, s.AttemptID)
	x.mu.Unlock()
	if spec.Output.Publish && (s.Phase != dag.AttemptSucceeded || ctx.Err() != nil) {
		x.discard(s.AttemptID, spec.Output.Path)
	}
}

// discardTime bounds the removal of what nobody will read: the next attempt writes somewhere else.
const discardTime = time.Minute

func (x *checked) discard(attemptID, place string) {
	ctx, cancel := context.WithTimeout(x.ctx, discardTime)
	defer cancel()
	if err := x.cfg.Store.Discard(ctx, Dir(attemptID, place)); err != nil {
		x.cfg.Logger.Warn("cannot remove what an attempt wrote that failed", "attempt", attemptID, "error", err)
	}
}

// settle checks an output and publishes it, for as long as it takes the store to answer.
func (x *checked) settle(ctx context.Context, spec *dag.StageSpec, attemptID string) error {
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	asked, cancel := context.WithTimeout(ctx, x.cfg.Patience)
	defer cancel()
	return x.insist(asked, attemptID, func() error { return x.conclude(asked, spec, attemptID) })
}

// conclude checks an output and publishes it. All of it can be repeated.
func (x *checked) conclude(ctx context.Context, spec *dag.StageSpec, attemptID string) error {
	out := spec.Output
	dir := Dir(attemptID, out.Path)
	if out.Publish {
		if done, err := x.cfg.Store.Published(ctx, dir, out.Path); done || err != nil {
			return err // it was good then
		}
	}
	if out.Success != "" {
		if err := x.cfg.Store.Check(ctx, spec, Place(attemptID, out)); err != nil {
			return err
		}
	}
	if !out.Publish {
		return nil
	}
	return x.cfg.Store.Publish(ctx, dir, out.Path)
}

// insist repeats what may go through later. The last word of the store is the reason if there is no time left.
func (x *checked) insist(ctx context.Context, attemptID string, do func() error) error {
	for n := 0; ; n++ {
		err := do()
		if err == nil || errors.Is(err, ErrUnmet) || ctx.Err() != nil {
			return err
		}
		x.cfg.Logger.Warn("cannot look at the output of an attempt; trying again", "attempt", attemptID, "error", err)
		pause := time.NewTimer(min(x.cfg.Backoff<<min(n, 20), x.cfg.BackoffCap))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}
