package rpc

import (
	"context"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

// The newer calls of SchedulerService, by which stage programs report about their attempt.

// ReportStarted says that the program has begun.
func (s *Service) ReportStarted(ctx context.Context, a *master.AttemptRef, info map[string]string) (*master.ReportAnswer, error) {
	return s.report(ctx, a, engine.StageReport{What: dag.ReportStarted, Info: s.described(info)})
}

// ReportPrepared says that the program's output can be read.
func (s *Service) ReportPrepared(ctx context.Context, a *master.AttemptRef) (*master.ReportAnswer, error) {
	return s.report(ctx, a, engine.StageReport{What: dag.ReportPrepared})
}

// ReportCompleted says that the program's work is done.
func (s *Service) ReportCompleted(ctx context.Context, a *master.AttemptRef, o *master.StageOutputs) (*master.ReportAnswer, error) {
	r := engine.StageReport{What: dag.ReportCompleted}
	if o != nil {
		r.Outputs = &dag.Outputs{Result: o.Result_, Params: o.Parameters}
	}
	return s.report(ctx, a, r)
}

// ReportFailed says that the program's work failed.
func (s *Service) ReportFailed(ctx context.Context, a *master.AttemptRef, reason string, exitCode int32) (*master.ReportAnswer, error) {
	return s.report(ctx, a, engine.StageReport{
		What: dag.ReportFailed, Failure: dag.NewFailure(dag.FailReported, int(exitCode), reason),
	})
}

// Heartbeat says that the program is alive, and asks whether it should stop.
func (s *Service) Heartbeat(ctx context.Context, a *master.AttemptRef) (*master.ReportAnswer, error) {
	return s.report(ctx, a, engine.StageReport{What: dag.ReportHeartbeat})
}

// ReportProgress says how far the program is.
func (s *Service) ReportProgress(ctx context.Context, a *master.AttemptRef, done, total int64, message string) (*master.ReportAnswer, error) {
	return s.report(ctx, a, engine.StageReport{
		What: dag.ReportProgress, Progress: &dag.Progress{Done: done, Total: total, Message: truncate(message, maxInfo)},
	})
}

func (s *Service) report(ctx context.Context, a *master.AttemptRef, r engine.StageReport) (*master.ReportAnswer, error) {
	if a == nil || a.StageId == "" {
		return nil, missing("attempt.stageId")
	}
	if a.Attempt != nil && *a.Attempt < 0 {
		return nil, &argumentError{field: "attempt.attempt", message: "must not be negative"}
	}
	r.StageID, r.Attempt, r.Token = a.StageId, dag.CurrentAttempt, a.GetToken()
	if a.Attempt != nil {
		r.Attempt = *a.Attempt
	}
	accepted, cancel, err := s.engine.Report(ctx, r)
	if err != nil {
		return nil, err
	}
	answer := &master.ReportAnswer{Accepted: accepted, CancelRequested: cancel}
	if !accepted {
		answer.Message = "too late or for another attempt: nothing was changed"
	}
	return answer, nil
}

// maxInfo bounds what a program may say of itself, in bytes.
const maxInfo = 4096

// described is what a program says of itself, in one line, in a fixed order and without secrets.
func (s *Service) described(info map[string]string) string {
	parts := make([]string, 0, len(info))
	for k, v := range info {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return truncate(s.secrets.text(strings.Join(parts, ", ")), maxInfo)
}
