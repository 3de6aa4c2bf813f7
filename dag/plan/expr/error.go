package expr

import (
	"errors"
	"fmt"
)

// The bounds. Lengths count bytes.
const (
	// MaxTemplate is the length of a string with {{tags}}. Scripts are templates too, so it is a whole file's.
	MaxTemplate = 4 << 20
	// MaxTags is the number of tags in one template.
	MaxTags = 100_000
	// MaxExpression is the length of one expression, of either language.
	MaxExpression = 64 << 10
	// MaxNesting is how deep brackets in an expression, or lists and maps in JSON, may stand in each other.
	MaxNesting = 100
	// MaxNodes is the number of nodes in the syntax tree of one expression.
	MaxNodes = 5_000
	// MaxSteps is what one evaluation may cost. A step is one iteration, one call, or the handling of 64 bytes or of one
	// element, so this is also the bound of its memory: about 100 MB at the very worst, and about a second.
	MaxSteps = 2_000_000
	// MaxResult is the length of a result, of a string within an evaluation, and of a substituted string.
	MaxResult = 1 << 20
	// MaxDocument is the length of a JSON document that is read: the items of a loop, a task to substitute in.
	MaxDocument = 16 << 20
	// MaxItems is the number of items of one loop.
	MaxItems = 100_000
	// MaxPattern is the size of a compiled regular expression, in instructions.
	MaxPattern = 10_000
)

// ErrLimit is wrapped by every error that a bound causes.
var ErrLimit = errors.New("beyond the limit")

// Error says what is wrong with a text, and where. It also stands for failed evaluations.
type Error struct {
	// Offset is the byte in the text at which the fault was noticed.
	Offset int
	// Msg is one line, or several where it draws the place.
	Msg string
	// Err is the cause, or nil.
	Err error
}

// Error is the message alone: callers know better how to show a place.
func (e *Error) Error() string { return e.Msg }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// UnresolvedError is a {{tag}} or an expression that names a variable which nothing defines.
type UnresolvedError struct {
	// Name is the variable.
	Name string
	// Offset is the byte in the text at which the tag or the expression begins.
	Offset int
	// Nearest is a known variable that may have been meant, or "".
	Nearest string
	// Err is what the evaluation said, for expressions; nil for tags.
	Err error
}

// Error is Argo's text for tags.
func (e *UnresolvedError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return "failed to resolve {{" + e.Name + "}}"
}

// Unwrap gives what the evaluation said.
func (e *UnresolvedError) Unwrap() error { return e.Err }

// errorAt makes an Error.
func errorAt(offset int, format string, args ...any) *Error {
	return &Error{Offset: offset, Msg: fmt.Sprintf(format, args...)}
}

// limitError makes the Error of a bound.
func limitError(offset int, format string, args ...any) *Error {
	return &Error{Offset: offset, Msg: fmt.Sprintf(format, args...), Err: ErrLimit}
}
