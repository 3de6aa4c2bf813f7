package stage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errOld marks a file that was there before the stage was.
var errOld = errors.New("the file is of an earlier run")

// collector reads output parameters.
type collector struct {
	files []Output
	limit int64
	// dir is where `clic-stage output` leaves values, or "".
	dir string
	// old are the files that were there before the program began and may be of an earlier run.
	old map[string]stamp
}

// stamp is the state of a file. Its time is that of the inode, which nobody can set, by the clock of its file system.
type stamp struct {
	ino   uint64
	ctime int64
	size  int64
}

// newCollector looks at the output files before the program begins. Only what lies on a volume that can be written can be of an
// earlier run: the rest belongs to this container. Nor can anything that has changed since the helper was installed, by which
// this pod began.
func newCollector(o *Options, dir string, installed time.Time) *collector {
	c := &collector{files: o.Outputs, limit: o.OutputLimit, dir: dir, old: map[string]stamp{}}
	if len(o.Outputs) == 0 {
		return c
	}
	mounts := readMounts()
	for _, f := range o.Outputs {
		s, ok := stampOf(f.Path)
		if ok && mounts.keeps(f.Path) && s.ctime < installed.UnixNano() {
			c.old[f.Path] = s
		}
	}
	return c
}

func stampOf(name string) (stamp, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	return stamp{ino: st.Ino, ctime: st.Ctim.Nano(), size: st.Size}, true
}

// collect reads every output, and joins what is wrong with "; ".
func (c *collector) collect() (values map[string]string, wrong string) {
	var errs []string
	for i, f := range c.files {
		value, err := c.value(i, f)
		if err != nil {
			errs = append(errs, fmt.Sprintf("output parameter %q: %v", f.Name, err))
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[f.Name] = value
	}
	return values, strings.Join(errs, "; ")
}

func (c *collector) value(i int, f Output) (string, error) {
	if c.dir != "" {
		if value, err := c.read(noteOf(c.dir, i)); err == nil {
			return value, nil
		}
	}
	value, err := c.fresh(f.Path)
	if err != nil && f.Default != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOld)) {
		return *f.Default, nil
	}
	return value, err
}

// fresh reads a file unless it is of an earlier run.
func (c *collector) fresh(name string) (string, error) {
	if before, ok := c.old[name]; ok {
		if now, ok := stampOf(name); ok && now == before {
			at := time.Unix(0, now.ctime).Format(time.DateTime)
			return "", fmt.Errorf("%s was last written at %s, before the stage started: %w", name, at, errOld)
		}
	}
	return c.read(name)
}

// read reads a regular file.
func (c *collector) read(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, c.limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(b)) > c.limit {
		return "", fmt.Errorf("%s has %d bytes, more than the %d that an output may have", name, info.Size(), c.limit)
	}
	return text(b), nil
}

// noteOf is the file of a value that the program has given by `clic-stage output`.
func noteOf(dir string, i int) string { return filepath.Join(dir, "output-"+strconv.Itoa(i)) }

// mounts are the mount points of this container; true marks one that can be written.
type mounts map[string]bool

// readMounts reads /proc/self/mountinfo (proc(5)); nothing where that cannot be read.
func readMounts() mounts {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(string(b))
}

func parseMounts(text string) mounts {
	m := mounts{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		writable := true
		for option := range strings.SplitSeq(f[5], ",") {
			writable = writable && option != "ro"
		}
		m[unescape(f[4])] = writable // of several at one place, the last is seen
	}
	return m
}

// unescape takes back the octal escapes of a mount point: space, tab, line end, backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// keeps reports whether the file lies on a volume, which may hold what an earlier run has written.
func (m mounts) keeps(name string) bool {
	name, err := filepath.Abs(name)
	if err != nil {
		return false
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	for dir := name; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if writable, ok := m[dir]; ok {
			return writable
		}
	}
	return false
}
