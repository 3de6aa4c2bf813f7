package nursery

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/executors/local/streamlog"
)

func itoa(i int) string { return strconv.Itoa(i) }

// exists reports whether the very process that the record names is there: alive, or at least with its exit status.
func exists(b *Begun) bool {
	if b.PID <= 0 {
		return false
	}
	p, err := readProc(b.PID)
	return err == nil && p.ticks == b.Ticks
}

// adoptAll finds the attempts of this directory that an earlier nursery started and that run on.
func (n *nursery) adoptAll() {
	prefix := filepath.Join(n.data, attemptsName) + "/"
	seen := map[string]bool{}
	for _, p := range allProcs() {
		env := environ(p.pid)
		id := env["CLIC_ATTEMPT_ID"]
		if !strings.HasPrefix(env[EnvDir], prefix) || env[EnvDir] != prefix+dirName(id) || seen[id] || p.gone() {
			continue
		}
		a, mine := n.claim(id, nil)
		seen[id] = !mine || n.resolveRunning(a, p)
	}
}

// resolveRunning settles an attempt of which p was found, and reports whether it is watched from now on.
func (n *nursery) resolveRunning(a *attempt, p proc) bool {
	rec, err := ReadRecord(a.dir)
	if err != nil || rec.Begun == nil {
		// It was killed between the fork and the record. The session's leader is the program itself.
		rec = &Record{Begun: &Begun{
			ID: a.id, Boot: n.boot, PID: p.sid, Started: millis(time.Now()), Floor: time.Now().UnixNano(),
			Want: Want{LogLimit: 1 << 20, Grace: 10 * time.Second, Linger: time.Second},
		}}
		if leader, err := readProc(p.sid); err == nil {
			rec.Begun.Ticks = leader.ticks
		}
	}
	if rec.End != nil { // p was left behind; where only the program has ended, adopting the attempt sweeps p away
		p.send(unix.SIGKILL)
		a.begun, a.end = rec.Begun, rec.End
		n.settleAs(a, false)
		return false
	}
	if err := n.adopt(a, rec); err != nil {
		n.log.Error("cannot adopt", "attempt", a.id, "error", err)
		a.begun = rec.Begun
		n.lost(a, "it runs, but cannot be watched: "+err.Error())
		return false
	}
	return true
}

// adopt settles an attempt that another nursery started as one that this one watches.
func (n *nursery) adopt(a *attempt, rec *Record) error {
	if _, err := os.Stat(a.dir); err != nil {
		return err
	}
	a.begun = rec.Begun
	fd, err := unix.PidfdOpen(a.begun.PID, unix.PIDFD_NONBLOCK)
	switch {
	case err == nil && !exists(a.begun):
		// The pid is another process's by now, or the program has ended.
		_ = unix.Close(fd)
		fd = -1
	case err != nil && exists(a.begun):
		return fmt.Errorf("cannot watch process %d: %w", a.begun.PID, err)
	case err != nil:
		fd = -1
	}
	if a.state, err = openState(a.dir); err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return err
	}
	a.out = streamlog.New(a.dir, a.begun.Want.LogLimit, resultSize(a.begun.Want))
	if err := a.out.Reopen(); err != nil {
		n.log.Error("cannot go on with the output", "attempt", a.id, "error", err)
	}
	for i, inode := range a.begun.Pipes {
		a.pipes[i] = reopenPipe(a.begun.PID, i+1, inode)
	}
	if rec.Stop != 0 {
		a.stopping = true
		a.deadline = time.UnixMilli(rec.Stop).Add(a.begun.Want.Grace)
		a.killer = time.AfterFunc(time.Until(a.deadline), func() { n.signal(a, unix.SIGKILL) })
	}
	n.mu.Lock()
	a.private = a.begun.Want.Private
	for _, f := range n.files(a.dir, a.begun.Dir, a.begun.Want.Files) {
		if n.held[f] == nil {
			n.held[f] = a
		}
	}
	n.mu.Unlock()
	if fd < 0 {
		close(a.exited)
	} else {
		n.work.Go(func() { n.await(a, fd) })
	}
	n.follow(a)
	n.settleAs(a, true)
	n.work.Go(func() { n.live(a) })
	return nil
}

// reopenPipe opens the reading end of a pipe through the program that holds it. nil if the program has let go of it.
func reopenPipe(pid, fd int, inode uint64) *os.File {
	name := "/proc/" + itoa(pid) + "/fd/" + itoa(fd)
	if link, err := os.Readlink(name); err != nil || link != "pipe:["+strconv.FormatUint(inode, 10)+"]" {
		return nil
	}
	got, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(got), name)
}

// await waits for the end of a process that is not a child, and learns its exit status if the kernel tells.
func (n *nursery) await(a *attempt, fd int) {
	defer func() { _ = unix.Close(fd) }()
	poll := func(timeout int) int16 {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, timeout); err != nil {
			return 0
		}
		return fds[0].Revents
	}
	for poll(-1)&(unix.POLLIN|unix.POLLHUP) == 0 {
	}
	at := time.Now()
	var status syscall.WaitStatus
	known := false
	for i := 0; !known && i < 100; i++ {
		if poll(0)&unix.POLLHUP != 0 { // it was reaped
			status, known = pidfdExit(fd)
			break
		}
		if status, known = zombieExit(a.begun); !known {
			<-time.After(10 * time.Millisecond)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known {
		a.exit = &exit{status: status, at: at}
	}
	close(a.exited)
}

// zombieExit is the exit status of a process that has ended and that its parent has not reaped yet.
func zombieExit(b *Begun) (syscall.WaitStatus, bool) {
	p, err := readProc(b.PID)
	if err != nil || p.ticks != b.Ticks || p.state != 'Z' {
		return 0, false
	}
	return syscall.WaitStatus(p.code), true
}

// pidfdExit asks for the exit status of a process that was reaped (Linux 6.15, PIDFD_GET_INFO).
func pidfdExit(fd int) (syscall.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info)))
	if errno != 0 || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return syscall.WaitStatus(info.Exit_code), true
}
