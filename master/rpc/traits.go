package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	m "github.com/clic-orchestrator/clic/idl/gen/master"
)

// repetition says what happens when a call is carried out twice.
type repetition uint8

const (
	// never: it would do its work twice.
	never repetition = iota
	// harmless: the second one changes nothing, but may be answered differently: what is held already is refused to be held.
	harmless
	// same: the second one changes nothing and is answered like the first.
	same
)

// style is how a method says that it cannot be served.
type style uint8

const (
	// byClicError: the ClicError that the newer methods declare. What is neither this nor byResult has a TApplicationException.
	byClicError style = iota + 1
	// byResult: a ServiceBaseResult. The old programs of stages die of exceptions.
	byResult
)

// traits are what a server has to know of a method that it passes on to another master, or waits with.
type traits struct {
	// waits marks a long poll: its context ends when the client goes away, and when the server begins to stop.
	waits bool
	// patient marks the reports of stages: they wait for a master to lead for as long as any call may take.
	patient bool
	again   repetition
	style   style
}

// traitsOf describes a method by its bare name. Nothing is assumed of methods that this version does not know.
func traitsOf(name string) traits {
	switch name {
	case "postStageStarted", "postDataPrepared", "postStageCompleted":
		return traits{patient: true, again: same, style: byResult}
	case "reportStarted", "reportPrepared", "reportCompleted", "reportFailed", "heartbeat", "reportProgress":
		return traits{patient: true, again: same, style: byClicError}
	case "listAllTask", "getTaskInfo", "getStageInfo", "getStageIdOfTask", "getStageResult":
		return traits{again: same}
	case "suspendStage", "continueStage":
		return traits{again: harmless}
	case "getTask", "listTasks", "getStage", "listStages", "explain", "getPlan", "planRetry", "getResult", "previewResult", "getMasterInfo",
		"upload":
		return traits{again: same, style: byClicError}
	case "watch", "readLog":
		return traits{waits: true, again: same, style: byClicError}
	case "suspend", "suspendTask", "resume", "resumeTask", "cancelTask", "cancelStage", "skipStage", "deleteTask":
		return traits{again: harmless, style: byClicError}
	case "submit", "retryTask":
		// A submission with a request id is more: see request.again.
		return traits{style: byClicError}
	}
	return traits{}
}

// The types of TApplicationException that are this system's own. Those of Thrift end at 10.
const (
	// exceptionUnavailable: the call could not be served now; repeating it later may succeed. It is UNAVAILABLE for methods that
	// do not declare ClicError.
	exceptionUnavailable = 100
	// exceptionNotLeading answers a call that was relayed to a master that does not lead. Nothing was done.
	exceptionNotLeading = 101
	// exceptionLostLead answers a call that was relayed to a master that lost its lead under it. Whether it was carried out is
	// not known.
	exceptionLostLead = 102
)

// unavailableError says that a call cannot be served now.
type unavailableError struct {
	text string
	// uncertain is set where it may have been carried out all the same.
	uncertain bool
}

func (e *unavailableError) Error() string {
	if e.uncertain {
		return e.text + "; whether the request was carried out is unknown"
	}
	return e.text
}

var (
	errNotLeading = thrift.NewTApplicationException(exceptionNotLeading, "this master is not the leader")
	errLostLead   = thrift.NewTApplicationException(exceptionLostLead, "this master has just lost the lead")
)

// reply is what is sent back: a result, or an exception.
type reply struct {
	kind thrift.TMessageType
	body writable
}

func result(body writable) reply { return reply{kind: thrift.REPLY, body: body} }

func exception(err error) reply { return reply{kind: thrift.EXCEPTION, body: asApplication(err)} }

// refusal is how the method says that it cannot be served now.
func (t traits) refusal(err *unavailableError) reply {
	switch t.style {
	case byClicError:
		e := &base.ClicError{Code: base.ErrorCode_UNAVAILABLE, Message: err.Error()}
		if !err.uncertain || t.again != never {
			millis := int64(retryAfterMillis)
			e.RetryAfterMillis = &millis
		}
		return result(thrown{e})
	case byResult:
		// All three have a result of the same form.
		return result(&m.SchedulerServicePostDataPreparedResult{
			Success: &base.ServiceBaseResult_{ResultCode: base.ResultCode_EXCEPTION, Message: err.Error()},
		})
	}
	if err.uncertain {
		return exception(err)
	}
	return exception(thrift.NewTApplicationException(exceptionUnavailable, err.Error()))
}

// thrown is the result of any of the newer methods that raises an error: they all declare it as their field 1.
type thrown struct{ *base.ClicError }

// Write writes the result.
func (t thrown) Write(ctx context.Context, out thrift.TProtocol) error {
	if err := out.WriteStructBegin(ctx, "result"); err != nil {
		return err
	}
	if err := out.WriteFieldBegin(ctx, "error", thrift.STRUCT, 1); err != nil {
		return err
	}
	if err := t.ClicError.Write(ctx, out); err != nil {
		return err
	}
	if err := out.WriteFieldEnd(ctx); err != nil {
		return err
	}
	if err := out.WriteFieldStop(ctx); err != nil {
		return err
	}
	return out.WriteStructEnd(ctx)
}

// relayMark begins the names of messages that one master sends to another for a client: "Relayed:<client's address>|" and then the
// name as the client sent it. A relayed call is never relayed again.
const relayMark = "Relayed:"

func relayName(client, full string) string { return relayMark + client + "|" + full }

// splitRelay takes the mark off a name.
func splitRelay(name string) (client, full string, relayed bool) {
	rest, relayed := strings.CutPrefix(name, relayMark)
	if !relayed {
		return "", name, false
	}
	client, full, ok := strings.Cut(rest, "|")
	if !ok {
		return "", rest, true
	}
	return client, full, true
}

// refusedAgain reports whether the answer to a harmless call that was carried out twice may be due to the first time.
func refusedAgain(code base.ErrorCode) bool {
	return code == base.ErrorCode_REFUSED || code == base.ErrorCode_NOT_FOUND
}

// doubt marks an error that answers the second try of a call whose first may have been carried out: it can be asked for at once
// how things stand, says RetryAfterMillis.
func doubt(e *base.ClicError) {
	now := int64(0)
	e.RetryAfterMillis = &now
	e.Hint = strings.TrimPrefix(fmt.Sprintf("%s; the leading master went away meanwhile and the request was repeated: it may have been carried out the first time", e.Hint), "; ")
}
