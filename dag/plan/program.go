package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// program is a plan with everything that a submission adds to it. It never changes, and is safe for concurrent use.
type program struct {
	wf   *wfv1.Workflow
	opts BuildOptions
	name string
	task string
	// globals are the variables of the plan that are known at submission.
	globals expr.MapScope
	// set is the plan in the Argo form, clic in the CLIC form; the other one is nil.
	set  *templateSet
	clic *clicPlan
	// By template, for the CLIC form:
	clicPolicies  []*dag.Policy
	clicPlatforms []string
	clicCancels   []bool
}

var _ dag.Program = (*program)(nil)

// Build makes the plan and the program of a task: what is known at submission as nodes, the rest to be expanded when
// its turn comes. task is the full name (see TaskName). All that is wrong is reported at once; with errors there is
// neither plan nor program, nor where Parse has reported some. Building again with the same arguments gives the same.
func (d *Document) Build(planName, task string, o BuildOptions) (*dag.Plan, dag.Program, Diagnostics) {
	ds := &collector{file: d.file, root: d.root}
	if err := ValidName(planName); err != nil {
		ds.add(SeverityError, "plan-name", nil, nil, err.Error(), "")
	}
	params := d.values(o, ds)
	p := &program{wf: d.wf, opts: o, name: strings.ToLower(planName), task: task, set: d.set, clic: d.clic}
	p.setGlobals(params)
	if ds.list.HasErrors() || d.broken() {
		return nil, nil, ds.result()
	}
	out := &dag.Plan{
		Name: p.name, Task: task, Form: d.form, Params: params, Labels: d.labels(o), Limits: o.Limits,
		OnExit: p.set != nil && p.set.exit != nil,
	}
	d.spec(out, o)
	if p.clic != nil {
		p.clicTemplates()
		out.Nodes = p.clic.nodes(p)
	} else {
		b := newBuilder(p, nil)
		out.Nodes = b.plan()
		if b.err != nil {
			ds.add(SeverityError, "too-large", nil, nil, b.err.Error(), "")
			return nil, nil, ds.result()
		}
	}
	if limit := limits(o.Limits).Nodes; int32(len(out.Nodes)) > limit {
		ds.add(SeverityError, "too-large", nil, nil, fmt.Sprintf("the plan has %d nodes, at most %d are allowed", len(out.Nodes), limit), "")
		return nil, nil, ds.result()
	}
	return out, p, ds.result()
}

// broken reports whether the plan cannot be built because of what Parse reported.
func (d *Document) broken() bool { return d.invalid }

func limits(l dag.Limits) dag.Limits {
	if l.Nodes <= 0 {
		l.Nodes = dag.DefaultLimits.Nodes
	}
	if l.Depth <= 0 {
		l.Depth = dag.DefaultLimits.Depth
	}
	return l
}

// spec fills in what the plan says of the whole task.
func (d *Document) spec(out *dag.Plan, o BuildOptions) {
	s := &d.wf.Spec
	if s.Priority != nil {
		out.Priority = *s.Priority
	}
	if o.Priority != nil {
		out.Priority = *o.Priority
	}
	if s.ActiveDeadlineSeconds != nil {
		out.Timeout = dag.Duration(*s.ActiveDeadlineSeconds) * 1000
	}
	if s.Parallelism != nil {
		out.Parallelism = int32(min(*s.Parallelism, 1<<30))
	}
	out.Suspended = s.Suspend != nil && *s.Suspend
}

// values are those of the plan's parameters: the submission's, or else the plan's own.
func (d *Document) values(o BuildOptions, ds *collector) map[string]string {
	at := (*where)(nil).in("spec", "arguments", "parameters")
	values := map[string]string{}
	var names []string
	c := &compiler{ds: ds, wf: d.wf}
	for i := range d.wf.Spec.Arguments.Parameters {
		p := &d.wf.Spec.Arguments.Parameters[i]
		names = append(names, p.Name)
		v, given := o.Params[p.Name]
		switch {
		case given:
			c.enum(p, v, at.item(i))
		case p.Value != nil:
			v = p.Value.String()
		case p.Default != nil:
			v = p.Default.String()
		case p.ValueFrom != nil && p.ValueFrom.Default != nil:
			v = p.ValueFrom.Default.String()
		default:
			ds.errorf("missing-parameter", at.item(i), fmt.Sprintf("give it with the submission: --param %s=…", p.Name), "the parameter %q has no value", p.Name)
		}
		values[p.Name] = v
	}
	for _, name := range sortedKeys(o.Params) {
		if _, ok := values[name]; !ok {
			hint := ""
			if near := expr.Nearest(name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			} else if len(names) > 0 && len(names) <= 8 {
				hint = "it has " + strings.Join(names, ", ")
			}
			ds.add(SeverityError, "unknown-parameter", nil, nil, fmt.Sprintf("the plan has no parameter %q", name), hint)
		}
	}
	return values
}

// labels are the plan's, under those of the submission.
func (d *Document) labels(o BuildOptions) map[string]string {
	all := map[string]string{}
	maps.Copy(all, d.wf.Labels)
	if md := d.wf.Spec.WorkflowMetadata; md != nil {
		maps.Copy(all, md.Labels)
	}
	maps.Copy(all, o.Labels)
	if len(all) == 0 {
		return nil
	}
	return all
}

// setGlobals computes the plan's variables.
func (p *program) setGlobals(params map[string]string) {
	s := &p.wf.Spec
	g := expr.MapScope{
		"workflow.name": p.task, "workflow.uid": p.opts.UID, "workflow.mainEntrypoint": s.Entrypoint,
		"workflow.serviceAccountName": s.ServiceAccountName, "workflow.namespace": p.wf.Namespace,
	}
	if p.wf.Namespace == "" {
		g["workflow.namespace"] = "default"
	}
	d := &Document{wf: p.wf}
	labels := d.labels(p.opts)
	annotations := map[string]string{}
	maps.Copy(annotations, p.wf.Annotations)
	if md := s.WorkflowMetadata; md != nil {
		maps.Copy(annotations, md.Annotations)
	}
	for k, v := range labels {
		g["workflow.labels."+k] = v
	}
	for k, v := range annotations {
		g["workflow.annotations."+k] = v
	}
	for k, v := range params {
		g["workflow.parameters."+k] = v
	}
	plan := &dag.Plan{}
	d.spec(plan, p.opts)
	if s.Priority != nil || p.opts.Priority != nil {
		g["workflow.priority"] = strconv.Itoa(int(plan.Priority))
	}
	setJSON(g, "workflow.labels", labels)
	setJSON(g, "workflow.annotations", annotations)
	list := make([]wfv1.Parameter, len(s.Arguments.Parameters))
	for i, q := range s.Arguments.Parameters {
		list[i] = wfv1.Parameter{Name: q.Name, Value: wfv1.AnyStringPtr(params[q.Name]), Description: q.Description, Enum: q.Enum}
	}
	setJSON(g, "workflow.parameters", list)
	created(g, p.opts.Created)
	p.globals = g
}

// setJSON sets a group of variables as a whole, under both of its names.
func setJSON(g expr.MapScope, name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	text := string(b)
	if text == "null" {
		text = "{}"
	}
	g[name], g[name+".json"] = text, text
}
