package nursery

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// Stream is one of an attempt's two output streams.
type Stream int

// The streams.
const (
	Stdout Stream = iota
	Stderr
)

// String is the stream's name, and its first file's.
func (s Stream) String() string { return [...]string{"stdout", "stderr"}[s] }

// What is kept of a stream of limit bytes: its first half, and of what follows the newest quarter to half, in two segments
// that take turns. So the beginning and the end of a flood stay readable, and the disk never holds more than the limit.
const (
	headShare    = 2
	segmentShare = 4
)

// minLogLimit is the smallest limit that still makes sense of the shares.
const minLogLimit = 1 << 10

// maxOrder bounds the file that says how the streams were interleaved. Past it their order is no longer noted.
const maxOrder = 1 << 20

// Segment is a file with the bytes of a stream from Start on, counted from the first byte that the program wrote.
type Segment struct {
	Start int64
	Size  int64
	File  string
}

// Segments lists what is kept of a stream, in order. There is a gap where one does not begin at the end of the one before.
func Segments(dir string, s Stream) ([]Segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []Segment
	for _, e := range entries {
		start, ok := segmentStart(s, e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // rotated away since it was listed
		}
		segs = append(segs, Segment{Start: start, Size: info.Size(), File: filepath.Join(dir, e.Name())})
	}
	sort.Slice(segs, func(i, j int) bool { return segs[i].Start < segs[j].Start })
	return segs, nil
}

func segmentStart(s Stream, name string) (int64, bool) {
	rest, ok := strings.CutPrefix(name, s.String())
	if !ok {
		return 0, false
	}
	if rest == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(rest, "."), 10, 64)
	return n, err == nil && rest[0] == '.' && n > 0
}

func segmentFile(dir string, s Stream, start int64) string {
	if start == 0 {
		return filepath.Join(dir, s.String())
	}
	return filepath.Join(dir, s.String()+"."+strconv.FormatInt(start, 10))
}

// output writes both streams of an attempt.
type output struct {
	dir   string
	mu    sync.Mutex
	s     [2]streamFile
	last  Stream
	any   bool
	order *os.File
	noted int
	// failed is the first error of a write: from then on output is counted and dropped, so that the program never blocks.
	failed error
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

func newOutput(dir string, limit int64, whole int64) *output {
	limit = max(limit, minLogLimit)
	o := &output{dir: dir}
	for i := range o.s {
		o.s[i].head, o.s[i].segment = limit/headShare, limit/segmentShare
	}
	// A result is read back from the head, so that has to hold all of it.
	o.s[Stdout].head = max(o.s[Stdout].head, whole)
	return o
}

// reopen goes on where an earlier nursery's output ended.
func (o *output) reopen() error {
	for _, s := range []Stream{Stdout, Stderr} {
		segs, err := Segments(o.dir, s)
		if err != nil {
			return err
		}
		sf := &o.s[s]
		for _, seg := range segs {
			sf.written = seg.Start + seg.Size
			sf.older, sf.tail, sf.start = sf.tail, seg.Start, seg.Start
		}
		if len(segs) > 0 {
			last := segs[len(segs)-1]
			f, err := os.OpenFile(last.File, os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				return err
			}
			sf.f = f
			o.last, o.any = s, true
		}
	}
	if info, err := os.Stat(filepath.Join(o.dir, orderName)); err == nil {
		o.noted = int(info.Size())
		if ts, err := Order(o.dir); err == nil && len(ts) > 0 {
			o.last = 1 - ts[len(ts)-1].From
		}
	}
	return nil
}

// write keeps b as the next bytes of a stream.
func (o *output) write(s Stream, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.any && o.last != s {
		o.turn(s)
	}
	o.last, o.any = s, true
	for len(b) > 0 {
		n := o.s[s].room(o.dir, s, int64(len(b)), &o.failed)
		if f := o.s[s].f; o.failed == nil && f != nil {
			if _, err := f.Write(b[:n]); err != nil {
				o.failed = err
			}
		}
		o.s[s].written += n
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

// Turn says that the stream From stopped at its byte At, and that the other one went on.
type Turn struct {
	From Stream
	At   int64
}

// turn notes that s goes on where the other stream stopped.
func (o *output) turn(s Stream) {
	if o.failed != nil || o.noted >= maxOrder {
		return
	}
	if o.order == nil {
		f, err := os.OpenFile(filepath.Join(o.dir, orderName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			o.failed = err
			return
		}
		o.order = f
	}
	from := 1 - s
	b := binary.AppendUvarint([]byte{byte(from)}, uint64(o.s[from].written)) //nolint:gosec // a count of bytes is not negative
	if _, err := o.order.Write(b); err != nil {
		o.failed = err
	}
	o.noted += len(b)
}

// Order reads how the streams of an attempt were interleaved. There is none while only one of them has bytes.
func Order(dir string) ([]Turn, error) {
	b, err := os.ReadFile(filepath.Join(dir, orderName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var turns []Turn
	for len(b) > 1 {
		at, n := binary.Uvarint(b[1:])
		if n <= 0 {
			break
		}
		turns = append(turns, Turn{From: Stream(b[0] & 1), At: int64(at)}) //nolint:gosec // written by turn
		b = b[1+n:]
	}
	return turns, nil
}

// written says how many bytes the program wrote to a stream, and whether all of them could be kept for a while.
func (o *output) written(s Stream) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.s[s].written, o.failed
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.s {
		if o.s[i].f != nil {
			_ = o.s[i].f.Close()
			o.s[i].f = nil
		}
	}
	if o.order != nil {
		_ = o.order.Close()
		o.order = nil
	}
	if o.failed == nil {
		o.failed = os.ErrClosed // what a straggler still writes is dropped
	}
}
