package results

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CutMark ends a line or a cell of which only the beginning is given.
const CutMark = "…"

// sniffSize is how much of a file is looked at to tell its format.
const sniffSize = 32 << 10

// errBudget is what a read gives when the bytes of a preview are used up.
var errBudget = errors.New("no more bytes")

// budget is a reader that gives errBudget instead of more bytes than are left, and the context's error once that has ended.
type budget struct {
	ctx  context.Context
	in   io.Reader
	left *int64
}

func (b *budget) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if *b.left <= 0 {
		return 0, errBudget
	}
	if int64(len(p)) > *b.left {
		p = p[:*b.left]
	}
	n, err := b.in.Read(p)
	*b.left -= int64(n)
	return n, err
}

// text is the decompressed content of one file.
type text struct {
	*bufio.Reader
	file io.Closer
	// sample is the beginning; all says that it is everything.
	sample []byte
	all    bool
	maxLen int
}

func (t *text) Close() error { return t.file.Close() }

// open opens a file of a result, decompresses it where it is gzip, and reads its beginning.
func (r *Reader) open(ctx context.Context, src Source, name string, left *int64) (*text, error) {
	file, err := src.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	t := &text{file: file, maxLen: r.cfg.MaxLine}
	if err := t.start(ctx, left); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot read %q: %w", name, err), file.Close())
	}
	return t, nil
}

func (t *text) start(ctx context.Context, left *int64) error {
	raw := bufio.NewReaderSize(&budget{ctx: ctx, in: t.file.(io.Reader), left: left}, sniffSize)
	t.Reader = raw
	if magic, _ := raw.Peek(3); bytes.Equal(magic, []byte{0x1f, 0x8b, 8}) {
		// From here on what counts is what is read of the content. The compressed bytes are hardly more.
		compressed := *left
		raw.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(buffered(raw))), &budget{ctx: ctx, in: t.file.(io.Reader), left: &compressed}))
		unzipped, err := gzip.NewReader(raw)
		if err != nil {
			return err
		}
		t.Reader = bufio.NewReaderSize(&budget{ctx: ctx, in: unzipped, left: left}, sniffSize)
	}
	if bom, _ := t.Peek(3); string(bom) == "\ufeff" {
		_, _ = t.Discard(3)
	}
	sample, err := t.Peek(sniffSize)
	switch {
	case err == nil, errors.Is(err, errBudget):
	case errors.Is(err, io.EOF):
		t.all = true
	default:
		return err
	}
	t.sample = sample
	return nil
}

// buffered is what a reader has read and not given.
func buffered(r *bufio.Reader) []byte {
	b, _ := r.Peek(r.Buffered())
	return b
}

// line reads the next line without its end. It is cut after maxLen bytes, and the rest of it passed over. At the end of the file
// err is io.EOF, at the end of the budget errBudget; there may be a last line with either.
func (t *text) line() (line []byte, cut bool, err error) {
	for {
		part, err := t.ReadSlice('\n')
		if room := t.maxLen + 2 - len(line); len(part) > room { // 2: the line's end may follow
			part, cut = part[:room], true
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) > t.maxLen {
			line, cut = line[:t.maxLen], true
		}
		return line, cut || errors.Is(err, errBudget) && len(line) > 0, err
	}
}

// clean makes text safe to show: valid UTF-8 without control characters, which a terminal would obey.
func clean(line []byte, cut bool) string {
	if cut { // not in the middle of a character
		for n := 0; n < utf8.UTFMax && len(line) > 0 && !utf8.FullRune(lastRune(line)); n++ {
			line = line[:len(line)-1]
		}
	}
	s := strings.Map(func(r rune) rune {
		if r != '\t' && r != '\n' && (unicode.IsControl(r) || isDirection(r)) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(string(line), string(utf8.RuneError)))
	if cut {
		s += CutMark
	}
	return s
}

// lastRune is the end of b from the last byte on that can begin a character.
func lastRune(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			return b[i:]
		}
	}
	return nil
}

// isDirection tells the characters that turn the direction of writing, so that what is shown is not what is there.
func isDirection(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}
