package nursery

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/executors/local/streamlog"
)

// endOf says how an attempt ended, once its processes are gone and its output is read.
func (n *nursery) endOf(a *attempt) *End {
	e := &End{At: millis(time.Now()), Started: a.begun.Started}
	n.mu.Lock()
	e.Stopped = a.stopping
	n.mu.Unlock()
	if x := a.exit; x == nil {
		e.Lost = "the process that watched it was killed, and its exit status is not known"
	} else {
		e.At = millis(x.at)
		e.Exit = x.status.ExitStatus()
		if x.status.Signaled() {
			e.Signal = int(x.status.Signal())
			e.Exit = 128 + e.Signal
		}
		e.CPU = (x.usage.Utime.Nano() + x.usage.Stime.Nano()) / int64(time.Millisecond)
		e.MaxRSS = n.ownPeak(a, x.usage.Maxrss<<10) // the kernel counts in KiB
	}
	if _, err := a.out.Written(streamlog.Stdout); err != nil {
		e.Note = fmt.Sprintf("a part of its output could not be kept: %v", err)
	}
	if e.Stopped {
		return e
	}
	var wrong []string
	if a.begun.Want.Capture {
		result, err := a.out.Result(a.begun.Want.ResultLimit)
		if err != nil {
			wrong = append(wrong, err.Error())
		} else {
			e.Result = &result
		}
	}
	for _, f := range a.begun.Want.Files {
		value, err := n.readFile(a, f)
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		e.Params[f.Name] = value
	}
	e.Output = strings.Join(wrong, "; ")
	return e
}

// ownPeak is the peak memory of an attempt's program for which the kernel says peak, 0 if that cannot be told. A forked
// process shares its parent's memory until it executes something else, and Linux keeps the peak of what it had before: so a
// figure that is no higher than what the nursery's own peak was then says nothing of the program.
func (n *nursery) ownPeak(a *attempt, peak int64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	floor := a.floor
	if floor == 0 { // it began only just now
		if peak > n.peak { // which never sinks, so it is looked at only where it matters
			n.peak = peakOf("self")
		}
		floor = n.peak
	}
	if peak <= floor {
		return 0
	}
	return peak
}

// readFile reads an output parameter.
func (n *nursery) readFile(a *attempt, f File) (string, error) {
	name := n.pathOf(a.dir, a.begun.Dir, f)
	value, err := readFresh(name, a.begun.Want.FileLimit, a.begun.Floor)
	if err == nil {
		return value, nil
	}
	if f.Default != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOld)) {
		return *f.Default, nil
	}
	return "", fmt.Errorf("output parameter %q: %w", f.Name, err)
}

// pathOf is the absolute path of an output file of the attempt in dir, whose program runs in cwd ("" is its own).
func (n *nursery) pathOf(dir, cwd string, f File) string {
	if filepath.IsAbs(f.Path) {
		return f.Path
	}
	if cwd == "" {
		cwd = filepath.Join(n.data, WorkDir(dir))
	}
	return filepath.Join(cwd, f.Path)
}

// errOld marks a file that was there before the attempt was.
var errOld = errors.New("the file is of an earlier run")

// readFresh reads a regular file that was changed after floor, in nanoseconds of the file system's clock. On one machine
// several attempts see the same paths, so what an earlier one wrote must not pass for this one's output. The time is that
// of the inode, which nobody can set: a copy that keeps the modification time is new all the same.
func readFresh(name string, limit, floor int64) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ctim.Nano() < floor {
		at := time.Unix(st.Ctim.Unix()).Format(time.DateTime)
		return "", fmt.Errorf("%s was last written at %s, before the stage started: %w", name, at, errOld)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(b)) > limit {
		return "", fmt.Errorf("%s has %d bytes, more than the %d that an output may have", name, info.Size(), limit)
	}
	return strings.ToValidUTF8(strings.TrimSuffix(string(b), "\n"), string(utf8.RuneError)), nil
}
