package nursery

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSpares bounds the directories that wait for another attempt.
const maxSpares = 64

// Most programs leave nothing in their working directory or TMPDIR. Making directories is a large part of what a short
// attempt costs (an inode each; on ext4 up to half a millisecond where many were freed lately), so empty ones are moved on
// to the next attempt.

// makeRun gives an attempt its run directory.
func (n *nursery) makeRun(dir string) error {
	run := filepath.Join(dir, runName)
	n.mu.Lock()
	spare := ""
	if last := len(n.spares) - 1; last >= 0 {
		spare = n.spares[last]
		n.spares = n.spares[:last]
	}
	n.mu.Unlock()
	if spare != "" && os.Rename(spare, run) == nil {
		return nil
	}
	for _, d := range []string{run, WorkDir(dir), TmpDir(dir)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// recycle takes the run directory of an attempt that has ended if it is as it was made.
func (n *nursery) recycle(a *attempt) {
	if !a.child || !pristine(WorkDir(a.dir)) || !pristine(TmpDir(a.dir)) {
		return
	}
	n.mu.Lock()
	n.spared++
	spare := filepath.Join("spare", strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(n.spared))
	full := len(n.spares) >= maxSpares
	n.mu.Unlock()
	run := filepath.Join(a.dir, runName)
	if full {
		_ = os.RemoveAll(run)
		return
	}
	if os.Rename(run, spare) != nil {
		return
	}
	n.mu.Lock()
	n.spares = append(n.spares, spare)
	n.mu.Unlock()
}

// pristine reports whether a directory is empty and has the mode with which it was made.
func pristine(dir string) bool {
	fd, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = syscall.Close(fd) }()
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil || st.Mode&0o7777 != 0o700 {
		return false
	}
	var buf [512]byte
	size, err := syscall.ReadDirent(fd, buf[:])
	if err != nil {
		return false
	}
	_, _, names := syscall.ParseDirent(buf[:size], 1, nil)
	return len(names) == 0
}

// findSpares finds what an earlier nursery left.
func (n *nursery) findSpares() {
	entries, err := os.ReadDir("spare")
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join("spare", e.Name())
		if len(n.spares) < maxSpares && pristine(filepath.Join(dir, workName)) && pristine(filepath.Join(dir, tmpName)) {
			n.spares = append(n.spares, dir)
		} else if err := removeAll(dir); err != nil {
			n.log.Error("cannot remove a spare directory", "error", err)
		}
	}
}
