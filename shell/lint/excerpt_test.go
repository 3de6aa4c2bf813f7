package lint

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

func TestShow(t *testing.T) {
	d := plan.Diagnostic{
		Severity: plan.SeverityError, File: "p.yaml", Line: 2, Column: 4, Field: "spec.a", Message: "bad\x1b[31m", Hint: "do this", Rule: "r",
	}
	nowhere := d
	nowhere.Line, nowhere.Column, nowhere.Hint = 0, 0, ""
	tests := []struct {
		name   string
		d      plan.Diagnostic
		source []string
		want   string
	}{
		{"without the source", d, nil, "p.yaml:2:4: error: spec.a: bad (do this)\n"},
		{"with wide characters in front", d, []string{"x", "a合\tb: c", "y"}, `p.yaml:2:4: error: spec.a: bad
    2 | a合 b: c
      |     ^
    hint: do this
`},
		{"past the end of the line", d, []string{"x", "a"}, `p.yaml:2:4: error: spec.a: bad
    2 | a
      |  ^
    hint: do this
`},
		{"past the end of the file", d, []string{"x"}, "p.yaml:2:4: error: spec.a: bad\n    hint: do this\n"},
		{"without a place", nowhere, []string{"x"}, "p.yaml: error: spec.a: bad\n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Show(tc.d, tc.source, iostreams.Style{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
