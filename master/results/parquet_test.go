package results_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/clic-orchestrator/clic/master/results"
)

type person struct {
	Name string   `parquet:"name"`
	Age  *int32   `parquet:"age,optional"`
	Tags []string `parquet:"tags,list"`
}

// parquetOf makes a Parquet file.
func parquetOf[T any](tb testing.TB, rows []T, options ...parquet.WriterOption) string {
	tb.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	_, err := w.Write(rows)
	if err = errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func people(names ...string) []person {
	var all []person
	for i, name := range names {
		p := person{Name: name, Tags: []string{"t", name}}
		if age := int32(i); i%2 == 0 {
			p.Age = &age
		}
		all = append(all, p)
	}
	return all
}

func TestParquet(t *testing.T) {
	type other struct {
		Name string  `parquet:"name"`
		Size float64 `parquet:"size"`
	}
	dir := put(t, t.TempDir(), map[string]string{
		"one.parquet":                                              parquetOf(t, people("a\x1b", "b", "<c>")),
		"parts/_SUCCESS":                                           "",
		"parts/part-0.snappy.parquet":                              parquetOf(t, people("a", "b")),
		"parts/part-1.snappy.parquet":                              parquetOf(t, people()),
		"parts/part-2.snappy.parquet":                              "",
		"parts/part-3.snappy.parquet":                              parquetOf(t, []other{{"c", 1.5}}),
		"by/day=2026-01-01/k=a%2Fb/part-0.parquet":                 parquetOf(t, people("x")),
		"by/day=__HIVE_DEFAULT_PARTITION__/k=plain/part-0.parquet": parquetOf(t, people("y")),
		"packed.parquet.gz":                                        zipped(parquetOf(t, people("a"))),
		"cut.parquet":                                              parquetOf(t, people("a"))[:200],
		"empty.parquet":                                            parquetOf(t, people()),
	})
	r := reader(t, results.Config{Roots: []string{dir}})
	for _, c := range []struct {
		path  string
		n     int
		want  results.Preview
		wants error
	}{
		{path: "one.parquet", n: 9, want: results.Preview{
			Columns: []string{"name", "age", "tags"}, Rows: [][]string{{"a\ufffd", "0", `["t","a\u001b"]`}, {"b", "", `["t","b"]`}, {"<c>", "2", `["t","<c>"]`}},
			Lines: []string{`{"name":"a\u001b","age":0,"tags":["t","a\u001b"]}`, `{"name":"b","tags":["t","b"]}`, `{"name":"<c>","age":2,"tags":["t","<c>"]}`},
		}},
		{path: "one.parquet", n: 1, want: results.Preview{
			Columns: []string{"name", "age", "tags"}, Rows: [][]string{{"a\ufffd", "0", `["t","a\u001b"]`}}, More: true,
			Lines: []string{`{"name":"a\u001b","age":0,"tags":["t","a\u001b"]}`},
		}},
		{path: "empty.parquet", n: 9, want: results.Preview{Columns: []string{"name", "age", "tags"}}},
		{path: "parts", n: 9, want: results.Preview{
			Columns: []string{"name", "age", "tags", "size"}, Rows: [][]string{{"a", "0", `["t","a"]`, ""}, {"b", "", `["t","b"]`, ""}, {"c", "", "", "1.5"}},
			Lines: []string{`{"name":"a","age":0,"tags":["t","a"]}`, `{"name":"b","tags":["t","b"]}`, `{"name":"c","size":1.5}`},
		}},
		{path: "parts", n: 2, want: results.Preview{
			Columns: []string{"name", "age", "tags"}, Rows: [][]string{{"a", "0", `["t","a"]`}, {"b", "", `["t","b"]`}}, More: true,
			Lines: []string{`{"name":"a","age":0,"tags":["t","a"]}`, `{"name":"b","tags":["t","b"]}`},
		}},
		{path: "by", n: 9, want: results.Preview{
			Columns: []string{"name", "age", "tags", "day", "k"},
			Rows:    [][]string{{"x", "0", `["t","x"]`, "2026-01-01", "a/b"}, {"y", "0", `["t","y"]`, "", "plain"}},
			Lines:   []string{`{"name":"x","age":0,"tags":["t","x"],"day":"2026-01-01","k":"a/b"}`, `{"name":"y","age":0,"tags":["t","y"],"k":"plain"}`},
		}},
		{path: "packed.parquet.gz", n: 9, wants: results.ErrUnsupported},
		{path: "cut.parquet", n: 9, wants: results.ErrDamaged},
	} {
		t.Run(fmt.Sprint(c.path, " ", c.n), func(t *testing.T) {
			got, err := r.Head(t.Context(), dir+"/"+c.path, c.n)
			if c.wants != nil {
				if !errors.Is(err, c.wants) || !strings.Contains(err.Error(), c.path) {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Format != results.FormatParquet || got.Note != "Parquet" {
				t.Errorf("format %q, note %q", got.Format, got.Note)
			}
			got.Info = results.Info{}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("preview (-want +got):\n%s", d)
			}
		})
	}
}

// TestParquetWide: what does not fit is left out, and said.
func TestParquetWide(t *testing.T) {
	group := parquet.Group{}
	for i := range 300 {
		group[fmt.Sprintf("c%03d", i)] = parquet.Leaf(parquet.Int32Type)
	}
	var b bytes.Buffer
	w := parquet.NewWriter(&b, parquet.NewSchema("wide", group))
	row := make(parquet.Row, 300)
	for i := range row {
		row[i] = parquet.Int32Value(int32(i)).Level(0, 0, i)
	}
	_, err := w.WriteRows([]parquet.Row{row})
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	dir := put(t, t.TempDir(), map[string]string{"x": b.String()})
	p, err := reader(t, results.Config{Roots: []string{dir}}).Head(t.Context(), dir+"/x", 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Columns) != 256 || len(p.Rows) != 1 || p.Note != "Parquet: 44 more columns are not shown" {
		t.Errorf("%d columns, %d rows, note %q", len(p.Columns), len(p.Rows), p.Note)
	}
}

// TestEmptyParquets: parts without rows are passed over as far as the bounds allow, and not beyond.
func TestEmptyParquets(t *testing.T) {
	dir := t.TempDir()
	empty := parquetOf(t, people())
	for i := range 3000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%05d.parquet", i)), []byte(empty), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := reader(t, results.Config{Roots: []string{dir}}).Head(t.Context(), dir, 5)
	if err != nil || len(p.Rows) != 0 || !p.More || p.Files > 2100 {
		t.Errorf("%d rows of %d files, more %v, %v", len(p.Rows), p.Files, p.More, err)
	}
}
