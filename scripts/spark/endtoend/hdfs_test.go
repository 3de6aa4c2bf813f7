//go:build spark

package endtoend

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sumPlan has an application that is in HDFS itself, and so are what it reads and what it makes.
const sumPlan = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: sum-}
spec:
  entrypoint: sum
  arguments:
    parameters: [{name: dir}]
  templates:
  - name: sum
    metadata:
      annotations:
        clic.io/output: "{{workflow.parameters.dir}}/{{workflow.name}}"
        clic.io/success: _SUCCESS
        clic.io/publish: "true"
    plugin:
      spark:
        mainClass: demo.App
        mainApplicationFile: "{{workflow.parameters.dir}}/demo.jar"
        arguments: [sum, "{{workflow.parameters.dir}}/in.csv", $(CLIC_OUTPUT)]
        conf: {spark.sql.shuffle.partitions: 1}
        driver: {memory: 512m}
        executor: {instances: 1, memory: 512m}
`

type sumRow struct {
	K int64 `json:"k"`
	V int64 `json:"v"`
	N int64 `json:"n"`
}

// sum has the driver fetch its application from HDFS and work on data there, also where no submitter does it on its behalf.
func (x *example) sum(t *testing.T, mode string) {
	m := newSteering(t, x.shell, mode, "result-dirs: ["+x.hdfs.URI+"/sum]", "HADOOP_CONF_DIR="+x.hdfs.ConfDir)
	dir := x.hdfs.URI + "/sum"
	plan := filepath.Join(t.TempDir(), "sum.yaml")
	write(t, plan, sumPlan)
	task := m.submit("submit", plan, "-p", "dir="+dir)
	m.until(task, "", "COMPLETED")
	head, rest, _ := strings.Cut(m.mustClic("-stage_result", task+"-sum", "20"), "\n")
	if head != dir+"/"+task {
		t.Errorf("the result is at %s", head)
	}
	var want []sumRow
	for k := range int64(10) {
		want = append(want, sumRow{K: k, V: 100*k + 10*4950, N: 100})
	}
	if diff := cmp.Diff(want, rows[sumRow](t, strings.Split(strings.TrimSuffix(rest, "\n"), "\n"))); diff != "" {
		t.Errorf("the result (-want +got):\n%s", diff)
	}
	if b := m.begun(task); b.logs != 1 {
		t.Errorf("it has begun %+v", b)
	}
}

// sums prepares what the application needs, and runs it in every way.
func (x *example) sums(t *testing.T) {
	var csv strings.Builder
	csv.WriteString("k,v\n")
	for i := range 1000 {
		fmt.Fprintf(&csv, "%d,%d\n", i%10, i)
	}
	x.dfs("", "-mkdir", "/sum")
	x.dfs(csv.String(), "-put", "-", "/sum/in.csv")
	x.dfs("", "-put", filepath.Join(getenv(t, "CLIC_SPARK_APPS"), "demo.jar"), "/sum")
	for _, mode := range []string{"local", "standalone", "standalone-cluster"} {
		t.Run(mode, func(t *testing.T) { x.sum(t, mode) })
	}
}
