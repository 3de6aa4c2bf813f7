package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/master/store"
)

// request is a Commit that waits for its turn.
type request struct {
	epoch  uint64
	batch  []store.Change
	prints []fingerprint
	err    error
	// done is closed once err says how it went.
	done chan struct{}
}

// errNothing rolls a transaction back that has nothing to write.
var errNothing = errors.New("nothing to write")

// errInterrupted is the outcome of a commit whose transaction panicked.
var errInterrupted = errors.New("the transaction was interrupted")

// Commit writes a batch. The commits that wait while a transaction is being written share the next one, so that they share
// its fsync; each of them is whole for itself all the same. A change of a task that does not exist gives store.ErrNotFound,
// and nothing of the batch is written.
func (s *Store) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{epoch: epoch, batch: batch, prints: make([]fingerprint, len(batch)), done: make(chan struct{}), err: errInterrupted}
	for i := range batch {
		if err := valid(&batch[i]); err != nil {
			return err
		}
		if batch[i].Create && !batch[i].Delete {
			r.prints[i] = fingerprintOf(&batch[i])
		}
	}
	s.mu.Lock()
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	select {
	case <-r.done:
	case s.turn <- struct{}{}:
		s.runQueue() // which runs r, unless that was done just before
	case <-ctx.Done():
		if s.withdraw(r) {
			return ctx.Err()
		}
		<-r.done
	}
	return r.err
}

// withdraw takes a request out of the queue; false if it is being run already.
func (s *Store) withdraw(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, r)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// runQueue runs all requests that wait, and gives the turn back.
func (s *Store) runQueue() {
	defer func() { <-s.turn }()
	s.mu.Lock()
	requests := s.queue
	s.queue = nil
	s.mu.Unlock()
	if len(requests) == 0 {
		return
	}
	defer func() {
		for _, r := range requests {
			close(r.done)
		}
	}()
	if err := s.run(requests); err == nil {
		return
	}
	// One of them cannot be written, and took the others with it.
	for _, r := range requests {
		if err := s.run([]*request{r}); err != nil {
			r.err = s.fault("commit", err)
		}
	}
}

// run writes the requests that may be written in one transaction, and sets the err of each. After an error nothing was written
// and no err is set.
func (s *Store) run(requests []*request) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		wrote := false
		for _, r := range requests {
			if r.err = fenced(tx, r.epoch); r.err == nil {
				r.err = check(tx, r)
			}
			if errors.Is(r.err, errCorrupt) {
				return r.err
			}
			if r.err != nil {
				continue
			}
			for i := range r.batch {
				if err := apply(tx, &r.batch[i], r.prints[i]); err != nil {
					return fmt.Errorf("task %q: %w", r.batch[i].Task, err)
				}
				wrote = true
			}
		}
		if !wrote {
			return errNothing
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}
