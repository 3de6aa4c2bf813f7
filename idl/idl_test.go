// Package idl_test checks that clients of other languages can be made from the Thrift files.
package idl_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherLanguages generates the Java and Python clients, compiles the Python one, and looks for the namespaces that
// the old programs import.
func TestOtherLanguages(t *testing.T) {
	out := t.TempDir()
	for _, language := range []string{"java:generated_annotations=suppress", "py"} {
		run(t, "thrift", "-r", "--strict", "--gen", language, "--out", out, "master.thrift")
	}
	for _, want := range []string{
		"fdu/daslab/thrift/base/ServiceBaseResult.java",
		"fdu/daslab/thrift/base/ClicError.java",
		"fdu/daslab/thrift/master/TaskService.java",
		"fdu/daslab/thrift/master/SchedulerService.java",
		"fdu/daslab/thrift/base/ttypes.py",
		"fdu/daslab/thrift/master/TaskService.py",
		"fdu/daslab/thrift/master/SchedulerService.py",
	} {
		if _, err := os.Stat(filepath.Join(out, want)); err != nil {
			t.Errorf("not generated: %v", err)
		}
	}
	run(t, "python3", "-m", "compileall", "-q", out)
}

// TestOldMethodsStay holds the lines of the old services that old clients depend on.
func TestOldMethodsStay(t *testing.T) {
	text, err := os.ReadFile("master.thrift")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"base.ServiceBaseResult postStageStarted(1: string stageId, 2: map<string, string> submitMsg),",
		"base.ServiceBaseResult postDataPrepared(1: string stageId),",
		"base.ServiceBaseResult postStageCompleted(1: string stageId, 2: map<string, string> submitMsg),",
		"void submitPlan(1: string planName, 2: string planDagPath),",
		"list<map<string, string>> listAllTask(),",
		"map<string, string> getTaskInfo(1: string planName),",
		"map<string, string> getStageInfo(1: string stageId),",
		"list<string> getStageIdOfTask(1: string planName),",
		"bool suspendStage(1: string stageId),",
		"bool continueStage(1: string stageId),",
		"string getStageResult(1: string stageId),",
	} {
		if !strings.Contains(string(text), "\n  "+line+"\n") {
			t.Errorf("master.thrift has no more the line %q", line)
		}
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s(scripts/setup.sh installs what is missing)", name, strings.Join(args, " "), err, out)
	}
}
