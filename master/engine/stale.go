package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// away is what is known of a store that cannot be reached, or that has lost something.
type away struct {
	mu      sync.Mutex
	commits int // that are being repeated
	since   time.Time
	trouble string
	// until is how long the lead is known to be this engine's; zero is for good.
	until time.Time
}

// failed notes that a commit has failed and is going to be repeated; first says that this is its first failure.
func (a *away) failed(now time.Time, err error, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first {
		a.commits++
	}
	if a.since.IsZero() {
		a.since = now
	}
	a.trouble = err.Error()
}

// over notes that a commit is not repeated any more.
func (a *away) over() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.commits--; a.commits == 0 {
		a.since, a.trouble = time.Time{}, ""
	}
}

// stale gives since when the store has not confirmed what is in memory, and why; a zero time if it does.
func (a *away) stale(now time.Time) (since time.Time, trouble string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	since, trouble = a.since, a.trouble
	if !a.until.IsZero() && now.After(a.until) && (since.IsZero() || a.until.Before(since)) {
		since = a.until
		if trouble == "" {
			trouble = "the lease could not be renewed"
		}
	}
	return since, trouble
}

// Trust says how long the lead is known to be this engine's: after that it launches and stops nothing, until it is told that
// the lead is still its own. An engine that was never told trusts itself.
func (e *Engine) Trust(until time.Time) {
	e.away.mu.Lock()
	defer e.away.mu.Unlock()
	e.away.until = until
}

// Depose tells the engine that another master leads, or is about to: it does nothing any more, and Lost is closed.
func (e *Engine) Depose(err error) { e.fence(err) }

// outranked ends the lead where an executor has heard of a later one, of which the store knows nothing (any more): what this
// engine decides is not carried out there, and only a new epoch mends that.
func (e *Engine) outranked(executor string, err error) {
	if errors.Is(err, executors.ErrStale) {
		e.fence(fmt.Errorf("executor %q has seen a later leader: %w", executor, err))
	}
}

// trusted gives an error while it is not known who leads. What is refused with it is tried again.
func (e *Engine) trusted() error {
	e.away.mu.Lock()
	until := e.away.until
	e.away.mu.Unlock()
	if until.IsZero() || e.cfg.Now().Before(until) {
		return nil
	}
	return fmt.Errorf("%w: the lease could not be renewed", executors.ErrStale)
}

// Stale reports whether the store has not confirmed for a while what the engine knows, and since when. What reading calls
// give is then what it knew at that time, or decided since and could not save.
func (e *Engine) Stale() (since dag.Time, stale bool) {
	at, _ := e.away.stale(e.cfg.Now())
	if at.IsZero() {
		return 0, false
	}
	return millis(at), true
}

// writable refuses what somebody wants changed while the store cannot take it. What runs has to be kept, so its reports wait
// with patience; whoever brings something new is better told at once.
func (e *Engine) writable() error {
	since, trouble := e.away.stale(e.cfg.Now())
	if since.IsZero() {
		return nil
	}
	return fmt.Errorf("the state cannot be written since %s (%s): %w", since.Format(time.TimeOnly), trouble, store.ErrUnavailable)
}

// changeable reports why nothing can be changed now, or nil.
func (e *Engine) changeable() error {
	if err := e.ready(); err != nil {
		return err
	}
	return e.writable()
}

// listFromMemory lists what is active, for as long as the store cannot be asked. It is one page.
func (e *Engine) listFromMemory(ctx context.Context, q store.Query) (*TaskPage, error) {
	var views []TaskView
	for _, a := range e.active.all() {
		err := e.onTask(ctx, a.name, func(v viewer) error {
			if t := v.run.Task(); q.Matches(e.header(t, nil)) {
				views = append(views, *v.ofTask())
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	slices.SortFunc(views, func(a, b TaskView) int {
		return cmp.Or(cmp.Compare(b.Submitted, a.Submitted), cmp.Compare(b.Name, a.Name))
	})
	if q.Limit > 0 && len(views) > q.Limit {
		views = views[:q.Limit]
	}
	return &TaskPage{Tasks: views}, nil
}

// Confirm asks the store whether the engine's epoch is still in force. store.ErrFenced if somebody else has led since.
func (e *Engine) Confirm(ctx context.Context) error {
	return e.cfg.Store.Commit(ctx, e.epoch.Load(), nil)
}
