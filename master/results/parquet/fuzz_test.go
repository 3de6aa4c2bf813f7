package parquet_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	writer "github.com/parquet-go/parquet-go"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// FuzzHead reads what may be anything: it ends, gives an error of its own or rows within the bounds, and takes no more memory than a
// small multiple of these.
func FuzzHead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, 10)
	}
	type row struct {
		A int64             `parquet:"a,delta"`
		B []string          `parquet:"b,list,dict"`
		C map[string]*int32 `parquet:"c"`
	}
	for _, codec := range []writer.WriterOption{
		writer.Compression(&writer.Uncompressed), writer.Compression(&writer.Gzip), writer.Compression(&writer.Zstd), writer.Compression(&writer.Lz4Raw),
	} {
		f.Add(write(f, []row{{A: 1, B: []string{"x", "y"}, C: map[string]*int32{"k": nil}}, {}}, codec), 5)
	}
	lim := parquet.Limits{Page: 1 << 20, Bytes: 4 << 20, Cell: 64, Cells: 64 << 10, Columns: 32}
	f.Fuzz(func(t *testing.T, content []byte, n int) {
		n = min(max(n, 0), 1000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := parquet.Open(t.Context(), bytes.NewReader(content), int64(len(content)), lim)
		var table *parquet.Table
		if err == nil {
			table, err = file.Head(n)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Errorf("%d bytes were allocated", used)
		}
		if err != nil {
			if !errors.Is(err, parquet.ErrDamaged) && !errors.Is(err, parquet.ErrUnsupported) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if len(table.Rows) > n || len(table.Columns) > lim.Columns {
			t.Errorf("%d rows of %d columns, %d were asked for", len(table.Rows), len(table.Columns), n)
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Errorf("%d cells in %d columns", len(row), len(table.Columns))
			}
			for _, cell := range row {
				if len(cell.Text) > lim.Cell+64*2+16 {
					t.Errorf("a cell of %d bytes", len(cell.Text))
				}
			}
		}
	})
}
