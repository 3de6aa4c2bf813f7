package hdfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	lib "github.com/colinmarc/hdfs/v2"

	"github.com/clic-orchestrator/clic/master/dfs"
)

const (
	// piece is how much the library is asked for at once, see pieces.Read.
	piece = 256
	// readAhead is how much is read at once of what the library gives.
	readAhead = 64 << 10
	// skip is how far a ReadAt may lie behind the end of the one before to be reached by reading on.
	skip = 128 << 10
)

// file is an open file. It has a session of its own as long as it is open.
type file struct {
	fs   *FS
	ctx  context.Context
	name string
	info os.FileInfo

	mu      sync.Mutex
	session *session
	unbind  func()
	closed  bool
	forward *pieces // for Read
	anyhow  *pieces // for ReadAt
}

// Open is dfs.FS's. The beginning of the file is read at once, which tells whether it may be. A file that is being written is
// dfs.ErrOpenForWriting, but for connections whose requests are wrapped by Kerberos: there it has the blocks that are complete.
func (f *FS) Open(ctx context.Context, name string) (dfs.File, error) {
	if err := dfs.CheckPath(name); err != nil {
		return nil, wrap("open", name, err)
	}
	o := &file{fs: f, ctx: ctx, name: name}
	if err := o.open(); err != nil {
		return nil, wrap("open", name, err)
	}
	return o, nil
}

func (o *file) open() error {
	return o.fs.persist(o.ctx, func() (bool, error) {
		err := o.begin()
		if err != nil {
			o.end()
		}
		return true, err
	})
}

// begin takes a session and opens the file with it.
func (o *file) begin() error {
	s, err := o.fs.acquire(o.ctx)
	if err != nil {
		return err
	}
	o.session, o.unbind = s, s.bind(o.ctx)
	r, err := s.client.Open(o.name)
	if err != nil {
		return s.explain(o.ctx, err)
	}
	if r.Stat().IsDir() {
		return dfs.ErrIsDirectory
	}
	if err := contiguous(r.Stat()); err != nil {
		return err
	}
	o.info = r.Stat()
	o.forward = newPieces(o, r)
	if o.Size() > 0 {
		_, err = o.forward.buffer.Peek(1)
	} else if _, err = r.Checksum(); err != nil {
		// This has asked for the blocks, too, and if there are any, somebody is writing them.
		err = s.explain(o.ctx, err)
	}
	if s.tap.underConstruction() {
		return dfs.ErrOpenForWriting
	}
	return err
}

// end gives the session back.
func (o *file) end() {
	if o.session == nil {
		return
	}
	o.unbind()
	o.session.closeData()
	o.fs.release(o.session)
	o.session, o.forward, o.anyhow = nil, nil, nil
}

// Size is dfs.File's.
func (o *file) Size() int64 { return o.info.Size() }

// Close is io.Closer's.
func (o *file) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.end()
	return nil
}

// Read is io.Reader's.
func (o *file) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, wrap("read", o.name, os.ErrClosed)
	}
	if err := o.ctx.Err(); err != nil {
		return 0, wrap("read", o.name, unavailable(err))
	}
	n, err := o.forward.buffer.Read(p)
	return n, o.readError(err)
}

func (o *file) readError(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // bufio gives io.EOF itself, and so does an io.Reader
		return err
	}
	return wrap("read", o.name, err)
}

// ReadAt is io.ReaderAt's.
func (o *file) ReadAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, wrap("read", o.name, os.ErrClosed)
	case off < 0:
		return 0, wrap("read", o.name, fmt.Errorf("%w: at %d", dfs.ErrInvalid, off))
	case o.ctx.Err() != nil:
		return 0, wrap("read", o.name, unavailable(o.ctx.Err()))
	case off >= o.Size():
		return 0, io.EOF
	}
	atEnd := int64(len(p)) > o.Size()-off
	if atEnd {
		p = p[:o.Size()-off]
	}
	if o.anyhow == nil {
		o.anyhow = newPieces(o, nil)
	}
	if err := o.anyhow.seek(off); err != nil {
		return 0, o.readError(err)
	}
	n, err := io.ReadFull(o.anyhow.buffer, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = unavailable(io.ErrUnexpectedEOF)
	}
	if err == nil && atEnd {
		return n, io.EOF
	}
	return n, o.readError(err)
}

// pieces reads a file of the library from some place on.
type pieces struct {
	file   *file
	reader *lib.FileReader // nil: to be opened
	buffer *bufio.Reader
	at     int64 // where the reader stands; the buffer's reader stands before it by what is in the buffer
	failed error // for good, at this place
}

func newPieces(o *file, r *lib.FileReader) *pieces {
	p := &pieces{file: o, reader: r}
	p.buffer = bufio.NewReaderSize(reader(p.read), int(min(readAhead, (o.Size()+piece)/piece*piece)))
	return p
}

// seek goes to a place, by reading on if it is near. The library's way to go on a little is not used: a datanode that is lost after it
// makes the library give bytes of another place.
func (p *pieces) seek(off int64) error {
	if ahead := off - (p.at - int64(p.buffer.Buffered())); p.reader != nil && ahead >= 0 && ahead <= skip {
		_, err := p.buffer.Discard(int(ahead))
		return err
	}
	if p.reader != nil {
		_ = p.reader.Close() // only closes a connection
	}
	p.reader, p.at, p.failed = nil, off, nil
	p.buffer.Reset(reader(p.read))
	return nil
}

// read fills a buffer. The library delivers what fails its checksum when it is asked for as much as a checksum is about (512 bytes, as
// a rule) or more, and only then: it is asked for pieces of less. Pieces of half of that also keep it from opening the block anew at its end.
//
// What the library fails with has been tried at all datanodes that have the block, as it knew them. It is tried again while that may help,
// with what the namenode knows then.
func (p *pieces) read(to []byte) (n int, err error) {
	if p.failed != nil {
		return 0, p.failed
	}
	if len(to) >= piece {
		to = to[:len(to)/piece*piece]
	}
	for n < len(to) && p.at < p.file.Size() {
		next := to[n:min(n+piece, len(to))]
		got, err := p.next(next)
		if err != nil && n > 0 {
			// What came before is good. The next call begins with the error, or is over it.
			return n, nil
		}
		if err != nil {
			got, err = p.retry(next, err)
		}
		if err != nil {
			p.failed = err
			return 0, err
		}
		n += got
		p.at += int64(got)
	}
	if n == 0 && len(to) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// retry reads one piece after that has failed.
func (p *pieces) retry(to []byte, failed error) (n int, err error) {
	err = p.file.fs.persist(p.file.ctx, func() (bool, error) {
		if err := failed; err != nil {
			failed = nil
			return true, err
		}
		var err error
		n, err = p.next(to)
		return true, err
	})
	return n, err
}

// next reads one piece.
func (p *pieces) next(to []byte) (int, error) {
	if p.reader == nil {
		if err := p.reopen(); err != nil {
			return 0, err
		}
	}
	s := p.file.session
	s.forget()
	n, err := p.reader.Read(to)
	if err == nil && n > 0 {
		return n, nil
	}
	lost := s.lostDatanode()
	s.closeData()
	_ = p.reader.Close() // only closes a connection
	p.reader = nil
	var remote lib.Error
	switch {
	case p.file.ctx.Err() != nil:
		err = unavailable(p.file.ctx.Err())
	case err == nil || errors.Is(err, io.EOF):
		err = unavailable(errors.New("the file ends before its end"))
	case strings.Contains(err.Error(), "invalid checksum") && lost == nil:
		err = fmt.Errorf("%w: no copy of the bytes from %d on has the right checksum", dfs.ErrCorrupt, p.at)
	case errors.As(err, &remote):
		err = s.explain(p.file.ctx, err)
	case lost != nil:
		err = unavailable(lost)
	default:
		err = unavailable(err)
	}
	return 0, err
}

// reopen opens the file anew, with a new session if the old one is not good for it any more.
func (p *pieces) reopen() error {
	o := p.file
	if o.session == nil || !o.session.healthy() {
		if o.session != nil {
			o.unbind()
			o.fs.release(o.session)
			o.session = nil
		}
		// The other way to read goes by the same session.
		for _, other := range []*pieces{o.forward, o.anyhow} {
			if other != nil {
				other.reader = nil
			}
		}
		s, err := o.fs.acquire(o.ctx)
		if err != nil {
			return err
		}
		o.session, o.unbind = s, s.bind(o.ctx)
	}
	r, err := o.session.client.Open(o.name)
	if err != nil {
		return o.session.explain(o.ctx, err)
	}
	if now := r.Stat(); now.Size() != o.info.Size() || !now.ModTime().Equal(o.info.ModTime()) {
		return fmt.Errorf("%w: it was replaced while it was read", os.ErrNotExist)
	}
	if _, err := r.Seek(p.at, io.SeekStart); err != nil {
		return unavailable(err)
	}
	p.reader = r
	return nil
}
