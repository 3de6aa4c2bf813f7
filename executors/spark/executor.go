package spark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/sparkapp"
	"github.com/clic-orchestrator/clic/executors"
)

// New makes an executor of applications over another one. base is an executor of pods or processes, as the mode needs it (nil for
// standalone-cluster), which must have no other users: it is started, told to recover and stopped with this one. pods is the cluster that
// the base makes pods in, nil where there is none: without it, pods are not asked for their progress, and there is no mode cluster.
// The executor is an executors.Pauser where the base is one and the driver is what the base runs.
func New(c Config, base executors.Executor, pods Pods) (executors.Executor, error) {
	c = c.WithDefaults()
	err := c.Validate()
	switch {
	case err != nil:
	case c.Mode != StandaloneCluster && base == nil:
		err = fmt.Errorf("mode %s needs an executor to run in", c.Mode)
	case c.Mode == Cluster && pods == nil:
		err = fmt.Errorf("mode %s needs access to the cluster", c.Mode)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot configure the Spark executor: %w", err)
	}
	if c.Mode == StandaloneCluster {
		return newRemote(c)
	}
	e := &Executor{
		cfg: c, base: base, pods: pods, runs: map[string]*run{}, signs: signs(),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second}},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if c.Mode == Cluster {
		return newDrivers(e), nil
	}
	if p, ok := base.(executors.Pauser); ok {
		return &pauser{Executor: e, base: p}, nil
	}
	return e, nil
}

// Executor runs applications whose driver is what the base runs. It implements executors.Executor.
type Executor struct {
	cfg   Config
	base  executors.Executor
	pods  Pods
	http  *http.Client
	signs []sign

	mu     sync.Mutex
	closed bool
	// runs are the attempts that were launched or recovered and have not ended.
	runs map[string]*run

	sink   executors.Sink
	ctx    context.Context //nolint:containedctx // the life of what Start starts
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// run is an attempt that has not ended.
type run struct {
	attempt executors.Attempt
	app     *sparkapp.App
	// stop ends the asking for progress; nil while nobody asks.
	stop context.CancelFunc
	// telling is held while progress is reported; told: its end was.
	telling sync.Mutex
	told    bool
	// info is what the base says of the attempt, driver what the driver says.
	info, driver string
}

// quiet ends the asking for progress. Nothing is reported any more once it has returned; the executor's lock is not held.
func (r *run) quiet(stop context.CancelFunc) {
	if stop == nil {
		return
	}
	stop()
	r.telling.Lock()
	defer r.telling.Unlock()
	r.told = true
}

// pauser is an executor whose base can pause attempts.
type pauser struct {
	*Executor
	base executors.Pauser
}

// Pause stops the driver, and keeps the attempt: its next launch begins the application anew. See executors.Pauser.
func (p *pauser) Pause(ctx context.Context, attemptID string, grace time.Duration) error {
	return p.base.Pause(ctx, attemptID, grace)
}

// Start starts the base. See executors.Executor.
func (e *Executor) Start(ctx context.Context, sink executors.Sink) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return executors.ErrClosed
	}
	e.sink = sink
	e.mu.Unlock()
	return e.base.Start(ctx, e.saw)
}

// Launch has the base run the application. See executors.Executor.
func (e *Executor) Launch(ctx context.Context, a executors.Attempt) error {
	plain, app, err := e.cfg.translate(a)
	if errors.Is(err, errProgram) {
		return e.base.Launch(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("attempt %q %w", a.ID, err)
	}
	fresh := e.track(a, app)
	err = e.base.Launch(ctx, plain)
	if err != nil && fresh {
		e.drop(a.ID)
	}
	return err
}

// track takes note of an attempt, and reports whether it is new.
func (e *Executor) track(a executors.Attempt, app *sparkapp.App) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.runs[a.ID]; known {
		return false
	}
	e.runs[a.ID] = &run{attempt: a, app: app}
	return true
}

// drop forgets an attempt, and ends the asking for its progress.
func (e *Executor) drop(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.runs[id]; r != nil {
		if r.stop != nil {
			r.stop()
		}
		delete(e.runs, id)
	}
}

// Cancel has the base stop the driver; executors end with it. See executors.Executor.
func (e *Executor) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	return e.base.Cancel(ctx, attemptID, grace)
}

// Recover has the base adopt attempts. See executors.Executor.
func (e *Executor) Recover(ctx context.Context, epoch uint64, attempts []executors.Attempt) error {
	return e.base.Recover(ctx, epoch, e.recovered(attempts))
}

// recovered are the attempts as the base knows them. One that cannot be translated (any more) is handed on as it is: it may exist.
func (e *Executor) recovered(attempts []executors.Attempt) []executors.Attempt {
	plain := make([]executors.Attempt, 0, len(attempts))
	for _, a := range attempts {
		p, app, err := e.cfg.translate(a)
		if err != nil {
			plain = append(plain, a)
			continue
		}
		e.track(a, app)
		plain = append(plain, p)
	}
	return plain
}

// Logs are the driver's. See executors.Executor.
func (e *Executor) Logs(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error) {
	return e.base.Logs(ctx, attemptID, o)
}

// Forget has the base drop what it keeps. See executors.Executor.
func (e *Executor) Forget(ctx context.Context, attemptIDs []string) error {
	return e.base.Forget(ctx, attemptIDs)
}

// Stop stops the base too. Attempts run on. See executors.Executor.
func (e *Executor) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.cancel()
	e.mu.Unlock()
	err := e.base.Stop(ctx)
	return errors.Join(err, e.wait(ctx))
}

// wait waits for the executor's own goroutines.
func (e *Executor) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		e.http.CloseIdleConnections()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot stop the Spark executor in time: %w", ctx.Err())
	}
}

// spawn starts a goroutine that Stop waits for, unless the executor is stopped.
func (e *Executor) spawn(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.work.Go(f)
	}
}

// saw takes what the base saw.
func (e *Executor) saw(ctx context.Context, s executors.Sighting) error {
	e.mu.Lock()
	r := e.runs[s.AttemptID]
	if r == nil {
		e.mu.Unlock()
		return e.sink(ctx, s)
	}
	var stop context.CancelFunc
	switch s.Phase {
	case dag.AttemptPending:
	case dag.AttemptRunning:
		s.Info = r.about(s.Info, e.applicationOf(r), &e.cfg)
		begin := r.stop == nil && e.cfg.Poll > 0 && !e.closed
		var own context.Context
		if begin {
			own, r.stop = context.WithCancel(e.ctx)
			e.work.Go(func() { e.follow(own, r) })
		}
	case dag.AttemptSucceeded, dag.AttemptFailed, dag.AttemptStopped:
		stop = r.stop
		delete(e.runs, s.AttemptID)
		app := ""
		if s.Phase == dag.AttemptSucceeded { // of others it is not known whether there was one
			app = e.applicationOf(r)
		}
		s.Info = r.about(s.Info, app, &e.cfg)
	}
	e.mu.Unlock()
	r.quiet(stop)
	if s.Phase == dag.AttemptFailed {
		s.Failure = e.explained(ctx, s.AttemptID, s.Failure)
	}
	return e.sink(ctx, s)
}

// applicationOf is the id of an attempt's application, "" where Spark chooses it.
func (e *Executor) applicationOf(r *run) string {
	if !e.cfg.kubernetes() || r.app == nil {
		return ""
	}
	return appID(r.attempt.ID)
}

// about is describe with what the base says now. The id of the application is known before its driver is asked. The executor's lock is
// held.
func (r *run) about(info, app string, c *Config) string {
	if info != "" {
		r.info = info
	}
	if r.driver == "" && app != "" {
		r.driver = "application " + app + c.eventLog(r)
	}
	return r.describe()
}

// describe is what people are told of the attempt. The executor's lock is held.
func (r *run) describe() string {
	if r.driver == "" {
		return r.info
	}
	return r.info + "; " + r.driver
}

// Bounds of looking for a reason: what is read of the log's end, and for how long.
const (
	tailBytes = 64 << 10
	tailTime  = 10 * time.Second
)

// explained completes a failure by the end of the driver's log.
func (e *Executor) explained(ctx context.Context, id string, f *dag.Failure) *dag.Failure {
	return explain(ctx, e.base.Logs, id, f, e.signs)
}

type logs func(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error)

func explain(ctx context.Context, logs logs, id string, f *dag.Failure, signs []sign) *dag.Failure {
	if f == nil || f.Kind != dag.FailExit && f.Kind != dag.FailOOM {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, tailTime)
	defer cancel()
	log, err := logs(ctx, id, executors.LogOptions{TailLines: 400})
	if err != nil {
		return f
	}
	defer func() { _ = log.Close() }() // only read from
	text, _ := io.ReadAll(io.LimitReader(log, 1<<20))
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
	}
	return reason(f, string(text), signs)
}
