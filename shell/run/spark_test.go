package run

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/shell/exit"
)

func TestLocalSpark(t *testing.T) {
	home := t.TempDir()
	submit := filepath.Join(home, "bin", "spark-submit")
	if err := os.Mkdir(filepath.Dir(submit), 0o700); err != nil {
		t.Fatal(err)
	}
	find := func(env map[string]string, inPath string) (string, map[string]string, error) {
		c, err := localSpark(func(name string) string { return env[name] }, func(program string) (string, error) {
			if program == "spark-submit" && inPath != "" {
				return inPath, nil
			}
			return exec.LookPath(program)
		})
		if err == nil && c.Mode != "local" {
			t.Errorf("its mode is %q", c.Mode)
		}
		return c.Submit, c.Env, err
	}
	t.Setenv("PATH", "/nowhere")
	for _, c := range []struct {
		env  map[string]string
		says string
	}{
		{nil, "there is no spark-submit in the PATH, and SPARK_HOME is not set"},
		{map[string]string{"SPARK_HOME": home}, "SPARK_HOME is " + home + ", and there is no program " + submit},
	} {
		_, _, err := find(c.env, "")
		var e *exit.Error
		if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, &e) || e.Status != exit.Config || !strings.Contains(e.Hint, "install Spark") {
			t.Errorf("%v: %v", c.env, err)
		}
	}
	got, env, err := find(map[string]string{"JAVA_HOME": "/java", "OTHER": "x"}, "/opt/spark/bin/spark-submit")
	if err != nil || got != "/opt/spark/bin/spark-submit" {
		t.Errorf("found %q, %v", got, err)
	}
	if diff := cmp.Diff(map[string]string{"JAVA_HOME": "/java"}, env); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(submit, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, _, err := find(map[string]string{"SPARK_HOME": home}, "/opt/spark/bin/spark-submit"); err != nil || got != submit {
		t.Errorf("found %q, %v", got, err)
	}
}

func TestAsksForSpark(t *testing.T) {
	const head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: x-}\nspec:\n  entrypoint: a\n  templates:\n  - name: a\n    "
	for text, want := range map[string]bool{
		head + "plugin: {spark: {mainApplicationFile: /x.py}}":         true,
		head + "container: {image: i, command: [spark-submit, spark]}": false,
		"not a plan": false,
	} {
		if got := asksForSpark("plan.yaml", text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
