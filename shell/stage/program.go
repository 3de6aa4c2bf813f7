package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// refusedExit is the exit status of a stage whose command cannot be executed, as in Argo.
const refusedExit = 64

// program is the stage's own, once it was started.
type program struct {
	pid     int
	started time.Time
	// floor is the helper's peak of memory at the start: a forked process shares its parent's memory until it executes
	// something else, and Linux keeps the peak of what it had before.
	floor int64
	// exited gets the end of the program, gone is closed once no process is left below the helper.
	exited chan ending
	gone   chan struct{}
}

// ending is what wait4 tells of a child.
type ending struct {
	status syscall.WaitStatus
	usage  syscall.Rusage
	// unknown is set where the system does not tell it.
	unknown bool
}

// unknownExit is the exit status of a program whose own is not known.
const unknownExit = 255

// code is the exit status as a shell tells it: 128+n after signal n.
func (e *ending) code() int {
	if e.unknown {
		return unknownExit
	}
	if e.status.Signaled() {
		return 128 + int(e.status.Signal())
	}
	return e.status.ExitStatus()
}

// find looks a command up as a shell would. The error is in Argo's words.
func find(command string) (string, error) {
	path, err := exec.LookPath(command)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // without the path, which stands beside it
	} else if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	return "", fmt.Errorf("failed to find name in PATH: exec: %q: %w", command, err)
}

// start starts the program, in a session of its own, with stdout as its standard output and the helper's other streams. An
// error means that it does not run and never did.
func start(path string, argv, env []string, stdout int) (*program, error) {
	attr := &syscall.ProcAttr{Env: env, Files: []uintptr{0, uintptr(stdout), 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		// A container with a terminal: the program reads from it, so it stays in the session and becomes the foreground.
		attr.Sys = &syscall.SysProcAttr{Foreground: true, Ctty: 0}
	}
	p := &program{started: time.Now(), floor: ownPeak(), exited: make(chan ending, 1), gone: make(chan struct{})}
	var err error
	for range 5 {
		p.pid, err = syscall.ForkExec(path, argv, attr)
		if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.ENOMEM) && !errors.Is(err, syscall.ETXTBSY) {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("exec: %q: %w", path, err)
	}
	return p, nil
}

// reap waits for children until there are none any more. Nothing else may wait for a child meanwhile.
func (p *program) reap() {
	defer close(p.gone)
	seen := false
	for {
		var e ending
		pid, err := syscall.Wait4(-1, &e.status, 0, &e.usage)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // no children; what has none cannot get any
			if !seen {
				p.exited <- ending{unknown: true}
			}
			return
		case pid == p.pid && (e.status.Exited() || e.status.Signaled()):
			seen = true
			p.exited <- e
		}
	}
}

// used is what the program and the processes that it waited for have used.
func (p *program) used(e *ending) *usage {
	u := &usage{CPU: (e.usage.Utime.Nano() + e.usage.Stime.Nano()) / int64(time.Millisecond)}
	if peak := e.usage.Maxrss << 10; peak > p.floor { // the kernel counts in KiB
		u.RSS = peak
	}
	return u
}

// signal reaches the program's first process.
func (p *program) signal(sig os.Signal) {
	if s, ok := sig.(syscall.Signal); ok {
		_ = syscall.Kill(p.pid, s)
	}
}
