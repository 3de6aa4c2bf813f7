package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
	thrift "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/shell/client"
)

// private is a master in this process.
type private struct {
	client *client.Client
	cancel context.CancelFunc
	done   chan error
	// left are the attempts that were alive when everything was to be killed.
	left []string
}

// start makes a master on a free port of the loopback interface, and waits until it serves.
func start(ctx context.Context, opts *RunOptions, dir string, spark master.SparkConfig) (*private, error) {
	cfg := master.Config{
		Listen: "127.0.0.1:0", DataDir: dir, Version: opts.Version,
		ResultDirs: []string{string(filepath.Separator)}, // it reads with the rights of the user who looks at it
		Local:      local.Config{Private: opts.DataDir == "" && !opts.Keep},
		Spark:      spark,
	}
	if opts.Slots > 0 {
		cfg.Slots.Global = opts.Slots
	}
	m, err := master.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot make a private master: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &private{cancel: cancel, done: make(chan error, 1)}
	go func() { p.done <- m.Run(ctx) }() // stop waits for it
	select {
	case <-m.Ready():
	case err := <-p.done:
		cancel()
		if err == nil {
			err = errors.New("it ended at once")
		}
		return nil, fmt.Errorf("cannot run a private master: %w", err)
	}
	p.client = client.New(client.Config{Address: m.Addr().String(), Source: "the private master"})
	return p, nil
}

// stop ends the master. Stages that still run end with it, unless its state is kept.
func (p *private) stop() error {
	err := p.client.Close()
	p.cancel()
	if runErr := <-p.done; runErr != nil {
		err = errors.Join(err, fmt.Errorf("the private master: %w", runErr))
	}
	return err
}

// left lists the attempts that may still run.
func left(ctx context.Context, c *client.Client, task string) []string {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	page, err := c.ListStages(ctx, &thrift.StageQuery{TaskName: task, Limit: new(int32(10_000)), States: []thrift.StageState{
		thrift.StageState_LAUNCHING, thrift.StageState_RUNNING, thrift.StageState_PREPARED, thrift.StageState_CANCELLING,
	}})
	if err != nil {
		return nil // nothing can be named; what runs is stopped by the executor's own clean-up
	}
	ids := make([]string, len(page.Stages))
	for i, s := range page.Stages {
		ids[i] = dag.AttemptID(s.StageId, s.Attempt)
	}
	return ids
}

const (
	// killWait is how long the end of killed processes is waited for.
	killWait = 5 * time.Second
	// noGrace is between TERM and KILL for somebody who has pressed Ctrl-C twice.
	noGrace = time.Millisecond
)

// kill ends attempts by force, once the master that had started them is gone: with an executor of its own.
func kill(ctx context.Context, dir string, attempts []string) error {
	if len(attempts) == 0 {
		return nil
	}
	e, err := local.New(local.Config{DataDir: dir})
	if err != nil {
		return err
	}
	k := &killer{open: map[string]bool{}, done: make(chan struct{})}
	for _, id := range attempts {
		k.open[id] = true
	}
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	if err := e.Start(ctx, k.saw); err != nil {
		return err
	}
	var errs []error
	for _, id := range attempts {
		errs = append(errs, e.Cancel(ctx, id, noGrace))
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		errs = append(errs, errors.New("some processes did not end in time"))
	}
	errs = append(errs, e.Stop(context.WithoutCancel(ctx)))
	return errors.Join(errs...)
}

// killer waits for the ends of attempts.
type killer struct {
	mu   sync.Mutex
	open map[string]bool
	done chan struct{}
}

func (k *killer) saw(_ context.Context, s executors.Sighting) error {
	switch s.Phase {
	case dag.AttemptSucceeded, dag.AttemptFailed, dag.AttemptStopped:
	default:
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open[s.AttemptID] {
		delete(k.open, s.AttemptID)
		if len(k.open) == 0 {
			close(k.done)
		}
	}
	return nil
}
