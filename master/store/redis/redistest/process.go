package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a server may take for what it has been told to do.
const patience = 30 * time.Second

// errPort is a port that somebody else has taken meanwhile.
var errPort = errors.New("port is in use")

// process is a redis-server that runs, or has run.
type process struct {
	cmd *exec.Cmd
	// ready is closed when the server says that it takes connections, done when it has ended and was waited for.
	ready, done chan struct{}

	mu    sync.Mutex
	tail  []string // the end of its log, for messages
	state error    // why it ended, after done
}

// spawn starts redis-server in dir with a configuration file and further arguments, and waits until it takes connections.
func spawn(ctx context.Context, dir, conf string, args ...string) (*process, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("cannot start a Redis server (scripts/setup.sh installs it): %w", err)
	}
	p := &process{ready: make(chan struct{}), done: make(chan struct{})}
	// Not under ctx: that bounds the start, not the life.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, append([]string{conf}, args...)...)
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = p.cmd.Stdout
	started := make(chan error, 1)
	go p.run(out, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", program, err)
	}
	select {
	case <-p.ready:
		return p, nil
	case <-p.done:
		if strings.Contains(p.log(), "Address already in use") {
			return nil, errPort
		}
		return nil, fmt.Errorf("cannot start a Redis server in %s: %w; it said:\n%s", dir, p.state, p.log())
	case <-ctx.Done():
		p.kill()
		return nil, fmt.Errorf("cannot start a Redis server in %s: %w; it said:\n%s", dir, context.Cause(ctx), p.log())
	}
}

// run is the life of the process. The kernel kills a child that has a parent death signal when the *thread* that made it ends,
// so this goroutine keeps its thread until the child is gone.
func (p *process) run(out io.Reader, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	seen := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		p.tail = append(p.tail[max(0, len(p.tail)-39):], lines.Text())
		p.mu.Unlock()
		// Sentinels do not say that they are ready; this is their last line before they are.
		ready := strings.Contains(lines.Text(), "Ready to accept connections") || strings.Contains(lines.Text(), "Sentinel ID is")
		if ready && !seen {
			seen = true
			close(p.ready)
		}
	}
	p.state = p.cmd.Wait()
	close(p.done)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// signal sends a signal, if the process is still there.
func (p *process) signal(sig os.Signal) {
	// The error says that it has ended, which is what the callers look for by themselves.
	_ = p.cmd.Process.Signal(sig)
}

// kill ends the process at once and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop lets the process end in order. A process that was paused goes on first.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("server did not stop within %s; it said:\n%s", patience, p.log())
	}
}

// freePort looks for a port on which nobody listens, below those that the kernel hands out for outgoing connections: a server
// that is away for a moment finds its port free when it comes back.
func freePort(ctx context.Context) (int, error) {
	for range 200 {
		port := 10_000 + rand.IntN(22_000)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("cannot find a free port")
}

const loopback = "127.0.0.1"

// copyTree copies the files of a directory and its subdirectories.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	})
}
