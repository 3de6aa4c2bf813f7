package expr

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// instance is what an item gives: the end of a name, and variables.
type instance struct {
	Name  string
	Scope map[string]string
}

func instances(items []Item) []instance {
	var all []instance
	for n, i := range items {
		all = append(all, instance{i.Name(n), i.Scope()})
	}
	return all
}

func item(value string, more ...string) map[string]string {
	scope := map[string]string{"item": value}
	for i := 0; i < len(more); i += 2 {
		scope["item."+more[i]] = more[i+1]
	}
	return scope
}

// Names and values are those of the probes loop-names, withparam-null-elements and loop-result-aggregate.
func TestParseItems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want []instance
	}{
		{`["x", 1, true, 1.5, {"k":"v","k2":2}, ["p","q"]]`, []instance{
			{"(0:x)", item("x")},
			{"(1:1)", item("1")},
			{"(2:true)", item("true")},
			{"(3:1.5)", item("1.5")},
			{"(4:k2:2,k:v)", item(`{"k":"v","k2":2}`, "k", "v", "k2", "2")},
			{"(5:[p q])", item(`["p","q"]`)},
		}},
		{`[null, "q\"x", [1], {"z":null}]`, []instance{
			{"(0:[])", item("null")},
			{`(1:q\"x)`, item(`q\"x`)},
			{"(2:[1])", item("[1]")},
			{"(3:z:null)", item(`{"z":null}`, "z", "null")},
		}},
		{`["x","1","{\"j\":1}"]`, []instance{
			{"(0:x)", item("x")},
			{"(1:1)", item("1")},
			{`(2:{\"j\":1})`, item(`{\"j\":1}`)},
		}},
		{` [ "f(x)" , "<&>", "é\n", "", { } , [ ] , [ [1, 2], {"a" : "b"} ] ] `, []instance{
			{"(0:fx)", item("f(x)")},
			{"(1:<&>)", item("<&>")},
			{`(2:é\n)`, item(`é\n`)},
			{"(3:)", item("")},
			{"(4:)", item("{}")},
			{"(5:[])", item("[]")},
			{`(6:[[1,2] {"a":"b"}])`, item(`[[1,2],{"a":"b"}]`)},
		}},
		{`[{"b":"<","a":{"y":1,"x":[2]}}]`, []instance{
			{`(0:a:{"y":1,"x":[2]},b:<)`, item(`{"a":{"y":1,"x":[2]},"b":"\u003c"}`, "a", `{"y":1,"x":[2]}`, "b", "<")},
		}},
		{"[]", nil},
		{"null", nil},
	} {
		items, err := ParseItems(c.in)
		if err != nil {
			t.Errorf("ParseItems(%s): %v", c.in, err)
		}
		if diff := cmp.Diff(c.want, instances(items)); diff != "" {
			t.Errorf("ParseItems(%s): -want +got\n%s", c.in, diff)
		}
	}
}

func TestParseItemsErrors(t *testing.T) {
	t.Parallel()
	const before = "withParam value could not be parsed as a JSON list: "
	for in, want := range map[string]string{
		// The probes withparam-invalid-json and withparam-not-list.
		"hello":   before + "hello: invalid character 'h' looking for beginning of value",
		`{"a":1}`: before + `{"a":1}: json: cannot unmarshal object into Go value of type []v1alpha1.Item`,
		"":        before + ": unexpected end of JSON input",
		"1\n":     before + "1: json: cannot unmarshal number into Go value of type []v1alpha1.Item",
		"[1,]":    before + "[1,]: invalid character ']' looking for beginning of value",
	} {
		if _, err := ParseItems(in); errText(err) != want {
			t.Errorf("ParseItems(%q): %v, want %s", in, err, want)
		}
	}
	for name, in := range map[string]string{
		"items":   "[" + strings.Repeat("1,", MaxItems) + "1]",
		"nesting": strings.Repeat("[", MaxNesting+1) + strings.Repeat("]", MaxNesting+1),
		"length":  "[\"" + strings.Repeat("x", MaxDocument) + "\"]",
	} {
		if _, err := ParseItems(in); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestItem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		kind        Kind
		value, text string
	}{
		`"a\"b\u003c"`:  {KindString, `a\"b<`, `a"b<`},
		`-1.50`:         {KindNumber, "-1.50", "-1.50"},
		`false`:         {KindBool, "false", "false"},
		`[1, 2]`:        {KindList, "[1,2]", "[1,2]"},
		`{"b":1,"a":2}`: {KindMap, `{"a":2,"b":1}`, `{"a":2,"b":1}`},
		`null`:          {KindList, "null", "null"},
	} {
		i, err := NewItem([]byte(in))
		if err != nil {
			t.Errorf("NewItem(%s): %v", in, err)
			continue
		}
		if i.Kind() != want.kind || i.Value() != want.value || i.Text() != want.text || ItemString(i) != want.value {
			t.Errorf("NewItem(%s): %v %s %s", in, i.Kind(), i.Value(), i.Text())
		}
		data, err := json.Marshal(i)
		if err != nil {
			t.Errorf("Marshal(%s): %v", in, err)
		}
		var back Item
		if err := json.Unmarshal(data, &back); err != nil || back.Name(3) != i.Name(3) || back.Value() != i.Value() {
			t.Errorf("%s came back as %s, %v", in, back, err)
		}
	}
	var zero Item
	if zero.Value() != "null" || zero.Name(0) != "(0:[])" || zero.Text() != "null" {
		t.Errorf("the zero Item is %s %s", zero, zero.Name(0))
	}
	if _, err := NewItem([]byte("x")); err == nil {
		t.Error("x is an item")
	}
}

func TestSequence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		start, end, count, format string
		limit                     int
		want                      string
		err                       string
	}{
		{start: "3", end: "1", format: "n%02d", want: "n03 n02 n01"}, // the probe loop-names
		{count: "3", want: "0 1 2"},
		{count: "0", want: ""}, // the probe loops-empty
		{start: "5", count: "2", want: "5 6"},
		{end: "2", want: "0 1 2"},
		{start: "-1", end: "1", want: "-1 0 1"},
		{start: "1", end: "1", format: "x", want: "x%!(EXTRA int=1)"},
		{end: "1", format: "%x\\t", want: `0\t 1\t`},
		{start: "a", end: "1", err: `cannot read withSequence start: strconv.Atoi: parsing "a": invalid syntax`},
		{end: "b", err: `cannot read withSequence end: strconv.Atoi: parsing "b": invalid syntax`},
		{count: "c", err: `cannot read withSequence count: strconv.Atoi: parsing "c": invalid syntax`},
		{start: "1", err: "neither end nor count was specified in withSequence"},
		{count: "-1", err: "withSequence count -1 is negative"},
		{end: "1", format: `"`, err: `cannot use withSequence format "\"": invalid character '%' after top-level value`},
		{end: "9", limit: 9, err: "withSequence from 0 to 9 has more than 9 items"},
		{start: "-9223372036854775808", end: "9223372036854775807", err: "withSequence from -9223372036854775808 to 9223372036854775807 has more than 100000 items"},
		{end: "1", format: "%1000000d", err: `withSequence format "%1000000d" makes too much text`},
	} {
		items, err := Sequence(c.start, c.end, c.count, c.format, c.limit)
		var values []string
		for _, i := range items {
			values = append(values, i.Value())
		}
		if got := strings.Join(values, " "); got != c.want || errText(err) != c.err {
			t.Errorf("Sequence(%q, %q, %q, %q): %q, %q", c.start, c.end, c.count, c.format, got, errText(err))
		}
	}
	if _, err := Sequence("", strings.Repeat("9", 7), "", "", 0); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"  l1\nl2 \n\n\n": "  l1\nl2 \n\n", // the probe result-format
		"x":               "x",
		"x\n":             "x",
		"x\r\n":           "x\r",
		"":                "",
	} {
		if got := Result([]byte(in)); got != want {
			t.Errorf("Result(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAggregate(t *testing.T) {
	t.Parallel()
	results := func(in ...string) (string, error) { return AggregateResults(in) }
	values := func(in ...string) (string, error) { return AggregateValues(in) }
	for _, c := range []struct {
		f         func(...string) (string, error)
		in        []string
		want, err string
	}{
		// The probe loop-result-aggregate.
		{results, []string{"x", "1", `{"j":1}`}, "", "invalid character 'x' looking for beginning of value"},
		{results, []string{"1", `{"j": 1}`, `"x"`, "null"}, `[1,{"j":1},"x",null]`, ""},
		{results, nil, "[]", ""},
		{results, []string{""}, "", "unexpected end of JSON input"},
		{values, []string{"x", "1"}, `["x","1"]`, ""},
		{values, []string{"1", "2"}, `["1","2"]`, ""},
		{values, []string{`{"a": 1}`, "[2]"}, `[{"a":1},[2]]`, ""},
		{values, []string{`{"a": 1}`, "x"}, `["{\"a\": 1}","x"]`, ""},
		{values, nil, "[]", ""},
	} {
		got, err := c.f(c.in...)
		if got != c.want || errText(err) != c.err {
			t.Errorf("%q: %s, %v; want %s, %s", c.in, got, err, c.want, c.err)
		}
	}
	got, err := AggregateParameters([]map[string]string{{"b": "1", "a": "x"}, {"a": "y"}})
	if want := `[{"a":"x","b":"1"},{"a":"y"}]`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	candidates := []string{"Succeeded", "Failed", "Errored", "Skipped", "steps.a.outputs.result", "x"}
	for in, want := range map[string]string{
		"Succeedd":               "Succeeded",
		"succeeded":              "Succeeded",
		"Fialed":                 "Failed",
		"Skippped":               "Skipped",
		"steps.b.outputs.result": "steps.a.outputs.result",
		"Completed":              "",
		"":                       "",
		"y":                      "x",
		strings.Repeat("z", 300): "",
	} {
		if got := Nearest(in, candidates); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
