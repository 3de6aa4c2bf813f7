// Package parquet reads the first rows of Apache Parquet files, and how many rows they have.
//
// It is made for files that nobody vouches for, and that lie far away. It reads the end of the file and then only the first pages of
// each column; the list of row groups is read only as far as rows are needed. Every length that a file claims is checked against what
// is there before anything is allocated for it, memory is that of one page and its dictionary, and everything that is read, unpacked or
// decoded counts towards a bound. A damaged file is an error that wraps ErrDamaged; nothing in it makes the package panic.
//
// Format: https://parquet.apache.org/docs/file-format/ (data pages of both versions; all encodings but the deprecated and the
// experimental ones; uncompressed, Snappy, gzip, Zstandard and LZ4; nested columns, which are shown as JSON). Checksums of pages are
// checked where a file has them.
package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Errors that callers branch on.
var (
	// ErrDamaged: the file is no Parquet file, or is cut off, or contradicts itself.
	ErrDamaged = errors.New("damaged Parquet file")
	// ErrUnsupported: the file is encrypted, or uses a compression or an encoding that is not read here.
	ErrUnsupported = errors.New("not supported")
)

// errBudget: the bound of bytes is used up.
var errBudget = errors.New("no more bytes")

// Limits bound what is read of a file. A zero is replaced by the default.
type Limits struct {
	// Page is the most bytes of a page, compressed or not; 0 is 32 MiB.
	Page int
	// Bytes bounds the work for one file: bytes read, bytes unpacked and values passed count alike. 0 is 128 MiB.
	Bytes int64
	// Cell is the length in bytes at which a cell is cut; 0 is 4096.
	Cell int
	// Cells bounds the bytes of all cells together; 0 is 4 MiB.
	Cells int64
	// Columns is how many columns are shown; 0 is 256.
	Columns int
}

// WithDefaults gives a copy in which zeros are replaced.
func (l Limits) WithDefaults() Limits {
	setDefault(&l.Page, 32<<20)
	setDefault(&l.Bytes, 128<<20)
	setDefault(&l.Cell, 4096)
	setDefault(&l.Cells, 4<<20)
	setDefault(&l.Columns, 256)
	return l
}

func setDefault[T int | int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// File is an open Parquet file. It is used by one goroutine at a time.
type File struct {
	lim  Limits
	work *budget
	in   io.ReaderAt
	// meta has been read up to the row groups, which come from it one after the other.
	meta *metadata
	// fields are the columns at the top, leaves those without others below them.
	fields []*node
	leaves []*node
	// dataEnd is where the pages end and the footer begins.
	dataEnd int64
}

// Open reads the beginning of a file's metadata. The context bounds all later reads, too. Errors: ErrDamaged, ErrUnsupported, and
// those of r.
func Open(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (*File, error) {
	lim = lim.WithDefaults()
	f := &File{lim: lim, in: r, work: &budget{ctx: ctx, left: lim.Bytes}}
	if err := f.open(size); err != nil {
		return nil, explain(err)
	}
	return f, nil
}

// explain turns what only this package knows into what callers are told.
func explain(err error) error {
	switch {
	case errors.Is(err, errBudget):
		return fmt.Errorf("cannot read the metadata within the bounds: %w", ErrUnsupported)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return err
}

// NumRows is the number of rows that the file's metadata gives.
func (f *File) NumRows() int64 { return f.meta.rows }

// Spent is the work that reading the file has cost so far, in the unit of Limits.Bytes.
func (f *File) Spent() int64 { return f.lim.Bytes - max(0, f.work.left) }

// Table is the beginning of a file.
type Table struct {
	// Columns are the names of the columns at the top. What is below them is in their cells, as JSON.
	Columns []string
	// Rows have as many cells as there are columns.
	Rows [][]Cell
	// More says that there are more rows than these.
	More bool
	// LeftOut is how many columns there are beyond those shown. Unread are those of the columns whose first pages are beyond the
	// bounds, so that their cells are all cut and empty.
	LeftOut int
	Unread  []string
}

// Cell is one value.
type Cell struct {
	// Text is the value as text; of a nested column it is JSON.
	Text string
	// Null says that there is no value. Raw says that Text is JSON as it stands (a number, a truth value, an array, an object), and no string.
	Null, Raw bool
	// Cut says that Text is only the beginning.
	Cut bool
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrUnsupported)
}

// budget is the work that is left, and the context.
type budget struct {
	ctx  context.Context
	left int64
	// unseen is the work since the context was looked at.
	unseen int64
}

func (b *budget) charge(n int64) error {
	if b.unseen += n; b.unseen >= 64<<10 {
		b.unseen = 0
		if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	if b.left -= n; b.left < 0 {
		return errBudget
	}
	return nil
}
