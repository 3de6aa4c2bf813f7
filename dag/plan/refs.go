package plan

import (
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// maxAncestry bounds the search for what runs before what, over the whole plan.
const maxAncestry = 20_000_000

// refChecker checks that everything that {{tags}} and expressions refer to exists where it is used.
type refChecker struct {
	*compiler
	budget int
}

// use is where a reference stands.
type use struct {
	t *template
	// k is the call that it belongs to, or nil; own allows the call itself (in its hooks).
	k   *call
	own bool
	// item allows {{item}}; outputs all calls of the template; plan marks the plan's own hooks.
	item, outputs, plan, body bool
	at                        *where
}

// problem says why a reference cannot be resolved.
type problem struct {
	text string
	near []string
	hint string
	// soft problems are warnings in any case.
	soft bool
}

func (r *refChecker) template(t *template) {
	body := use{t: t, body: true}
	for i := range t.inputs {
		in := &t.inputs[i]
		at := t.at.in("inputs", "parameters").item(i)
		r.optional(in.value, body, at.at("value"))
		r.optional(in.fallback, body, at.at("default"))
	}
	if !t.kind.Group() {
		r.stringsIn(t, body)
	}
	if s := t.src.RetryStrategy; s != nil && s.Expression != "" && !strings.Contains(s.Expression, "{{") {
		r.expr(t.src.RetryStrategy.Expression, body, t.at.in("retryStrategy", "expression"))
	}
	r.text(&t.target, body, t.at.in("dag", "target"))
	for _, k := range t.calls {
		r.call(t, k)
	}
	all := use{t: t, outputs: true, body: !t.kind.Group()}
	for i := range t.outputs {
		o := &t.outputs[i]
		at := t.at.in("outputs", "parameters").item(i).at("valueFrom")
		r.text(&o.path, all, at.at("path"))
		r.text(&o.parameter, all, at.at("parameter"))
		r.optional(o.fallback, all, at.at("default"))
		if o.expression != "" {
			r.expr(o.expression, all, at.at("expression"))
		}
	}
}

func (r *refChecker) call(t *template, k *call) {
	u := use{t: t, k: k}
	if l := k.loop; l != nil {
		r.optional(l.param, u, k.at.at("withParam"))
		for _, f := range []struct {
			name string
			text *text
		}{{"start", &l.start}, {"end", &l.end}, {"count", &l.count}, {"format", &l.format}} {
			r.text(f.text, u, k.at.in("withSequence", f.name))
		}
		u.item = true
	}
	r.text(&k.when, u, k.at.at("when"))
	r.args(k.args, u, k.at)
	u.own = true
	for _, h := range k.hooks {
		r.hook(h, u)
	}
}

func (r *refChecker) hook(h *hook, u use) {
	if h.at != nil && h.at.key != "onExit" {
		r.args(h.args, u, h.at)
	}
	if h.expression != "" {
		r.expr(h.expression, u, h.at.at("expression"))
	}
}

func (r *refChecker) planHooks() {
	u := use{plan: true, t: &template{name: "spec"}}
	for _, h := range r.set.hooks {
		r.hook(h, u)
	}
	if r.set.exit != nil {
		r.hook(r.set.exit, u)
	}
}

func (r *refChecker) args(args []argument, u use, at *where) {
	for i := range args {
		r.text(&args[i].value, u, at.in("arguments", "parameters").item(i).at("value"))
	}
}

func (r *refChecker) optional(t *text, u use, at *where) {
	if t != nil {
		r.text(t, u, at)
	}
}

func (r *refChecker) text(t *text, u use, at *where) {
	u.at = at
	for _, ref := range t.refs {
		r.check(ref, u)
	}
}

func (r *refChecker) expr(source string, u use, at *where) {
	u.at = at
	e := r.set.exprs[source]
	if e == nil {
		return
	}
	for _, ref := range e.Refs() {
		r.check(ref, u)
	}
}

// check reports a reference that cannot be resolved.
func (r *refChecker) check(ref expr.Ref, u use) {
	root, rest, _ := strings.Cut(ref.Name, ".")
	var p *problem
	switch root {
	case "inputs":
		p = r.input(rest, u, ref.Expr)
	case "workflow":
		p = r.workflow(rest, u)
	case "steps", "tasks":
		p = r.callRef(root, rest, u, ref.Expr)
	case "item":
		p = r.item(rest, u)
	case "retries", "lastRetry":
		if u.t.src != nil && u.t.src.RetryStrategy == nil || u.k != nil {
			p = &problem{text: "only a template with a retryStrategy knows it", soft: root == "retries"}
		}
	case "outputs":
		if !u.body {
			p = &problem{text: "name the call that has the output, as in steps.NAME.outputs", soft: true}
		}
	case "pod", "node":
	default:
		if !ref.Expr {
			known := []string{"inputs", "workflow", "steps", "tasks", "item", "retries", "lastRetry", "pod", "node"}
			p = &problem{text: "it is no variable of Argo's and stays as it is", near: known, soft: true}
			if n := expr.Nearest(root, known); n != "" {
				p.hint = fmt.Sprintf("did you mean %s?", strings.TrimSuffix(n+"."+rest, "."))
			}
		}
	}
	if p == nil {
		return
	}
	shown := "{{" + ref.Name + "}}"
	if ref.Expr {
		shown = ref.Name
	}
	if p.hint == "" && len(p.near) > 0 {
		_, last, _ := cutLast(ref.Name)
		if n := expr.Nearest(last, p.near); n != "" {
			p.hint = fmt.Sprintf("did you mean %q?", n)
		}
	}
	if ref.Expr || p.soft {
		r.ds.warnf("unresolved", u.at, p.hint, "%s cannot be resolved: %s", shown, p.text)
		return
	}
	r.ds.errorf("unresolved", u.at, p.hint, "%s cannot be resolved: %s", shown, p.text)
}

// cutLast cuts at the last dot.
func cutLast(s string) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

func (r *refChecker) input(rest string, u use, inExpr bool) *problem {
	kind, name, _ := strings.Cut(rest, ".")
	switch kind {
	case "parameters":
	case "":
		if inExpr {
			return nil
		}
		fallthrough
	case "artifacts":
		return &problem{text: noArtifacts}
	default:
		return &problem{text: "inputs are called inputs.parameters.NAME"}
	}
	if name == "" {
		return nil
	}
	var names []string
	for _, in := range u.t.inputs {
		if in.name == name || inExpr && strings.HasPrefix(name, in.name+".") {
			return nil
		}
		names = append(names, in.name)
	}
	return &problem{text: fmt.Sprintf("the template %q has no parameter %q", u.t.name, name), near: names}
}

// workflowVars are the variables of the plan that need no looking up.
func workflowVars() []string {
	return []string{
		"name", "namespace", "uid", "serviceAccountName", "mainEntrypoint", "creationTimestamp", "duration", "priority",
		"parameters", "labels", "annotations", "status", "failures", "outputs", "scheduledTime",
	}
}

func (r *refChecker) workflow(rest string, u use) *problem {
	head, name, more := strings.Cut(rest, ".")
	switch head {
	case "parameters":
		if name == "" || name == "json" {
			return nil
		}
		var names []string
		for _, p := range r.wf.Spec.Arguments.Parameters {
			if p.Name == name {
				return nil
			}
			names = append(names, p.Name)
		}
		return &problem{text: fmt.Sprintf("the plan has no parameter %q", name), near: names}
	case "outputs":
		name = strings.TrimPrefix(name, "parameters.")
		if name == "parameters" || name == "" || r.set.globals[name] {
			return nil
		}
		for g := range r.set.globals {
			if strings.Contains(g, "{{") {
				return nil
			}
		}
		return &problem{text: fmt.Sprintf("no output has the globalName %q", name), near: sortedKeys(r.set.globals)}
	case "labels", "annotations":
		if _, ok := r.metadata(head)[name]; ok || name == "" || name == "json" || head == "labels" {
			return nil // labels may come with the submission
		}
		return &problem{text: fmt.Sprintf("the plan has no annotation %q", name), near: sortedKeys(r.metadata(head))}
	case "creationTimestamp", "":
		return nil
	case "failures", "status", "name", "namespace", "uid", "serviceAccountName", "mainEntrypoint", "duration", "priority", "scheduledTime":
		if !more {
			return nil
		}
	}
	return &problem{text: fmt.Sprintf("there is no workflow.%s", rest), near: workflowVars()}
}

func (r *refChecker) metadata(head string) map[string]string {
	all := map[string]string{}
	add := func(m map[string]string) {
		for k, v := range m {
			all[k] = v
		}
	}
	if head == "labels" {
		add(r.wf.Labels)
	} else {
		add(r.wf.Annotations)
	}
	if md := r.wf.Spec.WorkflowMetadata; md != nil {
		if head == "labels" {
			add(md.Labels)
		} else {
			add(md.Annotations)
		}
	}
	return all
}

func (r *refChecker) item(key string, u use) *problem {
	if !u.item {
		return &problem{text: "this is not in a loop", hint: "add withItems, withParam or withSequence", soft: key == ""}
	}
	items := u.k.loop.items
	if key == "" || len(items) == 0 {
		return nil
	}
	var names []string
	for _, it := range items {
		for name := range it.Scope() {
			if name == "item."+key {
				return nil
			}
			names = append(names, strings.TrimPrefix(name, "item."))
		}
	}
	return &problem{text: fmt.Sprintf("no item has %q", key), near: names}
}

// callRef checks steps.NAME.… and tasks.NAME.….
func (r *refChecker) callRef(root, rest string, u use, inExpr bool) *problem {
	want := map[dag.Kind]string{dag.KindSteps: "steps", dag.KindDAG: "tasks"}[u.t.kind]
	switch {
	case u.body && !u.outputs || want == "":
		return &problem{text: "programs know it only as a parameter", hint: "pass it as an argument of the call"}
	case root != want:
		return &problem{text: fmt.Sprintf("in a %s template they are called %s", u.t.kind, want), hint: "write " + want + "." + rest}
	case rest == "" && inExpr:
		for _, k := range u.t.calls {
			k.resultUsed = true
		}
		return nil
	}
	name, field, _ := strings.Cut(rest, ".")
	if name == "name" && field == "" {
		return nil
	}
	i, ok := u.t.byName[name]
	if !ok {
		return &problem{text: fmt.Sprintf("there is no %s %q in the template %q", strings.TrimSuffix(want, "s"), name, u.t.name), hint: nearCall(u.t, name, want, field)}
	}
	target := u.t.calls[i]
	if p := r.order(u, target, want); p != nil {
		return p
	}
	return r.field(u, target, field, inExpr)
}

func nearCall(t *template, name, root, field string) string {
	if near := expr.Nearest(name, sortedKeys(t.byName)); near != "" {
		return fmt.Sprintf("did you mean %s.%s?", root, strings.TrimSuffix(near+"."+field, "."))
	}
	return ""
}

// order checks that a call runs before the one that refers to it.
func (r *refChecker) order(u use, target *call, root string) *problem {
	if u.k == nil || u.own && target == u.k {
		return nil
	}
	before := target.group < u.k.group
	hint := "put it into a later group of steps"
	if root == "tasks" {
		before = r.ancestor(u.t, u.k.index, target.index)
		hint = fmt.Sprintf("let %q depend on %q", u.k.name, target.name)
	}
	if before {
		return nil
	}
	return &problem{text: fmt.Sprintf("%q does not run before %q", target.name, u.k.name), hint: hint}
}

// ancestor reports whether task from depends on task to, directly or not. Past its budget it believes so.
func (r *refChecker) ancestor(t *template, from, to int) bool {
	for _, d := range t.calls[from].deps {
		if d == to {
			return true
		}
	}
	seen := map[int]bool{from: true}
	queue := []int{from}
	for len(queue) > 0 {
		n := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, d := range t.calls[n].deps {
			if r.budget--; d == to || r.budget < 0 {
				return true
			}
			if !seen[d] {
				seen[d] = true
				queue = append(queue, d)
			}
		}
	}
	return false
}

// field checks what is asked of a call.
func (r *refChecker) field(u use, target *call, field string, inExpr bool) *problem {
	fields := []string{"id", "ip", "status", "exitCode", "startedAt", "finishedAt", "hostNodeName", "outputs.result", "outputs.parameters"}
	name, isParam := strings.CutPrefix(field, "outputs.parameters.")
	switch {
	case field == "outputs.result" || (field == "" || field == "outputs") && inExpr:
		target.resultUsed = true
		if field == "outputs.result" && target.callee >= 0 && r.set.all[target.callee].kind != dag.KindStage {
			return &problem{text: fmt.Sprintf("%q runs no program that could have a result", target.name), hint: "use outputs.parameters"}
		}
	case isParam:
		if p := r.outputOf(target, name); p != nil {
			return p
		}
	case strings.HasPrefix(field, "outputs.artifacts"):
		return &problem{text: noArtifacts}
	default:
		for _, f := range fields {
			if f == field {
				return nil
			}
		}
		return &problem{text: fmt.Sprintf("a call has no %q", field), near: fields}
	}
	if (target.hasWhen || target.loop.empty()) && !u.own && u.k != nil && !u.k.hasWhen {
		r.ds.warnf("skipped-output", u.at, fmt.Sprintf("give %q a when as well, or use an expression with a default", u.k.name),
			"if %q is skipped, this stays as literal text", target.name)
	}
	return nil
}

func (r *refChecker) outputOf(target *call, name string) *problem {
	if target.callee < 0 {
		return nil
	}
	t := r.set.all[target.callee]
	var names []string
	for _, o := range t.outputs {
		if o.name == name {
			return nil
		}
		names = append(names, o.name)
	}
	return &problem{text: fmt.Sprintf("the template %q has no output %q", t.name, name), near: names}
}

// empty reports whether a loop certainly has no items.
func (l *loop) empty() bool {
	if l == nil || l.items != nil {
		return false
	}
	if l.param != nil {
		return strings.ReplaceAll(l.param.raw, " ", "") == "[]"
	}
	return l.count.raw == "0"
}
