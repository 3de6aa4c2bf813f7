package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// Errors of Check, besides those of Stat.
var (
	// ErrUnmet: the result is not as its contract says. The error is an *UnmetError.
	ErrUnmet = errors.New("result is not as declared")
	// ErrUndecided: whether the result is as its contract says cannot be told: its rows cannot be counted, or not within
	// Config.MaxCount.
	ErrUndecided = errors.New("cannot be told")
)

// Contract is what a stage promises of its result.
type Contract struct {
	// Path is where the result is: a file or a directory.
	Path string
	// Success is what must hold:
	//
	//	_SUCCESS   the path is a directory in which there is the marker of a complete result
	//	nonempty   there is at least one row of Parquet, or one byte of anything else (after decompression)
	//	rows>=N    there are at least N rows, not counting what Head takes for the header of CSV; N has at most 18 digits
	Success string
}

// The conditions of a contract.
const (
	wantMarker   = successMarker
	wantNonempty = "nonempty"
	wantRows     = "rows>="
)

// rows parses the condition; 0 means _SUCCESS, and nonempty is counted as a row.
func (c Contract) rows() (n int64, err error) {
	text := strings.ReplaceAll(c.Success, " ", "")
	if digits, ok := strings.CutPrefix(text, wantRows); ok && len(digits) <= 18 {
		if n, err := strconv.ParseUint(digits, 10, 63); err == nil {
			return int64(n), nil
		}
	}
	switch text {
	case wantMarker, wantNonempty:
		return 1, nil
	}
	return 0, fmt.Errorf("cannot understand the condition %q of a result: it is one of %s, %s, %sN", c.Success, wantMarker, wantNonempty, wantRows)
}

// Validate checks that the path is there and that the condition is one.
func (c Contract) Validate() error {
	if c.Path == "" {
		return errors.New("a declared result has no path")
	}
	_, err := c.rows()
	return err
}

// UnmetError says why a contract does not hold. It wraps ErrUnmet.
type UnmetError struct {
	Contract
	// Reason is what is there instead.
	Reason string
}

// Error says all of it.
func (e *UnmetError) Error() string {
	return fmt.Sprintf("result %q should have %s, but %s", e.Path, e.Success, e.Reason)
}

// Unwrap makes errors.Is(err, ErrUnmet) true.
func (e *UnmetError) Unwrap() error { return ErrUnmet }

// Check says whether a contract holds: nil, or an *UnmetError that says why not. Rows of Parquet are taken from the metadata of its
// files; of text, CSV and JSON lines as many are read as are needed. Other errors say that this is not known: ErrUndecided, those of
// Stat, and those of the source, such as a file system that does not answer; a later call may tell. ErrDamaged is for a result that is
// there but cannot be read.
func (r *Reader) Check(ctx context.Context, c Contract) error {
	if err := c.Validate(); err != nil {
		return err
	}
	want, err := c.rows()
	if err != nil {
		return err
	}
	src, name, err := r.source(c.Path)
	if err != nil {
		return err
	}
	unmet := func(format string, args ...any) error {
		return &UnmetError{Contract: c, Reason: fmt.Sprintf(format, args...)}
	}
	e, err := src.Stat(ctx, name)
	switch {
	case missing(err):
		return unmet("there is nothing")
	case err != nil:
		return err
	case e.Kind != KindFile && e.Kind != KindDirectory:
		return unmet("it is neither a file nor a directory")
	}
	if strings.TrimSpace(c.Success) == wantMarker {
		if e.Kind != KindDirectory {
			return unmet("it is a file")
		}
		marker, err := src.Stat(ctx, strings.TrimSuffix(name, "/")+"/"+successMarker)
		if missing(err) || err == nil && marker.Kind != KindFile {
			return unmet("there is no %s in the directory", successMarker)
		}
		return err
	}
	n := &counter{r: r, ctx: ctx, src: src, want: want, left: r.cfg.MaxCount, bytes: strings.TrimSpace(c.Success) == wantNonempty}
	files := r.cfg.MaxFiles
	switch e.Kind {
	case KindFile:
		err = n.file(name, e)
	default:
		err = walk(ctx, src, name, &files, 0, n.file)
	}
	switch {
	case n.rows >= want:
		return nil
	case errors.Is(err, errBudget), errors.Is(err, errEnough):
		return fmt.Errorf("result %q has %d rows in what was read of it, and whether it has %d %w within the bounds", c.Path, n.rows, want, ErrUndecided)
	case err != nil:
		return err
	case n.files == 0:
		return unmet("there are no files with data")
	case n.bytes:
		return unmet("its %d files have no content", n.files)
	}
	return unmet("it has %d rows", n.rows)
}

// counter counts rows up to want.
type counter struct {
	r    *Reader
	ctx  context.Context
	src  Source
	want int64
	rows int64
	// files is how many files there were that are not empty.
	files int
	left  int64
	// shape is that of the first file that has lines, whose header is header if it has one. The others are taken to be like it, as for
	// Head: a part with nothing but a header does not look like a CSV.
	shape  shape
	header string
	// bytes says that any content counts as a row.
	bytes bool
}

// file counts the rows of a part. It gives errEnough when there are enough, errBudget when it must not read more.
func (n *counter) file(name string, e Entry) error {
	if e.Size == 0 {
		return nil
	}
	n.files++
	t, err := n.r.open(n.ctx, n.src, name, &n.left)
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	if len(t.sample) == 0 {
		return nil
	}
	s := detect(name, t.sample, t.all)
	switch {
	case s.format == FormatParquet:
		n.left -= leastWork
		f, _, err := openParquet(n.ctx, t, e.Size, parquet.Limits{})
		if err != nil {
			return fmt.Errorf("cannot count the rows of %q: %w", name, err)
		}
		n.rows += f.NumRows()
	case n.bytes:
		n.rows++
	case !s.format.shown():
		return fmt.Errorf("the number of rows of %q, which is %s, %w", name, s.format, ErrUndecided)
	default:
		first := n.shape.format == ""
		if first {
			n.shape = s
		}
		if err := n.text(t, first); err != nil {
			return fmt.Errorf("cannot count the rows of %q: %w", name, err)
		}
	}
	if n.rows >= n.want {
		return errEnough
	}
	if n.left <= 0 {
		return errBudget
	}
	return nil
}

// text counts the rows of a part that has lines.
func (n *counter) text(t *text, firstPart bool) error {
	for first := true; n.rows < n.want; first = false {
		line, _, err := t.record(n.shape)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		header := false
		if first && n.shape.header {
			// What looks like a header in a later part only is a row.
			if firstPart {
				n.header = string(line)
			}
			header = string(line) == n.header
		}
		if !header && (len(line) > 0 || err == nil && n.shape.format == FormatText) {
			n.rows++
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
	return nil
}
