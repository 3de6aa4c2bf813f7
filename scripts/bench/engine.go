package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// instant is an executor whose attempts have ended as soon as they are launched. The first waits until gate is closed. With never
// set they do not end by themselves.
type instant struct {
	never bool
	gate  chan struct{}
	sink  executors.Sink
	// pauseAt launches later, paused is closed and the executor waits for goOn.
	pauseAt      int64
	count        atomic.Int64
	paused, goOn chan struct{}
}

func (x *instant) Start(_ context.Context, sink executors.Sink) error { x.sink = sink; return nil }

func (x *instant) Launch(ctx context.Context, a executors.Attempt) error {
	if x.never {
		return nil
	}
	wait := func(c chan struct{}) error {
		select {
		case <-c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := wait(x.gate); err != nil {
		return err
	}
	switch n := x.count.Add(1); {
	case n == x.pauseAt:
		close(x.paused)
		fallthrough
	case n > x.pauseAt:
		if err := wait(x.goOn); err != nil {
			return err
		}
	}
	return x.sink(ctx, executors.Sighting{AttemptID: a.ID, Phase: dag.AttemptSucceeded})
}

func (x *instant) Cancel(context.Context, string, time.Duration) error        { return nil }
func (x *instant) Recover(context.Context, uint64, []executors.Attempt) error { return nil }
func (x *instant) Forget(context.Context, []string) error                     { return nil }
func (x *instant) Stop(context.Context) error                                 { return nil }
func (x *instant) Logs(context.Context, string, executors.LogOptions) (io.ReadCloser, error) {
	return nil, executors.ErrNoLogs
}

// withEngine gives use an engine on a bolt file of its own.
func (b *bench) withEngine(x executors.Executor, use func(*engine.Engine) error) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	s, err := bolt.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return b.withEngineOn(s, x, use)
}

// withEngineOn gives use an engine on a store.
func (b *bench) withEngineOn(s store.Store, x executors.Executor, use func(*engine.Engine) error) (err error) {
	e, err := engine.New(engine.Config{Store: s, Executors: map[string]executors.Executor{"local": x}})
	if err != nil {
		return err
	}
	if err := e.Start(b.ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop(context.WithoutCancel(b.ctx))) }()
	return use(e)
}

// events measures how many reports of stages per second an engine takes, each answered once it is durable.
func events(b *bench) error {
	const tasks, reporters = 8, 2048
	width := b.pick(2500, 500)
	var took []time.Duration
	var perCommit float64
	n := 3 * tasks * width
	for range b.pick(3, 1) {
		err := b.withEngine(&instant{never: true}, func(e *engine.Engine) error {
			ids, err := b.running(e, tasks, width)
			if err != nil {
				return err
			}
			before := e.Stats()
			began := time.Now()
			if err := b.report(e, ids, reporters); err != nil {
				return err
			}
			took = append(took, time.Since(began))
			perCommit = float64(n) / float64(e.Stats().Commits-before.Commits)
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.tell("events/group-commit", rates(n, took), "events/s", "over 50000",
		fmt.Sprintf("reports of %d stages in %d tasks by %d callers, each durable (bolt, fsync) before its answer; %.0f events per commit",
			tasks*width, tasks, reporters, perCommit))
	return nil
}

// running submits tasks whose stages are all launched, and gives the ids of those.
func (b *bench) running(e *engine.Engine, tasks, width int) ([]string, error) {
	var ids []string
	for range tasks {
		a, err := e.Submit(b.ctx, engine.Submission{YAML: []byte(clicPlan(width, width))})
		if err != nil {
			return nil, err
		}
		page, err := e.Stages(b.ctx, engine.StageQuery{Task: a.Task, Limit: width})
		if err != nil {
			return nil, err
		}
		for _, s := range page.Stages {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}

// report makes every stage report its start, its data and its completion.
func (b *bench) report(e *engine.Engine, ids []string, callers int) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for k := int(next.Add(1)) - 1; k < 3*len(ids); k = int(next.Add(1)) - 1 {
				what := []dag.What{dag.ReportStarted, dag.ReportPrepared, dag.ReportCompleted}[k/len(ids)]
				if _, _, err := e.Report(b.ctx, engine.StageReport{StageID: ids[k%len(ids)], What: what}); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// largePlan measures a plan of 100,000 stages from its submission to its end.
func largePlan(b *bench) error {
	n := b.pick(100_000, 10_000)
	x := &instant{gate: make(chan struct{}), pauseAt: int64(n / 2), paused: make(chan struct{}), goOn: make(chan struct{})}
	var submit, ran time.Duration
	var idle, busy, disk float64
	var count, commits uint64
	err := b.withEngine(x, func(e *engine.Engine) error {
		yaml := []byte(clicPlan(n, n/100))
		baseline, before := heap(), written()
		began := time.Now()
		a, err := e.Submit(b.ctx, engine.Submission{YAML: yaml})
		if err != nil {
			return err
		}
		submit = time.Since(began)
		idle = heap() - baseline
		stats := e.Stats()
		began = time.Now()
		close(x.gate)
		<-x.paused
		ran = time.Since(began)
		busy = heap() - baseline
		began = time.Now()
		close(x.goOn)
		if err := b.untilDone(e, a.Task); err != nil {
			return err
		}
		ran += time.Since(began)
		disk = written() - before
		count, commits = e.Stats().Events-stats.Events, e.Stats().Commits-stats.Commits
		return nil
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d stages in %d chains, engine and bolt (fsync), an executor that ends at once", n, n/100)
	b.tell("large/submit", submit.Seconds(), "s", "", what+": parse, check, first commit")
	b.tell("large/run", ran.Seconds(), "s", "", fmt.Sprintf("%s; %d events in %d commits", what, count, commits))
	b.tell("large/events", float64(count)/ran.Seconds(), "events/s", "over 50000", what+": one task, so one shard")
	b.tell("large/heap-submitted", idle/float64(n), "B/stage", "under 2048", what+": live heap after the submission")
	b.tell("large/heap-half-done", busy/float64(n), "B/stage", "under 2048", what+": live heap when half of the stages have ended")
	b.tell("large/written", disk/float64(n), "B/stage", "", what+": bytes given to the disk, from submission to end, all of it fsynced")
	return nil
}

// untilDone follows a task to its end, as a client would, and expects it to end well.
func (b *bench) untilDone(e engine.API, task string) error {
	var cursor uint64
	for {
		page, err := e.Watch(b.ctx, task, cursor, 10_000)
		if err != nil {
			return err
		}
		if page.Done {
			if page.Status != dag.TaskCompleted {
				return fmt.Errorf("task %s is %s", task, page.Status)
			}
			return nil
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
		cursor = page.Cursor
	}
}
