package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// tryJob builds the Job of a template in YAML whose program is spec's; image and command are there where spec is nil.
func tryJob(c Config, template string, spec *dag.StageSpec, options ...string) (*batchv1.Job, error) {
	if spec == nil {
		spec = &dag.StageSpec{Image: "i", Command: []string{"run"}}
	}
	spec.Template = "work"
	if template != "" {
		text, err := yaml.YAMLToJSON([]byte(template))
		if err != nil {
			return nil, err
		}
		spec.TemplateJSON = text
	}
	a := executors.Attempt{ID: "t-abcdefgh-work", Stage: "t-abcdefgh-work", Task: "t-abcdefgh", Spec: spec, MasterHost: "m", MasterPort: 1}
	for i := 0; i+1 < len(options); i += 2 {
		a.Options = map[string]string{options[i]: options[i+1]}
	}
	c = c.WithDefaults()
	return buildJob(&c, a)
}

func TestRefusedJobs(t *testing.T) {
	image := Config{StageImage: "helper"}
	run := func(change func(*dag.StageSpec)) *dag.StageSpec {
		s := &dag.StageSpec{Image: "i", Command: []string{"run"}}
		change(s)
		return s
	}
	outputs := func(s *dag.StageSpec) { s.OutputFiles = []dag.OutputFile{{Name: "o", Path: "/o"}} }
	var variables []dag.EnvVar
	for i := range maxVariables + 1 {
		variables = append(variables, dag.EnvVar{Name: fmt.Sprintf("V%d", i)})
	}
	for _, c := range []struct {
		name, template string
		config         Config
		spec           *dag.StageSpec
		want           string
	}{
		{name: "namespace", spec: nil, want: `allow`},
		{name: "no image", spec: run(func(s *dag.StageSpec) { s.Image = "" }), want: "container.image is not set"},
		{name: "type", template: `{nodeSelector: [a]}`, want: "nodeSelector cannot be array"},
		{name: "quantity", template: `{container: {resources: {limits: {cpu: much}}}}`, want: "cannot read template"},
		{name: "restart", template: `{container: {restartPolicy: Always}}`, want: "container.restartPolicy is not supported; use retryStrategy"},
		{name: "mount", template: `{container: {volumeMounts: [{name: x, mountPath: /x}]}}`, want: `there is no volume "x"; add it to spec.volumes`},
		{name: "device", template: `{container: {volumeDevices: [{name: x, devicePath: /x}]}}`, want: `volumeDevices: there is no volume "x"`},
		{name: "sidecar's mount", template: `{sidecars: [{name: s, volumeMounts: [{name: x, mountPath: /x}]}]}`, want: `container "s": volumeMounts`},
		{name: "patch", template: `{podSpecPatch: "containers: 1"}`, want: `podSpecPatch of template work`},
		{name: "patch is no YAML", template: `{podSpecPatch: "{"}`, want: "podSpecPatch of template work"},
		{name: "patch of the plan", template: `{workflow: {podSpecPatch: "containers: 1"}}`, want: "spec.podSpecPatch"},
		{name: "patched restart", template: `{podSpecPatch: "restartPolicy: OnFailure"}`, want: "restartPolicy can only be Never"},
		{name: "patched away", template: `{podSpecPatch: "containers: [{name: main, $patch: delete}]"}`, want: `it leaves no container "main"`},
		{name: "two of a name", template: `{sidecars: [{name: work, image: i}]}`, want: `several containers are called "work"`},
		{name: "no name", template: `{initContainers: [{image: i}]}`, want: "name is not set"},
		{name: "label", template: `{metadata: {labels: {clic/task: x}}}`, want: `metadata: the label "clic/task" belongs to clic or Kubernetes`},
		{name: "job's label", template: `{workflow: {podMetadata: {labels: {job-name: x}}}}`, want: `spec.podMetadata: the label "job-name"`},
		{name: "annotation", template: `{metadata: {annotations: {clic/epoch: "9"}}}`, want: `the annotation "clic/epoch" belongs to clic`},
		{name: "label's value", template: `{metadata: {labels: {a: "{{x}}"}}}`, want: "metadata.labels"},
		{name: "variable", spec: run(func(s *dag.StageSpec) { s.Env = []dag.EnvVar{{Name: ""}} }), want: `env: "" cannot be a variable's name`},
		{name: "variables", spec: run(func(s *dag.StageSpec) { s.Env = variables }), want: "env has"},
		{name: "long argument", spec: run(func(s *dag.StageSpec) { s.Args = []string{strings.Repeat("x", 1<<17)} }), want: "an argument has 131072 bytes"},
		{name: "NUL", spec: run(func(s *dag.StageSpec) { s.Env = []dag.EnvVar{{Name: "A", Value: "\x00"}} }), want: "the variable A holds a NUL"},
		{name: "size", spec: run(func(s *dag.StageSpec) { s.Args = slices.Repeat([]string{strings.Repeat("x", 1<<16)}, 16) }), want: "and 1048576 are possible"},
		{name: "outputs without an image", spec: run(outputs), want: "the master's configuration names no image with the stage helper"},
		{name: "outputs without the helper", config: Config{StageImage: "helper", StageHelper: HelperNever}, spec: run(outputs), want: "forbids the stage helper"},
		{name: "result without a command", config: image, spec: &dag.StageSpec{Image: "i", CaptureResult: true}, want: "give the container a command"},
		{name: "script without a command", config: image, spec: &dag.StageSpec{Image: "i", Script: "x", CaptureResult: true}, want: "script.command is not set"},
		{name: "long script", spec: run(func(s *dag.StageSpec) { s.Script = strings.Repeat("x", 250_000) }), want: "script.source has 250000 bytes"},
		{name: "helper asked for", template: `{metadata: {annotations: {clic.io/helper: "true"}}}`, want: "clic.io/helper: true: the master's configuration names no image"},
		{name: "helper", template: `{workflow: {annotations: {clic.io/helper: perhaps}}}`, want: "can be true or false"},
		{name: "helper's volume", config: image, template: `{volumes: [{name: clic}], container: {volumeMounts: [{name: clic, mountPath: /x}]}}`, want: `the volume name "clic" is taken`},
		{name: "helper's place", config: image, template: `{volumes: [{name: v}], container: {volumeMounts: [{name: v, mountPath: /clic/}]}}`, want: "/clic is taken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var options []string
			if c.name == "namespace" {
				options = []string{"namespace", "elsewhere"}
			}
			job, err := tryJob(c.config, c.template, c.spec, options...)
			if !errors.Is(err, executors.ErrNever) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", job, err, c.want)
			}
		})
	}
	none := Config{}.WithDefaults()
	for _, a := range []executors.Attempt{{}, {ID: "x"}, {Spec: &dag.StageSpec{Image: "i"}}} {
		if _, err := buildJob(&none, a); !errors.Is(err, executors.ErrNever) {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func TestHelperDecision(t *testing.T) {
	const image = "helper"
	shell := func() *dag.StageSpec { return &dag.StageSpec{Image: "i", Shell: true, Args: []string{"x"}} }
	for _, c := range []struct {
		name, template string
		config         Config
		spec           *dag.StageSpec
		options        []string
		want           bool
	}{
		{name: "Argo form", config: Config{StageImage: image}, want: true},
		{name: "no image"},
		{name: "never", config: Config{StageImage: image, StageHelper: HelperNever}},
		{name: "never, but asked for", config: Config{StageImage: image, StageHelper: HelperNever}, template: `{metadata: {annotations: {clic.io/helper: "true"}}}`, want: true},
		{name: "opted out", config: Config{StageImage: image}, template: `{metadata: {annotations: {clic.io/helper: "false"}}}`},
		{name: "opted out by the plan", config: Config{StageImage: image}, template: `{workflow: {annotations: {clic.io/helper: "false"}}}`},
		{name: "template before plan", config: Config{StageImage: image}, template: `{metadata: {annotations: {clic/helper: "true"}}, workflow: {annotations: {clic.io/helper: "false"}}}`, want: true},
		{name: "task before template", config: Config{StageImage: image}, template: `{metadata: {annotations: {clic.io/helper: "true"}}}`, options: []string{"clic/helper", "false"}},
		{name: "opted out with outputs", config: Config{StageImage: image}, options: []string{"clic.io/helper", "false"}, spec: &dag.StageSpec{
			Image: "i", Command: []string{"x"}, CaptureResult: true, OutputFiles: []dag.OutputFile{{Name: "o", Path: "/o"}},
		}},
		{name: "CLIC form", config: Config{StageImage: image}, spec: shell()},
		{name: "CLIC form, always", config: Config{StageImage: image, StageHelper: HelperAlways}, spec: shell(), want: true},
		{name: "CLIC form whose result is used", config: Config{StageImage: image}, want: true, spec: &dag.StageSpec{
			Image: "i", Shell: true, Args: []string{"x"}, CaptureResult: true,
		}},
		{name: "entry point of the image", config: Config{StageImage: image}, spec: &dag.StageSpec{Image: "i"}},
		{name: "entry point replaced by a patch", config: Config{StageImage: image}, spec: &dag.StageSpec{Image: "i"}, template: `{podSpecPatch: "containers: [{name: main, command: [x]}]"}`, want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			job, err := tryJob(c.config, c.template, c.spec, c.options...)
			if err != nil {
				t.Fatal(err)
			}
			pod := &job.Spec.Template.Spec
			got := len(pod.InitContainers) == 1 && pod.Containers[0].Command[0] == helperInPod
			if said := job.Annotations[annotationHelper] == "true"; got != c.want || said != c.want {
				t.Errorf("the helper is there: %v, announced: %v, want %v", got, said, c.want)
			}
		})
	}
}

func TestScriptVariables(t *testing.T) {
	for _, script := range []string{
		"x", strings.Repeat("$(A) ü\n", 1<<16), strings.Repeat("a", scriptChunk), "a" + strings.Repeat("ü", scriptChunk/2),
		strings.Repeat("\xbf", 2*scriptChunk),
	} {
		var whole strings.Builder
		for i, v := range scriptVariables(script) {
			want := envStageScript
			if i > 0 {
				want = fmt.Sprintf("%s_%d", envStageScript, i)
			}
			part := strings.ReplaceAll(v.Value, "$$", "$")
			if v.Name != want || len(part) > scriptChunk || i == 0 && strings.ToValidUTF8(script, "") == script && strings.ToValidUTF8(part, "") != part {
				t.Errorf("part %d is %s with %d bytes", i, v.Name, len(part))
			}
			whole.WriteString(part)
		}
		if whole.String() != script {
			t.Errorf("a script of %d bytes became one of %d", len(script), whole.Len())
		}
	}
}

// What the cluster is not told of Argo's fields, and why. A field that is neither here nor mapped is an oversight.
var (
	notOfPod = map[string]string{
		"name": "the container's name comes from the spec", "inputs": "substituted", "outputs": "in the spec", "timeout": "in the spec",
		"activeDeadlineSeconds": "in the spec", "retryStrategy": "the core's", "parallelism": "the core's", "failFast": "the core's",
		"steps": "no program", "dag": "no program", "suspend": "no program", "resource": "refused", "http": "refused", "data": "refused",
		"containerSet": "refused", "plugin": "refused", "daemon": "refused", "synchronization": "refused", "memoize": "refused",
		"archiveLocation": "no artifacts", "metrics": "the master has its own", "annotations": "for people",
		"executor": "the helper reports to the master, and needs no account",
	}
	notOfPlan = map[string]string{
		"templates": "", "entrypoint": "", "arguments": "", "templateDefaults": "under the template", "onExit": "", "hooks": "", "suspend": "",
		"parallelism": "", "priority": "the order of tasks", "activeDeadlineSeconds": "the core's", "retryStrategy": "", "workflowMetadata": "no pod's",
		"shutdown": "", "workflowTemplateRef": "", "synchronization": "", "volumeClaimTemplates": "refused", "ttlStrategy": "", "podGC": "",
		"volumeClaimGC": "", "executor": "as of the template", "archiveLogs": "", "artifactRepositoryRef": "", "artifactGC": "", "metrics": "",
		"podPriorityClassName": "as the template's priorityClassName",
		"podDisruptionBudget":  "a Job brings no other objects",
	}
)

func TestEveryFieldIsMapped(t *testing.T) {
	tags := func(types ...reflect.Type) []string {
		var names []string
		for _, typ := range types {
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				names = append(names, name)
			}
		}
		return names
	}
	ofTemplate := tags(reflect.TypeFor[template]())
	for _, name := range tags(reflect.TypeFor[wfv1.Template]()) {
		if _, ok := notOfPod[name]; ok == slices.Contains(ofTemplate, name) {
			t.Errorf("the template's field %q is either mapped or not: %v", name, ok)
		}
	}
	ofPlan := append(tags(reflect.TypeFor[workflow]()), ofTemplate...)
	for _, name := range tags(reflect.TypeFor[wfv1.WorkflowSpec]()) {
		if _, ok := notOfPlan[name]; ok == slices.Contains(ofPlan, name) {
			t.Errorf("the plan's field %q is either mapped or not: %v", name, ok)
		}
	}
}

// A build must not keep parts of the configuration that somebody could change in the Job.
func TestJobsShareNothing(t *testing.T) {
	c := Config{
		NodeSelector: map[string]string{"a": "b"}, Tolerations: []corev1.Toleration{{Key: "k"}}, Labels: map[string]string{"a": "b"},
	}.WithDefaults()
	a := executors.Attempt{ID: "x", Spec: &dag.StageSpec{Template: "t", Image: "i", Command: []string{"a"}, Args: []string{"b"}}}
	first, err := buildJob(&c, a)
	if err != nil {
		t.Fatal(err)
	}
	before, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	pod := &first.Spec.Template
	pod.Spec.NodeSelector["a"], pod.Spec.Tolerations[0].Key, pod.Labels["a"] = "changed", "changed", "changed"
	pod.Spec.Containers[0].Command[0], pod.Spec.Containers[0].Args[0], pod.Labels[labelTask] = "changed", "changed", "changed"
	second, err := buildJob(&c, a)
	if err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("a changed Job changed the next one:\n%s\n%s", before, after)
	}
}
