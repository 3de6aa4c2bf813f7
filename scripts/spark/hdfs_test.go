//go:build sparkcluster

package spark

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/executors/spark"
)

// hdfs runs Hadoop's own shell, and gives what it says.
func hdfs(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "hdfs", append([]string{"dfs"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("hdfs dfs %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// The application, its data, what it makes and its event log are all in HDFS.
func TestHDFS(t *testing.T) {
	for _, mode := range []spark.Mode{spark.Native, spark.Client, spark.Cluster} {
		t.Run(string(mode), func(t *testing.T) { testHDFS(t, mode) })
	}
}

func testHDFS(t *testing.T, mode spark.Mode) {
	uri := strings.TrimSuffix(getenv(t, "CLIC_HDFS_URI"), "/")
	dir := "/" + newID("data")
	var csv strings.Builder
	csv.WriteString("k,v\n")
	for i := range 100_000 {
		fmt.Fprintf(&csv, "%d,%d\n", i%10, i)
	}
	local := t.TempDir()
	if err := os.WriteFile(filepath.Join(local, "in.csv"), []byte(csv.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	hdfs(t, "-mkdir", "-p", dir+"/events")
	hdfs(t, "-put", filepath.Join(local, "in.csv"), filepath.Join(getenv(t, "CLIC_SPARK_APPS"), "demo.jar"), filepath.Join(getenv(t, "CLIC_SPARK_APPS"), "app.py"), dir)

	x := open(t, namespace(t), mode)
	w := started(t, x)
	recovered(t, x, 1)
	for name, describe := range map[string]func(dir string, args ...string) app{"jvm": jvm, "python": python} {
		t.Run(name, func(t *testing.T) {
			id, out := newID("hdfs-"+name), dir+"/"+name+".parquet"
			a := describe(uri+dir, "sum", uri+dir+"/in.csv", uri+out)
			a["conf"] = app{
				"spark.eventLog.enabled": true, "spark.eventLog.dir": uri + dir + "/events",
				"spark.kubernetes.driverEnv.HADOOP_USER_NAME": "root", "spark.executorEnv.HADOOP_USER_NAME": "root",
			}
			launch(t, x, attempt(t, id, a, 1))
			w.succeeded(id)
			if files := hdfs(t, "-ls", out); !strings.Contains(files, "_SUCCESS") || !strings.Contains(files, ".parquet") {
				t.Errorf("it has left\n%s", files)
			}
		})
	}
	if logs := hdfs(t, "-ls", dir+"/events"); strings.Count(logs, "eventlog_v2_spark-") != 2 {
		t.Errorf("the event logs are\n%s", logs)
	}
}
