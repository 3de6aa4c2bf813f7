package nursery

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// exit is what wait4 tells of a child.
type exit struct {
	status syscall.WaitStatus
	usage  syscall.Rusage
	at     time.Time
}

// reap waits for children as long as the process lives: for attempts, and for what they left behind, which is the
// nursery's because it is a subreaper.
func (n *nursery) reap() {
	for {
		// First only look, so that the status is taken under the lock: then every pid means one child.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil { // no children
			<-n.children
			continue
		}
		n.mu.Lock()
		for {
			var e exit
			pid, err := syscall.Wait4(-1, &e.status, syscall.WNOHANG, &e.usage)
			if err != nil || pid <= 0 {
				break
			}
			e.at = time.Now()
			if a := n.byPID[pid]; a != nil {
				delete(n.byPID, pid)
				a.exit = &e
				close(a.exited)
			}
		}
		n.mu.Unlock()
	}
}

// born tells the reaper that there is a child.
func (n *nursery) born() {
	select {
	case n.children <- struct{}{}:
	default:
	}
}
