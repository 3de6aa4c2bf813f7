package chaos

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// seat is the place of a master at a site, where its lives follow one another: a port, and what its command line says.
type seat struct {
	*site
	name    string
	address string
	args    []string
}

// seat makes a place for a master with further arguments.
func (s *site) seat(name string, args ...string) *seat {
	s.Helper()
	t := &seat{site: s, name: name, address: freePort(s)}
	t.args = append([]string{"--listen", t.address, "--data-dir", s.data(), "--slots", "8"}, args...)
	return t
}

// life is one life of a master.
type life struct {
	*seat
	cmd   *exec.Cmd
	began time.Time
	// ready is closed once the master has said that it listens; gone when it has ended, for err.
	ready, gone chan struct{}
	err         error
	*wire
	tasks *thriftmaster.TaskServiceClient
}

// start starts a master and does not wait for anything.
func (s *seat) start() *life {
	s.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, s.name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	m := &life{seat: s, ready: make(chan struct{}), gone: make(chan struct{}), began: time.Now()}
	m.cmd = exec.Command(s.program, s.args...)
	// HOME is what processes of this run are recognised by: stages inherit it.
	m.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	m.cmd.Stderr = log
	// A master ends with the test, even if that is killed.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	started := make(chan error, 1)
	go m.run(out, started)
	if err := <-started; err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { m.kill() })
	return m
}

// run is the life of the process. The kernel takes the end of the thread that made a child for the death of its parent, so
// this one is kept until the child has ended.
func (m *life) run(out io.Reader, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := m.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "listens on") {
			close(m.ready)
		}
	}
	m.err = m.cmd.Wait()
	close(m.gone)
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
	if m.wire, err = dial(m.address, patience); err != nil {
		m.Fatal(err)
	}
	m.tasks = thriftmaster.NewTaskServiceClient(m.service("TaskService"))
}

// ended reports whether the master's process has ended.
func (m *life) ended() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
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
	if m.wire != nil {
		m.close()
	}
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
