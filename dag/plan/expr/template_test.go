package expr

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scope is what the tables substitute from.
func scope() MapScope {
	return MapScope{
		"workflow.name":                  "wf",
		"workflow.parameters.num":        "10",
		"workflow.parameters.s":          "hello",
		"workflow.parameters":            `[{"name":"num","value":"10"}]`,
		"inputs.parameters.m":            "hello world",
		"inputs.parameters.x-y":          "v\n\"q\" <&>",
		"steps.a.outputs.result":         `{"k":[1,{"z":"<b>"}]}`,
		"steps.a-b.outputs.parameters.p": "ü€",
		"steps.a.status":                 "Skipped",
		"item":                           "3",
		"empty":                          "",
	}
}

func TestSubstitute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"{{item}}", "3"},
		{"a {{ item }} b", "a 3 b"},
		{"{{item}}{{item}}", "33"},
		{"{{empty}}", ""},
		{"{{inputs.parameters.x-y}}", "v\n\"q\" <&>"},
		{"}} {{item}} }}", "}} 3 }}"},
		{`{{- with secret "{{inputs.parameters.m}}" -}} x`, `{{- with secret "hello world" -}} x`},
		// Argo's probes.
		{
			`{{=workflow.parameters.num + '!'}} {{= sprig.upper('abc') }} {{=jsonpath('{"a":[1,2]}', '$.a[1]')}} {{workflow.parameters}}`,
			`10! ABC 2 [{"name":"num","value":"10"}]`,
		},
		{"{{=asInt(workflow.parameters.num) > 5}}", "true"},
		{"{{workflow.parameters.s}} =~ \"^he\"", "hello =~ \"^he\""},
		{"{{steps.a.status}} == Skipped", "Skipped == Skipped"},
		// Strings stay as they are, everything else is JSON.
		{"{{=inputs.parameters['x-y']}}", "v\n\"q\" <&>"},
		{"{{=steps['a-b'].outputs.parameters.p}}", "ü€"},
		{"{{=[1, 2.5, true]}}", "[1,2.5,true]"},
		{"{{={'a': '<b>'} }}", `{"a":"\u003cb\u003e"}`},
		{"{{=1/2}}", "0.5"},
		{"{{=date('2024-01-02')}}", "2024-01-02T00:00:00Z"},
		{"{{=toJson(workflow.parameters)}}", `{"num":"10","s":"hello"}`},
		{"{{=fromJSON(steps.a.outputs.result).k[1].z}}", "<b>"},
		{"{{=jsonpath(steps.a.outputs.result, '$.k[0]') + 1}}", "2"},
		{"{{=sprig.trunc(5, inputs.parameters.m)}}", "hello"},
		{"{{=workflow.missing ?? 'd'}}", "d"},
		{"{{=map(1..3, # * 2)}}", "[2,4,6]"},
		{"{{=let x = asInt(item); x * x}}", "9"},
		{"{{=item matches '^3$' and item in ['3']}}", "true"},
		{"{{=reduce(1..4, #acc + #, 0)}}", "10"},
		// In the order of the keys, always.
		{"{{=keys({'b':1,'c':2,'a':3})}}", `["a","b","c"]`},
		{"{{=values({'b':1,'c':2,'a':3})}}", "[3,1,2]"},
		{"{{=toPairs({'b':1,'a':3})}}", `[["a",3],["b",1]]`},
		{"{{=sprig.keys({'b':1,'c':2,'a':3})}}", `["a","b","c"]`},
		{"{{=sprig.values({'b':1,'c':2,'a':3})}}", "[3,1,2]"},
		{"{{=sprig.date('2006-01-02 15:04 MST', sprig.toDate('2006-01-02', '2020-02-03'))}}", "2020-02-03 00:00 UTC"},
		{"{{=sprig.set({'a':1}, 'b', 2)}}", `{"a":1,"b":2}`},
		{"{{=sprig.merge({'a':1}, {'b':2})}}", `{"a":1,"b":2}`},
		{"{{=sprig.regexReplaceAll('l+', 'hello', 'L')}}", "heLo"},
		{"{{=sprig.seq(1, 2, 7)}}", "1 3 5 7"},
	} {
		got, err := Substitute(c.in, scope(), Options{})
		if err != nil || got != c.want {
			t.Errorf("Substitute(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestSubstituteUnresolved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, name string
		offset   int
		nearest  string
		text     string
	}{
		{"{{steps.zz.outputs.result}}", "steps.zz.outputs.result", 0, "steps.a.outputs.result", "failed to resolve {{steps.zz.outputs.result}}"},
		{"x {{ itme }}", "itme", 2, "item", "failed to resolve {{itme}}"},
		{"{{=foo}}", "foo", 3, "", "failed to evaluate expression: unknown name foo (1:1)\n | foo\n | ^"},
		{
			"ä {{=1 + asInt(inputs.parameters.n)}}", "inputs.parameters.n", 16, "inputs.parameters.m",
			"failed to evaluate expression: reflect: call of reflect.Value.Type on zero Value (1:5)\n | 1 + asInt(inputs.parameters.n)\n | ....^",
		},
		{"{{=steps.b.outputs.result}}", "steps.b.outputs.result", 3, "steps.a.outputs.result", ""},
	} {
		_, err := Substitute(c.in, scope(), Options{})
		var unresolved *UnresolvedError
		if !errors.As(err, &unresolved) {
			t.Errorf("Substitute(%q): %v", c.in, err)
			continue
		}
		if c.text == "" {
			c.text = err.Error()
		}
		got := []any{unresolved.Name, unresolved.Offset, unresolved.Nearest, err.Error()}
		if diff := cmp.Diff([]any{c.name, c.offset, c.nearest, c.text}, got); diff != "" {
			t.Errorf("Substitute(%q): -want +got\n%s", c.in, diff)
		}
		// Allowed, everything stays literal.
		if got, err := Substitute(c.in, scope(), Options{AllowUnresolved: true}); err != nil || got != c.in {
			t.Errorf("Substitute(%q) allowed = %q, %v", c.in, got, err)
		}
	}
}

func TestSubstituteAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"<{{steps.b.outputs.result}}>", "<{{steps.b.outputs.result}}>"},
		{"{{steps.b.outputs.result}}x{{item}}", "{{steps.b.outputs.result}}x3"},
		{"{{=nil}}", "{{=nil}}"},
		{"{{=asInt('x')}} {{=1 + 1}}", "{{=asInt('x')}} 2"},
		// These would evaluate to something, with nil in the variable's place.
		{"{{=sprig.int(retries)}}", "{{=sprig.int(retries)}}"},
		{"{{=workflow.status == 'Succeeded' ? 'y' : 'n'}}", "{{=workflow.status == 'Succeeded' ? 'y' : 'n'}}"},
		{"{{=asInt(lastRetry.exitCode ?? '1')}}", "{{=asInt(lastRetry.exitCode ?? '1')}}"},
	} {
		got, err := Substitute(c.in, scope(), Options{AllowUnresolved: true})
		if err != nil || got != c.want {
			t.Errorf("Substitute(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestParseTemplateErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in     string
		offset int
		text   string
	}{
		{"a {{b", 2, `Cannot find end tag="}}" starting from "{{b"`},
		{"{{a}} {{", 6, `Cannot find end tag="}}" starting from "{{"`},
		{"x {{=1 + }}", 8, "unexpected token EOF (1:4)\n | 1 + \n | ...^"},
		{"{{=!}}", 3, "unexpected token EOF (1:1)\n | !\n | ^"},
		{"é{{=item )}}", 10, "unexpected token Bracket(\")\") (1:6)\n | item )\n | .....^"},
	} {
		_, err := ParseTemplate(c.in)
		var failed *Error
		if !errors.As(err, &failed) {
			t.Errorf("ParseTemplate(%q): %v", c.in, err)
			continue
		}
		if diff := cmp.Diff([]any{c.offset, c.text}, []any{failed.Offset, failed.Msg}); diff != "" {
			t.Errorf("ParseTemplate(%q): -want +got\n%s", c.in, diff)
		}
	}
}

func TestTemplateRefs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want []Ref
	}{
		{"plain", nil},
		{"{{a.b}} {{ c }}", []Ref{{Name: "a.b"}, {Name: "c", Offset: 8}}},
		{`{{- with "{{inputs.parameters.x}}"`, []Ref{{Name: "inputs.parameters.x", Offset: 10}}},
		{
			"é {{=steps.a.outputs.result + inputs.parameters['x-y']}}",
			[]Ref{{Name: "steps.a.outputs.result", Offset: 6, Expr: true}, {Name: "inputs.parameters.x-y", Offset: 31, Expr: true}},
		},
		{"{{=asInt(retries) > 1 ? sprig.upper('x') : toJson([])}}", []Ref{{Name: "retries", Offset: 9, Expr: true}}},
		{"{{=inputs.parameters[item]}}", []Ref{{Name: "item", Offset: 21, Expr: true}, {Name: "inputs.parameters", Offset: 3, Expr: true}}},
		{"{{=map(fromJSON(a.b), {#.x + c.d})}}", []Ref{{Name: "a.b", Offset: 16, Expr: true}, {Name: "c.d", Offset: 29, Expr: true}}},
		{"{{=let v = a.b; v + c}}", []Ref{{Name: "a.b", Offset: 11, Expr: true}, {Name: "c", Offset: 20, Expr: true}}},
		{"{{=a?.b.c ?? d}}", []Ref{{Name: "a.b.c", Offset: 3, Expr: true}, {Name: "d", Offset: 13, Expr: true}}},
		{"{{=date(a.b).Format('2006')}}", []Ref{{Name: "a.b", Offset: 8, Expr: true}}},
		{"{{=a.b.Foo()}}", []Ref{{Name: "a.b", Offset: 3, Expr: true}}},
	} {
		tmpl, err := ParseTemplate(c.in)
		if err != nil {
			tmpl, err = ParseTemplate(c.in + "}}")
		}
		if err != nil {
			t.Errorf("ParseTemplate(%q): %v", c.in, err)
			continue
		}
		if diff := cmp.Diff(c.want, tmpl.Refs()); diff != "" {
			t.Errorf("Refs(%q): -want +got\n%s", c.in, diff)
		}
		if got := tmpl.Literal(); got != (len(c.want) == 0) {
			t.Errorf("Literal(%q) = %v", c.in, got)
		}
	}
}

// An expression sees groups only through Names; a scope without names still resolves what is named in full.
func TestScopeWithoutNames(t *testing.T) {
	t.Parallel()
	sc := nameless{MapScope: scope()}
	got, err := Substitute("{{=steps.a.outputs.result}} {{=inputs.parameters.m}} {{=workflow.parameters}}", sc, Options{})
	want := `{"k":[1,{"z":"<b>"}]} hello world [{"name":"num","value":"10"}]`
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

type nameless struct{ MapScope }

func (nameless) Names() []string { return nil }

// One template is executed in scopes in which a root has different kinds.
func TestTemplateReuse(t *testing.T) {
	t.Parallel()
	tmpl, err := ParseTemplate("{{=toJson(item)}}")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for want, sc := range map[string]MapScope{
			`"x"`:       {"item": "x"},
			`{"k":"v"}`: {"item": `{"k": "v"}`, "item.k": "v"},
		} {
			if got, err := tmpl.Execute(sc, Options{}); err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
	}
	if _, err := tmpl.Execute(nil, Options{}); err == nil {
		t.Error("a nil scope resolves item")
	}
}

func TestSubstituteJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`{"a":1}`, `{"a":1}`},
		{`{"a": "{{item}}", "{{item}}": ["x\"{{item}}"]}`, `{"a": "3", "3": ["x\"3"]}`},
		{`"{{inputs.parameters.x-y}}"`, `"v\n\"q\" <&>"`},
		{`["{{=\"a\\n\" + item}}", "\\{{", "}}"]`, ""},
		{`["{{=\"a\\n\" + item}}"]`, `["a\n3"]`},
		{`"{{zz}}"`, ""},
		{`{"a":"{{item}}"`, ""},
	} {
		got, err := SubstituteJSON([]byte(c.in), scope(), Options{})
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("SubstituteJSON(%s) = %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func TestTemplateBounds(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", MaxResult)
	sc := MapScope{"big": big, "v": "1"}
	for name, in := range map[string]string{
		"template":   strings.Repeat("x", MaxTemplate+1),
		"tags":       strings.Repeat("{{v}}", MaxTags+1) + strings.Repeat("{{v}} ", MaxTags),
		"expression": "{{=" + strings.Repeat(" ", MaxExpression) + "1}}",
		"nesting":    "{{=" + strings.Repeat("(", MaxNesting+1) + "1" + strings.Repeat(")", MaxNesting+1) + "}}",
		"prefixes":   "{{=" + strings.Repeat("!", MaxNesting+1) + "true}}",
		"result":     "{{big}}{{big}}",
	} {
		_, err := ParseTemplate(in)
		if err == nil {
			_, err = Substitute(in, sc, Options{})
		}
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Substitute("{{v}}{{v}}{{v}}{{v}}{{v}}{{v}}", MapScope{"v": "123456789"}, Options{MaxResult: 40}); !errors.Is(err, ErrLimit) {
		t.Errorf("MaxResult: %v", err)
	}
}
