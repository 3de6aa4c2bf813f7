// Package disk is a directory of this machine as a file system of package dfs: for laptops, for tests, and for a store that several
// machines mount. Paths begin at that directory, and nothing leads out of it, no symbolic link either. Its contents are trusted to have
// the right bytes: a disk has no checksums to check.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// FS is a directory. Use New.
type FS struct {
	root *os.Root

	mu     sync.Mutex
	closed bool
	open   map[*file]bool
}

var _ dfs.FS = (*FS)(nil)

// New opens a directory, which must exist.
func New(dir string) (*FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot use the directory %q as a file system: %w", dir, err)
	}
	return &FS{root: root, open: map[*file]bool{}}, nil
}

// temporary begins the name of a file that is not complete yet. Listings leave such files out.
const temporary = ".clic-tmp-"

// check is what each call begins with.
func (f *FS) check(ctx context.Context, name string) error {
	if err := dfs.CheckPath(name); err != nil {
		return err
	}
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return fmt.Errorf("%w: it was closed", dfs.ErrUnavailable)
	}
	return ctx.Err()
}

// local gives the name below the root that os.Root wants.
func local(name string) string {
	if name == "/" {
		return "."
	}
	return name[1:]
}

// wrap says what could not be done, and turns the system's errors into those of package dfs.
func wrap(what, name string, err error) error {
	if err == nil {
		return nil
	}
	// The path is said once, as the caller knows it.
	var onPath *fs.PathError
	var onLink *os.LinkError
	if errors.As(err, &onPath) {
		err = onPath.Err
	} else if errors.As(err, &onLink) {
		err = onLink.Err
	}
	for _, is := range []struct{ system, ours error }{
		{syscall.ENOTDIR, dfs.ErrNotDirectory},
		{syscall.EISDIR, dfs.ErrIsDirectory},
		{syscall.ENOTEMPTY, dfs.ErrNotEmpty},
		{syscall.ENOSPC, dfs.ErrQuota},
		{syscall.EDQUOT, dfs.ErrQuota},
		{syscall.EINVAL, dfs.ErrInvalid},
		{syscall.EXDEV, dfs.ErrInvalid}, // a disk that is mounted in between: nothing can be moved across
		{syscall.ENAMETOOLONG, dfs.ErrInvalid},
		{syscall.EIO, dfs.ErrCorrupt},
		{os.ErrClosed, dfs.ErrUnavailable},
	} {
		if errors.Is(err, is.system) {
			return fmt.Errorf("cannot %s %q: %w (%w)", what, name, is.ours, err)
		}
	}
	return fmt.Errorf("cannot %s %q: %w", what, name, err)
}

func describe(name string, info fs.FileInfo) dfs.Info {
	d := dfs.Info{Name: path.Base(name), Dir: info.IsDir(), Modified: info.ModTime(), Owner: owner(info)}
	if !d.Dir {
		d.Size = info.Size()
	}
	return d
}

// Stat is dfs.FS's.
func (f *FS) Stat(ctx context.Context, name string) (dfs.Info, error) {
	if err := f.check(ctx, name); err != nil {
		return dfs.Info{}, wrap("describe", name, err)
	}
	info, err := f.root.Stat(local(name))
	if err != nil {
		return dfs.Info{}, wrap("describe", name, err)
	}
	return describe(name, info), nil
}

// ReadDir is dfs.FS's. What disappears meanwhile, and links that lead nowhere or out of the directory, are left out.
func (f *FS) ReadDir(ctx context.Context, name string, limit int) ([]dfs.Info, error) {
	if err := f.check(ctx, name); err != nil {
		return nil, wrap("list", name, err)
	}
	if limit < 0 {
		return nil, wrap("list", name, fmt.Errorf("%w: a limit of %d", dfs.ErrInvalid, limit))
	}
	dir, err := f.openDir(name)
	if err != nil {
		return nil, wrap("list", name, err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, wrap("list", name, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	list := []dfs.Info{}
	for _, e := range entries {
		if limit > 0 && len(list) == limit {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, wrap("list", name, err)
		}
		if strings.HasPrefix(e.Name(), temporary) {
			continue
		}
		// Through links, as Stat and Open do.
		info, err := f.root.Stat(local(path.Join(name, e.Name())))
		if err != nil {
			continue
		}
		list = append(list, describe(e.Name(), info))
	}
	return list, nil
}

// MkdirAll is dfs.FS's.
func (f *FS) MkdirAll(ctx context.Context, name string) error {
	if err := f.check(ctx, name); err != nil {
		return wrap("make the directory", name, err)
	}
	return wrap("make the directory", name, f.mkdirAll(name))
}

func (f *FS) mkdirAll(name string) error {
	if name == "/" {
		return nil
	}
	err := f.root.MkdirAll(local(name), 0o755)
	if errors.Is(err, fs.ErrExist) {
		// Something stands there that is no directory.
		return dfs.ErrNotDirectory
	}
	return err
}

// Rename is dfs.FS's.
func (f *FS) Rename(ctx context.Context, from, to string) error {
	what := fmt.Sprintf("rename to %q", to)
	for _, name := range []string{from, to} {
		if err := f.check(ctx, name); err != nil {
			return wrap(what, from, err)
		}
	}
	info, err := f.root.Lstat(local(from))
	switch {
	case err != nil:
		return wrap(what, from, err)
	case from == to:
		return wrap(what, from, fs.ErrExist)
	case from == "/" || strings.HasPrefix(to, from+"/"):
		return wrap(what, from, fmt.Errorf("%w: a directory cannot be moved into itself", dfs.ErrInvalid))
	case to == "/":
		return wrap(what, from, fs.ErrExist)
	}
	return wrap(what, from, f.move(from, to, info.IsDir()))
}

// move renames in one step where the system can do that without replacing anything, as Linux can on its own file systems, and else in
// two: a file is given a second name, a directory is moved onto an empty one that was made for it. All fail where something stands already,
// whoever made it and however late.
func (f *FS) move(from, to string, dir bool) error {
	err := f.renameat(from, to, unix.RENAME_NOREPLACE)
	switch {
	case !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, syscall.EOPNOTSUPP):
		return err
	case dir:
		return f.moveDir(from, to)
	}
	return f.moveFile(from, to)
}

func (f *FS) moveFile(from, to string) error {
	err := f.root.Link(local(from), local(to))
	if errors.Is(err, fs.ErrExist) && f.same(from, to) {
		err = nil // whoever was killed on the way
	}
	if err != nil {
		return err
	}
	return f.root.Remove(local(from))
}

// same reports whether two names are of the same file.
func (f *FS) same(a, b string) bool {
	one, err := f.root.Lstat(local(a))
	if err != nil {
		return false
	}
	other, err := f.root.Lstat(local(b))
	return err == nil && os.SameFile(one, other)
}

func (f *FS) moveDir(from, to string) error {
	if err := f.root.Mkdir(local(to), 0o755); err != nil {
		return err
	}
	err := f.renameat(from, to, 0)
	if err != nil {
		_ = f.root.Remove(local(to)) // only if it is still empty
	}
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.ENOTDIR) {
		// Somebody has used or replaced the directory that was to be taken.
		return fs.ErrExist
	}
	return err
}

// renameat is the system's rename, with its flags, which os.Root does not have.
func (f *FS) renameat(from, to string, flags uint) error {
	source, err := f.openDir(path.Dir(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := f.openDir(path.Dir(to))
	if err != nil {
		return err
	}
	defer target.Close()
	// Single elements: no link on the way leads elsewhere.
	return unix.Renameat2(int(source.Fd()), path.Base(from), int(target.Fd()), path.Base(to), flags)
}

// openDir opens a directory and nothing else: opening a pipe would wait for its other end.
func (f *FS) openDir(name string) (*os.File, error) {
	return f.root.OpenFile(local(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

// Remove is dfs.FS's.
func (f *FS) Remove(ctx context.Context, name string, all bool) error {
	if err := f.check(ctx, name); err != nil {
		return wrap("remove", name, err)
	}
	if name == "/" {
		return wrap("remove", name, dfs.ErrInvalid)
	}
	if _, err := f.root.Lstat(local(name)); err != nil {
		return wrap("remove", name, err)
	}
	if all {
		return wrap("remove", name, f.root.RemoveAll(local(name)))
	}
	return wrap("remove", name, f.root.Remove(local(name)))
}

// Close is dfs.FS's.
func (f *FS) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	for open := range f.open {
		open.f.Close()
	}
	clear(f.open)
	return f.root.Close()
}

// temporaryName gives a name for a file that is not complete, in the directory of name.
func temporaryName(name string) string { return path.Join(path.Dir(name), temporary+rand.Text()) }
