package results_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/master/results"
)

// memory is a source with one file.
type memory struct {
	name, content string
}

func (m memory) Stat(_ context.Context, name string) (results.Entry, error) {
	if path.Base(name) != m.name {
		return results.Entry{}, fs.ErrNotExist
	}
	return results.Entry{Name: m.name, Kind: results.KindFile, Size: int64(len(m.content))}, nil
}

func (m memory) ReadDir(context.Context, string, int) ([]results.Entry, error) { return nil, nil }

func (m memory) Open(context.Context, string) (io.ReadCloser, error) {
	return struct {
		*strings.Reader
		io.Closer
	}{strings.NewReader(m.content), io.NopCloser(nil)}, nil
}

// FuzzHead looks at previews of anything, packed or not: they are bounded, safe to show, and tables have no ragged rows.
func FuzzHead(f *testing.F) {
	for _, content := range []string{
		"", "\n", "one\ntwo", "a,b\n1,2\n", "a;b\r\n\"1\n2\";3", `{"a":1}` + "\n" + `{"b":[{}]}`, "\ufeffa\tb\n", "\x1f\x8b\x08", "PAR1\x00",
		"\"", "a,\"\n\"\"\n", "{\"a\":1}{\"b\":2}\n", "\xff\xfe", zipped("a,b\n1,2\n"), strings.Repeat("x", 100) + "\n",
	} {
		for _, name := range []string{"x", "x.csv", "x.jsonl", "x.tsv.gz"} {
			f.Add(name, content, 2)
		}
	}
	for name, content := range packings(f, "id,name\n1,a\n2,b\n") {
		f.Add(name, content, 1)
	}
	f.Add("x.parquet", parquetOf(f, people("a", "b")), 5)
	f.Fuzz(func(t *testing.T, name, content string, n int) {
		name = strings.ReplaceAll(name, "/", "_")
		if name == "" || name == "." || name == ".." {
			return
		}
		const maxLine = 40
		src := memory{name: name, content: content}
		r := reader(t, results.Config{MaxLine: maxLine, MaxRows: 100, Sources: map[string]results.Source{"test": src}})
		p, err := r.Head(t.Context(), "test:/"+name, n)
		if err != nil {
			if !errors.Is(err, results.ErrDamaged) && !errors.Is(err, results.ErrUnsupported) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if want := max(0, min(n, 100)); len(p.Lines) > want+1 || len(p.Rows) > want {
			t.Fatalf("%d lines and %d rows, %d were asked for", len(p.Lines), len(p.Rows), want)
		}
		for _, line := range p.Lines {
			safe(t, line)
			if len(line) > 3*maxLine+len(results.CutMark) { // a byte may become a replacement character of three
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		for _, row := range append(p.Rows, p.Columns) {
			if len(row) != len(p.Columns) {
				t.Errorf("%d cells in %d columns", len(row), len(p.Columns))
			}
			for _, cell := range row {
				safe(t, cell)
			}
		}
		if p.Format == results.FormatUnknown && len(p.Lines) > 0 {
			t.Error("lines of a binary file")
		}
	})
}

func safe(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' }) {
		t.Errorf("%q is not safe to show", s)
	}
}
