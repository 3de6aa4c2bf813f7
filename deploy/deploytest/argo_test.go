//go:build cluster

package deploytest

import (
	"strings"
	"testing"
)

// argoYAML is a plan whose programs know nothing of clic: what they print and write goes from stage to stage through clic-stage.
const argoYAML = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: words-
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: count, template: count}
      - name: report
        template: report
        depends: count
        arguments:
          parameters:
          - {name: words, value: "{{tasks.count.outputs.result}}"}
          - {name: longest, value: "{{tasks.count.outputs.parameters.longest}}"}
  - name: count
    outputs:
      parameters:
      - name: longest
        valueFrom: {path: /tmp/longest}
    script:
      image: clic.test/python:test
      command: [python]
      source: |
        words = "the quick brown fox jumps over the lazy dog".split()
        import os
        os.makedirs("/tmp", exist_ok=True)
        open("/tmp/longest", "w").write(max(words, key=len))
        print(len(words))
  - name: report
    inputs:
      parameters: [{name: words}, {name: longest}]
    container:
      image: clic.test/python:test
      command: [python, -c]
      args: ["print('{{inputs.parameters.words}} words, the longest is {{inputs.parameters.longest}}')"]
`

// testArgoPlan runs a plan of the Argo form with the helper from the image of the masters.
func testArgoPlan(t *testing.T, r *rig) {
	r.write(t, "plans/words.yaml", argoYAML)
	task := strings.TrimSpace(r.mustClic(t, "submit", r.volume+"/plans/words.yaml", "-o", "name"))
	var report stage
	until(t, "the report is there", func() (bool, string) {
		all, err := r.stages(t, task)
		if err != nil {
			return false, err.Error()
		}
		var seen strings.Builder
		for _, s := range all {
			seen.WriteString(s.Path + " " + s.Status + " " + s.Message + "\n")
			switch {
			case s.Status == "FAILED":
				t.Fatalf("stage %s failed: %s", s.Path, s.Message)
			case s.Name == "report" && s.Status == "COMPLETED":
				report = s
			}
		}
		return report.ID != "", seen.String()
	})
	const want = "9 words, the longest is quick"
	if log := r.mustClic(t, "logs", task+"/report"); !strings.Contains(log, want) {
		t.Errorf("the log of the report is %q, want %q", log, want)
	}
}
