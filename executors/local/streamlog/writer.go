package streamlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Writer writes both streams of a program. Its methods may be called from several goroutines.
type Writer struct {
	dir   string
	mu    sync.Mutex
	s     [2]streamFile
	last  Stream
	any   bool
	order *os.File
	noted int
	// failed is the first error of a write.
	failed error
	closed bool
}

type streamFile struct {
	head, segment int64
	// written is the program's own count; start is that of the open file's first byte, tail and older are the starts of
	// the segments behind the head.
	written     int64
	f           *os.File
	start       int64
	tail, older int64
}

// New makes a writer that keeps limit bytes of each stream in dir, and at least the first whole bytes of the standard
// output. It makes no file until there is something to write.
func New(dir string, limit, whole int64) *Writer {
	limit = max(limit, minLogLimit)
	w := &Writer{dir: dir}
	for i := range w.s {
		w.s[i].head, w.s[i].segment = limit/headShare, limit/segmentShare
	}
	// A result is read back from the head, so that has to hold all of it.
	w.s[Stdout].head = max(w.s[Stdout].head, whole)
	return w
}

// Reopen goes on where an earlier writer stopped. It comes before the first Write.
func (w *Writer) Reopen() error {
	for _, s := range []Stream{Stdout, Stderr} {
		segs, err := segments(w.dir, s)
		if err != nil {
			return err
		}
		sf := &w.s[s]
		for _, seg := range segs {
			sf.written = seg.start + seg.size
			sf.older, sf.tail, sf.start = sf.tail, seg.start, seg.start
		}
		if len(segs) > 0 {
			last := segs[len(segs)-1]
			f, err := os.OpenFile(last.file, os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				return err
			}
			sf.f = f
			w.last, w.any = s, true
		}
	}
	if info, err := os.Stat(filepath.Join(w.dir, orderName)); err == nil {
		w.noted = int(info.Size())
		if ts, err := readOrder(w.dir); err == nil && len(ts) > 0 {
			w.last = 1 - ts[len(ts)-1].from
		}
	}
	return nil
}

// Write keeps b as the next bytes of a stream. It does not fail: once the disk gives an error, what comes is only counted,
// so that the program is not held up.
func (w *Writer) Write(s Stream, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.any && w.last != s {
		w.turn(s)
	}
	w.last, w.any = s, true
	for len(b) > 0 {
		n := w.s[s].room(w.dir, s, int64(len(b)), &w.failed)
		if f := w.s[s].f; w.failed == nil && f != nil {
			if _, err := f.Write(b[:n]); err != nil {
				w.failed = err
			}
		}
		w.s[s].written += n
		b = b[n:]
	}
}

// room makes sure that the open file takes bytes, and says how many of want.
func (f *streamFile) room(dir string, s Stream, want int64, failed *error) int64 {
	if *failed != nil {
		return want
	}
	limit := f.segment
	if f.start == 0 {
		limit = f.head
	}
	if left := f.start + limit - f.written; f.f != nil && left > 0 {
		return min(left, want)
	}
	fresh, err := os.OpenFile(segmentFile(dir, s, f.written), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		*failed = err
		return want
	}
	if f.f != nil {
		_ = f.f.Close()
	}
	f.f, f.start = fresh, f.written
	if f.start == 0 {
		return min(f.head, want)
	}
	if f.older > 0 {
		if err := os.Remove(segmentFile(dir, s, f.older)); err != nil && !errors.Is(err, os.ErrNotExist) {
			*failed = err
		}
	}
	f.older, f.tail = f.tail, f.start
	return min(f.segment, want)
}

// turn notes that s goes on where the other stream stopped.
func (w *Writer) turn(s Stream) {
	if w.failed != nil || w.noted >= maxOrder {
		return
	}
	if w.order == nil {
		f, err := os.OpenFile(filepath.Join(w.dir, orderName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			w.failed = err
			return
		}
		w.order = f
	}
	from := 1 - s
	b := binary.AppendUvarint([]byte{byte(from)}, uint64(w.s[from].written))
	if _, err := w.order.Write(b); err != nil {
		w.failed = err
	}
	w.noted += len(b)
}

// Written says how many bytes the program wrote to a stream, and why some of them could not be written down.
func (w *Writer) Written(s Stream) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.s[s].written, w.failed
}

// Close closes the files. What is written later is dropped.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.s {
		if w.s[i].f != nil {
			_ = w.s[i].f.Close()
			w.s[i].f = nil
		}
	}
	if w.order != nil {
		_ = w.order.Close()
		w.order = nil
	}
	w.closed = true
}

// Result is the standard output without exactly one line end. limit bounds it, in bytes; New must have been told to keep
// that much whole. Bytes that are not UTF-8 are replaced.
func (w *Writer) Result(limit int64) (string, error) {
	size, err := w.Written(Stdout)
	switch {
	case size > limit:
		return "", fmt.Errorf("the standard output is the stage's result, and its %d bytes are more than the %d that a result may have", size, limit)
	case err != nil:
		return "", fmt.Errorf("the standard output is the stage's result, and could not be kept: %w", err)
	case size == 0:
		return "", nil
	}
	b, err := os.ReadFile(segmentFile(w.dir, Stdout, 0))
	if err != nil {
		return "", fmt.Errorf("cannot read the standard output: %w", err)
	}
	return strings.ToValidUTF8(strings.TrimSuffix(string(b), "\n"), "\uFFFD"), nil
}
