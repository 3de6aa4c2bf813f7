package oldwire_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/store"
)

func query(plan string) store.Query { return store.Query{Plan: plan} }

// The types of TApplicationException that are spoken of here.
const (
	unknownMethod = 1
	missingResult = 5
	internalError = 6
)

func TestOldClients(t *testing.T) {
	py := setupPython(t)
	classPath := setupJava(t)
	r := newRig(t, py, nil)
	for _, form := range []string{"plain", "framed"} {
		t.Run("python/"+form, func(t *testing.T) {
			t.Parallel()
			everyMethod(t, r, r.python(t, form), "py"+form)
		})
		t.Run("java/"+form, func(t *testing.T) {
			t.Parallel()
			everyMethod(t, r, r.java(t, classPath, form), "java"+form)
		})
	}
}

var (
	listKeys  = []string{"complete_time", "plan_name", "start_time", "submit_time", "task_runtime", "task_status"}
	taskKeys  = append(slices.Clone(listKeys), "task_stage_list", "task_stage_num")
	stageKeys = []string{
		"children_list", "complete_time", "job_info", "parent_list", "platform", "retry_count", "stage_id", "stage_runtime", "start_time",
	}
	oldTime = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)
	seconds = regexp.MustCompile(`^\d+$`)
)

const unset = "   -"

// wantKeys checks that the keys of the contract are there, whatever else is.
func wantKeys(t *testing.T, m map[string]string, keys []string) {
	t.Helper()
	for _, k := range keys {
		if _, ok := m[k]; !ok {
			t.Errorf("key %s is missing in %v", k, slices.Sorted(maps.Keys(m)))
		}
	}
}

func wantMatch(t *testing.T, what, got string, want *regexp.Regexp) {
	t.Helper()
	if !want.MatchString(got) {
		t.Errorf("%s is %q", what, got)
	}
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// baseResult is a ServiceBaseResult as the clients print it.
type baseResult struct {
	ResultCode, Message string
}

// everyMethod drives a plan of three stages by old calls only, and checks what each gives.
func everyMethod(t *testing.T, r *rig, c *client, name string) {
	t.Helper()
	wait, result := r.file(name+".go"), r.file(name+".result")
	path := r.plan(t, name,
		stage{name: "first", params: map[string]string{"calls": "SWPC", "waitFor": wait, "outputPath": result}},
		stage{name: "second", after: "first", params: map[string]string{"calls": "SPC"}},
		stage{name: "third", after: "second", params: map[string]string{"calls": "SPC"}},
	)
	if a := c.call("submitPlan", strings.ToUpper(name), path); a.Exception != "" {
		t.Fatalf("submitPlan: %+v", a)
	}
	task := r.task(t, name)
	wantMatch(t, "task name", task, regexp.MustCompile("^"+name+"-[a-z]{8}$"))
	ids := []string{task + "-python-exec-1", task + "-python-exec-2", task + "-python-exec-3"}
	r.until(t, task, ids[0], "RUNNING")

	wantEqual(t, "getStageIdOfTask", value[[]string](c, "getStageIdOfTask", task), ids)
	info := value[map[string]string](c, "getTaskInfo", task)
	wantKeys(t, info, taskKeys)
	wantMatch(t, "submit_time", info["submit_time"], oldTime)
	wantMatch(t, "start_time", info["start_time"], oldTime)
	wantEqual(t, "running task", pick(info, "plan_name", "complete_time", "task_status", "task_runtime", "task_stage_num", "task_stage_list"),
		map[string]string{
			"plan_name": task, "complete_time": unset, "task_status": "RUNNING", "task_runtime": "",
			"task_stage_num": "3", "task_stage_list": strings.Join(ids, ","),
		})
	waiting := value[map[string]string](c, "getStageInfo", ids[1])
	wantKeys(t, waiting, stageKeys)
	wantEqual(t, "waiting stage", pick(waiting, "stage_id", "platform", "parent_list", "children_list", "start_time", "complete_time", "retry_count", "stage_runtime", "stage_status"),
		map[string]string{
			"stage_id": ids[1], "platform": "python", "parent_list": ids[0], "children_list": ids[2], "start_time": unset,
			"complete_time": unset, "retry_count": "0", "stage_runtime": "", "stage_status": "WAITING",
		})

	holding(t, r, c, ids)
	reporting(t, c, ids[1])
	c.raises(missingResult, ids[0], "getStageResult", ids[0])
	r.touch(name + ".go")
	r.until(t, task, "", "COMPLETED")

	wantEqual(t, "getStageResult", value[string](c, "getStageResult", ids[0]), result)
	done := value[map[string]string](c, "getStageInfo", ids[0])
	for _, k := range []string{"start_time", "complete_time"} {
		wantMatch(t, k, done[k], oldTime)
	}
	wantMatch(t, "stage_runtime", done["stage_runtime"], seconds)
	wantEqual(t, "completed stage", pick(done, "parent_list", "children_list", "stage_status"),
		map[string]string{"parent_list": "", "children_list": ids[1], "stage_status": "COMPLETED"})
	if !strings.Contains(done["job_info"], "pid") {
		t.Errorf("job_info does not describe the process: %q", done["job_info"])
	}
	var mine map[string]string
	for _, m := range value[[]map[string]string](c, "listAllTask") {
		wantKeys(t, m, listKeys)
		if m["plan_name"] == task {
			mine = m
		}
	}
	wantMatch(t, "complete_time", mine["complete_time"], oldTime)
	wantMatch(t, "task_runtime", mine["task_runtime"], seconds)
	wantEqual(t, "task_status", mine["task_status"], "COMPLETED")

	unknown(t, c)
	badPlans(t, r, c, name)
}

func pick(m map[string]string, keys ...string) map[string]string {
	out := make(map[string]string)
	for _, k := range keys {
		if v, ok := m[k]; ok {
			out[k] = v
		}
	}
	return out
}

// holding suspends and continues. The first stage runs, the others wait for it.
func holding(t *testing.T, r *rig, c *client, ids []string) {
	t.Helper()
	wantEqual(t, "suspendStage of a running stage", value[bool](c, "suspendStage", ids[0]), false)
	wantEqual(t, "continueStage of a stage that is not held", value[bool](c, "continueStage", ids[1]), false)
	wantEqual(t, "suspendStage of a waiting stage", value[bool](c, "suspendStage", ids[1]), true)
	r.wantStatus(t, ids[1], dag.Suspended)
	// What depends on it is held as well, but not by a hold of its own.
	r.wantStatus(t, ids[2], dag.Suspended)
	wantEqual(t, "continueStage of a stage that another holds", value[bool](c, "continueStage", ids[2]), false)
	wantEqual(t, "continueStage", value[bool](c, "continueStage", ids[1]), true)
	r.wantStatus(t, ids[1], dag.Waiting)
	r.wantStatus(t, ids[2], dag.Waiting)
	wantEqual(t, "continueStage once more", value[bool](c, "continueStage", ids[1]), false)
}

// reporting makes calls that must not change anything: for a stage that was not launched, and for none.
func reporting(t *testing.T, c *client, waiting string) {
	t.Helper()
	for _, method := range []string{"postStageStarted", "postDataPrepared", "postStageCompleted"} {
		got := value[baseResult](c, method, waiting)
		if got.ResultCode != "SUCCESS" {
			t.Errorf("%s for a stage that was not launched: %+v", method, got)
		}
		for _, id := range []string{"no-such-stage", "plan-abcdefgh-python-exec-1", ""} {
			got := value[baseResult](c, method, id)
			if got.ResultCode != "PARAMETER_ERROR" || got.Message == "" {
				t.Errorf("%s of the unknown stage %q: %+v", method, id, got)
			}
		}
	}
	info := value[map[string]string](c, "getStageInfo", waiting)
	wantEqual(t, "stage that was not launched, after reports", info["stage_status"], "WAITING")
}

// unknown asks for what is not there.
func unknown(t *testing.T, c *client) {
	t.Helper()
	for _, name := range []string{"no-such-task", "plan-abcdefgh", "", "ä-漢字"} {
		wantEqual(t, "getTaskInfo of an unknown task", value[map[string]string](c, "getTaskInfo", name), map[string]string{})
		wantEqual(t, "getStageIdOfTask of an unknown task", value[[]string](c, "getStageIdOfTask", name), []string{})
		wantEqual(t, "getStageInfo of an unknown stage", value[map[string]string](c, "getStageInfo", name), map[string]string{})
		wantEqual(t, "suspendStage of an unknown stage", value[bool](c, "suspendStage", name), false)
		wantEqual(t, "continueStage of an unknown stage", value[bool](c, "continueStage", name), false)
		c.raises(missingResult, "", "getStageResult", name)
	}
}

// badPlans submits what must be refused, and checks that the reason arrives.
func badPlans(t *testing.T, r *rig, c *client, name string) {
	t.Helper()
	bad := r.file(name + "-bad.yaml")
	must(t, os.WriteFile(bad, []byte(`apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: bad-
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - name: a
        template: missing-one
      - name: b
        template: missing-two
        dependencies: [nobody]
`), 0o644))
	// Everything that is wrong, with its place.
	c.raises(internalError, "missing-one", "submitPlan", name+"bad", bad)
	c.raises(internalError, "missing-two", "submitPlan", name+"bad", bad)
	c.raises(internalError, "nobody", "submitPlan", name+"bad", bad)
	c.raises(internalError, bad+":12", "submitPlan", name+"bad", bad)
	good := r.plan(t, name+"good", stage{name: "a", params: map[string]string{"calls": "SPC"}})
	c.raises(internalError, "_", "submitPlan", name+"_bad", good)
	c.raises(internalError, "missing", "submitPlan", "", good)
	c.raises(internalError, "no such file", "submitPlan", name+"bad", r.file("nothing.yaml"))
	c.raises(internalError, "it is outside of", "submitPlan", name+"bad", "/etc/passwd")
	link := r.file(name + "-link.yaml")
	must(t, os.Symlink("/etc/passwd", link))
	c.raises(internalError, "it is outside of", "submitPlan", name+"bad", link)
	c.raises(internalError, "not a file", "submitPlan", name+"bad", r.dir)
	c.raises(internalError, "planDagPath", "submitPlan", name+"bad", "")
}

// What becomes of stages of the CLIC form, from the calls that their programs make and their exit status.
func TestStageProgramsOfTheOldSystem(t *testing.T) {
	py := setupPython(t)
	r := newRig(t, py, nil)
	for _, tc := range []struct {
		name, calls, exit, option string
		want                      dag.Status
		message                   string
		warns                     bool
	}{
		{name: "spc", calls: "SPC", exit: "0", want: dag.Completed},
		{name: "sonly", calls: "S", exit: "0", want: dag.Failed, message: "without reporting"},
		{name: "spnoc", calls: "SP", exit: "0", want: dag.Failed, message: "without reporting"},
		{name: "sc", calls: "SC", exit: "0", want: dag.Completed, warns: true},
		{name: "silent", calls: "", exit: "0", want: dag.Completed},
		{name: "sfails", calls: "S", exit: "3", want: dag.Failed},
		{name: "silentfails", calls: "", exit: "3", want: dag.Failed},
		{name: "twice", calls: "SSPPCC", exit: "0", want: dag.Completed},
		{name: "late", calls: "SCPS", exit: "0", want: dag.Completed},
		{name: "option", calls: "SPC", option: "--unknown=1", want: dag.Failed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := r.plan(t, tc.name, stage{name: "a", option: tc.option, params: map[string]string{"calls": tc.calls, "exit": tc.exit}})
			c := r.python(t, "plain")
			if a := c.call("submitPlan", tc.name, path); a.Exception != "" {
				t.Fatalf("submitPlan: %+v", a)
			}
			task := r.task(t, tc.name)
			want := "COMPLETED"
			if tc.want == dag.Failed {
				want = "FAILED"
			}
			r.until(t, task, "", want)
			v := r.wantStatus(t, task+"-python-exec-1", tc.want)
			if !strings.Contains(v.Message+fmt.Sprint(v.Failure), tc.message) {
				t.Errorf("message %q, failure %+v; want %q in it", v.Message, v.Failure, tc.message)
			}
			if tc.warns && len(v.Warnings) == 0 {
				t.Error("there is no warning")
			}
			if v.Attempt != 0 {
				t.Errorf("it ran %d times", v.Attempt+1)
			}
		})
	}
}

// A stage that has prepared its data gives its slot back: its reader runs while it waits for that reader, even where only one
// stage may run at a time.
func TestPreparedStageLetsItsReaderRun(t *testing.T) {
	py := setupPython(t)
	r := newRig(t, py, func(c *master.Config) { c.Slots.Executor = map[string]int{"local": 1} })
	read := r.file("reader.was.here")
	path := r.plan(t, "socket",
		stage{name: "sink", params: map[string]string{"calls": "SPWC", "waitFor": read}},
		stage{name: "reader", after: "sink", params: map[string]string{"touch": read, "calls": "SPC"}},
	)
	c := r.python(t, "plain")
	if a := c.call("submitPlan", "socket", path); a.Exception != "" {
		t.Fatalf("submitPlan: %+v", a)
	}
	task := r.task(t, "socket")
	r.until(t, task, "", "COMPLETED")
	sink, reader := r.stageView(t, task+"-python-exec-1"), r.stageView(t, task+"-python-exec-2")
	if reader.Launched > sink.Ended {
		t.Errorf("the reader was launched at %d, after its parent's end at %d", reader.Launched, sink.Ended)
	}
}

// With callbacks required, a program that ends well without a word has not done its work.
func TestRequiredCallbacks(t *testing.T) {
	py := setupPython(t)
	r := newRig(t, py, func(c *master.Config) { c.Callbacks = map[string]dag.Callbacks{"python": dag.CallbacksRequired} })
	path := r.plan(t, "silent", stage{name: "a", params: map[string]string{"calls": ""}})
	c := r.python(t, "framed")
	if a := c.call("submitPlan", "silent", path); a.Exception != "" {
		t.Fatalf("submitPlan: %+v", a)
	}
	task := r.task(t, "silent")
	r.until(t, task, "", "FAILED")
	r.wantStatus(t, task+"-python-exec-1", dag.Failed)
	if _, err := os.Stat(filepath.Join(r.dir, "silent.yaml")); err != nil {
		t.Error(err)
	}
}
