package kube

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
)

var update = flag.Bool("update", false, "write testdata/jobs anew")

// goldenCase is an attempt, and under its name in testdata/jobs the Job that it becomes.
type goldenCase struct {
	name string
	// plan is a file of testdata/plans and stage a call of it; or template is a file of testdata/templates.
	plan, stage, template string
	config                Config
	attempt               func(*executors.Attempt)
}

func goldenCases() []goldenCase {
	image := Config{StageImage: "registry.local/clic:1"}
	bare := func(a *executors.Attempt) {
		a.Spec.OutputFiles = nil
	}
	return []goldenCase{
		{name: "clic", plan: "clic", stage: "read", config: image},
		{
			name: "clic-settings", plan: "clic", stage: "train",
			config: Config{
				StageImage: "registry.local/clic:1", PVC: "other", MountPath: "/mnt", VolumeName: "files", ServiceAccount: "stages",
				ImagePullSecrets: []string{"hub"}, Labels: map[string]string{"team": "x"}, Annotations: map[string]string{"note": "y"},
				NodeSelector: map[string]string{"pool": "stages"}, Tolerations: []corev1.Toleration{{Key: "stages", Operator: corev1.TolerationOpExists}},
				Namespaces: []string{"lab"}, Instance: "second", TTL: -1,
			},
			attempt: func(a *executors.Attempt) {
				a.Number, a.ID = 2, dag.AttemptID(a.Stage, 2)
				a.Options = map[string]string{"namespace": "lab"}
			},
		},
		{name: "clic-no-claim", plan: "clic", stage: "read", config: Config{PVC: NoClaim}},
		{name: "argo-container", plan: "argo", stage: "make", config: Config{StageImage: "registry.local/clic:1", ImagePullSecrets: []string{"mirror", "hub"}}},
		{name: "argo-container-bare", plan: "argo", stage: "make", attempt: bare},
		{name: "argo-script", plan: "argo", stage: "use", config: image},
		{name: "argo-script-bare", plan: "argo", stage: "use"},
		{name: "argo-entrypoint", plan: "argo", stage: "plain", config: image},
		{name: "sidecars", template: "sidecars", config: image},
		{name: "spec-only", config: Config{StageImage: "registry.local/clic:1"}, attempt: func(a *executors.Attempt) {
			a.Spec = &dag.StageSpec{
				StageID: "t-abcdefgh-x", Template: "x", Platform: "x", Image: "busybox", Command: []string{"sh", "-c"}, Args: []string{"echo"},
				Env: []dag.EnvVar{
					{Name: "A", Value: "1"},
					{Name: "S", SecretName: "s", SecretKey: "k"},
					{Name: "C", ConfigMap: "c", ConfigKey: "k", Optional: true},
				},
				CPURequest: 100, CPULimit: 1500, MemoryRequest: 1 << 20, MemoryLimit: 3 << 20, CaptureResult: true, Timeout: 1500, Grace: 1,
			}
			a.Stage, a.ID = "T_abcdefgh-Ünusual", "T_abcdefgh-Ünusual"
		}},
	}
}

func (g *goldenCase) build(t *testing.T) (*batchv1.Job, error) {
	t.Helper()
	c := g.config.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	a := executors.Attempt{
		Task: "job-abcdefgh", Epoch: 7, MasterHost: "clic-master-svc", MasterPort: 7777, Token: "secret$(TOKEN)",
		Spec: &dag.StageSpec{},
	}
	switch {
	case g.plan != "":
		a.Spec = planned(t, g.plan, g.stage)
	case g.template != "":
		a.Spec = templated(t, g.template)
	}
	a.Stage, a.ID = a.Spec.StageID, a.Spec.StageID
	if g.attempt != nil {
		g.attempt(&a)
	}
	return buildJob(&c, a)
}

// planned is what the plan makes of a stage.
func planned(t testing.TB, file, stage string) *dag.StageSpec {
	t.Helper()
	doc, ds := plan.Parse(file, readFile(t, "plans", file))
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	p, program, ds := doc.Build(doc.Name(), "job-abcdefgh", plan.BuildOptions{})
	if err := ds.Err(); err != nil {
		t.Fatal(err)
	}
	run, _, err := dag.New(p, program, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Nodes {
		if p.Nodes[i].Name == stage {
			s, err := program.Stage(run, int32(i))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatalf("the plan %s has no stage %q", file, stage)
	return nil
}

// templated is the stage of a template that needs no substitution.
func templated(t *testing.T, file string) *dag.StageSpec {
	t.Helper()
	text, err := yaml.YAMLToJSON(readFile(t, "templates", file))
	if err != nil {
		t.Fatal(err)
	}
	var tmpl wfv1.Template
	if err := json.Unmarshal(text, &tmpl); err != nil {
		t.Fatal(err)
	}
	return &dag.StageSpec{
		StageID: "job-abcdefgh-" + file, Template: tmpl.Name, Platform: tmpl.Name, TemplateJSON: text,
		Image: tmpl.Container.Image, Command: tmpl.Container.Command, Args: tmpl.Container.Args, WorkDir: tmpl.Container.WorkingDir,
	}
}

func readFile(t testing.TB, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", dir, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenJobs(t *testing.T) {
	for _, g := range goldenCases() {
		t.Run(g.name, func(t *testing.T) {
			job, err := g.build(t)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if again, err := g.build(t); err != nil || !cmp.Equal(job, again) {
					t.Fatalf("the second time: %v\n%s", err, cmp.Diff(job, again))
				}
			}
			if *update {
				if err := os.WriteFile(filepath.Join("testdata", "jobs", g.name+".yaml"), got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(readFile(t, "jobs", g.name)), string(got)); diff != "" {
				t.Errorf("go test -update writes it anew:\n%s", diff)
			}
		})
	}
}
