//go:build cluster

package deploytest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// submitPod is a pod as the old shell was used in: all that it knows of the master stands in /data/conf/master-info.config.
const submitPod = `apiVersion: v1
kind: Pod
metadata:
  name: old-shell
spec:
  restartPolicy: Never
  containers:
  - name: shell
    image: clic.test/clic:test
    command: [clic, -submit, Diamond, /data/plans/diamond.yaml]
    volumeMounts:
    - {name: nfs-volume, mountPath: /data}
  volumes:
  - name: nfs-volume
    persistentVolumeClaim: {claimName: pvc-nfs}
`

// diamondYAML is a plan as the old plan builders generate it. The join fails the first time, before its program is started.
const diamondYAML = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: diamond-
spec:
  entrypoint: job-dag
  volumes:
  - name: nfs-volume
    persistentVolumeClaim:
      claimName: pvc-nfs
  templates:
  - name: job-dag
    dag:
      tasks:
      - name: source
        template: python-exec
        arguments:
          parameters:
          - {name: pythonArgs, value: "python /opt/clic/stage.py --udfPath=/none --dagPath=/data/dags/source.dag"}
      - name: left
        template: python-exec
        dependencies: [source]
        arguments:
          parameters:
          - {name: pythonArgs, value: "python /opt/clic/stage.py --udfPath=/none --dagPath=/data/dags/left.dag"}
      - name: right
        template: java-exec
        dependencies: [source]
        arguments:
          parameters:
          - {name: javaArgs, value: "java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '/opt/clic:/opt/clic/*' Stage --udfPath=/none --dagPath=/data/dags/right.dag"}
      - name: join
        template: python-join
        dependencies: [left, right]
        arguments:
          parameters:
          - name: pythonArgs
            value: "test -e /data/dags/failed || { : >/data/dags/failed; exit 3; }; python /opt/clic/stage.py --dagPath=/data/dags/join.dag"
  - name: python-exec
    inputs:
      parameters:
      - name: pythonArgs
    container:
      image: clic.test/python:test
      imagePullPolicy: IfNotPresent
      command: [sh, -c]
      args: ["echo {{inputs.parameters.pythonArgs}}"]
      volumeMounts:
      - name: nfs-volume
        mountPath: /data
  - name: python-join
    retryStrategy: {limit: 1}
    inputs:
      parameters:
      - name: pythonArgs
    container:
      image: clic.test/python:test
      command: [sh, -c]
      args: ["echo {{inputs.parameters.pythonArgs}}"]
  - name: java-exec
    inputs:
      parameters:
      - name: javaArgs
    container:
      image: clic.test/java:test
      command: [sh, -c]
      args: ["echo {{inputs.parameters.javaArgs}}"]
`

// dag writes the DAG file of a stage, which says what its program does; see testdata/stage.py.
func (r *rig) dag(t *testing.T, name string, params map[string]string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"operators": []any{map[string]any{"id": "op1", "params": params}}})
	must(t, err)
	r.write(t, "dags/"+name+".dag", string(b))
}

// testOldPlan takes a plan of the old form through what the old system could do, and through the death of the leading master.
func testOldPlan(t *testing.T, r *rig) {
	r.write(t, "conf/master-info.config", "# Where the master is.\nip=clic-master-svc\nport=7777\n")
	r.write(t, "plans/diamond.yaml", diamondYAML)
	r.write(t, "results/README", "Results of stages go here.\n")
	r.dag(t, "source", map[string]string{"calls": "S1P2C", "waitFor": "/data/dags/go", "outputPath": "/data/results/source"})
	r.dag(t, "left", map[string]string{"calls": "SPC", "outputPath": "/data/results/left"})
	r.dag(t, "right", map[string]string{"calls": "SPC", "outputPath": "/data/results/right"})
	r.dag(t, "join", map[string]string{"calls": "SPC", "outputPath": "/data/results/join"})

	task := r.submitFromPod(t)
	source, left, right, join := task+"-python-exec-1", task+"-python-exec-2", task+"-java-exec-3", task+"-python-join-4"
	r.untilStatus(t, task, map[string]string{source: "RUNNING"})

	r.mustClic(t, "-suspend_stage", right)
	r.untilStatus(t, task, map[string]string{right: "SUSPEND", join: "SUSPEND", left: "WAITING"})

	r.write(t, "dags/go1", "")
	r.untilStatus(t, task, map[string]string{source: "PREPARED", left: "COMPLETED", right: "SUSPEND", join: "SUSPEND"})

	// A program that has reported its end and not ended yet would be stopped by the next leader, for whom its stage is done.
	r.kubectl(t, "-n", namespace, "wait", "--for=condition=complete", "job/"+left, "--timeout=60s")
	killed := r.killLeader(t)
	r.mustClic(t, "-continue_stage", right)
	r.untilStatus(t, task, map[string]string{source: "PREPARED", right: "COMPLETED"})
	r.write(t, "dags/go2", "")
	r.untilStatus(t, task, map[string]string{source: "COMPLETED", left: "COMPLETED", right: "COMPLETED", join: "COMPLETED"})
	t.Logf("the task went on without %s", killed)

	r.checkOldTables(t, task, []string{source, left, right, join})
	if out, want := r.mustClic(t, "-stage_result", join), join; !strings.Contains(out, "/data/results/join") || !strings.Contains(out, want) {
		t.Errorf("the result of the join does not name its path and %q:\n%s", want, out)
	}
	b, err := os.ReadFile(filepath.Join(r.volume, "results", "right"))
	if err != nil || strings.TrimSpace(string(b)) != right {
		t.Errorf("the Java stage has written %q, %v", b, err)
	}
	all, err := r.stages(t, task)
	must(t, err)
	for _, s := range all {
		if want := map[string]int{join: 1}[s.ID]; s.Retries != want {
			t.Errorf("stage %s was retried %d times, want %d", s.ID, s.Retries, want)
		}
	}
	r.checkJobs(t, map[string]string{source: "", left: "", right: "", join: "", join + "-r1": ""})
}

var taskName = regexp.MustCompile(`\bdiamond-[a-z]{8}\b`)

// submitFromPod submits the plan from inside of the cluster, and gives the name of the task as the shell outside shows it.
func (r *rig) submitFromPod(t *testing.T) string {
	t.Helper()
	r.apply(t, submitPod)
	until(t, "the pod of the shell ends well", func() (bool, string) {
		phase := r.kubectl(t, "-n", namespace, "get", "pod", "old-shell", "-o", "jsonpath={.status.phase}")
		if phase == "Failed" {
			t.Fatalf("the shell in the pod failed:\n%s", r.kubectl(t, "-n", namespace, "logs", "old-shell"))
		}
		return phase == "Succeeded", phase
	})
	said := r.kubectl(t, "-n", namespace, "logs", "old-shell")
	if !strings.Contains(said, "has been submitted") {
		t.Errorf("the shell in the pod said %q", said)
	}
	list := r.mustClic(t, "-list_task")
	task := taskName.FindString(list)
	if task == "" || !strings.HasPrefix(strings.TrimSpace(list), "plan_name") && !strings.Contains(list, "plan_name") {
		t.Fatalf("-list_task shows no task of the plan:\n%s", list)
	}
	return task
}

// checkOldTables looks at what the old options print.
func (r *rig) checkOldTables(t *testing.T, task string, ids []string) {
	t.Helper()
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-list_task"}, []string{task, "COMPLETED"}},
		{[]string{"-task", task}, append([]string{"task_stage_num", "COMPLETED"}, ids...)},
		{[]string{"-task_stage", task}, append([]string{"retry_count", "python", "java"}, ids...)},
		{[]string{"-stage", ids[3]}, []string{ids[1], ids[2]}},
		{[]string{"-version"}, nil},
	} {
		out := r.mustClic(t, c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("clic %s does not show %q:\n%s", strings.Join(c.args, " "), want, out)
			}
		}
	}
}

// job is what the tests look at in a Job and in a pod.
type job struct {
	Metadata struct {
		Name        string
		Labels      map[string]string
		Annotations map[string]string
	}
}

// checkJobs says that these Jobs were made and no others, and one pod for each.
func (r *rig) checkJobs(t *testing.T, want map[string]string) {
	t.Helper()
	var jobs, pods []job
	r.list(t, &jobs, "jobs", "app.kubernetes.io/managed-by=clic")
	r.list(t, &pods, "pods", "app.kubernetes.io/managed-by=clic")
	seen := map[string]int{}
	for _, j := range jobs {
		if _, ok := want[j.Metadata.Name]; !ok {
			t.Errorf("there is a Job %s", j.Metadata.Name)
		}
		seen[j.Metadata.Name] = 0
	}
	for _, p := range pods {
		seen[p.Metadata.Labels["batch.kubernetes.io/job-name"]]++
	}
	for name := range want {
		if n, ok := seen[name]; !ok || n != 1 {
			t.Errorf("Job %s: there is one: %v, and it has %d pods", name, ok, n)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprint(seen))
	}
}
