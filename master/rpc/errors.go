package rpc

import (
	"context"
	"errors"
	"io/fs"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/uploads"
)

// Errors of what reads plans by path, beside those of the file system.
var (
	// ErrDenied: the path is outside of what the configuration allows.
	ErrDenied = errors.New("not allowed")
	// ErrTooLarge: the file, or a call, is larger than the configured bound.
	ErrTooLarge = errors.New("larger than the limit")
)

// retryAfterMillis is when a client may repeat a call that could not be served.
const retryAfterMillis = 1000

// argumentError is a call whose arguments are wrong in themselves.
type argumentError struct {
	field, message, hint string
}

// Error is the message with the field in front.
func (e *argumentError) Error() string {
	if e.field == "" {
		return e.message
	}
	return e.field + ": " + e.message
}

// codes is how errors become codes: the first that matches is taken. Whatever is not in it is INTERNAL.
//
// The old calls use the same codes: NOT_FOUND gives an empty map or list, or false; REFUSED gives false; NOT_READY
// (getStageResult) gives MISSING_RESULT; a report answers NOT_FOUND and INVALID with PARAMETER_ERROR, anything else with
// EXCEPTION. All others are a TApplicationException with the message.
var codes = [...]struct {
	is   error
	code base.ErrorCode
}{
	{dag.ErrUnknownNode, base.ErrorCode_NOT_FOUND},
	{store.ErrNotFound, base.ErrorCode_NOT_FOUND},
	{executors.ErrNoLogs, base.ErrorCode_NOT_FOUND},
	{engine.ErrNoSource, base.ErrorCode_NOT_FOUND},
	{store.ErrExists, base.ErrorCode_EXISTS},
	{dag.ErrRefused, base.ErrorCode_REFUSED},
	{engine.ErrToken, base.ErrorCode_DENIED},
	{ErrDenied, base.ErrorCode_DENIED},
	{results.ErrDenied, base.ErrorCode_DENIED},
	{uploads.ErrBad, base.ErrorCode_INVALID},
	{uploads.ErrChecksum, base.ErrorCode_INVALID},
	{uploads.ErrMissing, base.ErrorCode_NOT_FOUND},
	{uploads.ErrTooLarge, base.ErrorCode_TOO_LARGE},
	{dfs.ErrUnavailable, base.ErrorCode_UNAVAILABLE},
	{dfs.ErrOpenForWriting, base.ErrorCode_NOT_READY},
	{dfs.ErrQuota, base.ErrorCode_UNAVAILABLE},
	{dfs.ErrInvalid, base.ErrorCode_INVALID},
	{results.ErrDamaged, base.ErrorCode_REFUSED},
	{results.ErrUnsupported, base.ErrorCode_REFUSED},
	{dfs.ErrCorrupt, base.ErrorCode_REFUSED},
	{results.ErrPath, base.ErrorCode_INVALID},
	{results.ErrNotRegular, base.ErrorCode_INVALID},
	{fs.ErrNotExist, base.ErrorCode_NOT_FOUND},
	{fs.ErrPermission, base.ErrorCode_DENIED},
	{engine.ErrStopping, base.ErrorCode_UNAVAILABLE},
	{store.ErrUnavailable, base.ErrorCode_UNAVAILABLE},
	{store.ErrFenced, base.ErrorCode_UNAVAILABLE},
	{executors.ErrClosed, base.ErrorCode_UNAVAILABLE},
	{errClosing, base.ErrorCode_UNAVAILABLE},
	{context.DeadlineExceeded, base.ErrorCode_UNAVAILABLE},
	{context.Canceled, base.ErrorCode_UNAVAILABLE},
	{ErrTooLarge, base.ErrorCode_TOO_LARGE},
}

// codeOf is the code of an error.
func codeOf(err error) base.ErrorCode {
	var invalid *plan.InvalidError
	var argument *argumentError
	var notReady *engine.NotReadyError
	switch {
	case errors.As(err, &invalid), errors.As(err, &argument):
		return base.ErrorCode_INVALID
	case errors.As(err, &notReady):
		return base.ErrorCode_NOT_READY
	}
	for _, c := range codes {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	return base.ErrorCode_INTERNAL
}

// clicError is an error as the new calls raise it; nil for nil.
func clicError(err error) *base.ClicError {
	if err == nil {
		return nil
	}
	e := &base.ClicError{Code: codeOf(err), Message: err.Error()}
	var refusal *dag.Refusal
	var argument *argumentError
	var invalid *plan.InvalidError
	switch {
	case errors.As(err, &refusal):
		e.Hint = refusal.Hint
	case errors.As(err, &argument):
		e.Message, e.Field, e.Hint = argument.message, argument.field, argument.hint
	case errors.As(err, &invalid):
		e.Field = "plan"
		e.Diagnostics = diagnostics(invalid.Diagnostics)
	}
	if e.Code == base.ErrorCode_UNAVAILABLE {
		millis := int64(retryAfterMillis)
		e.RetryAfterMillis = &millis
	}
	return e
}

// notFound reports whether nothing has the name that was asked for.
func notFound(err error) bool { return codeOf(err) == base.ErrorCode_NOT_FOUND }

func diagnostics(ds plan.Diagnostics) []*base.Diagnostic {
	out := make([]*base.Diagnostic, len(ds))
	for i, d := range ds {
		out[i] = &base.Diagnostic{
			Severity: string(d.Severity), File: d.File, Line: int32(d.Line), Column: int32(d.Column),
			Field: d.Field, Message: d.Message, Hint: d.Hint, Rule: d.Rule,
		}
	}
	return out
}
