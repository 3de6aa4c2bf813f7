package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// The old system's calls of TaskService. Their names, keys and formats never change; keys may be added.

const (
	// oldTime is how the old calls write times, in the master's zone, and oldUnset how they write that there is none.
	oldTime  = "2006-01-02 15:04:05"
	oldUnset = "   -"
)

func (s *Service) oldTime(t dag.Time) string {
	if t == 0 {
		return oldUnset
	}
	return time.UnixMilli(int64(t)).In(s.zone).Format(oldTime)
}

// oldRuntime is whole seconds, or empty while they are not known.
func oldRuntime(from, to dag.Time) string {
	if from == 0 || to < from {
		return ""
	}
	return decimal(int64(to-from) / 1000)
}

// SubmitPlan submits the plan in a file. Unlike the old master it validates first, and says what is wrong.
func (s *Service) SubmitPlan(ctx context.Context, planName, planDagPath string) error {
	switch "" {
	case planName:
		return missing("planName")
	case planDagPath:
		return missing("planDagPath")
	}
	yaml, err := s.read(planDagPath)
	if err != nil {
		return err
	}
	_, err = s.engine.Submit(ctx, engine.Submission{
		PlanName: planName, File: planDagPath, YAML: yaml, Owner: someone(ctx, ""),
	})
	return err
}

// ListAllTask lists all tasks, newest first.
func (s *Service) ListAllTask(ctx context.Context) ([]map[string]string, error) {
	all := []map[string]string{}
	q := store.Query{Limit: 1000}
	for {
		page, err := s.engine.Tasks(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Tasks {
			all = append(all, s.oldTask(&page.Tasks[i]))
		}
		if page.Next == "" {
			return all, nil
		}
		q.Cursor = page.Next
	}
}

func (s *Service) oldTask(v *engine.TaskView) map[string]string {
	return s.marked(map[string]string{
		"plan_name":     v.Name,
		"submit_time":   s.oldTime(v.Submitted),
		"start_time":    s.oldTime(v.Started),
		"complete_time": s.oldTime(v.Ended),
		"task_status":   v.Status.String(),
		"task_runtime":  oldRuntime(v.Started, v.Ended),
		"task_message":  v.Message,
	})
}

// marked adds since when the master cannot reach its store, if it cannot: what it says is what it knew then.
func (s *Service) marked(m map[string]string) map[string]string {
	if since, stale := s.engine.Stale(); stale {
		m["stale_since"] = s.oldTime(since)
	}
	return m
}

// GetTaskInfo describes a task; the map is empty where there is none.
func (s *Service) GetTaskInfo(ctx context.Context, taskName string) (map[string]string, error) {
	v, err := s.engine.Task(ctx, taskName)
	if notFound(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := s.stageIDs(ctx, taskName)
	if err != nil {
		return nil, err
	}
	info := s.oldTask(v)
	info["task_stage_num"] = decimal(int64(len(ids)))
	info["task_stage_list"] = strings.Join(ids, ",")
	return info, nil
}

// GetStageIdOfTask lists the stages of a task; empty where there is none.
func (s *Service) GetStageIdOfTask(ctx context.Context, taskName string) ([]string, error) { //nolint:staticcheck // generated name
	ids, err := s.stageIDs(ctx, taskName)
	if notFound(err) {
		return []string{}, nil
	}
	return ids, err
}

func (s *Service) stageIDs(ctx context.Context, task string) ([]string, error) {
	ids := []string{}
	q := engine.StageQuery{Task: task, Limit: 10_000}
	for {
		page, err := s.engine.Stages(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Stages {
			ids = append(ids, page.Stages[i].ID)
		}
		if page.Next < 0 {
			return ids, nil
		}
		q.After = page.Next
	}
}

// GetStageInfo describes a stage; the map is empty where there is none.
func (s *Service) GetStageInfo(ctx context.Context, stageID string) (map[string]string, error) {
	v, err := s.engine.Stage(ctx, stageID)
	if notFound(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	return s.marked(map[string]string{
		"stage_id":      v.ID,
		"platform":      v.Platform,
		"parent_list":   strings.Join(v.Parents, ","),
		"children_list": strings.Join(v.Children, ","),
		"start_time":    s.oldTime(v.Started),
		"complete_time": s.oldTime(v.Ended),
		"retry_count":   decimal(int64(v.Tries) + int64(v.Unstarted)),
		"job_info":      s.jobInfo(v),
		"stage_runtime": oldRuntime(v.Started, v.Ended),
		"stage_status":  v.Status.String(),
		"stage_message": v.Message,
	}), nil
}

// jobInfo describes what runs a stage: its process or Job, its template, and what it was given.
func (s *Service) jobInfo(v *engine.StageView) string {
	template := ""
	if v.Template != "" {
		template = "template " + v.Template
	}
	return s.secrets.line(v.Info, v.Reason, template, s.described(v.Inputs))
}

// SuspendStage holds a stage; false where its state forbids it, or where there is none.
func (s *Service) SuspendStage(ctx context.Context, stageID string) (bool, error) {
	if stageID == "" {
		return false, nil
	}
	_, err := s.engine.Suspend(ctx, engine.Target{Stage: stageID}, dag.Hold{Who: someone(ctx, "")})
	return oldBool(err)
}

// ContinueStage releases a stage; false where it is not held, or where there is none.
func (s *Service) ContinueStage(ctx context.Context, stageID string) (bool, error) {
	if stageID == "" {
		return false, nil
	}
	return oldBool(s.engine.Continue(ctx, engine.Target{Stage: stageID}, someone(ctx, "")))
}

func oldBool(err error) (bool, error) {
	switch codeOf(err) {
	case base.ErrorCode_NOT_FOUND, base.ErrorCode_REFUSED:
		return false, nil
	}
	return err == nil, err
}

// GetStageResult_ is where the result of a completed stage is. Without one the old server sent an answer without a value,
// of which clients make a TApplicationException of type MISSING_RESULT; ours sends that exception, which then has a reason.
func (s *Service) GetStageResult_(ctx context.Context, stageID string) (string, error) {
	ref, err := s.engine.ResultPath(ctx, stageID)
	switch codeOf(err) {
	case base.ErrorCode_NOT_FOUND, base.ErrorCode_NOT_READY:
		if err != nil {
			return "", thrift.NewTApplicationException(thrift.MISSING_RESULT, err.Error())
		}
	}
	if err != nil {
		return "", err
	}
	switch {
	case ref.Path != "":
		return ref.Path, nil
	case ref.Value != nil:
		return *ref.Value, nil
	}
	return "", thrift.NewTApplicationException(thrift.MISSING_RESULT, fmt.Sprintf("stage %s names no result", stageID))
}

// The old system's calls of SchedulerService. They never raise an exception: old programs would die of one.

// PostStageStarted says that the program has begun.
func (s *Service) PostStageStarted(ctx context.Context, stageID string, msg map[string]string) (*base.ServiceBaseResult_, error) {
	answer, _ := s.post(ctx, s.started(stageID, msg)) // the answer says it all
	return answer, nil
}

// PostDataPrepared says that the program's output can be read.
func (s *Service) PostDataPrepared(ctx context.Context, stageID string) (*base.ServiceBaseResult_, error) {
	answer, _ := s.post(ctx, prepared(stageID)) // the answer says it all
	return answer, nil
}

// PostStageCompleted says that the program's work is done.
func (s *Service) PostStageCompleted(ctx context.Context, stageID string, msg map[string]string) (*base.ServiceBaseResult_, error) {
	answer, _ := s.post(ctx, s.completed(stageID, msg)) // the answer says it all
	return answer, nil
}

func (s *Service) started(stageID string, msg map[string]string) engine.StageReport {
	return engine.StageReport{StageID: stageID, What: dag.ReportStarted, Info: s.described(msg)}
}

func prepared(stageID string) engine.StageReport {
	return engine.StageReport{StageID: stageID, What: dag.ReportPrepared}
}

func (s *Service) completed(stageID string, msg map[string]string) engine.StageReport {
	return engine.StageReport{StageID: stageID, What: dag.ReportCompleted, Info: s.described(msg)}
}

// post gives the answer, and the error that it speaks of.
func (s *Service) post(ctx context.Context, r engine.StageReport) (*base.ServiceBaseResult_, error) {
	r.Attempt = dag.CurrentAttempt
	accepted, _, err := s.engine.Report(ctx, r)
	switch {
	case err == nil && accepted:
		return &base.ServiceBaseResult_{ResultCode: base.ResultCode_SUCCESS}, nil
	case err == nil, errors.Is(err, dag.ErrRefused):
		return &base.ServiceBaseResult_{ResultCode: base.ResultCode_SUCCESS, Message: "too late: nothing was changed"}, nil
	}
	code := base.ResultCode_EXCEPTION
	switch codeOf(err) {
	case base.ErrorCode_NOT_FOUND, base.ErrorCode_INVALID:
		code = base.ResultCode_PARAMETER_ERROR
	}
	return &base.ServiceBaseResult_{ResultCode: code, Message: err.Error()}, err
}
