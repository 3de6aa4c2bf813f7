package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clic-orchestrator/clic/shell/client"
)

// errKilled says that the user did not want to wait any longer.
var errKilled = errors.New("killed")

// guard turns Ctrl-C and the time limit into the end of the task.
type guard struct {
	opts   *RunOptions
	client *client.Client
	task   string
	// end stops the following; say tells the user something.
	end context.CancelCauseFunc
	say func(string)

	signals atomic.Int32
}

// start begins to watch; stop ends it and waits.
func (g *guard) start(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { g.watch(ctx, done) })
	return func() {
		close(done)
		work.Wait()
	}
}

func (g *guard) interrupted() bool { return g.signals.Load() > 0 }

func (g *guard) watch(ctx context.Context, done <-chan struct{}) {
	var due <-chan time.Time
	if g.opts.Timeout > 0 {
		timer := time.NewTimer(g.opts.Timeout)
		defer timer.Stop()
		due = timer.C
	}
	for {
		select {
		case <-done:
			return
		case <-due:
			g.cancel(ctx, fmt.Sprintf("it took longer than %v", g.opts.Timeout))
		case <-g.opts.Interrupts:
			if g.signals.Add(1) == 1 {
				g.say("Cancelling; Ctrl-C again kills what still runs.")
				g.cancel(ctx, "interrupted")
				continue
			}
			g.end(errKilled)
			return
		}
	}
}

// cancel asks the master to end the task. The plan's exit handler runs: it is there to clean up.
func (g *guard) cancel(ctx context.Context, why string) {
	if err := g.client.CancelTask(ctx, g.task, why, true, g.opts.Who()); err != nil && ctx.Err() == nil {
		g.say(fmt.Sprintf("cannot cancel: %v", err))
	}
}
