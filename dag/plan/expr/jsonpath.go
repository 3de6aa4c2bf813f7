package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxJSONPath bounds the text of a path.
const maxJSONPath = 4 << 10

// jsonPath is Argo's jsonpath(document, path): the value at a path such as $.a[1], or the list of all values where the path
// has a wildcard, a range, a filter or "..". What is not there is an error in a plain path, and left out of a list.
func jsonPath(document, path string, m *meter) (any, error) {
	if err := checkJSON([]byte(document)); err != nil {
		return nil, err
	}
	var root any
	if err := json.Unmarshal([]byte(document), &root); err != nil {
		return nil, err
	}
	steps, err := parsePath(path, '$')
	if err != nil {
		return nil, err
	}
	q := pathQuery{root: root, meter: m}
	return q.apply(steps, root)
}

// stepKind is what a step of a path does.
type stepKind uint8

const (
	stepKey stepKind = iota
	stepIndex
	stepLength
	stepWildcard
	stepDescend
	stepRange
	stepUnion
	stepFilter
	stepScript
)

// pathStep is one step of a path.
type pathStep struct {
	kind  stepKind
	key   string
	index int
	// from, to and by are the parts of a range; nil where left out.
	from, to, by *int
	union        []pathStep
	cond         *filterNode
}

// parsePath reads a path that begins with $ or, in filters, @.
func parsePath(path string, root byte) ([]pathStep, error) {
	if len(path) > maxJSONPath {
		return nil, limitError(0, "JSON path is longer than %d bytes", maxJSONPath)
	}
	if path == "" || path[0] != root {
		return nil, fmt.Errorf("invalid JSON path %q: it must begin with %c", shorten(path), root)
	}
	var steps []pathStep
	for pos := 1; pos < len(path); {
		step, n, err := parseStep(path[pos:])
		if err != nil {
			return nil, fmt.Errorf("invalid JSON path %q at %d: %w", shorten(path), pos, err)
		}
		if pos += n; n > 0 {
			steps = append(steps, step)
		}
	}
	return steps, nil
}

// parseStep reads one step and says how long it is.
func parseStep(s string) (pathStep, int, error) {
	switch {
	case strings.HasPrefix(s, ".."):
		if len(s) == 2 || s[2] == '.' {
			return pathStep{}, 0, errors.New("nothing follows the two dots")
		}
		if s[2] == '[' {
			return pathStep{kind: stepDescend}, 2, nil
		}
		return pathStep{kind: stepDescend}, 1, nil // the second dot begins the next step
	case s[0] == '[':
		end := closingBracket(s)
		if end < 0 {
			return pathStep{}, 0, errors.New("[ without ]")
		}
		step, err := parseSubscript(strings.TrimSpace(s[1:end]))
		return step, end + 1, err
	case strings.HasPrefix(s, ".["):
		step, n, err := parseStep(s[1:])
		return step, n + 1, err
	case s[0] == '.':
		end := strings.IndexAny(s[1:], ".[")
		if end < 0 {
			end = len(s) - 1
		}
		switch name := strings.TrimSpace(s[1 : 1+end]); name {
		case "":
			return pathStep{}, 0, errors.New("empty name")
		case "*":
			return pathStep{kind: stepWildcard}, 1 + end, nil
		case "length":
			return pathStep{kind: stepLength}, 1 + end, nil
		default:
			return pathStep{kind: stepKey, key: name}, 1 + end, nil
		}
	default:
		return pathStep{}, 0, fmt.Errorf("unexpected %q", s[:1])
	}
}

// closingBracket finds the ] that belongs to the [ at the beginning.
func closingBracket(s string) int {
	depth := 0
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// parseSubscript reads what stands in brackets.
func parseSubscript(s string) (pathStep, error) {
	switch {
	case s == "*":
		return pathStep{kind: stepWildcard}, nil
	case strings.HasPrefix(s, "?(") && strings.HasSuffix(s, ")"):
		cond, err := parseFilter(s[2 : len(s)-1])
		return pathStep{kind: stepFilter, cond: cond}, err
	case strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")"):
		cond, err := parseFilter(s[1 : len(s)-1])
		return pathStep{kind: stepScript, cond: cond}, err
	}
	parts := splitOutside(s, ',')
	if len(parts) == 1 {
		return parseSingle(s)
	}
	step := pathStep{kind: stepUnion}
	for _, p := range parts {
		one, err := parseSingle(strings.TrimSpace(p))
		if err != nil {
			return step, err
		}
		if one.kind != stepKey && one.kind != stepIndex {
			return step, fmt.Errorf("unexpected %q in a union", p)
		}
		step.union = append(step.union, one)
	}
	return step, nil
}

// parseSingle reads a quoted key, an index or a range.
func parseSingle(s string) (pathStep, error) {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		quote := s[:1]
		return pathStep{kind: stepKey, key: strings.ReplaceAll(s[1:len(s)-1], `\`+quote, quote)}, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		return pathStep{kind: stepIndex, index: n}, nil
	}
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return pathStep{}, fmt.Errorf("unexpected %q in brackets", s)
	}
	step := pathStep{kind: stepRange}
	for i, p := range parts {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		n, err := strconv.Atoi(p)
		if err != nil {
			return step, fmt.Errorf("unexpected %q in a range", p)
		}
		*[]**int{&step.from, &step.to, &step.by}[i] = &n
	}
	return step, nil
}

// splitOutside splits at a separator that is not in quotes.
func splitOutside(s string, sep byte) []string {
	var parts []string
	var quote byte
	start := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == sep:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// pathQuery evaluates paths on one document.
type pathQuery struct {
	root  any
	meter *meter
}

// apply takes the steps from a value on.
func (q pathQuery) apply(steps []pathStep, v any) (any, error) {
	if err := q.meter.charge(1); err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return v, nil
	}
	step, rest := steps[0], steps[1:]
	switch step.kind {
	case stepKey, stepIndex:
		next, err := pick(step, v)
		if err != nil {
			return nil, err
		}
		return q.apply(rest, next)
	case stepLength:
		n, err := lengthOf(v)
		if err != nil {
			return nil, err
		}
		return q.apply(rest, n)
	case stepScript:
		return q.script(step, rest, v)
	case stepDescend:
		return q.descend(rest, v, []any{})
	case stepWildcard:
		children, ok := childrenOf(v)
		if !ok {
			return nil, fmt.Errorf("wildcard: invalid token target. expected [array map slice] got [%s]", kindName(v))
		}
		return q.each(rest, children)
	case stepFilter:
		return q.filter(step, rest, v)
	default:
		chosen, err := choose(step, v)
		if err != nil {
			return nil, err
		}
		return q.list(rest, chosen)
	}
}

// list takes the steps from every value, except that an index picks from the list itself.
func (q pathQuery) list(steps []pathStep, values []any) (any, error) {
	if len(steps) > 0 && steps[0].kind == stepIndex {
		return q.apply(steps, values)
	}
	return q.each(steps, values)
}

// each takes the steps from every value, and leaves out where that fails or finds null; without steps all values stay.
func (q pathQuery) each(steps []pathStep, values []any) (any, error) {
	if err := q.meter.charge(len(values)); err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return values, nil
	}
	found := []any{}
	for _, v := range values {
		r, err := q.apply(steps, v)
		if overLimit(err) {
			return nil, err
		}
		if err == nil && r != nil {
			found = append(found, r)
		}
	}
	return found, nil
}

// descend takes the steps from a value and from everything in it, and puts all results into one list.
func (q pathQuery) descend(steps []pathStep, v any, found []any) ([]any, error) {
	if err := q.meter.charge(1); err != nil {
		return nil, err
	}
	r, err := q.apply(steps, v)
	if overLimit(err) {
		return nil, err
	}
	if list, ok := r.([]any); ok && err == nil {
		found = append(found, list...)
		err = q.meter.charge(len(list))
	} else if r != nil && err == nil {
		found = append(found, r)
	}
	if overLimit(err) {
		return nil, err
	}
	children, _ := childrenOf(v)
	for _, c := range children {
		if found, err = q.descend(steps, c, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// filter keeps the children for which a condition holds.
func (q pathQuery) filter(step pathStep, rest []pathStep, v any) (any, error) {
	children, ok := childrenOf(v)
	if !ok {
		return nil, fmt.Errorf("filter: invalid token target. expected [array map slice] got [%s]", kindName(v))
	}
	kept := []any{}
	for _, c := range children {
		holds, err := q.value(step.cond, c)
		if overLimit(err) {
			return nil, err
		}
		if err == nil && truth(holds) {
			kept = append(kept, c)
		}
	}
	return q.list(rest, kept)
}

// script picks the child that an expression names.
func (q pathQuery) script(step pathStep, rest []pathStep, v any) (any, error) {
	r, err := q.value(step.cond, v)
	if err != nil {
		return nil, err
	}
	one := pathStep{kind: stepKey}
	switch r := r.(type) {
	case string:
		one.key = r
	case float64:
		one.kind, one.index = stepIndex, int(r)
	default:
		return nil, fmt.Errorf("a script in brackets must give a number or a string, not a %s", kindName(r))
	}
	next, err := pick(one, v)
	if err != nil {
		return nil, err
	}
	return q.apply(rest, next)
}

// pick gives the child of a key or an index.
func pick(step pathStep, v any) (any, error) {
	if step.kind == stepKey {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("key: invalid token target. expected [map] got [%s]", kindName(v))
		}
		child, ok := object[step.key]
		if !ok {
			return nil, fmt.Errorf("key: invalid token key '%s' not found", step.key)
		}
		return child, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("index: invalid token target. expected [array slice] got [%s]", kindName(v))
	}
	i := step.index
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return nil, errors.New("index: invalid token out of range")
	}
	return list[i], nil
}

// choose gives the children of a range or a union.
func choose(step pathStep, v any) ([]any, error) {
	if step.kind == stepUnion {
		chosen := make([]any, 0, len(step.union))
		for _, one := range step.union {
			child, err := pick(one, v)
			if _, isMap := v.(map[string]any); err != nil && isMap && one.kind == stepKey {
				continue // a key that is not there
			}
			if err != nil {
				return nil, fmt.Errorf("union: %w", err)
			}
			chosen = append(chosen, child)
		}
		return chosen, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("range: invalid token target. expected [array slice] got [%s]", kindName(v))
	}
	bound := func(p *int, otherwise int) int {
		if p == nil {
			return otherwise
		}
		if *p < 0 {
			return max(0, *p+len(list))
		}
		return min(*p, len(list))
	}
	from, to, by := bound(step.from, 0), bound(step.to, len(list)), 1
	if step.by != nil {
		by = *step.by
	}
	chosen := []any{}
	switch {
	case by == 0:
		return nil, errors.New("range: invalid token out of range")
	case by > 0:
		for i := from; i < to; i += min(by, len(list)) {
			chosen = append(chosen, list[i])
		}
	default: // from the end, as if the range were turned round
		for i := to - 1; i >= from; i += max(by, -len(list)) {
			chosen = append(chosen, list[i])
		}
	}
	return chosen, nil
}

// childrenOf lists what is in a value, maps in the order of their keys.
func childrenOf(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case map[string]any:
		children := make([]any, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			children = append(children, v[k])
		}
		return children, true
	}
	return nil, false
}

// lengthOf is .length: that of a list, a map or a string, unless a map has such a key.
func lengthOf(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		return int64(len(v)), nil
	case string:
		return int64(len(v)), nil
	case map[string]any:
		if child, ok := v["length"]; ok {
			return child, nil
		}
		return int64(len(v)), nil
	}
	return nil, fmt.Errorf("length: invalid token target. expected [array map slice string] got [%s]", kindName(v))
}

// kindName names a JSON value's Go kind for messages.
func kindName(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case []any:
		return "slice"
	case map[string]any:
		return "map"
	}
	return fmt.Sprintf("%T", v)
}
