package rpc

import (
	"context"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// The calls of TaskService about whole tasks.

// Submit starts a plan, or validates it only.
func (s *Service) Submit(ctx context.Context, sub *master.Submission) (*master.SubmitAnswer, error) {
	if sub == nil {
		return nil, missing("submission")
	}
	if sub.GetRetainMillis() < 0 {
		return nil, &argumentError{field: "retainMillis", message: "must not be negative"}
	}
	claim, err := s.claim(sub.Uploads)
	if err != nil {
		return nil, err
	}
	answer, err := s.engine.Submit(ctx, engine.Submission{
		PlanName: sub.PlanName,
		File:     sub.GetFileName(),
		YAML:     []byte(sub.Plan),
		BuildOptions: plan.BuildOptions{
			Params: sub.Parameters, Labels: sub.Labels, Priority: sub.Priority,
		},
		DryRun:    sub.GetDryRun(),
		RequestID: sub.GetRequestId(),
		Owner:     someone(ctx, sub.GetOwner()),
		Options:   sub.Options,
		Retain:    dag.Duration(sub.GetRetainMillis()),
		Suspended: sub.GetSuspended(),
		Claim:     claim,
	})
	if err != nil {
		return nil, err
	}
	return submitAnswer(answer), nil
}

// GetTask reads one task.
func (s *Service) GetTask(ctx context.Context, taskName string) (*master.TaskInfo, error) {
	v, err := s.engine.Task(ctx, taskName)
	if err != nil {
		return nil, err
	}
	return s.taskInfo(v), nil
}

// ListTasks reads a page of the tasks, newest first.
func (s *Service) ListTasks(ctx context.Context, q *master.TaskQuery) (*master.TaskPage, error) {
	if q == nil {
		q = &master.TaskQuery{}
	}
	limit, err := within("limit", int(q.GetLimit()), 50, 1000)
	if err != nil {
		return nil, err
	}
	query := store.Query{
		Plan: q.GetPlan(), Labels: q.Labels, Since: dag.Time(q.GetSince()), Before: dag.Time(q.GetBefore()),
		Cursor: q.GetCursor(), Limit: limit,
	}
	for _, state := range q.States {
		if state < 0 || int(state) >= len(dag.TaskStatuses()) {
			return nil, &argumentError{field: "states", message: "unknown task state " + decimal(int64(state))}
		}
		query.Statuses = append(query.Statuses, dag.TaskStatus(state))
	}
	page, err := s.engine.Tasks(ctx, query)
	if err != nil {
		return nil, err
	}
	out := &master.TaskPage{Tasks: make([]*master.TaskInfo, len(page.Tasks)), NextCursor: page.Next, StaleSince: s.staleSince()}
	for i := range page.Tasks {
		out.Tasks[i] = s.taskInfo(&page.Tasks[i])
	}
	return out, nil
}

// GetPlan is the plan as it was submitted.
func (s *Service) GetPlan(ctx context.Context, taskName string) (string, error) {
	b, err := s.engine.Source(ctx, taskName)
	return string(b), err
}

// SuspendTask holds a task by its entry.
func (s *Service) SuspendTask(ctx context.Context, taskName string, mode master.HoldMode, reason string, until int64, who string) (*master.Hold, error) {
	return s.hold(ctx, engine.Target{Task: taskName}, mode, reason, until, who)
}

// ResumeTask removes the hold of the task's entry.
func (s *Service) ResumeTask(ctx context.Context, taskName, who string) error {
	return s.engine.Continue(ctx, engine.Target{Task: taskName}, someone(ctx, who))
}

// CancelTask ends a task.
func (s *Service) CancelTask(ctx context.Context, taskName, reason string, runHandlers bool, who string) error {
	return s.engine.Cancel(ctx, engine.Target{Task: taskName}, someone(ctx, who), reason, runHandlers)
}

// PlanRetry says what RetryTask would do.
func (s *Service) PlanRetry(ctx context.Context, taskName string, stageIDs []string) (*master.RetryPlan, error) {
	return retryPlan(s.engine.PlanRetry(ctx, taskName, stageIDs))
}

// RetryTask runs what failed again.
func (s *Service) RetryTask(ctx context.Context, taskName string, stageIDs []string, who string) (*master.RetryPlan, error) {
	return retryPlan(s.engine.Retry(ctx, taskName, stageIDs, someone(ctx, who)))
}

func retryPlan(p *engine.RetryPlan, err error) (*master.RetryPlan, error) {
	if err != nil {
		return nil, err
	}
	return &master.RetryPlan{Reset: p.Reset, Kept: p.Kept}, nil
}

// DeleteTask removes an ended task, and with outputs what its stages have declared as theirs.
func (s *Service) DeleteTask(ctx context.Context, taskName string, force bool, who string, outputs bool) error {
	if !outputs {
		return s.engine.Delete(ctx, taskName, force, someone(ctx, who))
	}
	if s.claimOutputs == nil {
		return &dag.Refusal{Reason: "this master deletes no outputs", Hint: "delete the task alone"}
	}
	release, err := s.claimOutputs(ctx, taskName)
	if err != nil {
		return err
	}
	err = s.engine.Delete(ctx, taskName, force, someone(ctx, who))
	if err != nil {
		release()
	}
	return err
}

// Watch gives the events after a cursor, and waits for the first where there is none yet.
func (s *Service) Watch(ctx context.Context, taskName string, cursor int64, limit int32, waitMillis int64) (*master.EventPage, error) {
	most, err := within("limit", int(limit), 1000, 10_000)
	if err != nil {
		return nil, err
	}
	if cursor < 0 {
		return nil, &argumentError{field: "cursor", message: "must not be negative"}
	}
	ctx, cancel := context.WithTimeout(ctx, wait(waitMillis))
	defer cancel()
	page, err := s.engine.Watch(ctx, taskName, uint64(cursor), most)
	if err != nil {
		return nil, err
	}
	out := &master.EventPage{
		Events: make([]*master.Event, len(page.Events)), Cursor: int64(page.Cursor),
		State: master.TaskState(page.Status), Done: page.Done,
	}
	for i, e := range page.Events {
		out.Events[i] = &master.Event{
			Seq: int64(e.Seq), At: int64(e.At), StageId: e.Stage, FromState: e.From, ToState: e.To,
			Attempt: e.Attempt, Message: e.Message, Who: e.Who,
		}
	}
	return out, nil
}

// atOnce is the wait of a call that asks for none: long enough to read what is there.
const atOnce = 100 * time.Millisecond

// wait is how long a long poll waits.
func wait(millis int64) time.Duration {
	return max(atOnce, min(time.Duration(min(millis, MaxWait.Milliseconds()))*time.Millisecond, MaxWait))
}

// within is a size that a client asked for: standard where it says nothing, and at most most.
func within(field string, asked, standard, most int) (int, error) {
	switch {
	case asked < 0:
		return 0, &argumentError{field: field, message: "must not be negative"}
	case asked == 0:
		return standard, nil
	}
	return min(asked, most), nil
}

func missing(field string) error { return &argumentError{field: field, message: "is missing"} }
