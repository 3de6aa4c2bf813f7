package client

import (
	"context"
	"crypto/rand"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// calls gives a generated client for one call: it keeps things from call to call, so that two goroutines must not share it.
func (c *Client) calls() *master.TaskServiceClient { return master.NewTaskServiceClient(c) }

// SubmitPlan asks the master to read a plan itself, by its path. The old call: it does not say what the task is called.
func (c *Client) SubmitPlan(ctx context.Context, planName string, planDagPath string) error {
	return c.calls().SubmitPlan(ctx, planName, planDagPath)
}

// Submit submits a plan by its text. A submission without a request id gets one, so that repeating it submits once.
func (c *Client) Submit(ctx context.Context, submission *master.Submission) (*master.SubmitAnswer, error) {
	if submission.GetRequestId() == "" {
		own := *submission
		own.RequestId = new(rand.Text())
		submission = &own
	}
	return c.calls().Submit(ctx, submission)
}

// GetTask reads a task.
func (c *Client) GetTask(ctx context.Context, taskName string) (*master.TaskInfo, error) {
	return c.calls().GetTask(ctx, taskName)
}

// ListTasks reads a page of tasks, newest first.
func (c *Client) ListTasks(ctx context.Context, query *master.TaskQuery) (*master.TaskPage, error) {
	return c.calls().ListTasks(ctx, query)
}

// GetStage reads a stage.
func (c *Client) GetStage(ctx context.Context, stageID string) (*master.StageInfo, error) {
	return c.calls().GetStage(ctx, stageID)
}

// ListStages reads a page of a task's stages.
func (c *Client) ListStages(ctx context.Context, query *master.StageQuery) (*master.StagePage, error) {
	return c.calls().ListStages(ctx, query)
}

// Explain says why a stage is where it is.
func (c *Client) Explain(ctx context.Context, stageID string) (*master.Explanation, error) {
	return c.calls().Explain(ctx, stageID)
}

// GetPlan gives the plan of a task as it was submitted.
func (c *Client) GetPlan(ctx context.Context, taskName string) (string, error) {
	return c.calls().GetPlan(ctx, taskName)
}

// Suspend holds a stage; until is 0 for no end.
func (c *Client) Suspend(ctx context.Context, stageID string, mode master.HoldMode, reason string, untilMillis int64, who string) (*master.Hold, error) {
	return c.calls().Suspend(ctx, stageID, mode, reason, untilMillis, who)
}

// SuspendTask holds a task by its entry; until is 0 for no end.
func (c *Client) SuspendTask(ctx context.Context, taskName string, mode master.HoldMode, reason string, untilMillis int64, who string) (*master.Hold, error) {
	return c.calls().SuspendTask(ctx, taskName, mode, reason, untilMillis, who)
}

// Resume takes the hold from a stage.
func (c *Client) Resume(ctx context.Context, stageID string, who string) error {
	return c.calls().Resume(ctx, stageID, who)
}

// ResumeTask takes the hold from a task.
func (c *Client) ResumeTask(ctx context.Context, taskName string, who string) error {
	return c.calls().ResumeTask(ctx, taskName, who)
}

// CancelTask ends a task.
func (c *Client) CancelTask(ctx context.Context, taskName string, reason string, runHandlers bool, who string) error {
	return c.calls().CancelTask(ctx, taskName, reason, runHandlers, who)
}

// CancelStage ends a stage.
func (c *Client) CancelStage(ctx context.Context, stageID string, reason string, who string) error {
	return c.calls().CancelStage(ctx, stageID, reason, who)
}

// SkipStage marks a stage that was not launched as skipped.
func (c *Client) SkipStage(ctx context.Context, stageID string, reason string, who string) error {
	return c.calls().SkipStage(ctx, stageID, reason, who)
}

// PlanRetry says what RetryTask would do.
func (c *Client) PlanRetry(ctx context.Context, taskName string, stageIDs []string) (*master.RetryPlan, error) {
	return c.calls().PlanRetry(ctx, taskName, stageIDs)
}

// RetryTask runs again what failed; of the named stages, or of all.
func (c *Client) RetryTask(ctx context.Context, taskName string, stageIDs []string, who string) (*master.RetryPlan, error) {
	return c.calls().RetryTask(ctx, taskName, stageIDs, who)
}

// DeleteTask removes an ended task; with force any.
func (c *Client) DeleteTask(ctx context.Context, taskName string, force bool, who string) error {
	return c.calls().DeleteTask(ctx, taskName, force, who, false)
}

// DeleteTaskAndOutputs is DeleteTask, and deletes what the task's stages have declared as their outputs as well, soon.
func (c *Client) DeleteTaskAndOutputs(ctx context.Context, taskName string, force bool, who string) error {
	return c.calls().DeleteTask(ctx, taskName, force, who, true)
}

// Watch gives events after a cursor, and waits for the first.
func (c *Client) Watch(ctx context.Context, taskName string, cursor int64, limit int32, waitMillis int64) (*master.EventPage, error) {
	return c.calls().Watch(ctx, taskName, cursor, limit, waitMillis)
}

// ReadLog reads a part of a log.
func (c *Client) ReadLog(ctx context.Context, request *master.LogRequest) (*master.LogChunk, error) {
	return c.calls().ReadLog(ctx, request)
}

// GetResult says where the result of a stage is.
func (c *Client) GetResult(ctx context.Context, stageID string) (*master.ResultInfo, error) {
	return c.calls().GetResult_(ctx, stageID)
}

// PreviewResult gives the first lines of a result.
func (c *Client) PreviewResult(ctx context.Context, stageID string, lines int32) (*master.Preview, error) {
	return c.calls().PreviewResult_(ctx, stageID, lines)
}

// Upload sends a part of a content, at most UploadPart bytes, and gives what is missing.
func (c *Client) Upload(ctx context.Context, content *master.Content, offset int64, data []byte) (*master.UploadState, error) {
	return c.calls().Upload(ctx, content, offset, data)
}

// UploadPart is the most bytes that Upload sends at once.
const UploadPart = 4 << 20

// GetMasterInfo describes the master.
func (c *Client) GetMasterInfo(ctx context.Context) (*master.MasterInfo, error) {
	return c.calls().GetMasterInfo(ctx)
}
