package parquet

import (
	"errors"
	"io"
)

// input reads a part of a file from its beginning to its end, in pieces.
type input struct {
	r    io.ReaderAt
	work *budget
	// off is where the next piece begins, end where the part ends.
	off, end int64
	// piece is how much is read at once.
	piece int
	buf   []byte
}

// left is how many bytes there are from here on.
func (in *input) left() int64 { return int64(len(in.buf)) + in.end - in.off }

// fill makes n bytes stand in buf.
func (in *input) fill(n int) error {
	if n <= len(in.buf) {
		return nil
	}
	if int64(n) > in.left() {
		return io.ErrUnexpectedEOF
	}
	if err := in.work.ctx.Err(); err != nil {
		return err
	}
	want := int64(n - len(in.buf))
	if habit := min(int64(in.piece), in.end-in.off); habit > want && habit < in.work.left {
		want = habit
	}
	if err := in.work.charge(want); err != nil {
		return err
	}
	buf := make([]byte, len(in.buf)+int(want))
	have := copy(buf, in.buf)
	got, err := in.r.ReadAt(buf[have:], in.off)
	if got < int(want) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the file is shorter than it was
		}
		return err
	}
	in.off += want
	in.buf = buf
	return nil
}

// take gives the next n bytes, which stay valid.
func (in *input) take(n int) ([]byte, error) {
	if err := in.fill(n); err != nil {
		return nil, err
	}
	b := in.buf[:n:n]
	in.buf = in.buf[n:]
	return b, nil
}

// skip passes over n bytes without reading more than stands in the buffer.
func (in *input) skip(n int64) error {
	if n > in.left() {
		return io.ErrUnexpectedEOF
	}
	here := min(n, int64(len(in.buf)))
	in.buf = in.buf[here:]
	in.off += n - here
	return nil
}
