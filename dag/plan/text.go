package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// text is a string of the plan that may hold {{tags}}.
type text struct {
	raw  string
	tmpl *expr.Template // nil where there is nothing to substitute
	refs []expr.Ref
}

// newText parses a string. What cannot be parsed is reported once, and stays as it is.
func newText(s string, at *where, ds *collector) text {
	if !strings.Contains(s, "{{") {
		return text{raw: s}
	}
	t, err := expr.ParseTemplate(s)
	if err != nil {
		ds.expression(at, "template", s, err)
		return text{raw: s}
	}
	return text{raw: s, tmpl: t, refs: t.Refs()}
}

// fill substitutes.
func (t *text) fill(sc expr.Scope, strict bool) (string, error) {
	if t.tmpl == nil {
		return t.raw, nil
	}
	return t.tmpl.Execute(sc, expr.Options{AllowUnresolved: !strict})
}

// empty reports whether there is no text.
func (t *text) empty() bool { return t.raw == "" }

// expression reports text that cannot be parsed.
func (ds *collector) expression(at *where, rule, source string, err error) {
	message := err.Error()
	var place *expr.Error
	if errors.As(err, &place) && place.Offset > 0 && !strings.Contains(message, "\n") {
		message += fmt.Sprintf(" (character %d)", place.Offset+1)
	}
	message, _, _ = strings.Cut(message, "\n")
	ds.errorf(rule, at, "", "%s", message)
}

// duration reads a duration as Argo does: seconds, or Go's form. Negative ones are errors.
func duration(s string) (dag.Duration, error) {
	if s == "" {
		return 0, nil
	}
	seconds := true
	for _, c := range s {
		seconds = seconds && c >= '0' && c <= '9'
	}
	if seconds {
		s += "s"
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no duration such as 30, 30s or 1h30m", strings.TrimSuffix(s, "s"))
	case d < 0:
		return 0, fmt.Errorf("the duration %q is negative", s)
	}
	return dag.Duration(d.Milliseconds()), nil
}

// sortedKeys are the keys of a map in order.
func sortedKeys[K ~string, V any](m map[K]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, string(k))
	}
	slices.Sort(keys)
	return keys
}
