package results

import (
	"bufio"
	"bytes"
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
	// err is the last error that was given.
	err error
}

func (b *budget) Read(p []byte) (n int, err error) {
	switch {
	case b.ctx.Err() != nil:
		err = b.ctx.Err()
	case *b.left <= 0:
		err = errBudget
	default:
		n, err = b.in.Read(p[:min(int64(len(p)), *b.left)])
		*b.left -= int64(n)
	}
	b.err = err
	return n, err
}

// blame finds out whose error it is that came of unpacking what b gave: its own, or one of the data.
func (b *budget) blame(err error) error {
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		return b.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return damage(err)
}

// text is the decompressed content of one file.
type text struct {
	*bufio.Reader
	file io.ReadCloser
	// sample is the beginning; all says that it is everything.
	sample []byte
	all    bool
	maxLen int
	// packed says that the content is not what stands in the file.
	packed bool
	close  func()
}

// Close closes the file.
func (t *text) Close() error {
	if t.close != nil {
		t.close()
	}
	return t.file.Close()
}

// open opens a file of a result, decompresses it where it is compressed, and reads its beginning.
func (r *Reader) open(ctx context.Context, src Source, name string, left *int64) (*text, error) {
	file, err := src.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	t := &text{file: file, maxLen: r.cfg.MaxLine}
	if err := t.start(ctx, name, left); err != nil {
		err = fmt.Errorf("cannot read %q: %w", name, err)
		if closing := t.Close(); closing != nil {
			err = errors.Join(err, closing)
		}
		return nil, err
	}
	return t, nil
}

func (t *text) start(ctx context.Context, name string, left *int64) error {
	raw := bufio.NewReaderSize(&budget{ctx: ctx, in: t.file, left: left}, sniffSize)
	t.Reader = raw
	magic, err := raw.Peek(magicSize)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errBudget) {
		return err
	}
	if open := unpacker(name, magic); open != nil {
		// From here on what counts is what is read of the content. The compressed bytes are hardly more.
		compressed := *left
		in := &budget{ctx: ctx, in: t.file, left: &compressed}
		raw.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(buffered(raw))), in))
		content, release, err := open(raw)
		if err != nil {
			return in.blame(err)
		}
		t.packed, t.close = true, release
		t.Reader = bufio.NewReaderSize(&budget{ctx: ctx, in: &unpacked{content: content, in: in}, left: left}, sniffSize)
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
// err is io.EOF, at the end of the budget errBudget; there may be a last line with either. seen, if it is not nil, is given all bytes of
// the line.
func (t *text) line(seen func(part []byte)) (line []byte, cut bool, err error) {
	for {
		part, err := t.ReadSlice('\n')
		if seen != nil {
			seen(part)
		}
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
