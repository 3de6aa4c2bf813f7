package expr

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// EvalWhen evaluates a `when` after its tags were substituted. The empty text is true. The language is small: numbers,
// strings in either quote, true and false, comparisons (== != < > <= >= =~ !~ in), && || !, parentheses, arithmetic, ?:.
// A bare word is a string, so that {{x}} == yes needs no quotes; a string never equals a number. Errors are *Error, with
// Argo's words.
func EvalWhen(when string) (bool, error) {
	if when == "" {
		return true, nil
	}
	if len(when) > MaxExpression {
		return false, limitError(0, "'when' expression is longer than %d bytes", MaxExpression)
	}
	root, err := parseWhen(when)
	if err != nil {
		return false, err
	}
	ev := whenEval{meter: newMeter(MaxSteps)}
	value, err := ev.eval(root)
	if err != nil {
		return false, &Error{
			Msg: fmt.Sprintf("Failed to evaluate 'when' expresion '%s': %v", when, err), Err: err,
		}
	}
	result, ok := value.(bool)
	if !ok {
		return false, errorAt(0, "Expected boolean evaluation for '%s'. Got %v", when, value)
	}
	return result, nil
}

// CheckWhen says whether a `when` without tags can be parsed, without evaluating it.
func CheckWhen(when string) error {
	if when == "" {
		return nil
	}
	if len(when) > MaxExpression {
		return limitError(0, "'when' expression is longer than %d bytes", MaxExpression)
	}
	_, err := parseWhen(when)
	return err
}

// parseWhen reads a condition in Argo's two passes, which show in its messages: bare words are variables in the first and
// strings in the second.
func parseWhen(when string) (*whenNode, error) {
	tokens, err := lexWhen(when)
	if err == nil {
		err = checkSyntax(tokens, len(when))
	}
	if err == nil {
		err = patterns(tokens)
	}
	if err != nil {
		hint := ""
		if strings.Contains(err.Msg, "Invalid token") {
			hint = ` (hint: try wrapping the affected expression in quotes ("))`
		}
		err.Msg = fmt.Sprintf("Invalid 'when' expression '%s': %s%s", when, err.Msg, hint)
		return nil, err
	}
	for i := range tokens {
		if tokens[i].kind == tkVariable {
			tokens[i].kind = tkString
		}
	}
	err = checkSyntax(tokens, len(when))
	if err == nil {
		err = patterns(tokens)
	}
	var root *whenNode
	if err == nil {
		p := &whenParser{tokens: tokens}
		if root = p.level(0); p.err != nil {
			err = p.err
		}
	}
	if err != nil {
		err.Msg = fmt.Sprintf("Failed to parse 'when' expression '%s': %s", when, err.Msg)
		return nil, err
	}
	return root, nil
}

// patterns compiles the strings that follow =~ and !~.
func patterns(tokens []token) *Error {
	for i := range tokens {
		if i == 0 || tokens[i].kind != tkString || tokens[i-1].kind != tkComparator {
			continue
		}
		if op := tokens[i-1].value; op != "=~" && op != "!~" {
			continue
		}
		text, _ := tokens[i].value.(string)
		re, err := compilePattern(text)
		if err != nil {
			return &Error{Offset: tokens[i].offset, Msg: err.Error(), Err: err}
		}
		tokens[i].kind, tokens[i].value = tkPattern, re
	}
	return nil
}

// whenNode is a value (op "") or an operation.
type whenNode struct {
	op          string
	prefix      bool
	left, right *whenNode
	value       any
	// access is the a of an a.B, which nothing defines.
	access string
}

// whenParser is a precedence descent over tokens.
type whenParser struct {
	tokens []token
	pos    int
	depth  int
	err    *Error
}

// whenLevels are the binary operators from the loosest to the tightest; all bind from the left.
func whenLevels() [9]string {
	return [9]string{
		" , ", " ? : ?? ", " || ", " && ", " == != > >= < <= =~ !~ in ", " ^ & | ", " >> << ", " + - ", " * / % ",
	}
}

// level reads the operators of one level and of all tighter ones.
func (p *whenParser) level(n int) *whenNode {
	levels := whenLevels()
	if n == len(levels) {
		return p.power()
	}
	left := p.level(n + 1)
	for p.operator(levels[n]) {
		op, _ := p.tokens[p.pos].value.(string)
		p.pos++
		left = &whenNode{op: op, left: left, right: p.level(n + 1)}
	}
	return left
}

// power reads **.
func (p *whenParser) power() *whenNode {
	left := p.value()
	for p.operator(" ** ") {
		p.pos++
		left = &whenNode{op: "**", left: left, right: p.value()}
	}
	return left
}

// operator says whether the next token is one of the operators.
func (p *whenParser) operator(symbols string) bool {
	if p.err != nil || p.pos >= len(p.tokens) {
		return false
	}
	t := p.tokens[p.pos]
	if !setOf(tkModifier, tkComparator, tkLogical, tkTernary, tkSeparator).has(t.kind) {
		return false
	}
	text, _ := t.value.(string)
	return strings.Contains(symbols, " "+text+" ")
}

// value reads a literal, a parenthesis or a prefixed value. nil stands for the nothing in ().
func (p *whenParser) value() *whenNode {
	if p.err != nil || p.pos >= len(p.tokens) {
		return nil
	}
	t := p.tokens[p.pos]
	p.pos++
	switch t.kind {
	case tkClause:
		if p.depth++; p.depth > MaxNesting {
			p.err = limitError(t.offset, "nested deeper than %d", MaxNesting)
			return nil
		}
		inner := p.level(0)
		p.depth--
		p.pos++ // the closing parenthesis; brackets are known to balance
		return &whenNode{op: "()", right: inner}
	case tkClauseClose:
		p.pos--
		return nil
	case tkPrefix:
		op, _ := t.value.(string)
		return &whenNode{op: op, prefix: true, right: p.value()}
	case tkTime:
		at, _ := t.value.(time.Time)
		return &whenNode{value: float64(at.Unix())}
	case tkAccessor:
		names, _ := t.value.([]string)
		if p.pos < len(p.tokens) && p.tokens[p.pos].kind == tkClause {
			p.value() // arguments of a method, which does not exist
		}
		return &whenNode{access: names[0]}
	case tkNumeric, tkString, tkPattern, tkBoolean:
		return &whenNode{value: t.value}
	default:
		p.err = errorAt(t.offset, "Unable to plan token kind: '%s', value: '%v'", t.kind, t.value)
		return nil
	}
}

// whenEval evaluates a tree.
type whenEval struct{ meter *meter }

func (ev whenEval) eval(n *whenNode) (any, error) {
	if n == nil {
		return nil, nil
	}
	if n.access != "" {
		return nil, fmt.Errorf("No parameter '%s' found.", n.access) //nolint:staticcheck // Argo's words
	}
	if n.op == "" {
		return n.value, nil
	}
	left, err := ev.eval(n.left)
	if err != nil {
		return nil, err
	}
	if value, decided := shortCircuit(n.op, left); decided {
		return value, nil
	}
	right, err := ev.eval(n.right)
	if err != nil {
		return nil, err
	}
	if err := checkOperands(n, left, right); err != nil {
		return nil, err
	}
	return ev.apply(n, left, right)
}

// shortCircuit gives the value where the left operand alone decides.
func shortCircuit(op string, left any) (any, bool) {
	switch op {
	case "&&":
		return false, left == false
	case "||":
		return true, left == true
	case "??", ":":
		return left, left != nil
	case "?":
		return nil, left == false
	}
	return nil, false
}

// checkOperands checks the types that an operator wants; the messages are Argo's.
func checkOperands(n *whenNode, left, right any) error {
	isNumber := func(v any) bool { _, ok := v.(float64); return ok }
	isString := func(v any) bool { _, ok := v.(string); return ok }
	isBool := func(v any) bool { _, ok := v.(bool); return ok }
	bad := func(v any, what, end string) error {
		op := n.op
		if op == "==" {
			op = "="
		}
		return fmt.Errorf("Value '%v' cannot be used with the %s '%s'%s", v, what, op, end)
	}
	switch op := n.op; {
	case n.prefix:
		if want := isNumber(right); op != "!" && !want || op == "!" && !isBool(right) {
			return bad(right, "prefix", "")
		}
	case op == "&&" || op == "||":
		for _, v := range []any{left, right} {
			if !isBool(v) {
				return bad(v, "logical operator", ", it is not a bool")
			}
		}
	case op == "?":
		if !isBool(left) {
			return bad(left, "ternary operator", ", it is not a bool")
		}
	case op == "+":
		if !(isNumber(left) && isNumber(right)) && !isString(left) && !isString(right) {
			return bad(left, "modifier", ", it is not a number")
		}
	case op == "<" || op == ">" || op == "<=" || op == ">=":
		if !(isNumber(left) && isNumber(right)) && !(isString(left) && isString(right)) {
			return bad(left, "comparator", ", it is not a number")
		}
	case op == "=~" || op == "!~":
		if _, ok := right.(*regexp.Regexp); !isString(left) {
			return bad(left, "comparator", ", it is not a number")
		} else if !ok && !isString(right) {
			return bad(right, "comparator", ", it is not a number")
		}
	case op == "in":
		if _, ok := right.([]any); !ok {
			return bad(right, "comparator", ", it is not a number")
		}
	case strings.Contains(" - * / % ** & | ^ >> << ", " "+op+" "):
		for _, v := range []any{left, right} {
			if !isNumber(v) {
				return bad(v, "modifier", ", it is not a number")
			}
		}
	}
	return nil
}

// apply computes an operation on operands of the right types.
func (ev whenEval) apply(n *whenNode, left, right any) (any, error) {
	switch n.op {
	case "()", ":", "??":
		return right, nil
	case "?":
		return right, nil
	case ",":
		if list, ok := left.([]any); ok {
			return append(list[:len(list):len(list)], right), ev.meter.charge(1 + len(list)/8)
		}
		return []any{left, right}, nil
	case "==", "!=":
		return reflect.DeepEqual(left, right) == (n.op == "=="), nil
	case "=~", "!~":
		matched, err := ev.match(left, right)
		return matched == (n.op == "=~"), err
	case "in":
		list, _ := right.([]any)
		for _, v := range list {
			if reflect.DeepEqual(left, v) {
				return true, ev.meter.charge(len(list))
			}
		}
		return false, ev.meter.charge(len(list))
	case "&&", "||":
		return right, nil // the left operand did not decide
	case "!":
		return right == false, nil
	}
	l, lok := left.(string)
	r, rok := right.(string)
	switch {
	case n.op == "+" && (lok || rok):
		sum := fmt.Sprintf("%v%v", left, right)
		return sum, ev.meter.charge(1 + len(sum)/64)
	case lok:
		return compare(n.op, strings.Compare(l, r)), nil
	}
	a, _ := left.(float64)
	b, _ := right.(float64)
	return arithmetic(n, a, b), nil
}

// match applies a regular expression.
func (ev whenEval) match(left, right any) (bool, error) {
	text, _ := left.(string)
	re, ok := right.(*regexp.Regexp)
	if !ok {
		pattern, _ := right.(string)
		var err error
		if re, err = compilePattern(pattern); err != nil {
			return false, fmt.Errorf("Unable to compile regexp pattern '%v': %w", right, err) //nolint:staticcheck // Argo's words
		}
	}
	if err := ev.meter.charge(patternCost(re.String(), text)); err != nil {
		return false, err
	}
	return re.MatchString(text), nil
}

// compare turns the sign of a comparison into the operator's result.
func compare(op string, sign int) bool {
	switch op {
	case "<":
		return sign < 0
	case "<=":
		return sign <= 0
	case ">":
		return sign > 0
	default:
		return sign >= 0
	}
}

// arithmetic computes on numbers. Bits are those of 64-bit integers.
func arithmetic(n *whenNode, a, b float64) any {
	switch n.op {
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "+":
		return a + b
	case "-":
		if n.prefix {
			return -b
		}
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	case "%":
		return math.Mod(a, b)
	case "**":
		return math.Pow(a, b)
	case "&":
		return float64(int64(a) & int64(b))
	case "|":
		return float64(int64(a) | int64(b))
	case "^":
		return float64(int64(a) ^ int64(b))
	case "<<":
		return float64(uint64(a) << uint64(b))
	case ">>":
		return float64(uint64(a) >> uint64(b))
	default: // ~
		return float64(^int64(b))
	}
}
