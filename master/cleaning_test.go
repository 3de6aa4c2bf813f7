package master_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

const writes = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: writes-
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: own, template: own}
      - {name: shared, template: shared}
  - name: own
    metadata: {annotations: {clic.io/output: "DIR/{{workflow.name}}/own", clic.io/publish: "true"}}
    script: {image: sh, command: [sh], source: "mkdir $CLIC_OUTPUT; echo x > $CLIC_OUTPUT/part"}
  - name: shared
    metadata: {annotations: {clic.io/output: "DIR/shared"}}
    script: {image: sh, command: [sh], source: "mkdir -p DIR/shared; echo x > DIR/shared/part"}
`

// top declares the directory of results itself, which nobody may delete.
const top = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: top-}
spec:
  entrypoint: main
  templates:
  - name: main
    metadata: {annotations: {clic.io/output: "DIR/."}}
    script: {image: sh, command: [sh], source: "mkdir -p DIR/other"}
`

// Deleting a task with its outputs deletes what it alone has declared, and never a directory of results.
func TestDeleteWithOutputs(t *testing.T) {
	cfg := config(t, t.TempDir())
	dir := filepath.Join(cfg.ResultDirs[0], "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.ResultDirs = []string{dir}
	c, _ := run(t, cfg).connect(t)
	submit := func(text string) string {
		t.Helper()
		a := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(t.Context(), &thriftmaster.Submission{
			Plan: strings.ReplaceAll(text, "DIR", dir),
		}))
		return a.TaskName
	}
	ends := func(text string) string {
		t.Helper()
		name := submit(text)
		until(t, c, name, "", "COMPLETED")
		return name
	}
	is := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	first, second, third := ends(writes), ends(writes), ends(writes)
	var own string
	for _, stage := range ok[*thriftmaster.StagePage](t)(c.ListStages(t.Context(), &thriftmaster.StageQuery{TaskName: second})).Stages {
		if stage.Name == "own" {
			own = stage.StageId
		}
	}
	leftover := filepath.Join(second, "_clic-"+own)
	if err := os.MkdirAll(filepath.Join(dir, leftover), 0o700); err != nil {
		t.Fatal(err)
	}
	remove := func(name string, outputs bool) {
		t.Helper()
		if err := c.DeleteTask(t.Context(), name, false, "", outputs); err != nil {
			t.Fatal(err)
		}
	}
	remove(first, false)
	remove(second, true)
	eventually(t, "the end of its output, and of what an attempt has left", func() bool { return !is(second+"/own") && !is(leftover) })
	if !is(first+"/own") || !is(third+"/own") || !is("shared/part") {
		t.Error("outputs are gone that others have, or that were not to be deleted")
	}

	// A task that has not come to it yet may declare what begins like that: here anything.
	const waits = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: waits-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: gate, template: gate}
    - - {name: later, template: later, arguments: {parameters: [{name: table, value: "{{steps.gate.outputs.result}}"}]}}
  - name: gate
    script: {image: sh, command: [sh], source: "while [ ! -e DIR/go ]; do sleep 0.05; done; echo new"}
  - name: later
    inputs: {parameters: [{name: table}]}
    metadata: {annotations: {clic.io/output: "DIR/sha{{inputs.parameters.table}}"}}
    script: {image: sh, command: [sh], source: "true"}
`
	waiting := submit(waits)
	remove(third, true)
	eventually(t, "the end of its output", func() bool { return !is(third + "/own") })
	if !is("shared/part") {
		t.Error("an output is gone that a task may declare which waits")
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, c, waiting, "", "COMPLETED")
	remove(waiting, true)
	last := ends(strings.ReplaceAll(writes, "- {name: own, template: own}\n      ", ""))
	remove(last, true)
	eventually(t, "the end of what nobody has any more", func() bool { return !is("shared") })
	all := ends(top)
	remove(all, true)
	last = ends(writes)
	remove(last, true)
	eventually(t, "the end of the last one's", func() bool { return !is(last + "/own") })
	if !is("other") {
		t.Error("the directory of results is gone")
	}
}
