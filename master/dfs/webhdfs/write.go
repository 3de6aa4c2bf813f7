package webhdfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

const (
	// temporary begins the names of files that are being written. They are hidden; a client that died leaves its file.
	temporary = ".clic-writing-"
	// pieceSize is how much is handed to the connection at once, and has to be taken within Config.DataTimeout.
	pieceSize = 64 << 10
	// tidyTimeout bounds the removal of a file that was given up, which goes on when its context has ended.
	tidyTimeout = 10 * time.Second
	// lateFile is how long after a request was broken off a service may still make its file.
	lateFile = 2 * time.Second
)

// errGivenUp: the file was closed or given up already.
var errGivenUp = fmt.Errorf("cannot write to a file after Close or Abort: %w", fs.ErrClosed)

// writer sends a file to a hidden name. A goroutine makes the request, whose body is what Write puts into a pipe; finish waits for it.
type writer struct {
	fs         *FS
	ctx        context.Context
	cancel     context.CancelCauseFunc
	name, temp string

	mu   sync.Mutex
	pipe *io.PipeWriter
	w    *watch
	// sent is closed when the request is over; err says how.
	sent chan struct{}
	err  error
	// over says that the file was closed or given up, left that the hidden file may be there still.
	over, left bool
}

// Create makes a new file.
func (f *FS) Create(ctx context.Context, name string) (dfs.Writer, error) {
	if err := dfs.CheckPath(name); err != nil {
		return nil, err
	}
	w, err := f.create(ctx, name)
	if err != nil {
		return nil, failed("create", name, err)
	}
	return w, nil
}

func (f *FS) create(ctx context.Context, name string) (*writer, error) {
	switch _, err := f.status(ctx, name); {
	case err == nil:
		return nil, fs.ErrExist
	case errors.Is(err, dfs.ErrNotDirectory), errors.Is(err, fs.ErrNotExist):
	default:
		return nil, err
	}
	if err := f.mkdirAll(ctx, path.Dir(name)); err != nil {
		return nil, err
	}
	temp := path.Join(path.Dir(name), temporary+rand.Text())
	r := &request{method: http.MethodPut, op: "CREATE", name: temp, query: [][2]string{{"overwrite", "false"}, {"permission", "644"}}}
	wctx, cancel := f.with(ctx)
	to, err := f.target(wctx, r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	wctx, watch, _ := watched(wctx, f.cfg.DataTimeout)
	watch.stop()
	in, out := io.Pipe()
	w := &writer{fs: f, ctx: wctx, cancel: cancel, name: name, temp: temp, pipe: out, w: watch, sent: make(chan struct{}), left: true}
	go func() {
		defer close(w.sent)
		w.err = f.uploadTo(wctx, r, to, in)
		// Whoever writes learns why.
		in.CloseWithError(errors.Join(w.err, io.ErrClosedPipe))
	}()
	return w, nil
}

// target asks where the content of a new file is to go. Nothing has been made then.
func (f *FS) target(ctx context.Context, r *request) (to *url.URL, err error) {
	err = f.retry(ctx, true, func(server *url.URL) error {
		res, err := f.send(ctx, r.method, f.url(server, r), nil, true)
		if err != nil {
			return err
		}
		defer res.close()
		if to, err = f.redirect(res, server, r); err != nil {
			return err
		}
		if to != nil {
			return nil
		}
		if res.code >= 400 {
			return remoteError(res)
		}
		return fmt.Errorf("%w: it does not say where to send a file to", errAnswer)
	})
	return to, err
}

// uploadTo sends the content to where the service said, and asks again where nobody is there: it takes a namenode a while to notice that a
// datanode is gone, and it is told of those that are; otherwise it would name the one on this host each time. Nothing of the content was
// taken then.
func (f *FS) uploadTo(ctx context.Context, r *request, to *url.URL, content io.Reader) error {
	begin := time.Now()
	var gone []string
	for {
		err := f.upload(ctx, to, io.NopCloser(content)) // which the next try goes on with
		if !errors.Is(err, errUnsent) || time.Since(begin)+pause > f.cfg.RetryFor {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		gone = append(gone, to.Hostname())
		if to, err = f.target(ctx, without(r, gone)); err != nil {
			// Perhaps none is left: one that is there may have the same name, or have come back.
			gone = nil
			to, err = f.target(ctx, r)
		}
		if err != nil {
			return err
		}
	}
}

// without is a request that is to lead to none of some hosts.
func without(r *request, hosts []string) *request {
	q := append(slices.Clone(r.query), [2]string{"excludedatanodes", strings.Join(hosts, ",")})
	return &request{method: r.method, op: r.op, name: r.name, again: r.again, query: q}
}

// upload sends the content of a new file.
func (f *FS) upload(ctx context.Context, to *url.URL, content io.Reader) error {
	res, err := f.send(ctx, http.MethodPut, to, content, false)
	if err != nil {
		return err
	}
	defer res.close()
	if res.code != http.StatusCreated && res.code != http.StatusOK {
		return remoteError(res)
	}
	return nil
}

// Write sends more.
func (w *writer) Write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return 0, failed("write", w.name, errGivenUp)
	}
	for len(p) > 0 {
		w.w.wind()
		sent, err := w.pipe.Write(p[:min(len(p), pieceSize)])
		w.w.stop()
		n += sent
		if err != nil {
			<-w.sent
			return n, failed("write", w.name, w.cause(err))
		}
		p = p[sent:]
	}
	return n, nil
}

// cause is why the request ended.
func (w *writer) cause(err error) error {
	switch cause := context.Cause(w.ctx); {
	case cause != nil:
		return cause
	case w.err != nil:
		return w.err
	}
	return err
}

// Close completes the file and gives it its name.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return failed("close", w.name, errGivenUp)
	}
	w.over = true
	w.w.wind()
	err := w.pipe.Close()
	<-w.sent
	w.w.stop()
	if err == nil {
		err = w.err
	}
	if cause := context.Cause(w.ctx); cause != nil {
		err = cause
	}
	if err == nil {
		err = w.publish()
	}
	if err != nil {
		return failed("write", w.name, errors.Join(err, w.tidy()))
	}
	w.left = false
	w.cancel(nil)
	return nil
}

// publish gives the complete file its name. Where no answer comes to that, it is tried again, and found out whether it was done: nobody
// else knows the hidden name.
func (w *writer) publish() error {
	before, err := w.fs.status(w.ctx, w.temp)
	if err != nil {
		return err
	}
	begin, wait := time.Now(), pause
	for tried := false; ; tried = true {
		err := w.fs.rename(w.ctx, w.temp, w.name)
		if tried && errors.Is(err, fs.ErrNotExist) {
			if now, problem := w.fs.status(w.ctx, w.name); problem == nil && now.FileID == before.FileID && now.Length == before.Length {
				return nil
			}
		}
		if !errors.Is(err, dfs.ErrUnavailable) || time.Since(begin)+wait > w.fs.cfg.RetryFor {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-w.ctx.Done():
			timer.Stop()
			return context.Cause(w.ctx)
		case <-timer.C:
		}
		wait = min(2*wait, maxPause)
	}
}

// Abort gives the file up.
func (w *writer) Abort() error {
	// First, for a Write that waits holds the mutex.
	if w.mu.TryLock() {
		defer w.mu.Unlock()
	} else {
		w.cancel(errGivenUp)
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	w.over = true
	if !w.left {
		return nil
	}
	// Where the service still listens, the file is ended as if it were complete: of one that is broken off nobody knows when it is gone.
	w.w.wind()
	_ = w.pipe.Close()
	<-w.sent
	return failed("give up", w.name, w.tidy())
}

// tidy removes the hidden file. It does so also when the writer's context has ended, which may be why. A service whose request was broken
// off may make the file a moment later: so it is looked for during that time.
func (w *writer) tidy() error {
	w.w.stop()
	w.cancel(nil) // the request is over
	if !w.left {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), tidyTimeout)
	defer cancel()
	broken := w.err != nil && !errors.As(w.err, new(*RemoteError))
	begin, wait := time.Now(), 20*time.Millisecond
	for {
		err := w.fs.remove(ctx, w.temp, false)
		late := errors.Is(err, fs.ErrNotExist) && broken && time.Since(begin) < lateFile
		if err == nil || errors.Is(err, fs.ErrNotExist) && !late {
			w.left = false
			return nil
		}
		if !late && !errors.Is(err, errRefused) || ctx.Err() != nil {
			return fmt.Errorf("cannot remove %q: %w", w.temp, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, 500*time.Millisecond)
	}
}

// Rename moves a file or directory.
func (f *FS) Rename(ctx context.Context, from, to string) error {
	if err := errors.Join(dfs.CheckPath(from), dfs.CheckPath(to)); err != nil {
		return err
	}
	if from == "/" || strings.HasPrefix(to, from+"/") {
		return fmt.Errorf("%w: cannot rename %q to %q, which is inside of it", dfs.ErrInvalid, from, to)
	}
	if err := f.rename(ctx, from, to); err != nil {
		return fmt.Errorf("cannot rename %q to %q: %w", from, to, err)
	}
	return nil
}

func (f *FS) rename(ctx context.Context, from, to string) error {
	before, err := f.status(ctx, from)
	if err != nil {
		return err
	}
	switch _, err := f.status(ctx, to); {
	case err == nil:
		return fs.ErrExist
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if above, err := f.status(ctx, path.Dir(to)); err != nil {
		return err
	} else if !above.dir() {
		return dfs.ErrNotDirectory
	}
	r := &request{method: http.MethodPut, op: "RENAME", name: from, query: [][2]string{{"destination", destination(to)}, {"renameoptions", "NONE"}}}
	ok, err := f.change(ctx, r)
	if err != nil || r.silent {
		return err // WebHDFS: it was the rename that never overwrites
	}
	if !ok {
		return f.refused(ctx, from, to)
	}
	return f.landed(ctx, before, from, to)
}

// destination is a path for a query. HttpFS trims the values of queries, but not what a slash follows, which it takes off afterwards.
func destination(name string) string {
	if name[len(name)-1] <= ' ' {
		return name + "/"
	}
	return name
}

// refused finds out why a rename was refused without a reason.
func (f *FS) refused(ctx context.Context, from, to string) error {
	if _, err := f.status(ctx, to); err == nil {
		return fs.ErrExist
	}
	if _, err := f.status(ctx, from); err != nil {
		return err
	}
	return errRefused
}

// landed makes sure that a rename by HttpFS did not move something into a directory that came into being under the new name
// at that moment; what was moved there is moved back.
func (f *FS) landed(ctx context.Context, before *status, from, to string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	now, err := f.status(ctx, to)
	if err != nil {
		return fmt.Errorf("whether it was renamed is not known: %w: %w", dfs.ErrUnavailable, err)
	}
	if now.FileID == before.FileID || before.FileID == 0 {
		return nil
	}
	inside := path.Join(to, path.Base(from))
	there, err := f.status(ctx, inside)
	if err != nil || there.FileID != before.FileID {
		return nil // it was there, and somebody has moved it on since
	}
	ok, err := f.change(ctx, &request{method: http.MethodPut, op: "RENAME", name: inside, query: [][2]string{{"destination", destination(from)}}})
	if err != nil || !ok {
		return fmt.Errorf("it was moved to %q, and back it could not be: %w", inside, errors.Join(err, errRefused))
	}
	return fs.ErrExist
}
