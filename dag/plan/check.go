package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// checkAll checks everything that needs all templates and calls.
func (c *compiler) checkAll() {
	r := &refChecker{compiler: c, budget: maxAncestry}
	for _, t := range c.set.all {
		c.settings(t)
		for _, k := range t.calls {
			c.passes(k)
		}
		r.template(t)
	}
	r.planHooks()
	for _, t := range c.set.all {
		for _, k := range t.calls {
			k.dynamic = c.isDynamic(k)
		}
	}
	c.recursion()
	c.unused()
}

// passes checks the arguments of a call against the parameters of its template.
func (c *compiler) passes(k *call) {
	c.given(k.callee, k.args, k.at, strconv.Quote(k.name))
	for _, h := range k.hooks {
		c.given(h.callee, h.args, h.at, "the hook "+h.name)
	}
	if k.hasWhen && k.when.tmpl == nil {
		if _, err := expr.EvalWhen(k.when.raw); err != nil {
			c.ds.warnf("when", k.at.at("when"), "values are compared as in: a == 'b' && 1 < 2",
				"%q will fail when its turn comes: %v", k.name, err)
		}
	}
}

func (c *compiler) given(callee int, args []argument, at *where, who string) {
	if callee < 0 {
		return
	}
	t := c.set.all[callee]
	known := map[string]*wfv1.Parameter{}
	names := make([]string, 0, len(t.inputs))
	for i := range t.src.Inputs.Parameters {
		p := &t.src.Inputs.Parameters[i]
		known[p.Name] = p
		names = append(names, p.Name)
	}
	have := map[string]bool{}
	plan := len(args) > 0 && at.key == "onExit"
	for i := range args {
		a := &args[i]
		have[a.name] = true
		p := known[a.name]
		if p == nil {
			if plan {
				continue // all of the plan's parameters are offered
			}
			hint := ""
			if near := expr.Nearest(a.name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			c.ds.warnf("unknown-argument", at.in("arguments", "parameters").item(i), hint, "the template %q has no parameter %q", t.name, a.name)
			continue
		}
		if a.value.tmpl == nil {
			c.enum(p, a.value.raw, at.in("arguments", "parameters").item(i))
		}
	}
	for _, in := range t.inputs {
		if !have[in.name] && in.value == nil && in.fallback == nil {
			c.ds.errorf("missing-argument", at, fmt.Sprintf("add %q to its arguments, or give the parameter a default", in.name),
				"%s calls %q without its parameter %q", who, t.name, in.name)
		}
	}
}

// isDynamic reports whether a call can only be worked out when its turn comes.
func (c *compiler) isDynamic(k *call) bool {
	if k.hasWhen || k.loop != nil || k.callee >= 0 && c.set.all[k.callee].retried() {
		return true
	}
	for i := range k.args {
		if runtimeRefs(&k.args[i].value) {
			return true
		}
	}
	return false
}

// runtimeRefs reports whether a text refers to what is only known while the plan runs.
func runtimeRefs(t *text) bool {
	for _, r := range t.refs {
		root, rest, _ := strings.Cut(r.Name, ".")
		switch root {
		case "inputs":
		case "workflow":
			second, _, _ := strings.Cut(rest, ".")
			switch second {
			case "", "status", "failures", "duration", "outputs":
				return true
			}
		default:
			return true
		}
	}
	return false
}

// settings checks what a template says of its own runs.
func (c *compiler) settings(t *template) {
	c.retrySettings(t)
	if p := t.src.Parallelism; p != nil {
		switch {
		case !t.kind.Group():
			c.ds.errorf("misplaced", t.at.at("parallelism"), "set it on the template that calls this one", "only dag and steps templates have parallelism")
		case *p < 1:
			c.ds.errorf("range", t.at.at("parallelism"), "", "parallelism must be at least 1, not %d", *p)
		}
	}
	if a := t.src.ActiveDeadlineSeconds; a != nil {
		at := t.at.at("activeDeadlineSeconds")
		switch {
		case t.kind.Group():
			c.ds.errorf("misplaced", at, "use activeDeadlineSeconds of the plan, or of the templates that run programs", "only templates that run a program have a deadline")
		case !strings.Contains(a.String(), "{{") && !wholeNumber(a, 1):
			c.ds.errorf("range", at, "", "activeDeadlineSeconds must be a whole number above 0, not %s", a.String())
		}
	}
	if t.src.Timeout != "" {
		at := t.at.at("timeout")
		if t.kind.Group() {
			c.ds.errorf("misplaced", at, "use activeDeadlineSeconds of the plan, or timeout of the templates that run programs", "only templates that run a program have a timeout")
		} else {
			c.duration(t.src.Timeout, at)
		}
	}
	switch {
	case t.src.Suspend != nil:
		c.duration(t.src.Suspend.Duration, t.at.in("suspend", "duration"))
	case t.src.Container != nil:
		c.container(t, t.src.Container.Image, t.src.Container.Command, t.at.at("container"))
		for i, e := range t.src.Container.Env {
			c.env(e.Name, t.at.in("container", "env").item(i))
		}
		c.dollars(t.src.Container.Command, t.src.Container.Args, t.src.Container.Env, t.at.at("container"))
	case t.src.Plugin != nil:
		c.plugin(t)
	case t.src.Script != nil:
		c.container(t, t.src.Script.Image, t.src.Script.Command, t.at.at("script"))
		for i, e := range t.src.Script.Env {
			c.env(e.Name, t.at.in("script", "env").item(i))
		}
		c.dollars(t.src.Script.Command, nil, t.src.Script.Env, t.at.at("script"))
	}
}

func (c *compiler) env(name string, at *where) {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		c.ds.errorf("env", at, "", "%q cannot be the name of an environment variable", name)
	}
}

func (c *compiler) container(t *template, image string, command []string, at *where) {
	if len(command) == 0 && t.clicArg == "" && !c.refusedIn(at) {
		c.ds.warnf(ruleNoCommand, at, "add command: the local executor has no images that could know one", "the template %q has no command", t.name)
	}
	if image == "" {
		c.ds.warnf(ruleNoImage, at, "Kubernetes needs one; the local executor does without", "the template %q has no image", t.name)
	}
}

func (c *compiler) duration(s string, at *where) {
	if strings.Contains(s, "{{") {
		return
	}
	if _, err := duration(s); err != nil {
		c.ds.errorf("duration", at, "", "%v", err)
	}
}

func wholeNumber(v *intstr.IntOrString, least int) bool {
	n, err := intOf(v)
	return err == nil && n >= least
}

func (c *compiler) retrySettings(t *template) {
	r := t.src.RetryStrategy
	if r == nil {
		return
	}
	at := t.at.at("retryStrategy")
	if r.Limit != nil && !strings.Contains(r.Limit.String(), "{{") && !wholeNumber(r.Limit, 0) {
		c.ds.errorf("range", at.at("limit"), "leave it out for no limit", "the limit must be a whole number, not %s", r.Limit.String())
	}
	policies := []string{"Always", "OnFailure", "OnError", "OnTransientError"}
	switch r.RetryPolicy {
	case "", wfv1.RetryPolicyAlways, wfv1.RetryPolicyOnFailure, wfv1.RetryPolicyOnError, wfv1.RetryPolicyOnTransientError:
	default:
		hint := "it can be " + strings.Join(policies, ", ")
		if near := expr.Nearest(string(r.RetryPolicy), policies); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.ds.errorf("enum", at.at("retryPolicy"), hint, "there is no retryPolicy %q", r.RetryPolicy)
	}
	if r.Expression != "" && !strings.Contains(r.Expression, "{{") { // else it is known once that is substituted
		c.expression(r.Expression, at.at("expression"))
	}
	if b := r.Backoff; b != nil {
		at = at.at("backoff")
		if b.Duration == "" {
			c.ds.errorf("duration", at, "add duration", "the back-off has no duration")
		}
		c.duration(b.Duration, at.at("duration"))
		c.duration(b.MaxDuration, at.at("maxDuration"))
		c.duration(b.Cap, at.at("cap"))
		if b.Factor != nil && !strings.Contains(b.Factor.String(), "{{") && !wholeNumber(b.Factor, 0) {
			c.ds.errorf("range", at.at("factor"), "", "the factor must be a whole number, not %s", b.Factor.String())
		}
	}
}

// recursion refuses templates that call themselves before anything can have run, and warns of those that do so without a
// condition later on: only a failure ends them before a limit does.
func (c *compiler) recursion() {
	atOnce := func(k *call) bool { return k.group == 0 && len(k.deps) == 0 }
	refused := make(map[int]bool)
	for _, cycle := range c.callCycles(atOnce) {
		for _, i := range cycle {
			refused[i] = true
		}
		c.ds.errorf("endless", c.set.all[cycle[0]].at, "add a when to one of the calls",
			"these templates call each other for ever, and nothing ever runs: %s", c.callPath(cycle))
	}
	for _, cycle := range c.callCycles(func(*call) bool { return true }) {
		if slices.ContainsFunc(cycle, func(i int) bool { return refused[i] }) {
			continue
		}
		c.ds.warnf("endless", c.set.all[cycle[0]].at, "add a when to one of the calls",
			"these templates call each other without a condition, until a limit is reached: %s", c.callPath(cycle))
	}
}

// callCycles finds the cycles of templates over those unconditional calls that count.
func (c *compiler) callCycles(counts func(*call) bool) [][]int {
	calls := make([][]int, len(c.set.all))
	for i, t := range c.set.all {
		for _, k := range t.calls {
			if k.callee >= 0 && !k.hasWhen && k.depends == nil && k.loop == nil && counts(k) {
				calls[i] = append(calls[i], k.callee)
			}
		}
	}
	return cycles(calls)
}

// callPath prints a cycle. Cycles come in the order of work, which is against the calls.
func (c *compiler) callPath(cycle []int) string {
	names := make([]string, 0, len(cycle)+1)
	for _, i := range append(slices.Clone(cycle), cycle[0]) {
		names = append(names, c.set.all[i].name)
	}
	if len(cycle) > 1 {
		slices.Reverse(names[1 : len(names)-1])
	}
	return strings.Join(names, " -> ")
}

// unused notes templates that nothing calls.
func (c *compiler) unused() {
	used := make([]bool, len(c.set.all))
	var visit func(i int)
	hooks := func(hs []*hook) {
		for _, h := range hs {
			visit(h.callee)
		}
	}
	visit = func(i int) {
		if i < 0 || used[i] {
			return
		}
		used[i] = true
		for _, k := range c.set.all[i].calls {
			visit(k.callee)
			hooks(k.hooks)
		}
	}
	visit(c.set.entry)
	hooks(c.set.hooks)
	if c.set.exit != nil {
		visit(c.set.exit.callee)
	}
	if c.set.entry < 0 {
		return
	}
	for i, t := range c.set.all {
		if !used[i] {
			c.ds.notef("unused-template", t.at, "", "nothing calls the template %q", t.name)
		}
	}
}
