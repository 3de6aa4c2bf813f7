package engine

import (
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

// commit repeats the very same batch while the store is unavailable, or says that it has lost something, which somebody has to
// put back.
func (e *Engine) commit(changes []store.Change) error {
	if err := e.lostLead(); err != nil {
		return err
	}
	repeated := false
	defer func() {
		if repeated {
			e.away.over()
		}
	}()
	until := e.cfg.Now().Add(e.cfg.CommitPatience)
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
		again := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrRolledBack)
		if !again || e.cfg.CommitPatience > 0 && e.cfg.Now().After(until) {
			return fmt.Errorf("cannot commit: %w", err)
		}
		e.away.failed(e.cfg.Now(), err, !repeated)
		repeated = true
		e.log.Warn("the store does not take a commit; it is repeated", "try", n, "error", err)
		if !e.pause(e.backoff(n)) {
			return fmt.Errorf("cannot commit: %w", errors.Join(err, e.lostLead()))
		}
	}
}

// pause waits before a commit is repeated, and reports whether it still should be.
func (e *Engine) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.lost:
	case <-e.inner.Done():
	}
	return false
}
