package rpc

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"

	m "github.com/clic-orchestrator/clic/idl/gen/master"
)

// What each call reads and answers. The old calls declare no exception: their errors become TApplicationExceptions. The
// newer ones declare ClicError. A test holds these tables against the generated processors.

// methods are the calls of both services.
func (s *Service) methods() map[string]map[string]method {
	return map[string]map[string]method{"TaskService": s.taskMethods(), "SchedulerService": s.schedulerMethods()}
}

func (s *Service) taskMethods() map[string]method {
	methods := s.oldTaskMethods()
	add := func(more map[string]method) {
		for name, one := range more {
			methods[name] = one
		}
	}
	add(s.readMethods())
	add(s.changeMethods())
	return methods
}

func (s *Service) oldTaskMethods() map[string]method {
	return map[string]method{
		"submitPlan": on(func(ctx context.Context, a *m.TaskServiceSubmitPlanArgs) (thrift.TStruct, error) {
			return &m.TaskServiceSubmitPlanResult{}, s.SubmitPlan(ctx, a.PlanName, a.PlanDagPath)
		}),
		"listAllTask": on(func(ctx context.Context, _ *m.TaskServiceListAllTaskArgs) (thrift.TStruct, error) {
			v, err := s.ListAllTask(ctx)
			return &m.TaskServiceListAllTaskResult{Success: v}, err
		}),
		"getTaskInfo": on(func(ctx context.Context, a *m.TaskServiceGetTaskInfoArgs) (thrift.TStruct, error) {
			v, err := s.GetTaskInfo(ctx, a.PlanName)
			return &m.TaskServiceGetTaskInfoResult{Success: v}, err
		}),
		"getStageInfo": on(func(ctx context.Context, a *m.TaskServiceGetStageInfoArgs) (thrift.TStruct, error) {
			v, err := s.GetStageInfo(ctx, a.StageId)
			return &m.TaskServiceGetStageInfoResult{Success: v}, err
		}),
		"getStageIdOfTask": on(func(ctx context.Context, a *m.TaskServiceGetStageIdOfTaskArgs) (thrift.TStruct, error) {
			v, err := s.GetStageIdOfTask(ctx, a.PlanName)
			return &m.TaskServiceGetStageIdOfTaskResult{Success: v}, err
		}),
		"suspendStage": on(func(ctx context.Context, a *m.TaskServiceSuspendStageArgs) (thrift.TStruct, error) {
			v, err := s.SuspendStage(ctx, a.StageId)
			return &m.TaskServiceSuspendStageResult{Success: &v}, err
		}),
		"continueStage": on(func(ctx context.Context, a *m.TaskServiceContinueStageArgs) (thrift.TStruct, error) {
			v, err := s.ContinueStage(ctx, a.StageId)
			return &m.TaskServiceContinueStageResult{Success: &v}, err
		}),
		"getStageResult": on(func(ctx context.Context, a *m.TaskServiceGetStageResultArgs) (thrift.TStruct, error) {
			v, err := s.GetStageResult_(ctx, a.StageId)
			return &m.TaskServiceGetStageResultResult{Success: &v}, err
		}),
	}
}

func (s *Service) readMethods() map[string]method {
	return map[string]method{
		"getTask": on(func(ctx context.Context, a *m.TaskServiceGetTaskArgs) (thrift.TStruct, error) {
			v, err := s.GetTask(ctx, a.TaskName)
			return &m.TaskServiceGetTaskResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"listTasks": on(func(ctx context.Context, a *m.TaskServiceListTasksArgs) (thrift.TStruct, error) {
			v, err := s.ListTasks(ctx, a.Query)
			return &m.TaskServiceListTasksResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"getStage": on(func(ctx context.Context, a *m.TaskServiceGetStageArgs) (thrift.TStruct, error) {
			v, err := s.GetStage(ctx, a.StageId)
			return &m.TaskServiceGetStageResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"listStages": on(func(ctx context.Context, a *m.TaskServiceListStagesArgs) (thrift.TStruct, error) {
			v, err := s.ListStages(ctx, a.Query)
			return &m.TaskServiceListStagesResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"explain": on(func(ctx context.Context, a *m.TaskServiceExplainArgs) (thrift.TStruct, error) {
			v, err := s.Explain(ctx, a.StageId)
			return &m.TaskServiceExplainResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"getPlan": on(func(ctx context.Context, a *m.TaskServiceGetPlanArgs) (thrift.TStruct, error) {
			v, err := s.GetPlan(ctx, a.TaskName)
			return &m.TaskServiceGetPlanResult{Success: unlessError(v, err), Error: clicError(err)}, declared(err)
		}),
		"planRetry": on(func(ctx context.Context, a *m.TaskServicePlanRetryArgs) (thrift.TStruct, error) {
			v, err := s.PlanRetry(ctx, a.TaskName, a.StageIds)
			return &m.TaskServicePlanRetryResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"watch": on(func(ctx context.Context, a *m.TaskServiceWatchArgs) (thrift.TStruct, error) {
			v, err := s.Watch(ctx, a.TaskName, a.Cursor, a.Limit, a.WaitMillis)
			return &m.TaskServiceWatchResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"readLog": on(func(ctx context.Context, a *m.TaskServiceReadLogArgs) (thrift.TStruct, error) {
			v, err := s.ReadLog(ctx, a.Request)
			return &m.TaskServiceReadLogResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"getResult": on(func(ctx context.Context, a *m.TaskServiceGetResultArgs) (thrift.TStruct, error) {
			v, err := s.GetResult_(ctx, a.StageId)
			return &m.TaskServiceGetResultResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"previewResult": on(func(ctx context.Context, a *m.TaskServicePreviewResultArgs) (thrift.TStruct, error) {
			v, err := s.PreviewResult_(ctx, a.StageId, a.Lines)
			return &m.TaskServicePreviewResultResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"upload": on(func(ctx context.Context, a *m.TaskServiceUploadArgs) (thrift.TStruct, error) {
			v, err := s.Upload(ctx, a.Content, a.Offset, a.Data)
			return &m.TaskServiceUploadResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"getMasterInfo": on(func(ctx context.Context, _ *m.TaskServiceGetMasterInfoArgs) (thrift.TStruct, error) {
			v, err := s.GetMasterInfo(ctx)
			return &m.TaskServiceGetMasterInfoResult{Success: v, Error: clicError(err)}, declared(err)
		}),
	}
}

func (s *Service) changeMethods() map[string]method {
	return map[string]method{
		"submit": on(func(ctx context.Context, a *m.TaskServiceSubmitArgs) (thrift.TStruct, error) {
			v, err := s.Submit(ctx, a.Submission)
			return &m.TaskServiceSubmitResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"suspend": on(func(ctx context.Context, a *m.TaskServiceSuspendArgs) (thrift.TStruct, error) {
			v, err := s.Suspend(ctx, a.StageId, a.Mode, a.Reason, a.UntilMillis, a.Who)
			return &m.TaskServiceSuspendResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"suspendTask": on(func(ctx context.Context, a *m.TaskServiceSuspendTaskArgs) (thrift.TStruct, error) {
			v, err := s.SuspendTask(ctx, a.TaskName, a.Mode, a.Reason, a.UntilMillis, a.Who)
			return &m.TaskServiceSuspendTaskResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"resume": on(func(ctx context.Context, a *m.TaskServiceResumeArgs) (thrift.TStruct, error) {
			err := s.Resume(ctx, a.StageId, a.Who)
			return &m.TaskServiceResumeResult{Error: clicError(err)}, declared(err)
		}),
		"resumeTask": on(func(ctx context.Context, a *m.TaskServiceResumeTaskArgs) (thrift.TStruct, error) {
			err := s.ResumeTask(ctx, a.TaskName, a.Who)
			return &m.TaskServiceResumeTaskResult{Error: clicError(err)}, declared(err)
		}),
		"cancelTask": on(func(ctx context.Context, a *m.TaskServiceCancelTaskArgs) (thrift.TStruct, error) {
			err := s.CancelTask(ctx, a.TaskName, a.Reason, a.RunHandlers, a.Who)
			return &m.TaskServiceCancelTaskResult{Error: clicError(err)}, declared(err)
		}),
		"cancelStage": on(func(ctx context.Context, a *m.TaskServiceCancelStageArgs) (thrift.TStruct, error) {
			err := s.CancelStage(ctx, a.StageId, a.Reason, a.Who)
			return &m.TaskServiceCancelStageResult{Error: clicError(err)}, declared(err)
		}),
		"skipStage": on(func(ctx context.Context, a *m.TaskServiceSkipStageArgs) (thrift.TStruct, error) {
			err := s.SkipStage(ctx, a.StageId, a.Reason, a.Who)
			return &m.TaskServiceSkipStageResult{Error: clicError(err)}, declared(err)
		}),
		"retryTask": on(func(ctx context.Context, a *m.TaskServiceRetryTaskArgs) (thrift.TStruct, error) {
			v, err := s.RetryTask(ctx, a.TaskName, a.StageIds, a.Who)
			return &m.TaskServiceRetryTaskResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"deleteTask": on(func(ctx context.Context, a *m.TaskServiceDeleteTaskArgs) (thrift.TStruct, error) {
			err := s.DeleteTask(ctx, a.TaskName, a.Force, a.Who, a.Outputs)
			return &m.TaskServiceDeleteTaskResult{Error: clicError(err)}, declared(err)
		}),
	}
}

func (s *Service) schedulerMethods() map[string]method {
	return map[string]method{
		"postStageStarted": on(func(ctx context.Context, a *m.SchedulerServicePostStageStartedArgs) (thrift.TStruct, error) {
			v, err := s.post(ctx, s.started(a.StageId, a.SubmitMsg))
			return &m.SchedulerServicePostStageStartedResult{Success: v}, declared(err)
		}),
		"postDataPrepared": on(func(ctx context.Context, a *m.SchedulerServicePostDataPreparedArgs) (thrift.TStruct, error) {
			v, err := s.post(ctx, prepared(a.StageId))
			return &m.SchedulerServicePostDataPreparedResult{Success: v}, declared(err)
		}),
		"postStageCompleted": on(func(ctx context.Context, a *m.SchedulerServicePostStageCompletedArgs) (thrift.TStruct, error) {
			v, err := s.post(ctx, s.completed(a.StageId, a.SubmitMsg))
			return &m.SchedulerServicePostStageCompletedResult{Success: v}, declared(err)
		}),
		"reportStarted": on(func(ctx context.Context, a *m.SchedulerServiceReportStartedArgs) (thrift.TStruct, error) {
			v, err := s.ReportStarted(ctx, a.Attempt, a.Info)
			return &m.SchedulerServiceReportStartedResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"reportPrepared": on(func(ctx context.Context, a *m.SchedulerServiceReportPreparedArgs) (thrift.TStruct, error) {
			v, err := s.ReportPrepared(ctx, a.Attempt)
			return &m.SchedulerServiceReportPreparedResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"reportCompleted": on(func(ctx context.Context, a *m.SchedulerServiceReportCompletedArgs) (thrift.TStruct, error) {
			v, err := s.ReportCompleted(ctx, a.Attempt, a.Outputs)
			return &m.SchedulerServiceReportCompletedResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"reportFailed": on(func(ctx context.Context, a *m.SchedulerServiceReportFailedArgs) (thrift.TStruct, error) {
			v, err := s.ReportFailed(ctx, a.Attempt, a.Reason, a.ExitCode)
			return &m.SchedulerServiceReportFailedResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"heartbeat": on(func(ctx context.Context, a *m.SchedulerServiceHeartbeatArgs) (thrift.TStruct, error) {
			v, err := s.Heartbeat(ctx, a.Attempt)
			return &m.SchedulerServiceHeartbeatResult{Success: v, Error: clicError(err)}, declared(err)
		}),
		"reportProgress": on(func(ctx context.Context, a *m.SchedulerServiceReportProgressArgs) (thrift.TStruct, error) {
			v, err := s.ReportProgress(ctx, a.Attempt, a.Done, a.Total, a.Message)
			return &m.SchedulerServiceReportProgressResult{Success: v, Error: clicError(err)}, declared(err)
		}),
	}
}

// unlessError is v, or nil with an error.
func unlessError[T any](v T, err error) *T {
	if err != nil {
		return nil
	}
	return &v
}
