package expr

import (
	"maps"
	"slices"
)

// Scope answers what a variable such as "inputs.parameters.m" or "steps.a.outputs.result" stands for. Implementations must
// not change while an evaluation uses them.
type Scope interface {
	// Lookup gives a variable's value.
	Lookup(name string) (value string, ok bool)
	// Names lists every known variable, in any order, for suggestions and for expressions that use a whole group of
	// variables (such as toJson(inputs.parameters)). It may be empty, and must not be changed by the caller.
	Names() []string
}

// MapScope is a Scope made from a map.
type MapScope map[string]string

// Lookup implements Scope.
func (m MapScope) Lookup(name string) (string, bool) {
	v, ok := m[name]
	return v, ok
}

// Names implements Scope; the names are sorted.
func (m MapScope) Names() []string { return slices.Sorted(maps.Keys(m)) }

// Options change how a template is executed. The zero value is strict, with the default bounds.
type Options struct {
	// AllowUnresolved leaves a tag that cannot be resolved as literal text, as Argo does where outputs of skipped steps
	// are used. An expression stays as it is if it fails for any reason.
	AllowUnresolved bool
	// MaxResult bounds the length of the result in bytes; 0 is the constant MaxResult.
	MaxResult int
	// MaxSteps bounds the cost of each expression; 0 is the constant MaxSteps.
	MaxSteps int
}

// maxResult is the bound in force.
func (o Options) maxResult() int {
	if o.MaxResult > 0 {
		return o.MaxResult
	}
	return MaxResult
}

// maxSteps is the bound in force.
func (o Options) maxSteps() int {
	if o.MaxSteps > 0 {
		return o.MaxSteps
	}
	return MaxSteps
}
