package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag/plan"
)

const placedPlan = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: x, namespace: team, labels: {l: v}, annotations: {a: w}}
spec:
  entrypoint: main
  nodeSelector: {zone: a}
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: near}
      - {name: b, template: far}
      - name: c
        inline:
          tolerations: [{operator: Exists}]
          container: {image: x, command: [a]}
  - name: near
    nodeSelector: {zone: b}
    sidecars: [{name: s, image: s}]
    container: {image: x, envFrom: [{secretRef: {name: all}}]}
  - name: far
    nodeSelector: {zone: c}
    sidecars: [{name: s, image: s}]
    container: {command: [a], env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}
`

// TestPlaced checks what is said of a plan's fields that are about Kubernetes, once it is known what runs there.
func TestPlaced(t *testing.T) {
	doc, ds := plan.Parse("p.yaml", []byte(placedPlan))
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	if diff := cmp.Diff([]string{"c", "far", "near"}, doc.Platforms()); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		name string
		kube []string // platforms that run there
		want []string
	}{
		{"everywhere", []string{"near", "far", "c"}, []string{"error no-image spec.templates[2].container"}},
		{"nowhere", nil, []string{
			"note kubernetes-only spec.nodeSelector",
			"note kubernetes-only spec.templates[0].dag.tasks[2].inline.tolerations",
			"note kubernetes-only spec.templates[1].nodeSelector",
			"error needs-kubernetes spec.templates[1].sidecars",
			"warning no-command spec.templates[1].container",
			"error needs-kubernetes spec.templates[1].container.envFrom",
			"error needs-kubernetes spec.templates[2].sidecars",
			"warning no-image spec.templates[2].container",
			"error needs-kubernetes spec.templates[2].container.env[0].valueFrom.fieldRef",
		}},
		{"one of them", []string{"near", "c"}, []string{
			"note kubernetes-only spec.nodeSelector",
			"note kubernetes-only spec.templates[2].nodeSelector",
			"error needs-kubernetes spec.templates[2].sidecars",
			"warning no-image spec.templates[2].container",
			"error needs-kubernetes spec.templates[2].container.env[0].valueFrom.fieldRef",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			placed := doc.Placed(ds, func(p string) bool { return slices.Contains(tc.kube, p) })
			for _, d := range placed {
				got = append(got, strings.Join([]string{string(d.Severity), d.Rule, d.Field}, " "))
				if d.Line == 0 {
					t.Errorf("no place: %s", d)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, d := range ds {
		if d.Severity == plan.SeverityError {
			t.Errorf("without a master: %s", d)
		}
	}
}

// TestPlacedCLIC: plans of the CLIC form always ran, whatever stood in them.
func TestPlacedCLIC(t *testing.T) {
	doc, ds := plan.Parse("p.yaml", []byte(`apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: x}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: java-exec, arguments: {parameters: [{name: javaArgs, value: run}]}}
  - name: java-exec
    inputs: {parameters: [{name: javaArgs}]}
    sidecars: [{name: s, image: s}]
    container: {image: java}
`))
	local := doc.Placed(ds, func(string) bool { return false })
	if len(local) != 1 || local[0].Severity != plan.SeverityWarning || local[0].Rule != "needs-kubernetes" {
		t.Errorf("elsewhere: %v", local)
	}
	if there := doc.Placed(ds, func(p string) bool { return p == "java" }); len(there) != 0 {
		t.Errorf("on Kubernetes: %v", there)
	}
}

// TestRemark checks that what others find is said with its place.
func TestRemark(t *testing.T) {
	doc, _ := plan.Parse("p.yaml", []byte(placedPlan))
	if doc.Namespace() != "team" || doc.Label("l") != "v" || doc.Annotation("a") != "w" {
		t.Errorf("metadata: %q %q %q", doc.Namespace(), doc.Label("l"), doc.Annotation("a"))
	}
	got := doc.Remark(plan.SeverityError, "rule", "is wrong", "mend it", "metadata", "namespace").String()
	if want := "p.yaml:3:32: error: metadata.namespace: is wrong (mend it)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
