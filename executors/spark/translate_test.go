package spark

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

var update = flag.Bool("update", false, "write testdata anew")

const jvmApp = `{"name": "sum", "inputs": {}, "metadata": {"labels": {"team": "x"}}, "nodeSelector": {"disk": "ssd"}, "serviceAccountName": "of-plan",
	"plugin": {"spark": {"mainClass": "org.example.Sum", "mainApplicationFile": "hdfs://data/sum.jar", "arguments": ["$(HOME)", "a b", ""],
	"conf": {"spark.sql.shuffle.partitions": 4, "spark.kubernetes.driverEnv.TZ": "UTC", "spark.kubernetes.driver.label.own": "1"},
	"jars": ["local:///a.jar"], "driver": {"cores": 2, "memory": "2g", "coreLimit": "2500m"},
	"executor": {"instances": 3, "cores": 2, "memory": "4g", "coreRequest": "500m"}}}}`

const pythonApp = `{"name": "py", "plugin": {"spark": {"mainApplicationFile": "local:///opt/app/app.py", "arguments": ["pi"], "pyFiles": ["local:///b.py"],
	"name": "A pi!", "image": "own:1", "pullPolicy": "Never", "serviceAccount": "drivers", "dynamicAllocation": {"max": 4}}}}`

// attempt is one whose template is a plugin.
func attempt(template string) executors.Attempt {
	return executors.Attempt{
		ID: "job-abcdefgh-sum-r1", Task: "job-abcdefgh", Stage: "job-abcdefgh-sum", Number: 1, Epoch: 7,
		MasterHost: "clic-master-svc", MasterPort: 7777, Token: "secret",
		Spec: &dag.StageSpec{
			StageID: "job-abcdefgh-sum", Task: "job-abcdefgh", Template: "sum", Platform: "spark", Plugin: pluginName, TemplateJSON: []byte(template),
			Env: []dag.EnvVar{{Name: "OWN", Value: "1"}},
		},
	}
}

func submitAttempt() executors.Attempt {
	a := attempt(`{"name": "old", "container": {"image": "spark:3.5", "command": ["x"], "env": [{"name": "E", "value": "1"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}}`)
	a.Spec.Plugin, a.Spec.Image, a.Spec.Command = "", "spark:3.5", []string{"/opt/spark/bin/spark-submit"}
	a.Spec.Args = append(strings.Fields("--master spark://x:7077 --class org.example.Sum --executor-memory 2g /data/sum.jar"), "in put")
	return a
}

// TestTranslate compares what the base is given with testdata/attempts.
func TestTranslate(t *testing.T) {
	t.Parallel()
	kube := Config{
		Image: "spark:4.3.0", ServiceAccount: "spark", SparkVersion: "4.3.0", EventLogDir: "hdfs://data/events", Conf: map[string]string{"spark.x": "$1"},
		Env: map[string]string{"JDK_JAVA_OPTIONS": "-XX:+UseSerialGC"},
	}
	with := func(c Config, m Mode) Config { c.Mode = m; return c }
	for _, c := range []struct {
		name    string
		config  Config
		attempt executors.Attempt
	}{
		{"native-jvm", with(kube, Native), attempt(jvmApp)},
		{"native-python", with(kube, Native), attempt(pythonApp)},
		{"native-submit", with(kube, Native), submitAttempt()},
		{"client-jvm", with(kube, Client), attempt(jvmApp)},
		{"cluster-jvm", with(kube, Cluster), attempt(jvmApp)},
		{"cluster-python", with(kube, Cluster), attempt(pythonApp)},
		{"standalone-process", Config{Mode: Standalone, Master: "spark://h:7077", Home: "/spark"}, attempt(jvmApp)},
		{"standalone-pod", Config{Mode: Standalone, Master: "spark://h:7077", Pods: true, Image: "spark:4.3.0"}, attempt(pythonApp)},
		{"local-python", Config{Mode: Local}, attempt(pythonApp)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := c.config.WithDefaults()
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			got, _, err := cfg.translate(c.attempt)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "attempts", c.name+".json"), got.Spec)
			again, _, _ := cfg.translate(c.attempt)
			if d := cmp.Diff(got, again); d != "" {
				t.Error("not deterministic:", d)
			}
		})
	}
}

func golden(t *testing.T, file string, spec *dag.StageSpec) {
	t.Helper()
	var template any
	if err := json.Unmarshal(spec.TemplateJSON, &template); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, v := range spec.Env {
		env[v.Name] = v.Value
	}
	// What this package decides on, and nothing else of a spec.
	plain := map[string]any{
		"image": spec.Image, "command": spec.Command, "args": spec.Args, "env": env, "shell": spec.Shell, "plugin": spec.Plugin,
		"cpuRequest": spec.CPURequest, "cpuLimit": spec.CPULimit, "memoryRequest": spec.MemoryRequest, "memoryLimit": spec.MemoryLimit,
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(map[string]any{"spec": plain, "template": template}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

func TestTranslateRefuses(t *testing.T) {
	t.Parallel()
	plain := attempt(`{"container": {"image": "x"}}`)
	plain.Spec.Plugin, plain.Spec.Command = "", []string{"python3", "x.py"}
	program := submitAttempt()
	program.Spec.Form = dag.FormCLIC
	other := attempt(jvmApp)
	other.Spec.Plugin = "other"
	for _, c := range []struct {
		name    string
		config  Config
		attempt executors.Attempt
		want    string
	}{
		{"plain", Config{Mode: Native, Image: "x"}, plain, "no Spark application; use plugin"},
		{"program", Config{Mode: StandaloneCluster, RESTURL: "http://x:1", StateDir: "/x"}, program, "a program of the CLIC form"},
		{"other plugin", Config{Mode: Native, Image: "x"}, other, `no plugin "other"`},
		{"no image", Config{Mode: Native}, attempt(jvmApp), "no image is named"},
		{"version", Config{Mode: Local, SparkVersion: "3.5.1"}, attempt(strings.Replace(jvmApp, `"jars"`, `"sparkVersion": "4.0.0", "jars"`, 1)), "made for Spark 4.0.0"},
		{"volumes", Config{Mode: Native, Image: "x"}, attempt(strings.Replace(jvmApp, `"conf": {`, `"conf": {"spark.kubernetes.driver.volumes.a.b": "c", `, 1)), "podSpecPatch"},
		{"problems", Config{Mode: Local}, attempt(`{"plugin": {"spark": {"driver": {"memory": "1x"}}}}`), "driver.memory"},
		{"no plugin", Config{Mode: Local}, attempt(`{}`), "must be a map"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := c.config.WithDefaults()
			_, _, err := cfg.translate(c.attempt)
			if !errors.Is(err, executors.ErrNever) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long-", 20) + "name"
	for _, id := range []string{"a", "job-abcdefgh-sum-r1", long, "UPPER_under", "9begins", "Ünusual", "-x-", "__"} {
		if n := podPrefix(id); len(n) > 47 || n[0] < 'a' || n[0] > 'z' || strings.HasSuffix(n, "-") {
			t.Errorf("%q: prefix %q", id, n)
		}
		if n := driverName(id); len(n) > 63 || strings.HasPrefix(n, "-") {
			t.Errorf("%q: driver %q", id, n)
		}
	}
	if driverName(long) == driverName(long+"x") || appID("a") == appID("b") {
		t.Error("two attempts have the same name")
	}
	if got := labelValue("A pi! (of " + long + ")"); len(got) > 63 || strings.ContainsAny(got, " !(") {
		t.Errorf("label %q", got)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "no mode"},
		{Config{Mode: Standalone}, "master is not set"},
		{Config{Mode: Standalone, Master: "local"}, "begins with spark://"},
		{Config{Mode: Native, Master: "yarn"}, "begins with k8s://"},
		{Config{Mode: StandaloneCluster, RESTURL: "h:6066", StateDir: "x"}, "not of the form"},
		{Config{Mode: StandaloneCluster, RESTURL: "http://h:6066"}, "no directory"},
		{Config{Mode: Local, Conf: map[string]string{"x": "y"}}, "no key"},
		{Config{Mode: Local, Env: map[string]string{"a=b": "y"}}, "environment variable"},
	} {
		if err := c.config.WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.config, err, c.want)
		}
	}
}
