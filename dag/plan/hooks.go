package plan

import (
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// Hook implements dag.Expander.
func (p *program) Hook(run *dag.Run, node int32, name string) ([]dag.NodeSpec, bool, error) {
	n := run.Node(node)
	r, ok := parseRef(n.Spec.Call)
	if !ok || p.set == nil {
		return nil, false, nil
	}
	hr, sc := ref{kind: 'w', hook: name}, p.at(run, nil, -1)
	if r.kind == 'c' {
		hr = ref{kind: 'h', template: r.template, call: r.call, hook: name, item: r.item}
		sc = p.around(run, n, r)
		sc.self, sc.own = p.set.all[r.template].calls[r.call], node
	}
	_, h, t, ok := p.set.find(hr)
	if !ok || h == nil {
		return nil, false, nil
	}
	path := n.Spec.Path + ".hooks." + name
	label := n.Spec.Name + ".hooks." + name
	if name == exitHook {
		path, label = n.Spec.Path+".onExit", n.Spec.Name+".onExit"
	}
	return p.fire(h, t, sc, site{ref: hr, name: label, path: path, parent: dag.SelfParent})
}

// OnExit implements dag.Expander.
func (p *program) OnExit(run *dag.Run) ([]dag.NodeSpec, error) {
	if p.set == nil || p.set.exit == nil {
		return nil, nil
	}
	r := ref{kind: 'x'}
	_, h, t, ok := p.set.find(r)
	if !ok {
		return nil, nil
	}
	specs, fire, err := p.fire(h, t, p.at(run, nil, -1), site{ref: r, name: p.task + ".onExit", path: ".onExit", parent: dag.NoParent})
	if !fire {
		return nil, err
	}
	return specs, err
}

// fire makes the nodes of a hook whose condition holds.
func (p *program) fire(h *hook, t *template, sc *scope, s site) ([]dag.NodeSpec, bool, error) {
	if h.expression != "" {
		ok, err := p.set.exprs[h.expression].Bool(sc, expr.Options{})
		if sc.err != nil {
			err = sc.err
		}
		if err != nil || !ok {
			return nil, false, err
		}
	}
	inputs, err := p.inputs(t, h.args, sc, false)
	if err != nil {
		return nil, false, err
	}
	b := newBuilder(p, sc.run)
	b.static(s, t, inputs)
	return b.specs, b.err == nil, b.err
}

// RetryAllowed implements dag.Expander.
func (p *program) RetryAllowed(run *dag.Run, node int32, failure *dag.Failure) (bool, error) {
	n := run.Node(node)
	var source string
	sc := p.at(run, nil, -1)
	if p.set != nil {
		r, ok := parseRef(n.Spec.Call)
		if !ok {
			return true, nil
		}
		_, _, t, ok := p.set.find(r)
		if !ok || t.src.RetryStrategy == nil {
			return true, nil
		}
		source = t.src.RetryStrategy.Expression
		sc.tmpl, sc.inputs = t, n.Spec.Inputs
	} else if t := p.clic.template(n); t != nil && t.RetryStrategy != nil {
		source = t.RetryStrategy.Expression
	}
	if source == "" {
		return true, nil
	}
	sc.extra = lastRetryVars(failure, n.Started, n.Ended)
	sc.extra["retries"] = itoa(n.Tries - n.TriesBase)
	if strings.Contains(source, "{{") { // as in Argo, what stands in braces is put in first
		text, err := expr.Substitute(source, sc, expr.Options{})
		if err != nil {
			return false, err
		}
		return expr.EvalBool(text, sc)
	}
	return p.expression(source).Bool(sc, expr.Options{})
}

// expression is a parsed expression of the plan; checking has shown that it can be parsed.
func (p *program) expression(source string) *expr.Expression {
	if p.set != nil {
		if e := p.set.exprs[source]; e != nil {
			return e
		}
	}
	e, err := expr.ParseExpression(source)
	if err != nil {
		e, _ = expr.ParseExpression("false")
	}
	return e
}
