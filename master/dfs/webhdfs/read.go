package webhdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

const (
	// firstPiece is how much Read asks for at first; then eight times as much each time, up to maxPiece. Whoever reads a few lines
	// moves hardly more than these, and whoever reads all of a large file makes few requests.
	firstPiece = 128 << 10
	maxPiece   = 64 << 20
	// windowSize is how much ReadAt fetches at least.
	windowSize = 64 << 10
	// attempts is how often the same bytes are asked for when answers are cut off.
	attempts = 3
)

// file is an open file. There is no connection while nothing is read.
type file struct {
	fs     *FS
	ctx    context.Context
	cancel context.CancelCauseFunc
	name   string
	status *status

	// mu guards what Read changes, and closed.
	mu     sync.Mutex
	closed bool
	off    int64
	piece  int64
	stream *stream
	sum    *summer
	// summed says that the checksum of all was right.
	summed bool
	// end is what Read gives at the end: io.EOF, or that the file is damaged.
	end error

	// atMu guards window, the bytes from windowAt on that ReadAt fetched last: those who read in small steps make few requests.
	atMu     sync.Mutex
	window   []byte
	windowAt int64
}

// Open opens a file for reading.
func (f *FS) Open(ctx context.Context, name string) (dfs.File, error) {
	if err := dfs.CheckPath(name); err != nil {
		return nil, err
	}
	file, err := f.open(ctx, name)
	if err != nil {
		return nil, failed("open", name, err)
	}
	return file, nil
}

func (f *FS) open(ctx context.Context, name string) (*file, error) {
	s, err := f.status(ctx, name)
	if err != nil {
		return nil, err
	}
	if s.dir() {
		return nil, dfs.ErrIsDirectory
	}
	if err := f.readable(ctx, name); err != nil {
		return nil, err
	}
	fctx, cancel := f.with(ctx)
	file := &file{fs: f, ctx: fctx, cancel: cancel, name: name, status: s, piece: firstPiece}
	if s.inRow() {
		file.sum = newSummer(s.BlockSize)
	}
	return file, nil
}

// readable asks for what only those are told who may read the file, and which says whether somebody still writes it. Services that do not
// know the question are asked for the permission alone.
func (f *FS) readable(ctx context.Context, name string) error {
	var answer locations
	err := f.call(ctx, locate(name, 0), &answer)
	if unsupported(err) {
		return f.call(ctx, &request{method: http.MethodGet, op: "CHECKACCESS", name: name, again: true, query: [][2]string{{"fsaction", "r--"}}}, nil)
	}
	if err == nil && answer.LocatedBlocks.IsUnderConstruction {
		err = dfs.ErrOpenForWriting
	}
	return err
}

// Size is the length at the time of Open.
func (o *file) Size() int64 { return o.status.Length }

// Close ends a request that is under way.
func (o *file) Close() error {
	// First, for a Read that waits holds the mutex.
	o.cancel(fs.ErrClosed)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	o.drop()
	return nil
}

// drop gives the current answer up.
func (o *file) drop() {
	if o.stream != nil {
		o.stream.close()
		o.stream = nil
	}
}

// Read reads on.
func (o *file) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = failed("read", o.name, err)
	}
	return n, err
}

func (o *file) read(p []byte) (int, error) {
	if err := context.Cause(o.ctx); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if o.off >= o.status.Length {
		if o.end == nil {
			o.end = o.check()
		}
		return 0, o.end
	}
	tries := &tries{}
	for {
		if o.stream == nil {
			want := min(o.piece, o.status.Length-o.off)
			s, err := o.open(o.off, want, tries)
			if err != nil {
				return 0, o.diagnose(o.off, err)
			}
			o.stream, o.piece = s, min(8*o.piece, maxPiece)
		}
		n, err := o.stream.read(p)
		if n > 0 {
			o.sum.add(p[:n])
			o.off += int64(n)
			if o.stream.left == 0 {
				o.drop()
			}
			return n, nil
		}
		tries.failed(o.stream, err)
		o.drop()
		if err := o.again(tries); err != nil {
			return 0, o.diagnose(o.off, err)
		}
	}
}

// ReadAt reads a part of the file, by a request of its own unless the last one fetched it.
func (o *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, failed("read", o.name, fmt.Errorf("%w: a negative offset", dfs.ErrInvalid))
	}
	want := min(int64(len(p)), o.status.Length-off)
	if want <= 0 {
		if err := context.Cause(o.ctx); err != nil {
			return 0, failed("read", o.name, err)
		}
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n, err := o.within(p[:want], off)
	switch {
	case err != nil:
		return n, failed("read", o.name, err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// within reads by way of the window, if it is little.
func (o *file) within(p []byte, off int64) (int, error) {
	if len(p) >= windowSize {
		return o.readAt(p, off)
	}
	o.atMu.Lock()
	defer o.atMu.Unlock()
	if err := context.Cause(o.ctx); err != nil {
		return 0, err
	}
	if from := off - o.windowAt; from < 0 || from+int64(len(p)) > int64(len(o.window)) {
		window := make([]byte, min(windowSize, o.status.Length-off))
		if n, err := o.readAt(window, off); n < len(p) {
			return copy(p, window[:n]), err
		} else if err != nil {
			window = window[:n]
		}
		o.window, o.windowAt = window, off
	}
	return copy(p, o.window[off-o.windowAt:]), nil
}

func (o *file) readAt(p []byte, off int64) (int, error) {
	n := 0
	tries := &tries{}
	for {
		if err := context.Cause(o.ctx); err != nil {
			return n, err
		}
		s, err := o.open(off+int64(n), int64(len(p)-n), tries)
		if err != nil {
			return n, o.diagnose(off+int64(n), err)
		}
		var got int
		for n < len(p) && err == nil {
			got, err = s.read(p[n:])
			n += got
		}
		s.close()
		if n == len(p) {
			return n, nil
		}
		tries.failed(s, err)
		if err := o.again(tries); err != nil {
			return n, o.diagnose(off+int64(n), err)
		}
	}
}

// tries remembers what went wrong with the same bytes.
type tries struct {
	count   int
	last    error
	exclude []string
}

func (t *tries) failed(s *stream, err error) {
	t.count++
	t.last = err
	if s != nil && s.datanode != "" {
		t.exclude = append(t.exclude, s.datanode)
	}
}

// again says whether to try once more, after a pause: nil, or why not.
func (o *file) again(t *tries) error {
	if t.count >= attempts {
		return fmt.Errorf("%w: %w: %w", dfs.ErrUnavailable, errCut, t.last)
	}
	timer := time.NewTimer(pause << t.count)
	defer timer.Stop()
	select {
	case <-o.ctx.Done():
		return context.Cause(o.ctx)
	case <-timer.C:
		return nil
	}
}

// errCut: answers began and were cut off, each time at the same place.
var errCut = errors.New("answers are cut off")

// diagnose finds out whether bytes do not come because no copy of their block is good. Neither service says so: having tried all copies,
// WebHDFS cuts its answer off there, and HttpFS gives an empty one. So it is what remains when that happens each time at the same place, while
// the namenode answers, has the same file, and does not take the block for missing.
func (o *file) diagnose(off int64, err error) error {
	if !errors.Is(err, dfs.ErrUnavailable) || o.ctx.Err() != nil {
		return err
	}
	var answer locations
	if o.fs.call(o.ctx, locate(o.name, off), &answer) == nil {
		for _, block := range answer.LocatedBlocks.LocatedBlocks {
			if block.IsCorrupt && block.StartOffset <= off {
				return fmt.Errorf("%w: there is no good copy of the block at %d", dfs.ErrCorrupt, block.StartOffset)
			}
		}
	}
	if !errors.Is(err, errCut) {
		return err
	}
	now, problem := o.fs.status(o.ctx, o.name)
	switch {
	case problem != nil:
		return err
	case now.FileID != o.status.FileID || now.Length != o.status.Length || now.ModificationTime != o.status.ModificationTime:
		return errChanged
	}
	return fmt.Errorf("%w: no server gives the bytes from %d on, which is so when no copy of a block has the right checksum", dfs.ErrCorrupt, off)
}

// errChanged: what was opened is no longer there.
var errChanged = fmt.Errorf("%w: the file changed while it was read", dfs.ErrUnavailable)

// locations is the answer to GET_BLOCK_LOCATIONS.
type locations struct {
	LocatedBlocks struct {
		IsUnderConstruction bool `json:"isUnderConstruction"`
		LocatedBlocks       []struct {
			IsCorrupt   bool  `json:"isCorrupt"`
			StartOffset int64 `json:"startOffset"`
		} `json:"locatedBlocks"`
	}
}

// locate asks for the block at an offset.
func locate(name string, off int64) *request {
	return &request{
		method: http.MethodGet, op: "GET_BLOCK_LOCATIONS", name: name, again: true,
		query: [][2]string{{"offset", strconv.FormatInt(off, 10)}, {"length", "1"}},
	}
}

// errLength: the file has changed since it was opened, or the server failed after it had begun to answer.
var errLength = errors.New("the answer has another length than was asked for")

// stream is the content of a part of a file, on its way.
type stream struct {
	ctx  context.Context
	body io.Reader
	done func()
	w    *watch
	left int64
	// datanode is the host it comes from, where that is not the service itself.
	datanode string
}

// open asks for a part of the file.
func (o *file) open(off, length int64, t *tries) (*stream, error) {
	r := &request{method: http.MethodGet, op: "OPEN", name: o.name, query: [][2]string{
		{"offset", strconv.FormatInt(off, 10)}, {"length", strconv.FormatInt(length, 10)},
	}}
	if len(t.exclude) > 0 {
		r.query = append(r.query, [2]string{"excludedatanodes", strings.Join(t.exclude, ",")})
	}
	for {
		var s *stream
		err := o.fs.retry(o.ctx, true, func(server *url.URL) (err error) {
			s, err = o.fs.stream(o.ctx, server, r, length)
			return err
		})
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, errLength):
			t.failed(nil, err)
			if err := o.again(t); err != nil {
				return nil, err
			}
		case len(t.exclude) > 0 && o.ctx.Err() == nil && !errors.Is(err, dfs.ErrCorrupt):
			t.exclude = nil // perhaps none is left
			return o.open(off, length, t)
		default:
			return nil, err
		}
	}
}

func (f *FS) stream(ctx context.Context, server *url.URL, r *request, length int64) (*stream, error) {
	ctx, w, cancel := watched(ctx, f.cfg.DataTimeout)
	s := &stream{ctx: ctx, w: w, left: length}
	give := func(err error) (*stream, error) {
		w.stop()
		cancel(nil)
		return nil, err
	}
	res, err := f.send(ctx, r.method, f.url(server, r), nil, false)
	if err != nil {
		return give(err)
	}
	next, err := f.redirect(res, server, r)
	if next != nil {
		res.close()
		s.datanode = next.Hostname()
		if res, err = f.send(ctx, r.method, next, nil, false); err != nil {
			return give(err)
		}
	}
	if err == nil && res.code != http.StatusOK {
		err = remoteError(res)
	}
	if err == nil && res.length >= 0 && res.length != length {
		err = fmt.Errorf("%w: %w: %d bytes instead of %d", dfs.ErrUnavailable, errLength, res.length, length)
	}
	if err != nil {
		res.abandon()
		return give(err)
	}
	w.stop()
	s.body = res.body
	s.done = func() {
		w.stop()
		res.abandon() // what is left of it may be long
		cancel(nil)
	}
	return s, nil
}

// read gives the next bytes. An answer that ends early is io.ErrUnexpectedEOF.
func (s *stream) read(p []byte) (int, error) {
	s.w.wind()
	n, err := s.body.Read(p[:min(int64(len(p)), s.left)])
	s.w.stop()
	s.left -= int64(n)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF
	case err == nil:
		return 0, io.ErrNoProgress
	}
	return 0, broken(s.ctx, err)
}

func (s *stream) close() { s.done() }
