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
		switch err := x.settle(ctx, spec, s.AttemptID); {
		case err == nil && spec.Output.Publish:
			// First, so that nothing stays behind where the end is not recorded: that the directory is gone says as much.
			x.discard(s.AttemptID, spec.Output.Path)
		case err != nil && ctx.Err() == nil:
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

// settle checks an output and publishes it, for as long as it takes the store to answer. The last word of the store is the reason if
// there is no patience left.
func (x *checked) settle(ctx context.Context, spec *dag.StageSpec, attemptID string) error {
	var until time.Time
	for n := 0; ; n++ {
		select {
		case x.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if until.IsZero() { // to wait for one's turn is no fault of the store
			until = time.Now().Add(x.cfg.Patience)
		}
		err := x.conclude(ctx, spec, attemptID, until)
		<-x.slots
		if err == nil || errors.Is(err, ErrUnmet) || ctx.Err() != nil {
			return err
		}
		x.cfg.Logger.Warn("cannot look at the output of an attempt; trying again", "attempt", attemptID, "error", err)
		wait := min(x.cfg.Backoff<<min(n, 20), x.cfg.BackoffCap)
		if time.Now().Add(wait).After(until) {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// conclude checks an output and publishes it. All of it can be repeated.
func (x *checked) conclude(ctx context.Context, spec *dag.StageSpec, attemptID string, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	out := spec.Output
	if !out.Publish {
		return x.check(ctx, spec, attemptID)
	}
	dir := Dir(attemptID, out.Path)
	if done, err := x.cfg.Store.Published(ctx, dir, out.Path); done || err != nil {
		return err // it was good then
	}
	err := x.check(ctx, spec, attemptID)
	if err == nil {
		err = x.cfg.Store.Publish(ctx, dir, out.Path)
	}
	if errors.Is(err, ErrUnmet) {
		// A master that led before this one may have been at it, and have published it meanwhile.
		if done, problem := x.cfg.Store.Published(ctx, dir, out.Path); done || problem != nil {
			return problem
		}
	}
	return err
}

// check looks whether an output is as its plan says.
func (x *checked) check(ctx context.Context, spec *dag.StageSpec, attemptID string) error {
	if spec.Output.Success == "" {
		return nil
	}
	return x.cfg.Store.Check(ctx, spec, Place(attemptID, spec.Output))
}
