package nursery

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// EnvDir names the variable with an attempt's directory. By it processes are recognised that left the attempt's session.
const EnvDir = "CLIC_ATTEMPT_DIR"

// cancel stops an attempt and tells its state; its end is told when it comes.
func (n *nursery) cancel(c *conn, r *Cancel) {
	a, mine := n.claim(r.ID, c)
	if mine {
		n.resolve(a)
	}
	switch {
	case a.refused != nil:
		c.push(Response{ID: a.id, Unknown: true})
	case n.stop(a, r.Grace):
	default:
		n.tell(c, a)
	}
}

// stop sends TERM to all that belongs to the attempt, and KILL after grace. Asked again it only ever shortens the grace.
// It reports whether the attempt is alive.
func (n *nursery) stop(a *attempt, grace time.Duration) bool {
	n.mu.Lock()
	select {
	case <-a.exited: // its end is on the way, and it is not a stopped one
		alive := a.end == nil
		n.mu.Unlock()
		return alive
	default:
	}
	if next := a.next; next != nil {
		n.mu.Unlock()
		<-next.settled
		return n.stop(next, grace)
	}
	if a.waits != "" {
		n.leaveLine(a)
		n.mu.Unlock()
		return true
	}
	if a.begun == nil || a.end != nil {
		n.mu.Unlock()
		return false
	}
	if grace <= 0 {
		grace = a.begun.Want.Grace
	}
	due := time.Now().Add(grace)
	first := !a.stopping
	if first {
		a.stopping = true
		if err := a.state.add(&Record{ID: a.id, Stop: millis(time.Now())}); err != nil {
			n.log.Error("cannot write down a stop", "attempt", a.id, "error", err)
		}
	}
	if first || due.Before(a.deadline) {
		a.deadline = due
		if a.killer != nil {
			a.killer.Stop()
		}
		a.killer = time.AfterFunc(grace, func() { n.signal(a, unix.SIGKILL) })
	}
	n.mu.Unlock()
	if first {
		n.signal(a, unix.SIGTERM)
		n.signal(a, unix.SIGCONT) // what is stopped cannot end
	}
	return true
}

// signal reaches every process of the attempt, each once.
func (n *nursery) signal(a *attempt, sig unix.Signal) int {
	members := n.members(a)
	group := false
	for _, p := range members {
		if p.pgrp == a.begun.PID {
			group = true
		} else {
			p.send(sig)
		}
	}
	if group {
		// At once, so that nothing is forked away in between. The group's number is not used again while it has members.
		_ = syscall.Kill(-a.begun.PID, sig)
	}
	return len(members)
}

// sweep stops what the attempt's program left behind, and says how much that was. The program itself is gone.
func (n *nursery) sweep(a *attempt) (killed int) {
	left := n.members(a)
	if len(left) == 0 {
		return 0
	}
	// What still ends by itself, such as the last filter of a pipeline, may do so. Where the end was asked for, all have
	// had their TERM and the time until the deadline.
	if n.waitGone(a, n.graceLeft(a)) {
		return 0
	}
	killed = len(n.members(a))
	if !n.isStopping(a) {
		n.signal(a, unix.SIGTERM)
		n.signal(a, unix.SIGCONT)
		if n.waitGone(a, a.begun.Want.Linger) {
			return killed
		}
	}
	for range 50 { // what is forked while it is being killed is met in the next round
		n.signal(a, unix.SIGKILL)
		if n.waitGone(a, 200*time.Millisecond) {
			return killed
		}
	}
	n.log.Error("processes do not die", "attempt", a.id, "count", len(n.members(a)))
	return killed
}

func (n *nursery) isStopping(a *attempt) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return a.stopping
}

func (n *nursery) graceLeft(a *attempt) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.stopping {
		return time.Until(a.deadline)
	}
	return a.begun.Want.Linger
}

// waitGone waits until nothing of the attempt is left. There is no event for "no descendant is left", so it looks again
// and again; only attempts that left something behind come here.
func (n *nursery) waitGone(a *attempt, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if len(n.members(a)) == 0 {
			return true
		}
		rest := time.Until(deadline)
		if rest <= 0 {
			return false
		}
		<-time.After(min(pause, rest))
	}
}

// members are the processes of the attempt that have not ended.
func (n *nursery) members(a *attempt) []proc {
	if !a.child {
		return n.scan(a)
	}
	self := os.Getpid()
	var found []proc
	seen := map[int]bool{}
	var add func(pid int)
	add = func(pid int) {
		if seen[pid] {
			return
		}
		seen[pid] = true
		p, err := readProc(pid)
		if err != nil {
			return
		}
		if !p.gone() {
			found = append(found, p)
		}
		for _, tid := range numbered("/proc/" + itoa(pid) + "/task") {
			for _, kid := range childrenOf(pid, tid) {
				add(kid)
			}
		}
	}
	select {
	case <-a.exited:
	default:
		add(a.begun.PID)
	}
	// What lost its parent has become the main thread's child.
	for _, pid := range childrenOf(self, self) {
		n.mu.Lock()
		other := n.byPID[pid]
		n.mu.Unlock()
		if other != nil || seen[pid] {
			continue
		}
		if p, err := readProc(pid); err == nil && n.belongs(a, p) {
			add(pid)
		}
	}
	return found
}

// scan is members for an attempt that is not this nursery's child: its processes may be anywhere.
func (n *nursery) scan(a *attempt) []proc {
	procs := allProcs()
	ours := map[int]bool{}
	for _, p := range procs {
		if p.pid == a.begun.PID && p.ticks == a.begun.Ticks || n.belongs(a, p) {
			ours[p.pid] = true
		}
	}
	for again := true; again; {
		again = false
		for _, p := range procs {
			if !ours[p.pid] && ours[p.ppid] {
				ours[p.pid], again = true, true
			}
		}
	}
	var found []proc
	for _, p := range procs {
		if ours[p.pid] && !p.gone() {
			found = append(found, p)
		}
	}
	return found
}

// belongs decides by the environment where it tells, else by session and group, else by the working directory.
func (n *nursery) belongs(a *attempt, p proc) bool {
	abs := filepath.Join(n.data, a.dir)
	if dir := environ(p.pid)[EnvDir]; dir != "" {
		return dir == abs
	}
	if p.ticks < a.begun.Ticks {
		return false
	}
	if p.sid == a.begun.PID || p.pgrp == a.begun.PID {
		return true
	}
	cwd, err := os.Readlink("/proc/" + itoa(p.pid) + "/cwd")
	return err == nil && (cwd == abs || strings.HasPrefix(cwd, abs+"/"))
}
