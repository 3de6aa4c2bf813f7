package plan

import (
	"fmt"
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// clicPlan is a plan of the CLIC form: a dag whose tasks each pass a command line to a template of their platform. In the
// command lines only {{workflow.…}} is substituted, and all of its stages are known at once.
type clicPlan struct {
	entry *wfv1.Template
	at    *where
	// templates are the platforms' templates, in the order of the plan.
	templates []*wfv1.Template
	byName    map[string]int
	tasks     []clicTask
}

// clicTask is a stage of the plan.
type clicTask struct {
	name string
	// template is the index of its template, line its command line.
	template int
	line     string
	deps     []int
}

// detectClic gives the plan of the CLIC form, or nil where this is none. The entry is the template that the entrypoint
// names, or else the first.
func detectClic(wf *wfv1.Workflow) *clicPlan {
	s := &wf.Spec
	if len(s.Templates) == 0 || s.OnExit != "" || len(s.Hooks) > 0 {
		return nil
	}
	entry := 0
	c := &clicPlan{byName: make(map[string]int, len(s.Templates))}
	for i := range s.Templates {
		if s.Templates[i].Name == s.Entrypoint {
			entry = i
		}
		if _, taken := c.byName[s.Templates[i].Name]; !taken {
			c.byName[s.Templates[i].Name] = len(c.templates)
		}
		c.templates = append(c.templates, &s.Templates[i])
	}
	c.entry = c.templates[entry]
	c.at = (*where)(nil).in("spec", "templates").item(entry)
	if c.entry.DAG == nil || c.entry.RetryStrategy != nil || len(c.entry.Outputs.Parameters) > 0 {
		return nil
	}
	platforms := 0
	for i := range c.entry.DAG.Tasks {
		t := &c.entry.DAG.Tasks[i]
		if !plainTask(t) {
			return nil
		}
		if k, ok := c.byName[t.Template]; ok {
			arg := clicTemplate(wf, c.templates[k])
			if arg == "" || len(t.Arguments.Parameters) > 0 && t.Arguments.Parameters[0].Name != arg {
				return nil
			}
			platforms++
		}
	}
	if platforms == 0 {
		return nil
	}
	return c
}

// plainTask reports whether the task has nothing that the CLIC form does not know.
func plainTask(t *wfv1.DAGTask) bool {
	for i := range t.Arguments.Parameters {
		v := t.Arguments.Parameters[i].Value
		if v != nil && (strings.Contains(v.String(), "{{=") || strings.Contains(v.String(), "{{tasks.")) {
			return false
		}
	}
	return t.Inline == nil && t.TemplateRef == nil && t.When == "" && t.WithItems == nil && t.WithParam == "" &&
		t.WithSequence == nil && t.OnExit == "" && len(t.Hooks) == 0 && t.Depends == "" && t.ContinueOn == nil
}

// clicTemplate is the name of the parameter that holds the command line, "" where the template is not of the CLIC form.
func clicTemplate(wf *wfv1.Workflow, t *wfv1.Template) string {
	if t.Container == nil || len(t.Inputs.Parameters) == 0 || len(t.Outputs.Parameters) > 0 {
		return ""
	}
	return clicArgument(t.Name, platformOf(wf, t), t.Inputs.Parameters[0].Name)
}

// clicArgument is the first parameter's name, if it is that of a template of the CLIC form: <platform>Args.
func clicArgument(template, platform, first string) string {
	bare, _, _ := strings.Cut(template, "-")
	if first == platform+"Args" || first == bare+"Args" {
		return first
	}
	return ""
}

// check reports everything that is wrong with the plan.
func (c *clicPlan) check(wf *wfv1.Workflow, ds *collector) {
	spec := (*where)(nil).at("spec")
	if s := wf.Spec.Entrypoint; s != c.entry.Name {
		hint := ""
		if near := expr.Nearest(s, sortedKeys(c.byName)); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		ds.warnf("entrypoint", spec.at("entrypoint"), hint, "there is no template %q; the plan begins with its first template, %q", s, c.entry.Name)
	}
	compiler := &compiler{ds: ds, wf: wf}
	for i, t := range c.templates {
		at := spec.at("templates").item(i)
		if first := c.byName[t.Name]; first != i {
			ds.errorf("duplicate-name", at.at("name"), "", "the template %q exists already, as spec.templates[%d]", t.Name, first)
		}
		if !jobName(t.Name) {
			ds.errorf("template-name", at.at("name"), "use lower-case letters, digits and -", "%q cannot be a template's name, because jobs are named after it", t.Name)
		}
		checkAnnotations(t.Metadata.Annotations, at.in("metadata", "annotations"), ds)
		checkOutput(wf, t, true, at.in("metadata", "annotations"), ds)
		if t.Plugin != nil && t.Container != nil {
			ds.warnf("not-supported", at.at("plugin"), "make it a template of its own", "the template %q is a container, and its plugin is ignored, as ever in a plan of the CLIC form", t.Name)
		}
		if t.Container != nil {
			compiler.settings(&template{name: t.Name, src: t, at: at, kind: dag.KindStage, clicArg: "yes"})
		}
	}
	c.compile(ds)
}

// compile checks the tasks, and keeps of them what their stages need.
func (c *clicPlan) compile(ds *collector) {
	tasks := c.entry.DAG.Tasks
	at := c.at.in("dag", "tasks")
	byName := make(map[string]int, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		if first, taken := byName[t.Name]; taken {
			ds.errorf("duplicate-name", at.item(i).at("name"), "", "there is a task %q already, as %s", t.Name, at.item(first))
			continue
		}
		if t.Name == "" {
			ds.errorf("call-name", at.item(i), "", "the task has no name")
		}
		byName[t.Name] = i
	}
	c.tasks = make([]clicTask, len(tasks))
	deps := make([][]int, len(tasks))
	marked := make([]int, len(tasks)) // 1 + the task that last depended on this one
	for i := range tasks {
		t := &tasks[i]
		c.tasks[i].name = t.Name
		if k, ok := c.byName[t.Template]; !ok || t.Template == "" {
			hint := ""
			if near := expr.Nearest(t.Template, sortedKeys(c.byName)); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			ds.errorf("unknown-template", at.item(i).at("template"), hint, "%q calls %q, but there is no such template", t.Name, t.Template)
		} else if len(t.Arguments.Parameters) == 0 || t.Arguments.Parameters[0].Value == nil {
			ds.errorf("missing-argument", at.item(i), fmt.Sprintf("add the command line as the argument %q", c.templates[k].Inputs.Parameters[0].Name),
				"the task %q has no command line", t.Name)
		} else {
			c.tasks[i].template, c.tasks[i].line = k, t.Arguments.Parameters[0].Value.String()
		}
		for j, name := range t.Dependencies {
			d, ok := byName[name]
			if !ok {
				hint := ""
				if near := expr.Nearest(name, sortedKeys(byName)); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				ds.errorf("unknown-task", at.item(i).at("dependencies").item(j), hint, "%q depends on it, but there is no task %q in this dag", t.Name, name)
				continue
			}
			if marked[d] != i+1 {
				marked[d] = i + 1
				deps[i] = append(deps[i], d)
			}
		}
	}
	for i := range deps {
		c.tasks[i].deps = deps[i]
	}
	for _, cycle := range cycles(deps) {
		names := make([]string, 0, len(cycle)+1)
		for _, i := range append(cycle, cycle[0]) {
			names = append(names, tasks[i].Name)
		}
		ds.errorf("cycle", at.item(cycle[0]), "", "these tasks wait for each other: %s", strings.Join(names, " -> "))
	}
}

// nodes makes the group and its stages: node 0 is the group, node i the i-th task.
func (c *clicPlan) nodes(p *program) []dag.NodeSpec {
	tasks := c.tasks
	ids := newNamer(p.task, nil, len(tasks)+1)
	specs := make([]dag.NodeSpec, 0, len(tasks)+1)
	group := dag.NodeSpec{Name: p.task, Kind: dag.KindDAG, Parent: dag.NoParent, Template: c.entry.Name, Platform: platformOf(p.wf, c.entry)}
	if n := c.entry.Parallelism; n != nil {
		group.Policy = &dag.Policy{Parallelism: int32(min(*n, 1<<30))}
	}
	// The stages have their ids by the contract; the group takes what is left.
	for i := range tasks {
		k := tasks[i].template
		s := dag.NodeSpec{
			ID: ids.clic(c.templates[k].Name, strconv.Itoa(i+1)), Name: tasks[i].name, Path: "." + tasks[i].name, Kind: dag.KindStage,
			Template: c.templates[k].Name, Platform: p.clicPlatforms[k], Policy: p.clicPolicies[k],
		}
		for _, d := range tasks[i].deps {
			s.Depends.On = append(s.Depends.On, int32(d+1))
			if p.clicCancels[tasks[d].template] {
				s.Depends.Cancel = append(s.Depends.Cancel, int32(d+1))
			}
		}
		if i == 0 {
			specs = append(specs, group)
		}
		specs = append(specs, s)
	}
	specs[0].ID = ids.path("", c.entry.Name)
	return specs
}

// stage is the run of the i-th task.
func (c *clicPlan) stage(p *program, node *dag.Node) *dag.StageSpec {
	task := &c.tasks[node.Index-1]
	t := c.templates[task.template]
	line, err := expr.Substitute(task.line, &scope{p: p}, expr.Options{AllowUnresolved: true})
	if err != nil { // braces of the shell's own
		line = task.line
	}
	s := &dag.StageSpec{
		StageID: node.Spec.ID, Task: p.task, Template: t.Name, Platform: node.Spec.Platform, Form: dag.FormCLIC,
		Image: t.Container.Image, Args: []string{line}, Shell: true, WorkDir: t.Container.WorkingDir,
		Inputs: map[string]string{t.Inputs.Parameters[0].Name: line}, TemplateJSON: p.templateJSON(t, nil),
	}
	s.Env = envOf(t.Container.Env, same)
	s.Output = outputOf(p.wf, t, func(text string) string {
		if v, err := expr.Substitute(text, &scope{p: p}, expr.Options{AllowUnresolved: true}); err == nil {
			return v
		}
		return text
	})
	resourcesOf(s, t.Container.Resources)
	policyOf(s, node.Spec.Policy)
	return s
}

func same(s string) string { return s }
