package master

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/master/engine"
)

// loaded is the configuration that a file makes, with its defaults.
func loaded(t *testing.T, file string) Config {
	t.Helper()
	c := Config{DataDir: "/d"}
	if err := c.Load("f", []byte(file)); err != nil {
		t.Fatal(err)
	}
	return c.WithDefaults()
}

func TestExecutorDefaults(t *testing.T) {
	for _, tc := range []struct {
		name, file  string
		used, plans []string
		slots       []string // executors with a bound
		advertise   string
	}{
		{"nothing", "", []string{"local"}, []string{"local"}, []string{"local"}, ""},
		{"all on Kubernetes", `executors: {"*": kube}`, []string{"kube"}, []string{"kube"}, nil, "clic-master-svc"},
		{"slots of its own", "executors: {'*': kube, py: local}\nslots: {executor: {kube: 5}}", []string{"kube", "local"}, []string{"kube"}, []string{"kube", "local"}, "clic-master-svc"},
		{"a bound for all", "slots: {global: 5}", []string{"local"}, []string{"local"}, nil, ""},
		{"clusters", "kube: {clusters: {gpu: {context: g}}}", []string{"kube/gpu", "local"}, []string{"kube/gpu"}, []string{"local"}, "clic-master-svc"},
		{"one address", "executors: {'*': kube}\nlisten: 10.0.0.1:7777", []string{"kube"}, []string{"kube"}, nil, ""},
		{"all addresses", "executors: {'*': kube}\nlisten: 0.0.0.0:7777", []string{"kube"}, []string{"kube"}, nil, "clic-master-svc"},
		{"told where", "executors: {'*': kube}\nadvertise: me:1", []string{"kube"}, []string{"kube"}, nil, "me:1"},
		{"no choice", "executors: {'*': kube, a: local}\nplan-executors: []", []string{"kube", "local"}, []string{}, []string{"local"}, "clic-master-svc"},
		{"a wide choice", "executors: {'*': kube}\nplan-executors: [local, kube]", []string{"kube", "local"}, []string{"local", "kube"}, []string{"local"}, "clic-master-svc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := loaded(t, tc.file)
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tc.used, c.usedExecutors()); diff != "" {
				t.Errorf("used (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.plans, c.PlanExecutors); diff != "" {
				t.Errorf("open to plans (-want +got):\n%s", diff)
			}
			if got := slices.Sorted(maps.Keys(c.Slots.Executor)); !slices.Equal(got, tc.slots) {
				t.Errorf("slots for %v, want %v", got, tc.slots)
			}
			if c.Advertise != tc.advertise {
				t.Errorf("advertises %q, want %q", c.Advertise, tc.advertise)
			}
		})
	}
}

// The Jobs of several clusters are told apart even where two names lead to the same one.
func TestClusterInstances(t *testing.T) {
	c := loaded(t, "kube: {instance: main, archive-logs: true, clusters: {a: , b: {instance: other, log-dir: /logs}}}")
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]kubeconf.Config{
		"kube":   {Instance: "main", LogDir: "/d/logs/kube"},
		"kube/a": {Instance: "main-a", LogDir: "/d/logs/kube/a"},
		"kube/b": {Instance: "other", LogDir: "/logs"},
	} {
		if got, ok := c.clusterOf(name); !ok || got.Instance != want.Instance || got.LogDir != want.LogDir {
			t.Errorf("%s: %v, %q, %q", name, ok, got.Instance, got.LogDir)
		}
	}
	if _, ok := c.clusterOf("local"); ok {
		t.Error("local is a cluster")
	}
}

// What is wrong with executors is said with its place.
func TestWrongExecutors(t *testing.T) {
	for file, want := range map[string][]string{
		"executors:\n  java: kubernetes": {
			`f:2: executors.java: platform "java" is to be run by executor "kubernetes", which is not known (there is local, kube, spark)`,
		},
		"executors: {'*': kube/gpu}\nkube:\n  clusters:\n    cpu: {}": {
			`f:1: executors.*: platform "*" is to be run by executor "kube/gpu", which is not known (add kube.clusters.gpu)`,
		},
		"executors: {etl: spark}": {
			"spark: stages are to run on Spark, and how is not said (set spark.mode to one of [native client cluster standalone standalone-cluster local])",
		},
		"spark: {mode: native, cluster: kube/prod}": {
			`f:1: spark.cluster: the executor "kube/prod" is not known (add it to kube.clusters)`,
		},
		"plan-executors: [flink]":                         {`f:1: plan-executors: plans may choose the executor "flink", which is not known (there is local, kube, spark)`},
		"slots:\n executor: {kube: 1}":                    {`f:2: slots.executor.kube: no stage runs on executor "kube" (there is local)`},
		"executors: {'*': kube}\nkube:\n  namespace: A_B": {`f:2: kube: "A_B" cannot be a namespace's name`},
		"kube:\n  clusters:\n    a: {pvc: '///'}":         {`f:3: kube.clusters.a: "///" cannot be a claim's name ("-" is none)`},
		"kube:\n  clusters:\n    a: {instance: x}\n    b: {instance: x}": {
			`f:4: kube.clusters.b: executors "kube/a" and "kube/b" would take each other's Jobs for their own (give one of them another instance)`,
		},
		"hdfs:\n  replication: 1000\n  block-size: 100KB\n  protection: secret": {
			"f:2: hdfs.replication: 1000 is no number of copies from 1 to 512",
			"f:3: hdfs.block-size: 100000 is no multiple of 512 bytes from 64KiB on (128MiB is usual)",
			"f:4: hdfs.protection: can be authentication, integrity, privacy, not \"secret\"",
		},
		"executors: {'*': kube}\nkube:\n  log-dir: hdfs://a@b/logs": {
			`f:3: kube.log-dir: invalid path: the URI "hdfs://a@b/logs" names a user: say who one is in the configuration`,
		},
		"executors: {'*': kube}\nadvertise: a:b:c": {`f:2: advertise: "a:b:c" is not HOST:PORT`},
	} {
		err := loaded(t, file).Validate()
		if err == nil {
			t.Errorf("%q is taken", file)
			continue
		}
		if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", file, diff)
		}
	}
	for file, want := range map[string]string{
		"kube: {namespac: x}":                     `f:1: kube.namespac: unknown setting (did you mean namespace?)`,
		"kube: {clusters: {A: {}}}":               `f:1: kube.clusters.A: cannot be a cluster's name (use up to 32 lower-case letters, digits and dashes)`,
		"kube: {clusters: [a]}":                   `f:1: kube.clusters: is a list, should be a mapping (name: settings)`,
		"kube:\n  clusters:\n    a: {clusters: }": `f:3: kube.clusters.a.clusters: unknown setting`,
		"kube: {ttl: never}":                      `f:1: kube.ttl: "never" is not a time, such as 30s, 5m, 12h or 30d; or forever`,
		"kube: {tolerations: [{kye: a}]}":         `f:1: kube.tolerations: is not a list of tolerations: unknown field "kye"`,
		"kube: {archive-logs: yes}":               `f:1: kube.archive-logs: "yes" is neither true nor false`,
		"kube: {qps: -1}":                         `f:1: kube.qps: "-1" is not a number of at least 0`,
		"kube=x":                                  `f:1: kube: cannot be set in a file of key=value lines (write the file as YAML)`,
	} {
		if err := new(Config).Load("f", []byte(file)); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", file, err, want)
		}
	}
}

// A program that does not have an executor says so before it takes anything, and makes those that it has.
func TestMakers(t *testing.T) {
	onKube := Config{DataDir: filepath.Join(t.TempDir(), "data"), NoListen: true, Executors: map[string]string{AnyPlatform: "kube"}}
	_, err := New(onKube)
	if !errors.Is(err, ErrNotBuiltIn) || !strings.Contains(err.Error(), `executor "kube" is not a part of this program; run the plan on a clic-master`) {
		t.Errorf("without a maker: %v", err)
	}
	if _, err := os.Stat(onKube.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has made the data directory: %v", err)
	}

	var asked kubeconf.Config
	wrong := errors.New("no such file")
	onKube.Makers.Kube = func(c kubeconf.Config) (executors.Executor, error) {
		asked = c
		return nil, wrong
	}
	onKube.Kube.Kubeconfig = "/nowhere"
	if _, err := New(onKube); !errors.Is(err, wrong) || !strings.Contains(err.Error(), `cannot make executor "kube"`) {
		t.Errorf("with a maker that fails: %v", err)
	}
	if asked.Kubeconfig != "/nowhere" || asked.Namespace != "argo" || asked.Logger == nil {
		t.Errorf("it was asked for %+v", asked)
	}
}

const threePlatforms = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: x
META
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: java}
      - {name: b, template: python}
  - name: java
    nodeSelector: {a: b}
    container: {image: i, command: [c]}
  - name: python
    nodeSelector: {a: b}
    container: {image: i, command: [c]}
`

const oldForm = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: x
META
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: java, arguments: {parameters: [{name: javaArgs, value: run}]}}
  - name: java
    inputs: {parameters: [{name: javaArgs}]}
    container: {image: i}
`

// TestAdmit checks where the stages of plans go, and what is said of it.
func TestAdmit(t *testing.T) {
	const (
		mixed  = "executors: {'*': kube, python: local}\nkube: {namespace: jobs, namespaces: [team], clusters: {gpu: {context: g, namespaces: ['*']}}}"
		nodeOn = "note spec.templates[2].nodeSelector: this field only has a meaning on Kubernetes"
	)
	for _, tc := range []struct {
		name, file, plan, meta string
		options                map[string]string
		labels                 map[string]string
		want                   map[string]string
		said                   []string
	}{
		{name: "nothing is chosen", file: mixed, plan: threePlatforms, said: []string{nodeOn}},
		{
			name: "all here", plan: threePlatforms, meta: "namespace: elsewhere",
			said: []string{"note spec.templates[1].nodeSelector: this field only has a meaning on Kubernetes"},
		},
		{
			name: "a label", file: mixed, plan: threePlatforms, meta: "labels: {clic.io/executor: gpu}",
			want: map[string]string{"executor": "kube/gpu"},
		},
		{
			name: "a label with a dot", file: mixed, plan: threePlatforms, meta: "labels: {clic.io/executor: kube.gpu}",
			want: map[string]string{"executor": "kube/gpu"},
		},
		{
			name: "a label of the submission", file: mixed, plan: threePlatforms, labels: map[string]string{"clic.io/executor": "kube"},
			meta: "labels: {clic.io/executor: gpu}", want: map[string]string{"executor": "kube"},
		},
		{
			name: "an option before a label", file: mixed, plan: threePlatforms, options: map[string]string{"executor": "kube", "x": "y"},
			meta: "labels: {clic.io/executor: gpu}", want: map[string]string{"executor": "kube", "x": "y"},
		},
		{
			name: "another label", file: mixed + "\nexecutor-label: where", plan: threePlatforms, meta: "labels: {where: kube}",
			want: map[string]string{"executor": "kube"},
		},
		{
			name: "an executor that plans may not choose", file: mixed, plan: threePlatforms, meta: "labels: {clic.io/executor: local}",
			said: []string{`error metadata.labels.clic.io/executor: this master runs no plan on executor "local" (plans may choose kube, kube/gpu)`, nodeOn},
		},
		{
			name: "no choice at all", file: mixed + "\nplan-executors: []", plan: threePlatforms, options: map[string]string{"executor": "gpu"},
			said: []string{`error : this master runs no plan on executor "gpu" (plans may choose none here)`, nodeOn},
		},
		{
			name: "the default namespace", file: mixed, plan: oldForm, meta: "namespace: jobs", want: map[string]string{"namespace": "jobs"},
		},
		{name: "an allowed namespace", file: mixed, plan: oldForm, meta: "namespace: team", want: map[string]string{"namespace": "team"}},
		{
			name: "any namespace", file: mixed, plan: threePlatforms, meta: "namespace: mine\n  labels: {clic.io/executor: gpu}",
			want: map[string]string{"executor": "kube/gpu", "namespace": "mine"},
		},
		{
			name: "no namespace at all", file: mixed, plan: threePlatforms, options: map[string]string{"executor": "gpu", "namespace": "A b"},
			want: map[string]string{"executor": "kube/gpu", "namespace": "A b"},
			said: []string{`error : executor "kube/gpu" runs no stages in namespace "A b" (leave it out, or name one of jobs, *)`},
		},
		{
			name: "an old plan's namespace", file: mixed, plan: oldForm, meta: "namespace: argo",
			said: []string{`note metadata.namespace: executor "kube" runs no stages in namespace "argo"; they run in "jobs", as ever in a plan of the CLIC form`},
		},
		{
			name: "a namespace that is not allowed", file: mixed, plan: threePlatforms, meta: "namespace: argo",
			said: []string{`error metadata.namespace: executor "kube" runs no stages in namespace "argo" (leave it out, or name one of jobs, team)`, nodeOn},
		},
		{
			name: "an option's namespace that is not allowed", file: mixed, plan: oldForm, options: map[string]string{"namespace": "argo"},
			want: map[string]string{"namespace": "argo"},
			said: []string{`error : executor "kube" runs no stages in namespace "argo" (leave it out, or name one of jobs, team)`},
		},
		{
			name: "the helper", file: mixed, plan: oldForm, meta: "annotations: {clic/helper: 'true'}",
			want: map[string]string{"clic/helper": "true"},
		},
		{
			name: "an odd helper", file: mixed, plan: oldForm, meta: "annotations: {clic/helper: maybe}",
			said: []string{`error metadata.annotations.clic/helper: the annotation clic/helper cannot be "maybe" (it can be true or false)`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := loaded(t, tc.file)
			meta := ""
			if tc.meta != "" {
				meta = "  " + tc.meta
			}
			doc, ds := plan.Parse("p", []byte(strings.Replace(tc.plan, "META", meta, 1)))
			options, all := c.admit(engine.Admission{
				Document: doc, Options: tc.options, Labels: doc.Labels(plan.BuildOptions{Labels: tc.labels}), Diagnostics: ds,
			})
			if diff := cmp.Diff(tc.want, options); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			var said []string
			for _, d := range all {
				line := string(d.Severity) + " " + d.Field + ": " + d.Message
				if d.Hint != "" && d.Rule != "kubernetes-only" {
					line += " (" + d.Hint + ")"
				}
				said = append(said, line)
			}
			slices.Sort(said)
			slices.Sort(tc.said)
			if diff := cmp.Diff(tc.said, said); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
		})
	}
}
