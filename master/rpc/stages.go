package rpc

import (
	"context"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

// The calls of TaskService about stages.

// GetStage reads one stage.
func (s *Service) GetStage(ctx context.Context, stageID string) (*master.StageInfo, error) {
	v, err := s.engine.Stage(ctx, stageID)
	if err != nil {
		return nil, err
	}
	info := s.stageInfo(v)
	info.Explanation = s.explanation(ctx, v.Task, v.Explanation, nil)
	return info, nil
}

// ListStages reads a page of a task's stages, in the order of the plan.
func (s *Service) ListStages(ctx context.Context, q *master.StageQuery) (*master.StagePage, error) {
	if q == nil {
		return nil, missing("query")
	}
	limit, err := within("limit", int(q.GetLimit()), 1000, 10_000)
	if err != nil {
		return nil, err
	}
	if q.GetAfter() < 0 {
		return nil, &argumentError{field: "after", message: "must not be negative"}
	}
	query := engine.StageQuery{
		Task: q.TaskName, Groups: q.GetGroups(), Explain: q.GetExplain(), After: q.GetAfter(), Limit: limit,
	}
	for _, state := range q.States {
		if state < 0 || int(state) >= len(dag.Statuses()) {
			return nil, &argumentError{field: "states", message: "unknown stage state " + decimal(int64(state))}
		}
		query.Statuses = append(query.Statuses, dag.Status(state))
	}
	page, err := s.engine.Stages(ctx, query)
	if err != nil {
		return nil, err
	}
	out := &master.StagePage{Stages: make([]*master.StageInfo, len(page.Stages)), NextAfter: page.Next}
	known := make(map[int32]string)
	if query.Explain {
		for i := range page.Stages {
			known[page.Stages[i].Index] = page.Stages[i].ID
		}
	}
	for i := range page.Stages {
		v := &page.Stages[i]
		out.Stages[i] = s.stageInfo(v)
		out.Stages[i].Explanation = s.explanation(ctx, v.Task, v.Explanation, known)
	}
	return out, nil
}

// Explain says why a stage is where it is.
func (s *Service) Explain(ctx context.Context, stageID string) (*master.Explanation, error) {
	e, err := s.engine.Explain(ctx, stageID)
	if err != nil {
		return nil, err
	}
	v, err := s.engine.Stage(ctx, stageID)
	if err != nil {
		return nil, err
	}
	return s.explanation(ctx, v.Task, e, nil), nil
}

// explanation names the stages that an explanation is about. known holds ids that are known already, and learns others.
func (s *Service) explanation(ctx context.Context, task string, e *dag.Explanation, known map[int32]string) *master.Explanation {
	if e == nil {
		return nil
	}
	// The text names the first few as well; a join of a thousand parents is not listed whole.
	const most = 20
	out := &master.Explanation{
		Kind: string(e.Reason), Text: e.Text, Stages: []string{}, UntilTime: unlessZero(int64(e.Until)),
	}
	for _, i := range e.Nodes[:min(len(e.Nodes), most)] {
		id, ok := known[i]
		if !ok {
			page, err := s.engine.Stages(ctx, engine.StageQuery{Task: task, Groups: true, After: i, Limit: 1})
			if err != nil || len(page.Stages) != 1 || page.Stages[0].Index != i {
				continue
			}
			id = page.Stages[0].ID
			if known != nil {
				known[i] = id
			}
		}
		out.Stages = append(out.Stages, id)
	}
	return out
}

// Suspend holds a stage and what depends on it.
func (s *Service) Suspend(ctx context.Context, stageID string, mode master.HoldMode, reason string, until int64, who string) (*master.Hold, error) {
	if stageID == "" {
		return nil, missing("stageId")
	}
	return s.hold(ctx, engine.Target{Stage: stageID}, mode, reason, until, who)
}

func (s *Service) hold(ctx context.Context, target engine.Target, mode master.HoldMode, reason string, until int64, who string) (*master.Hold, error) {
	if mode < master.HoldMode_HOLD || mode > master.HoldMode_REQUEUE {
		return nil, &argumentError{field: "mode", message: "unknown mode " + decimal(int64(mode)), hint: "HOLD, DRAIN or REQUEUE"}
	}
	if until != 0 && until <= time.Now().UnixMilli() {
		return nil, &argumentError{
			field: "untilMillis", message: "the end of the hold has passed already",
			hint: "it is a moment in milliseconds since 1970, or 0 for no end",
		}
	}
	h, err := s.engine.Suspend(ctx, target, dag.Hold{
		Mode: dag.Mode(mode), Who: someone(ctx, who), Why: reason, Until: dag.Time(until),
	})
	if err != nil {
		return nil, err
	}
	return hold(h), nil
}

// Resume removes the hold whose root is the stage.
func (s *Service) Resume(ctx context.Context, stageID, who string) error {
	if stageID == "" {
		return missing("stageId")
	}
	return s.engine.Continue(ctx, engine.Target{Stage: stageID}, someone(ctx, who))
}

// CancelStage stops one stage.
func (s *Service) CancelStage(ctx context.Context, stageID, reason, who string) error {
	if stageID == "" {
		return missing("stageId")
	}
	return s.engine.Cancel(ctx, engine.Target{Stage: stageID}, someone(ctx, who), reason, false)
}

// SkipStage lets the dependents of a stage go on without it.
func (s *Service) SkipStage(ctx context.Context, stageID, reason, who string) error {
	return s.engine.Skip(ctx, stageID, someone(ctx, who), reason)
}
