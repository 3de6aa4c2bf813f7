package streamlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// piece is a part of a log as people read it: bytes of a file, or a text that stands for bytes that were dropped.
type piece struct {
	file     string
	from, to int64 // in the file
	text     string
}

func (p piece) size() int64 {
	if p.text != "" {
		return int64(len(p.text))
	}
	return p.to - p.from
}

// cut is the part of a piece from byte a to byte b.
func (p piece) cut(a, b int64) piece {
	if p.text != "" {
		p.text = p.text[a:b]
		return p
	}
	p.from, p.to = p.from+a, p.from+b
	return p
}

// View is a part of a log, as people read it: with a remark in the place of what was dropped. It refers to the files, and
// stays right while more is written behind it.
type View []piece

// Size is its length in bytes.
func (view View) Size() (n int64) {
	for _, p := range view {
		n += p.size()
	}
	return n
}

// Slice is the part from byte a to byte b.
func (view View) Slice(a, b int64) View {
	var out View
	at := int64(0)
	for _, p := range view {
		n := p.size()
		from, to := max(a-at, 0), min(b-at, n)
		if from < to {
			out = append(out, p.cut(from, to))
		}
		at += n
	}
	return out
}

// position is how far a reader is in each stream, in bytes that the program wrote, and how many turns are behind it.
type position struct {
	at    [2]int64
	turns int
	// gap counts bytes behind at that were dropped and are not remarked on yet.
	gap [2]int64
}

// Log reads the log of a program piece by piece.
type Log struct {
	dir  string
	want [2]bool
	pos  position
}

// Open makes a reader of the log in dir: of one stream, or of both in the order in which they were written.
func Open(dir string, stdout, stderr bool) *Log {
	return &Log{dir: dir, want: [2]bool{stdout, stderr}}
}

// Next gives what has come since the last call. The error is fs.ErrNotExist where there is no directory.
func (l *Log) Next() (View, error) {
	view, pos, err := look(l.dir, l.want, l.pos)
	l.pos = pos
	return view, err
}

// Written is when the log in dir was last written to, zero if it never was.
func Written(dir string) time.Time {
	var last time.Time
	for _, s := range []Stream{Stdout, Stderr} {
		segs, err := segments(dir, s)
		if err != nil {
			continue
		}
		for _, seg := range segs {
			if info, err := os.Stat(seg.file); err == nil && seg.size > 0 && info.ModTime().After(last) {
				last = info.ModTime()
			}
		}
	}
	return last
}

// look gives what is there behind pos, and the position behind that. want chooses the streams.
func look(dir string, want [2]bool, pos position) (View, position, error) {
	// The sizes first: a turn is written before the bytes that follow it, so all turns up to these sizes are then there.
	var segs [2][]segment
	for s := range segs {
		if !want[s] {
			continue
		}
		var err error
		if segs[s], err = segments(dir, Stream(s)); err != nil {
			return nil, pos, err
		}
	}
	var turns []turn
	if want[0] && want[1] {
		var err error
		if turns, err = readOrder(dir); err != nil {
			return nil, pos, err
		}
	}
	var view View
	advance := func(s Stream, to int64) {
		if to > pos.at[s] {
			view = append(view, pos.upTo(s, segs[s], to)...)
		}
	}
	end := func(s Stream) int64 {
		if n := len(segs[s]); n > 0 {
			return segs[s][n-1].start + segs[s][n-1].size
		}
		return 0
	}
	for pos.turns < len(turns) {
		t := turns[pos.turns]
		if t.at > end(t.from) {
			break // its bytes came after the look at the sizes
		}
		advance(t.from, t.at)
		pos.turns++
	}
	last := Stdout
	switch {
	case pos.turns < len(turns): // on the way to the next turn
		last = turns[pos.turns].from
	case pos.turns > 0: // behind the last turn the other stream goes on
		last = 1 - turns[pos.turns-1].from
	case end(Stdout) == 0: // no turn, so there is one stream
		last = Stderr
	}
	advance(last, end(last))
	if pos.turns == len(turns) { // no turns are noted any more: there is no order to keep
		advance(1-last, end(1-last))
	}
	return view, pos, nil
}

// upTo gives the bytes of a stream up to a position, with a remark in place of what was dropped, and moves there.
func (p *position) upTo(s Stream, segs []segment, to int64) []piece {
	var view []piece
	from := p.at[s]
	for _, seg := range segs {
		if seg.start+seg.size <= from {
			continue
		}
		if seg.start >= to {
			break
		}
		if p.gap[s] += max(0, seg.start-from); p.gap[s] > 0 {
			view = append(view, piece{text: dropped(p.gap[s])})
			p.gap[s], from = 0, max(from, seg.start)
		}
		n := min(to, seg.start+seg.size) - from
		view = append(view, piece{file: seg.file, from: from - seg.start, to: from - seg.start + n})
		from += n
	}
	p.gap[s] += to - from
	p.at[s] = to
	return view
}

func dropped(n int64) string { return fmt.Sprintf("\n[%d bytes were dropped here]\n", n) }

// Reader reads a view.
type Reader struct {
	view View
	f    *os.File
	name string
}

// Show makes r read a view from its beginning.
func (r *Reader) Show(view View) { r.view = view }

// Read gives io.EOF at the end of the view. A file that was rotated away meanwhile is left out.
func (r *Reader) Read(b []byte) (int, error) {
	for len(r.view) > 0 {
		p := &r.view[0]
		if p.size() == 0 {
			r.view = r.view[1:]
			continue
		}
		if p.text != "" {
			n := copy(b, p.text)
			if p.text = p.text[n:]; p.text == "" {
				r.view = r.view[1:]
			}
			return n, nil
		}
		n, err := r.readFile(p, b)
		if n > 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		r.view = r.view[1:]
	}
	return 0, io.EOF
}

func (r *Reader) readFile(p *piece, b []byte) (int, error) {
	if r.f == nil || r.name != p.file {
		r.Close()
		f, err := os.Open(p.file)
		if err != nil {
			return 0, err
		}
		r.f, r.name = f, p.file
	}
	if int64(len(b)) > p.size() {
		b = b[:p.size()]
	}
	n, err := r.f.ReadAt(b, p.from)
	p.from += int64(n)
	return n, err
}

// Close lets go of the open file. The reader can be used again.
func (r *Reader) Close() {
	if r.f != nil {
		_ = r.f.Close()
		r.f = nil
	}
}

// LastLines is where the last n lines begin, as an offset in the view. A line end at the very end does not begin another.
func (view View) LastLines(n int) (int64, error) {
	const block = 64 << 10
	size := view.Size()
	for end := size; end > 0; {
		start := max(0, end-block)
		r := &Reader{view: view.Slice(start, end)}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return 0, err
		}
		for i := len(b); i > 0; {
			i = bytes.LastIndexByte(b[:i], '\n')
			if i < 0 {
				break
			}
			if start+int64(i) == size-1 {
				continue
			}
			if n--; n == 0 {
				return start + int64(i) + 1, nil
			}
		}
		end = start
	}
	return 0, nil
}
