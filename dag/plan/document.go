package plan

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"go.yaml.in/yaml/v3"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// Document is a plan that was read and checked. It never changes, and may be built several times, at once too.
type Document struct {
	file string
	wf   *wfv1.Workflow
	form dag.Form
	set  *templateSet
	clic *clicPlan
	uses []FieldUse
	// onKube are the fields that are about Kubernetes.
	onKube []kubeUse
	// invalid is set where Parse reported errors.
	invalid bool
	// root reads the text again, for the places of what is found while the plan is built.
	root func() *yaml.Node
}

// Parse reads a plan and checks all that can be checked before values for its parameters are known. file names it in
// the diagnostics. The Document is nil where the text is no Workflow at all; where it is not nil but the diagnostics
// have errors, it can be reported on but not built.
func Parse(file string, text []byte) (*Document, Diagnostics) {
	ds := &collector{file: file}
	root := readTree(text, ds)
	if root == nil {
		return nil, ds.result()
	}
	ds.root = func() *yaml.Node { return root }
	if !checkKind(root, ds) {
		return nil, ds.result()
	}
	d := &Document{file: file, wf: &wfv1.Workflow{}}
	use := &usage{root: newRules()}
	dec := &decoder{ds: ds, types: map[reflect.Type]*structInfo{}, use: use}
	dec.value(root, reflect.ValueOf(d.wf).Elem(), nil, use.root)
	d.uses, d.onKube = use.report(), use.onKube
	d.applyDefaults()
	if d.clic = detectClic(d.wf); d.clic != nil {
		d.form = dag.FormCLIC
		ds.relent()
		d.clic.check(d.wf, ds)
	} else {
		d.set = compile(d.wf, ds)
	}
	checkDocument(d, ds)
	ds.list = append(ds.list, d.remarks(nil)...)
	d.root = sync.OnceValue(func() *yaml.Node { return readTree(text, &collector{}) })
	d.slim()
	all := ds.result()
	d.invalid = all.HasErrors()
	return d, all
}

// slim drops what was compiled: a plan may have 100,000 tasks, and the program of each run keeps the rest.
func (d *Document) slim() {
	for i := range d.wf.Spec.Templates {
		t := &d.wf.Spec.Templates[i]
		t.Steps = nil
		if t.DAG != nil {
			t.DAG = &wfv1.DAGTemplate{}
		}
	}
	if d.set == nil {
		return
	}
	for _, t := range d.set.all {
		for _, k := range t.calls {
			k.at = nil
		}
	}
}

// relent makes warnings of what is not understood in a plan of the CLIC form: such plans always ran without it.
func (ds *collector) relent() {
	for i := range ds.list {
		if d := &ds.list[i]; d.Rule == "not-supported" || d.Rule == "unknown-field" {
			d.Severity = SeverityWarning
			d.Message += "; it is ignored, as ever in a plan of the CLIC form"
		}
	}
}

// checkKind reports whether the document is a Workflow.
func checkKind(root *yaml.Node, ds *collector) bool {
	if root.Kind != yaml.MappingNode {
		ds.add(SeverityError, "kind", root, nil, "this is not a plan: a plan is a YAML map with apiVersion, kind, metadata and spec", "")
		return false
	}
	var none *where
	kind := target(child(root, none.at("kind")))
	if kind == nil {
		ds.add(SeverityError, "kind", root, none.at("kind"), "the plan does not say what it is", "begin it with apiVersion: argoproj.io/v1alpha1 and kind: Workflow")
		return false
	}
	if kind.Value != "Workflow" {
		hint := "a plan is a Workflow"
		switch kind.Value {
		case "CronWorkflow":
			hint = "take its workflowSpec as the spec of a Workflow, and submit that from a timer"
		case "WorkflowTemplate", "ClusterWorkflowTemplate":
			hint = "put the templates into a Workflow with an entrypoint"
		default:
			if near := expr.Nearest(kind.Value, []string{"Workflow"}); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
		}
		ds.add(SeverityError, "kind", kind, none.at("kind"), fmt.Sprintf("plans of kind %q are not supported", kind.Value), hint)
		return false
	}
	version := target(child(root, none.at("apiVersion")))
	if version == nil || !strings.HasPrefix(version.Value, "argoproj.io/") {
		ds.add(SeverityWarning, "api-version", version, none.at("apiVersion"), "the plan's apiVersion is not argoproj.io/v1alpha1", "")
	}
	return true
}

// checkDocument checks what does not belong to a template.
func checkDocument(d *Document, ds *collector) {
	meta := (*where)(nil).at("metadata")
	if name := d.Name(); name != "" {
		if err := ValidName(name); err != nil {
			field := meta.at("name")
			if d.wf.Name == "" {
				field = meta.at("generateName")
			}
			ds.errorf("plan-name", field, "the name given at submission is what counts; this one is taken where none is given", "%v", err)
		}
	}
	checkAnnotations(d.wf.Annotations, meta.at("annotations"), ds)
	spec := (*where)(nil).at("spec")
	if p := d.wf.Spec.Parallelism; p != nil && *p < 1 {
		ds.errorf("range", spec.at("parallelism"), "", "parallelism must be at least 1, not %d", *p)
	}
	if a := d.wf.Spec.ActiveDeadlineSeconds; a != nil && *a < 0 {
		ds.errorf("range", spec.at("activeDeadlineSeconds"), "", "a deadline must not be negative")
	}
}

// Form is the plan's form.
func (d *Document) Form() dag.Form { return d.form }

// Report is the compatibility report: every field that the plan uses and what becomes of it, the most important first.
func (d *Document) Report() []FieldUse { return append([]FieldUse(nil), d.uses...) }
