package master_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/executors/spark"
	"github.com/clic-orchestrator/clic/master"
)

// Where log-dir is a URI executors get an archive. One whose file system is away keeps nobody waiting, and the next master has what the
// last one could not write.
func TestLogsInAnotherFileSystem(t *testing.T) {
	dir := t.TempDir()
	open := func() (map[string]kubeconf.Config, *running) {
		given := map[string]kubeconf.Config{}
		cfg := config(t, dir)
		if err := cfg.Load("master.yaml", []byte(`
executors: {"*": kube, b: kube/b, c: kube/c}
hdfs: {timeout: 1s, retry: 1s}
kube: {log-dir: "hdfs://127.0.0.1:1/logs/", archive-logs: true, clusters: {b: {log-dir: /var/log/clic}, c: {}}}
spark: {mode: native, image: spark, master: "k8s://x"}
`)); err != nil {
			t.Fatal(err)
		}
		cfg.Makers = master.Makers{
			Kube: func(k kubeconf.Config) (executors.Executor, error) {
				given[k.Instance] = k
				return local.New(local.Config{DataDir: t.TempDir(), Private: true})
			},
			Pods: func(string, string) (spark.Pods, error) { return nil, nil },
		}
		return given, run(t, cfg)
	}
	given, m := open()
	if k := given["clic-b"]; k.Archive != nil || k.LogDir != "/var/log/clic" {
		t.Errorf("a directory of this machine: %q, %v", k.LogDir, k.Archive)
	}
	if k := given["clic-spark"]; k.LogDir != "hdfs://127.0.0.1:1/logs/spark" {
		t.Errorf("Spark's logs go to %q", k.LogDir)
	}
	for _, name := range []string{"clic", "clic-c", "clic-spark"} {
		if given[name].Archive == nil {
			t.Fatalf("%s has no archive", name)
		}
		if err := given[name].Archive.Put(t.Context(), "a-stage", strings.NewReader("of "+name)); err != nil {
			t.Error(err)
		}
	}
	began := time.Now()
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the master takes %v to stop", took)
	}

	given, _ = open()
	for _, name := range []string{"clic", "clic-c", "clic-spark"} {
		r, err := given[name].Archive.Open(context.Background(), "a-stage", 3)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != name {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		_ = r.Close()
	}
}
