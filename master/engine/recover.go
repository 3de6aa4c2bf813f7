package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// recover loads what has not ended, asks the executors about it, and lets the shards act. The order matters: attempts
// are known before executors report, and executors have said what they know before anything is launched.
func (e *Engine) recover(ctx context.Context) error {
	names, err := e.unfinished(ctx)
	if err != nil {
		return fmt.Errorf("cannot list unfinished tasks: %w", err)
	}
	live, err := e.loadAll(ctx, names)
	if err != nil {
		return err
	}
	for _, s := range e.shards {
		c := newCall()
		if err := s.await(ctx, &control{call: c}, c); err != nil {
			return err
		}
	}
	for _, name := range e.cfg.executorNames() {
		x := e.cfg.Executors[name]
		if err := x.Start(context.WithoutCancel(ctx), e.sink); err != nil {
			return fmt.Errorf("cannot start executor %q: %w", name, err)
		}
		// Executors stop what they are not asked for: what another leader has launched, if there is one by now.
		if err := e.trusted(); err != nil {
			return err
		}
		if err := x.Recover(ctx, e.epoch.Load(), live[name]); err != nil {
			return fmt.Errorf("cannot recover the attempts of executor %q: %w", name, err)
		}
	}
	for name, attempts := range live {
		if e.cfg.Executors[name] == nil {
			e.orphaned(ctx, name, attempts)
		}
	}
	if len(names) > 0 {
		e.log.Info("unfinished tasks go on", "tasks", len(names))
	}
	for _, s := range e.shards {
		s.post(&control{open: true})
	}
	e.dispatch.start()
	return nil
}

// orphaned reports attempts as lost whose executor is not configured any more.
func (e *Engine) orphaned(ctx context.Context, name string, attempts []executors.Attempt) {
	e.log.Error("stages run on an executor that is not configured any more", "executor", name, "attempts", len(attempts))
	f := dag.NewFailure(dag.FailLost, 0, fmt.Sprintf("executor %q, which ran it, is not configured any more", name))
	for _, a := range attempts {
		// An error means that the engine is being stopped; the next start says the same again.
		if e.sink(ctx, executors.Sighting{AttemptID: a.ID, Phase: dag.AttemptFailed, Failure: f}) != nil {
			return
		}
	}
}

func (e *Engine) unfinished(ctx context.Context) ([]string, error) {
	q := store.Query{Statuses: []dag.TaskStatus{dag.TaskNew, dag.TaskRunning, dag.TaskSuspended}, Limit: 1000}
	var names []string
	for {
		page, err := e.cfg.Store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Headers {
			names = append(names, page.Headers[i].Task)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return names, nil
		}
	}
}

// loadAll loads tasks and gives them to their shards. It returns the attempts that may exist outside, by executor. A task
// that cannot be loaded is reported and left alone; that the store cannot be read ends the start.
func (e *Engine) loadAll(ctx context.Context, names []string) (map[string][]executors.Attempt, error) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
		live = map[string][]executors.Attempt{}
		next = make(chan string)
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for name := range next {
				attempts, err := e.loadOne(ctx, name)
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				}
				for x, list := range attempts {
					live[x] = append(live[x], list...)
				}
				mu.Unlock()
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	wg.Wait()
	return live, errors.Join(errs...)
}

func (e *Engine) loadOne(ctx context.Context, name string) (map[string][]executors.Attempt, error) {
	s := e.shardOf(name)
	t, err := e.load(ctx, name)
	if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	live := map[string][]executors.Attempt{}
	for i := int32(0); t != nil && i < int32(t.run.Len()); i++ {
		n := t.run.Node(i)
		if n.Spec.Kind != dag.KindStage || !n.Live && !n.Kept {
			continue
		}
		a, derr := describe(e, t, i)
		if derr != nil {
			// It may run all the same: the executor adopts it by its name.
			e.log.Error("cannot describe a running attempt", "stage", n.Spec.ID, "error", derr)
			a.ID, a.Task, a.Stage, a.Number = dag.AttemptID(n.Spec.ID, n.Attempt), name, n.Spec.ID, n.Attempt
		}
		x := e.cfg.executorOf(t.run.Task(), n.Spec)
		live[x] = append(live[x], a)
	}
	s.post(&loaded{quiet: quiet{name}, run: t, err: err})
	return live, nil
}
