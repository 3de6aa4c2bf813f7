package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/executors/local"
)

func TestMain(m *testing.M) {
	if local.RunShimIfAsked() {
		return
	}
	os.Exit(m.Run())
}

// TestEveryRigWorks takes every figure but the one that builds a program and those that need a cluster, at its smallest size.
func TestEveryRigWorks(t *testing.T) {
	chosen := regexp.MustCompile("^[^v]")
	if testing.Short() {
		chosen = regexp.MustCompile("^(chain|step)$")
	}
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-dir", t.TempDir(), "-only", chosen.String()}, &out, &errs); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	for _, m := range measurements {
		figure := m.name + "/"
		if rest, ok := strings.CutPrefix(m.name, "redis-"); ok {
			figure = "redis/" + rest
		}
		if m.needs == nothing && chosen.MatchString(m.name) && !strings.Contains(out.String(), "\n"+figure) {
			t.Errorf("no figure of %s in\n%s", m.name, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "# ") && len(strings.Fields(line)) < 6 {
			t.Errorf("this is no figure with its conditions: %q", line)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-only", "("}, {"-unknown"}, {"-dir", "/nowhere/at/all"}, {"-profile", "/nowhere/at/all", "-only", "^$"}} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, &out, &errs); err == nil {
			t.Errorf("%v is accepted:\n%s", args, out.String())
		}
	}
}

func TestList(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-list -only ^(step|kube-real)$", "step\n"},
		{"-list -cluster -only ^(step|kube-real)$", "kube-real\n"},
		{"-list -spark -only launch|step", "spark-launch\n"},
		{"-list -hdfs", "hdfs-head\n"},
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), strings.Fields(c.args), &out, &errs); err != nil || out.String() != c.want {
			t.Errorf("%s: %v, %q, want %q", c.args, err, out.String(), c.want)
		}
	}
}

// Without what is needed there are no figures of it, and it is said so.
func TestWithoutWhatIsNeeded(t *testing.T) {
	for option, variable := range map[string]string{"-cluster": "KUBECONFIG", "-spark": "SPARK_HOME", "-hdfs": "HADOOP_CONF_DIR"} {
		t.Setenv(variable, "")
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{option, "-dir", t.TempDir()}, &out, &errs)
		if err == nil || !strings.Contains(err.Error(), variable) || strings.Contains(out.String(), " aim ") {
			t.Errorf("%s: %v\n%s", option, err, out.String())
		}
	}
}
