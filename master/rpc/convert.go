package rpc

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

// The numbers of TaskState, StageState, NodeKind and HoldMode on the wire are those of package dag, which a test checks.

func (s *Service) taskInfo(v *engine.TaskView) *master.TaskInfo {
	counts := make(map[string]int32, len(v.Counts))
	for i, n := range v.Counts {
		if n != 0 {
			counts[dag.Status(i).String()] = n
		}
	}
	info := &master.TaskInfo{
		TaskName: v.Name, PlanName: v.Plan, State: master.TaskState(v.Status), Message: v.Message,
		Submitted: int64(v.Submitted), Started: int64(v.Started), Ended: int64(v.Ended),
		Priority: v.Priority, Labels: some(v.Labels), Parameters: some(v.Params), Counts: counts, Stages: v.Stages,
		Holds: holds(v.Holds), Owner: v.Owner, Expires: int64(v.Expires), Outputs: some(v.Globals),
		Seq: int64(v.Seq), Form: formName(v.Form), Deadline: unlessZero(int64(v.Due)),
		StaleSince: s.staleSince(),
	}
	if v.Remaining >= 0 && !v.Status.Terminal() {
		left := int64(v.Remaining)
		info.RemainingMillis = &left
	}
	return info
}

// staleSince is since when the master cannot reach its store, nil if it can.
func (s *Service) staleSince() *int64 {
	since, stale := s.engine.Stale()
	if !stale {
		return nil
	}
	millis := int64(since)
	return &millis
}

func formName(f dag.Form) string {
	if f == dag.FormCLIC {
		return "clic"
	}
	return "argo"
}

func (s *Service) stageInfo(v *engine.StageView) *master.StageInfo {
	info := &master.StageInfo{
		StageId: v.ID, TaskName: v.Task, Name: v.Name, Path: v.Path, Kind: master.NodeKind(v.Kind),
		State: master.StageState(v.Status), Template: v.Template, Platform: v.Platform,
		Parents: v.Parents, Children: v.Children, Group: v.Group, Attempt: v.Attempt, Retries: v.Tries,
		Launched: int64(v.Launched), Started: int64(v.Started), Prepared: int64(v.PreparedAt), Ended: int64(v.Ended),
		Failure: failure(v.Failure), Message: v.Message, Outputs: outputs(v.Outputs), Holds: holds(v.Holds),
		Info: s.secrets.text(v.Info), Warnings: v.Warnings, Inputs: some(v.Inputs), RetryAt: unlessZero(int64(v.RetryAt)),
		Index: v.Index, StaleSince: s.staleSince(),
	}
	if v.Exited {
		info.ExitCode = &v.ExitCode
	}
	for _, a := range v.History {
		info.Attempts = append(info.Attempts, &master.AttemptInfo{
			Number: a.Number, Started: int64(a.Started), Ended: int64(a.Ended), Failure: failure(a.Failure),
		})
	}
	if p := v.Progress; p != nil {
		info.ProgressDone, info.ProgressTotal, info.ProgressMessage = &p.Done, unlessZero(p.Total), unlessZero(p.Message)
	}
	if u := v.Usage; u != nil {
		info.CpuMillis, info.MaxRssBytes = unlessZero(int64(u.CPU)), unlessZero(u.MaxRSS)
	}
	return info
}

func failure(f *dag.Failure) *master.Failure {
	if f == nil {
		return nil
	}
	return &master.Failure{Kind: f.Kind.String(), ExitCode: clamp32(f.ExitCode), Message: f.Message}
}

func outputs(o *dag.Outputs) *master.StageOutputs {
	if o == nil {
		return nil
	}
	return &master.StageOutputs{Result_: o.Result, Parameters: o.Params}
}

func holds(hs []engine.HoldView) []*master.Hold {
	out := make([]*master.Hold, len(hs))
	for i := range hs {
		out[i] = hold(&hs[i])
	}
	return out
}

func hold(h *engine.HoldView) *master.Hold {
	return &master.Hold{
		ID: h.ID, RootStageId: h.RootStage, Mode: master.HoldMode(h.Mode), Who: h.Who, Reason: h.Why,
		Since: int64(h.Since), UntilTime: unlessZero(int64(h.Until)),
	}
}

// submitAnswer is what a submission gives back: warnings and notes.
func submitAnswer(a *engine.Submitted) *master.SubmitAnswer {
	return &master.SubmitAnswer{
		TaskName: a.Task, Created: a.Created, Stages: clamp32(a.Stages), Diagnostics: diagnostics(a.Diagnostics),
	}
}

// unlessZero is nil for the zero value.
func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// some is m, or an empty map: fields that are not optional are always there on the wire.
func some[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func clamp32(n int) int32 {
	return int32(max(math.MinInt32, min(n, math.MaxInt32)))
}

// truncate shortens s to at most n bytes, at the end of a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
