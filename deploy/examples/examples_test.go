// Package examples_test checks the example plans without running them.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

// TestExamples: every plan is valid without a warning (but that it needs Kubernetes, where it does), says at its top how it is run, and its scripts are valid for sh.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d plans, want 5 at least; %v", len(files), err)
	}
	params := map[string]map[string]string{
		"go-source-report.yaml": {"goroot": "/usr/local/go/src", "workdir": "/tmp/work"},
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# ") || !strings.Contains(string(text), "deploy/examples/"+file) {
				t.Error("it does not say at its top what it shows and how it is run")
			}
			doc, found := plan.Parse(file, text)
			if doc == nil {
				t.Fatalf("it cannot be read:\n%v", found.Err())
			}
			p, _, more := doc.Build(doc.Name(), doc.Name()+"-aaaaaaaa", plan.BuildOptions{Params: params[file]})
			forKubernetes := file == "kubernetes-prepared.yaml"
			for _, d := range append(found, more...) {
				if d.Severity != plan.SeverityNote && !(forKubernetes && strings.Contains(d.Message, "only works on Kubernetes")) {
					t.Error(d)
				}
			}
			if want := file == "diamond.yaml"; p != nil && (p.Form == dag.FormCLIC) != want {
				t.Errorf("the CLIC form: %v, want %v", !want, want)
			}
			checkScripts(t, text)
		})
	}
}

// checkScripts has sh read the scripts of a plan. What is substituted is a word.
func checkScripts(t *testing.T, text []byte) {
	t.Helper()
	var wf struct {
		Spec struct {
			Templates []struct {
				Name   string
				Script struct{ Source string }
			}
		}
	}
	if err := yaml.Unmarshal(text, &wf); err != nil {
		t.Fatal(err)
	}
	for _, template := range wf.Spec.Templates {
		source := template.Script.Source
		for {
			before, rest, found := strings.Cut(source, "{{")
			if !found {
				break
			}
			_, after, _ := strings.Cut(rest, "}}")
			source = before + "1" + after
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-n")
		cmd.Stdin = strings.NewReader(source)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("the script of %s: %v\n%s", template.Name, err, out)
		}
	}
}
