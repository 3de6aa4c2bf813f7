package output

import (
	"io"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// Column is a column of a Table.
type Column struct {
	Title string
	// Fixed columns are never cut: what stands in them is typed or copied into other commands.
	Fixed bool
	// Right aligns to the right.
	Right bool
	// Max cuts cells to so many columns also where there is room; 0 does not.
	Max int
}

// Cell is one cell. Style colours its text on terminals that have colours; nil leaves it.
type Cell struct {
	Text  string
	Style func(string) string
}

// Text makes a plain cell.
func Text(text string) Cell { return Cell{Text: text} }

// Table is aligned and cut to the width of a terminal, and plain tab-separated lines elsewhere.
type Table struct {
	// Header prints the titles also where the output is no terminal.
	Header bool

	columns []Column
	rows    [][]Cell
}

// NewTable makes a table without rows.
func NewTable(columns ...Column) *Table { return &Table{columns: columns} }

// Row adds a row. Missing cells are empty.
func (t *Table) Row(cells ...Cell) {
	row := make([]Cell, len(t.columns))
	for i := range row {
		if i < len(cells) {
			row[i] = cells[i]
			row[i].Text = Clean(row[i].Text)
		}
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write prints the table.
func (t *Table) Write(s *iostreams.Streams) error {
	var b strings.Builder
	if s.OutTerminal {
		width, _ := s.Size()
		t.aligned(&b, width, s.Style(), s.UTF8)
	} else {
		t.plain(&b)
	}
	_, err := io.WriteString(s.Out, b.String())
	return err
}

func (t *Table) plain(b *strings.Builder) {
	line := func(n int, cell func(i int) string) {
		for i := range n {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(cell(i))
		}
		b.WriteByte('\n')
	}
	if t.Header {
		line(len(t.columns), func(i int) string { return t.columns[i].Title })
	}
	for _, row := range t.rows {
		line(len(row), func(i int) string {
			if m := t.columns[i].Max; m > 0 {
				return Cut(row[i].Text, m, false)
			}
			return row[i].Text
		})
	}
}

// gap is what stands between two columns.
const gap = "  "

func (t *Table) aligned(b *strings.Builder, width int, style iostreams.Style, utf8 bool) {
	widths := t.widths(width)
	line := func(cell func(i int) Cell) {
		var l strings.Builder
		for i, w := range widths {
			c := cell(i)
			text := Cut(c.Text, w, utf8)
			pad := strings.Repeat(" ", max(0, w-runewidth.StringWidth(text)))
			if c.Style != nil {
				text = c.Style(text)
			}
			if i > 0 {
				l.WriteString(gap)
			}
			if t.columns[i].Right {
				l.WriteString(pad + text)
			} else {
				l.WriteString(text + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(func(i int) Cell { return Cell{Text: t.columns[i].Title, Style: style.Bold} })
	for _, row := range t.rows {
		line(func(i int) Cell { return row[i] })
	}
}

// least is what a column keeps when the terminal is narrow.
const least = 8

// widths gives each column what its cells need, and takes from the widest that may be cut until the terminal is wide
// enough or nothing is left to take.
func (t *Table) widths(terminal int) []int {
	widths := make([]int, len(t.columns))
	total := len(gap) * (len(t.columns) - 1)
	for i, c := range t.columns {
		widths[i] = runewidth.StringWidth(c.Title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i].Text))
		}
		if c.Max > 0 {
			widths[i] = min(widths[i], max(c.Max, runewidth.StringWidth(c.Title)))
		}
		total += widths[i]
	}
	for total > terminal {
		widest := -1
		for i, c := range t.columns {
			if !c.Fixed && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

// Cut shortens a text to so many columns of a terminal and marks that it did.
func Cut(text string, width int, utf8 bool) string {
	tail := "..."
	if utf8 {
		tail = "…"
	}
	if width < runewidth.StringWidth(tail) {
		tail = ""
	}
	return runewidth.Truncate(text, width, tail)
}

// Clean replaces what would disturb a terminal or a line-based reader: escape sequences go, other control characters, tabs
// and line breaks become spaces. Names, messages and results come from programs that nobody here has checked.
func Clean(text string) string {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	if strings.IndexFunc(text, bad) < 0 {
		return text
	}
	text = strings.TrimRight(Bare(text), "\r\n")
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return ' '
		}
		return r
	}, text)
}

// Bare takes colours and other control sequences (ESC [ … letter) from a text.
func Bare(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
		if end < 0 {
			return b.String()
		}
		text = rest[end+1:]
	}
}
