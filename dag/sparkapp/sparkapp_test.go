package sparkapp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	a, ps := Decode([]byte(`{
		"name": "sum", "mainClass": "org.example.Sum", "mainApplicationFile": "hdfs://data/sum.jar", "arguments": ["--n", 3, true, ""],
		"conf": {"spark.sql.shuffle.partitions": 200, "spark.eventLog.enabled": true},
		"jars": ["local:///a.jar"], "packages": ["org.x:y_2.13:1.0"], "image": "spark:4.3.0", "pullPolicy": "Never",
		"driver": {"cores": "2", "memory": "1g"}, "executor": {"instances": 4, "cores": 2, "memory": "4G", "overhead": "1024m", "coreRequest": "500m"},
		"dynamicAllocation": {"enabled": true, "min": 1, "max": 8}, "serviceAccount": "spark", "sparkVersion": "4.3.0"}`))
	if len(ps) > 0 {
		t.Fatalf("problems: %v", texts(ps))
	}
	want := App{
		Name: "sum", MainClass: "org.example.Sum", File: "hdfs://data/sum.jar", Arguments: []string{"--n", "3", "true", ""},
		Conf: map[string]string{"spark.sql.shuffle.partitions": "200", "spark.eventLog.enabled": "true"},
		Jars: []string{"local:///a.jar"}, Packages: []string{"org.x:y_2.13:1.0"}, Image: "spark:4.3.0", PullPolicy: "Never",
		Driver:   Driver{Resources{Cores: 2, Memory: 1024}},
		Executor: Executor{Resources{Cores: 2, Memory: 4096, Overhead: 1024, CoreRequest: "500m"}, 4},
		Dynamic:  &Dynamic{Min: 1, Max: 8}, ServiceAccount: "spark", SparkVersion: "4.3.0",
	}
	if d := cmp.Diff(want, a); d != "" {
		t.Error(d)
	}
}

func texts(ps []Problem) []string {
	var all []string
	for i := range ps {
		all = append(all, ps[i].Error())
	}
	return all
}

func TestProblems(t *testing.T) {
	t.Parallel()
	const good = `"mainClass": "a.B", "mainApplicationFile": "x.jar"`
	for _, c := range []struct{ name, in, want string }{
		{"no object", `[]`, "this must be a map"},
		{"nothing", `{}`, "has no mainApplicationFile"},
		{"no class", `{"mainApplicationFile": "x.jar"}`, "has no mainClass"},
		{"class of python", `{"mainClass": "A", "mainApplicationFile": "x.py"}`, "mainClass: a Python or R program"},
		{"unknown", `{` + good + `, "executer": {}}`, `no field "executer"`},
		{"alias", `{"mainClass": "A", "jar": "x"}`, "use mainApplicationFile"},
		{"kubernetes size", `{` + good + `, "driver": {"memory": "512Mi"}}`, "driver.memory: \"512Mi\" is not a size of memory: Spark knows no unit \"mi\" (write 512m"},
		{"no unit", `{` + good + `, "driver": {"memory": 512}}`, "write 512m"},
		{"fraction", `{` + good + `, "executor": {"memory": "1.5g"}}`, "1536m"},
		{"small", `{` + good + `, "executor": {"memory": "256m"}}`, "less than Spark starts with"},
		{"zero cores", `{` + good + `, "driver": {"cores": 0}}`, "at least 1"},
		{"text cores", `{` + good + `, "driver": {"cores": "many"}}`, "whole number"},
		{"quantity", `{` + good + `, "driver": {"coreRequest": "1 core"}}`, "no number of cores"},
		{"conf prefix", `{` + good + `, "conf": {"sql.x": 1}}`, "write spark.sql.x"},
		{"conf hadoop", `{` + good + `, "conf": {"fs.defaultFS": "x"}}`, "write spark.hadoop.fs.defaultFS"},
		{"conf ours", `{` + good + `, "conf": {"spark.master": "local"}}`, "spark.master cannot be set here"},
		{"conf twice", `{` + good + `, "driver": {"memory": "1g"}, "conf": {"spark.driver.memory": "2g"}}`, "keep one of them"},
		{"conf value", `{` + good + `, "conf": {"spark.executor.memory": "2Gi"}}`, "write 2g"},
		{"conf map", `{` + good + `, "conf": {"spark.x": {}}}`, `conf["spark.x"]: this must be a text`},
		{"arguments", `{` + good + `, "arguments": "x y"}`, "arguments: this must be a list"},
		{"argument", `{` + good + `, "arguments": ["x", {}]}`, "arguments[1]: this must be a text"},
		{"comma", `{` + good + `, "jars": ["a.jar,b.jar"]}`, "make them items"},
		{"coordinate", `{` + good + `, "packages": ["org.x"]}`, "group:artifact:version"},
		{"policy", `{` + good + `, "pullPolicy": "Sometimes"}`, "it can be Always"},
		{"bounds", `{` + good + `, "dynamicAllocation": {"min": 4, "max": 2}}`, "min is greater than max"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, ps := Decode([]byte(c.in))
			if all := strings.Join(texts(ps), "\n"); !strings.Contains(all, c.want) {
				t.Errorf("got %s, want %s", all, c.want)
			}
			if len(ps) > 2 {
				t.Errorf("too many problems: %s", texts(ps))
			}
		})
	}
}

func TestCheckLeavesTagsOpen(t *testing.T) {
	t.Parallel()
	open := func(s string) bool { return strings.Contains(s, "{{") }
	in := `{"mainClass": "{{c}}", "mainApplicationFile": "{{f}}", "driver": {"memory": "{{m}}", "cores": "{{n}}"},
		"dynamicAllocation": {"enabled": "{{e}}", "min": 4, "max": "{{x}}"}, "conf": {"spark.driver.memory": "{{m}}", "{{k}}": 1}, "pullPolicy": "{{p}}"}`
	if ps := Check([]byte(in), open); len(ps) > 0 {
		t.Errorf("problems: %s", texts(ps))
	}
	if ps := Check([]byte(`{"mainApplicationFile": "{{f}}", "executor": {"memory": "1Gi"}}`), open); len(ps) != 1 {
		t.Errorf("want the size alone, since the file may be a Python one, got %s", texts(ps))
	}
}

func TestParseMiB(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]MiB{
		"512": 512, "512m": 512, "512MB": 512, "\t2g": 2048, "1t": 1 << 20, "1p": 1 << 30, "1048576": 1 << 20, "2048k": 2, "1048576b": 1, "0": 0,
	} {
		if got, err := ParseMiB(in); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "m", "1.5g", "-1g", "+1g", "1gi", "9223372036854775807t", "1 g", "1x"} {
		if got, err := ParseMiB(in); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
}

func TestWithOverhead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		heap, overhead MiB
		factor         float64
		want           MiB
	}{
		{512, 0, OverheadFactor, 896}, {8192, 0, OverheadFactor, 9011}, {1024, 0, OverheadFactorNonJVM, 1433}, {512, 100, OverheadFactor, 612},
	} {
		if got := WithOverhead(c.heap, c.overhead, c.factor, MinOverhead); got != c.want {
			t.Errorf("%v: got %d", c, got)
		}
	}
}

func TestParseSubmit(t *testing.T) {
	t.Parallel()
	argv := append(strings.Fields(`/opt/spark/bin/spark-submit --master k8s://https://x:6443 --deploy-mode cluster --class a.B`),
		"--conf", "spark.x=1 2", "-c", "spark.y=a=b", "--jars", "a.jar,b.jar", "--driver-memory=1g", "--num-executors", "3",
		"--total-executor-cores", "4", "-v", "local:///x.jar", "in", "out", "", "--class", "z")
	got, err := ParseSubmit(argv)
	if err != nil {
		t.Fatal(err)
	}
	want := Submit{Master: "k8s://https://x:6443", DeployMode: "cluster", App: App{
		MainClass: "a.B", File: "local:///x.jar", Arguments: []string{"in", "out", "", "--class", "z"}, Jars: []string{"a.jar", "b.jar"},
		Conf:   map[string]string{"spark.x": "1 2", "spark.y": "a=b", "spark.cores.max": "4"},
		Driver: Driver{Resources{Memory: 1024}}, Executor: Executor{Instances: 3},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := ParseSubmit([]string{"python3", "x.py"}); !errors.Is(err, ErrNotSubmit) {
		t.Errorf("got %v", err)
	}
	for _, bad := range [][]string{
		{"spark-submit"},
		{"spark-submit", "--class"},
		{"spark-submit", "--properties-file", "x", "y.jar"},
		{"spark-submit", "--driver-memory", "1Gi", "x"},
		{"spark-submit", "--conf", "x", "y"},
	} {
		if _, err := ParseSubmit(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"mainClass": "a.B", "mainApplicationFile": "x.jar", "driver": {"memory": "1g"}, "conf": {"spark.x": 1}}`)
	f.Add(`{"arguments": [null, {}], "dynamicAllocation": {"enabled": "{{x}}"}}`)
	f.Fuzz(func(t *testing.T, in string) {
		a, ps := Decode([]byte(in))
		for i := range ps {
			if ps[i].Message == "" || ps[i].Rule == "" {
				t.Errorf("an empty problem at %q", ps[i].Where())
			}
		}
		if len(ps) == 0 && (a.File == "" || a.MainClass == "" && !a.Python() && !a.R()) {
			t.Errorf("taken without a program: %+v", a)
		}
		open := Check([]byte(in), func(s string) bool { return strings.Contains(s, "{{") })
		if len(ps) == 0 && len(open) > 0 && !strings.Contains(in, "{{") {
			t.Errorf("Check says %v where Decode says nothing", texts(open))
		}
	})
}

func FuzzSubmit(f *testing.F) {
	f.Add("spark-submit --class a.B --conf k=v x.jar 'a b'")
	f.Fuzz(func(t *testing.T, line string) {
		argv := strings.Split(line, " ")
		s, err := ParseSubmit(argv)
		if err == nil && len(s.App.Arguments) > len(argv) {
			t.Errorf("%q: more arguments than words", line)
		}
	})
}
