package hdfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	lib "github.com/colinmarc/hdfs/v2"

	"github.com/clic-orchestrator/clic/master/dfs"
)

const (
	// replayBytes is how much of a file is kept in memory while it is written, to be written anew where a datanode is lost. Of a longer one
	// nothing is kept, and the writer has an error then.
	replayBytes = 8 << 20
	// slice is how much the library is given at once: it keeps a copy of it.
	slice = 64 << 10
	// temporary begins the name of a file that is not complete yet.
	temporary = ".clic-tmp-"
)

// writer writes a file beside where it shall be, and moves it there when it is complete.
type writer struct {
	fs   *FS
	ctx  context.Context
	name string

	mu      sync.Mutex
	attempt *attempt
	written int64
	replay  []byte // what was written, unless that was too much to keep
	tooMuch bool
	failed  error // for good
	done    bool
}

// An attempt is one temporary file, with a session of its own: the namenode gives the right to write to that.
type attempt struct {
	session *session
	unbind  func()
	name    string
	file    *lib.FileWriter
}

// Create is dfs.FS's. The file is written under another name in the same directory, which begins with ".clic-tmp-"; one that is left over
// from a process that was killed may be removed.
func (f *FS) Create(ctx context.Context, name string) (dfs.Writer, error) {
	if err := dfs.CheckPath(name); err != nil {
		return nil, wrap("create", name, err)
	}
	w := &writer{fs: f, ctx: ctx, name: name}
	_, err := f.stat(ctx, name)
	switch {
	case err == nil:
		return nil, wrap("create", name, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, wrap("create", name, err)
	}
	if err := f.mkdirAll(ctx, path.Dir(name)); err != nil {
		return nil, wrap("create", name, err)
	}
	if err := f.writable(ctx, path.Dir(name)); err != nil {
		return nil, wrap("create", name, err)
	}
	if err := w.begin(); err != nil {
		return nil, wrap("create", name, err)
	}
	return w, nil
}

// begin begins an attempt. It may be repeated, as each has a name of its own.
func (w *writer) begin() error {
	return w.fs.persist(w.ctx, func() (bool, error) { return true, w.beginOnce() })
}

func (w *writer) beginOnce() error {
	s, err := w.fs.acquire(w.ctx)
	if err != nil {
		return err
	}
	a := &attempt{session: s, unbind: s.bind(w.ctx), name: path.Join(path.Dir(w.name), temporary+rand.Text())}
	w.attempt = a
	replication, blockSize, err := w.fs.layout(s)
	if err == nil {
		a.file, err = s.client.CreateFile(a.name, replication, blockSize, 0o644)
	}
	if err != nil {
		return errors.Join(s.explain(w.ctx, err), w.giveUp())
	}
	return nil
}

// layout gives the replication and the block size of new files.
func (f *FS) layout(s *session) (replication int, blockSize int64, err error) {
	replication, blockSize = f.config.Replication, f.config.BlockSize
	if replication > 0 && blockSize > 0 {
		return replication, blockSize, nil
	}
	f.mu.Lock()
	defaults := f.defaults
	f.mu.Unlock()
	if defaults == nil {
		got, err := s.client.ServerDefaults()
		if err != nil {
			return 0, 0, err
		}
		defaults = &got
		f.mu.Lock()
		f.defaults = defaults
		f.mu.Unlock()
	}
	if replication == 0 {
		replication = defaults.Replication
	}
	if blockSize == 0 {
		blockSize = defaults.BlockSize
	}
	return replication, blockSize, nil
}

// giveUp ends the attempt, if there is one, and removes its file, whatever the writer's context says.
func (w *writer) giveUp() error {
	a := w.attempt
	if a == nil {
		return nil
	}
	w.attempt = nil
	a.unbind()
	// The library's goroutines end with its Close, which must not take the file for complete.
	a.session.kill(errClosed)
	if a.file != nil {
		_ = a.file.Close() // fails, as all connections are closed
	}
	w.fs.release(a.session)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.fs.config.CallTimeout)
	defer cancel()
	if err := w.fs.remove(ctx, a.name, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the incomplete file %q: %w", a.name, err)
	}
	return nil
}

// Write is io.Writer's.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.done:
		return 0, wrap("write", w.name, os.ErrClosed)
	case w.failed != nil:
		return 0, wrap("write", w.name, w.failed)
	}
	if w.written+int64(len(p)) <= replayBytes {
		w.replay = append(w.replay, p...)
	} else {
		w.replay, w.tooMuch = nil, true
	}
	if err := w.attempt.write(w.ctx, p); err != nil {
		if err = w.anew(err, func() error { return nil }); err != nil {
			w.failed = err
			return 0, wrap("write", w.name, err)
		}
	}
	w.written += int64(len(p))
	return len(p), nil
}

// write gives the library bytes, and finds out by itself when a datanode is lost.
func (a *attempt) write(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		n := min(slice, len(p))
		_, err := a.file.Write(p[:n])
		if lost := a.session.lostDatanode(); lost != nil && ctx.Err() == nil {
			return unavailable(lost)
		}
		if err != nil {
			return a.explain(ctx, err)
		}
		p = p[n:]
	}
	return nil
}

// explain gives an error of the library's writing, which has no type where datanodes are concerned.
func (a *attempt) explain(ctx context.Context, err error) error {
	if lost := a.session.lostDatanode(); lost != nil && ctx.Err() == nil {
		return unavailable(lost)
	}
	err = a.session.explain(ctx, err)
	if errors.Is(err, fs.ErrNotExist) {
		return unavailable(fmt.Errorf("the incomplete file is gone: %w", err))
	}
	return err
}

// anew writes what was written once more, to another temporary file, after an attempt failed, and finishes it.
func (w *writer) anew(failed error, finish func() error) error {
	if w.tooMuch && errors.Is(failed, dfs.ErrUnavailable) {
		_ = w.giveUp() // the error that counts is the one before
		return fmt.Errorf("%w (after %d bytes, too many to be written anew)", failed, w.written)
	}
	err := w.fs.persist(w.ctx, func() (bool, error) {
		if err := failed; err != nil {
			failed = nil
			_ = w.giveUp()
			return true, err
		}
		err := w.beginOnce()
		if err == nil {
			err = w.attempt.write(w.ctx, w.replay)
		}
		if err == nil {
			err = finish()
		}
		if err != nil {
			_ = w.giveUp()
		}
		return true, err
	})
	return err
}

// Close is dfs.Writer's.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.done:
		return wrap("close", w.name, os.ErrClosed)
	case w.failed != nil:
		w.done = true
		return wrap("close", w.name, w.failed)
	}
	w.done = true
	err := w.complete()
	if err != nil {
		err = w.anew(err, w.complete)
	}
	if err != nil {
		return wrap("close", w.name, err)
	}
	return wrap("close", w.name, w.publish())
}

// complete closes the temporary file, so that its bytes can be relied on.
func (w *writer) complete() error {
	a := w.attempt
	return w.fs.persist(w.ctx, func() (bool, error) {
		err := a.file.Close()
		lost := a.session.lostDatanode()
		switch {
		case lost != nil:
			return false, a.explain(w.ctx, lost)
		case err == nil:
			return false, nil
		case lib.IsErrReplicating(err):
			// The bytes are with datanodes, and fewer of them than the namenode wants have said so yet.
			return true, unavailable(lib.ErrReplicating)
		}
		// Or the namenode does not answer. Otherwise a datanode says that it, or the one behind it, could not take all of it.
		return a.session.fromNamenode(err), a.explain(w.ctx, err)
	})
}

// publish gives the complete file its name.
func (w *writer) publish() error {
	a := w.attempt
	w.attempt = nil
	a.unbind()
	w.fs.release(a.session)
	tried := false
	err := w.fs.persist(w.ctx, func() (bool, error) {
		err := w.fs.rename(w.ctx, a.name, w.name)
		if errors.Is(err, fs.ErrNotExist) && tried {
			// An attempt before this one may have done it: nobody else knows the name.
			if info, statErr := w.fs.stat(w.ctx, w.name); statErr == nil && info.Size == w.written && !info.Dir {
				return false, nil
			}
		}
		tried = true
		return true, err
	})
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.fs.config.CallTimeout)
		defer cancel()
		_ = w.fs.remove(ctx, a.name, false) // the error that counts is the one before
	}
	return err
}

// Abort is dfs.Writer's.
func (w *writer) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return nil
	}
	w.done = true
	w.failed = os.ErrClosed
	return wrap("abort", w.name, w.giveUp())
}
