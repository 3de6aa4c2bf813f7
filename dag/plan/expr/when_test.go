package expr

import (
	"errors"
	"strings"
	"testing"
)

func TestEvalWhen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		// The probe when-forms.
		`"x" == "x"`:         true,
		"x == y":             false,
		"10 > 5":             true,
		"true":               true,
		"'a' in ('a','b')":   true,
		"true && !false":     true,
		`hello =~ "^he"`:     true,
		"1==2":               false,
		"Skipped == Skipped": true,
		// Types.
		"1 == '1'":                     false,
		"'5' == 5":                     false,
		"true == 'true'":               false,
		"b > a":                        true,
		"'abc' < 'abd'":                true,
		"1.50 == 1.5":                  true,
		"0x1F == 31":                   true,
		"":                             true,
		"[foo bar] == 'foo bar'":       true,
		`a\-b == 'a-b'`:                true,
		"'it\\'s' == \"it\\'s\"":       true,
		"'2021-01-01' < '2021-01-02'":  true,
		"'2021-01-01' == '2021-01-01'": true,
		"2021-01-01 == 2019":           true,
		// Operators and how they bind.
		"1 + 2 * 3 == 7":             true,
		"(1 + 2) * 3 == 9":           true,
		"10 - 2 - 3 == 5":            true,
		"2 ** 3 ** 2 == 64":          true,
		"7 % 4 == 3":                 true,
		"6 & 3 == 2":                 true,
		"1 << 3 == 8":                true,
		"-1 < 0":                     true,
		"~1 == -2":                   true,
		"!(1 == 1)":                  false,
		"false || true && false":     false,
		"a == b || c == c && 1 != 2": true,
		"1 < 2 == true":              true,
		"1 < 2 ? true : false":       true,
		"x !~ '^y'":                  true,
		"a + b == ab":                true,
		"a + 1 == a1":                true,
		"2 in (1, 2, 3)":             true,
		"c IN ('a','b')":             false,
		"('a','b') == ('a','b')":     true,
		"a == a ignored":             false,
	} {
		got, err := EvalWhen(in)
		if strings.HasSuffix(in, "ignored") {
			if err == nil {
				t.Errorf("EvalWhen(%q) = %v", in, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("EvalWhen(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestEvalWhenErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		// The probe when-bad-expression.
		"foo bar ==": "Invalid 'when' expression 'foo bar ==': Cannot transition token types from VARIABLE [foo] to VARIABLE [bar]",
		"== x":       "Invalid 'when' expression '== x': Cannot transition token types from UNKNOWN [<nil>] to COMPARATOR [==]",
		"x ==":       "Invalid 'when' expression 'x ==': Unexpected end of expression",
		" ":          "Invalid 'when' expression ' ': Unexpected end of expression",
		"(x":         "Invalid 'when' expression '(x': Unbalanced parenthesis",
		"'x":         "Invalid 'when' expression ''x': Unclosed string literal",
		"[x":         "Invalid 'when' expression '[x': Unclosed parameter bracket",
		"f(x)":       "Invalid 'when' expression 'f(x)': Undefined function f",
		"a$b == c":   `Invalid 'when' expression 'a$b == c': Invalid token: '$' (hint: try wrapping the affected expression in quotes ("))`,
		"1.2.3 == 1": "Invalid 'when' expression '1.2.3 == 1': Unable to parse numeric value '1.2.3' to float64",
		"a.b == c":   "Invalid 'when' expression 'a.b == c': Unable to access unexported field 'b' in token 'a.b'",
		"a.B == c":   "Failed to evaluate 'when' expresion 'a.B == c': No parameter 'a' found.",
		"!foo":       "Failed to parse 'when' expression '!foo': Cannot transition token types from PREFIX [!] to STRING [foo]",
		"a-b == c":   "Failed to evaluate 'when' expresion 'a-b == c': Value 'a' cannot be used with the modifier '-', it is not a number",
		"x && true":  "Failed to evaluate 'when' expresion 'x && true': Value 'x' cannot be used with the logical operator '&&', it is not a bool",
		"1 < x":      "Failed to evaluate 'when' expresion '1 < x': Value '1' cannot be used with the comparator '<', it is not a number",
		"a in (a)":   "Failed to evaluate 'when' expresion 'a in (a)': Value 'a' cannot be used with the comparator 'in', it is not a number",
		"x =~ '['":   "Invalid 'when' expression 'x =~ '['': error parsing regexp: missing closing ]: `[`",
		"foo":        "Expected boolean evaluation for 'foo'. Got foo",
		"1 + 1":      "Expected boolean evaluation for '1 + 1'. Got 2",
		"()":         "Expected boolean evaluation for '()'. Got <nil>",
		"{{x}} == 1": `Invalid 'when' expression '{{x}} == 1': Invalid token: '{{' (hint: try wrapping the affected expression in quotes ("))`,
	} {
		_, err := EvalWhen(in)
		if errText(err) != want {
			t.Errorf("EvalWhen(%q):\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestCheckWhen(t *testing.T) {
	t.Parallel()
	var failed *Error
	if err := CheckWhen("a == b && foo bar"); !errors.As(err, &failed) || failed.Offset != 14 {
		t.Errorf("got %v at %+v", err, failed)
	}
	for _, ok := range []string{"", "a == b", "1 < x"} {
		if err := CheckWhen(ok); err != nil {
			t.Errorf("CheckWhen(%q): %v", ok, err)
		}
	}
}

func TestWhenBounds(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"length":  strings.Repeat(" ", MaxExpression) + "true",
		"tokens":  strings.Repeat("1+", MaxNodes) + "1 == 1",
		"nesting": strings.Repeat("(", MaxNesting+1) + "true" + strings.Repeat(")", MaxNesting+1),
		"pattern": "x =~ '(abcdefghijklmno){900}'",
		"regex":   strings.Repeat("a", 60000) + " =~ '(a?){900}(a?){900}(a?){900}b'",
	} {
		if _, err := EvalWhen(in); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
