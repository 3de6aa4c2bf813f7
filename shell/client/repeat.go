package client

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// repetition says what happens when a call is carried out twice.
type repetition uint8

const (
	// never: it would do its work twice.
	never repetition = iota
	// harmless: the second one changes nothing, but may be refused because of the first; see settle.
	harmless
	// same: the second one changes nothing and is answered like the first.
	same
)

func repetitionOf(method string, args thrift.TStruct) repetition {
	switch method {
	case "listAllTask", "getTaskInfo", "getStageInfo", "getStageIdOfTask", "getStageResult",
		"getTask", "listTasks", "getStage", "listStages", "explain", "getPlan", "planRetry",
		"watch", "readLog", "getResult", "previewResult", "getMasterInfo", "upload",
		"reportStarted", "reportPrepared", "reportCompleted", "reportFailed", "heartbeat", "reportProgress":
		return same
	case "suspend", "suspendTask", "resume", "resumeTask", "cancelTask", "cancelStage", "skipStage", "deleteTask":
		return harmless
	case "submit":
		a, ok := args.(*master.TaskServiceSubmitArgs)
		if ok && a.Submission != nil && (a.Submission.GetRequestId() != "" || a.Submission.GetDryRun()) {
			return same
		}
	}
	return never
}

// thrown is the error that a result declares, nil if there is none.
func thrown(result thrift.TStruct) *base.ClicError {
	if r, ok := result.(interface{ GetError() *base.ClicError }); ok {
		return r.GetError()
	}
	return nil
}

// retryable reports whether the master says that it cannot serve the call now, and that repeating it may succeed.
func retryable(e *base.ClicError) bool {
	return e != nil && e.Code == base.ErrorCode_UNAVAILABLE && e.RetryAfterMillis != nil
}

// forget empties a result that an earlier try has filled.
func forget(result thrift.TStruct) {
	if v := reflect.ValueOf(result); v.Kind() == reflect.Pointer && !v.IsNil() {
		v.Elem().SetZero()
	}
}

// The types of TApplicationException by which masters say that they cannot serve a call now.
const (
	unavailable = 100
	lostLead    = 102
)

func passing(e thrift.TApplicationException) bool {
	return e.TypeId() >= unavailable && e.TypeId() <= lostLead
}

// ownWait is how long a long poll may take by itself.
func ownWait(args thrift.TStruct) time.Duration {
	switch a := args.(type) {
	case *master.TaskServiceWatchArgs:
		return time.Duration(a.WaitMillis) * time.Millisecond
	case *master.TaskServiceReadLogArgs:
		if a.Request != nil {
			return time.Duration(a.Request.GetWaitMillis()) * time.Millisecond
		}
	}
	return 0
}

// staleSince is since when the master could not reach its store, as the answer says; 0 if it could.
func staleSince(result thrift.TStruct) int64 {
	var since *int64
	switch r := result.(type) {
	case *master.TaskServiceGetTaskResult:
		if r.Success != nil {
			since = r.Success.StaleSince
		}
	case *master.TaskServiceListTasksResult:
		if r.Success != nil {
			since = r.Success.StaleSince
		}
	case *master.TaskServiceGetStageResult:
		if r.Success != nil {
			since = r.Success.StaleSince
		}
	case *master.TaskServiceListStagesResult:
		if r.Success != nil && len(r.Success.Stages) > 0 {
			since = r.Success.Stages[0].StaleSince
		}
	}
	if since == nil {
		return 0
	}
	return *since
}

// settle looks how things stand when a change was refused that may have been carried out by an earlier try of the same call, and
// makes it a success where what was asked for is so.
func (c *Client) settle(ctx context.Context, method string, args, result thrift.TStruct, refused *base.ClicError) {
	gone := refused.Code == base.ErrorCode_NOT_FOUND
	if !gone && refused.Code != base.ErrorCode_REFUSED {
		return
	}
	defer func() {
		if thrown(result) == refused {
			doubt(refused)
		}
	}()
	switch r := result.(type) {
	case *master.TaskServiceDeleteTaskResult:
		if gone {
			r.Error = nil
		}
	case *master.TaskServiceResumeResult:
		if !gone { // it is only refused where the hold is not there
			r.Error = nil
		}
	case *master.TaskServiceResumeTaskResult:
		if !gone {
			r.Error = nil
		}
	case *master.TaskServiceCancelTaskResult:
		if a, ok := args.(*master.TaskServiceCancelTaskArgs); ok && c.taskIsStopped(ctx, a.TaskName) {
			r.Error = nil
		}
	case *master.TaskServiceCancelStageResult:
		if a, ok := args.(*master.TaskServiceCancelStageArgs); ok &&
			c.stageIs(ctx, a.StageId, master.StageState_CANCELLING, master.StageState_CANCELLED) {
			r.Error = nil
		}
	case *master.TaskServiceSkipStageResult:
		if a, ok := args.(*master.TaskServiceSkipStageArgs); ok && c.stageIs(ctx, a.StageId, master.StageState_SKIPPED) {
			r.Error = nil
		}
	case *master.TaskServiceSuspendResult:
		if a, ok := args.(*master.TaskServiceSuspendArgs); ok {
			if h := c.holdOn(ctx, a); h != nil {
				r.Success, r.Error = h, nil
			}
		}
	case *master.TaskServiceSuspendTaskResult:
		if a, ok := args.(*master.TaskServiceSuspendTaskArgs); ok {
			if t, err := c.GetTask(ctx, a.TaskName); err == nil {
				if h := holdOf(t.Holds, "", a.Mode, a.Reason, a.Who); h != nil {
					r.Success, r.Error = h, nil
				}
			}
		}
	}
}

// holdOn finds the hold of a suspend: among the task's, since the root of one need not carry it itself.
func (c *Client) holdOn(ctx context.Context, a *master.TaskServiceSuspendArgs) *master.Hold {
	s, err := c.GetStage(ctx, a.StageId)
	if err != nil {
		return nil
	}
	holds := s.Holds
	if t, err := c.GetTask(ctx, s.TaskName); err == nil {
		holds = append(holds, t.Holds...)
	}
	return holdOf(holds, a.StageId, a.Mode, a.Reason, a.Who)
}

// doubt has an error say that what was refused may have been done by an earlier try of the same call.
func doubt(e *base.ClicError) {
	if e.RetryAfterMillis != nil {
		return // the master says so itself
	}
	now := int64(0)
	e.RetryAfterMillis = &now
	e.Hint = strings.TrimPrefix(e.Hint+"; the connection broke meanwhile and the request was repeated: it may have been carried out the first time", "; ")
}

// taskIsStopped reports whether the task was cancelled, or is about to be: one that is refused to be cancelled while it runs is
// being stopped.
func (c *Client) taskIsStopped(ctx context.Context, name string) bool {
	t, err := c.GetTask(ctx, name)
	return err == nil && t.State != master.TaskState_COMPLETED && t.State != master.TaskState_FAILED
}

func (c *Client) stageIs(ctx context.Context, id string, states ...master.StageState) bool {
	s, err := c.GetStage(ctx, id)
	return err == nil && slices.Contains(states, s.State)
}

// holdOf finds the hold that a call would have made. root is the stage's id, or "" for any.
func holdOf(holds []*master.Hold, root string, mode master.HoldMode, reason, who string) *master.Hold {
	for _, h := range holds {
		if (root == "" || h.RootStageId == root) && h.Mode == mode && h.Reason == reason && h.Who == who {
			return h
		}
	}
	return nil
}
