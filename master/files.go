package master

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/clic-orchestrator/clic/master/rpc"
)

// files reads files that clients and plans name by path, below some directories only.
type files struct {
	// what the files are, for messages.
	what string
	dirs []string
	most int64
}

// read reads a file. Symbolic links are followed, as long as they end below one of the directories. A relative path is
// looked for below each of them, in order. Errors: rpc.ErrDenied, rpc.ErrTooLarge, and the file system's for files below.
func (d files) read(path string) ([]byte, error) {
	if strings.ContainsRune(path, 0) {
		return nil, d.denied(path)
	}
	if filepath.IsAbs(path) {
		return d.absolute(filepath.Clean(path))
	}
	err := d.denied(path)
	for _, dir := range d.dirs {
		var b []byte
		b, err = d.absolute(filepath.Join(dir, path))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	return nil, err
}

// absolute reads the file if, with all links resolved, it is below one of the directories.
func (d files) absolute(path string) ([]byte, error) {
	found, err := filepath.EvalSymlinks(path)
	if err != nil {
		if d.within(path) {
			return nil, fmt.Errorf("cannot read %s: %w", d.what, err)
		}
		// Whether other files exist is nobody's business.
		return nil, d.denied(path)
	}
	for _, dir := range d.dirs {
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue
		}
		rel, err := filepath.Rel(dir, found)
		if err == nil && filepath.IsLocal(rel) {
			return d.open(dir, rel, path)
		}
	}
	return nil, d.denied(path)
}

// open reads the file through its directory, so that a link that was put there since cannot lead out of it.
func (d files) open(dir, rel, shown string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", d.what, err)
	}
	defer root.Close()
	// Without waiting: it may be a pipe.
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s %q: %w", d.what, shown, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read %s %q: %w", d.what, shown, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read %s %q: it is not a file", d.what, shown)
	}
	b, err := io.ReadAll(io.LimitReader(f, d.most+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s %q: %w", d.what, shown, err)
	}
	if int64(len(b)) > d.most {
		return nil, fmt.Errorf("cannot read %s %q: %w of %d bytes", d.what, shown, rpc.ErrTooLarge, d.most)
	}
	return b, nil
}

// within reports whether the path's text is below one of the directories.
func (d files) within(path string) bool {
	for _, dir := range d.dirs {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

func (d files) denied(path string) error {
	if len(d.dirs) == 0 {
		return fmt.Errorf("reading %q is %w: no directory is configured from which a %s may be read", path, rpc.ErrDenied, d.what)
	}
	return fmt.Errorf("reading %q is %w: it is outside of %s, from where alone a %s may be read",
		path, rpc.ErrDenied, strings.Join(d.dirs, ", "), d.what)
}
