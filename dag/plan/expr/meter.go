package expr

import (
	"fmt"
	"reflect"
	"regexp"
)

// meter counts what an evaluation costs, and stops it. Counting, unlike a clock, gives the same outcome every time.
type meter struct {
	left, total int
	patterns    map[string]*regexp.Regexp
}

func newMeter(steps int) *meter { return &meter{left: steps, total: steps} }

// charge takes steps off the budget.
func (m *meter) charge(steps int) error {
	if steps < 0 || steps > m.left {
		m.left = 0
		return limitError(0, "evaluation takes more than %d steps", m.total)
	}
	m.left -= steps
	return nil
}

// product charges a*b/64 steps, of sizes in bytes.
func (m *meter) product(a, b int) error {
	if a > 0 && b > 0 && a > (m.left+1)*64/b {
		return m.charge(m.left + 1)
	}
	return m.charge(1 + a*b/64)
}

// pattern compiles a regular expression once per evaluation.
func (m *meter) pattern(text string) (*regexp.Regexp, error) {
	if re, ok := m.patterns[text]; ok {
		return re, nil
	}
	if err := m.charge(1 + len(text)); err != nil {
		return nil, err
	}
	re, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	if m.patterns == nil {
		m.patterns = map[string]*regexp.Regexp{}
	}
	m.patterns[text] = re
	return re, nil
}

// weigh charges the size of a value with all that is in it, as often as it is in it: what comparing or printing it costs.
// Values that are nested too deep, or in themselves, are errors.
func (m *meter) weigh(v any) error { return m.weighAt(v, 0) }

func (m *meter) weighAt(v any, depth int) error {
	if depth > MaxNesting {
		return limitError(0, "value is nested deeper than %d", MaxNesting)
	}
	switch v := v.(type) {
	case nil, bool, int, int64, float64:
		return m.charge(1)
	case string:
		return m.charge(1 + len(v)/64)
	case []any:
		for _, e := range v {
			if err := m.weighAt(e, depth+1); err != nil {
				return err
			}
		}
		return m.charge(1)
	case map[string]any:
		for k, e := range v {
			if err := m.charge(1 + len(k)/64); err != nil {
				return err
			}
			if err := m.weighAt(e, depth+1); err != nil {
				return err
			}
		}
		return m.charge(1)
	default:
		return m.weighOther(reflect.ValueOf(v), depth)
	}
}

// weighOther handles the types that functions make beside the plain ones.
func (m *meter) weighOther(v reflect.Value, depth int) error {
	switch v.Kind() {
	case reflect.String:
		return m.charge(1 + v.Len()/64)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() <= reflect.Complex128 { // numbers
			return m.charge(1 + v.Len()/8)
		}
		for i := range v.Len() {
			if err := m.weighAt(v.Index(i).Interface(), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := m.weighAt(it.Key().Interface(), depth+1); err != nil {
				return err
			}
			if err := m.weighAt(it.Value().Interface(), depth+1); err != nil {
				return err
			}
		}
	default: // times, durations, versions: small and flat
	}
	return m.charge(1)
}

// length is the number of bytes or elements of a value; 0 where it has none.
func length(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case string:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice || r.Kind() == reflect.Map || r.Kind() == reflect.String {
		return r.Len()
	}
	return 0
}

// asError makes an error of what a panic carried.
func asError(r any) error {
	if err, ok := r.(error); ok {
		return err
	}
	return fmt.Errorf("%v", r)
}
