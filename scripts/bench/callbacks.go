package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/rpc"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// redisCallbacks measures the old calls of stage programs through the server and an engine, each durable in Redis before its
// answer, on connections that are kept open and on one for each call, as the old programs make them.
func redisCallbacks(b *bench) error {
	const tasks, callers = 8, 16
	width := b.pick(1250, 125)
	n := 3 * tasks * width
	for _, c := range []struct {
		name, aim, what string
		kept            bool
	}{
		{"redis/callbacks-kept", "over 20000", "connections kept open", true},
		{"redis/callbacks-each", "over 8000", "a connection for each call", false},
	} {
		var took []time.Duration
		for range b.pick(3, 1) {
			err := b.withRedisEngine(&instant{never: true}, func(e *engine.Engine, _ *redisServer, _ *redis.Store) error {
				ids, err := b.running(e, tasks, width)
				if err != nil {
					return err
				}
				return b.withServer(e, func(address string) error {
					began := time.Now()
					err := b.callbacks(address, ids, callers, c.kept)
					took = append(took, time.Since(began))
					return err
				})
			})
			if err != nil {
				return err
			}
		}
		b.tell(c.name, rates(n, took), "calls/s", c.aim,
			fmt.Sprintf("postStageStarted, postDataPrepared, postStageCompleted of %d stages by %d callers, %s, in Redis (AOF everysec) before the answer",
				tasks*width, callers, c.what))
	}
	return nil
}

// withServer serves an engine's calls.
func (b *bench) withServer(e *engine.Engine, use func(address string) error) (err error) {
	srv, err := rpc.NewServer(rpc.Limits{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(b.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv.Lead(rpc.NewService(rpc.Config{Engine: e}))
	if err := srv.Serve(l); err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, srv.Stop(context.WithoutCancel(b.ctx))) }()
	return use(l.Addr().String())
}

// callbacks makes the three calls of every stage.
func (b *bench) callbacks(address string, ids []string, callers int, kept bool) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := b.caller(address, ids, &next, kept); err != nil {
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *bench) caller(address string, ids []string, next *atomic.Int64, kept bool) error {
	var c caller
	for k := int(next.Add(1)) - 1; k < 3*len(ids); k = int(next.Add(1)) - 1 {
		if c.Conn == nil {
			var err error
			if c, err = connect(b.ctx, address); err != nil {
				return err
			}
		}
		if err := call(b.ctx, c, k/len(ids), ids[k%len(ids)]); err != nil {
			return err
		}
		if !kept {
			if err := c.Close(); err != nil {
				return err
			}
			c = caller{}
		}
	}
	if c.Conn != nil {
		return c.Close()
	}
	return nil
}

// call makes the n-th of a stage's three calls.
func call(ctx context.Context, c caller, n int, stage string) error {
	var r *base.ServiceBaseResult_
	var err error
	switch n {
	case 0:
		r, err = c.stages.PostStageStarted(ctx, stage, nil)
	case 1:
		r, err = c.stages.PostDataPrepared(ctx, stage)
	default:
		r, err = c.stages.PostStageCompleted(ctx, stage, nil)
	}
	if err == nil && r.ResultCode != base.ResultCode_SUCCESS {
		err = fmt.Errorf("stage %s, call %d: %s", stage, n, r.Message)
	}
	return err
}

// watcher is an executor that tells when it is asked to launch a stage whose id ends in a certain way.
type watcher struct {
	instant
	suffix string
	seen   chan time.Time
}

// Launch notes the time.
func (w *watcher) Launch(_ context.Context, a executors.Attempt) error {
	if strings.HasSuffix(a.Stage, w.suffix) {
		w.seen <- time.Now()
	}
	return nil
}

// redisJoin measures how long after the last of 1,000 stages has reported its end the stage that waits for all is launched.
func redisJoin(b *bench) error {
	width := b.pick(1000, 100)
	var took []time.Duration
	for range b.pick(7, 2) {
		w := &watcher{instant: instant{never: true}, suffix: fmt.Sprintf("-%d", width+1), seen: make(chan time.Time, 1)}
		err := b.withRedisEngine(w, func(e *engine.Engine, _ *redisServer, _ *redis.Store) error {
			a, err := e.Submit(b.ctx, engine.Submission{YAML: []byte(joinPlan(width))})
			if err != nil {
				return err
			}
			page, err := e.Stages(b.ctx, engine.StageQuery{Task: a.Task, Limit: width + 1})
			if err != nil {
				return err
			}
			var last time.Time
			for i := range width {
				last = time.Now()
				if _, _, err := e.Report(b.ctx, engine.StageReport{StageID: page.Stages[i].ID, What: dag.ReportCompleted}); err != nil {
					return err
				}
			}
			select {
			case at := <-w.seen:
				took = append(took, at.Sub(last))
			case <-b.ctx.Done():
			}
			return b.ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	b.tell("redis/join", float64(median(took).Microseconds())/1000, "ms", "under 20",
		fmt.Sprintf("from the report of the last of %d stages to the launch of the one that waits for all, two steps durable in Redis between", width))
	return nil
}
