package expr

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// sprigTable is sprig's functions by name; it is never changed.
var sprigTable = sync.OnceValue(sprig.GenericFuncMap)

// sprigRefused says why a function of sprig must not be used, or "".
func sprigRefused(name string) string {
	switch name {
	case "env", "expandenv":
		return "it reads the environment"
	case "getHostByName":
		return "it asks the network"
	case "now", "ago":
		return "it reads the clock"
	case "randAlpha", "randAlphaNum", "randAscii", "randNumeric", "randBytes", "randInt", "shuffle", "uuidv4",
		"bcrypt", "htpasswd", "encryptAES", "genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert",
		"genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey":
		return "it is random"
	}
	return ""
}

// checkSprig refuses functions that must not be used or do not exist.
func checkSprig(name string) error {
	if why := sprigRefused(name); why != "" {
		return refusal("sprig."+name, why)
	}
	if _, ok := sprigTable()[name]; ok {
		return nil
	}
	if near := Nearest(name, slices.Sorted(maps.Keys(sprigTable()))); near != "" {
		return fmt.Errorf("sprig has no function %s; did you mean %s?", name, near)
	}
	return fmt.Errorf("sprig has no function %s", name)
}

// sprig calls a function of sprig.
func (m *meter) sprig(name string, args []any) (any, error) {
	if err := checkSprig(name); err != nil {
		return nil, err
	}
	for _, a := range args {
		if err := m.weigh(a); err != nil {
			return nil, err
		}
	}
	if err := m.paySprig(name, args); err != nil {
		return nil, err
	}
	switch name {
	case "set", "unset":
		// The original changes its argument, which could so come to contain itself.
		if len(args) > 0 {
			args = append([]any{cloneMap(args[0])}, args[1:]...)
		}
	case "merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite":
		copied, err := copyAll(args)
		if err != nil {
			return nil, err
		}
		args = copied
	case "toDate", "mustToDate":
		return toDate(name, args)
	case "date", "htmlDate", "dateInZone", "date_in_zone", "htmlDateInZone":
		return formatDate(name, args)
	case "durationRound":
		if _, ok := at(args, 0).(time.Time); ok {
			return nil, refusal("sprig.durationRound of a time", "it reads the clock")
		}
	}
	v, err := callFunction(sprigTable()[name], args)
	if err != nil {
		return nil, err
	}
	switch name {
	case "keys":
		if list, ok := v.([]string); ok {
			sort.Strings(list)
		}
	case "values":
		if v, ok := ordered("values", args); ok {
			return v, nil
		}
	}
	return v, nil
}

// at is an argument, or nil.
func at(args []any, i int) any {
	if i < len(args) {
		return args[i]
	}
	return nil
}

// paySprig charges before the call what it may cost beyond the size of its arguments.
func (m *meter) paySprig(name string, args []any) error {
	first, second := at(args, 0), at(args, 1)
	number := func(v any) int { n, _ := v.(int); return n }
	text := func(v any) string { s, _ := v.(string); return s }
	switch name {
	case "repeat":
		return m.grow(length(second), number(first))
	case "indent", "nindent":
		return m.grow(2+strings.Count(text(second), "\n"), number(first))
	case "replace":
		return m.grow(length(at(args, 2))+1, length(second))
	case "join":
		return m.grow(length(second), length(first))
	case "wrapWith":
		return m.grow(1+length(at(args, 2))/max(1, number(first)), length(second))
	case "until", "untilStep", "seq":
		return m.payCount(name, args)
	case "uniq", "mustUniq":
		return m.product(64*length(first), length(first))
	case "without", "mustWithout", "has", "mustHas":
		return m.product(64*(length(first)+length(second)), len(args))
	case "addf", "mulf", "subf", "divf":
		return m.charge(16 * len(args) * len(args)) // exact decimals grow with every operand
	case "derivePassword":
		return m.charge(MaxSteps / 20) // made to be slow
	case "split", "splitList", "splitn", "fromJson", "mustFromJson":
		return m.charge(1 + (length(first)+length(second)+length(at(args, 2)))/4)
	case "semver", "semverCompare":
		return m.product(64*16, length(first)+length(second))
	}
	if strings.Contains(strings.ToLower(name), "regex") && name != "regexQuoteMeta" {
		return m.payRegex(name, text(first), text(second), text(at(args, 2)))
	}
	return nil
}

// payRegex checks a pattern and charges for matching, and for what is put in the place of matches.
func (m *meter) payRegex(name, pattern, subject, replacement string) error {
	if size, err := patternSize(pattern); err == nil && size > MaxPattern {
		return limitError(0, "regular expression needs %d instructions, more than %d", size, MaxPattern)
	}
	if err := m.charge(len(pattern) + patternCost(pattern, subject)); err != nil {
		return err
	}
	if strings.Contains(name, "eplace") {
		return m.grow(len(subject)+1, len(replacement))
	}
	return nil
}

// payCount charges for the numbers that a function makes.
func (m *meter) payCount(name string, args []any) error {
	var n []int
	for _, a := range args {
		i, _ := a.(int)
		n = append(n, i)
	}
	from, to, step := 0, 0, 1
	switch {
	case len(n) == 1:
		to = n[0]
	case len(n) == 2:
		from, to = n[0], n[1]
	case len(n) == 3 && name == "seq":
		from, step, to = n[0], n[1], n[2]
	case len(n) == 3:
		from, to, step = n[0], n[1], n[2]
	}
	distance, stride := float64(to)-float64(from), float64(step)
	if stride == 0 {
		return nil // makes nothing
	}
	count := max(distance/stride, -distance/stride)
	if count > MaxSteps/2 {
		return limitError(0, "sprig.%s makes more than %d numbers", name, MaxSteps/2)
	}
	return m.charge(2 * int(count))
}

// callFunction calls a Go function with the machine's rules: nil is a zero value, a second result is an error.
func callFunction(f any, args []any) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = asError(r)
		}
	}()
	fn := reflect.ValueOf(f)
	t := fn.Type()
	fixed := t.NumIn()
	if t.IsVariadic() {
		fixed--
	}
	switch {
	case t.IsVariadic() && len(args) < fixed:
		return nil, fmt.Errorf("invalid number of arguments: expected at least %d, got %d", fixed, len(args))
	case !t.IsVariadic() && len(args) != fixed:
		return nil, fmt.Errorf("invalid number of arguments: expected %d, got %d", fixed, len(args))
	}
	in := make([]reflect.Value, len(args))
	for i, a := range args {
		want := t.In(min(i, t.NumIn()-1))
		if i >= fixed {
			want = t.In(fixed).Elem()
		}
		if in[i] = reflect.ValueOf(a); a == nil {
			in[i] = reflect.Zero(want)
		}
	}
	out := fn.Call(in)
	if len(out) == 2 && !out[1].IsNil() {
		if failed, ok := out[1].Interface().(error); ok {
			return nil, failed
		}
	}
	return out[0].Interface(), nil
}

// copyAll copies maps with all that is in them.
func copyAll(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		v, err := callFunction(sprigTable()["mustDeepCopy"], []any{a})
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// toDate parses a date; without a zone in the text it is UTC, where sprig takes the machine's.
func toDate(name string, args []any) (any, error) {
	layout, ok := at(args, 0).(string)
	value, ok2 := at(args, 1).(string)
	if !ok || !ok2 || len(args) != 2 {
		return nil, fmt.Errorf("sprig.%s takes two strings", name)
	}
	t, err := time.ParseInLocation(layout, value, time.UTC)
	if err != nil && name == "mustToDate" {
		return nil, err
	}
	return t, nil
}

// formatDate formats a time that is given, in UTC or a given zone. sprig takes the current time for anything that is none,
// and the machine's zone.
func formatDate(name string, args []any) (any, error) {
	layout, zone := "2006-01-02", any("UTC")
	var when any
	switch {
	case name == "htmlDate" && len(args) == 1:
		when = args[0]
	case name == "htmlDateInZone" && len(args) == 2:
		when, zone = args[0], args[1]
	case name == "date" && len(args) == 2:
		layout, _ = args[0].(string)
		when = args[1]
	case len(args) == 3:
		layout, _ = args[0].(string)
		when, zone = args[1], args[2]
	default:
		return nil, fmt.Errorf("invalid number of arguments for sprig.%s", name)
	}
	var t time.Time
	switch w := when.(type) {
	case time.Time:
		t = w
	case int:
		t = time.Unix(int64(w), 0)
	case int64:
		t = time.Unix(w, 0)
	case int32:
		t = time.Unix(int64(w), 0)
	default:
		return nil, refusal(fmt.Sprintf("sprig.%s of a %T", name, when), "it would be the current time")
	}
	place, ok := zone.(string)
	if !ok || place == "Local" {
		return nil, refusal("the zone Local", "it depends on the machine")
	}
	loc, err := time.LoadLocation(place)
	if err != nil {
		loc = time.UTC
	}
	return t.In(loc).Format(layout), nil
}
