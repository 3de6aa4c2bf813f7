package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// Faults says what goes wrong between a caller and a store.
type Faults struct {
	// Roll gives a number from 0 up to, but not including, n: from a seeded source, or one that rapid draws. It is not called by
	// several goroutines at once.
	Roll func(n int) int
	// OneIn: a fault befalls one call in so many, on average. 0 is 3.
	OneIn int
	// Late lets Commits that the caller has given up be carried out later, after others. Only for stores that count revisions;
	// the others cannot tell such a Commit from a new one.
	Late bool
	// Pause is how long a call is delayed at most. 0 is one millisecond.
	Pause time.Duration
}

// FaultyStore is a store of which calls are lost before they are carried out or after, carried out twice, in part, or late,
// delayed, or answered by nothing but the end of the caller's patience. Whatever it answers is true: a nil error means done.
type FaultyStore struct {
	inner  store.Store
	faults Faults

	mu   sync.Mutex
	calm bool
	late []func()
	seen map[string]int
}

var _ store.Store = (*FaultyStore)(nil)

// Faulty wraps a store.
func Faulty(s store.Store, f Faults) *FaultyStore {
	if f.OneIn == 0 {
		f.OneIn = 3
	}
	if f.Pause == 0 {
		f.Pause = time.Millisecond
	}
	return &FaultyStore{inner: s, faults: f, seen: map[string]int{}}
}

// Calm ends all faults, after what is still late was carried out.
func (s *FaultyStore) Calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = true
	s.arrive(len(s.late))
}

// Seen is how often each fault happened, by its name.
func (s *FaultyStore) Seen() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]int{}
	for name, n := range s.seen {
		seen[name] = n
	}
	return seen
}

// arrive carries out the first n of what is late, under the lock.
func (s *FaultyStore) arrive(n int) {
	for _, f := range s.late[:n] {
		f()
	}
	s.late = s.late[n:]
}

// The names of the faults.
const (
	faultNone      = ""
	faultLost      = "lost"      // not carried out, as a refused connection
	faultUnheard   = "unheard"   // carried out, and the answer is lost
	faultTwice     = "twice"     // carried out twice; the second answer comes
	faultSlow      = "slow"      // carried out a little later
	faultTimeout   = "timeout"   // not carried out, and no answer until the context ends
	faultTimeoutOn = "timeout2"  // carried out, and no answer until the context ends
	faultPart      = "part"      // some Changes of a batch are carried out
	faultLate      = "late"      // carried out after some later calls
	faultLateTwice = "latetwice" // carried out now, not heard of, and once more later
)

// operation is a call on the way to the store. Only a Commit has part, which carries out some of it.
type operation struct {
	do, part func(context.Context) error
}

// next says what befalls a call.
func (s *FaultyStore) next(ctx context.Context, commit bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calm {
		return faultNone
	}
	if n := len(s.late); n > 0 {
		s.arrive(s.faults.Roll(n + 1))
	}
	if s.faults.Roll(s.faults.OneIn) != s.faults.OneIn-1 { // the smallest examples have no faults
		return faultNone
	}
	kinds := []string{faultLost, faultUnheard, faultTwice, faultSlow}
	if _, ok := ctx.Deadline(); ok {
		kinds = append(kinds, faultTimeout, faultTimeoutOn)
	}
	if commit {
		kinds = append(kinds, faultPart)
		if s.faults.Late {
			kinds = append(kinds, faultLate, faultLateTwice)
		}
	}
	fault := kinds[s.faults.Roll(len(kinds))]
	s.seen[fault]++
	return fault
}

func (s *FaultyStore) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.Roll(n)
}

func unavailable(fault string) error { return fmt.Errorf("%w: fault %q", store.ErrUnavailable, fault) }

// call makes a call with a fault. The fault has the call's own patience; what is carried out is carried out to its end.
func (s *FaultyStore) call(ctx context.Context, op operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	fault := s.next(ctx, op.part != nil)
	switch fault {
	case faultNone:
		return op.do(whole)
	case faultTwice:
		_ = op.do(whole) // the caller hears the second answer
		return op.do(whole)
	case faultSlow:
		timer := time.NewTimer(time.Duration(s.roll(int(s.faults.Pause)) + 1))
		defer timer.Stop()
		<-timer.C
		return op.do(whole)
	case faultUnheard, faultTimeoutOn, faultLateTwice:
		_ = op.do(whole) // the caller does not hear
	case faultPart:
		_ = op.part(whole)
	}
	if fault == faultLate || fault == faultLateTwice {
		s.mu.Lock()
		s.late = append(s.late, func() { _ = op.do(whole) }) // the caller has long gone
		s.mu.Unlock()
	}
	if fault == faultTimeout || fault == faultTimeoutOn {
		<-ctx.Done()
	}
	return unavailable(fault)
}

// read makes a call that gives something.
func read[T any](ctx context.Context, s *FaultyStore, do func(context.Context) (T, error)) (got T, err error) {
	err = s.call(ctx, operation{do: func(ctx context.Context) (err error) {
		got, err = do(ctx)
		return err
	}})
	if err != nil {
		return *new(T), err
	}
	return got, nil
}

// some takes Changes out of a batch as a store of several parts may: of each task, those up to a certain one are left.
func (s *FaultyStore) some(batch []store.Change) []store.Change {
	var left []store.Change
	over := map[string]bool{}
	for i := range batch {
		if over[batch[i].Task] = over[batch[i].Task] || s.roll(2) == 0; !over[batch[i].Task] {
			left = append(left, batch[i])
		}
	}
	return left
}

// Lead implements store.Store.
func (s *FaultyStore) Lead(ctx context.Context, holder string) (uint64, error) {
	return read(ctx, s, func(ctx context.Context) (uint64, error) { return s.inner.Lead(ctx, holder) })
}

// Commit implements store.Store.
func (s *FaultyStore) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	batch = clone(batch) // it may be carried out after the caller has got it back
	return s.call(ctx, operation{
		do:   func(ctx context.Context) error { return s.inner.Commit(ctx, epoch, clone(batch)) },
		part: func(ctx context.Context) error { return s.inner.Commit(ctx, epoch, clone(s.some(batch))) },
	})
}

// Load implements store.Store.
func (s *FaultyStore) Load(ctx context.Context, task string) (*store.Record, error) {
	return read(ctx, s, func(ctx context.Context) (*store.Record, error) { return s.inner.Load(ctx, task) })
}

// Header implements store.Store.
func (s *FaultyStore) Header(ctx context.Context, task string) (*store.Header, error) {
	return read(ctx, s, func(ctx context.Context) (*store.Header, error) { return s.inner.Header(ctx, task) })
}

// List implements store.Store.
func (s *FaultyStore) List(ctx context.Context, q store.Query) (*store.Page, error) {
	return read(ctx, s, func(ctx context.Context) (*store.Page, error) { return s.inner.List(ctx, q) })
}

// Resolve implements store.Store.
func (s *FaultyStore) Resolve(ctx context.Context, k store.Key) (string, error) {
	return read(ctx, s, func(ctx context.Context) (string, error) { return s.inner.Resolve(ctx, k) })
}

// History implements store.Store.
func (s *FaultyStore) History(ctx context.Context, task string, after uint64, limit int) ([]store.LogEntry, error) {
	return read(ctx, s, func(ctx context.Context) ([]store.LogEntry, error) { return s.inner.History(ctx, task, after, limit) })
}

// Due implements store.Store.
func (s *FaultyStore) Due(ctx context.Context, now dag.Time, limit int) ([]string, dag.Time, error) {
	type due struct {
		tasks []string
		next  dag.Time
	}
	d, err := read(ctx, s, func(ctx context.Context) (d due, err error) {
		d.tasks, d.next, err = s.inner.Due(ctx, now, limit)
		return d, err
	})
	return d.tasks, d.next, err
}

// Expire implements store.Store.
func (s *FaultyStore) Expire(ctx context.Context, epoch uint64, now dag.Time, limit int) ([]string, error) {
	return read(ctx, s, func(ctx context.Context) ([]string, error) { return s.inner.Expire(ctx, epoch, now, limit) })
}

// Close closes the store under it, without faults; what is late is lost.
func (s *FaultyStore) Close() error {
	s.mu.Lock()
	s.late, s.calm = nil, true
	s.mu.Unlock()
	return s.inner.Close()
}
