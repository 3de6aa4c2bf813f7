package expr

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
)

// The names of metered functions in compiled code.
const (
	callTick    = "#tick"    // around the body of a predicate: one iteration
	callList    = "#list"    // around a list that is iterated over
	callWeigh   = "#weigh"   // around an operand
	callAdd     = "#add"     // a + b
	callMatches = "#matches" // a matches b

	prefixBuiltin  = "#b:" // the language's own functions
	prefixFunction = "#f:" // Argo's
	prefixSprig    = "#s:" // sprig's
)

// refusal is the error of a function whose result would not be the same every time.
func refusal(name, why string) error {
	return fmt.Errorf("%s is refused because %s: an expression must give the same result every time", name, why)
}

// function gives a metered function for one run. It panics with its error, which is how the language's functions fail: the
// machine recovers and adds the place.
func (m *meter) function(name string, opt Options) func(args ...any) any {
	var f func(args []any) (any, error)
	switch {
	case name == callTick:
		f = m.tick
	case name == callList:
		f = func(args []any) (any, error) { return args[0], m.charge(1 + 4*length(args[0])) }
	case name == callWeigh:
		f = func(args []any) (any, error) { return args[0], m.weigh(args[0]) }
	case name == callAdd:
		f = m.add
	case name == callMatches:
		f = m.matches
	case strings.HasPrefix(name, prefixBuiltin):
		f = func(args []any) (any, error) { return m.builtin(name[len(prefixBuiltin):], args) }
	case strings.HasPrefix(name, prefixFunction):
		f = func(args []any) (any, error) { return m.argo(name[len(prefixFunction):], args) }
	default:
		f = func(args []any) (any, error) { return m.sprig(name[len(prefixSprig):], args) }
	}
	most := max(opt.maxResult(), MaxResult)
	return func(args ...any) any {
		v, err := f(args)
		if err != nil {
			panic(err)
		}
		if s, ok := v.(string); ok && len(s) > most {
			panic(limitError(0, "text of %d bytes is longer than %d", len(s), most))
		}
		if t, ok := v.(time.Time); ok && t.Location() == time.Local {
			_, offset := t.Zone() // parsing prefers the machine's zone where the offset is the same
			return t.In(time.FixedZone("", offset))
		}
		return v
	}
}

func (m *meter) tick(args []any) (any, error) {
	cost := 1
	if s, ok := args[0].(string); ok {
		cost += len(s) / 64
	}
	return args[0], m.charge(cost)
}

func (m *meter) add(args []any) (any, error) {
	if err := m.charge(1 + (length(args[0])+length(args[1]))/64); err != nil {
		return nil, err
	}
	return runtime.Add(args[0], args[1]), nil
}

func (m *meter) matches(args []any) (any, error) {
	if args[0] == nil || args[1] == nil {
		return false, nil
	}
	text, ok := args[0].(string)
	pattern, ok2 := args[1].(string)
	if !ok || !ok2 {
		return nil, fmt.Errorf("invalid operation: %T matches %T", args[0], args[1])
	}
	re, err := m.matcher(pattern, text)
	if err != nil {
		return nil, err
	}
	return re.MatchString(text), nil
}

// matcher compiles a pattern and pays for matching a text.
func (m *meter) matcher(pattern, text string) (*regexp.Regexp, error) {
	re, err := m.pattern(pattern)
	if err != nil {
		return nil, err
	}
	return re, m.charge(patternCost(pattern, text))
}

// isPredicate says whether a function of the language takes a predicate: the machine runs those itself.
func isPredicate(name string) bool {
	i, ok := builtin.Index[name]
	return ok && builtin.Builtins[i].Predicate
}

// builtin calls a function of the language.
func (m *meter) builtin(name string, args []any) (any, error) {
	i, ok := builtin.Index[name]
	if !ok {
		return nil, fmt.Errorf("unknown function %s", name)
	}
	if err := m.payBuiltin(name, args); err != nil {
		return nil, err
	}
	switch name {
	case "keys", "values", "toPairs":
		if v, ok := ordered(name, args); ok {
			return v, nil
		}
	case "date":
		if args = zoned(args); args == nil {
			return nil, refusal("the zone Local", "it depends on the machine")
		}
	case "timezone":
		if len(args) == 1 && args[0] == "Local" {
			return nil, refusal("the zone Local", "it depends on the machine")
		}
	}
	switch f := builtin.Builtins[i]; {
	case f.Fast != nil:
		if len(args) != 1 {
			return nil, fmt.Errorf("invalid number of arguments for %s (expected 1, got %d)", name, len(args))
		}
		return f.Fast(args[0]), nil
	case f.Safe != nil:
		v, size, err := f.Safe(args...)
		if err == nil {
			err = m.charge(int(min(size, MaxSteps+1)))
		}
		return v, err
	default:
		return f.Func(args...)
	}
}

// payBuiltin charges before the call what it may cost.
func (m *meter) payBuiltin(name string, args []any) error {
	switch name {
	case "len", "type", "first", "last", "take", "get":
		cost := 1
		if len(args) > 0 {
			if s, ok := args[0].(string); ok {
				cost += len(s) / 64
			}
		}
		if name == "get" && len(args) > 1 {
			return m.weigh(args[1])
		}
		return m.charge(cost)
	}
	total := 0
	for _, a := range args {
		if err := m.weigh(a); err != nil {
			return err
		}
		total += length(a)
	}
	switch name {
	case "repeat":
		if len(args) == 2 {
			return m.grow(length(args[0]), runtime.ToInt(args[1]))
		}
	case "replace":
		if len(args) >= 3 {
			return m.grow(length(args[0])+1, length(args[2]))
		}
	case "join":
		if len(args) == 2 {
			return m.grow(length(args[0]), length(args[1]))
		}
	case "split", "splitAfter", "fromJSON":
		return m.charge(1 + total/4)
	case "uniq":
		return m.product(64*total, total)
	case "sort", "median":
		return m.charge(16 * total)
	}
	return nil
}

// grow checks and charges a string that is made of n times a length.
func (m *meter) grow(size, n int) error {
	if size > 0 && n > MaxResult/size+1 {
		return limitError(0, "text is longer than %d bytes", MaxResult)
	}
	return m.charge(1 + max(0, size*n)/64)
}

// ordered gives the entries of a map in the order of its keys: Go's own order changes.
func ordered(name string, args []any) (any, bool) {
	if len(args) != 1 {
		return nil, false
	}
	v := reflect.ValueOf(args[0])
	if v.Kind() != reflect.Map {
		return nil, false
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		return strings.Compare(fmt.Sprint(a.Interface()), fmt.Sprint(b.Interface()))
	})
	out := make([]any, len(keys))
	for i, k := range keys {
		switch name {
		case "keys":
			out[i] = k.Interface()
		case "values":
			out[i] = v.MapIndex(k).Interface()
		default:
			out[i] = []any{k.Interface(), v.MapIndex(k).Interface()}
		}
	}
	return out, true
}

// zoned makes date() independent of the machine: without a zone it reads abbreviations as UTC's. nil is a refusal.
func zoned(args []any) []any {
	if len(args) == 3 && args[2] == "Local" {
		return nil
	}
	if len(args) == 1 || len(args) == 2 {
		if _, ok := args[0].(string); ok {
			return append([]any{time.UTC}, args...)
		}
	}
	return args
}

// argo calls one of the functions that Argo adds.
func (m *meter) argo(name string, args []any) (any, error) {
	for _, a := range args {
		if err := m.weigh(a); err != nil {
			return nil, err
		}
	}
	switch {
	case name == "jsonpath" && len(args) == 2:
		document, ok := args[0].(string)
		path, ok2 := args[1].(string)
		if !ok || !ok2 {
			return nil, fmt.Errorf("cannot call jsonpath with (%T, %T): it takes two strings", args[0], args[1])
		}
		if err := m.charge(len(document) / 4); err != nil {
			return nil, err
		}
		return jsonPath(document, path, m)
	case len(args) != 1:
		return nil, fmt.Errorf("invalid number of arguments for %s", name)
	case name == "asInt":
		return builtin.Int(args[0]), nil
	case name == "asFloat":
		return builtin.Float(args[0]), nil
	case name == "toJson":
		data, err := json.Marshal(args[0])
		return string(data), err
	}
	return nil, fmt.Errorf("unknown function %s", name)
}

// cloneMap copies the first level of a map.
func cloneMap(v any) any {
	if d, ok := v.(map[string]any); ok {
		return maps.Clone(d)
	}
	return v
}
