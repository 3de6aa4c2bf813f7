package stage

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// proc is what /proc tells of a process.
type proc struct {
	pid, ppid, pgrp int
	state           byte
}

// gone reports whether the process has ended, even if nobody has waited for it yet.
func (p proc) gone() bool { return p.state == 'Z' || p.state == 'X' || p.state == 'x' }

// parseStat reads /proc/<pid>/stat (proc(5)). It cuts at the last ')': the program's name, in front of it, may hold anything.
func parseStat(pid int, b []byte) (proc, bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return proc{}, false
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 3 || len(f[0]) != 1 {
		return proc{}, false
	}
	ppid, err := strconv.Atoi(string(f[1]))
	if err != nil {
		return proc{}, false
	}
	pgrp, err := strconv.Atoi(string(f[2]))
	return proc{pid: pid, ppid: ppid, pgrp: pgrp, state: f[0][0]}, err == nil
}

// descendants are the processes below self that have not ended. Nothing where /proc cannot be read.
func descendants(self int) []proc {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	children := map[int][]proc{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if p, ok := parseStat(pid, b); ok {
			children[p.ppid] = append(children[p.ppid], p)
		}
	}
	var found []proc
	for next := children[self]; len(next) > 0; {
		p := next[0]
		next = append(next[1:], children[p.pid]...)
		if !p.gone() {
			found = append(found, p)
		}
	}
	return found
}

// signalAll reaches every process below this one, each once: the program's group as a whole, so that nothing is forked away in
// between, and what has left the group one by one. alive says that the program itself has not ended: its group exists then,
// whatever can be read. It says how many processes there are.
func signalAll(group int, alive bool, sig syscall.Signal) int {
	members := descendants(os.Getpid())
	for _, p := range members {
		if p.pgrp == group {
			alive = true
		} else {
			_ = syscall.Kill(p.pid, sig)
		}
	}
	if alive {
		_ = syscall.Kill(-group, sig)
	}
	return len(members)
}

// adoptOrphans makes this process the parent of what loses its own below it. The first process of a container is that anyway;
// but a pod's containers may share their processes.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// ownPeak is the peak of this process's resident memory in bytes, 0 if it is not known.
func ownPeak() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return r.Maxrss << 10
}
