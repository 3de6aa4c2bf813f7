package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master/store"
)

// whole stands for the task itself where a node's index is asked for.
const whole int32 = -1

// order gives a task a command about target. event is called by the shard with the node's index, or whole.
func (e *Engine) order(
	ctx context.Context, target Target, event func(t *task, i int32, now dag.Time) (dag.Event, error), then func(*task, dag.Delta),
) error {
	if err := e.changeable(); err != nil {
		return err
	}
	names, err := e.tasksOf(ctx, target)
	if err != nil {
		return err
	}
	err = unknownStage(target.Stage)
	for _, name := range names {
		c := &command{quiet: quiet{name}, call: newCall(), then: then}
		c.make = func(t *task, now dag.Time) (dag.Event, error) {
			i := whole
			if target.Stage != "" {
				var err error
				if i, err = t.run.Find(target.Stage); err != nil {
					return nil, err
				}
			}
			return event(t, i, now)
		}
		err = e.shardOf(name).await(ctx, c, c.call)
		if !errors.Is(err, dag.ErrUnknownNode) {
			return err
		}
	}
	return err
}

// tasksOf gives the tasks that a target may belong to, likeliest first.
func (e *Engine) tasksOf(ctx context.Context, target Target) ([]string, error) {
	if target.Task != "" {
		return []string{target.Task}, nil
	}
	if target.Stage == "" {
		return nil, fmt.Errorf("%w: neither a task nor a stage is named", dag.ErrUnknownNode)
	}
	var names []string
	first, others := e.active.ofStage(target.Stage)
	if first != nil {
		names = append(names, first.name)
	}
	for _, a := range others {
		names = append(names, a.name)
	}
	if len(names) > 0 {
		return names, nil
	}
	for _, suffix := range plan.SplitSuffix(target.Stage) {
		name, err := e.cfg.Store.Resolve(ctx, store.Key{Suffix: suffix})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look for stage %q: %w", target.Stage, err)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, unknownStage(target.Stage)
	}
	return names, nil
}

// Suspend puts a hold on a stage, or by its entry on a whole task.
func (e *Engine) Suspend(ctx context.Context, target Target, hold dag.Hold) (*HoldView, error) {
	var view HoldView
	err := e.order(ctx, target, func(_ *task, i int32, now dag.Time) (dag.Event, error) {
		return dag.Suspend{At: now, Node: max(i, 0), Hold: hold}, nil
	}, func(t *task, _ dag.Delta) {
		// The newest hold is this one: holds are numbered in the order of the events.
		k := t.run.Task()
		for _, h := range k.Holds {
			if h.ID == k.LastHold {
				view = viewer{e: e, run: t.run, task: t}.hold(h)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return &view, nil
}

// Continue removes the hold whose root is the target.
func (e *Engine) Continue(ctx context.Context, target Target, who string) error {
	return e.order(ctx, target, func(_ *task, i int32, now dag.Time) (dag.Event, error) {
		return dag.Continue{At: now, Node: max(i, 0), Who: who}, nil
	}, nil)
}

// Cancel stops a task or a stage.
func (e *Engine) Cancel(ctx context.Context, target Target, who, why string, handlers bool) error {
	return e.order(ctx, target, func(_ *task, i int32, now dag.Time) (dag.Event, error) {
		return dag.Cancel{At: now, Node: i, Who: who, Why: why, Handlers: handlers}, nil
	}, nil)
}

// Skip marks a stage that was not launched as SKIPPED.
func (e *Engine) Skip(ctx context.Context, stageID, who, why string) error {
	return e.order(ctx, Target{Stage: stageID}, func(_ *task, i int32, now dag.Time) (dag.Event, error) {
		return dag.SkipStage{At: now, Node: i, Who: who, Why: why}, nil
	}, nil)
}

// PlanRetry says what Retry would do.
func (e *Engine) PlanRetry(ctx context.Context, task string, stages []string) (*RetryPlan, error) {
	var plan *RetryPlan
	err := e.onTask(ctx, task, func(v viewer) (err error) {
		plan, _, err = retryPlan(v, stages)
		return err
	})
	if err != nil {
		return nil, err
	}
	return plan, nil
}

func retryPlan(v viewer, stages []string) (*RetryPlan, []int32, error) {
	var nodes []int32
	for _, id := range stages {
		i, err := v.run.Find(id)
		if err != nil {
			return nil, nil, err
		}
		nodes = append(nodes, i)
	}
	reset, kept, err := v.run.RetryPlan(nodes)
	if err != nil {
		return nil, nil, err
	}
	return &RetryPlan{Reset: v.ids(reset), Kept: v.ids(kept)}, nodes, nil
}

// Retry runs what failed, was cancelled or omitted again, and what depends on it.
func (e *Engine) Retry(ctx context.Context, task string, stages []string, who string) (*RetryPlan, error) {
	var plan *RetryPlan
	err := e.order(ctx, Target{Task: task}, func(t *activeRun, _ int32, now dag.Time) (dag.Event, error) {
		k := t.run.Task()
		if k.Status.Terminal() && k.Ended+dag.Time(e.cfg.retain(k)) <= now {
			return nil, &dag.Refusal{Reason: fmt.Sprintf("task %q has expired and is about to be deleted", task)}
		}
		p, nodes, err := retryPlan(viewer{e: e, run: t.run, task: t}, stages)
		if err != nil {
			return nil, err
		}
		plan = p
		return dag.RetryTask{At: now, Who: who, Nodes: nodes}, nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return plan, nil
}

// activeRun lets Retry name its parameter task, as the API does.
type activeRun = task

// Delete removes an ended task with its logs. With force one that has not ended is cancelled first, and its end awaited.
func (e *Engine) Delete(ctx context.Context, name string, force bool, who string) error {
	if err := e.changeable(); err != nil {
		return err
	}
	t, err := e.header2task(ctx, name)
	switch {
	case err != nil && (!force || errors.Is(err, store.ErrNotFound)):
		return err
	case err == nil && !force && !t.Status.Terminal():
		return &dag.Refusal{
			Reason: fmt.Sprintf("task %q has not ended: it is %s", name, t.Status), Hint: "cancel it first, or force the deletion",
		}
	}
	if force {
		if err := e.endByForce(ctx, name, who); err != nil {
			return err
		}
	}
	attempts, err := e.attemptsOf(ctx, name)
	if err != nil {
		return err
	}
	if t, err = e.header2task(ctx, name); errors.Is(err, store.ErrNotFound) {
		return err
	}
	if t != nil && !t.Status.Terminal() {
		e.stopAll(ctx, attempts) // of a task that cannot be run, nobody else would
	}
	d := &deletion{quiet: quiet{name}, call: newCall()}
	if err := e.shardOf(name).await(ctx, d, d.call); err != nil {
		return err
	}
	e.forget(ctx, attempts)
	e.forgotten([]string{name})
	return nil
}

// forgotten tells of tasks that are gone.
func (e *Engine) forgotten(tasks []string) {
	if e.cfg.Forgotten != nil && len(tasks) > 0 {
		e.cfg.Forgotten(tasks)
	}
}

// endByForce cancels a task and waits for its end.
func (e *Engine) endByForce(ctx context.Context, name, who string) error {
	e.topics.join(name)
	defer e.topics.leave(name)
	if e.active.get(name) != nil {
		err := e.Cancel(ctx, Target{Task: name}, who, "deleted", false)
		if err != nil && !errors.Is(err, dag.ErrRefused) {
			return err
		}
	}
	for e.active.get(name) != nil {
		news := e.topics.next(name)
		t, err := e.header2task(ctx, name)
		if errors.Is(err, store.ErrNotFound) || err == nil && t.Status.Terminal() {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.quit:
			return e.stopped()
		case <-e.lost:
			return e.stopped()
		}
	}
	return nil
}

// attemptsOf lists every attempt that a task has had, by executor.
func (e *Engine) attemptsOf(ctx context.Context, name string) (map[string][]string, error) {
	ids := map[string][]string{}
	err := e.onTask(ctx, name, func(v viewer) error {
		clear(ids)
		for i := range int32(v.run.Len()) {
			n := v.run.Node(i)
			if n.Spec.Kind != dag.KindStage || n.Launched == 0 && n.Attempt == 0 {
				continue
			}
			x := e.cfg.executorOf(v.run.Task(), n.Spec)
			for a := range n.Attempt + 1 {
				ids[x] = append(ids[x], dag.AttemptID(n.Spec.ID, a))
			}
		}
		return nil
	})
	if errors.Is(err, dag.ErrCorrupt) {
		return nil, nil // what cannot be read can be deleted all the same
	}
	return ids, err
}

// stopAll stops attempts that may still run.
func (e *Engine) stopAll(ctx context.Context, attempts map[string][]string) {
	for name, ids := range attempts {
		x := e.cfg.Executors[name]
		for _, id := range ids {
			if x == nil {
				break
			}
			if err := x.Cancel(ctx, id, 0); err != nil {
				e.log.Warn("cannot stop an attempt of a deleted task", "attempt", id, "error", err)
			}
		}
	}
}

// forget lets executors drop what they keep of attempts. What they could not drop is reported, not repeated.
func (e *Engine) forget(ctx context.Context, attempts map[string][]string) {
	for name, ids := range attempts {
		x := e.cfg.Executors[name]
		if x == nil || len(ids) == 0 {
			continue
		}
		if err := x.Forget(ctx, ids); err != nil {
			e.log.Warn("cannot drop the logs of deleted attempts", "executor", name, "attempts", len(ids), "error", err)
		}
	}
}
