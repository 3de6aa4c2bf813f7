package executors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// ErrAway: the executor cannot be reached at the moment. Nothing was done by the call, which may be repeated for as long as it takes.
var ErrAway = errors.New("executor cannot be reached")

// Patience is how an executor is treated that may be away when it is started, as a cluster of several may.
type Patience struct {
	// Again makes the executor anew after a start that failed.
	Again func() (Executor, error)
	// Wait is how long Start and Recover wait before they leave the rest to the background. Default 5 s.
	Wait time.Duration
	// Backoff is the pause before the next try; it doubles up to BackoffCap. Defaults 500 ms and 15 s.
	Backoff, BackoffCap time.Duration
	Logger              *slog.Logger
}

// Patient is e, but that it may be away when it is started: Start and Recover then return all the same, and are made up for as soon
// as it is there. Until e has recovered, nothing is launched or stopped: calls give ErrAway. It is a Pauser; where e is none, Pause
// stops attempts for good. It is Troubled too: what keeps e from being used.
func Patient(e Executor, p Patience) Executor {
	if p.Wait == 0 {
		p.Wait = 5 * time.Second
	}
	if p.Backoff == 0 {
		p.Backoff = 500 * time.Millisecond
	}
	if p.BackoffCap == 0 {
		p.BackoffCap = 15 * time.Second
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &patient{
		Patience: p, current: e, ctx: ctx, stop: stop,
		started: make(chan struct{}), recovered: make(chan struct{}), recovery: make(chan recovery, 1),
		trouble: errors.New("it is being connected to"), since: time.Now(),
	}
}

type patient struct {
	Patience
	sink      Sink
	ctx       context.Context //nolint:containedctx // the life of what Start starts
	stop      context.CancelFunc
	work      sync.WaitGroup
	started   chan struct{} // closed when e was started
	recovered chan struct{} // closed when e has recovered, or will not because its leader is deposed
	recovery  chan recovery

	mu      sync.Mutex
	current Executor
	ready   bool
	trouble error     // why it is not ready
	since   time.Time // when it was made
}

// recovery is what Recover was called with.
type recovery struct {
	epoch    uint64
	attempts []Attempt
}

var (
	_ Pauser   = (*patient)(nil)
	_ Troubled = (*patient)(nil)
)

func (p *patient) Start(ctx context.Context, sink Sink) error {
	p.sink = sink
	p.work.Go(p.connect)
	return p.await(ctx, p.started)
}

func (p *patient) Recover(ctx context.Context, epoch uint64, attempts []Attempt) error {
	select {
	case p.recovery <- recovery{epoch, attempts}:
	default:
		return errors.New("an executor recovers once")
	}
	select {
	case <-p.started:
	case <-p.ctx.Done():
		return ErrClosed
	default:
		return nil // Start has waited long enough
	}
	if err := p.await(ctx, p.recovered); err != nil {
		return err
	}
	if _, err := p.there(); errors.Is(err, ErrStale) {
		return err
	}
	return nil
}

// await waits until something is done, but not for long.
func (p *patient) await(ctx context.Context, done <-chan struct{}) error {
	late := time.NewTimer(p.Wait)
	defer late.Stop()
	select {
	case <-done:
		return nil
	case <-late.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return ErrClosed
	}
}

// connect starts e, and has it recover.
func (p *patient) connect() {
	for n := 0; ; n++ {
		err := p.start(n > 0)
		if err == nil {
			break
		}
		if !p.failed("cannot start an executor; trying again", err, n) {
			return
		}
	}
	close(p.started)
	var r recovery
	select {
	case r = <-p.recovery:
	case <-p.ctx.Done():
		return
	}
	for n := 0; ; n++ {
		err := p.executor().Recover(p.ctx, r.epoch, r.attempts)
		if err == nil || errors.Is(err, ErrStale) {
			p.mu.Lock()
			p.ready, p.trouble = err == nil, err
			p.mu.Unlock()
			close(p.recovered)
			return
		}
		if !p.failed("cannot recover the attempts of an executor; trying again", err, n) {
			return
		}
	}
}

// start starts e, or one that is made anew.
func (p *patient) start(anew bool) error {
	if anew {
		e, err := p.Again()
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.current = e
		p.mu.Unlock()
	}
	e := p.executor()
	err := e.Start(p.ctx, p.sink)
	if err != nil && p.ctx.Err() == nil {
		err = errors.Join(err, e.Stop(p.ctx))
	}
	return err
}

// failed waits before the next try, and reports whether there is one.
func (p *patient) failed(message string, err error, n int) bool {
	if p.ctx.Err() != nil {
		return false
	}
	p.Logger.Error(message, "error", err)
	p.mu.Lock()
	p.trouble = err
	p.mu.Unlock()
	wait := time.NewTimer(min(p.Backoff<<min(n, 20), p.BackoffCap))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *patient) executor() Executor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// there gives e once it has recovered, and otherwise why not.
func (p *patient) there() (Executor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ready:
		return p.current, nil
	case errors.Is(p.trouble, ErrStale):
		return nil, p.trouble
	}
	return nil, fmt.Errorf("%w: %w", ErrAway, p.trouble)
}

// Trouble implements Troubled.
func (p *patient) Trouble() (Trouble, bool) {
	p.mu.Lock()
	e, ready, trouble := p.current, p.ready, p.trouble
	p.mu.Unlock()
	if ready {
		return TroubleOf(e)
	}
	return Trouble{Reason: trouble.Error(), Since: p.since}, true
}

func (p *patient) Launch(ctx context.Context, a Attempt) error {
	e, err := p.there()
	if err != nil {
		return err
	}
	return e.Launch(ctx, a)
}

func (p *patient) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	e, err := p.there()
	if err != nil {
		return err
	}
	return e.Cancel(ctx, attemptID, grace)
}

func (p *patient) Pause(ctx context.Context, attemptID string, grace time.Duration) error {
	e, err := p.there()
	if err != nil {
		return err
	}
	if x, ok := e.(Pauser); ok {
		return x.Pause(ctx, attemptID, grace)
	}
	return e.Cancel(ctx, attemptID, grace)
}

func (p *patient) Logs(ctx context.Context, attemptID string, o LogOptions) (io.ReadCloser, error) {
	e, err := p.there()
	if err != nil {
		return nil, err
	}
	return e.Logs(ctx, attemptID, o)
}

func (p *patient) Forget(ctx context.Context, attemptIDs []string) error {
	e, err := p.there()
	if err != nil {
		return err
	}
	return e.Forget(ctx, attemptIDs)
}

func (p *patient) Stop(ctx context.Context) error {
	p.stop()
	done := make(chan struct{})
	go func() {
		p.work.Wait()
		close(done)
	}()
	err := p.executor().Stop(ctx)
	select {
	case <-done:
		return errors.Join(err, p.executor().Stop(ctx)) // which may have been made anew meanwhile
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("cannot stop connecting to an executor in time: %w", ctx.Err()))
	}
}
