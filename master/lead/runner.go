package lead

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// Runner campaigns for a master. Make one with NewRunner, then call Run once.
type Runner struct {
	cfg    Config
	shared store.Shared
	on     func(Change)
	ask    chan func(now time.Time) []Change
	ended  chan struct{}

	mu    sync.Mutex
	m     *Machine
	state State
}

// NewRunner makes a runner. It calls on with every change, one after the other and in order; on must not wait for anything
// long, since the lease is not renewed meanwhile.
func NewRunner(cfg Config, self store.Member, shared store.Shared, on func(Change)) (*Runner, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot campaign: %w", err)
	}
	return &Runner{
		cfg: cfg, shared: shared, on: on, m: New(cfg, self),
		ask: make(chan func(time.Time) []Change), ended: make(chan struct{}),
	}, nil
}

// State says who leads. It may be called from any goroutine, at any time.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Led notes the epoch that was taken in a term. The other masters learn it with the next renewal, which follows soon.
func (r *Runner) Led(term, epoch uint64) {
	r.do(func(now time.Time) []Change {
		r.m.Led(now, term, epoch)
		return nil
	})
}

// Fenced ends a term, because a write was refused for its epoch, or because it cannot go on for another reason. Where this
// master has the lease all the same, another term begins soon.
func (r *Runner) Fenced(term uint64) {
	r.do(func(now time.Time) []Change { return r.m.Fenced(now, term) })
}

// do has the owner of the machine do something; it must not be called by the function that NewRunner was given.
func (r *Runner) do(f func(now time.Time) []Change) {
	select {
	case r.ask <- f:
	case <-r.ended:
	}
}

// Run campaigns until ctx is done, and then gives the lease up, so that somebody else leads at once. A master that leads
// stops what it does as the leader before that: for as long as Run runs it keeps the lease. Campaigns that fail are
// repeated without end (State.Err has the last one's error). An error means that the lease could not be given up, and
// runs out by itself.
func (r *Runner) Run(ctx context.Context) error {
	defer close(r.ended)
	var calls sync.WaitGroup
	defer calls.Wait()
	answers := make(chan Answer, 1)
	turns := r.shared.Turns(ctx)
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		campaign, changes := r.m.Tick(now)
		r.tell(changes)
		if campaign {
			self := r.m.Self()
			calls.Go(func() { answers <- r.campaign(ctx, self, now) })
		}
		alarm.Reset(time.Until(r.m.Due()))
		select {
		case a := <-answers:
			r.tell(r.m.Answered(time.Now(), a, rand.Float64()))
		case _, open := <-turns:
			if !open {
				turns = nil
			} else {
				r.m.Turn(time.Now())
			}
		case f := <-r.ask:
			r.tell(f(time.Now()))
		case <-alarm.C:
		case <-ctx.Done():
		}
	}
	calls.Wait() // what it still takes is given back below
	return r.resign(ctx)
}

// campaign makes one call.
func (r *Runner) campaign(ctx context.Context, self store.Member, sent time.Time) Answer {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	lease, err := r.shared.Campaign(ctx, self, r.cfg.TTL)
	return Answer{Sent: sent, Lease: lease, Err: err}
}

// resign gives the lease up, or what may be left of it.
func (r *Runner) resign(ctx context.Context) error {
	r.tell(r.m.Resign())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
	defer cancel()
	if err := r.shared.Resign(ctx, r.m.Self().ID); err != nil {
		return fmt.Errorf("cannot give the lease up: %w", err)
	}
	return nil
}

// tell publishes the state, and reports changes.
func (r *Runner) tell(changes []Change) {
	r.publish()
	for _, c := range changes {
		r.on(c)
	}
}

func (r *Runner) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = r.m.State()
}
