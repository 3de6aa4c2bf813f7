// Package engine runs tasks: it owns the active runs, makes every change durable before it acts on it, hands attempts to
// executors when there are slots for them, and answers what front ends ask.
//
// Active runs are in memory, hashed by the task's name to shards of one goroutine each; runs that have ended are in the
// store only. A shard takes all requests that wait, applies them, grants slots, commits everything that changed in one
// batch (shared with the other shards), and then answers and acts. So no answer is given and nothing is launched that a
// crash could undo, and the price of durability is paid once for many.
//
// Everything that is under way follows from the stored state and can be asked for again: after a crash the unfinished
// tasks are loaded, the executors say what became of their attempts, and what the states demand is done.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// Engine is the API's implementation. Make one with New.
type Engine struct {
	cfg   Config
	log   *slog.Logger
	epoch atomic.Uint64
	count counters

	shards    []*shard
	dispatch  *dispatcher
	lingerers lingerers
	workers   map[string]*pool
	loader    *pool

	active    registry
	attempts  attemptIndex
	topics    topics
	requests  requests
	finished  finishedRuns
	documents documents
	durations durations
	broken    sync.Map // errors of tasks that were left alone, by name
	away      away
	expiry    atomic.Int64 // when the janitor has to look again, in milliseconds; 0 is never

	mu      sync.Mutex
	state   engineState
	serving atomic.Bool // requests are taken
	fenced  error
	quit    chan struct{}   // closed when requests are refused
	lost    chan struct{}   // closed when another master leads
	stop    chan struct{}   // closed when the shards have to end
	inner   context.Context // of everything the engine does by itself; done when it gives up waiting for others
	abandon context.CancelFunc
	wg      sync.WaitGroup
	ended   chan struct{} // closed when Stop is over
}

type engineState uint8

const (
	stateNew engineState = iota
	stateRunning
	stateStopping
)

var _ API = (*Engine)(nil)

// New makes an engine. It does nothing before Start.
func New(cfg Config) (*Engine, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an engine: %w", err)
	}
	e := &Engine{
		cfg: cfg, log: cfg.Log, dispatch: newDispatcher(cfg.Slots), workers: map[string]*pool{},
		quit: make(chan struct{}), lost: make(chan struct{}), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	for i := range cfg.Shards {
		e.shards = append(e.shards, newShard(e, i))
	}
	return e, nil
}

// Start takes the lead, loads what has not ended, asks the executors what became of it, and begins to act. When it
// returns an error nothing is left running. It may be called once.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	if e.state != stateNew {
		e.mu.Unlock()
		return errors.New("cannot start the engine: it was started before")
	}
	e.state = stateRunning
	e.inner, e.abandon = context.WithCancel(context.WithoutCancel(ctx))
	e.loader = newPool(e.inner, 4)
	for name := range e.cfg.Executors {
		e.workers[name] = newPool(e.inner, e.cfg.LaunchWorkers)
	}
	for _, s := range e.shards {
		go s.run(e.stop)
	}
	e.mu.Unlock()

	epoch, err := e.cfg.Store.Lead(ctx, e.cfg.Holder)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot take the lead: %w", err), e.Stop(context.WithoutCancel(ctx)))
	}
	e.epoch.Store(epoch)
	if err := e.recover(ctx); err != nil {
		return errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != stateRunning || e.fenced != nil {
		return ErrStopping
	}
	e.serving.Store(true)
	e.wg.Go(func() { e.janitor(e.inner) })
	return nil
}

// Stop drains: no request is taken and nothing is launched any more, what was begun is committed and answered, and the
// executors are stopped; attempts run on. When ctx is done first, it does not wait for the store and the executors any
// longer. It may be called several times, also at once.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	switch e.state {
	case stateNew:
		e.state = stateStopping
		close(e.quit)
		close(e.ended)
		e.mu.Unlock()
		return nil
	case stateStopping:
		e.mu.Unlock()
		select {
		case <-e.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.state = stateStopping
	e.serving.Store(false)
	close(e.quit)
	e.mu.Unlock()
	defer close(e.ended)
	defer e.abandon()

	stopWaiting := context.AfterFunc(ctx, e.abandon)
	defer stopWaiting()
	pools := []*pool{e.loader}
	for _, p := range e.workers {
		pools = append(pools, p)
	}
	for _, p := range pools {
		p.close()
	}
	for _, p := range pools {
		p.wait()
	}
	var errs []error
	for name, x := range e.cfg.Executors {
		if err := x.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("cannot stop executor %q: %w", name, err))
		}
	}
	close(e.stop)
	for _, s := range e.shards {
		<-s.exited
	}
	e.abandon()
	e.wg.Wait()
	return errors.Join(errs...)
}

// Lost is closed when another master has taken the lead: this engine does nothing any more and should be stopped.
func (e *Engine) Lost() <-chan struct{} { return e.lost }

// fence notes that another master leads.
func (e *Engine) fence(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fenced != nil {
		return
	}
	e.log.Error("another master leads; this one does nothing any more", "error", err)
	e.fenced = err
	e.serving.Store(false)
	close(e.lost)
	for _, p := range e.workers {
		p.close()
	}
	if e.state == stateRunning {
		e.topics.wakeAll()
	}
}

// lostLead is the error since another master leads, or nil.
func (e *Engine) lostLead() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fenced
}

// stopped is the answer to requests that cannot be taken now.
func (e *Engine) stopped() error {
	if err := e.lostLead(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopping, err)
	}
	return ErrStopping
}

// ready reports why requests cannot be taken, or nil.
func (e *Engine) ready() error {
	if e.serving.Load() {
		return nil
	}
	return e.stopped()
}

// now is the time for the core.
func (e *Engine) now() dag.Time { return millis(e.cfg.Now()) }

// shardOf gives the shard of a task, active or not.
func (e *Engine) shardOf(task string) *shard {
	h := uint32(2166136261) // FNV-1a, so that a task is in the same shard every time
	for i := range len(task) {
		h = (h ^ uint32(task[i])) * 16777619
	}
	return e.shards[h%uint32(len(e.shards))]
}

func (e *Engine) groupOf(it *item) groupKey {
	run := it.task.run
	s := run.Node(it.node).Spec
	return groupKey{executor: e.cfg.executorOf(run.Task(), s), platform: s.Platform}
}

// Info describes the engine.
func (e *Engine) Info(context.Context) Info {
	tasks, stages := e.active.size()
	i := Info{Epoch: e.epoch.Load(), ActiveTasks: tasks, ActiveStages: stages, Executors: e.cfg.executorNames()}
	for _, name := range i.Executors {
		if trouble, ok := executors.TroubleOf(e.cfg.Executors[name]); ok {
			if i.Troubles == nil {
				i.Troubles = map[string]executors.Trouble{}
			}
			i.Troubles[name] = trouble
		}
	}
	if since, trouble := e.away.stale(e.cfg.Now()); !since.IsZero() {
		i.StaleSince, i.StoreTrouble = millis(since), trouble
	}
	return i
}

// sink takes what executors see. It waits while the shard has too much to do.
func (e *Engine) sink(ctx context.Context, seen executors.Sighting) error {
	ref, ok := e.attempts.get(seen.AttemptID)
	if !ok {
		return nil // an attempt that ended long ago, or of a task that is gone
	}
	return ref.shard.send(ctx, &sighting{quiet{ref.task}, ref.node, ref.attempt, seen})
}

// readError names what could not be read.
func readError(what, name string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%s %q: %w", what, name, store.ErrNotFound)
	}
	return fmt.Errorf("cannot read %s %q: %w", what, name, err)
}
