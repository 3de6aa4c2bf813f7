package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"syscall"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// owner names who owns a file: the user's name, its number where it has none.
func owner(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// file is an open file.
type file struct {
	fsys *FS
	ctx  context.Context
	f    *os.File
	name string
	size int64
}

// Open is dfs.FS's.
func (f *FS) Open(ctx context.Context, name string) (dfs.File, error) {
	if err := f.check(ctx, name); err != nil {
		return nil, wrap("open", name, err)
	}
	// A pipe would make the call wait for its other end.
	opened, err := f.root.OpenFile(local(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	info, err := opened.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = dfs.ErrIsDirectory
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: it is no file but %s", dfs.ErrInvalid, info.Mode().Type())
	}
	if err != nil {
		opened.Close()
		return nil, wrap("open", name, err)
	}
	open := &file{fsys: f, ctx: ctx, f: opened, name: name, size: info.Size()}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		opened.Close()
		return nil, wrap("open", name, dfs.ErrUnavailable)
	}
	f.open[open] = true
	return open, nil
}

// result gives the error of a read.
func (o *file) result(n int, err error) (int, error) {
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, wrap("read", o.name, err)
}

// Read is io.Reader's.
func (o *file) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return o.result(0, err)
	}
	return o.result(o.f.Read(p))
}

// ReadAt is io.ReaderAt's.
func (o *file) ReadAt(p []byte, off int64) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return o.result(0, err)
	}
	return o.result(o.f.ReadAt(p, off))
}

// Size is dfs.File's.
func (o *file) Size() int64 { return o.size }

// Close is io.Closer's.
func (o *file) Close() error {
	o.fsys.mu.Lock()
	delete(o.fsys.open, o)
	o.fsys.mu.Unlock()
	if err := o.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return wrap("close", o.name, err)
	}
	return nil
}

// writer writes a file beside where it shall be, and gives it its name when it is complete.
type writer struct {
	fsys      *FS
	ctx       context.Context
	f         *os.File
	name      string
	temporary string
	failed    error // of a Write
	done      bool
}

// Create is dfs.FS's.
func (f *FS) Create(ctx context.Context, name string) (dfs.Writer, error) {
	if err := f.check(ctx, name); err != nil {
		return nil, wrap("create", name, err)
	}
	if _, err := f.root.Lstat(local(name)); err == nil {
		return nil, wrap("create", name, fs.ErrExist)
	}
	if err := f.mkdirAll(path.Dir(name)); err != nil {
		return nil, wrap("create", name, err)
	}
	w := &writer{fsys: f, ctx: ctx, name: name, temporary: temporaryName(name)}
	var err error
	w.f, err = f.root.OpenFile(local(w.temporary), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, wrap("create", name, err)
	}
	return w, nil
}

// Write is io.Writer's.
func (w *writer) Write(p []byte) (int, error) {
	n, err := 0, w.ctx.Err()
	if err == nil {
		err = w.failed
	}
	if err == nil {
		n, err = w.f.Write(p)
	}
	w.failed = err
	return n, wrap("write", w.name, err)
}

// Close is dfs.Writer's.
func (w *writer) Close() error {
	if w.done {
		return wrap("close", w.name, os.ErrClosed)
	}
	w.done = true
	err := w.ctx.Err()
	if err == nil {
		err = w.failed // something is missing in it
	}
	if err == nil {
		err = w.f.Sync()
	}
	if closed := w.f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		if err = w.fsys.move(w.temporary, w.name, false); err == nil {
			return wrap("close", w.name, w.fsys.sync(path.Dir(w.name)))
		}
	}
	return wrap("close", w.name, errors.Join(err, w.fsys.root.Remove(local(w.temporary))))
}

// sync makes the names in a directory durable.
func (f *FS) sync(dir string) error {
	d, err := f.openDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Abort is dfs.Writer's.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.f.Close()
	return wrap("abort", w.name, w.fsys.root.Remove(local(w.temporary)))
}
