package nursery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/executors/local/streamlog"
)

// launch starts an attempt, or adopts it. One that it has started is given back, for live.
func (n *nursery) launch(c *conn, l *Launch) (answer Response, started *attempt) {
	if refusal, over := n.stale(l.Epoch); over {
		return refusal, nil
	}
	a, mine := n.claim(l.ID, c)
	if mine {
		n.mu.Lock()
		a.private = l.Want.Private
		n.mu.Unlock()
	}
	if mine && n.begin(a, l, true) {
		return Response{}, a // its beginning is announced in a moment
	}
	if a.refused != nil {
		return *a.refused, nil
	}
	n.tell(c, a)
	return Response{}, nil
}

// begin settles a claim by starting the attempt, unless it exists on disk, or has to wait and may. It reports whether it
// was started and is alive; live has to follow then.
func (n *nursery) begin(a *attempt, l *Launch, mayWait bool) bool {
	if known(a.dir) {
		n.resolve(a)
		return false
	}
	if mayWait && n.queue(a, l) {
		return false
	}
	switch err := n.makeDir(a); {
	case errors.Is(err, fs.ErrExist):
		n.resolve(a)
	case err != nil:
		n.refuse(a, CodeRetry, err)
	default:
		return n.start(a, l)
	}
	return false
}

// refuse settles an attempt of which nothing was started.
func (n *nursery) refuse(a *attempt, code Code, err error) {
	a.refused = &Response{Code: code, Error: err.Error()}
	n.settleAs(a, false)
}

// start makes the attempt's process, and reports whether it is alive. The directory exists.
func (n *nursery) start(a *attempt, l *Launch) (alive bool) {
	alive, code, err := n.try(a, l)
	if err == nil {
		return alive
	}
	a.close()
	if err := removeAll(a.dir); err != nil {
		n.log.Error("cannot remove the directory of an attempt that did not start", "attempt", a.id, "error", err)
	}
	n.refuse(a, code, err)
	return false
}

func (n *nursery) try(a *attempt, l *Launch) (alive bool, code Code, err error) {
	if err := n.prepare(a, l); err != nil {
		return false, CodeRetry, err
	}
	a.out = streamlog.New(a.dir, l.Want.LogLimit, resultSize(l.Want))
	a.begun = &Begun{
		ID: l.ID, Task: l.Task, Stage: l.Stage, Number: l.Number, Epoch: l.Epoch, Boot: n.boot,
		Floor: coarseNow(), Dir: l.Dir, Note: l.Note, Want: l.Want,
	}
	if l.Refusal != "" {
		n.refusal(a, l.Refusal)
		return false, "", nil
	}
	ends, err := n.openPipes(a)
	if err != nil {
		closeAll(ends)
		return false, CodeRetry, fmt.Errorf("cannot make a pipe: %w", err)
	}
	err = n.fork(a, l, ends)
	closeAll(ends)
	if err != nil {
		if final(err) {
			n.refusal(a, fmt.Sprintf("exec: %q: %v", l.Path, err))
			return false, "", nil
		}
		return false, CodeRetry, fmt.Errorf("cannot start a process: %w", err)
	}
	if err := a.state.add(&Record{ID: a.id, Begun: a.begun}); err != nil {
		n.log.Error("cannot write down a beginning", "attempt", a.id, "error", err)
	}
	n.follow(a)
	n.settleAs(a, true)
	return true, "", nil
}

// follow starts to read an attempt's output.
func (n *nursery) follow(a *attempt) {
	for s, p := range a.pipes {
		if p != nil {
			a.pumps.Go(func() { n.pump(a, streamlog.Stream(s), p) })
		}
	}
}

// prepare makes what the program finds, and the state file.
func (n *nursery) prepare(a *attempt, l *Launch) error {
	if a.state == nil {
		if err := n.furnish(a); err != nil {
			return err
		}
	}
	if l.Script != "" {
		return os.WriteFile(ScriptFile(a.dir), []byte(l.Script), 0o700)
	}
	return nil
}

// resultSize is how much of the standard output has to be kept from its beginning.
func resultSize(w Want) int64 {
	if !w.Capture {
		return 0
	}
	return w.ResultLimit + 1
}

// coarseNow is the clock by which the kernel stamps files.
func coarseNow() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t); err != nil {
		return time.Now().Add(-10 * time.Millisecond).UnixNano()
	}
	return t.Nano()
}

// refusal settles an attempt whose command cannot be executed as one that has ended.
func (n *nursery) refusal(a *attempt, why string) {
	now := millis(time.Now())
	a.begun.Started = now
	a.end = &End{At: now, Started: now, Exit: RefusedExit, Refusal: why}
	if err := a.state.add(&Record{ID: a.id, Begun: a.begun, End: a.end}); err != nil {
		n.log.Error("cannot write down an end", "attempt", a.id, "error", err)
	}
	a.close()
	n.settleAs(a, false)
}

// openPipes makes a pipe per stream, unless there is one already, and gives the ends for the program. Those are open for reading
// too: so the program gets no SIGPIPE when the nursery is killed, but goes on until the next nursery reads.
func (n *nursery) openPipes(a *attempt) (ends [2]int, err error) {
	ends = [2]int{-1, -1}
	for i := range ends {
		if a.pipes[i] == nil {
			var p [2]int
			if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
				return ends, err
			}
			_ = syscall.Close(p[1])
			a.pipes[i] = os.NewFile(uintptr(p[0]), "/proc/self/fd/"+itoa(p[0]))
		}
		if ends[i], err = syscall.Open(a.pipes[i].Name(), syscall.O_RDWR|syscall.O_CLOEXEC, 0); err != nil {
			return ends, err
		}
		var st syscall.Stat_t
		if syscall.Fstat(ends[i], &st) == nil {
			a.begun.Pipes[i] = st.Ino
		}
	}
	return ends, nil
}

func closeAll(fds [2]int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = syscall.Close(fd)
		}
	}
}

// fork starts the program in a session of its own.
func (n *nursery) fork(a *attempt, l *Launch, ends [2]int) error {
	dir := l.Dir
	if dir == "" {
		dir = filepath.Join(n.data, WorkDir(a.dir))
	}
	env := make([]string, len(l.Env))
	for i, v := range l.Env {
		env[i] = string(v)
	}
	attr := &syscall.ProcAttr{
		Dir: dir, Env: env,
		Files: []uintptr{0, uintptr(ends[0]), uintptr(ends[1])}, // Spawn sees to it that the nursery reads /dev/null itself
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	var pid int
	err := finely(func() (err error) {
		pid, err = syscall.ForkExec(l.Path, l.Argv, attr)
		return err
	})
	if err != nil {
		return err
	}
	a.child = true
	a.begun.PID, a.begun.Started = pid, millis(now)
	// The reaper waits for the lock, so even a program that has ended is still there to be read.
	if p, err := readProc(pid); err == nil {
		a.begun.Ticks = p.ticks
	}
	n.byPID[pid] = a
	n.born()
	return nil
}

// final reports whether an exec would fail the same way again.
func final(err error) bool {
	for _, e := range []error{
		syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC, syscall.ENOTDIR, syscall.EISDIR,
		syscall.ELOOP, syscall.ENAMETOOLONG, syscall.E2BIG, syscall.EINVAL, syscall.ELIBBAD,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
