package lead_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
)

// lease is the slow and obvious lease that all masters of a test use.
type lease struct {
	holder store.Member
	until  time.Time
}

func (l *lease) campaign(now time.Time, m store.Member, ttl time.Duration) store.Lease {
	if l.holder.ID == m.ID || !now.Before(l.until) {
		l.holder, l.until = m, now.Add(ttl)
	}
	return store.Lease{Holder: l.holder, Left: l.until.Sub(now)}
}

func (l *lease) resign(id string) bool {
	if l.holder.ID != id {
		return false
	}
	*l = lease{}
	return true
}

// shared is a store.Shared of which only the lease is there. Everything else panics.
type shared struct {
	store.Shared
	mu    sync.Mutex
	lease lease
	down  error // what every call gives
	hang  bool  // calls do not come back
	turns []chan struct{}
	calls int
}

var errDown = errors.New("down")

func (s *shared) Campaign(ctx context.Context, m store.Member, ttl time.Duration) (store.Lease, error) {
	s.mu.Lock()
	hang := s.hang
	s.calls++
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return store.Lease{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return store.Lease{}, s.down
	}
	old := s.lease.holder.ID
	l := s.lease.campaign(time.Now(), m, ttl)
	if s.lease.holder.ID != old {
		s.turned()
	}
	return l, nil
}

func (s *shared) Resign(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	if s.lease.resign(id) {
		s.turned()
	}
	return nil
}

func (s *shared) turned() {
	for _, c := range s.turns {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (s *shared) Turns(ctx context.Context) <-chan struct{} {
	in, out := make(chan struct{}, 1), make(chan struct{})
	s.mu.Lock()
	s.turns = append(s.turns, in)
	s.mu.Unlock()
	go func() {
		defer close(out)
		for {
			select {
			case <-in:
			case <-ctx.Done():
				return
			}
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (s *shared) set(f func(s *shared)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// log collects changes.
type log struct {
	mu      sync.Mutex
	changes []lead.Change
}

func (l *log) on(c lead.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, c)
}

// kinds gives what happened since it was last asked, but for renewals.
func (l *log) kinds() (list []lead.Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.changes {
		if c.Kind != lead.Renewed {
			list = append(list, c.Kind)
		}
	}
	l.changes = nil
	return list
}
