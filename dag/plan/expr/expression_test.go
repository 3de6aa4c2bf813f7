package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestEvalBool(t *testing.T) {
	t.Parallel()
	retry := func(code string) MapScope {
		return MapScope{"retries": "0", "lastRetry.exitCode": code, "lastRetry.status": "Failed", "lastRetry.message": "m", "lastRetry.duration": "1"}
	}
	for _, c := range []struct {
		in   string
		sc   Scope
		want bool
		err  string
	}{
		// The probe retry-expression-lastretry: exit codes 10, 11 go on, 12 stops.
		{in: "asInt(lastRetry.exitCode) < 12", sc: retry("10"), want: true},
		{in: "asInt(lastRetry.exitCode) < 12", sc: retry("11"), want: true},
		{in: "asInt(lastRetry.exitCode) < 12", sc: retry("12")},
		{in: `lastRetry.status == "Error" || asInt(lastRetry.exitCode) in [1, 2]`, sc: retry("2"), want: true},
		{in: `tasks.a.status == "Succeeded"`, sc: MapScope{"tasks.a.status": "Succeeded"}, want: true},
		{in: `tasks['a-b'].status == "Failed"`, sc: MapScope{"tasks.a-b.status": "Succeeded"}},
		{in: "lastRetry.exitCode", sc: retry("1"), err: "unable to cast expression result '1' to bool"},
		{in: "asInt('x') > 1", err: "unable to evaluate expression 'asInt('x') > 1': invalid operation: int(x) (1:1)\n | asInt('x') > 1\n | ^"},
		{in: "foo", err: "unknown name foo (1:1)\n | foo\n | ^"},
		{in: "retries == 1", sc: retry("1"), err: "invalid operation: == (mismatched types string and int) (1:9)\n | retries == 1\n | ........^"},
		{in: "true &&", err: "unexpected token EOF (1:7)\n | true &&\n | ......^"},
	} {
		got, err := EvalBool(c.in, c.sc)
		if got != c.want || errText(err) != c.err {
			t.Errorf("EvalBool(%q) = %v, %q; want %v, %q", c.in, got, errText(err), c.want, c.err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestEvalString(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"steps.a.outputs.result":                `{"k":[1,{"z":"<b>"}]}`,
		"item == '3' ? 'yes' : 'no'":            "yes",
		"asInt(item) + 1":                       "4",
		"[1, 'a']":                              "[1 a]",
		"{'b': 1, 'a': [2]}":                    "map[a:[2] b:1]",
		"nil":                                   "<nil>",
		"true":                                  "true",
		"1e21":                                  "1e+21",
		"toJson([1,'<'])":                       `[1,"\u003c"]`,
		"asFloat('1.5') * 2":                    "3",
		"filter(['a','b'], {# != 'a'})[0]":      "b",
		"string(len(workflow.parameters))":      "2",
		"sprig.dig('a','b','d', {'a':{'b':1}})": "1",
	} {
		if got, err := EvalString(in, scope()); err != nil || got != want {
			t.Errorf("EvalString(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// What would not give the same result every time is refused, by name and with a reason.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"now()", "map([1], now())", "sprig.now()", "sprig.env('HOME')", "sprig.expandenv('$HOME')", "sprig.getHostByName('localhost')",
		"sprig.randAlpha(3)", "sprig.randInt(1, 9)", "sprig.shuffle('abc')", "sprig.uuidv4()", "sprig.genPrivateKey('rsa')",
		"sprig.genCA('x', 1)", "sprig.bcrypt('x')", "sprig.htpasswd('a','b')", "sprig.encryptAES('k', 'x')", "sprig.ago(1)",
		"sprig.date('2006', 'x')", "sprig.htmlDate(nil)", "sprig.dateInZone('2006', 1, 'Local')", "timezone('Local')",
		"date('2024-01-01', '2006-01-02', 'Local')", "date('2024-01-01').Local()", "sprig.durationRound(date('2024-01-01'))",
	} {
		_, err := EvalString(in, nil)
		if err == nil || !strings.Contains(err.Error(), "is refused because") {
			t.Errorf("%s: %v", in, err)
		}
	}
	for in, want := range map[string]string{
		"sprig.uper('x')":         "did you mean upper?",
		"sprig.completelyWrong()": "sprig has no function completelyWrong",
		"sprig['up' + 'per']":     "it can only be called",
		"map([1], asInt)":         "it can only be called",
		"$env":                    "not supported",
	} {
		if _, err := ParseExpression(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// Every function of sprig is either refused or callable without a panic.
func TestSprigTable(t *testing.T) {
	t.Parallel()
	for name := range sprigTable() {
		for _, args := range []string{"", "'a'", "1", "'a', 'b'", "1, 'a'", "['b','a']", "{'a': 1}", "{'a': 1}, 'a', 2", "'a', 'b', 'c'", "nil"} {
			in := fmt.Sprintf("sprig.%s(%s)", name, args)
			first, err := EvalString(in, nil)
			if err != nil {
				continue
			}
			if second, err := EvalString(in, nil); err != nil || first != second {
				t.Errorf("%s: %q, then %q, %v", in, first, second, err)
			}
		}
	}
}

// attacks are expressions that would take very long, or all memory, without meters.
func attacks() []string {
	nested := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	return []string{
		"all(1..1000, all(1..1000, all(1..1000, # > 0)))",
		"let c = 1..1000; all(c, all(c, all(c, # > 0)))",
		"reduce(1..60, #acc + #acc, 'x')",
		"string(reduce(1..100, [#acc, #acc], 1))",
		"toJson(reduce(1..100, ({'a': #acc, 'b': #acc}), 1))",
		"reduce(1..100, [#acc, #acc], 1) == reduce(1..100, [#acc, #acc], 1)",
		"reduce(1..100, [#acc, #acc], 1)",
		"{'a': 1}[reduce(1..100, [#acc, #acc], 1)]",
		"reduce(1..100, ({'a': #acc, 'b': #acc}), 1)[1:2]",
		"reduce(1..1000, [#acc], 1) == 1",
		"flatten(reduce(1..100, [#acc, #acc], 1))",
		"repeat('xxxx', 999999)",
		"map(1..1000, repeat('x', 900000))",
		"replace(repeat('a', 100000), 'a', repeat('b', 100000))",
		"join(map(1..100000, 'a'), repeat('b', 100000))",
		"uniq(map(1..20000, string(#)))",
		"[1..999999, 1..999999, 1..999999]",
		"count(1..900000) + count(1..900000)",
		"let a = repeat('a', 900000); map(1..100000, a == a + 'b')",
		"let a = repeat('a', 900000); map(1..100000, {'x': 1}[a])",
		"let a = repeat('a', 900000); map(1..100000, upper(a))",
		"'a' matches '(abcdefghijklmno){900}'",
		"repeat('a', 900000) matches '(a?){400}b'",
		"sprig.regexMatch('(a?){400}b', repeat('a', 900000))",
		"sprig.regexReplaceAll('a', repeat('a', 100000), repeat('$0', 100000))",
		"sprig.repeat(100000000000, 'x')",
		"sprig.repeat(1000000, repeat('x', 10000))",
		"sprig.indent(1000000, repeat('\\n', 10000))",
		"sprig.replace('a', repeat('b', 100000), repeat('a', 100000))",
		"sprig.join(repeat('b', 100000), map(1..100000, 'a'))",
		"sprig.wrapWith(1, repeat('b', 100000), repeat('a', 100000))",
		"sprig.untilStep(0, 100000000000, 1)",
		"sprig.untilStep(0, -100000000000, -1)",
		"sprig.until(9223372036854775807)",
		"sprig.seq(0, 1, 100000000000)",
		"sprig.uniq(map(1..20000, string(#)))",
		"map(1..1000, sprig.derivePassword(1, 'long', 'p', 'u', 's'))",
		"let d = {'a': 1}; string(sprig.merge(d, {'x': reduce(1..100, [#acc, #acc], 1)}))",
		"jsonpath('" + nested("[", "1", "]", 99) + "', '$" + strings.Repeat("..*", 20) + "')",
		"fromJSON('" + nested("[", "1", "]", 5000) + "') == 1",
		nested("trim(", "'a'", ", 'b')", 90),
		nested("replace(", "'a'", ", 'b', 'c')", 90),
		nested("join(", "['a']", ")", 90),
		nested("toJSON(", "'\"'", ")", 90),
		strings.Repeat("1 + ", 16000) + "1",
		strings.Repeat("1 ?? ", 10000) + "1",
		strings.Repeat("2 ** ", 10000) + "1",
		strings.Repeat("true ? 1 : ", 5000) + "1",
		strings.Repeat("let a = 1; ", 5000) + "1",
		strings.Repeat("not ", 15000) + "true",
		"a" + strings.Repeat(".a", 30000),
	}
}

// No expression takes more than a moment; most attacks end at a bound, some have a result.
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, in := range attacks() {
		start := time.Now()
		_, err := EvalString(in, MapScope{"a": "1"})
		if took := time.Since(start); took > patience {
			t.Errorf("%s took %v: %v", shorten(in), took, err)
		}
	}
	for _, in := range attacks()[:6] {
		if _, err := EvalString(in, nil); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", shorten(in), err)
		}
	}
}

// A map that a function changed must not come to contain itself.
func TestNoCycles(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"let d = {'a': 1}; let e = sprig.set(d, 'd', d); toJson(e)",
		"let d = {'a': 1}; let e = sprig.merge(d, {'d': d}); toJson(e)",
		"let d = {'a': 1}; let e = sprig.mergeOverwrite(d, {'d': d}); string(e)",
	} {
		if got, err := EvalString(in, nil); err != nil || !strings.Contains(got, "a") {
			t.Errorf("%s = %q, %v", in, got, err)
		}
	}
}

func TestMaxSteps(t *testing.T) {
	t.Parallel()
	e, err := ParseExpression("all(1..100, # > 0)")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := e.Bool(nil, Options{}); err != nil || !ok {
		t.Errorf("got %v, %v", ok, err)
	}
	if _, err := e.Bool(nil, Options{MaxSteps: 50}); !errors.Is(err, ErrLimit) {
		t.Errorf("MaxSteps 50: %v", err)
	}
}

func TestJSONPath(t *testing.T) {
	t.Parallel()
	const doc = `{"a":[1,2,3,{"b":"x","c":[4,5]},null,"str"],"b":{"a":{"b":[true,false]},"x y":1},"n":null,"s":"hello",` +
		`"list":[{"p":1,"t":"q"},{"p":5,"t":"r"},{"p":10}],"m":[[1,2],[3,4]],"it's":7,"k-2":8}`
	for path, want := range map[string]string{
		"$.a[1]":                         "2",
		"$.a[-1]":                        `"str"`,
		"$['b']['x y']":                  "1",
		`$["s"]`:                         `"hello"`,
		`$['it\'s']`:                     "7",
		"$.k-2":                          "8",
		"$.n":                            "null",
		"$.a.length":                     "6",
		"$.list[*].p":                    "[1,5,10]",
		"$.list[*].t":                    `["q","r"]`,
		"$.b.*":                          `[{"b":[true,false]},1]`,
		"$..b":                           `[{"a":{"b":[true,false]},"x y":1},"x",true,false]`,
		"$.a[0:2]":                       "[1,2]",
		"$.a[::-1]":                      `["str",null,{"b":"x","c":[4,5]},3,2,1]`,
		"$.a[0,2]":                       "[1,3]",
		"$['s','zz','n']":                `["hello",null]`,
		"$.list[(@.length-1)].p":         "10",
		"$.list[?(@.p > 2)].p":           "[5,10]",
		"$.list[?(@.t)].p":               "[1,5]",
		"$.list[?(@.t == 'r')]":          `[{"p":5,"t":"r"}]`,
		"$.list[?(@.t =~ '^q')].p":       "[1]",
		"$.list[?(@.p==1 || @.p==10)].p": "[1,10]",
		"$.list[?(@.p + 1 == 6)][0].t":   `"r"`,
		"$.list[?(@.p == $.a[0])].t":     `["q"]`,
		"$.m[*][0]":                      "[1,3]",
		"$.zz":                           "error",
		"$.a[9]":                         "error",
		"$.s.x":                          "error",
		"$.s[0]":                         "error",
		"$.s.*":                          "error",
		"a":                              "error",
		"$.":                             "error",
		"$..":                            "error",
		"$[":                             "error",
		"$[1:2:3:4]":                     "error",
		"$[?(]":                          "error",
		"$.a[?(@.p >)]":                  "error",
		"$.a[::0]":                       "error",
		"":                               "error",
	} {
		got, err := Substitute("{{=toJson(jsonpath(d, p))}}", MapScope{"d": doc, "p": path}, Options{})
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s = %s (%v), want %s", path, got, err, want)
		}
	}
}
