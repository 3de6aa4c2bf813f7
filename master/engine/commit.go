package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// save makes the changes of a shard's batch durable and gives what became of each; nil means that all are. What came to
// the shard meanwhile makes up its next batch. The batches of several shards are not joined here: a store that can write
// them in one go, as bolt does, does so itself. Where the store refuses the batch as a whole, its changes are written one
// by one, so that a single one that cannot be written takes no other with it.
func (e *Engine) save(changes []store.Change) []error {
	err := e.commit(changes)
	if err == nil {
		return nil
	}
	whole := len(changes) == 1 || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrUnavailable) || e.inner.Err() != nil
	errs := make([]error, len(changes))
	for i := range changes {
		if errs[i] = err; !whole {
			errs[i] = e.commit(changes[i : i+1])
		}
	}
	return errs
}

// commit repeats the very same batch while the store is unavailable.
func (e *Engine) commit(changes []store.Change) error {
	repeated := false
	if err := e.lostLead(); err != nil {
		return err
	}
	until := e.cfg.Now().Add(e.cfg.CommitPatience)
	defer func() {
		if repeated {
			e.repeating.Add(-1)
		}
	}()
	for n := 1; ; n++ {
		err := e.cfg.Store.Commit(e.inner, e.epoch.Load(), changes)
		if err == nil {
			e.count.commits.Add(1)
			e.count.changes.Add(uint64(len(changes)))
			return nil
		}
		e.count.commitFailures.Add(1)
		if errors.Is(err, store.ErrFenced) {
			e.fence(err)
			return err
		}
		if !errors.Is(err, store.ErrUnavailable) || e.cfg.Now().After(until) {
			return fmt.Errorf("cannot commit: %w", err)
		}
		if !repeated {
			repeated = true
			e.repeating.Add(1)
		}
		e.log.Warn("store is unavailable; the commit is repeated", "try", n, "error", err)
		if !pause(e.inner, e.backoff(n)) {
			return fmt.Errorf("cannot commit: %w", err)
		}
	}
}

// writable refuses new work while commits are being repeated. What runs has to be kept, so its reports wait with patience;
// whoever brings something new is better told at once.
func (e *Engine) writable() error {
	if e.repeating.Load() > 0 {
		return fmt.Errorf("the state cannot be written at the moment (the master's log says why): %w", store.ErrUnavailable)
	}
	return nil
}

// pause waits, and reports whether the context was not done before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
