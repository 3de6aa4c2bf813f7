package parquet

import (
	"errors"
	"fmt"
	"io"
)

// Head gives the next n rows, which are the first ones when it is called for the first time; it starts with the row group that follows
// those of the last call. It may give fewer where the bounds do not allow more. Errors: ErrDamaged, ErrUnsupported, those of the reader and of
// the context.
func (f *File) Head(n int) (*Table, error) {
	shown := f.fields[:min(len(f.fields), f.lim.Columns)]
	t := &Table{LeftOut: len(f.fields) - len(shown)}
	for _, field := range shown {
		t.Columns = append(t.Columns, field.name)
	}
	b := &builder{f: f, shown: shown, table: t, unread: make([]bool, len(shown)), room: f.lim.Cells}
	for len(t.Rows) < n {
		g, err := f.next()
		if errors.Is(err, io.EOF) {
			if int64(len(t.Rows)) < f.meta.rows {
				return nil, damaged("it has fewer rows in its row groups than the %d it says", f.meta.rows)
			}
			break
		}
		if err == nil && g.rows > 0 {
			err = b.group(g, n)
		}
		if errors.Is(err, errBudget) && len(t.Rows) > 0 || errors.Is(err, errFull) {
			break
		}
		if err != nil {
			return nil, explain(err)
		}
	}
	for i, unread := range b.unread {
		if unread {
			t.Unread = append(t.Unread, t.Columns[i])
		}
	}
	t.More = int64(len(t.Rows)) < f.meta.rows
	return t, nil
}

// errFull: the bound of all cells is reached.
var errFull = errors.New("no more rows fit")

// builder gathers the rows of a table, one column after the other in each row group.
type builder struct {
	f     *File
	shown []*node
	table *Table
	// unread says of which columns not even one row could be read within the bounds.
	unread []bool
	// room is how many bytes there may be in further cells.
	room int64
}

// group adds the rows of a row group, at most as many as make n rows in all.
func (b *builder) group(g *group, n int) error {
	first := len(b.table.Rows) == 0
	want := int(min(int64(n-len(b.table.Rows)), g.rows))
	columns := make([][]Cell, len(b.shown))
	full := false
	for i, field := range b.shown {
		if b.unread[i] {
			continue
		}
		// What a column leaves over of its share is for those that follow.
		cells, used, err := b.column(g, field, want, b.room/int64(len(b.shown)-i))
		b.room -= used
		switch {
		case errors.Is(err, errBudget) && len(cells) == 0 && first:
			b.unread[i] = true
			continue
		case errors.Is(err, errBudget), errors.Is(err, errFull):
			full = true
		case err != nil:
			return fmt.Errorf("column %q: %w", field.name, err)
		}
		columns[i], want = cells, min(want, len(cells))
	}
	for r := range want {
		row := make([]Cell, len(b.shown))
		for i := range row {
			if row[i] = (Cell{Cut: true}); !b.unread[i] {
				row[i] = columns[i][r]
			}
		}
		b.table.Rows = append(b.table.Rows, row)
	}
	for _, unread := range b.unread {
		if !unread {
			if full {
				return errFull
			}
			return nil
		}
	}
	if len(b.shown) > 0 {
		return errBudget
	}
	return nil
}

// column reads the first want cells of a column in a row group, of at most most bytes together. With an error it gives those that
// it could read.
func (b *builder) column(g *group, field *node, want int, most int64) (cells []Cell, used int64, err error) {
	leaves := make([]*column, 0, field.last-field.first)
	for i := field.first; i < field.last; i++ {
		c, err := b.f.column(b.f.leaves[i], &g.chunks[i])
		if err != nil {
			return nil, 0, err
		}
		leaves = append(leaves, c)
	}
	for range want {
		cell, err := b.cell(field, leaves)
		if err != nil {
			return cells, used, err
		}
		// A first row is given whatever its size, which is bounded by itself.
		size := int64(len(cell.Text)) + 1
		if used+size > most && len(b.table.Rows)+len(cells) > 0 {
			return cells, used, errFull
		}
		used += size
		cells = append(cells, cell)
	}
	return cells, used, nil
}

// cell reads a column's next row.
func (b *builder) cell(field *node, leaves []*column) (Cell, error) {
	if len(leaves) == 0 {
		return Cell{Text: "{}", Raw: true}, nil
	}
	parts := make([][]triple, len(leaves))
	anyCut := false
	for i, c := range leaves {
		part, cut, err := c.record(nil, b.f.lim.Cell)
		if errors.Is(err, io.EOF) {
			err = damaged("it has fewer rows than its row group")
		}
		if err != nil {
			return Cell{}, err
		}
		parts[i], anyCut = part, anyCut || cut
	}
	if field.repeated != repeated && parts[0][0].def < field.def {
		return Cell{Null: true}, nil
	}
	if field.leaf() && field.repeated != repeated {
		v, err := field.value(parts[0][0].raw, b.f.lim.Cell)
		return Cell{Text: v.text, Raw: v.raw, Cut: v.cut}, err
	}
	r := &record{most: b.f.lim.Cell, cut: anyCut}
	if err := r.field(field, parts); err != nil {
		return Cell{}, err
	}
	v := text(r.out, r.most)
	return Cell{Text: v.text, Raw: true, Cut: v.cut || r.cut}, nil
}
