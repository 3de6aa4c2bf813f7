// Package exit is the one table that says with which status the shell ends for which error, and how errors look.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/discover"
)

// The exit statuses. Those from 64 on are those of sysexits.h.
const (
	// OK: everything asked for was done.
	OK = 0
	// Failed: the task or stage failed, or an error of no other kind happened.
	Failed = 1
	// Cancelled: the task that was waited for was cancelled.
	Cancelled = 3
	// NotFound: there is no such task or stage.
	NotFound = 4
	// Refused: the state of the task or stage forbids it, or it exists already.
	Refused = 5
	// Usage: the command line is wrong.
	Usage = 64
	// BadPlan: the plan, or another value that was given, is wrong.
	BadPlan = 65
	// NoInput: a file that was named cannot be read.
	NoInput = 66
	// Unreachable: no master answers.
	Unreachable = 69
	// Internal: a bug in the shell or the master.
	Internal = 70
	// Retry: not now; the same command may succeed later.
	Retry = 75
	// Denied: not allowed.
	Denied = 77
	// Config: the configuration cannot be used.
	Config = 78
	// Interrupted: Ctrl-C.
	Interrupted = 130
)

// Topic is the text of "clic help exit-codes".
const Topic = `Exit statuses of clic:

   0  done; with --wait, --exit-status and "clic run": the task completed
   1  the task or stage failed, or an error that is none of the below
   3  the task was cancelled (--wait, --exit-status, "clic run")
   4  there is no such task or stage
   5  refused: the state of the task or stage does not allow it, or it exists already
  64  wrong usage: an unknown command or flag, a missing or malformed argument
  65  the plan is not valid (all its errors are printed)
  66  a file that was named does not exist or cannot be read
  69  no master answers at the address (or the connection to it broke)
  70  a bug in clic or its master
  75  not now, the same command may succeed later: the result is not there yet, the master is
      busy or stopping, or the time of --timeout is over
  77  not allowed, such as a path outside of the directories that the master may read
  78  the configuration (master-info.config, CLIC_MASTER) cannot be used
 130  interrupted with Ctrl-C

"clic -submit x.jar" ends with the jar's own status.`

// Error is an error with an exit status of its own. A nil Err ends silently: everything was said already.
type Error struct {
	Status int
	Err    error
	// Hint says what to do, or is "".
	Hint string
}

// Error is the text of the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Silent ends with the status and prints nothing more.
func Silent(status int) error { return &Error{Status: status} }

// Usagef is an error of the command line.
func Usagef(format string, args ...any) error {
	return &Error{Status: Usage, Err: fmt.Errorf(format, args...)}
}

// With gives an error a status and a hint.
func With(status int, err error, hint string) error {
	return &Error{Status: status, Err: err, Hint: hint}
}

// codes maps the master's error codes to exit statuses.
var codes = map[base.ErrorCode]int{
	base.ErrorCode_UNKNOWN:     Failed,
	base.ErrorCode_INVALID:     BadPlan,
	base.ErrorCode_NOT_FOUND:   NotFound,
	base.ErrorCode_EXISTS:      Refused,
	base.ErrorCode_REFUSED:     Refused,
	base.ErrorCode_NOT_READY:   Retry,
	base.ErrorCode_UNAVAILABLE: Retry,
	base.ErrorCode_DENIED:      Denied,
	base.ErrorCode_TOO_LARGE:   BadPlan,
	base.ErrorCode_INTERNAL:    Internal,
}

// Status is the exit status for an error.
func Status(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	if e, ok := errors.AsType[*base.ClicError](err); ok {
		if status, known := codes[e.Code]; known {
			return status
		}
		return Failed
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		if code := e.ExitCode(); code > 0 {
			return code
		}
		return Failed
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return Unreachable
	}
	if _, ok := errors.AsType[*client.LostError](err); ok {
		return Unreachable
	}
	if _, ok := errors.AsType[*client.TimeoutError](err); ok {
		return Retry
	}
	if _, ok := errors.AsType[*discover.Error](err); ok {
		return Config
	}
	return statusOfCause(err)
}

// statusOfCause knows the errors of the standard library and of Thrift.
func statusOfCause(err error) int {
	switch {
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Retry
	case errors.Is(err, fs.ErrNotExist):
		return NoInput
	case errors.Is(err, fs.ErrPermission):
		return NoInput
	}
	if e, ok := errors.AsType[thrift.TApplicationException](err); ok && e.TypeId() == thrift.INTERNAL_ERROR {
		return Internal
	}
	return Failed
}
