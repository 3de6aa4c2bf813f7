package expr

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDepends(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		text  string
		tasks []string
	}{
		// The probes.
		"a":                            {"a", []string{"a"}},
		"a.Failed":                     {"a.Failed", []string{"a"}},
		"b || c":                       {"b || c", []string{"b", "c"}},
		"b && !c":                      {"b && !c", []string{"b", "c"}},
		"d.Omitted":                    {"d.Omitted", []string{"d"}},
		"b.Skipped":                    {"b.Skipped", []string{"b"}},
		"a.AnySucceeded":               {"a.AnySucceeded", []string{"a"}},
		"a.AllFailed":                  {"a.AllFailed", []string{"a"}},
		"a||b&&c":                      {"a || b && c", []string{"a", "b", "c"}},
		"(a||b)&&c":                    {"(a || b) && c", []string{"a", "b", "c"}},
		"!(a && b) || a.Daemoned":      {"!(a && b) || a.Daemoned", []string{"a", "b"}},
		"!!a":                          {"!!a", []string{"a"}},
		" ( ( task-1_x.Succeeded ) ) ": {"task-1_x.Succeeded", []string{"task-1_x"}},
		"a && b && c":                  {"a && b && c", []string{"a", "b", "c"}},
		"(a && b) && c":                {"(a && b) && c", []string{"a", "b", "c"}},
		"1a.Errored && and":            {"1a.Errored && and", []string{"1a", "and"}},
	} {
		d, err := ParseDepends(in)
		if err != nil {
			t.Errorf("ParseDepends(%q): %v", in, err)
			continue
		}
		if diff := cmp.Diff([]any{want.text, want.tasks}, []any{d.String(), d.Tasks()}); diff != "" {
			t.Errorf("ParseDepends(%q): -want +got\n%s", in, diff)
		}
	}
}

func TestParseDependsErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		offset int
		text   string
	}{
		"":              {0, "unexpected end of depends: expected a task"},
		"a &&":          {4, "unexpected end of depends: expected a task"},
		"a & b":         {2, `unexpected "&" in depends: expected &&, || or the end`},
		"a b":           {2, `unexpected "b" in depends: expected &&, || or the end`},
		"(a || b":       {7, "unexpected end of depends: expected &&, || or )"},
		"a)":            {1, `unexpected ")" in depends: expected &&, || or the end`},
		"a && -b":       {5, `unexpected "-" in depends: expected a task`},
		"é":             {0, `unexpected "é" in depends: expected a task`},
		"a.Succeedd":    {2, "task result 'Succeedd' for task 'a' is invalid; did you mean Succeeded?"},
		"b && a.failed": {7, "task result 'failed' for task 'a' is invalid; did you mean Failed?"},
		"a.Done": {
			2, "task result 'Done' for task 'a' is invalid; it can be Succeeded, Failed, Errored, Skipped, Omitted, Daemoned, AnySucceeded, AllFailed",
		},
		"a.":    {2, "task result '' for task 'a' is invalid; it can be Succeeded, Failed, Errored, Skipped, Omitted, Daemoned, AnySucceeded, AllFailed"},
		"a.b.c": {2, "task result 'b' for task 'a' is invalid; it can be Succeeded, Failed, Errored, Skipped, Omitted, Daemoned, AnySucceeded, AllFailed"},
	} {
		_, err := ParseDepends(in)
		var failed *Error
		if !errors.As(err, &failed) {
			t.Errorf("ParseDepends(%q): %v", in, err)
			continue
		}
		if diff := cmp.Diff([]any{want.offset, want.text}, []any{failed.Offset, failed.Msg}); diff != "" {
			t.Errorf("ParseDepends(%q): -want +got\n%s", in, diff)
		}
	}
	for _, in := range []string{
		strings.Repeat("a", MaxExpression+1), strings.Repeat("(", 10000) + "a", strings.Repeat("!", 10000) + "a",
	} {
		if _, err := ParseDepends(in); !errors.Is(err, ErrLimit) {
			t.Errorf("ParseDepends(%q): %v", shorten(in), err)
		}
	}
}

func TestDependsEval(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"a": true, "b": false, "!b": true, "a && b": false, "a || b": true, "a && !b": true, "!(a || b)": false,
		"b || a.Failed": false, "b.Failed && a": true,
	} {
		d, err := ParseDepends(in)
		if err != nil {
			t.Fatal(err)
		}
		got := d.Eval(func(task, result string) bool {
			return task == "a" && result == "" || task == "b" && result == "Failed"
		})
		if got != want {
			t.Errorf("%s is %v", in, got)
		}
	}
}
