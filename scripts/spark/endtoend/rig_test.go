//go:build spark

package endtoend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take. A test that passes never waits that long.
const patience = 30 * time.Minute

// small keeps the JVMs of tests small.
const small = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"

// root is that of the repository.
const root = "../../.."

// getenv is a variable that scripts/spark-test.sh sets.
func getenv(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run this by scripts/spark-test.sh", name)
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.WriteFile(file, []byte(text), 0o600))
}

// run runs a program to its end, and gives what it says.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, stderr.String())
	}
	return string(out)
}

// build makes the master and the shell, and gives their directory.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, os.Environ(), "go", "build", "-buildvcs=false", "-o", dir, root+"/shell/clic", root+"/master/clic-master")
	return dir
}

// rig is a clic-master of its own, in a process that can be killed and started again.
type rig struct {
	*testing.T
	programs, dir, address string
	env                    []string
	cmd                    *exec.Cmd
	gone                   chan struct{} // closed when it has ended
}

// newRig starts a master with a configuration; env is what it has in its environment beside a home.
func newRig(t *testing.T, programs, config string, env ...string) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m := &rig{T: t, programs: programs, dir: t.TempDir(), address: l.Addr().String()}
	must(t, l.Close())
	m.env = append([]string{"HOME=" + m.dir, "PATH=" + os.Getenv("PATH")}, env...)
	write(t, filepath.Join(m.dir, "master.yaml"), config)
	t.Cleanup(func() {
		if log, err := os.ReadFile(m.log()); t.Failed() && err == nil {
			t.Logf("the master's log:\n%s", log)
		}
	})
	m.start()
	return m
}

func (m *rig) log() string { return filepath.Join(m.dir, "log") }

// start starts the process, and waits until it listens.
func (m *rig) start() {
	m.Helper()
	log, err := os.OpenFile(m.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(m.T, err)
	defer func() { _ = log.Close() }()
	cmd, gone := exec.Command(filepath.Join(m.programs, "clic-master"), "--config", filepath.Join(m.dir, "master.yaml"),
		"--data-dir", filepath.Join(m.dir, "data"), "--listen", m.address), make(chan struct{})
	cmd.Env, cmd.Stderr = m.env, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // with the test, even if that is killed
	out, err := cmd.StdoutPipe()
	must(m.T, err)
	listens := make(chan bool, 1)
	go func() {
		runtime.LockOSThread() // whose end would be the death of the parent
		defer runtime.UnlockOSThread()
		defer close(gone)
		if cmd.Start() == nil {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if strings.Contains(lines.Text(), "listens on") {
					listens <- true
				}
			}
			_ = cmd.Wait()
		}
	}()
	m.cmd, m.gone = cmd, gone
	m.Cleanup(m.kill)
	select {
	case <-listens:
	case <-gone:
		m.Fatal("the master ended instead of starting")
	case <-time.After(patience):
		m.Fatal("the master does not become ready")
	}
}

// kill ends the master at once. Idempotent.
func (m *rig) kill() {
	if m.cmd.Process != nil {
		_ = m.cmd.Process.Kill() // it may have ended
	}
	<-m.gone
}

// again kills the master, and starts it again.
func (m *rig) again() {
	m.Helper()
	m.kill()
	m.start()
}

// clic runs the shell, and gives what it says and how it ends.
func (m *rig) clic(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(m.programs, "clic"), args...)
	cmd.Env = append([]string{"CLIC_MASTER=" + m.address}, m.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *rig) mustClic(args ...string) string {
	m.Helper()
	out, err := m.clic(args...)
	if err != nil {
		m.Fatalf("clic %q: %v\n%s", args, err, out)
	}
	return out
}

var taskName = regexp.MustCompile(`\b[a-z]+-[a-z]{8}\b`)

// submit submits a plan by a command of the shell, and gives the name of the task.
func (m *rig) submit(args ...string) string {
	m.Helper()
	out := m.mustClic(args...)
	task := taskName.FindString(out)
	if task == "" {
		m.Fatalf("the shell names no task: %s", out)
	}
	return task
}

// event is something that happened to a task or a stage of it.
type event struct {
	Stage, From, To string
}

// lines reads what a command of the shell says as it comes, until it has said what was waited for. Where the shell ends before, it is
// called again: its master may have been killed.
func (m *rig) lines(what string, is func(line []byte) bool, args ...string) {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), patience)
	defer cancel()
	for again := time.NewTicker(200 * time.Millisecond); ; {
		if m.follow(ctx, is, args...) {
			again.Stop()
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			all, _ := m.clic(args...)
			m.Fatalf("waited for %s in vain; clic %q says\n%s", what, args, all)
		}
	}
}

func (m *rig) follow(ctx context.Context, is func(line []byte) bool, args ...string) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(m.programs, "clic"), args...)
	cmd.Env = append([]string{"CLIC_MASTER=" + m.address}, m.env...)
	out, err := cmd.StdoutPipe()
	must(m.T, err)
	must(m.T, cmd.Start())
	defer func() {
		cancel()
		_ = cmd.Wait() // it was told to end
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if is(lines.Bytes()) {
			return true
		}
	}
	return false
}

// until waits for a stage ("" is the task itself) to come to a status. It fails when the task ends before.
func (m *rig) until(task, stage, status string) {
	m.Helper()
	what := "the task is " + status
	if stage != "" {
		stage, what = task+"-"+stage, stage+" is "+status
	}
	ended := ""
	m.lines(what, func(line []byte) bool {
		var e event
		must(m.T, json.Unmarshal(line, &e))
		if e.Stage == "" && (e.To == "FAILED" || e.To == "COMPLETED" || e.To == "CANCELLED") {
			ended = e.To
		} else if e.Stage == "" {
			ended = ""
		}
		return e.Stage == stage && e.To == status || ended != ""
	}, "watch", task, "-o", "json")
	if ended != "" && (stage != "" || ended != status) {
		all, _ := m.clic("watch", task, "--plain")
		m.Fatalf("waited until %s; the task is %s:\n%s", what, ended, all)
	}
}

// logged waits for a text in the log of a stage.
func (m *rig) logged(task, stage, text string) {
	m.Helper()
	m.lines(text+" in the log of "+stage, func(line []byte) bool { return bytes.Contains(line, []byte(text)) }, "logs", "-f", task+"/"+stage)
}

// status is that of a stage.
func (m *rig) status(task, stage string) string {
	m.Helper()
	for line := range strings.Lines(m.mustClic("-task_stage", task)) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); f[0] == task+"-"+stage {
			return f[len(f)-1]
		}
	}
	m.Fatalf("there is no stage %s of %s", stage, task)
	return ""
}

// eventually waits for a condition that nothing tells of.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
