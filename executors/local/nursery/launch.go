package nursery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/executors/local/streamlog"
)

// launch starts an attempt, or adopts it.
func (n *nursery) launch(c *conn, l *Launch) Response {
	n.mu.Lock()
	current := n.seeEpoch(l.Epoch)
	epoch := n.epoch
	n.mu.Unlock()
	if !current {
		return Response{Code: CodeStale, Error: fmt.Sprintf("epoch %d was seen, this is of epoch %d", epoch, l.Epoch)}
	}
	a, mine := n.claim(l.ID, c)
	if mine {
		n.mu.Lock()
		a.private = l.Want.Private
		n.mu.Unlock()
	}
	if mine && n.begin(a, l, true) {
		return Response{} // its beginning is announced in a moment
	}
	if a.refused != nil {
		return *a.refused
	}
	n.tell(c, a)
	return Response{}
}

// begin settles a claim by starting the attempt, unless it exists on disk, or has to wait and may. It reports whether it
// was started and is alive.
func (n *nursery) begin(a *attempt, l *Launch, mayWait bool) bool {
	if _, err := os.Lstat(a.dir); err == nil {
		n.resolve(a)
		return false
	}
	if mayWait && n.queue(a, l) {
		return false
	}
	switch err := os.Mkdir(a.dir, 0o700); {
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

// start makes the attempt's process, and reports whether it is alive. The directory exists and is empty.
func (n *nursery) start(a *attempt, l *Launch) (alive bool) {
	alive, code, err := n.try(a, l)
	if err == nil {
		return alive
	}
	if a.state != nil {
		a.state.close()
	}
	if err := removeAll(a.dir); err != nil {
		n.log.Error("cannot remove the directory of an attempt that did not start", "attempt", a.id, "error", err)
	}
	n.refuse(a, code, err)
	return false
}

func (n *nursery) try(a *attempt, l *Launch) (alive bool, code Code, err error) {
	if err := n.prepare(a.dir, l); err != nil {
		return false, CodeRetry, err
	}
	if a.state, err = createState(a.dir); err != nil {
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
		return false, CodeRetry, fmt.Errorf("cannot make a pipe: %w", err)
	}
	err = n.fork(a, l, ends)
	closeAll(ends[:])
	if err != nil {
		_ = a.pipes[0].Close()
		_ = a.pipes[1].Close()
		if final(err) {
			n.refusal(a, fmt.Sprintf("exec: %q: %v", l.Path, err))
			return false, "", nil
		}
		return false, CodeRetry, fmt.Errorf("cannot start a process: %w", err)
	}
	a.floor = peakOf("self")
	if err := a.state.add(&Record{Begun: a.begun}); err != nil {
		n.log.Error("cannot write down a beginning", "attempt", a.id, "error", err)
	}
	n.follow(a)
	n.settleAs(a, true)
	return true, "", nil
}

// follow starts what sees an attempt to its end.
func (n *nursery) follow(a *attempt) {
	for s, p := range a.pipes {
		if p != nil {
			a.pumps.Go(func() { n.pump(a, streamlog.Stream(s), p) })
		}
	}
	n.work.Go(func() { n.live(a) })
}

// prepare makes what the program finds.
func (n *nursery) prepare(dir string, l *Launch) error {
	if err := n.makeRun(dir); err != nil {
		return err
	}
	if l.Script != "" {
		return os.WriteFile(ScriptFile(dir), []byte(l.Script), 0o700)
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
	if err := a.state.add(&Record{Begun: a.begun, End: a.end}); err != nil {
		n.log.Error("cannot write down an end", "attempt", a.id, "error", err)
	}
	a.state.close()
	n.settleAs(a, false)
}

// openPipes makes a pipe per stream and gives the ends for the program. Those are open for reading too: so the program
// gets no SIGPIPE when the nursery is killed, but goes on until the next nursery reads.
func (n *nursery) openPipes(a *attempt) (ends [2]int, err error) {
	ends = [2]int{-1, -1}
	for i := range ends {
		var p [2]int
		if err = syscall.Pipe2(p[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err == nil {
			a.pipes[i] = os.NewFile(uintptr(p[0]), streamlog.Stream(i).String())
			var st syscall.Stat_t
			if syscall.Fstat(p[0], &st) == nil {
				a.begun.Pipes[i] = st.Ino
			}
			ends[i], err = syscall.Open("/proc/self/fd/"+strconv.Itoa(p[1]), syscall.O_RDWR|syscall.O_CLOEXEC, 0)
			_ = syscall.Close(p[1])
		}
		if err != nil {
			closeAll(ends[:])
			for _, p := range a.pipes {
				if p != nil {
					_ = p.Close()
				}
			}
			return ends, err
		}
	}
	return ends, nil
}

func closeAll(fds []int) {
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
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	env := make([]string, len(l.Env))
	for i, v := range l.Env {
		env[i] = string(v)
	}
	attr := &syscall.ProcAttr{
		Dir: dir, Env: env,
		Files: []uintptr{null.Fd(), uintptr(ends[0]), uintptr(ends[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	pid, err := syscall.ForkExec(l.Path, l.Argv, attr)
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
