package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

func TestSighting(t *testing.T) {
	now := time.UnixMilli(5000)
	begun := &nursery.Begun{ID: "a", PID: 7, Started: 1000, Note: "image x is not used"}
	result := "r"
	for _, c := range []struct {
		name string
		in   nursery.Response
		want executors.Sighting
	}{
		{
			"waits",
			nursery.Response{Waits: "waits for b"},
			executors.Sighting{Phase: dag.AttemptPending, At: now, Reason: "waits for b"},
		},
		{
			"running",
			nursery.Response{Begun: begun},
			executors.Sighting{Phase: dag.AttemptRunning, At: time.UnixMilli(1000), Started: time.UnixMilli(1000), Info: "pid 7; image x is not used"},
		},
		{
			"unknown",
			nursery.Response{Unknown: true},
			executors.Sighting{Phase: dag.AttemptFailed, At: now, Failure: dag.NewFailure(dag.FailLost, 0, "nothing is known of this attempt on this machine")},
		},
		{
			"succeeded",
			nursery.Response{End: &nursery.End{
				At: 3000, Started: 1000, CPU: 12, MaxRSS: 4096, Result: &result, Params: map[string]string{"p": "v"}, Killed: 2,
			}},
			executors.Sighting{
				Phase: dag.AttemptSucceeded, Usage: &dag.Usage{CPU: 12, MaxRSS: 4096},
				Outputs: &dag.Outputs{Result: &result, Params: map[string]string{"p": "v"}}, Info: "stopped 2 process(es) that it left running",
			},
		},
		{
			"failed",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Exit: 3, Output: "missing"}},
			executors.Sighting{Phase: dag.AttemptFailed, ExitCode: 3, Failure: dag.NewFailure(dag.FailExit, 3, "main: Error (exit code 3)")},
		},
		{
			"killed by somebody",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Exit: 137, Signal: 9}},
			executors.Sighting{Phase: dag.AttemptFailed, ExitCode: 137, Failure: dag.NewFailure(dag.FailExit, 137,
				"main: Error (exit code 137): ended by signal 9 (killed) that was not sent from here: the system may have run out of memory, or somebody killed it")},
		},
		{
			"stopped",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Exit: 143, Signal: 15, Stopped: true, Killed: 2}},
			executors.Sighting{Phase: dag.AttemptStopped, ExitCode: 143},
		},
		{
			"output missing",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Output: "no x"}},
			executors.Sighting{Phase: dag.AttemptFailed, Failure: dag.NewFailure(dag.FailOutput, 0, "wait: Error (exit code 64): no x")},
		},
		{
			"no such command",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Exit: 64, Refusal: "not found"}},
			executors.Sighting{Phase: dag.AttemptFailed, ExitCode: 64, Failure: dag.NewFailure(dag.FailExit, 64, "main: Error (exit code 64): not found")},
		},
		{
			"lost",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Lost: "gone"}},
			executors.Sighting{Phase: dag.AttemptFailed, Failure: dag.NewFailure(dag.FailLost, 0, "gone")},
		},
		{
			"could not be started",
			nursery.Response{End: &nursery.End{At: 3000, Started: 1000, Failed: "no room"}},
			executors.Sighting{Phase: dag.AttemptFailed, Failure: dag.NewFailure(dag.FailLaunch, 0, "no room")},
		},
	} {
		c.in.ID, c.want.AttemptID = "a", "a"
		if c.in.End != nil {
			c.want.At, c.want.Started = time.UnixMilli(3000), time.UnixMilli(1000)
		}
		if diff := cmp.Diff(c.want, sightingOf(&c.in, now)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"tool": 0o700, "text": 0o600} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		spec    dag.StageSpec
		path    string
		argv    []string
		refusal string
		err     string
	}{
		{"by name", dag.StageSpec{Command: []string{"tool"}, Args: []string{"a"}}, bin + "/tool", []string{"tool", "a"}, "", ""},
		{"by path", dag.StageSpec{Command: []string{bin + "/tool", "b"}}, bin + "/tool", []string{bin + "/tool", "b"}, "", ""},
		{"relative", dag.StageSpec{Command: []string{"./tool"}, WorkDir: bin}, bin + "/tool", []string{"./tool"}, "", ""},
		{
			"script",
			dag.StageSpec{Command: []string{"tool"}, Args: []string{"-e"}, Script: "x"},
			bin + "/tool",
			[]string{"tool", "-e", nursery.ScriptFile("/a")},
			"", "",
		},
		{
			"shell",
			dag.StageSpec{Shell: true, Args: []string{"run --x 'a b'"}},
			"/bin/sh",
			[]string{"/bin/sh", "-c", "run --x 'a b' --stageId=s --masterHost=h --masterPort=1"},
			"", "",
		},
		{
			"no such",
			dag.StageSpec{Command: []string{"none"}},
			"",
			[]string{"none"},
			`failed to find name in PATH: exec: "none": executable file not found in $PATH`, "",
		},
		{"not executable", dag.StageSpec{Command: []string{"text"}}, "", []string{"text"}, "permission denied", ""},
		{"directory", dag.StageSpec{Command: []string{bin}}, bin, []string{bin}, "is a directory", ""},
		{"no such path", dag.StageSpec{Command: []string{"/no/x"}}, "/no/x", []string{"/no/x"}, "no such file", ""},
		{"entrypoint", dag.StageSpec{Image: "busybox", Args: []string{"x"}}, "", nil, "", "busybox"},
		{"NUL", dag.StageSpec{Command: []string{"tool", "a\x00b"}}, "", nil, "", "NUL"},
		{"no such directory", dag.StageSpec{Command: []string{"tool"}, WorkDir: "/no/such"}, "", nil, "", "/no/such"},
		{"a file as directory", dag.StageSpec{Command: []string{"tool"}, WorkDir: bin + "/tool"}, "", nil, "", "not a directory"},
		{"outside", dag.StageSpec{Command: []string{"tool"}, WorkDir: "../x"}, "", nil, "", "leaves"},
	} {
		env := &environment{}
		env.set("PATH=/nowhere:" + bin)
		a := executors.Attempt{ID: "s", Stage: "s", MasterHost: "h", MasterPort: 1, Spec: &c.spec}
		p, err := programOf(a, env, "/a")
		if c.err != "" {
			if !errors.Is(err, executors.ErrNever) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want ErrNever, with %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if p.path != c.path || !cmp.Equal(p.argv, c.argv) || (p.refusal == "") != (c.refusal == "") || !strings.Contains(p.refusal, c.refusal) {
			t.Errorf("%s: %+v, want %s %q, refused for %q", c.name, p, c.path, c.argv, c.refusal)
		}
	}
}

func TestEnvironment(t *testing.T) {
	e, err := New(Config{
		DataDir: "/data",
		BaseEnv: []string{"HOME=/h", "PATH=/p", "SECRET=x", "PASSED=y", "TZ=", "nonsense", "=z"},
		PassEnv: []string{"PASSED", "MISSING"}, Env: []string{"ADDED=a=b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := executors.Attempt{ID: "s-r1", Task: "t", Stage: "s", Number: 1, Token: "k", Spec: &dag.StageSpec{
		Env: []dag.EnvVar{{Name: "HOME", Value: "/mine"}, {Name: "EMPTY"}, {Name: "CLIC_TOKEN", Value: "forged"}},
	}}
	env, err := e.environ(a, "/data/attempts/s-r1")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PATH=/p", "HOME=/mine", "LANG=C.UTF-8", "PASSED=y", "ADDED=a=b", "TMPDIR=/data/attempts/s-r1/run/tmp", "EMPTY=",
		"CLIC_TOKEN=k", "CLIC_ATTEMPT_DIR=/data/attempts/s-r1", "CLIC_STAGE_ID=s", "CLIC_TASK=t", "CLIC_ATTEMPT=1", "CLIC_ATTEMPT_ID=s-r1",
	}
	if diff := cmp.Diff(want, env.list); diff != "" {
		t.Error(diff)
	}
	a.Spec.Env = []dag.EnvVar{{Name: "", Value: "x"}, {Name: "A", Value: "a\x00b"}}
	if _, err := e.environ(a, "/d"); !errors.Is(err, executors.ErrNever) || strings.Count(err.Error(), "environment variable") != 2 {
		t.Errorf("bad variables gave %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := (Config{DataDir: "/d"}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{LogLimit: -1, Grace: -1, Env: []string{"hidden value"}}
	_, err := New(bad)
	for _, want := range []string{"data directory", "log limit", "grace", "NAME=value"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
