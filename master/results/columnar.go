package results

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// leastWork is what a Parquet file counts at least, so that the number of empty ones that are opened is bounded too.
const leastWork = 64 << 10

// noPartition is what Hive and Spark write for a partition without a value.
const noPartition = "__HIVE_DEFAULT_PARTITION__"

// at is the random access to a file that ends with the context.
type at struct {
	ctx context.Context
	in  io.ReaderAt
	// err is the last error but the end.
	err error
}

func (a *at) ReadAt(p []byte, off int64) (int, error) {
	if err := a.ctx.Err(); err != nil {
		a.err = err
		return 0, err
	}
	n, err := a.in.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return n, err
}

// openParquet opens the Parquet file that a text was taken for. The errors of read are told apart by explain.
func openParquet(ctx context.Context, t *text, size int64, lim parquet.Limits) (f *parquet.File, explain func(error) error, err error) {
	in, ok := t.file.(io.ReaderAt)
	if !ok || t.packed {
		return nil, nil, fmt.Errorf("it is Parquet that is compressed as a whole, or comes from where only beginnings are read: %w", ErrUnsupported)
	}
	access := &at{ctx: ctx, in: in}
	explain = func(err error) error {
		switch {
		case err == nil:
			return nil
		case access.err != nil:
			return access.err
		case errors.Is(err, parquet.ErrUnsupported):
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		case errors.Is(err, parquet.ErrDamaged):
			return damage(err)
		}
		return err
	}
	if f, err = parquet.Open(ctx, access, size, lim); err != nil {
		return nil, nil, explain(err)
	}
	return f, explain, nil
}

// tables gathers the rows of Parquet files, whose columns may differ: a column that is not in all of them has empty cells.
type tables struct {
	columns []string
	place   map[string]int
	rows    [][]parquet.Cell
	notes   []string
	// work is what is left of Config.MaxWork.
	work int64
}

// column gives the place of a column.
func (t *tables) column(name string) int {
	i, ok := t.place[name]
	if !ok {
		if t.place == nil {
			t.place = map[string]int{}
		}
		i = len(t.columns)
		t.place[name] = i
		t.columns = append(t.columns, name)
	}
	return i
}

// add takes over the rows of a file. partitions are the columns that the names of its directories give.
func (t *tables) add(table *parquet.Table, partitions [][2]string) {
	places := make([]int, 0, len(table.Columns))
	seen := map[string]int{}
	for _, name := range table.Columns {
		// A file may have a name twice.
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		places = append(places, t.column(name))
	}
	parts := make([]int, 0, len(partitions))
	for _, p := range partitions {
		parts = append(parts, t.column(p[0]))
	}
	for _, cells := range table.Rows {
		row := make([]parquet.Cell, len(t.columns))
		for i := range row {
			row[i].Null = true
		}
		for i, cell := range cells {
			row[places[i]] = cell
		}
		for i, p := range partitions {
			if p[1] != noPartition {
				row[parts[i]] = parquet.Cell{Text: p[1]}
			}
		}
		t.rows = append(t.rows, row)
	}
	if table.LeftOut > 0 {
		t.note(fmt.Sprintf("%d more columns are not shown", table.LeftOut))
	}
	if len(table.Unread) > 0 {
		t.note("too large to be shown: " + strings.Join(table.Unread, ", "))
	}
}

func (t *tables) note(note string) {
	if len(t.notes) < 8 {
		t.notes = append(t.notes, note)
	}
}

// partitions gives the columns that the directories between a result and one of its files stand for.
func partitions(result, file string) (columns [][2]string) {
	below := strings.TrimPrefix(path.Dir(file), strings.TrimSuffix(result, "/"))
	for dir := range strings.SplitSeq(below, "/") {
		name, value, ok := strings.Cut(dir, "=")
		if !ok {
			continue
		}
		for _, s := range []*string{&name, &value} {
			if plain, err := url.PathUnescape(*s); err == nil {
				*s = plain
			}
		}
		columns = append(columns, [2]string{name, value})
	}
	return columns
}

// parquet reads a part that is Parquet. It gives errEnough when nothing more is needed.
func (h *head) parquet(name string, size int64, t *text) error {
	if h.tables.work < leastWork {
		h.p.More = true
		return errEnough
	}
	lim := parquet.Limits{Bytes: h.tables.work, Cell: h.r.cfg.MaxLine, Cells: h.left, Columns: maxColumns}
	f, explain, err := openParquet(h.ctx, t, size, lim)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", name, err)
	}
	defer func() { h.tables.work -= max(f.Spent(), leastWork) }()
	want := h.want - len(h.tables.rows)
	if want == 0 && f.NumRows() > 0 && len(h.tables.columns) > 0 {
		h.p.More = true
		return errEnough
	}
	table, err := f.Head(want)
	if err = explain(err); err != nil {
		return fmt.Errorf("cannot read %q: %w", name, err)
	}
	h.tables.add(table, partitions(h.name, name))
	for _, row := range table.Rows {
		for _, cell := range row {
			h.left -= int64(len(cell.Text)) + 1
		}
	}
	if table.More || h.left <= 0 {
		h.p.More = true
		return errEnough
	}
	return nil
}

// finishTables makes the table, and a line of JSON of each of its rows.
func (h *head) finishTables() {
	t := &h.tables
	h.p.Columns = t.columns
	if len(t.notes) > 0 {
		h.p.Note += ": " + strings.Join(t.notes, "; ")
	}
	for _, cells := range t.rows {
		row := make([]string, len(t.columns)) // columns that came up later have no cells
		for i, c := range cells {
			if row[i] = c.Text; c.Cut {
				row[i] += CutMark
			}
		}
		h.p.Rows = append(h.p.Rows, row)
		line := jsonLine(t.columns, cells, h.r.cfg.MaxLine)
		h.p.Lines = append(h.p.Lines, clean(line[:min(len(line), h.r.cfg.MaxLine)], len(line) > h.r.cfg.MaxLine))
	}
}

// jsonLine writes a row as a JSON object, or at least more than most bytes of it. Nulls are left out, as Spark does.
func jsonLine(columns []string, cells []parquet.Cell, most int) []byte {
	var line strings.Builder
	e := json.NewEncoder(&oneLine{&line})
	e.SetEscapeHTML(false)
	line.WriteByte('{')
	for i, c := range cells {
		if c.Null || c.Text == "" && c.Cut {
			continue
		}
		if line.Len() > 1 {
			line.WriteByte(',')
		}
		_ = e.Encode(columns[i]) // strings always can be encoded
		line.WriteByte(':')
		switch {
		case c.Raw && !c.Cut:
			line.WriteString(c.Text)
		case c.Cut:
			_ = e.Encode(c.Text + CutMark)
		default:
			_ = e.Encode(c.Text)
		}
		if line.Len() > most {
			break
		}
	}
	line.WriteByte('}')
	return []byte(line.String())
}

// oneLine leaves out the line ends that a json.Encoder adds; inside of JSON they are escaped.
type oneLine struct{ to *strings.Builder }

func (o *oneLine) Write(p []byte) (int, error) {
	o.to.WriteString(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
