package plan_test

import (
	"encoding/json"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

const surroundedPlan = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: placed}
spec:
  entrypoint: main
  onExit: plain
  nodeSelector: {from: plan}
  tolerations: [{key: plan, operator: Exists}]
  templates:
  - name: main
    nodeSelector: {from: main}
    tolerations: [{key: main, operator: Exists}]
    dag:
      tasks:
      - {name: a, template: plain, withItems: [1]}
      - {name: b, template: own, hooks: {exit: {template: plain}}}
      - {name: c, template: inner}
  - name: inner
    affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
    steps:
    - - {name: d, template: plain}
  - name: plain
    container: {image: i, command: ["true"]}
  - name: own
    nodeSelector: {from: own}
    container: {image: i, command: ["true"]}
`

// As in Argo, what says where pods may run is taken from the template itself, else from the one that calls it, and else from the plan, each
// of the three for itself; a template further out counts for nothing.
func TestPlacement(t *testing.T) {
	p, prog, ds := build(t, surroundedPlan, plan.BuildOptions{})
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, p, prog)
	r.finish() // what is in loops and hooks is not there before
	run := r.run
	got := map[string]string{}
	for i := range run.Len() {
		n := run.Node(int32(i))
		if n.Spec.Kind != dag.KindStage {
			continue
		}
		s, err := prog.Stage(run, n.Index)
		if err != nil {
			t.Fatal(err)
		}
		var full wfv1.Template
		if err := json.Unmarshal(s.TemplateJSON, &full); err != nil {
			t.Fatal(err)
		}
		said := full.NodeSelector["from"] + " " + full.Tolerations[0].Key
		if full.Affinity != nil {
			said += " affinity"
		}
		got[n.Spec.Path] = said
	}
	want := map[string]string{
		".a(0:1)": "main main", ".b": "own main", ".b.onExit": "main main", ".c[0].d": "plan plan affinity", ".onExit": "plan plan",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}
