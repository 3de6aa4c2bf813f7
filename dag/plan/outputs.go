package plan

import (
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// loopOutputs is what the instances of a loop gave, as lists. Each is made when it is first asked for, because a list of
// results that are not JSON is an error only for those who want it.
type loopOutputs struct {
	results []string
	params  []map[string]string
}

// loopField answers outputs.… of a loop.
func (s *scope) loopField(n *dag.Node, field string) (string, bool) {
	if n.Status == dag.Skipped || !n.Status.Terminal() || len(n.Children()) == 0 {
		return "", false
	}
	l, ok := s.loops[n.Index]
	if !ok {
		l = gather(s.run, n)
		if s.loops == nil {
			s.loops = map[int32]*loopOutputs{}
		}
		s.loops[n.Index] = l
	}
	v, err := l.field(field)
	if err != nil && !s.naming {
		s.fail(err)
	}
	return v, err == nil
}

// gather collects the outputs of the instances that succeeded, in the order of the items.
func gather(run *dag.Run, n *dag.Node) *loopOutputs {
	l := &loopOutputs{}
	for _, c := range n.Children() {
		k := run.Node(c)
		if k.Spec.HookOf != 0 || k.Status != dag.Completed || k.Outputs == nil {
			continue
		}
		if len(k.Outputs.Params) > 0 {
			l.params = append(l.params, k.Outputs.Params)
		}
		if k.Outputs.Result != nil {
			l.results = append(l.results, *k.Outputs.Result)
		}
	}
	return l
}

func (l *loopOutputs) field(field string) (string, error) {
	switch field {
	case "outputs.result":
		return expr.AggregateResults(l.results)
	case "outputs.parameters":
		return expr.AggregateParameters(l.params)
	}
	name := strings.TrimPrefix(field, "outputs.parameters.")
	var values []string
	for _, p := range l.params {
		if v, ok := p[name]; ok {
			values = append(values, v)
		}
	}
	return expr.AggregateValues(values)
}

// GroupOutputs implements dag.Expander.
func (p *program) GroupOutputs(run *dag.Run, node int32) (*dag.Outputs, error) {
	n := run.Node(node)
	if p.set == nil {
		return nil, nil
	}
	switch n.Spec.Kind {
	case dag.KindRetry:
		return lastOutputs(run, n), nil
	case dag.KindFanOut:
		return fanOutOutputs(run, n), nil
	case dag.KindDAG, dag.KindSteps:
	default:
		return nil, nil
	}
	r, ok := parseRef(n.Spec.Call)
	if !ok {
		return nil, nil
	}
	_, _, t, ok := p.set.find(r)
	if !ok {
		return nil, nil
	}
	s := p.at(run, t, node)
	if err := p.unlistable(s, t); err != nil {
		return nil, err
	}
	return p.declared(s, t)
}

// unlistable reports a loop of the template whose results somebody refers to although they are no JSON. Argo finds out
// as soon as the group of steps has ended, whether or not anybody gets to use them.
func (p *program) unlistable(s *scope, t *template) error {
	for _, k := range t.calls {
		if !k.resultUsed || k.loop == nil {
			continue
		}
		if _, ok := s.callNode(k.name); ok {
			if s.call(k.name + ".outputs.result"); s.err != nil {
				return s.err
			}
		}
	}
	return nil
}

// declared computes the output parameters that a group's template declares.
func (p *program) declared(s *scope, t *template) (*dag.Outputs, error) {
	if len(t.outputs) == 0 {
		return nil, nil
	}
	out := &dag.Outputs{Params: map[string]string{}}
	for i := range t.outputs {
		o := &t.outputs[i]
		v, err := p.output(s, o)
		if err != nil {
			if o.fallback == nil {
				return nil, fmt.Errorf("cannot compute the output %q: %w", o.name, err)
			}
			if v, err = s.fill(o.fallback, false); err != nil {
				return nil, err
			}
		}
		out.Params[o.name] = v
		if o.global != "" {
			if out.Globals == nil {
				out.Globals = map[string]string{}
			}
			name, err := expr.Substitute(o.global, s, expr.Options{AllowUnresolved: true})
			if err != nil {
				return nil, fmt.Errorf("cannot compute the global name of the output %q: %w", o.name, err)
			}
			out.Globals[name] = v
		}
	}
	return out, nil
}

func (p *program) output(s *scope, o *output) (string, error) {
	if o.expression == "" {
		return s.fill(&o.parameter, true)
	}
	v, err := expr.EvalString(o.expression, s)
	if s.err != nil {
		err = s.err
	}
	return v, err
}

func lastOutputs(run *dag.Run, n *dag.Node) *dag.Outputs {
	kids := n.Children()
	for i := len(kids) - 1; i >= 0; i-- {
		if k := run.Node(kids[i]); k.Spec.HookOf == 0 {
			if k.Outputs == nil {
				return nil
			}
			return &dag.Outputs{Result: k.Outputs.Result, Params: k.Outputs.Params}
		}
	}
	return nil
}

// maxShown is the size in bytes up to which the lists that a loop gives are kept with its node. They are for people:
// whoever refers to them has them made from the instances.
const maxShown = 64 << 10

// fanOutOutputs shows what a loop gives, as far as it can be listed.
func fanOutOutputs(run *dag.Run, n *dag.Node) *dag.Outputs {
	l := gather(run, n)
	size := 0
	for _, r := range l.results {
		size += len(r)
	}
	for _, one := range l.params {
		for _, v := range one {
			size += len(v)
		}
	}
	if len(l.results) == 0 && len(l.params) == 0 || size > maxShown {
		return nil
	}
	out := &dag.Outputs{}
	if len(l.results) > 0 {
		if v, err := l.field("outputs.result"); err == nil {
			out.Result = &v
		}
	}
	for _, one := range l.params {
		for name := range one {
			if _, done := out.Params[name]; done {
				continue
			}
			if v, err := l.field("outputs.parameters." + name); err == nil {
				if out.Params == nil {
					out.Params = map[string]string{}
				}
				out.Params[name] = v
			}
		}
	}
	return out
}
