package exit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// Report is an error as it is shown: what, why, what to do.
type Report struct {
	// Code is short and stable: the master's error code, or the shell's own.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Field is the argument or field that is wrong, or "".
	Field       string             `json:"field,omitempty"`
	Hint        string             `json:"hint,omitempty"`
	ExitStatus  int                `json:"exitStatus"`
	RetryMillis int64              `json:"retryAfterMillis,omitempty"`
	Diagnostics []*base.Diagnostic `json:"diagnostics,omitempty"`
}

// shellCodes name the statuses of errors that do not come from the master.
var shellCodes = map[int]string{
	Failed: "FAILED", NotFound: "NOT_FOUND", Refused: "REFUSED", Usage: "USAGE", BadPlan: "INVALID", NoInput: "NO_INPUT",
	Unreachable: "UNREACHABLE", Internal: "INTERNAL", Retry: "UNAVAILABLE", Denied: "DENIED", Config: "CONFIG",
	Interrupted: "INTERRUPTED", Cancelled: "CANCELLED",
}

// Describe makes the report of an error. ok is false where there is nothing to print.
func Describe(err error) (r Report, ok bool) {
	if err == nil {
		return Report{}, false
	}
	r = Report{Message: err.Error(), ExitStatus: Status(err)}
	r.Code = shellCodes[r.ExitStatus]
	if e, is := errors.AsType[*Error](err); is {
		if e.Err == nil {
			return Report{}, false
		}
		r.Hint = e.Hint
	}
	if e, is := errors.AsType[*base.ClicError](err); is {
		r.Code, r.Field = e.Code.String(), e.Field
		r.Message = e.Message
		if e.Hint != "" {
			r.Hint = e.Hint
		}
		r.RetryMillis = e.GetRetryAfterMillis()
		r.Diagnostics = e.Diagnostics
		return r, true
	}
	r.fromTransport(err)
	return r, true
}

// fromTransport fills in what is known of errors on the way to the master.
func (r *Report) fromTransport(err error) {
	if _, is := errors.AsType[*client.UnreachableError](err); is {
		r.Hint = "start one with \"clic-master\", or say where it is with --master HOST:PORT"
		return
	}
	if errors.Is(err, context.Canceled) {
		r.Message = "interrupted"
		return
	}
	if app, is := errors.AsType[thrift.TApplicationException](err); is && app.TypeId() == thrift.UNKNOWN_METHOD {
		r.Message = "the master does not know this request: " + app.Error()
		r.Hint = "the master may be older than this shell; compare \"clic version\" and \"clic info\""
	}
}

// Print shows an error in one line, or a few where there is more to say. Nothing is printed for a silent one.
func Print(s *iostreams.Streams, err error) {
	r, ok := Describe(err)
	if !ok {
		return
	}
	style := s.ErrStyle()
	var b strings.Builder
	if len(r.Diagnostics) > 0 {
		for _, d := range r.Diagnostics {
			b.WriteString(DiagnosticLine(d, style) + "\n")
		}
		// The master repeats the diagnostics in its message, for clients that see nothing else.
		r.Message, _, _ = strings.Cut(r.Message, "\n")
		r.Message = strings.TrimSuffix(r.Message, ":")
	}
	b.WriteString(style.Red("clic:") + " " + r.Message)
	if r.Field != "" && !strings.Contains(r.Message, r.Field) {
		b.WriteString(" (" + r.Field + ")")
	}
	if r.Hint != "" && !strings.Contains(r.Message, r.Hint) { // a refusal's text has it already
		b.WriteString("; " + r.Hint)
	}
	_, _ = io.WriteString(s.Err, b.String()+"\n")
}

// PrintJSON shows an error as one JSON object on a line: {"error": …}.
func PrintJSON(w io.Writer, err error) {
	r, ok := Describe(err)
	if !ok {
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// A Report always encodes, and nobody is left to hear of an unwritable standard error.
	_ = enc.Encode(map[string]Report{"error": r})
}

// DiagnosticLine is a diagnostic of the master's in one line: file:line:column: severity: field: message (hint).
func DiagnosticLine(d *base.Diagnostic, style iostreams.Style) string {
	var b strings.Builder
	switch {
	case d.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", d.File, d.Line, d.Column)
	case d.File != "":
		b.WriteString(d.File + ": ")
	}
	severity := d.Severity + ":"
	switch d.Severity {
	case "error":
		severity = style.Red(severity)
	case "warning":
		severity = style.Yellow(severity)
	}
	b.WriteString(severity + " ")
	if d.Field != "" {
		b.WriteString(d.Field + ": ")
	}
	b.WriteString(d.Message)
	if d.Hint != "" {
		b.WriteString(" (" + d.Hint + ")")
	}
	return b.String()
}
