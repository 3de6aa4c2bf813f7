package shelltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// Handler answers from tables, and records the calls that change something, one a line. Calls that it has no method for
// end the test's connection.
type Handler struct {
	master.TaskService

	mu        sync.Mutex
	Tasks     []*master.TaskInfo  // newest first
	Stages    []*master.StageInfo // of all tasks
	Plans     map[string]string
	Logs      map[string]string
	Previews  map[string]*master.Preview
	Retry     *master.RetryPlan
	Diagnosis []*base.Diagnostic
	Submitted []*master.Submission
	// Master replaces what GetMasterInfo answers by itself.
	Master *master.MasterInfo
	calls  []string
	// Fail makes a method answer with an error.
	Fail map[string]error
}

// Calls are the calls that changed something, in order.
func (h *Handler) Calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// record notes a call and gives the error that it is to have.
func (h *Handler) record(method string, values ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := method
	for _, v := range values {
		line += " " + fmt.Sprintf("%q", fmt.Sprint(v))
	}
	h.calls = append(h.calls, line)
	return h.Fail[method]
}

// Submit takes every plan.
func (h *Handler) Submit(_ context.Context, s *master.Submission) (*master.SubmitAnswer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.Fail["submit"]; err != nil {
		return nil, err
	}
	h.Submitted = append(h.Submitted, s)
	name := s.PlanName
	if name == "" {
		name = "plan"
	}
	return &master.SubmitAnswer{TaskName: name + "-abcdefgh", Created: true, Stages: 3, Diagnostics: h.Diagnosis}, nil
}

// SubmitPlan makes a task of a plan that only the master can read.
func (h *Handler) SubmitPlan(_ context.Context, name, path string) error {
	if err := h.record("submitPlan", name, path); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Tasks = append([]*master.TaskInfo{{TaskName: name + "-newnewne", PlanName: name}}, h.Tasks...)
	return nil
}

// GetTask looks into Tasks.
func (h *Handler) GetTask(_ context.Context, name string) (*master.TaskInfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.Tasks {
		if t.TaskName == name {
			return t, nil
		}
	}
	return nil, NotFound(name)
}

// ListTasks gives one page after the other, of two tasks at most where a cursor is used.
func (h *Handler) ListTasks(_ context.Context, q *master.TaskQuery) (*master.TaskPage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.Fail["listTasks"]; err != nil {
		return nil, err
	}
	first := 0
	if q.Cursor != nil {
		if _, err := fmt.Sscan(*q.Cursor, &first); err != nil {
			return nil, err
		}
	}
	page := &master.TaskPage{Tasks: []*master.TaskInfo{}}
	limit := 50
	if q.Limit != nil {
		limit = int(*q.Limit)
	}
	for i, t := range h.Tasks {
		if i < first || len(q.States) > 0 && !slices.Contains(q.States, t.State) || q.Plan != nil && t.PlanName != *q.Plan ||
			q.Since != nil && t.Submitted < *q.Since {
			continue
		}
		if len(page.Tasks) == limit {
			page.NextCursor = fmt.Sprint(i)
			break
		}
		page.Tasks = append(page.Tasks, t)
	}
	return page, nil
}

// GetStage looks into Stages.
func (h *Handler) GetStage(_ context.Context, id string) (*master.StageInfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.Stages {
		if s.StageId == id {
			return s, nil
		}
	}
	return nil, NotFound(id)
}

// ListStages gives pages of two stages.
func (h *Handler) ListStages(_ context.Context, q *master.StageQuery) (*master.StagePage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	page := &master.StagePage{Stages: []*master.StageInfo{}, NextAfter: -1}
	for i, s := range h.Stages {
		if s.TaskName != q.TaskName || i < int(q.GetAfter()) || len(q.States) > 0 && !slices.Contains(q.States, s.State) ||
			!q.GetGroups() && s.Kind != master.NodeKind_STAGE && s.Kind != master.NodeKind_GATE {
			continue
		}
		if len(page.Stages) == 2 && q.Limit == nil {
			page.NextAfter = int32(i)
			break
		}
		page.Stages = append(page.Stages, s)
	}
	return page, nil
}

// Explain gives the stage's explanation.
func (h *Handler) Explain(ctx context.Context, id string) (*master.Explanation, error) {
	s, err := h.GetStage(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Explanation == nil {
		return &master.Explanation{Kind: "ended", Text: "it is " + s.State.String()}, nil
	}
	return s.Explanation, nil
}

// GetPlan looks into Plans.
func (h *Handler) GetPlan(_ context.Context, task string) (string, error) {
	if p, ok := h.Plans[task]; ok {
		return p, nil
	}
	return "", NotFound(task)
}

// Suspend records.
func (h *Handler) Suspend(_ context.Context, id string, mode master.HoldMode, reason string, until int64, who string) (*master.Hold, error) {
	hold := &master.Hold{ID: 1, RootStageId: id, Mode: mode, Who: who, Reason: reason, Since: Now().UnixMilli()}
	if until != 0 {
		hold.UntilTime = &until
	}
	return hold, h.record("suspend", id, mode, reason, until, who)
}

// SuspendTask records.
func (h *Handler) SuspendTask(_ context.Context, task string, mode master.HoldMode, reason string, until int64, who string) (*master.Hold, error) {
	return &master.Hold{ID: 1, Mode: mode, Who: who, Reason: reason}, h.record("suspendTask", task, mode, reason, until, who)
}

// Resume records.
func (h *Handler) Resume(_ context.Context, id, who string) error { return h.record("resume", id, who) }

// ResumeTask records.
func (h *Handler) ResumeTask(_ context.Context, task, who string) error {
	return h.record("resumeTask", task, who)
}

// CancelTask records.
func (h *Handler) CancelTask(_ context.Context, task, reason string, handlers bool, who string) error {
	return h.record("cancelTask", task, reason, handlers, who)
}

// CancelStage records.
func (h *Handler) CancelStage(_ context.Context, id, reason, who string) error {
	return h.record("cancelStage", id, reason, who)
}

// SkipStage records.
func (h *Handler) SkipStage(_ context.Context, id, reason, who string) error {
	return h.record("skipStage", id, reason, who)
}

// PlanRetry gives Retry.
func (h *Handler) PlanRetry(context.Context, string, []string) (*master.RetryPlan, error) {
	return h.Retry, nil
}

// RetryTask records and gives Retry.
func (h *Handler) RetryTask(_ context.Context, task string, ids []string, who string) (*master.RetryPlan, error) {
	return h.Retry, h.record("retryTask", task, strings.Join(ids, ","), who)
}

// DeleteTask records.
func (h *Handler) DeleteTask(_ context.Context, task string, force bool, who string, outputs bool) error {
	if outputs {
		return h.record("deleteTask", task, force, who, "with its outputs")
	}
	return h.record("deleteTask", task, force, who)
}

// ReadLog reads from Logs.
func (h *Handler) ReadLog(_ context.Context, r *master.LogRequest) (*master.LogChunk, error) {
	text, ok := h.Logs[r.StageId]
	if !ok {
		return nil, NotFound("a log of " + r.StageId)
	}
	from := min(int(r.GetOffset()), len(text))
	if r.TailLines != nil {
		lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
		from = len(strings.Join(lines[:max(0, len(lines)-int(*r.TailLines))], ""))
	}
	const most = 7 // so that a log comes in pieces
	to := min(from+most, len(text))
	return &master.LogChunk{Data: []byte(text[from:to]), NextOffset: int64(to), Done: to == len(text), Attempt: r.GetAttempt()}, nil
}

// PreviewResult_ looks into Previews.
func (h *Handler) PreviewResult_(_ context.Context, id string, _ int32) (*master.Preview, error) {
	if p, ok := h.Previews[id]; ok {
		return p, nil
	}
	return nil, &base.ClicError{Code: base.ErrorCode_NOT_READY, Message: "stage " + id + " has no result yet: it is RUNNING"}
}

// GetResult_ looks into Previews.
func (h *Handler) GetResult_(ctx context.Context, id string) (*master.ResultInfo, error) {
	p, err := h.PreviewResult_(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	return p.Result_, nil
}

// GetMasterInfo gives Master, or always the same.
func (h *Handler) GetMasterInfo(context.Context) (*master.MasterInfo, error) {
	if h.Master != nil {
		return h.Master, nil
	}
	return &master.MasterInfo{
		Version: "v9", Address: "127.0.0.1:7777", Store: "bolt:/data", Executors: []string{"local"},
		Started: Now().UnixMilli() - 3_600_000, Epoch: 4, ActiveTasks: 1, ActiveStages: 2,
	}, nil
}
