package parquet_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// TestSamples reads files that Arrow's C++ writer made (testdata/README.md). Beside each stands what Arrow reads in them: an array of the columns'
// names, then one for each row. {"$json": x} is a nested value, {"$num": "1.50"} a number that is compared as it is spelled.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			table, err := read(t.Context(), content, 100, parquet.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			columns, want := expected(t, strings.TrimSuffix(file, ".parquet")+".json")
			if d := cmp.Diff(columns, table.Columns); d != "" || len(table.Rows) != len(want) || table.More {
				t.Fatalf("%d rows, want %d; columns (-want +got):\n%s", len(table.Rows), len(want), d)
			}
			for i, row := range want {
				for k, cell := range row {
					same(t, columns[k], cell, table.Rows[i][k])
				}
			}
		})
	}
}

func expected(t *testing.T, file string) (columns []string, rows [][]any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for first := true; lines.Scan(); first = false {
		var row []any
		into := any(&row)
		if first {
			into = &columns
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			t.Fatal(err)
		}
		if !first {
			rows = append(rows, row)
		}
	}
	return columns, rows
}

// same compares a cell with what Arrow reads there.
func same(t *testing.T, column string, want any, c parquet.Cell) {
	t.Helper()
	var got any
	switch {
	case c.Raw:
		if err := json.Unmarshal([]byte(c.Text), &got); err != nil {
			t.Errorf("column %s: %s is no JSON: %v", column, c.Text, err)
		}
	case !c.Null:
		got = c.Text
	}
	if m, ok := want.(map[string]any); ok {
		if want = m["$json"]; m["$num"] != nil {
			want, got = m["$num"], c.Text
		}
	}
	if s, ok := want.(string); ok && strings.HasPrefix(s, "0x") && !strings.HasPrefix(c.Text, "0x") {
		return // bytes that can be printed are shown as text
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("column %s: %+v, want %v", column, c, want)
	}
}
