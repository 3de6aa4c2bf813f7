package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
	"github.com/clic-orchestrator/clic/executors/local/streamlog"
)

// Logs reads an attempt's output from its files. Offsets count the bytes of what is kept, as it is read here: with a
// remark in the place of what was dropped from the middle. The interleaving of both streams is that in which the nursery
// read them. When each line was written is not kept, so LogOptions.Since gives all of a log or nothing. See executors.Executor.
func (e *Executor) Logs(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error) {
	e.mu.Lock()
	data, started, closed := e.data, e.started, e.closed
	e.mu.Unlock()
	if closed || !started {
		return nil, executors.ErrClosed
	}
	dir := nursery.Dir(data, attemptID)
	l := &logReader{ctx: ctx, stop: e.ctx, dir: dir, left: -1}
	l.since = o.Since
	l.log = streamlog.Open(dir, o.Stdout || !o.Stderr, o.Stderr || !o.Stdout)
	if o.Limit > 0 {
		l.left = o.Limit
	}
	if o.Follow {
		// Before the first look, so that nothing is missed in between.
		l.changes = newChanges(dir)
	}
	err := l.begin(o)
	if err != nil {
		_ = l.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = executors.ErrNoLogs
		}
		return nil, fmt.Errorf("cannot read the log of attempt %q: %w", attemptID, err)
	}
	return l, nil
}

// logReader reads a log, and waits for more of it if it follows.
type logReader struct {
	ctx, stop context.Context //nolint:containedctx // of the reader, whose Read has none
	dir       string
	log       *streamlog.Log
	left      int64 // how much may still be given; < 0 is no limit
	from      int64 // the offset of the first byte that is given
	skip      int64 // how much of what comes is before the offset
	view      streamlog.Reader
	changes   *changes // nil: does not follow
	since     time.Time

	reading sync.Mutex // held by Read
	closed  atomic.Bool
}

// begin looks at what is there.
func (l *logReader) begin(o executors.LogOptions) error {
	view, err := l.log.Next()
	if errors.Is(err, fs.ErrNotExist) && nursery.Ended(l.dir) {
		err = nil // it printed nothing, and only its record is kept
	}
	if err != nil {
		return err
	}
	if l.old() {
		l.log = streamlog.Open(l.dir, o.Stdout || !o.Stderr, o.Stderr || !o.Stdout) // all of it comes once something does
		l.from = max(0, o.Offset)
		l.skip = l.from
		return nil
	}
	size := view.Size()
	from := o.Offset
	if from < 0 {
		from = max(0, size+from)
	}
	if o.TailLines > 0 {
		start, err := view.LastLines(o.TailLines)
		if err != nil {
			return err
		}
		from = max(from, start)
	}
	l.from, l.skip = from, max(0, from-size)
	l.view.Show(view.Slice(min(from, size), size))
	return nil
}

// old reports whether nothing was written since then.
func (l *logReader) old() bool { return !l.since.IsZero() && streamlog.Written(l.dir).Before(l.since) }

// Offset is where in the log the reader begins, which callers that count from the end cannot know.
func (l *logReader) Offset() int64 { return l.from }

// Read gives what there is, and waits where the reader follows.
func (l *logReader) Read(b []byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	n, err := l.read(b)
	if err != nil || l.closed.Load() {
		l.view.Close()
	}
	return n, err
}

func (l *logReader) read(b []byte) (int, error) {
	if l.closed.Load() {
		return 0, os.ErrClosed
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	if l.left > 0 && int64(len(b)) > l.left {
		b = b[:l.left]
	}
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, err := l.view.Read(b)
		if n > 0 {
			if l.left > 0 {
				l.left -= int64(n)
			}
			return n, nil
		}
		if !errors.Is(err, io.EOF) || l.changes == nil {
			return 0, err
		}
		if err := l.more(); err != nil {
			return 0, err
		}
	}
}

// more waits until there is more to read. io.EOF if nothing comes any more.
func (l *logReader) more() error {
	for {
		// Whether it has ended comes first: what was written before is then seen by the look.
		ended := nursery.Ended(l.dir)
		var view streamlog.View
		var err error
		if !l.old() {
			view, err = l.log.Next()
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return io.EOF // forgotten
			}
			return err
		}
		if size := view.Size(); size > 0 {
			skip := min(l.skip, size)
			l.skip -= skip
			if size > skip {
				l.view.Show(view.Slice(skip, size))
				return nil
			}
		}
		if ended {
			return io.EOF
		}
		if err := l.changes.wait(l.ctx, l.stop); err != nil {
			return err
		}
	}
}

// Close ends reading. It may be called while Read waits.
func (l *logReader) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	if l.changes != nil {
		l.changes.close()
	}
	l.reading.Lock() // a Read that waited has been woken
	defer l.reading.Unlock()
	l.view.Close()
	return nil
}

// poll is how often a directory is looked at that cannot be watched.
const poll = 250 * time.Millisecond

// changes says when something in an attempt's directory changes.
type changes struct {
	f    *os.File // inotify; nil if the system has no more watches to give
	gone chan struct{}
}

func newChanges(dir string) *changes {
	c := &changes{gone: make(chan struct{})}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return c
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF); err != nil {
		_ = unix.Close(fd)
		return c
	}
	c.f = os.NewFile(uintptr(fd), "inotify")
	return c
}

// wait returns when something changed, and with io.EOF or the context's error when there is no point in waiting on.
func (c *changes) wait(ctx, stop context.Context) error {
	if c.f == nil {
		select {
		case <-time.After(poll):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-stop.Done():
			return executors.ErrClosed
		case <-c.gone:
			return os.ErrClosed
		}
	}
	wake := func() { _ = c.f.SetReadDeadline(time.Now()) }
	defer context.AfterFunc(ctx, wake)()
	defer context.AfterFunc(stop, wake)()
	// The events themselves do not matter: the directory is looked at anew.
	var buf [4096]byte
	if _, err := c.f.Read(buf[:]); err != nil {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case stop.Err() != nil:
			return executors.ErrClosed
		default:
			return err
		}
	}
	return nil
}

func (c *changes) close() {
	close(c.gone)
	if c.f != nil {
		_ = c.f.Close()
	}
}
