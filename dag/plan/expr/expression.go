package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Expression is a parsed expression of the expr language with Argo's functions: what {{=…}}, retryStrategy.expression,
// the expression of a hook and valueFrom.expression hold. It is safe for concurrent use.
type Expression struct {
	src  string
	refs []chain

	// programs are the compiled forms, one for each combination of kinds that the variables' roots had.
	mu       sync.Mutex
	programs map[string]*program
}

// ParseExpression parses an expression. Errors are *Error: syntax, length, nesting, and functions that are refused because
// their result would not be the same every time.
func ParseExpression(src string) (*Expression, error) {
	tree, err := parseTree(src)
	if err != nil {
		return nil, err
	}
	if err := checkFunctions(tree, src); err != nil {
		return nil, err
	}
	return &Expression{src: src, refs: collectRefs(tree.Node, src), programs: map[string]*program{}}, nil
}

// Refs lists the variables that the expression uses.
func (e *Expression) Refs() []Ref {
	refs := make([]Ref, len(e.refs))
	for i, c := range e.refs {
		refs[i] = Ref{Name: strings.Join(c.path, "."), Offset: c.offset, Expr: true}
	}
	return refs
}

// String is the text that was parsed.
func (e *Expression) String() string { return e.src }

// Bool evaluates an expression that must give true or false.
func (e *Expression) Bool(sc Scope, opt Options) (bool, error) {
	v, ran, err := e.eval(sc, opt)
	if err != nil {
		if ran {
			err = wrapError("unable to evaluate expression '"+e.src+"': ", err)
		}
		return false, e.unresolved(err, sc)
	}
	b, ok := v.(bool)
	if !ok {
		shown, err := printed(v, opt)
		if err != nil {
			return false, err
		}
		return false, errorAt(0, "unable to cast expression result '%s' to bool", shorten(shown))
	}
	return b, nil
}

// Text evaluates an expression and prints the result: a string as it is, anything else as Go's %v does, in which Argo's
// valueFrom.expression differs from {{=…}}.
func (e *Expression) Text(sc Scope, opt Options) (string, error) {
	v, _, err := e.eval(sc, opt)
	if err != nil {
		return "", e.unresolved(err, sc)
	}
	return printed(v, opt)
}

// wrapError puts words before an error and keeps its place.
func wrapError(before string, err error) *Error {
	wrapped := &Error{Msg: before + err.Error(), Err: err}
	var place *Error
	if errors.As(err, &place) {
		wrapped.Offset = place.Offset
	}
	return wrapped
}

// printed is a value as %v shows it.
func printed(v any, opt Options) (string, error) {
	s, ok := v.(string)
	if !ok {
		if err := newMeter(opt.maxSteps()).weigh(v); err != nil {
			return "", err
		}
		s = fmt.Sprintf("%v", v)
	}
	if len(s) > opt.maxResult() {
		return "", limitError(0, "result is longer than %d bytes", opt.maxResult())
	}
	return s, nil
}

// text evaluates for {{=…}}: a string as it is, anything else as JSON, nothing (nil) is an error.
func (e *Expression) text(sc Scope, opt Options) (string, error) {
	v, _, err := e.eval(sc, opt)
	if err != nil {
		return "", e.unresolved(wrapError("failed to evaluate expression: ", err), sc)
	}
	if v == nil {
		return "", e.unresolved(errorAt(0, "failed to evaluate expression %q", shorten(e.src)), sc)
	}
	s, ok := v.(string)
	if !ok {
		if err := newMeter(opt.maxSteps()).weigh(v); err != nil {
			return "", err
		}
		data, err := json.Marshal(v)
		if err != nil {
			return "", &Error{Msg: "failed to marshal evaluated expression: " + err.Error(), Err: err}
		}
		s = string(data)
		if data[0] == '"' { // a time, or another type that is a string in JSON
			if err := json.Unmarshal(data, &s); err != nil {
				return "", &Error{Msg: "failed to marshal evaluated expression: " + err.Error(), Err: err}
			}
		}
	}
	if len(s) > opt.maxResult() {
		return "", limitError(0, "result is longer than %d bytes", opt.maxResult())
	}
	return s, nil
}

// unresolved makes an UnresolvedError of a failure where a variable that the expression names does not exist.
func (e *Expression) unresolved(err error, sc Scope) error {
	if errors.Is(err, ErrLimit) {
		return err
	}
	if sc == nil {
		sc = MapScope(nil)
	}
	var names []string
	for _, c := range e.refs {
		name := strings.Join(c.path, ".")
		if _, ok, _ := longest(c.path, sc); ok {
			continue
		}
		if names == nil {
			names = sortedNames(sc)
		}
		if i, _ := slices.BinarySearch(names, name+"."); i < len(names) && strings.HasPrefix(names[i], name+".") {
			continue // a group
		}
		return &UnresolvedError{Name: name, Offset: c.offset, Nearest: Nearest(name, names), Err: err}
	}
	return err
}

// waits says that the expression uses a variable that Argo defines late and that is not defined yet. It would evaluate, but
// with nil in the variable's place.
func (e *Expression) waits(sc Scope) bool {
	for _, c := range e.refs {
		switch name := strings.Join(c.path, "."); name {
		case "retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.duration", "lastRetry.message",
			"workflow.status", "workflow.failures":
			if _, ok := sc.Lookup(name); !ok {
				return true
			}
		}
	}
	return false
}

// EvalBool evaluates a boolean expression: retryStrategy.expression, the expression of a hook.
func EvalBool(expression string, sc Scope) (bool, error) {
	e, err := ParseExpression(expression)
	if err != nil {
		return false, err
	}
	return e.Bool(sc, Options{})
}

// EvalString evaluates valueFrom.expression.
func EvalString(expression string, sc Scope) (string, error) {
	e, err := ParseExpression(expression)
	if err != nil {
		return "", err
	}
	return e.Text(sc, Options{})
}

// parseTree parses within the bounds.
func parseTree(src string) (*parser.Tree, error) {
	if len(src) > MaxExpression {
		return nil, limitError(0, "expression is longer than %d bytes", MaxExpression)
	}
	if at := tooDeepExpression(src); at >= 0 {
		return nil, limitError(at, "expression is nested deeper than %d", MaxNesting)
	}
	config := conf.CreateNew()
	config.MaxNodes = MaxNodes
	tree, err := guard(func() (*parser.Tree, error) { return parser.ParseWithConfig(src, config) })
	if err != nil {
		return nil, languageError(err, src)
	}
	return tree, nil
}

// guard turns panics into errors: the library is not ours.
func guard[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = asError(r)
		}
	}()
	return f()
}

// languageError makes an Error of one of the library's.
func languageError(err error, src string) *Error {
	e := &Error{Msg: err.Error(), Err: err}
	var place *file.Error
	if errors.As(err, &place) {
		e.Offset = byteOffset(src, place.From)
	}
	return e
}

// byteOffset turns the library's count of characters into bytes.
func byteOffset(src string, runes int) int {
	for i := range src {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(src)
}

// tooDeepExpression is where brackets stand too deep in each other, or -1. Prefix operators count, since the parser descends
// for each of them. What stands in strings and comments may be counted wrongly, which only matters at a hundred.
func tooDeepExpression(src string) int {
	depth, prefixes := 0, 0
	var quote byte
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
			continue
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		}
		switch c {
		case '!', '-', '+':
			prefixes++
		case ' ', '\t', '\n', '\r':
		default:
			prefixes = 0
		}
		if depth > MaxNesting || prefixes > MaxNesting {
			return i
		}
	}
	return -1
}
