//go:build spark

package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// steerPlan has an application between two other stages; the first ends once there is a file.
const steerPlan = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: steer-}
spec:
  entrypoint: main
  arguments:
    parameters: [{name: go}, {name: jobs}, {name: apps}]
  templates:
  - name: main
    dag:
      tasks:
      - {name: before, template: before}
      - {name: app, template: app, dependencies: [before]}
      - {name: after, template: after, dependencies: [app]}
  - name: before
    container: {image: sh, command: [sh, -c, 'until [ -e "$0" ]; do sleep 0.1; done', "{{workflow.parameters.go}}"]}
  - name: app
    plugin:
      spark:
        mainClass: demo.App
        mainApplicationFile: "file:{{workflow.parameters.apps}}/demo.jar"
        arguments: [stages, "{{workflow.parameters.jobs}}", "2", "500"]
        driver: {memory: 512m}
        executor: {instances: 1, memory: 512m}
  - name: after
    container: {image: sh, command: [echo, done]}
`

// steering is a master whose applications are counted where Spark keeps them.
type steering struct {
	*rig
	events string
	// standalone says that there is a standalone master, inCluster that it runs the drivers.
	standalone, inCluster bool
}

func TestSteering(t *testing.T) {
	shell := build(t)
	for _, mode := range []string{"local", "standalone", "standalone-cluster"} {
		t.Run(mode, func(t *testing.T) {
			t.Run("killed", func(t *testing.T) { newSteering(t, shell, mode, "").killed() })
			t.Run("cancelled", func(t *testing.T) { newSteering(t, shell, mode, "").cancelled() })
			t.Run("driver", func(t *testing.T) { newSteering(t, shell, mode, "").withoutDriver() })
		})
	}
}

// newSteering starts one with more in its configuration and its environment.
func newSteering(t *testing.T, shell, mode, more string, env ...string) *steering {
	t.Helper()
	s := &steering{events: t.TempDir(), standalone: mode != "local", inCluster: mode == "standalone-cluster"}
	config := fmt.Sprintf(`spark:
  mode: %s
  home: %s
  event-log-dir: file:%s
  poll: 500ms
  grace: 5s
  env: {JDK_JAVA_OPTIONS: %q, SPARK_LOCAL_IP: 127.0.0.1}
  conf: {spark.cores.max: 1}
`, mode, getenv(t, "SPARK_HOME"), s.events, small)
	switch mode {
	case "local":
		config += "  master: local[2]\n"
	case "standalone":
		config += "  master: " + getenv(t, "CLIC_SPARK_MASTER") + "\n"
	default:
		config += "  rest-url: " + getenv(t, "CLIC_SPARK_REST") + "\n  master-ui: " + getenv(t, "CLIC_SPARK_UI") + "\n"
	}
	s.rig = newRig(t, shell, config+more, env...)
	return s
}

// task submits the plan; the first stage ends when there is the file that is returned.
func (s *steering) task(jobs int) (task, file string) {
	s.Helper()
	plan := filepath.Join(s.TempDir(), "steer.yaml")
	write(s.T, plan, steerPlan)
	file = filepath.Join(s.TempDir(), "go")
	task = s.submit("submit", plan, "-p", "go="+file, "-p", "jobs="+strconv.Itoa(jobs), "-p", "apps="+getenv(s.T, "CLIC_SPARK_APPS"))
	return task, file
}

// begun counts what Spark knows: the applications that have begun to log events, and, of a standalone master, its applications of that name
// and its drivers.
type begun struct{ logs, applications, drivers int }

func (s *steering) begun(task string) begun {
	s.Helper()
	logs, err := filepath.Glob(filepath.Join(s.events, "*"))
	must(s.T, err)
	b := begun{logs: len(logs)}
	if s.standalone {
		known := s.known()
		b.drivers = len(known.ActiveDrivers) + len(known.CompletedDrivers)
		for _, a := range slices.Concat(known.ActiveApps, known.CompletedApps) {
			if a.Name == task+"-app" {
				b.applications++
			}
		}
	}
	return b
}

// knownApps is what a standalone master tells.
type knownApps struct {
	ActiveApps, CompletedApps       []struct{ ID, Name, State string }
	ActiveDrivers, CompletedDrivers []struct{ ID, State string }
}

func (s *steering) known() (k knownApps) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, getenv(s.T, "CLIC_SPARK_UI")+"/json/", http.NoBody)
	must(s.T, err)
	answer, err := http.DefaultClient.Do(request)
	must(s.T, err)
	defer func() { _ = answer.Body.Close() }()
	must(s.T, json.NewDecoder(answer.Body).Decode(&k))
	return k
}

// process finds a process by parts of its command line; 0 is none.
func (s *steering) process(parts ...string) int {
	s.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(s.T, err)
	for _, file := range all {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

func (s *steering) driver(task string) int {
	s.Helper()
	class := "deploy.SparkSubmit"
	if s.inCluster {
		class = "DriverWrapper"
	}
	return s.process("spark.clic.attempt="+task+"-app", class)
}

// executor is the process of the application's executor that a standalone worker has started.
func (s *steering) executor(task string) int {
	s.Helper()
	for _, a := range s.known().ActiveApps {
		if a.Name == task+"-app" {
			return s.process("CoarseGrainedExecutorBackend", a.ID)
		}
	}
	return 0
}

// killed takes an application through everything that it has to survive, and finds that there was one.
func (s *steering) killed() {
	const jobs = 30
	before := s.begun("")
	task, file := s.task(jobs)
	s.until(task, "before", "RUNNING")
	s.mustClic("-suspend_stage", task+"-app")
	write(s.T, file, "")
	s.until(task, "before", "COMPLETED")
	s.again()
	for _, stage := range []string{"app", "after"} {
		if got := s.status(task, stage); got != "SUSPEND" {
			s.Errorf("%s is %s", stage, got)
		}
	}
	if now := s.begun(task); now != before || s.driver(task) != 0 {
		s.Errorf("what is suspended has begun: %+v, was %+v", now, before)
	}
	s.mustClic("-continue_stage", task+"-app")
	s.until(task, "app", "LAUNCHING")
	s.again() // while it is submitted, or was a moment ago
	s.logged(task, "app", "job 2 of")
	driver := s.driver(task)
	s.again() // while it runs
	if now := s.driver(task); now != driver || driver == 0 {
		s.Errorf("the driver is process %d, and was %d", now, driver)
	}
	if s.standalone {
		lost := s.executor(task)
		must(s.T, syscall.Kill(lost, syscall.SIGKILL))
		eventually(s.T, "there is another executor", func() bool { now := s.executor(task); return now != 0 && now != lost })
	}
	s.until(task, "", "COMPLETED")

	want := begun{logs: before.logs + 1, drivers: before.drivers}
	if s.standalone {
		want.applications = 1
	}
	if s.inCluster {
		want.drivers++
	}
	if now := s.begun(task); now != want {
		s.Errorf("there were %+v, want %+v", now, want)
	}
	log := s.mustClic("logs", task+"/app")
	for _, once := range []string{"application ", fmt.Sprintf("job 1 of %d\n", jobs), fmt.Sprintf("job %d of %d\n", jobs, jobs)} {
		if n := strings.Count("\n"+log, "\n"+once); n != 1 {
			s.Errorf("the log has %q %d times:\n%s", once, n, log)
		}
	}
}

func (s *steering) running() (task string, driver int) {
	s.Helper()
	task, file := s.task(300)
	write(s.T, file, "")
	s.logged(task, "app", "job 2 of")
	if driver = s.driver(task); driver == 0 {
		s.Fatal("it runs without a driver")
	}
	return task, driver
}

func (s *steering) nothingLeft(task string) {
	s.Helper()
	eventually(s.T, "nothing of it is left", func() bool {
		return s.driver(task) == 0 && (!s.standalone || s.executor(task) == 0)
	})
}

func (s *steering) cancelled() {
	task, _ := s.running()
	s.mustClic("cancel", task)
	s.until(task, "", "CANCELLED")
	if got := s.status(task, "app"); got != "CANCELLED" {
		s.Errorf("it is %s", got)
	}
	s.nothingLeft(task)
}

func (s *steering) withoutDriver() {
	task, driver := s.running()
	must(s.T, syscall.Kill(driver, syscall.SIGKILL))
	s.until(task, "", "FAILED")
	if got := s.status(task, "app") + " " + s.status(task, "after"); got != "FAILED OMITTED" {
		s.Errorf("they are %s", got)
	}
	why := s.mustClic("explain", task+"/app")
	s.Logf("explained: %s", why)
	if !s.inCluster && !strings.Contains(why, "137") || strings.Contains(why, "Exception") {
		s.Errorf("the reason is\n%s", why)
	}
	s.nothingLeft(task)
}
