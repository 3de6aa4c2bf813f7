package expr

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// filterNode is a node of the condition in [?( )], or of the expression in [( )]: a value, a path or an operation.
type filterNode struct {
	op          string
	left, right *filterNode
	value       any
	path        []pathStep
	fromRoot    bool
}

// filterParser is a precedence descent over the text of a filter.
type filterParser struct {
	text  string
	pos   int
	depth int
}

// filterLevels are the binary operators from the loosest to the tightest, longer ones before those that they begin with.
func filterLevels() [5][]string {
	return [5][]string{{"||"}, {"&&"}, {"==", "!=", "<=", ">=", "<", ">", "=~"}, {"+", "-"}, {"*", "/", "%"}}
}

// parseFilter reads an expression.
func parseFilter(text string) (*filterNode, error) {
	p := &filterParser{text: text}
	n, err := p.level(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(text) {
		return nil, fmt.Errorf("unexpected %q in a filter", shorten(text[p.pos:]))
	}
	return n, nil
}

func (p *filterParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *filterParser) level(n int) (*filterNode, error) {
	levels := filterLevels()
	if n == len(levels) {
		return p.operand()
	}
	left, err := p.level(n + 1)
	if err != nil {
		return nil, err
	}
	for {
		op := p.operator(levels[n])
		if op == "" {
			return left, nil
		}
		right, err := p.level(n + 1)
		if err != nil {
			return nil, err
		}
		left = &filterNode{op: op, left: left, right: right}
	}
}

// operator takes one of the operators, if it is next.
func (p *filterParser) operator(ops []string) string {
	p.space()
	for _, op := range ops {
		if strings.HasPrefix(p.text[p.pos:], op) {
			p.pos += len(op)
			return op
		}
	}
	return ""
}

// operand reads !x, (x), a path, a string or another literal.
func (p *filterParser) operand() (*filterNode, error) {
	p.space()
	if p.depth++; p.depth > MaxNesting {
		return nil, limitError(p.pos, "filter is nested deeper than %d", MaxNesting)
	}
	defer func() { p.depth-- }()
	rest := p.text[p.pos:]
	switch {
	case rest == "":
		return nil, errors.New("unexpected end of a filter")
	case rest[0] == '!':
		p.pos++
		n, err := p.operand()
		return &filterNode{op: "!", right: n}, err
	case rest[0] == '(':
		p.pos++
		n, err := p.level(0)
		if err != nil {
			return nil, err
		}
		if p.operator([]string{")"}) == "" {
			return nil, errors.New("( without ) in a filter")
		}
		return n, nil
	case rest[0] == '@' || rest[0] == '$':
		end := pathEnd(rest)
		p.pos += end
		steps, err := parsePath(rest[:end], rest[0])
		return &filterNode{op: "path", path: steps, fromRoot: rest[0] == '$'}, err
	case rest[0] == '\'' || rest[0] == '"':
		return p.quoted(rest)
	default:
		return p.literal(rest)
	}
}

// quoted reads a string; a backslash keeps the next character as it is.
func (p *filterParser) quoted(rest string) (*filterNode, error) {
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == rest[0] || rest[i+1] == '\\'):
			i++
			b.WriteByte(rest[i])
		case c == rest[0]:
			p.pos += i + 1
			return &filterNode{value: b.String()}, nil
		default:
			b.WriteByte(c)
		}
	}
	return nil, errors.New("string without end in a filter")
}

// literal reads a number, true, false or null.
func (p *filterParser) literal(rest string) (*filterNode, error) {
	end := 0
	for end < len(rest) && (isTaskChar(rest[end]) && (rest[end] != '-' || end == 0) || rest[end] == '.') {
		end++
	}
	word := rest[:end]
	p.pos += end
	switch word {
	case "true", "false":
		return &filterNode{value: word == "true"}, nil
	case "null", "nil":
		return &filterNode{value: nil}, nil
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, fmt.Errorf("unexpected %q in a filter", shorten(rest))
	}
	return &filterNode{value: f}, nil
}

// pathEnd is where a path within an expression ends.
func pathEnd(s string) int {
	for i := 1; i < len(s); {
		switch c := s[i]; {
		case c == '[':
			end := closingBracket(s[i:])
			if end < 0 {
				return len(s)
			}
			i += end + 1
		case c == '.' || c == '_' || c >= 0x80 || isTaskChar(c) && c != '-':
			i++
		case c == '-' && i+1 < len(s) && 'a' <= lower(s[i+1]) && lower(s[i+1]) <= 'z' && s[i-1] != '.':
			i++ // a name with a dash; @.length-1 ends before it
		case c == '*' && s[i-1] == '.':
			i++
		default:
			return i
		}
	}
	return len(s)
}

// overLimit says whether an error is that of a bound, which must not be taken for a value that isn't there.
func overLimit(err error) bool { return err != nil && errors.Is(err, ErrLimit) }

// value evaluates an expression for the current value. A path that leads nowhere is an error: whatever the condition, it
// does not hold then.
func (q pathQuery) value(n *filterNode, current any) (any, error) {
	if err := q.meter.charge(1); err != nil {
		return nil, err
	}
	switch n.op {
	case "":
		return n.value, nil
	case "path":
		start := current
		if n.fromRoot {
			start = q.root
		}
		v, err := q.apply(n.path, start)
		return number(v), err
	case "!":
		v, err := q.value(n.right, current)
		b, ok := v.(bool)
		if err == nil && !ok {
			err = fmt.Errorf("cannot use a %s with ! in a filter", kindName(v))
		}
		return !b, err
	}
	left, err := q.value(n.left, current)
	if err != nil {
		return nil, err
	}
	if n.op == "&&" && !truth(left) || n.op == "||" && truth(left) {
		return n.op == "||", nil
	}
	right, err := q.value(n.right, current)
	if err != nil {
		return nil, err
	}
	return q.operate(n.op, left, right)
}

// operate applies a binary operator.
func (q pathQuery) operate(op string, left, right any) (any, error) {
	switch op {
	case "&&", "||":
		return truth(right), nil
	case "==", "!=":
		if err := errors.Join(q.meter.weigh(left), q.meter.weigh(right)); err != nil {
			return nil, err
		}
		return equal(left, right) == (op == "=="), nil
	case "=~":
		text, ok := left.(string)
		pattern, ok2 := right.(string)
		if !ok || !ok2 {
			return false, nil
		}
		re, err := q.meter.matcher(pattern, text)
		if err != nil {
			return nil, err
		}
		return re.MatchString(text), nil
	}
	a, ok := left.(float64)
	b, ok2 := right.(float64)
	if s, isText := left.(string); isText {
		if r, isText := right.(string); isText && strings.ContainsAny(op, "<>") {
			return compare(op, strings.Compare(s, r)), nil
		}
	}
	if !ok || !ok2 {
		return nil, fmt.Errorf("cannot compute %s %s %s in a filter", kindName(left), op, kindName(right))
	}
	switch op {
	case "<":
		return a < b, nil
	case "<=":
		return a <= b, nil
	case ">":
		return a > b, nil
	case ">=":
		return a >= b, nil
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		return a / b, nil
	default:
		return math.Mod(a, b), nil
	}
}

// truth says whether a value holds as a condition: it is not null, false, zero or empty.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0
	default:
		return length(v) > 0
	}
}

// number makes floats of the integers that .length gives.
func number(v any) any {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v
}

// equal compares JSON values.
func equal(a, b any) bool {
	switch a := a.(type) {
	case []any:
		l, ok := b.([]any)
		if !ok || len(a) != len(l) {
			return false
		}
		for i := range a {
			if !equal(a[i], l[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(a) != len(m) {
			return false
		}
		for k := range a {
			if v, ok := m[k]; !ok || !equal(a[k], v) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}
