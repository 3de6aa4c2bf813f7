package plan

import (
	"encoding/json"
	"fmt"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// compiler turns Argo's types into templates and calls, and reports everything that is wrong with them.
type compiler struct {
	ds  *collector
	wf  *wfv1.Workflow
	set *templateSet
}

func compile(wf *wfv1.Workflow, ds *collector) *templateSet {
	c := &compiler{ds: ds, wf: wf, set: &templateSet{
		wf: wf, byName: map[string]int{}, entry: -1, globals: map[string]bool{}, exprs: map[string]*expr.Expression{},
	}}
	spec := (*where)(nil).at("spec")
	c.parameters(spec)
	for i := range wf.Spec.Templates {
		t := &wf.Spec.Templates[i]
		at := spec.at("templates").item(i)
		if t.Name == "" {
			ds.errorf("template-name", at, "", "the template has no name")
		} else if first, taken := c.set.byName[t.Name]; taken {
			ds.errorf("duplicate-name", at.at("name"), "", "the template %q exists already, as %s", t.Name, c.set.all[first].at)
		} else {
			c.set.byName[t.Name] = len(c.set.all)
		}
		c.template(t, at, t.Name)
	}
	// Calls come second, because they name templates.
	for i := 0; i < len(c.set.all); i++ { // the list grows by inline templates
		c.body(c.set.all[i])
	}
	c.entry(spec)
	c.checkAll()
	return c.set
}

// parameters checks the plan's own.
func (c *compiler) parameters(spec *where) {
	seen := map[string]bool{}
	for i := range c.wf.Spec.Arguments.Parameters {
		p := &c.wf.Spec.Arguments.Parameters[i]
		at := spec.in("arguments", "parameters").item(i)
		c.parameterName(p.Name, at, seen)
		if p.Value != nil {
			c.enum(p, p.Value.String(), at.at("value"))
		}
	}
}

func (c *compiler) parameterName(name string, at *where, seen map[string]bool) {
	switch {
	case name == "":
		c.ds.errorf("parameter-name", at, "", "the parameter has no name")
	case !paramName.MatchString(name):
		c.ds.errorf("parameter-name", at.at("name"), "letters, digits, - and _ are allowed", "%q cannot be a parameter's name", name)
	case seen[name]:
		c.ds.errorf("duplicate-name", at.at("name"), "", "there is a parameter %q already", name)
	}
	seen[name] = true
}

// enum checks a value against those that a parameter can have.
func (c *compiler) enum(p *wfv1.Parameter, value string, at *where) {
	if len(p.Enum) == 0 || strings.Contains(value, "{{") {
		return
	}
	var values []string
	for _, e := range p.Enum {
		if e.String() == value {
			return
		}
		values = append(values, e.String())
	}
	c.ds.errorf("enum", at, "it can be "+strings.Join(values, ", "), "the parameter %q cannot be %q", p.Name, value)
}

// kinds lists the kinds that a template has; it must be exactly one.
func kinds(t *wfv1.Template) (names []string, kind dag.Kind) {
	has := func(ok bool, name string, k dag.Kind) {
		if ok {
			names, kind = append(names, name), k
		}
	}
	has(t.Container != nil, "container", dag.KindStage)
	has(t.Script != nil, "script", dag.KindStage)
	has(t.DAG != nil, "dag", dag.KindDAG)
	has(t.Steps != nil, "steps", dag.KindSteps)
	has(t.Suspend != nil, "suspend", dag.KindGate)
	has(t.Plugin != nil, "plugin", dag.KindStage)
	return names, kind
}

// template compiles what belongs to the template alone. callName is the name that calls give it.
func (c *compiler) template(t *wfv1.Template, at *where, callName string) *template {
	names, kind := kinds(t)
	out := &template{index: len(c.set.all), name: t.Name, src: t, at: at, kind: kind, byName: map[string]int{}}
	if out.name == "" {
		out.name = callName
	}
	c.set.all = append(c.set.all, out)
	switch {
	case len(names) == 0 && !c.refusedIn(at):
		c.ds.errorf("template-kind", at, "give it a container, script, dag, steps, suspend or plugin", "the template %q does nothing", out.name)
	case len(names) > 1:
		c.ds.errorf("template-kind", at, "make them templates of their own", "the template %q is several things at once: %s", out.name, strings.Join(names, ", "))
	}
	if t.Name != "" && !jobName(t.Name) && !(kind.Group() && plainName(t.Name)) {
		c.ds.errorf("template-name", at.at("name"), "use lower-case letters, digits and -",
			"%q cannot be a template's name, because pods and jobs are named after it", t.Name)
	}
	named := out.name
	if plugin, _ := pluginOf(t); plugin != "" {
		named = plugin // whoever runs it is chosen by what it is
	}
	out.platform = platformOf(c.wf, &wfv1.Template{Name: named, Metadata: t.Metadata})
	checkAnnotations(t.Metadata.Annotations, at.in("metadata", "annotations"), c.ds)
	c.inputs(out)
	c.outputs(out)
	if len(names) == 1 && t.Container != nil && len(out.inputs) > 0 {
		out.clicArg = clicArgument(out.name, out.platform, out.inputs[0].name)
	}
	if kind == dag.KindStage {
		checkOutput(c.wf, t, out.clicArg != "", at.in("metadata", "annotations"), c.ds)
	}
	return out
}

// plainName reports whether the name is of letters, digits and hyphens: enough where no pod is named after it.
func plainName(s string) bool { return callName.MatchString(s) }

// jobName reports whether pods can be named after the name.
func jobName(s string) bool { return plainName(s) && strings.ToLower(s) == s }

// refusedIn reports whether something in the template was refused, so that its kind may be missing for that reason.
func (c *compiler) refusedIn(at *where) bool {
	prefix := at.String() + "."
	for i := range c.ds.list {
		if d := &c.ds.list[i]; (d.Rule == "not-supported" || d.Rule == "unknown-field" || d.Rule == "type") && strings.HasPrefix(d.Field, prefix) {
			return true
		}
	}
	return false
}

func (c *compiler) inputs(t *template) {
	seen := map[string]bool{}
	for i := range t.src.Inputs.Parameters {
		p := &t.src.Inputs.Parameters[i]
		at := t.at.in("inputs", "parameters").item(i)
		c.parameterName(p.Name, at, seen)
		in := input{name: p.Name}
		for _, e := range p.Enum {
			in.enum = append(in.enum, e.String())
		}
		if p.Value != nil {
			v := newText(p.Value.String(), at.at("value"), c.ds)
			in.value = &v
			c.enum(p, v.raw, at.at("value"))
		}
		switch {
		case p.Default != nil:
			v := newText(p.Default.String(), at.at("default"), c.ds)
			in.fallback = &v
			c.enum(p, v.raw, at.at("default"))
		case p.ValueFrom != nil && p.ValueFrom.Default != nil:
			v := newText(p.ValueFrom.Default.String(), at.in("valueFrom", "default"), c.ds)
			in.fallback = &v
		}
		t.inputs = append(t.inputs, in)
	}
}

func (c *compiler) outputs(t *template) {
	seen := map[string]bool{}
	for i := range t.src.Outputs.Parameters {
		p := &t.src.Outputs.Parameters[i]
		at := t.at.in("outputs", "parameters").item(i)
		c.parameterName(p.Name, at, seen)
		o := output{name: p.Name, global: p.GlobalName}
		if p.GlobalName != "" {
			c.set.globals[p.GlobalName] = true
			if !paramName.MatchString(p.GlobalName) && !strings.Contains(p.GlobalName, "{{") {
				c.ds.errorf("parameter-name", at.at("globalName"), "letters, digits, - and _ are allowed", "%q cannot be a parameter's name", p.GlobalName)
			}
		}
		c.outputFrom(t, &o, p.ValueFrom, at)
		t.outputs = append(t.outputs, o)
	}
}

// outputFrom compiles where an output comes from, and checks that the template's kind has such outputs.
func (c *compiler) outputFrom(t *template, o *output, from *wfv1.ValueFrom, at *where) {
	if from == nil {
		if !c.refusedIn(at) {
			c.ds.errorf("output", at, "add valueFrom", "the output %q does not say where its value comes from", o.name)
		}
		return
	}
	at = at.at("valueFrom")
	o.path = newText(from.Path, at.at("path"), c.ds)
	o.parameter = newText(from.Parameter, at.at("parameter"), c.ds)
	o.expression = from.Expression
	if from.Default != nil {
		v := newText(from.Default.String(), at.at("default"), c.ds)
		o.fallback = &v
	}
	if o.expression != "" {
		c.expression(o.expression, at.at("expression"))
	}
	group := t.kind.Group()
	switch {
	case group && from.Path != "":
		c.ds.errorf("output", at.at("path"), "use parameter or expression", "outputs of a %s template do not come from files", t.kind)
	case !group && (from.Parameter != "" || from.Expression != ""):
		c.ds.errorf("output", at, "use path", "outputs of a program come from files")
	case from.Parameter != "" && from.Expression != "":
		c.ds.errorf("output", at, "keep one of them", "the output %q has a parameter and an expression", o.name)
	case from.Path == "" && from.Parameter == "" && from.Expression == "" && !c.refusedIn(at):
		hint := "use path"
		if group {
			hint = "use parameter or expression"
		}
		c.ds.errorf("output", at, hint, "the output %q does not say where its value comes from", o.name)
	}
}

// expression parses an expression, and keeps it.
func (c *compiler) expression(s string, at *where) *expr.Expression {
	if e, ok := c.set.exprs[s]; ok {
		return e
	}
	e, err := expr.ParseExpression(s)
	if err != nil {
		c.ds.expression(at, "expression", s, err)
		return nil
	}
	c.set.exprs[s] = e
	return e
}

// entry finds the entry and the exit handler.
func (c *compiler) entry(spec *where) {
	s := &c.wf.Spec
	switch {
	case len(s.Templates) == 0:
		c.ds.errorf("entrypoint", spec, "", "the plan has no templates")
	case s.Entrypoint == "":
		c.ds.errorf("entrypoint", spec, "name the template that the plan begins with", "the plan has no entrypoint")
	default:
		c.set.entry = c.find(s.Entrypoint, spec.at("entrypoint"), "")
	}
	if c.set.entry >= 0 {
		c.entryArguments(spec)
	}
	if s.OnExit != "" {
		c.set.exit = &hook{name: exitHook, at: spec.at("onExit"), args: c.planArguments(spec)}
		c.set.exit.callee = c.find(s.OnExit, spec.at("onExit"), "")
	}
	for _, name := range sortedKeys(s.Hooks) {
		h := c.hook(name, s.Hooks[wfv1.LifecycleEvent(name)], spec.in("hooks", name))
		if h.name == exitHook {
			c.set.exit = h
			continue
		}
		c.set.hooks = append(c.set.hooks, h)
	}
}

// planArguments are the plan's parameters, handed on as arguments.
func (c *compiler) planArguments(spec *where) []argument {
	var args []argument
	for i := range c.wf.Spec.Arguments.Parameters {
		name := c.wf.Spec.Arguments.Parameters[i].Name
		args = append(args, argument{name: name, value: newText("{{workflow.parameters."+name+"}}", spec, c.ds)})
	}
	return args
}

// entryArguments checks that the entry has what it needs.
func (c *compiler) entryArguments(spec *where) {
	have := map[string]bool{}
	for i := range c.wf.Spec.Arguments.Parameters {
		have[c.wf.Spec.Arguments.Parameters[i].Name] = true
	}
	t := c.set.all[c.set.entry]
	for _, in := range t.inputs {
		if in.value == nil && in.fallback == nil && !have[in.name] {
			c.ds.errorf("missing-argument", spec.at("entrypoint"), fmt.Sprintf("add a parameter %q to spec.arguments", in.name),
				"the template %q needs the parameter %q", t.name, in.name)
		}
	}
}

// find looks a template up, and reports one that does not exist.
func (c *compiler) find(name string, at *where, calls string) int {
	if i, ok := c.set.byName[name]; ok {
		return i
	}
	if strings.Contains(name, "{{") {
		c.ds.errorf("unknown-template", at, "call one template or the other with when", "the name of a template cannot be computed: %s", name)
		return -1
	}
	hint := ""
	if near := expr.Nearest(name, sortedKeys(c.set.byName)); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(c.set.byName) > 0 && len(c.set.byName) <= 8 {
		hint = "templates are " + strings.Join(sortedKeys(c.set.byName), ", ")
	}
	if calls != "" {
		c.ds.errorf("unknown-template", at, hint, "%q calls %q, but there is no such template", calls, name)
	} else {
		c.ds.errorf("unknown-template", at, hint, "there is no template %q", name)
	}
	return -1
}

func (c *compiler) hook(name string, h wfv1.LifecycleHook, at *where) *hook {
	out := &hook{name: name, at: at, expression: h.Expression, callee: -1}
	if h.Template != "" {
		out.callee = c.find(h.Template, at.at("template"), "")
	} else if h.TemplateRef == nil {
		c.ds.errorf("hook", at, "", "the hook %q names no template", name)
	}
	out.args = c.arguments(h.Arguments, at.at("arguments"))
	switch {
	case h.Expression != "":
		c.expression(h.Expression, at.at("expression"))
	case name != exitHook:
		c.ds.errorf("hook", at, "only the hook called exit can do without", "the hook %q needs an expression that says when it runs", name)
	}
	if !callName.MatchString(name) {
		c.ds.errorf("hook", at, "letters, digits and - are allowed", "%q cannot be a hook's name", name)
	}
	return out
}

func (c *compiler) arguments(a wfv1.Arguments, at *where) []argument {
	seen := map[string]bool{}
	var args []argument
	for i := range a.Parameters {
		p := &a.Parameters[i]
		here := at.at("parameters").item(i)
		c.parameterName(p.Name, here, seen)
		switch {
		case p.Value != nil:
			args = append(args, argument{p.Name, newText(p.Value.String(), here.at("value"), c.ds)})
		case p.Default != nil:
			args = append(args, argument{p.Name, newText(p.Default.String(), here.at("default"), c.ds)})
		case p.ValueFrom != nil && p.ValueFrom.Default != nil:
			args = append(args, argument{p.Name, newText(p.ValueFrom.Default.String(), here.in("valueFrom", "default"), c.ds)})
		case !c.refusedIn(here):
			c.ds.errorf("missing-argument", here, "add a value", "the argument %q has no value", p.Name)
		}
	}
	return args
}

// items reads withItems.
func (c *compiler) items(list []wfv1.Item, at *where) []expr.Item {
	var items []expr.Item
	for i := range list {
		raw := list[i].Value
		if len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		item, err := expr.NewItem(raw)
		if err != nil {
			c.ds.expression(at.item(i), "items", string(raw), err)
			continue
		}
		items = append(items, item)
	}
	return items
}
