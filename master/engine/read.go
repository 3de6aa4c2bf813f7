package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// Task reads one task as it was last committed.
func (e *Engine) Task(ctx context.Context, name string) (*TaskView, error) {
	if err := e.ready(); err != nil {
		return nil, err
	}
	if e.active.get(name) == nil {
		// The header says it all; there is no need to decode the stages.
		h, err := e.cfg.Store.Header(ctx, name)
		if err != nil {
			return nil, readError("task", name, err)
		}
		return e.headerView(ctx, h)
	}
	var view *TaskView
	err := e.onTask(ctx, name, func(v viewer) error {
		view = v.ofTask()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return view, nil
}

// headerView is the view that a header alone gives. The roots of its holds are named where there are any.
func (e *Engine) headerView(ctx context.Context, h *store.Header) (*TaskView, error) {
	t, err := dag.DecodeHeader(h.Body)
	if err != nil {
		// One that cannot be read does not keep anybody from reading the others.
		t = &dag.Task{
			Name: h.Task, Plan: h.Plan, Status: h.Status, Submitted: h.Submitted, Ended: h.Ended, Labels: h.Labels,
			Message: fmt.Sprintf("its record cannot be read: %v", err),
		}
	}
	view := taskView(*t, h.Expires)
	if broken, ok := e.broken.Load(h.Task); ok && !t.Status.Terminal() {
		view.Message = fmt.Sprint(broken)
	}
	for _, hold := range t.Holds {
		view.Holds = append(view.Holds, HoldView{Hold: hold})
	}
	if len(view.Holds) > 0 {
		named := func(v viewer) error {
			for i := range view.Holds {
				view.Holds[i] = v.hold(view.Holds[i].Hold)
			}
			return nil
		}
		if err := e.onTask(ctx, h.Task, named); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return view, nil
}

// header2task reads a task's record from the store.
func (e *Engine) header2task(ctx context.Context, name string) (*dag.Task, error) {
	h, err := e.cfg.Store.Header(ctx, name)
	if err != nil {
		return nil, readError("task", name, err)
	}
	return dag.DecodeHeader(h.Body)
}

// Tasks reads a page of tasks, newest first. Remaining is not estimated in lists.
func (e *Engine) Tasks(ctx context.Context, q store.Query) (*TaskPage, error) {
	if err := e.ready(); err != nil {
		return nil, err
	}
	if _, stale := e.Stale(); stale {
		return e.listFromMemory(ctx, q)
	}
	page, err := e.cfg.Store.List(ctx, q)
	if errors.Is(err, store.ErrUnavailable) && q.Cursor == "" {
		return e.listFromMemory(ctx, q)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list tasks: %w", err)
	}
	out := &TaskPage{Next: page.Next}
	for i := range page.Headers {
		view, err := e.headerView(ctx, &page.Headers[i])
		if err != nil {
			return nil, err
		}
		out.Tasks = append(out.Tasks, *view)
	}
	return out, nil
}

// Source gives a task's plan as it was submitted.
func (e *Engine) Source(ctx context.Context, task string) ([]byte, error) {
	if err := e.ready(); err != nil {
		return nil, err
	}
	rec, err := e.cfg.Store.Load(ctx, task)
	if err != nil {
		return nil, readError("task", task, err)
	}
	src, err := decodeSource(rec.Source)
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", task, err)
	}
	return []byte(src.YAML), nil
}

// Stage reads one stage, or a group, as it was last committed, with its explanation.
func (e *Engine) Stage(ctx context.Context, stageID string) (*StageView, error) {
	var view StageView
	err := e.onStage(ctx, stageID, func(v viewer, i int32) error {
		view = v.ofStage(i)
		x := v.explain(i, true)
		view.Explanation = &x
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &view, nil
}

// Bounds of a page of stages.
const (
	defaultStages = 1000
	maxStages     = 10_000
)

// Stages reads a page of a task's stages.
func (e *Engine) Stages(ctx context.Context, q StageQuery) (*StagePage, error) {
	if q.Limit <= 0 {
		q.Limit = defaultStages
	}
	q.Limit = min(q.Limit, maxStages)
	page := &StagePage{Next: -1}
	err := e.onTask(ctx, q.Task, func(v viewer) error {
		page.Stages = nil
		for i := max(0, q.After); i < int32(v.run.Len()); i++ {
			n := v.run.Node(i)
			if n.Spec.Kind.Group() && !q.Groups || len(q.Statuses) > 0 && !slices.Contains(q.Statuses, n.Status) {
				continue
			}
			if len(page.Stages) == q.Limit {
				page.Next = i
				return nil
			}
			view := v.ofStage(i)
			if q.Explain {
				x := v.explain(i, false)
				view.Explanation = &x
			}
			page.Stages = append(page.Stages, view)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Explain says why a stage is where it is.
func (e *Engine) Explain(ctx context.Context, stageID string) (*dag.Explanation, error) {
	var x dag.Explanation
	err := e.onStage(ctx, stageID, func(v viewer, i int32) error {
		x = v.explain(i, true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &x, nil
}
