package plan

import (
	"fmt"
	"strconv"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// filler substitutes a string of a template's settings.
type filler func(s string) (string, error)

// policy is how the node of a call is treated. k is nil for the entry and for hooks. Without a scope, nothing can be
// substituted. nil stands for the default policy.
func (p *program) policy(t *template, k *call, sc expr.Scope) (*dag.Policy, error) {
	fill := func(s string) (string, error) {
		if sc == nil {
			return s, nil
		}
		return expr.Substitute(s, sc, expr.Options{AllowUnresolved: true})
	}
	out := dag.Policy{}
	if k != nil {
		out.ContinueFailed, out.ContinueErrored = k.continues[0], k.continues[1]
	}
	if err := p.retry(&out, t, fill); err != nil {
		return nil, err
	}
	switch t.kind {
	case dag.KindStage:
		if err := p.stagePolicy(&out, t, k, fill); err != nil {
			return nil, err
		}
	case dag.KindGate:
		d, err := filled(t.src.Suspend.Duration, fill)
		if err != nil {
			return nil, fmt.Errorf("suspend.duration: %w", err)
		}
		out.GateFor = d
	default:
		if !t.retried() {
			groupPolicy(&out, t)
		}
	}
	if out == (dag.Policy{}) {
		return nil, nil
	}
	return &out, nil
}

// tryPolicy is the policy of each try of a group that is retried.
func tryPolicy(t *template) *dag.Policy {
	out := dag.Policy{}
	groupPolicy(&out, t)
	if out == (dag.Policy{}) {
		return nil
	}
	return &out
}

func groupPolicy(out *dag.Policy, t *template) {
	if n := t.src.Parallelism; n != nil {
		out.Parallelism = int32(min(*n, 1<<30))
	}
	out.FailFast = t.src.FailFast != nil && *t.src.FailFast
}

func (p *program) stagePolicy(out *dag.Policy, t *template, k *call, fill filler) error {
	timeout, err := filled(t.src.Timeout, fill)
	if err != nil {
		return fmt.Errorf("timeout: %w", err)
	}
	out.Timeout = timeout
	if a := t.src.ActiveDeadlineSeconds; a != nil {
		n, err := number32(a, fill)
		if err != nil {
			return fmt.Errorf("activeDeadlineSeconds: %w", err)
		}
		if d := dag.Duration(n) * 1000; d > 0 && (timeout == 0 || d < timeout) {
			out.Timeout = d
		}
	}
	p.annotated(out, t.src)
	if t.clicArg != "" {
		out.Callbacks = p.callbacks(t.platform)
	}
	return asked(out, t, k, fill)
}

// annotated applies the annotations of ours.
func (p *program) annotated(out *dag.Policy, t *wfv1.Template) {
	if n, err := strconv.ParseInt(annotation(p.wf, t, annotationPriority), 10, 32); err == nil {
		out.Priority = int32(n)
	}
	if d, err := duration(annotation(p.wf, t, annotationGrace)); err == nil {
		out.Grace = d
	}
	output := outputOf(p.wf, t, same)
	out.Checked = output.Checked()
	out.Withheld = output != nil && output.Publish
	if out.Retry != nil {
		out.Retry.Started = annotation(p.wf, t, annotationStarted) == "true"
	}
}

func (p *program) callbacks(platform string) dag.Callbacks {
	if c, ok := p.opts.Callbacks[platform]; ok {
		return c
	}
	if c, ok := p.opts.Callbacks[""]; ok {
		return c
	}
	return dag.CallbacksOptional
}

// asked says which outputs the stage's attempts bring.
func asked(out *dag.Policy, t *template, k *call, fill filler) error {
	all := &dag.Asked{Result: t.src.Script != nil || k != nil && k.resultUsed}
	for i := range t.outputs {
		o := &t.outputs[i]
		global, err := fill(o.global)
		if err != nil {
			return fmt.Errorf("globalName of output %q: %w", o.name, err)
		}
		all.Params = append(all.Params, dag.AskedParam{Name: o.name, Global: global})
	}
	if all.Result || len(all.Params) > 0 {
		out.Captures, out.Asked = true, all
	}
	return nil
}

// retry translates a retryStrategy. As in Argo, failures are retried and errors are not, unless there is an expression:
// then it alone decides.
func (p *program) retry(out *dag.Policy, t *template, fill filler) error {
	s := t.src.RetryStrategy
	if s == nil {
		return nil
	}
	r := &dag.Retry{Limit: -1, Expression: s.Expression != ""}
	policy := s.RetryPolicy
	switch {
	case policy != "":
	case s.Expression != "":
		policy = wfv1.RetryPolicyAlways
	default:
		policy = wfv1.RetryPolicyOnFailure
	}
	switch policy {
	case wfv1.RetryPolicyOnFailure:
		r.Failed = true
	case wfv1.RetryPolicyOnError:
		r.Errored = true
	case wfv1.RetryPolicyOnTransientError:
		r.Kinds = 1<<dag.FailEvicted | 1<<dag.FailLost | 1<<dag.FailLaunch
	}
	var err error
	if s.Limit != nil {
		if r.Limit, err = number32(s.Limit, fill); err != nil {
			return fmt.Errorf("retryStrategy.limit: %w", err)
		}
	}
	if b := s.Backoff; b != nil {
		if err = backoff(r, b, fill); err != nil {
			return fmt.Errorf("retryStrategy.backoff: %w", err)
		}
	}
	out.Retry = r
	return nil
}

func backoff(r *dag.Retry, b *wfv1.Backoff, fill filler) (err error) {
	if r.Base, err = filled(b.Duration, fill); err != nil {
		return err
	}
	if r.Within, err = filled(b.MaxDuration, fill); err != nil {
		return err
	}
	if r.Cap, err = filled(b.Cap, fill); err != nil {
		return err
	}
	if b.Factor != nil {
		n, err := number32(b.Factor, fill)
		if err != nil {
			return err
		}
		r.Factor = float64(n)
	}
	return nil
}

func filled(s string, fill filler) (dag.Duration, error) {
	s, err := fill(s)
	if err != nil {
		return 0, err
	}
	return duration(s)
}

func number32(v *intstr.IntOrString, fill filler) (int32, error) {
	if v.Type == intstr.Int {
		return v.IntVal, nil
	}
	s, err := fill(v.StrVal)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", s)
	}
	return int32(n), nil
}

// intOf is the number in a field that can also be text.
func intOf(v *intstr.IntOrString) (int, error) {
	n, err := number32(v, func(s string) (string, error) { return s, nil })
	return int(n), err
}

// templated reports whether the settings of a template have to be substituted for each call.
func templated(t *wfv1.Template) bool {
	has := func(s string) bool { return len(s) > 1 && containsTag(s) }
	if a := t.ActiveDeadlineSeconds; a != nil && has(a.StrVal) || has(t.Timeout) || t.Suspend != nil && has(t.Suspend.Duration) {
		return true
	}
	for i := range t.Outputs.Parameters {
		if has(t.Outputs.Parameters[i].GlobalName) {
			return true
		}
	}
	r := t.RetryStrategy
	if r == nil {
		return false
	}
	if r.Limit != nil && has(r.Limit.StrVal) {
		return true
	}
	b := r.Backoff
	return b != nil && (has(b.Duration) || has(b.MaxDuration) || has(b.Cap) || b.Factor != nil && has(b.Factor.StrVal))
}
