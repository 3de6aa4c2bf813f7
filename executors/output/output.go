// Package output is a decorator of executors: an attempt whose program has ended well has succeeded only once its output was looked at
// and, where the plan asks for it, has been published. So whatever runs the program, a stage is COMPLETED when its data is there, and a
// retry never mixes with what an attempt before it wrote.
//
// Where outputs are, and how they are looked at, is a matter of the Store that it is given. Nothing is remembered on disk: an executor
// reports the end of an attempt again after a restart, and a publication is done once however often it is asked for.
package output

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// ErrUnmet: the output was looked at, and is not what the plan asks for. Asking again will not help.
var ErrUnmet = errors.New("output is not as the plan asks for")

// Store is where outputs are. Its errors that do not wrap ErrUnmet mean that it could not do what was asked for, and may be able to
// later.
type Store interface {
	// Prepare makes the directory that an attempt is to write in. One that is there already is no error.
	Prepare(ctx context.Context, dir string) error
	// Check looks whether the output at where is as out says. where is the attempt's own path if out is to be published, and may be ""
	// where the command line of spec leads to it.
	Check(ctx context.Context, spec *dag.StageSpec, where string) error
	// Published reports whether Publish has moved the output of dir to its place, whoever called it and whatever it answered: its
	// answer may have been lost, or its caller have been killed.
	Published(ctx context.Context, dir, place string) (bool, error)
	// Publish moves what an attempt wrote in its directory dir to its place. An output that exists already is never replaced: that is
	// ErrUnmet. From then on Published can tell, for as long as dir is there or was removed by Discard.
	Publish(ctx context.Context, dir, place string) error
	// Discard removes the directory of an attempt, which has failed or was published. One that does not exist is no error.
	Discard(ctx context.Context, dir string) error
}

// Config is how outputs are looked at. Zero fields stand for the defaults.
type Config struct {
	Store Store
	// Patience is how long a store that does not answer is asked again before the attempt has failed. Default 15 min.
	Patience time.Duration
	// Backoff is the pause before it is asked again; it doubles up to BackoffCap. Defaults 1 s and 30 s.
	Backoff, BackoffCap time.Duration
	// Parallel is how many outputs are looked at at the same time; those that wait for a store to come back do not count. Default 16.
	Parallel int
	Logger   *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Patience, 15 * time.Minute}, {&c.Backoff, time.Second}, {&c.BackoffCap, 30 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Parallel == 0 {
		c.Parallel = 16
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Dir is the directory that an attempt writes in whose output is to be published: beside the output's place, so that the rename stays
// in one file system, and with a name that readers of part files leave out.
func Dir(attemptID, place string) string {
	place = trim(place)
	return strings.TrimSuffix(place, path.Base(place)) + "_clic-" + attemptID
}

// trim leaves out slashes at the end: what is beside "/a/b/" is in "/a".
func trim(place string) string { return strings.TrimRight(place, "/") }

// Place is the path that an attempt writes to: its own (executors.EnvOutput) where the output is to be published, or else the output's.
func Place(attemptID string, out *dag.Output) string {
	if out == nil {
		return ""
	}
	if !out.Publish {
		return out.Path
	}
	return Dir(attemptID, out.Path) + "/" + path.Base(out.Path)
}

// Checked is e, but that attempts whose StageSpec.Output asks for it succeed only with their output. It is a Pauser if e is one.
func Checked(e executors.Executor, c Config) executors.Executor {
	ctx, stop := context.WithCancel(context.Background())
	c = c.withDefaults()
	x := &checked{
		Executor: e, cfg: c, ctx: ctx, stop: stop,
		promised: map[string]*dag.StageSpec{}, busy: map[string]context.CancelFunc{}, slots: make(chan struct{}, c.Parallel),
	}
	if p, ok := e.(executors.Pauser); ok {
		return &pausable{checked: x, pauser: p}
	}
	return x
}

type pausable struct {
	*checked
	pauser executors.Pauser
}

// Trouble tells what keeps the executor from being used.
func (x *checked) Trouble() (executors.Trouble, bool) { return executors.TroubleOf(x.Executor) }

// Pause passes the call on: what has ended already is looked at as ever.
func (p *pausable) Pause(ctx context.Context, attemptID string, grace time.Duration) error {
	return p.pauser.Pause(ctx, attemptID, grace)
}

type checked struct {
	executors.Executor
	cfg  Config
	sink executors.Sink

	ctx   context.Context //nolint:containedctx // the life of what sightings start
	stop  context.CancelFunc
	work  sync.WaitGroup
	slots chan struct{}

	mu     sync.Mutex
	closed bool
	// promised are the attempts whose output is looked at, busy those of them where that is under way.
	promised map[string]*dag.StageSpec
	busy     map[string]context.CancelFunc
}

func (x *checked) Start(ctx context.Context, sink executors.Sink) error {
	x.sink = sink
	return x.Executor.Start(ctx, x.saw)
}

func (x *checked) Launch(ctx context.Context, a executors.Attempt) error {
	x.promise(a)
	a.OutputPath = Place(a.ID, a.Spec.Output)
	if a.Spec.Output.Checked() && a.Spec.Output.Publish {
		if err := x.cfg.Store.Prepare(ctx, Dir(a.ID, a.Spec.Output.Path)); err != nil {
			err = fmt.Errorf("cannot make the directory of the attempt's output: %w", err)
			if errors.Is(err, ErrUnmet) {
				return fmt.Errorf("%w: %w", executors.ErrNever, err)
			}
			return later{err}
		}
	}
	return x.Executor.Launch(ctx, a)
}

// later is a launch that waits for its store: nothing was launched, and that says nothing about the attempt. It is executors.ErrAway,
// without its words, which are about executors.
type later struct{ error }

func (l later) Unwrap() error        { return l.error }
func (l later) Is(target error) bool { return target == executors.ErrAway }

func (x *checked) Recover(ctx context.Context, epoch uint64, attempts []executors.Attempt) error {
	for _, a := range attempts {
		x.promise(a)
	}
	return x.Executor.Recover(ctx, epoch, attempts)
}

func (x *checked) promise(a executors.Attempt) {
	if a.Spec == nil || !a.Spec.Output.Checked() {
		return
	}
	x.mu.Lock()
	x.promised[a.ID] = a.Spec
	x.mu.Unlock()
}

// Cancel gives up looking at the attempt's output: a stage that is cancelled does not publish.
func (x *checked) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	x.mu.Lock()
	if cancel := x.busy[attemptID]; cancel != nil {
		cancel()
	}
	x.mu.Unlock()
	return x.Executor.Cancel(ctx, attemptID, grace)
}

func (x *checked) Forget(ctx context.Context, attemptIDs []string) error {
	x.mu.Lock()
	for _, id := range attemptIDs {
		delete(x.promised, id)
	}
	x.mu.Unlock()
	return x.Executor.Forget(ctx, attemptIDs)
}

func (x *checked) Stop(ctx context.Context) error {
	err := x.Executor.Stop(ctx)
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.stop()
	done := make(chan struct{})
	go func() {
		x.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("cannot stop looking at outputs in time: %w", ctx.Err()))
	}
}
