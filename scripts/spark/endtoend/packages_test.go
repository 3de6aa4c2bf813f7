//go:build spark

package endtoend

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// example is what a user has who follows deploy/examples/packages.yaml.
type example struct {
	*testing.T
	hdfs  *hdfstest.Cluster
	shell string // the directory of clic and clic-master
	// programs are those of the stages; dpkg is a copy of this machine's, to which thin is added only later.
	programs, dpkg string
	late           []string
}

// dfs runs Hadoop's own shell.
func (x *example) dfs(stdin string, args ...string) string {
	x.Helper()
	cmd := exec.CommandContext(x.Context(), filepath.Join(x.hdfs.Dir, "bin", "hdfs"), append([]string{"dfs"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		x.Fatalf("hdfs dfs %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

func newExample(t *testing.T) *example {
	t.Helper()
	x := &example{T: t, hdfs: hdfstest.Own(t), shell: build(t), programs: filepath.Join(t.TempDir(), "programs"), dpkg: t.TempDir()}
	run(t, os.Environ(), root+"/deploy/examples/packages/build.sh", x.programs)
	must(t, os.Mkdir(filepath.Join(x.dpkg, "info"), 0o700))
	x.copy("status")
	lists, err := filepath.Glob("/var/lib/dpkg/info/*.list")
	must(t, err)
	for i, list := range lists {
		if name := filepath.Join("info", filepath.Base(list)); i == 0 {
			x.copy(name)
		} else {
			x.late = append(x.late, name)
		}
	}
	dag, err := os.ReadFile(root + "/deploy/examples/packages/packages.dag")
	must(t, err)
	x.dfs("", "-mkdir", "-p", "/clic-example")
	x.dfs(string(dag), "-put", "-", "/clic-example/packages.dag")
	return x
}

// copy copies a file of this machine's dpkg.
func (x *example) copy(name string) {
	x.Helper()
	b, err := os.ReadFile("/var/lib/dpkg/" + name)
	must(x.T, err)
	write(x.T, filepath.Join(x.dpkg, name), string(b))
}

// replaced is a file of the examples, with other values.
func replaced(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	b, err := os.ReadFile(root + "/deploy/examples/" + file)
	must(t, err)
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(string(b), pairs[i]); n != 1 {
			t.Fatalf("%s has %q %d times", file, pairs[i], n)
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(b))
}

// plan is the example's, on the copy of dpkg's directory.
func (x *example) plan(master string) string {
	x.Helper()
	return replaced(x.T, "packages.yaml", "value: /tmp/clic-packages}", "value: "+x.programs+"}",
		"value: /var/lib/dpkg}", "value: "+x.dpkg+"}", `value: "local[2]"}`, `value: "`+master+`"}`)
}

// master starts one with the example's configuration, but for how Spark is run.
func (x *example) master(t *testing.T, mode string) *rig {
	t.Helper()
	config := replaced(t, "packages/master.yaml", "  mode: local\n  master: local[2]\n", mode+"  poll: 1s\n",
		"SPARK_LOCAL_IP]", "SPARK_LOCAL_IP, JDK_JAVA_OPTIONS]") + "slots: {global: 2}\n"
	return newRig(t, x.shell, config, "HADOOP_CONF_DIR="+x.hdfs.ConfDir, "SPARK_HOME="+getenv(t, "SPARK_HOME"), "SPARK_LOCAL_IP=127.0.0.1",
		"JDK_JAVA_OPTIONS="+small, "PATH="+filepath.Join(x.hdfs.Dir, "bin")+":"+filepath.Join(getenv(t, "SPARK_HOME"), "bin")+":"+os.Getenv("PATH"))
}

// The plan deploy/examples/packages.yaml has stages of every kind: Python, Java and spark-submit programs of the CLIC form, that report by
// Thrift's old clients, and Spark applications. What the shell shows of each is compared with what Go makes of the same files. On the same
// HDFS an application that is there itself runs in every way.
func TestPackages(t *testing.T) {
	x := newExample(t)
	t.Run("local", x.local)
	t.Run("standalone", x.standalone)
	t.Run("sum", x.sums)
}

// local submits a plan that is in HDFS. At first a stage does not bring what it promises.
func (x *example) local(t *testing.T) {
	m := x.master(t, "  mode: local\n  master: local[2]\n")
	x.dfs(x.plan("local[2]"), "-put", "-", "/clic-example/packages.yaml")
	task := m.submit("-submit", "packages", "hdfs:///clic-example/packages.yaml")
	m.until(task, "", "FAILED")
	for stage, want := range map[string]string{
		"packages": "COMPLETED", "contents": "FAILED", "ranking": "COMPLETED", "domains": "COMPLETED", "sections": "OMITTED", "report": "OMITTED",
	} {
		if got := m.status(task, stage); got != want {
			t.Errorf("%s is %s, want %s", stage, got, want)
		}
	}
	if why := m.mustClic("explain", task+"/contents"); !strings.Contains(why, "rows>=1000") {
		t.Errorf("the reason is\n%s", why)
	}
	if files := x.dfs("", "-ls", "-R", "/clic-example/"+task); strings.Contains(files, "contents") {
		t.Errorf("what was not published is\n%s", files)
	}
	for _, name := range x.late {
		x.copy(name)
	}
	if out, err := m.clic("retry", task, "--yes", "--wait"); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, m.mustClic("watch", task, "--plain"))
	}
	x.check(t, m, task)
	for _, stage := range []string{"packages", "domains"} {
		m.until(task, stage, "PREPARED") // its program has said so
	}
}

func (x *example) standalone(t *testing.T) {
	for _, name := range x.late {
		x.copy(name)
	}
	spark := getenv(t, "CLIC_SPARK_MASTER")
	m := x.master(t, "  mode: standalone\n  master: "+spark+"\n  version: 4.3.0\n")
	file := filepath.Join(t.TempDir(), "packages.yaml")
	write(t, file, x.plan(spark))
	task := m.submit("-submit", "packages", file)
	m.until(task, "", "COMPLETED")
	x.check(t, m, task)
}

// check compares everything that the shell shows of a task that is done.
func (x *example) check(t *testing.T, m *rig, task string) {
	want := learn(t, x.dpkg)
	if len(want.packages) < 100 || len(want.contents) < 1000 || len(want.sections) < 5 || len(want.ranking) < 20 {
		t.Fatalf("this machine has %d packages with %d files", len(want.packages), len(want.contents))
	}
	x.checkTables(t, m, task)
	const most = 10_000 // that the master shows of a result
	result := func(stage, path string) []string {
		t.Helper()
		out := m.mustClic("-stage_result", task+"-"+stage, strconv.Itoa(most))
		head, rest, _ := strings.Cut(out, "\n")
		if head != path {
			t.Errorf("the result of %s is at %s, want %s", stage, head, path)
		}
		return strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
	}
	dir := "hdfs:///clic-example/" + task + "/"
	compare(t, "packages", append([]string{"package,section,kilobytes,domain,depends"}, want.packages...), result("packages", "hdfs:///clic-example/packages.csv"))
	// The first line of a CSV does not count if it looks like a header, as names and paths do.
	first := result("contents", dir+"contents")
	if len(first) < min(most, len(want.contents)) || len(first) > most+1 {
		t.Errorf("%d lines of the contents are shown", len(first))
	}
	compare(t, "contents", want.contents[:min(len(first), len(want.contents))], first)
	compare(t, "contents, whole", want.contents, strings.Split(strings.TrimSuffix(x.dfs("", "-text", dir+"contents/*"), "\n"), "\n"))
	compare(t, "sections", want.sections, rows[sectionRow](t, result("sections", dir+"sections")))
	compare(t, "ranking", want.ranking, rows[rankingRow](t, result("ranking", dir+"ranking")))
	compare(t, "domains", want.domainLines(), result("domains", dir+"domains"))
	compare(t, "report", want.report(), result("report", dir+"report.txt"))
	if short := strings.Split(strings.TrimSpace(m.mustClic("-stage_result", task+"-ranking")), "\n"); len(short) != 11 {
		t.Errorf("without a number there are %d lines:\n%q", len(short), short)
	}
	files := x.dfs("", "-ls", "-R", "/clic-example/"+task)
	lists, err := filepath.Glob(filepath.Join(x.dpkg, "info", "*.list"))
	must(t, err)
	if parts := strings.Count(files, ".csv.gz\n"); strings.Contains(files, "_clic-") || parts != (len(lists)+99)/100 {
		t.Errorf("%d parts, and there are\n%s", parts, files)
	}
}

func compare[T any](t *testing.T, stage string, want, got []T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(domainRow{})); diff != "" {
		t.Errorf("the result of %s (-want +got):\n%.4000s", stage, diff)
	}
}

// rows reads the rows of a Parquet file as the shell shows them.
func rows[T any](t *testing.T, lines []string) []T {
	t.Helper()
	all := make([]T, len(lines))
	for i, line := range lines {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&all[i]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return all
}

// checkTables looks at what the old options print.
func (x *example) checkTables(t *testing.T, m *rig, task string) {
	t.Helper()
	stages := []string{"packages", "contents", "sections", "ranking", "domains", "report"}
	for _, stage := range stages {
		if got := m.status(task, stage); got != "COMPLETED" {
			t.Errorf("%s is %s", stage, got)
		}
	}
	for i := range stages {
		stages[i] = task + "-" + stages[i]
	}
	for _, c := range []struct {
		args, want []string
	}{
		{[]string{"-list_task"}, []string{task, "COMPLETED"}},
		{[]string{"-task", task}, append([]string{"task_stage_num", "COMPLETED"}, stages...)},
		{[]string{"-task_stage", task}, append([]string{"retry_count", "python", "java", "spark"}, stages...)},
		{[]string{"-stage", task + "-report"}, []string{task + "-sections," + task + "-ranking," + task + "-domains"}},
		{[]string{"-stage", task + "-ranking"}, []string{"spark", task + "-packages", task + "-report"}},
	} {
		out := m.mustClic(c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("clic %s does not show %q:\n%s", strings.Join(c.args, " "), want, out)
			}
		}
	}
}
