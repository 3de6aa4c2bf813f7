package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Info says what a result is.
type Info struct {
	Path string
	Kind Kind
	// Size is that of the file, or of all part files, in bytes as they are stored. Files is the number of part files.
	Size  int64
	Files int
	// Partial says that there are more files than were looked at, so that Size and Files are lower bounds.
	Partial bool
	// Success says that a directory holds the marker of a complete result, _SUCCESS.
	Success bool
	// Format is that of the file, or of the first part that is not empty; "" where there is nothing to tell it from.
	Format Format
	// Note says what a binary result seems to be, what to do where it is not shown, and what is not shown of it.
	Note string
}

// Preview is the beginning of a result. Its Size and Files are those of the parts that were read.
type Preview struct {
	Info
	// Lines are the lines that were read, without their ends, safe to show: valid UTF-8 without control characters. A line
	// that was cut ends with CutMark. A row of a CSV that goes over several lines is one of Lines. Binary results have none.
	Lines []string
	// Columns and Rows are the same as a table, for CSV, JSON lines and Parquet. All rows have as many cells as there are columns. What
	// lies deeper than a column of Parquet is JSON in its cell; key=value in the names of directories are columns.
	Columns []string
	Rows    [][]string
	// More says that there is more than what is given.
	More bool
}

// Stat says what is at a path. Nothing there is KindMissing and no error. Errors: ErrDenied, ErrPath.
func (r *Reader) Stat(ctx context.Context, path string) (*Info, error) {
	src, name, err := r.source(path)
	if err != nil {
		return nil, err
	}
	info := &Info{Path: path, Kind: KindMissing}
	e, err := src.Stat(ctx, name)
	if missing(err) {
		return info, nil
	}
	if err != nil {
		return nil, err
	}
	err = again(func() error {
		*info = Info{Path: path}
		return r.stat(ctx, src, name, e, info)
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// again repeats what has met a directory that is just being replaced: a part that was listed was gone when it was to be read.
func again(do func() error) (err error) {
	for range 3 {
		if err = do(); !missing(err) {
			break
		}
	}
	return err
}

// stat fills the Info of what e describes.
func (r *Reader) stat(ctx context.Context, src Source, name string, e Entry, info *Info) error {
	info.Kind = e.Kind
	count := func(name string, e Entry) error {
		info.Files++
		info.Size += e.Size
		if info.Format != "" || e.Size == 0 {
			return nil
		}
		left := r.cfg.MaxBytes
		t, err := r.open(ctx, src, name, &left)
		if err != nil {
			return err
		}
		defer func() { _ = t.Close() }()
		if len(t.sample) > 0 {
			s := detect(name, t.sample, t.all)
			info.Format, info.Note = s.format, s.note
		}
		return nil
	}
	switch e.Kind {
	case KindFile:
		return count(name, e)
	case KindDirectory:
		marker, err := src.Stat(ctx, strings.TrimSuffix(name, "/")+"/"+successMarker)
		info.Success = err == nil && marker.Kind == KindFile
		left := r.cfg.MaxFiles
		err = walk(ctx, src, name, &left, 0, count)
		info.Partial = errors.Is(err, errEnough)
		if info.Partial {
			err = nil
		}
		return err
	}
	return nil
}

// Head gives the first n rows of a result (lines, where it is no CSV; the header of a CSV does not count). It reads no more than
// it needs for that. Errors: fs.ErrNotExist, ErrDenied, ErrPath, ErrNotRegular, ErrDamaged, ErrUnsupported, and those of the source.
func (r *Reader) Head(ctx context.Context, path string, n int) (*Preview, error) {
	src, name, err := r.source(path)
	if err != nil {
		return nil, err
	}
	e, err := src.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	var p *Preview
	err = again(func() (err error) {
		p, err = r.head(ctx, src, name, e, n, Info{Path: path, Kind: e.Kind})
		return err
	})
	return p, err
}

func (r *Reader) head(ctx context.Context, src Source, name string, e Entry, n int, info Info) (*Preview, error) {
	h := &head{
		r: r, ctx: ctx, src: src, name: name, want: max(0, min(n, r.cfg.MaxRows)), left: r.cfg.MaxBytes,
		tables: tables{work: r.cfg.MaxWork},
		p:      &Preview{Info: info},
	}
	var err error
	switch e.Kind {
	case KindFile:
		err = h.file(name, e)
	case KindDirectory:
		files := r.cfg.MaxFiles
		if err = walk(ctx, src, name, &files, 0, h.file); errors.Is(err, errEnough) {
			h.p.More = true
		}
	default:
		err = fmt.Errorf("cannot read %q: %w", info.Path, ErrNotRegular)
	}
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	h.finish()
	return h.p, nil
}

// head gathers a preview from one part file after the other.
type head struct {
	r    *Reader
	ctx  context.Context
	src  Source
	name string
	want int
	left int64
	p    *Preview
	// shape is that of the first part that is not empty.
	shape shape
	// records are the raw lines; anyCut says that one of them was cut.
	records []string
	anyCut  bool
	// tables are the rows of Parquet.
	tables tables
}

// rows is how many records there are that are no header.
func (h *head) rows() int {
	if h.shape.header && len(h.records) > 0 {
		return len(h.records) - 1
	}
	return len(h.records)
}

// file reads a part. It gives errEnough when nothing more is needed.
func (h *head) file(name string, e Entry) error {
	if e.Size == 0 {
		return nil
	}
	h.p.Files++
	h.p.Size += e.Size
	t, err := h.r.open(h.ctx, h.src, name, &h.left)
	if errors.Is(err, errBudget) {
		return errEnough
	}
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	if len(t.sample) == 0 {
		return nil
	}
	first := h.p.Format == ""
	if first {
		h.shape = detect(name, t.sample, t.all)
		h.p.Format, h.p.Note = h.shape.format, h.shape.note
	} else if other := detect(name, t.sample, t.all); other.binary() != h.shape.binary() {
		// What a stage left from an earlier run, perhaps. To show one of them as the other would be wrong.
		h.p.Note = strings.TrimPrefix(fmt.Sprintf("%s; %s is %s and is not shown, nor is what follows it", h.p.Note, path.Base(name), other.format), "; ")
		h.p.More = true
		return errEnough
	}
	switch {
	case !h.shape.format.shown():
		return errEnough
	case h.shape.format == FormatParquet:
		return h.parquet(name, e.Size, t)
	}
	return h.text(name, t, first)
}

// text reads a part that has lines.
func (h *head) text(name string, t *text, first bool) error {
	for number := 0; ; number++ {
		line, cut, err := t.record(h.shape)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errBudget) {
			return fmt.Errorf("cannot read %q: %w", name, err)
		}
		if len(line) > 0 || err == nil {
			// Every part of a CSV has the header again.
			again := number == 0 && !first && h.shape.header && string(line) == h.records[0]
			blank := len(line) == 0 && h.shape.format != FormatText
			if !again && !blank {
				if h.rows() == h.want && (len(h.records) > 0 || !h.shape.header) {
					h.p.More = true
					return errEnough
				}
				h.add(line, cut)
			}
		}
		switch {
		case errors.Is(err, errBudget):
			h.p.More = true
			return errEnough
		case errors.Is(err, io.EOF):
			return nil
		}
	}
}

func (h *head) add(line []byte, cut bool) {
	h.records = append(h.records, string(line))
	h.p.Lines = append(h.p.Lines, clean(line, cut))
	h.anyCut = h.anyCut || cut
}

// maxRecord is after how many bytes of a CSV a quote that is not closed is no longer believed.
const maxRecord = 1 << 20

// record reads a line, or as many as a record of a CSV has: a quoted field may hold line ends, also where it is too long to be kept.
func (t *text) record(s shape) (record []byte, cut bool, err error) {
	if s.format != FormatCSV {
		return t.line(nil)
	}
	q, size := quotes{comma: byte(s.comma), start: true}, 0
	see := func(part []byte) {
		q.see(part)
		size += len(part)
	}
	record, cut, err = t.line(see)
	for err == nil && q.open && size < maxRecord {
		var more []byte
		more, _, err = t.line(see)
		if cut {
			continue
		}
		if record = append(append(record, '\n'), more...); len(record) > t.maxLen {
			record, cut = record[:t.maxLen], true
		}
	}
	return record, cut, err
}

// finish makes the table.
func (h *head) finish() {
	switch h.shape.format {
	case FormatCSV:
		h.p.Columns, h.p.Rows = csvTable(h.records, h.shape)
	case FormatJSONL:
		if columns, rows, ok := jsonTable(h.records); ok && !h.anyCut {
			h.p.Columns, h.p.Rows = columns, rows
		}
	case FormatParquet:
		h.finishTables()
	}
	for i := range h.p.Columns {
		h.p.Columns[i] = clean([]byte(h.p.Columns[i]), false)
	}
	for _, row := range h.p.Rows {
		for i := range row {
			row[i] = clean([]byte(row[i]), false)
		}
	}
}
