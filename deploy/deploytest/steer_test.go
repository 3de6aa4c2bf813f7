//go:build cluster

package deploytest

import (
	"strings"
	"testing"
)

const waitYAML = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: wait-
spec:
  entrypoint: wait
  templates:
  - name: wait
    container:
      image: clic.test/python:test
      command: [python, -c, "import time; print('waiting', flush=True); time.sleep(600)"]
`

// testSteering stops a stage that runs, lets it go on, and cancels it: what the masters do then needs rights as well.
func testSteering(t *testing.T, r *rig) {
	r.write(t, "plans/wait.yaml", waitYAML)
	task := strings.TrimSpace(r.mustClic(t, "submit", r.volume+"/plans/wait.yaml", "-o", "name"))
	var id string
	status := func(want string) {
		t.Helper()
		until(t, "the stage is "+want, func() (bool, string) {
			all, err := r.stages(t, task)
			if err != nil || len(all) != 1 {
				return false, "no stage"
			}
			id = all[0].ID
			return all[0].Status == want, all[0].Status + " " + all[0].Message
		})
	}
	pods := func(want int) {
		t.Helper()
		until(t, "the pods of the Job are there, or gone", func() (bool, string) {
			var pods []job
			r.list(t, &pods, "pods", "batch.kubernetes.io/job-name="+id)
			return len(pods) == want, ""
		})
	}
	status("RUNNING")
	pods(1)
	r.mustClic(t, "suspend", id, "--mode", "requeue", "--reason", "a test")
	status("SUSPEND")
	pods(0)
	if s := r.kubectl(t, "-n", namespace, "get", "job", id, "-o", "jsonpath={.spec.suspend}"); s != "true" {
		t.Errorf("the Job's suspend is %q", s)
	}
	r.mustClic(t, "continue", id)
	status("RUNNING")
	pods(1)
	var jobs []job
	r.list(t, &jobs, "jobs", "clic/task="+task)
	if len(jobs) != 1 {
		t.Errorf("there are %d Jobs of the stage, and it is the same attempt", len(jobs))
	}
	r.mustClic(t, "cancel", task, "--wait")
	status("CANCELLED")
	pods(0)
}
