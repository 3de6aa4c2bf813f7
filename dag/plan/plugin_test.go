package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

const sparkPlan = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: spark-}
spec:
  entrypoint: main
  templateDefaults: {container: {image: none, command: [none]}}
  arguments: {parameters: [{name: day, value: 'a "day"'}]}
  serviceAccountName: spark
  templates:
  - name: main
    dag:
      tasks:
      - {name: sum, template: sum, arguments: {parameters: [{name: memory, value: 2g}]}}
  - name: sum
    inputs: {parameters: [{name: memory}]}
    nodeSelector: {disk: ssd}
    plugin:
      spark:
        mainClass: org.example.Sum
        mainApplicationFile: local:///opt/app/sum.jar
        arguments: ["{{workflow.parameters.day}}", 7]
        executor: {memory: "{{inputs.parameters.memory}}"}
`

// The plugin comes to the executor substituted, under the name that the stage's platform has too.
func TestSparkPlugin(t *testing.T) {
	t.Parallel()
	doc, ds := plan.Parse("spark.yaml", []byte(sparkPlan))
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	if d := cmp.Diff(map[string]string{"spark": "spark"}, doc.Plugins()); d != "" {
		t.Error(d)
	}
	p, prog, ds := build(t, sparkPlan, plan.BuildOptions{})
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	r, _, err := dag.New(p, prog, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Node(1).Spec.Platform; got != plan.PluginSpark {
		t.Errorf("the platform is %q", got)
	}
	s, err := prog.Stage(r, 1)
	if err != nil {
		t.Fatal(err)
	}
	if s.Plugin != plan.PluginSpark || s.Command != nil || s.Shell {
		t.Errorf("the stage is %+v", s)
	}
	var template struct {
		Plugin             json.RawMessage
		Container          json.RawMessage
		ServiceAccountName string
		NodeSelector       map[string]string
	}
	if err := json.Unmarshal(s.TemplateJSON, &template); err != nil {
		t.Fatal(err)
	}
	want := `{"spark":{"mainClass":"org.example.Sum","mainApplicationFile":"local:///opt/app/sum.jar",` +
		`"arguments":["a \"day\"",7],"executor":{"memory":"2g"}}}`
	if d := cmp.Diff(want, string(template.Plugin)); d != "" {
		t.Error(d)
	}
	if template.Container != nil || template.ServiceAccountName != "spark" || template.NodeSelector["disk"] != "ssd" {
		t.Errorf("the template is %s", s.TemplateJSON)
	}
}
