package engine

import (
	"context"
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// expiring notes that a task may be deleted at a time, so that the janitor looks only when there is something to find.
func (e *Engine) expiring(at dag.Time) {
	for {
		old := e.expiry.Load()
		if old != 0 && old <= int64(at) || e.expiry.CompareAndSwap(old, int64(at)) {
			return
		}
	}
}

// expiryMargin is how long a task is kept beyond its time, so that a retry that was accepted in the last moment is
// committed before anybody deletes the task. (While commits are being repeated nothing is deleted at all.)
func (e *Engine) expiryMargin() dag.Duration {
	return dag.Duration((max(0, e.cfg.CommitPatience) + e.cfg.BackoffCap).Milliseconds())
}

// janitor deletes ended tasks whose time has come, and looks for unfinished ones that nobody runs.
func (e *Engine) janitor(ctx context.Context) {
	e.expiring(1) // look once, after the start
	tick := time.NewTicker(e.cfg.JanitorPeriod)
	defer tick.Stop()
	for {
		due := e.now() - dag.Time(e.expiryMargin())
		if _, stale := e.Stale(); stale {
			due = 0 // nothing can be deleted now, and what is due may just be being retried
		}
		if at := e.expiry.Load(); at != 0 && dag.Time(at) <= due {
			e.expiry.Store(0)
			if err := e.sweep(ctx, due); err != nil {
				e.expiring(dag.Time(at))
				if ctx.Err() == nil && e.lostLead() == nil {
					e.log.Warn("cannot delete old tasks now", "error", err)
				}
			}
		}
		select {
		case <-tick.C:
		case <-e.quit:
			return
		case <-e.lost:
			return
		}
		if _, stale := e.Stale(); !stale {
			e.takeOver(ctx)
		}
	}
}

// takeOver makes unfinished tasks active that are not: a submission whose commit was given up and took effect all the same.
func (e *Engine) takeOver(ctx context.Context) {
	names, err := e.unfinished(ctx)
	if err != nil {
		if ctx.Err() == nil && e.lostLead() == nil {
			e.log.Warn("cannot look for tasks that nobody runs", "error", err)
		}
		return
	}
	for _, name := range names {
		if e.active.get(name) == nil {
			e.shardOf(name).post(&stray{quiet{name}})
		}
	}
}

// sweepAtOnce is how many tasks are deleted in one go.
const sweepAtOnce = 100

// sweep deletes what may go by due: first the executors forget the attempts, then the store the tasks, so that nothing is
// left behind by a crash in between.
func (e *Engine) sweep(ctx context.Context, due dag.Time) error {
	for {
		names, next, err := e.cfg.Store.Due(ctx, due, sweepAtOnce)
		if err != nil {
			return err
		}
		if next != 0 {
			e.expiring(next)
		}
		e.forgetting(ctx, names)
		for _, name := range names {
			attempts, err := e.attemptsOf(ctx, name)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			e.forget(ctx, attempts)
		}
		// Also where nothing is due: a store may have something left over of what an earlier leader deleted.
		deleted, err := e.cfg.Store.Expire(ctx, e.epoch.Load(), due, sweepAtOnce)
		if errors.Is(err, store.ErrFenced) {
			e.fence(err)
		}
		if err != nil {
			return err
		}
		for _, name := range deleted {
			e.finished.forget(name)
			e.topics.publish(name)
		}
		e.count.expired.Add(uint64(len(deleted)))
		e.forgotten(deleted)
		if len(names) < sweepAtOnce {
			return nil
		}
	}
}
