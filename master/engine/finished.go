package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master/store"
)

// finishedRuns keeps the few tasks that ended and were looked at last, decoded, for people who page through one.
type finishedRuns struct {
	mu    sync.Mutex
	runs  []*finishedRun // the last used at the end
	epoch uint64         // counts what was forgotten, so that nothing older is put in
}

// finishedRun is a task that is not active. Its run is used under its lock, and never changed.
type finishedRun struct {
	mu      sync.Mutex
	name    string
	run     *dag.Run
	expires dag.Time
	program dag.Program // once somebody needed it
}

func (f *finishedRun) unlock() { f.mu.Unlock() }

const (
	maxFinished      = 8
	maxFinishedNodes = 150_000
)

// get gives a task that is not active, locked.
func (c *finishedRuns) get(ctx context.Context, e *Engine, name string) (*finishedRun, error) {
	f, epoch := c.cached(name)
	if f == nil {
		rec, err := e.cfg.Store.Load(ctx, name)
		if err != nil {
			return nil, readError("task", name, err)
		}
		run, err := dag.Load(rec.Header.Body, records(rec), nil)
		if err != nil {
			return nil, fmt.Errorf("cannot load task %q: %w", name, err)
		}
		f = &finishedRun{name: name, run: run, expires: rec.Header.Expires}
		if run.Task().Status.Terminal() {
			c.keep(f, epoch)
		}
	}
	f.mu.Lock()
	return f, nil
}

func (c *finishedRuns) cached(name string) (*finishedRun, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range c.runs {
		if f.name == name {
			c.runs = append(append(c.runs[:i:i], c.runs[i+1:]...), f)
			return f, c.epoch
		}
	}
	return nil, c.epoch
}

func (c *finishedRuns) keep(f *finishedRun, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return // it may have been read before somebody retried or deleted it
	}
	c.runs = append(c.runs, f)
	nodes := 0
	for _, r := range c.runs {
		nodes += r.run.Len()
	}
	for len(c.runs) > 1 && (len(c.runs) > maxFinished || nodes > maxFinishedNodes) {
		nodes -= c.runs[0].run.Len()
		c.runs = c.runs[1:]
	}
}

// forget drops a task that became active or was deleted.
func (c *finishedRuns) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for i, f := range c.runs {
		if f.name == name {
			c.runs = append(c.runs[:i:i], c.runs[i+1:]...)
			return
		}
	}
}

// endedStage finds a stage of a task that is not active. The run is locked after a nil error.
func (e *Engine) endedStage(ctx context.Context, stage string) (*finishedRun, int32, error) {
	for _, suffix := range plan.SplitSuffix(stage) {
		name, err := e.cfg.Store.Resolve(ctx, store.Key{Suffix: suffix})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("cannot look for stage %q: %w", stage, err)
		}
		f, err := e.finished.get(ctx, e, name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if i, err := f.run.Find(stage); err == nil {
			return f, i, nil
		}
		f.unlock()
	}
	return nil, 0, unknownStage(stage)
}

// onTask looks at a run as it was last committed, active or ended.
func (e *Engine) onTask(ctx context.Context, name string, look func(v viewer) error) error {
	if err := e.ready(); err != nil {
		return err
	}
	if a := e.active.get(name); a != nil {
		q := newQuery(name, func(t *task) error { return look(viewer{e: e, run: t.run, task: t}) })
		if err := a.shard.await(ctx, q, q.call); !errors.Is(err, errNotActive) {
			return err
		}
	}
	f, err := e.finished.get(ctx, e, name)
	if err != nil {
		return err
	}
	defer f.unlock()
	return look(viewer{e: e, run: f.run, expires: f.expires})
}

// onStage looks at a stage as it was last committed.
func (e *Engine) onStage(ctx context.Context, stage string, look func(v viewer, i int32) error) error {
	if err := e.ready(); err != nil {
		return err
	}
	first, others := e.active.ofStage(stage)
	if first != nil {
		others = append([]*activeTask{first}, others...)
	}
	for _, a := range others {
		q := newQuery(a.name, func(t *task) error {
			i, err := t.run.Find(stage)
			if err != nil {
				return errNotActive // the next candidate
			}
			return look(viewer{e: e, run: t.run, task: t}, i)
		})
		if err := a.shard.await(ctx, q, q.call); !errors.Is(err, errNotActive) {
			return err
		}
	}
	f, i, err := e.endedStage(ctx, stage)
	if err != nil {
		return err
	}
	defer f.unlock()
	return look(viewer{e: e, run: f.run, expires: f.expires}, i)
}
