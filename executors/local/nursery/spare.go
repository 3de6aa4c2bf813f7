package nursery

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Most programs leave nothing in their directories, and many print nothing. Making directories, files and pipes is a large part
// of what a short attempt costs (each an inode, which on ext4 takes up to half a millisecond where many were freed lately), so
// what is as it was made is moved on to the next attempt: the run directory, and where nothing but the record is left of an
// attempt, all that it had.

const (
	// maxSpares bounds what waits for another attempt, of either kind.
	maxSpares = 64
	// maxShared is the size in bytes from which a state file serves no other attempt: who reads one reads all of it.
	maxShared = 32 << 10
)

// spare is what an attempt had that left nothing but its record. The directory still has that attempt's name, so that there is
// nothing to do where no other attempt comes; but the record has another name already, under which it stays.
type spare struct {
	dir   string
	state *state
	pipes [2]*os.File
}

// close lets go of the files.
func (s *spare) close() {
	if s.state != nil {
		s.state.close()
	}
	for _, p := range s.pipes {
		if p != nil {
			_ = p.Close()
		}
	}
}

// makeDir gives an attempt its directory, and what else a spare has. The error is fs.ErrExist where it has a directory already.
func (n *nursery) makeDir(a *attempt) error {
	n.mu.Lock()
	last := len(n.spares) - 1
	if last < 0 {
		n.mu.Unlock()
		return os.Mkdir(a.dir, 0o700)
	}
	s := n.spares[last]
	n.spares = n.spares[:last]
	n.mu.Unlock()
	if syscall.Rename(s.dir, a.dir) != nil {
		s.close()
		return os.Mkdir(a.dir, 0o700)
	}
	s.dir = a.dir
	a.spare = s
	return nil
}

// furnish makes what belongs into a new directory.
func (n *nursery) furnish(a *attempt) error {
	run := filepath.Join(a.dir, runName)
	n.mu.Lock()
	from := ""
	if last := len(n.runs) - 1; last >= 0 {
		from = n.runs[last]
		n.runs = n.runs[:last]
	}
	n.mu.Unlock()
	if from == "" || syscall.Rename(from, run) != nil {
		for _, d := range []string{run, WorkDir(a.dir), TmpDir(a.dir)} {
			if err := os.Mkdir(d, 0o700); err != nil {
				return err
			}
		}
	}
	var err error
	a.state, err = createState(a.dir)
	return err
}

// recycle keeps what can serve another attempt of one whose end is written down, and closes the rest.
func (n *nursery) recycle(a *attempt) {
	run := filepath.Join(a.dir, runName)
	untouched := a.child && a.end.Killed == 0 && pristineRun(run)
	if untouched && a.drained && !a.state.broken && a.state.size < maxShared && pristine(a.dir, runName, stateName) && n.keep(a.spare) {
		return
	}
	a.close()
	if untouched {
		n.keepRun(run)
	}
}

// keep gives the record its other name and keeps the rest for another attempt, and reports whether it did.
func (n *nursery) keep(s spare) bool {
	if os.Link(StateFile(s.dir), endedFile(s.dir)) != nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	room := len(n.spares) < maxSpares
	if room {
		n.spares = append(n.spares, s)
	}
	return room
}

// keepRun makes a spare of a run directory alone.
func (n *nursery) keepRun(run string) {
	n.mu.Lock()
	n.spared++
	to := filepath.Join("spare", itoa(os.Getpid())+"-"+itoa(n.spared))
	full := len(n.runs) >= maxSpares
	n.mu.Unlock()
	if full {
		_ = os.RemoveAll(run)
		return
	}
	if syscall.Rename(run, to) == nil {
		n.mu.Lock()
		n.runs = append(n.runs, to)
		n.mu.Unlock()
	}
}

// pristineRun reports whether a run directory is as it was made.
func pristineRun(run string) bool {
	return pristine(filepath.Join(run, workName)) && pristine(filepath.Join(run, tmpName)) && pristine(run, tmpName, workName)
}

// pristine reports whether a directory holds names (in order) and nothing else, and has the mode with which it was made.
func pristine(dir string, names ...string) bool {
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
	_, _, found := syscall.ParseDirent(buf[:size], len(names)+1, nil)
	slices.Sort(found)
	return slices.Equal(found, names)
}

// findSpares finds the run directories that an earlier nursery kept.
func (n *nursery) findSpares() {
	entries, err := os.ReadDir("spare")
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join("spare", e.Name())
		if len(n.runs) < maxSpares && pristineRun(dir) {
			n.runs = append(n.runs, dir)
		} else if err := removeAll(dir); err != nil {
			n.log.Error("cannot remove a spare directory", "error", err)
		}
	}
}
