package plan

import (
	"fmt"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// body compiles the calls of a template.
func (c *compiler) body(t *template) {
	switch {
	case t.src.DAG != nil:
		c.dag(t)
	case t.src.Steps != nil:
		c.steps(t)
	}
}

func (c *compiler) steps(t *template) {
	if len(t.src.Steps) == 0 {
		c.ds.errorf("template-kind", t.at.at("steps"), "", "the template %q has no steps", t.name)
	}
	for g := range t.src.Steps {
		group := make([]int, 0, len(t.src.Steps[g].Steps))
		for i := range t.src.Steps[g].Steps {
			s := &t.src.Steps[g].Steps[i]
			task := wfv1.DAGTask{
				Name: s.Name, Template: s.Template, Inline: s.Inline, Arguments: s.Arguments, TemplateRef: s.TemplateRef,
				WithItems: s.WithItems, WithParam: s.WithParam, WithSequence: s.WithSequence, When: s.When,
				ContinueOn: s.ContinueOn, OnExit: s.OnExit, Hooks: s.Hooks,
			}
			k := c.call(t, &task, t.at.at("steps").item(g).item(i))
			k.group = g
			group = append(group, k.index)
		}
		t.groups = append(t.groups, group)
	}
}

func (c *compiler) dag(t *template) {
	tasks := t.src.DAG.Tasks
	at := t.at.in("dag", "tasks")
	if len(tasks) == 0 {
		c.ds.errorf("template-kind", at, "", "the template %q has no tasks", t.name)
	}
	t.target = newText(t.src.DAG.Target, t.at.in("dag", "target"), c.ds)
	depends := false
	for i := range tasks {
		depends = depends || tasks[i].Depends != ""
		c.call(t, &tasks[i], at.item(i))
	}
	for i := range tasks {
		if c.dependencies(t, t.calls[i], &tasks[i], depends); depends && tasks[i].ContinueOn != nil {
			c.ds.errorf("depends", t.calls[i].at.at("continueOn"), "name the outcomes in depends, such as a.Failed",
				"continueOn cannot be used in a dag with depends")
		}
	}
	c.acyclic(t)
	for _, name := range strings.Fields(t.target.raw) {
		if _, ok := t.byName[name]; !ok && t.target.tmpl == nil {
			c.unknownTask(t, name, t.at.in("dag", "target"), "the target names it")
		}
	}
}

// call compiles a call and adds it to the template.
func (c *compiler) call(t *template, task *wfv1.DAGTask, at *where) *call {
	k := &call{index: len(t.calls), name: task.Name, at: at, callee: -1}
	t.calls = append(t.calls, k)
	switch first, taken := t.byName[task.Name]; {
	case task.Name == "":
		c.ds.errorf("call-name", at, "", "the call has no name")
	case taken:
		c.ds.errorf("duplicate-name", at.at("name"), "", "there is a %q in this template already, as %s", task.Name, t.calls[first].at)
	case !callName.MatchString(task.Name):
		c.ds.errorf("call-name", at.at("name"), "letters, digits and - are allowed", "%q cannot be a name of a call", task.Name)
	default:
		t.byName[task.Name] = k.index
	}
	k.callee = c.callee(task, at)
	k.args = c.arguments(task.Arguments, at.at("arguments"))
	if task.When != "" {
		k.hasWhen = true
		k.when = newText(task.When, at.at("when"), c.ds)
	}
	k.loop = c.loop(task, at)
	if task.ContinueOn != nil {
		k.continues = [2]bool{task.ContinueOn.Failed, task.ContinueOn.Error}
	}
	if task.OnExit != "" {
		h := &hook{name: exitHook, at: at.at("onExit"), args: c.planArguments(at)}
		h.callee = c.find(task.OnExit, at.at("onExit"), "")
		k.hooks = append(k.hooks, h)
	}
	for _, name := range sortedKeys(task.Hooks) {
		h := c.hook(name, task.Hooks[wfv1.LifecycleEvent(name)], at.in("hooks", name))
		if name == exitHook && task.OnExit != "" {
			k.hooks[0] = h // as in Argo, the hook wins over the older field
			continue
		}
		k.hooks = append(k.hooks, h)
	}
	return k
}

func (c *compiler) callee(task *wfv1.DAGTask, at *where) int {
	switch {
	case task.Inline != nil && task.Template != "":
		c.ds.errorf("unknown-template", at, "keep one of them", "%q has a template and an inline one", task.Name)
	case task.Inline != nil:
		inline := c.template(task.Inline, at.at("inline"), task.Name)
		return inline.index
	case task.Template == "" && task.TemplateRef == nil:
		if !c.refusedIn(at) {
			c.ds.errorf("unknown-template", at, "add template", "%q does not say which template it calls", task.Name)
		}
	case task.Template != "":
		return c.find(task.Template, at.at("template"), task.Name)
	}
	return -1
}

func (c *compiler) loop(task *wfv1.DAGTask, at *where) *loop {
	n := 0
	for _, has := range []bool{len(task.WithItems) > 0, task.WithParam != "", task.WithSequence != nil} {
		if has {
			n++
		}
	}
	if n > 1 {
		c.ds.errorf("loop", at, "keep one of them", "%q has several of withItems, withParam and withSequence", task.Name)
	}
	switch {
	case len(task.WithItems) > 0:
		return &loop{items: c.items(task.WithItems, at.at("withItems"))}
	case task.WithItems != nil && n == 0:
		c.ds.warnf("empty-items", at.at("withItems"), "use withParam: '[]' to run nothing", "as in Argo, %q runs once: an empty withItems is no loop", task.Name)
	case task.WithParam != "":
		l := &loop{}
		p := newText(task.WithParam, at.at("withParam"), c.ds)
		l.param = &p
		if p.tmpl == nil {
			if _, err := expr.ParseItems(p.raw); err != nil {
				c.ds.warnf("with-param", at.at("withParam"), "withParam takes a JSON list", "%q will fail when it runs: %v", task.Name, err)
			}
		}
		return l
	case task.WithSequence != nil:
		return c.sequence(task, at)
	}
	return nil
}

func (c *compiler) sequence(task *wfv1.DAGTask, at *where) *loop {
	s := task.WithSequence
	at = at.at("withSequence")
	l := &loop{format: newText(s.Format, at.at("format"), c.ds)}
	field := func(v interface{ String() string }, name string, set bool) text {
		if !set {
			return text{}
		}
		return newText(v.String(), at.at(name), c.ds)
	}
	l.start = field(s.Start, "start", s.Start != nil)
	l.end = field(s.End, "end", s.End != nil)
	l.count = field(s.Count, "count", s.Count != nil)
	switch {
	case s.Count == nil && s.End == nil:
		c.ds.errorf("loop", at, "", "withSequence needs a count or an end")
	case s.Count != nil && s.End != nil:
		c.ds.errorf("loop", at, "keep one of them", "withSequence has a count and an end")
	case l.start.tmpl == nil && l.end.tmpl == nil && l.count.tmpl == nil && l.format.tmpl == nil:
		if _, err := expr.Sequence(l.start.raw, l.end.raw, l.count.raw, l.format.raw, expr.MaxItems); err != nil {
			c.ds.errorf("loop", at, "", "%v", err)
		}
	}
	return l
}

// dependencies compiles dependencies or depends.
func (c *compiler) dependencies(t *template, k *call, task *wfv1.DAGTask, depends bool) {
	at := k.at
	if depends && len(task.Dependencies) > 0 {
		c.ds.errorf("depends", at.at("dependencies"), "write depends: "+strings.Join(task.Dependencies, " && "),
			"dependencies and depends cannot be used in the same dag")
	}
	if (depends || len(task.Dependencies) > 0) && task.Name != "" && task.Name[0] >= '0' && task.Name[0] <= '9' {
		c.ds.errorf("call-name", at.at("name"), "", "the name %q must not begin with a digit where the dag has dependencies", task.Name)
	}
	names := task.Dependencies
	field := at.at("dependencies")
	if task.Depends != "" {
		field = at.at("depends")
		e, err := expr.ParseDepends(task.Depends)
		if err != nil {
			c.ds.expression(field, "depends", task.Depends, err)
			return
		}
		names = e.Tasks()
		k.depends = e
	}
	seen := map[int]bool{}
	for i, name := range names {
		place := field
		if k.depends == nil {
			place = field.item(i)
		}
		d, ok := t.byName[name]
		switch {
		case !ok:
			c.unknownTask(t, name, place, fmt.Sprintf("%q depends on it", task.Name))
		case seen[d]:
			c.ds.warnf("duplicate-name", place, "", "%q depends on %q twice", task.Name, name)
		default:
			seen[d] = true
			k.deps = append(k.deps, d)
		}
	}
	c.itemResults(t, k)
	if k.depends != nil && plainConjunction(k.depends) {
		k.depends = nil
	}
}

func (c *compiler) unknownTask(t *template, name string, at *where, who string) {
	hint := ""
	if near := expr.Nearest(name, sortedKeys(t.byName)); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.ds.errorf("unknown-task", at, hint, "%s, but there is no task %q in this dag", who, name)
}

// itemResults checks that outcomes over all items are asked of loops only.
func (c *compiler) itemResults(t *template, k *call) {
	if k.depends == nil {
		return
	}
	for _, a := range k.depends.Atoms() {
		d, ok := t.byName[a.Task]
		if ok && (a.Result == "AnySucceeded" || a.Result == "AllFailed") && t.calls[d].loop == nil {
			c.ds.errorf("depends", k.at.at("depends"), "use .Succeeded or .Failed", "%s.%s needs a loop, but %q has none", a.Task, a.Result, a.Task)
		}
	}
}

// plainConjunction reports whether a condition is no more than a list of tasks.
func plainConjunction(e *expr.DependsExpr) bool {
	switch e.Op {
	case expr.DependsAtom:
		return e.Result == ""
	case expr.DependsAnd:
		for _, s := range e.Sub {
			if !plainConjunction(s) {
				return false
			}
		}
		return true
	}
	return false
}

// acyclic reports the cycles of a dag, each once.
func (c *compiler) acyclic(t *template) {
	deps := make([][]int, len(t.calls))
	for i, k := range t.calls {
		deps[i] = k.deps
	}
	for _, cycle := range cycles(deps) {
		names := make([]string, 0, len(cycle)+1)
		for _, i := range append(cycle, cycle[0]) {
			names = append(names, t.calls[i].name)
		}
		c.ds.errorf("cycle", t.calls[cycle[0]].at, "", "these tasks wait for each other: %s", strings.Join(names, " -> "))
	}
}
