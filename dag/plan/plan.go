// Package plan turns a plan in Argo-Workflow YAML into a dag.Plan and the dag.Program that a run asks while it goes on.
//
// One path leads through it: Parse reads the text (source, decode, fields), compiles templates and calls (compile, body)
// and checks them (check, refs); Document.Build makes the nodes that are known at submission (builder, or clic for plans
// of the CLIC form); the program answers the core's questions while the task runs (expand, hooks, outputs, stage).
//
// The meaning is that of Argo Workflows 3.7, as the plans in testdata/probes show. Different on purpose:
//
//   - A task that somebody stopped is CANCELLED, and so is what it had not started; Argo calls both Failed.
//   - The message of a task whose deadline passed names the deadline. A dag that failed has a message at all.
//   - A bad condition or loop is said at once, as a warning, because Argo runs such plans and fails only when their turn
//     comes. So is the use of an output that stays literal text if its step is skipped.
//   - Capital letters in a template's name are refused: Argo accepts them and makes pods that cannot exist.
//   - A loop in steps is a node of its own here, around its instances.
//   - The result of a script is always kept, not only where something refers to it.
//   - The attempts of a program are one node with a history, not one node each. Templates that are tried as a whole have
//     a node for each try.
package plan

import (
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// Severity orders diagnostics.
type Severity string

const (
	// SeverityError: the plan is refused.
	SeverityError Severity = "error"
	// SeverityWarning: the plan runs, but perhaps not as its author expects.
	SeverityWarning Severity = "warning"
	// SeverityNote: something that is ignored on purpose and without harm.
	SeverityNote Severity = "note"
)

// Diagnostic is one thing that is wrong with a plan or worth knowing about it.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`
	// Line and Column count from 1; 0 where there is no place.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Field is the path of the field, such as spec.templates[1].container.image.
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	// Hint says what to do, or is "".
	Hint string `json:"hint,omitempty"`
	// Rule is short and stable, such as "unknown-template".
	Rule string `json:"rule"`
}

// String is the diagnostic in one line: file:line:column: severity: field: message (hint).
func (d Diagnostic) String() string {
	var b strings.Builder
	switch {
	case d.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", d.File, d.Line, d.Column)
	case d.File != "":
		b.WriteString(d.File + ": ")
	}
	b.WriteString(string(d.Severity) + ": ")
	if d.Field != "" {
		b.WriteString(d.Field + ": ")
	}
	b.WriteString(d.Message)
	if d.Hint != "" {
		b.WriteString(" (" + d.Hint + ")")
	}
	return b.String()
}

// Diagnostics is everything that is to be said of a plan, in the order of the file.
type Diagnostics []Diagnostic

// HasErrors reports whether the plan is refused.
func (ds Diagnostics) HasErrors() bool {
	for _, d := range ds {
		if d.Severity == SeverityError {
			return true
		}
	}
	return false
}

// Err is nil, or an *InvalidError where there are errors.
func (ds Diagnostics) Err() error {
	if !ds.HasErrors() {
		return nil
	}
	return &InvalidError{Diagnostics: ds}
}

// InvalidError is a refused plan.
type InvalidError struct{ Diagnostics Diagnostics }

// Error lists every error, one a line.
func (e *InvalidError) Error() string {
	var lines []string
	for _, d := range e.Diagnostics {
		if d.Severity == SeverityError {
			lines = append(lines, d.String())
		}
	}
	return "the plan is not valid:\n" + strings.Join(lines, "\n")
}

// BuildOptions are what a submission says beside the plan, and what the master's configuration says of its platforms.
// Building the same document with the same options gives the same plan.
type BuildOptions struct {
	// Params are values for the workflow's parameters.
	Params   map[string]string `json:"params,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Priority *int32            `json:"priority,omitempty"`
	// Callbacks says per platform what stages of the CLIC form must report; "" is the default for all others.
	Callbacks map[string]dag.Callbacks `json:"callbacks,omitempty"`
	// Created is the submission's time, for {{workflow.creationTimestamp}}.
	Created dag.Time `json:"created,omitempty"`
	// UID is {{workflow.uid}}.
	UID    string     `json:"uid,omitempty"`
	Limits dag.Limits `json:"limits,omitzero"`
}
