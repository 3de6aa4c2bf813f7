package expr

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// patience is far above what any input may take, so that a busy machine doesn't matter.
const patience = 2 * time.Minute

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"", "x", "{{item}}", "{{ item }} {{=item}}", "{{", "}}{{", "{{=", "{{=1 + 1}}", "{{- x {{item}} -}}", "{{={'a':1} }}",
		"{{=inputs.parameters['x-y']}}", "{{=é}}", "{{=sprig.upper(item)}}", "{{=jsonpath('[1]','$[0]')}}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start := time.Now()
		tmpl, err := ParseTemplate(s)
		if err != nil {
			return
		}
		if tmpl.String() != s {
			t.Errorf("String is %q", tmpl.String())
		}
		for _, r := range tmpl.Refs() {
			if r.Offset < 0 || r.Offset > len(s) {
				t.Errorf("%q is said to be at %d", r.Name, r.Offset)
			}
		}
		strict, err := tmpl.Execute(scope(), Options{MaxSteps: MaxSteps / 10})
		loose, err2 := tmpl.Execute(scope(), Options{MaxSteps: MaxSteps / 10, AllowUnresolved: true})
		if err == nil && err2 == nil && strict != loose && !strings.Contains(s, "=") {
			t.Errorf("%q, but %q where unresolved tags are allowed", strict, loose)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("took %v", took)
		}
	})
}

func FuzzExpr(f *testing.F) {
	for _, s := range attacks() {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	for _, s := range []string{"1 + 1", "item | upper()", "let x = 1; x", "a?.b ?? c", "{'a': 1}.a", "[1][0]", "1..2", "not true", "#", "$env"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start := time.Now()
		first, err := EvalString(s, scope())
		second, err2 := EvalString(s, scope())
		if first != second || (err == nil) != (err2 == nil) {
			t.Errorf("%q, %v, then %q, %v", first, err, second, err2)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("took %v", took)
		}
	})
}

func FuzzWhen(f *testing.F) {
	for _, s := range []string{
		"x == y", "'a' in ('a','b')", "foo bar ==", "!(1 == 2) && true", "x =~ '^a'", "a\\", "[x]", "(((", "1 ? 2 : 3", "'2021-01-01' > 1",
		"a.B(c)", "() + ()", "(1) 2", "1,2,3 == 'a'", "0x", "~-1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start := time.Now()
		got, err := EvalWhen(s)
		again, err2 := EvalWhen(s)
		if got != again || (err == nil) != (err2 == nil) {
			t.Errorf("%v, %v, then %v, %v", got, err, again, err2)
		}
		if checked := CheckWhen(s); checked != nil && err == nil {
			t.Errorf("evaluates, but is said to be wrong: %v", checked)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("took %v", took)
		}
	})
}

func FuzzDepends(f *testing.F) {
	for _, s := range []string{"a", "a && b", "!(a || b.Failed)", "a.Succeedd", "a-b_c.Omitted||d", "((a))", "&&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDepends(s)
		if err != nil {
			return
		}
		text := d.String()
		again, err := ParseDepends(text)
		if err != nil {
			t.Fatalf("%q from %q: %v", text, s, err)
		}
		if again.String() != text {
			t.Errorf("%q became %q", text, again.String())
		}
	})
}

func FuzzItems(f *testing.F) {
	for _, s := range []string{`[]`, `[null,"q\"x",[1],{"z":null}]`, `{"a":1}`, `["\u003c"]`, `[1e400]`, `[[[[`, `["(x)"]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		items, err := ParseItems(s)
		if err != nil {
			return
		}
		for n, i := range items {
			back, err := NewItem(i.JSON())
			if err != nil || back.Name(n) != i.Name(n) || back.Value() != i.Value() {
				t.Errorf("%s came back as %s, %v", i, back, err)
			}
			if utf8.ValidString(s) && !utf8.ValidString(i.Name(n)) {
				t.Errorf("%q is no text", i.Name(n))
			}
		}
	})
}

func FuzzJSONPath(f *testing.F) {
	for _, s := range []string{"$", "$.a[1]", "$..*", "$[?(@.a > 1)]", "$[(@.length-1)]", "$['a','b']", "$[::-1]", "$[?(!(@.a == 'x'))]", "$[?(@..[0])]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		const doc = `{"a":[1,2,{"b":"x","c":[4,5]},null],"b":{"a":{"b":[true]}},"s":"hello"}`
		start := time.Now()
		v, err := jsonPath(doc, path, newMeter(MaxSteps/10))
		if _, again := jsonPath(doc, path, newMeter(MaxSteps/10)); (err == nil) != (again == nil) {
			t.Errorf("%v, %v, then %v", v, err, again)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("took %v", took)
		}
	})
}
