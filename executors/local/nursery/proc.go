package nursery

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// proc is what /proc tells of a process.
type proc struct {
	pid, ppid, pgrp, sid int
	state                byte
	// ticks is the start time in clock ticks since boot: with the pid it names the process for good.
	ticks uint64
	// code is the wait status of one that has ended and was not reaped yet.
	code int
}

// gone reports whether the process has ended, even if nobody has reaped it yet.
func (p proc) gone() bool { return p.state == 'Z' || p.state == 'X' || p.state == 'x' }

// readProcFile reads a file of /proc, in half as many system calls as os.ReadFile: several are read for every attempt.
func readProcFile(name string) ([]byte, error) {
	fd, err := syscall.Open("/proc/"+name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = syscall.Close(fd) }()
	b := make([]byte, 0, 2048)
	for {
		got, err := syscall.Read(fd, b[len(b):cap(b)])
		if err != nil || got <= 0 {
			return b, err
		}
		b = b[:len(b)+got]
		b = slices.Grow(b, 1)
	}
}

// readProc reads /proc/<pid>/stat (proc(5)).
func readProc(pid int) (proc, error) {
	b, err := readProcFile(itoa(pid) + "/stat")
	if err != nil {
		return proc{}, err
	}
	return parseStat(b)
}

// parseStat cuts at the last ')': the program's name, in front of it, may hold anything.
func parseStat(b []byte) (proc, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return proc{}, fmt.Errorf("cannot understand process status %q", b)
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 {
		return proc{}, fmt.Errorf("cannot understand process status %q", b)
	}
	p := proc{state: f[0][0]}
	var err error
	number := func(field []byte) int {
		n, e := strconv.Atoi(string(field))
		if e != nil {
			err = e
		}
		return n
	}
	p.pid = number(bytes.TrimSpace(b[:open]))
	p.ppid, p.pgrp, p.sid = number(f[1]), number(f[2]), number(f[3])
	ticks, e := strconv.ParseUint(string(f[19]), 10, 64)
	if e != nil {
		err = e
	}
	p.ticks = ticks
	if len(f) >= 50 {
		p.code = number(f[49])
	}
	return p, err
}

// peakOf is the peak resident memory, in bytes, of a process ("self" is this one) since it executed its program; 0 if it is
// not known.
func peakOf(pid string) int64 {
	b, err := readProcFile(pid + "/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("\nVmHWM:"))
	line, _, _ := bytes.Cut(after, []byte("kB\n"))
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// bootID names the running kernel's boot.
func bootID() string {
	b, err := readProcFile("sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// environ is a process's environment as it was executed. Empty where it may not be read.
func environ(pid int) map[string]string {
	b, err := readProcFile(itoa(pid) + "/environ")
	if err != nil {
		return nil
	}
	env := map[string]string{}
	for v := range strings.SplitSeq(string(b), "\x00") {
		if name, value, ok := strings.Cut(v, "="); ok && strings.HasPrefix(name, "CLIC_") {
			env[name] = value
		}
	}
	return env
}

// childrenOf lists the children of one thread of a process, and so, for a main thread, what was re-parented to the process.
func childrenOf(pid, tid int) []int {
	b, err := readProcFile(itoa(pid) + "/task/" + itoa(tid) + "/children")
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// numbered lists the numeric names of a directory of /proc.
func numbered(dir string) []int {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	pids := make([]int, 0, len(names))
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// allProcs reads every process of the machine that can be seen.
func allProcs() []proc {
	pids := numbered("/proc")
	procs := make([]proc, 0, len(pids))
	for _, pid := range pids {
		if p, err := readProc(pid); err == nil {
			procs = append(procs, p)
		}
	}
	return procs
}

// send signals exactly this process: a pid that came again meanwhile has other ticks, and the pidfd stays with the one that
// was looked at.
func (p proc) send(sig unix.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	if now, err := readProc(p.pid); err != nil || now.ticks != p.ticks {
		return
	}
	_ = unix.PidfdSendSignal(fd, sig, nil, 0)
}
