package plan_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

const builtPlan = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: built-
  labels: {team: a, tier: b}
  annotations: {clic.io/priority: "7", clic.io/grace: 5s}
spec:
  entrypoint: main
  priority: 3
  parallelism: 4
  activeDeadlineSeconds: 60
  suspend: true
  nodeSelector: {disk: ssd}
  volumes: [{name: data, emptyDir: {}}]
  arguments:
    parameters:
    - {name: size, value: 10, enum: [10, 20]}
    - {name: who}
  templates:
  - name: main
    dag:
      tasks:
      - name: produce
        template: java-exec
        arguments: {parameters: [{name: javaArgs, value: "make {{workflow.parameters.size}}"}]}
      - name: consume
        template: program
        depends: produce
        arguments: {parameters: [{name: limit, value: "2"}]}
  - name: java-exec
    metadata: {annotations: {clic.io/prepared-failure: cancel, clic.io/platform: jvm, clic.io/retry-started: "true"}}
    inputs: {parameters: [{name: javaArgs}]}
    retryStrategy: {limit: 1}
    container: {image: x, command: [sh], args: ["{{inputs.parameters.javaArgs}}"]}
  - name: program
    inputs: {parameters: [{name: limit}]}
    outputs: {parameters: [{name: o, valueFrom: {path: "/tmp/{{pod.name}}", default: d}, globalName: g}]}
    retryStrategy: {limit: "{{inputs.parameters.limit}}", backoff: {duration: 1m, factor: 3, cap: 1h, maxDuration: 1d}}
    timeout: 90s
    activeDeadlineSeconds: 60
    container:
      image: "img:{{workflow.parameters.who}}"
      command: [echo]
      args: ["{{pod.name}} {{node.name}} {{outputs.parameters.o.path}} {{workflow.labels.team}} {{workflow.priority}} {{workflow.creationTimestamp}}"]
      workingDir: /tmp
      env:
      - {name: A, value: "{{inputs.parameters.limit}}"}
      - {name: S, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}
      - {name: C, valueFrom: {configMapKeyRef: {name: c, key: k}}}
      resources: {requests: {cpu: 250m, memory: 1Mi}, limits: {cpu: 2, memory: 1Gi}}
`

func build(t *testing.T, text string, o plan.BuildOptions) (*dag.Plan, dag.Program, plan.Diagnostics) {
	t.Helper()
	doc, ds := plan.Parse("plan.yaml", []byte(text))
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	return doc.Build(doc.Name(), "built-abcdefgh", o)
}

func TestBuild(t *testing.T) {
	text := strings.Replace(builtPlan, "maxDuration: 1d", "maxDuration: 24h", 1)
	priority := int32(9)
	p, prog, ds := build(t, text, plan.BuildOptions{
		Params: map[string]string{"who": "me", "size": "20"}, Labels: map[string]string{"tier": "c"}, Priority: &priority,
		Callbacks: map[string]dag.Callbacks{"jvm": dag.CallbacksRequired}, Created: 1_700_000_000_000,
	})
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	want := &dag.Plan{
		Name: "built", Task: "built-abcdefgh", Form: dag.FormArgo, Params: map[string]string{"size": "20", "who": "me"},
		Labels: map[string]string{"team": "a", "tier": "c"}, Priority: 9, Timeout: 60_000, Parallelism: 4, Suspended: true,
		Nodes: []dag.NodeSpec{
			{ID: "built-abcdefgh-main", Name: "built-abcdefgh", Kind: dag.KindDAG, Parent: dag.NoParent, Template: "main", Platform: "main", Call: "e"},
			{
				ID: "built-abcdefgh-produce", Name: "produce", Path: ".produce", Template: "java-exec", Platform: "jvm", Call: "c0.0",
				Inputs: map[string]string{"javaArgs": "make 20"},
				Policy: &dag.Policy{Retry: &dag.Retry{Limit: 1, Failed: true, Started: true}, Callbacks: dag.CallbacksRequired, Priority: 7, Grace: 5000},
			},
			{
				ID: "built-abcdefgh-consume", Name: "consume", Path: ".consume", Template: "program", Platform: "program", Call: "c0.1",
				Inputs: map[string]string{"limit": "2"}, Depends: dag.Depends{On: []int32{1}, Cancel: []int32{1}},
				Policy: &dag.Policy{
					Retry:   &dag.Retry{Limit: 2, Failed: true, Base: 60_000, Factor: 3, Cap: 3_600_000, Within: 86_400_000},
					Timeout: 60_000, Captures: true, Asked: &dag.Asked{Params: []dag.AskedParam{{Name: "o", Global: "g"}}}, Priority: 7, Grace: 5000,
				},
			},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Fatal(diff)
	}
	run, _, err := dag.New(p, prog, 1)
	if err != nil {
		t.Fatal(err)
	}
	clic, err := prog.Stage(run, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !clic.Shell || clic.Form != dag.FormCLIC || len(clic.Args) != 1 || clic.Args[0] != "make 20" || clic.Command != nil {
		t.Errorf("the stage of the CLIC form is %+v", clic)
	}
	got, err := prog.Stage(run, 2)
	if err != nil {
		t.Fatal(err)
	}
	var full wfv1.Template
	if err := json.Unmarshal(got.TemplateJSON, &full); err != nil {
		t.Fatal(err)
	}
	if full.NodeSelector["disk"] != "ssd" || len(full.Volumes) != 1 || full.Container.Image != "img:me" {
		t.Errorf("the template is %s", got.TemplateJSON)
	}
	got.TemplateJSON = nil
	d := "d"
	wantStage := &dag.StageSpec{
		StageID: "built-abcdefgh-consume", Task: "built-abcdefgh", Template: "program", Platform: "program", Image: "img:me", WorkDir: "/tmp",
		Command: []string{"echo"},
		Args:    []string{"built-abcdefgh-consume built-abcdefgh.consume /tmp/{{pod.name}} a 9 2023-11-14T22:13:20Z"},
		Env: []dag.EnvVar{
			{Name: "A", Value: "2"},
			{Name: "S", SecretName: "s", SecretKey: "k", Optional: true},
			{Name: "C", ConfigMap: "c", ConfigKey: "k"},
		},
		CPURequest: 250, CPULimit: 2000, MemoryRequest: 1 << 20, MemoryLimit: 1 << 30,
		OutputFiles: []dag.OutputFile{{Name: "o", Path: "/tmp/built-abcdefgh-consume", Default: &d}},
		Timeout:     60_000, Grace: 5000, Inputs: map[string]string{"limit": "2"},
	}
	if diff := cmp.Diff(wantStage, got); diff != "" {
		t.Error(diff)
	}
}

func TestBuildParameters(t *testing.T) {
	text := strings.Replace(builtPlan, "maxDuration: 1d", "maxDuration: 24h", 1)
	p, prog, ds := build(t, text, plan.BuildOptions{Params: map[string]string{"size": "30", "sise": "1"}})
	if p != nil || prog != nil {
		t.Error("a plan was built in spite of errors")
	}
	var got []string
	for _, d := range ds {
		got = append(got, d.String())
	}
	want := []string{
		`plan.yaml:18:7: error: spec.arguments.parameters[0]: the parameter "size" cannot be "30" (it can be 10, 20)`,
		`plan.yaml:19:7: error: spec.arguments.parameters[1]: the parameter "who" has no value (give it with the submission: --param who=…)`,
		`plan.yaml: error: the plan has no parameter "sise" (did you mean "size"?)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	doc, ds := plan.Parse("x.yaml", []byte("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {entrypoint: none}\n"))
	if !ds.HasErrors() || doc == nil {
		t.Fatal(ds)
	}
	if p, _, ds := doc.Build("a_b", "x-abcdefgh", plan.BuildOptions{}); p != nil || !ds.HasErrors() {
		t.Error("a broken plan was built")
	}
	// Templates that call each other more and more often.
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wide}\nspec:\n  entrypoint: t0\n  templates:\n")
	for i := range 20 {
		b.WriteString("  - name: t" + string(rune('a'+i)) + "\n    steps: [[{name: l, template: t" + string(rune('a'+i+1)) + "}, {name: r, template: t" + string(rune('a'+i+1)) + "}]]\n")
	}
	b.WriteString("  - name: tu\n    suspend: {}\n")
	text := strings.Replace(b.String(), "entrypoint: t0", "entrypoint: ta", 1)
	doc, ds = plan.Parse("wide.yaml", []byte(text))
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	p, _, ds := doc.Build("wide", "wide-abcdefgh", plan.BuildOptions{Limits: dag.Limits{Nodes: 1000}})
	if p != nil || len(ds) != 1 || ds[0].Rule != "too-large" {
		t.Errorf("want too-large, got %v", ds)
	}
}

// TestBuildTwice: a document can be built at the same time and again, and gives the same.
func TestBuildTwice(t *testing.T) {
	text := strings.Replace(builtPlan, "maxDuration: 1d", "maxDuration: 24h", 1)
	doc, ds := plan.Parse("plan.yaml", []byte(text))
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	plans := make([]*dag.Plan, 8)
	var wg sync.WaitGroup
	for i := range plans {
		wg.Go(func() {
			plans[i], _, _ = doc.Build("built", "built-abcdefgh", plan.BuildOptions{Params: map[string]string{"who": "me"}})
		})
	}
	wg.Wait()
	for _, p := range plans[1:] {
		if diff := cmp.Diff(plans[0], p); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestReport(t *testing.T) {
	doc, _ := plan.Parse("x.yaml", []byte(`
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: x}
spec:
  entrypoint: main
  colour: red
  volumes: [{name: a, emptyDir: {}}]
  ttlStrategy: {secondsAfterCompletion: 1}
  templates:
  - {name: main, container: {image: x, command: [a]}, daemon: true}
  - {name: other, container: {image: x, command: [a]}, daemon: true}
`))
	var got []string
	for _, u := range doc.Report() {
		if u.Treatment != plan.TreatRun || u.Count > 1 {
			got = append(got, strings.Join([]string{string(u.Treatment), u.Field}, " "))
		}
	}
	want := []string{
		"unknown spec.colour", "refused spec.templates[].daemon", "ignored spec.ttlStrategy", "kubernetes-only spec.volumes",
		"run spec.templates[].name", "run spec.templates[].container", "run spec.templates[].container.image", "run spec.templates[].container.command",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
