//go:build spark

package spark

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/executors/spark"
)

// processes is an executor of applications whose driver is a process of this machine.
func processes(t *testing.T, dir string, c spark.Config) executors.Executor {
	t.Helper()
	base, err := local.New(local.Config{DataDir: dir, PassEnv: []string{"JAVA_HOME"}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	c.Home, c.Poll, c.Logger = getenv(t, "SPARK_HOME"), 500*time.Millisecond, logger(t)
	c.Env = map[string]string{"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SUBMIT_OPTS": small}
	x, err := spark.New(c, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func inProcess(t *testing.T) spark.Config { return spark.Config{Mode: spark.Local, Master: "local[2]"} }

func standalone(t *testing.T) spark.Config {
	return spark.Config{Mode: spark.Standalone, Master: getenv(t, "CLIC_SPARK_MASTER"), Conf: map[string]string{"spark.cores.max": "1"}}
}

// driverProcess is the process of an attempt's driver.
func driverProcess(t *testing.T, id string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		b, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(b), "spark.clic.attempt="+id) && strings.Contains(string(b), "SparkSubmit") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

func TestLocal(t *testing.T)      { testProcesses(t, inProcess(t)) }
func TestStandalone(t *testing.T) { testProcesses(t, standalone(t)) }

func testProcesses(t *testing.T, c spark.Config) {
	apps := getenv(t, "CLIC_SPARK_APPS")
	x := processes(t, t.TempDir(), c)
	w := started(t, x)
	recovered(t, x, 1)
	for _, e := range []outcome{
		{"jvm", jvm(apps, "pi", "2"), 0, 0, "pi is about"},
		{"python", python(apps, "pi", "2"), 0, 0, "pi is about"},
		{"fail", jvm(apps, "fail"), dag.FailExit, 1, "asked to fail"},
		{"pyfail", python(apps, "fail"), dag.FailExit, 1, "RuntimeError: asked to fail"},
		{"exit", jvm(apps, "exit", "3"), dag.FailExit, 3, "exit code 3"},
		{"oom", jvm(apps, "oom"), dag.FailOOM, 1, "OutOfMemoryError"},
		{"class", jvm(apps).with(app{"mainClass": "demo.Nope"}), dag.FailExit, 101, "wrong class: there is no class demo.Nope"},
		{"file", jvm("/nope"), dag.FailExit, 101, "missing file: /nope/demo.jar"},
		{"pyfile", python("/nope"), dag.FailExit, 2, "missing file: /nope/app.py"},
	} {
		t.Run(e.name, func(t *testing.T) { e.ends(t, x, w) })
	}
	t.Run("progress and cancel", func(t *testing.T) {
		id := newID("cancel")
		launch(t, x, attempt(t, id, jvm(apps, "stages", "50", "4", "300"), 1))
		if s := w.busy(id); !strings.Contains(s.Progress.Message, "jobs done") || !strings.Contains(s.Info, "UI http://127.0.0.1:") {
			t.Errorf("progress %+v, info %q", s.Progress, s.Info)
		}
		if err := x.Cancel(t.Context(), id, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if s := w.end(id); s.Phase != dag.AttemptStopped {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("killed", func(t *testing.T) {
		id := newID("killed")
		launch(t, x, attempt(t, id, jvm(apps, "stages", "50", "4", "300"), 1))
		w.busy(id)
		if err := syscall.Kill(driverProcess(t, id), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w.failed(id, dag.FailExit, 137, "137")
	})
}

// A master that is started again finds its driver by its attempt, and launching again begins none.
func TestLocalAdopts(t *testing.T) {
	apps, dir, id := getenv(t, "CLIC_SPARK_APPS"), t.TempDir(), newID("adopted")
	a := attempt(t, id, jvm(apps, "stages", "20", "2", "500"), 1)
	first := processes(t, dir, inProcess(t))
	w := started(t, first)
	recovered(t, first, 1)
	launch(t, first, a)
	w.busy(id)
	pid := driverProcess(t, id)
	stop(t, first)

	second := processes(t, dir, inProcess(t))
	w = started(t, second)
	a.Epoch = 2
	recovered(t, second, 2, a)
	launch(t, second, a)
	w.busy(id)
	if now := driverProcess(t, id); now != pid || pid == 0 {
		t.Errorf("the driver is process %d, and was %d", now, pid)
	}
	w.succeeded(id)
	logged(t, second, id, "job 20 of 20")
}

// A container whose command is spark-submit runs as an application: where, says the configuration. A stage of the CLIC form whose line calls
// spark-submit is a program like any other, and is left as it is.
func TestLocalSubmit(t *testing.T) {
	apps := getenv(t, "CLIC_SPARK_APPS")
	x := processes(t, t.TempDir(), inProcess(t))
	w := started(t, x)
	recovered(t, x, 1)
	command := attempt(t, newID("command"), nil, 1)
	command.Spec.Plugin, command.Spec.TemplateJSON = "", nil
	command.Spec.Command = []string{"spark-submit"}
	command.Spec.Args = []string{"--master", "yarn", "--driver-memory", "512m", "--class", "demo.App", apps + "/demo.jar", "pi", "2"}
	line := attempt(t, newID("line"), nil, 1)
	line.Spec.Plugin, line.Spec.TemplateJSON, line.Spec.Shell, line.Spec.Form = "", nil, true, dag.FormCLIC
	line.Spec.Args = []string{"SPARK_LOCAL_IP=127.0.0.1 " + getenv(t, "SPARK_HOME") + "/bin/spark-submit --master 'local[2]' --driver-memory 512m --class demo.App " +
		apps + "/demo.jar pi 2"}
	for _, a := range []executors.Attempt{command, line} {
		launch(t, x, a)
		w.succeeded(a.ID)
		logged(t, x, a.ID, "pi is about")
	}
}
