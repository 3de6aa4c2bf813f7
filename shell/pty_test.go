package shell_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/shell/output"
)

// terminal is a clic that runs on a pseudo-terminal.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	file *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{} // something was written
	done chan struct{} // nothing more will be
}

// onTerminal starts clic on a terminal of 90 by 20.
func onTerminal(t *testing.T, address string, args ...string) *terminal {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = "clic" // what TestMain goes by
	cmd.Env = append(os.Environ(), "CLIC_MASTER="+address, "LANG=C.UTF-8", "TERM=xterm", "NO_COLOR=", "USER=ann", "TMPDIR="+t.TempDir())
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 90, Rows: 20})
	if err != nil {
		t.Fatal(err)
	}
	m := &terminal{t: t, cmd: cmd, file: file, more: make(chan struct{}, 1), done: make(chan struct{})}
	go m.read()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = file.Close()
		<-m.done
	})
	return m
}

func (m *terminal) read() {
	defer close(m.done)
	buf := make([]byte, 4096)
	for {
		n, err := m.file.Read(buf) // an error is how Linux says that the other side is closed
		m.mu.Lock()
		m.seen.Write(buf[:n])
		m.mu.Unlock()
		select {
		case m.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (m *terminal) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.String()
}

// expect waits until a text, without regard to colours, was written.
func (m *terminal) expect(text string) {
	m.t.Helper()
	late := time.After(30 * time.Second)
	for !strings.Contains(output.Bare(m.text()), text) {
		select {
		case <-m.more:
		case <-m.done:
			if !strings.Contains(output.Bare(m.text()), text) {
				m.t.Fatalf("ended without %q:\n%q", text, m.text())
			}
		case <-late:
			m.t.Fatalf("no %q:\n%q", text, m.text())
		}
	}
}

// status waits for the program's end.
func (m *terminal) status() int {
	m.t.Helper()
	<-m.done
	_ = m.cmd.Wait()
	return m.cmd.ProcessState.ExitCode()
}

func (m *terminal) send(text string) {
	m.t.Helper()
	if _, err := io.WriteString(m.file, text); err != nil {
		m.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// serve starts a master for the test, and writes a plan whose first stage waits at a FIFO.
func serve(t *testing.T) (address, plan, fifo string) {
	t.Helper()
	dir := t.TempDir()
	m, err := master.New(master.Config{Listen: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), ResultDirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-m.Ready()
	fifo, plan = filepath.Join(dir, "fifo"), filepath.Join(dir, "plan.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(waiting, "FIFO", fifo)
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return m.Addr().String(), plan, fifo
}

const waiting = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: tty-}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks:
          - {name: first, template: wait}
          - {name: second, template: say, dependencies: [first]}
    - name: wait
      container: {image: a, command: [sh, -c], args: ["read x < FIFO"]}
    - name: say
      container: {image: a, command: [sh, -c], args: ["echo said"]}
`

func open(t *testing.T, fifo string) {
	t.Helper()
	if err := os.WriteFile(fifo, []byte("go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchOnTerminal(t *testing.T) {
	address, plan, fifo := serve(t)
	m := onTerminal(t, address, "submit", plan, "--watch")
	m.expect("▶ first   RUNNING")
	m.expect("· second  WAITING")
	m.expect("waits for first (RUNNING)")
	if !strings.Contains(m.text(), "\x1b[34mRUNNING") {
		t.Errorf("no colours:\n%q", m.text())
	}
	if err := pty.Setsize(m.file, &pty.Winsize{Cols: 40, Rows: 10}); err != nil {
		t.Fatal(err)
	}
	m.expect("1 runn…") // cut to the new width
	open(t, fifo)
	m.expect("✓ second  COMPLETED")
	m.expect("completed after")
	if got := m.status(); got != 0 {
		t.Errorf("exit status %d:\n%s", got, m.text())
	}
	if !strings.HasSuffix(strings.TrimRight(m.text(), "\r\n"), lastLine(m.text())) || !strings.Contains(m.text(), "\x1b[?25h") {
		t.Errorf("the cursor stays hidden:\n%q", m.text())
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	return lines[len(lines)-1]
}

func TestWatchInterrupted(t *testing.T) {
	address, plan, fifo := serve(t)
	m := onTerminal(t, address, "submit", plan, "--watch")
	m.expect("▶ first   RUNNING")
	m.send(ctrlC)
	m.expect("The task goes on; see it with: clic watch tty-")
	if got := m.status(); got != 130 {
		t.Errorf("exit status %d:\n%s", got, m.text())
	}
	open(t, fifo)
	m = onTerminal(t, address, "watch", "tty", "--exit-status")
	m.expect("completed after")
	if got := m.status(); got != 0 {
		t.Errorf("exit status %d:\n%s", got, m.text())
	}
	m = onTerminal(t, address, "list")
	m.expect("NAME          STATUS     STAGES")
	m = onTerminal(t, address, "delete", "tty")
	m.expect("with its history, logs and uploads? [y/N] ")
	m.send("y\n")
	m.expect("has been deleted")
	if got := m.status(); got != 0 {
		t.Errorf("exit status %d:\n%s", got, m.text())
	}
}

// TestRunKilled presses Ctrl-C twice on a plan that does not want to end.
func TestRunKilled(t *testing.T) {
	dir := t.TempDir()
	pidFile, plan := filepath.Join(dir, "pid"), filepath.Join(dir, "plan.yaml")
	text := strings.ReplaceAll(waiting, "read x < FIFO", "trap '' TERM; echo $$$$ > "+pidFile+"; while :; do read x < "+filepath.Join(dir, "fifo")+"; done")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := onTerminal(t, "127.0.0.1:1", "run", plan)
	m.expect("▶ first   RUNNING")
	m.send(ctrlC)
	m.expect("Cancelling; Ctrl-C again kills what still runs.")
	m.send(ctrlC)
	m.expect("Killing what still runs.")
	if got := m.status(); got != 130 {
		t.Errorf("exit status %d:\n%s", got, m.text())
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return // killed before it had written its number
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(b))); err == nil {
		t.Errorf("process %s lives on", b)
	}
}
