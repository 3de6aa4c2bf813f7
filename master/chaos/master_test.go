package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// patience is how long the test waits for what must happen soon.
const patience = 60 * time.Second

// site is where masters run, one after the other: a program, a port and a directory.
type site struct {
	testing.TB
	program string
	dir     string // starts, ends, data and the log are in it
	address string
}

// build makes the clic-master that is to be killed.
func build(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "clic-master")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program,
		"github.com/clic-orchestrator/clic/master/clic-master")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build clic-master: %v\n%s", err, out)
	}
	return program
}

func newSite(t testing.TB, program string) *site {
	t.Helper()
	s := &site{TB: t, program: program, dir: t.TempDir()}
	for _, name := range []string{"starts", "ends"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Stage programs call the same port over all restarts, so it cannot be whatever is free at each start.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if log, err := os.ReadFile(s.log()); err == nil && t.Failed() {
			t.Logf("the end of the log of the masters in %s:\n%s", s.dir, log[max(0, len(log)-8000):])
		}
	})
	return s
}

func (s *site) log() string  { return filepath.Join(s.dir, "log") }
func (s *site) data() string { return filepath.Join(s.dir, "data") }

// complaints are the lines of the masters' log, and of the executor's process, that should not be there.
func (s *site) complaints() []string {
	s.Helper()
	var found []string
	for _, file := range []string{s.log(), filepath.Join(s.data(), "nursery.log")} {
		text, err := os.ReadFile(file)
		if err != nil {
			s.Error(err)
		}
		for line := range strings.Lines(string(text)) {
			for _, word := range []string{"level=ERROR", "panic", "DATA RACE"} {
				if strings.Contains(line, word) {
					found = append(found, strings.TrimSpace(line))
				}
			}
		}
	}
	return found
}

// life is one life of a master.
type life struct {
	*site
	cmd   *exec.Cmd
	began time.Time
	// ready is closed once the master has said that it listens; gone when it has ended, for err.
	ready, gone chan struct{}
	err         error
	*wire
	tasks *thriftmaster.TaskServiceClient
}

// start starts a master and does not wait for anything.
func (s *site) start() *life {
	s.Helper()
	log, err := os.OpenFile(s.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	m := &life{site: s, ready: make(chan struct{}), gone: make(chan struct{})}
	m.cmd = exec.Command(s.program, "--listen", s.address, "--data-dir", s.data(), "--slots", "8")
	// HOME is what processes of this run are recognised by: stages inherit it.
	m.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	m.cmd.Stderr = log
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	m.began = time.Now()
	if err := m.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() {
		defer close(m.gone)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "listens on") {
				close(m.ready)
			}
		}
		m.err = m.cmd.Wait()
	}()
	s.Cleanup(func() { m.kill() })
	return m
}

// await waits until the master listens, and connects to it.
func (m *life) await() {
	m.Helper()
	select {
	case <-m.ready:
	case <-m.gone:
		m.Fatalf("the master ended instead of starting: %v", m.err)
	case <-time.After(patience):
		m.Fatal("the master does not become ready")
	}
	var err error
	if m.wire, err = dial(m.address); err != nil {
		m.Fatal(err)
	}
	m.tasks = thriftmaster.NewTaskServiceClient(m.service("TaskService"))
}

// kill ends the master at once. Idempotent.
func (m *life) kill() {
	_ = m.cmd.Process.Kill() // it may have ended
	<-m.gone
	if m.wire != nil {
		m.close()
	}
}

// stop ends the master as a person would, and expects it to end well.
func (m *life) stop() {
	m.Helper()
	m.close()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.Error(err)
	}
	select {
	case <-m.gone:
	case <-time.After(patience):
		m.Fatal("the master does not stop")
	}
	if m.err != nil {
		m.Errorf("the master ended with %v", m.err)
	}
}

// processes lists what runs of this site: masters, the executor's process, and whatever a stage has started.
func (s *site) processes() []string {
	s.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.Fatal(err)
	}
	var found []string
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !strings.Contains("\x00"+string(env), "\x00HOME="+s.dir+"\x00") {
			continue // another's, or it has just ended
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.Error(err)
		}
		found = append(found, fmt.Sprintf("%s: %s", filepath.Base(dir), strings.ReplaceAll(string(line), "\x00", " ")))
	}
	return found
}

// stages leaves out of processes those that belong to the master itself.
func stages(processes []string) []string {
	var found []string
	for _, p := range processes {
		if !strings.Contains(p, "--data-dir") && !strings.Contains(p, "clic-nursery") {
			found = append(found, p)
		}
	}
	return found
}

// vanish waits until there are no such processes, and gives those that stay.
func (s *site) vanish(list func() []string) []string {
	s.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := list()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}
