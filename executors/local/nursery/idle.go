package nursery

import (
	"os"
	"strings"
	"time"
)

// lookAgain is how often a nursery without a master looks whether it still has its directory: nothing tells it so.
const lookAgain = 30 * time.Second

// lookUntilQuit waits for the end of the nursery, which it may bring about.
func (n *nursery) lookUntilQuit() {
	t := time.NewTicker(n.look)
	defer t.Stop()
	for {
		select {
		case <-n.quit:
			return
		case <-t.C:
			n.mu.Lock()
			n.endIfIdle()
			n.mu.Unlock()
		}
	}
}

// endIfIdle ends the nursery if nothing needs it: no master is connected, and no attempt is left. Attempts that nobody will
// ever ask for are stopped first: those of a private master that is gone, and all if the directory is. n.mu is held.
func (n *nursery) endIfIdle() {
	if n.quitting || n.expecting || n.pending > 0 || len(n.conns) > 0 {
		return
	}
	if len(n.attempts) == 0 {
		n.quitting = true
		close(n.quit)
		return
	}
	all := homeless()
	for _, a := range n.attempts {
		if a.dropped || !all && !a.private {
			continue
		}
		a.dropped = true
		n.log.Info("stopping an attempt that nobody will ask for", "attempt", a.id)
		n.work.Go(func() {
			<-a.settled
			n.stop(a, 0)
		})
	}
}

// homeless reports whether the data directory, which is the working directory, was removed. One that was moved can still be
// reached under its new name, and is not.
func homeless() bool {
	name, err := os.Readlink("/proc/self/cwd")
	if err != nil || !strings.HasSuffix(name, " (deleted)") { // proc(5)
		return false
	}
	// A directory may really be called that.
	here, err := os.Stat(".")
	if err != nil {
		return true
	}
	there, err := os.Stat(name)
	return err != nil || !os.SameFile(here, there)
}
