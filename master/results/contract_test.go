package results_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/master/results"
)

func TestContract(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{
		"done/_SUCCESS": "", "done/part-0": "a\nb\n", "done/part-1": "c",
		"going/_temporary/x": "x", "going/part-0": "",
		"x.csv": "id,name\n1,\"a\nb\"\n2,c\n", "header.csv": "id,name\n",
		"csv/part-0.csv": "id,name\n1,a\n", "csv/part-1.csv": "id,name\n2,b\n", "csv/part-2.csv": "x,y\n",
		"zip/part-0.csv.gz": zipped(""), "zip/part-1.csv.gz": zipped("id,name\n1,a\n"), "zip/part-2.csv.gz": zipped("id,name\n2,b\n"),
		"bare/part-0": "id,name\n1,a\n", "bare/part-1": "id,name\n", "bare/part-2": "id,name\n",
		"long.csv":  "id,text\n1,\"" + strings.Repeat("a line of a long text\n", 1000) + "\"\n2,short\n",
		"open.csv":  "id,text\n1,\"never closed\n" + strings.Repeat("2,a line that is a row\n", 1<<20/20),
		"x.parquet": parquetOf(t, people("a", "b", "c")), "none.parquet": parquetOf(t, people()),
		"p/part-0.parquet": parquetOf(t, people("a", "b")), "p/part-1.parquet": parquetOf(t, people("c")), "p/part-2.parquet": "",
		"x.jsonl": "{}\n\n{}\n", "nothing": "", "zipped.gz": zipped(""), "lines.gz": zipped("a\nb\n"), "x.orc": "ORC\x00\x00",
		"damaged.parquet": parquetOf(t, people("a"))[:150], "big": strings.Repeat("0123456\n", 1000),
	})
	r := reader(t, results.Config{Roots: []string{dir}, MaxCount: 8 << 20})
	small := reader(t, results.Config{Roots: []string{dir}, MaxCount: 4096})
	for _, c := range []struct {
		path, success, reason string
		err                   error
	}{
		{path: "done", success: "_SUCCESS"},
		{path: "done", success: "nonempty"},
		{path: "done", success: "rows>=3"},
		{path: "done", success: "rows >= 4", reason: "it has 3 rows"},
		{path: "going", success: "_SUCCESS", reason: "there is no _SUCCESS in the directory"},
		{path: "going", success: "nonempty", reason: "there are no files with data"},
		{path: "going", success: "rows>=0"},
		{path: "x.csv", success: "_SUCCESS", reason: "it is a file"},
		{path: "x.csv", success: "rows>=2"},
		{path: "x.csv", success: "rows>=3", reason: "it has 2 rows"},
		{path: "header.csv", success: "rows>=1", reason: "it has 0 rows"},
		{path: "header.csv", success: "nonempty"},
		{path: "csv", success: "rows>=3"},
		{path: "csv", success: "rows>=4", reason: "it has 3 rows"},
		{path: "zip", success: "rows>=2"},
		{path: "zip", success: "rows>=3", reason: "it has 2 rows"},
		{path: "bare", success: "rows>=1"},
		{path: "bare", success: "rows>=2", reason: "it has 1 rows"},
		{path: "long.csv", success: "rows>=2"},
		{path: "long.csv", success: "rows>=3", reason: "it has 2 rows"},
		{path: "open.csv", success: "rows>=1000"},
		{path: "x.parquet", success: "rows>=3"},
		{path: "x.parquet", success: "rows>=4", reason: "it has 3 rows"},
		{path: "p", success: "rows>=3"},
		{path: "p", success: "rows>=4", reason: "it has 3 rows"},
		{path: "none.parquet", success: "nonempty", reason: "its 1 files have no content"},
		{path: "x.jsonl", success: "rows>=2"},
		{path: "x.jsonl", success: "rows>=3", reason: "it has 2 rows"},
		{path: "nothing", success: "nonempty", reason: "there are no files with data"},
		{path: "zipped.gz", success: "nonempty", reason: "its 1 files have no content"},
		{path: "lines.gz", success: "rows>=3", reason: "it has 2 rows"},
		{path: "missing", success: "rows>=0", reason: "there is nothing"},
		{path: "x.orc", success: "nonempty"},
		{path: "x.orc", success: "rows>=1", err: results.ErrUndecided},
		{path: "damaged.parquet", success: "nonempty", err: results.ErrDamaged},
		{path: "../elsewhere", success: "nonempty", err: results.ErrDenied},
	} {
		contract := results.Contract{Path: dir + "/" + c.path, Success: c.success}
		err := r.Check(t.Context(), contract)
		var unmet *results.UnmetError
		switch {
		case c.reason != "":
			if !errors.As(err, &unmet) || unmet.Reason != c.reason || !errors.Is(err, results.ErrUnmet) || !strings.Contains(err.Error(), contract.Path) {
				t.Errorf("%s %s: error is %v, want the reason %q", c.path, c.success, err, c.reason)
			}
		case !errors.Is(err, c.err) || errors.Is(err, results.ErrUnmet):
			t.Errorf("%s %s: error is %v, want %v", c.path, c.success, err, c.err)
		}
	}
	if err := small.Check(t.Context(), results.Contract{Path: dir + "/big", Success: "rows>=1000"}); !errors.Is(err, results.ErrUndecided) {
		t.Errorf("beyond the bound: %v", err)
	}
	if err := small.Check(t.Context(), results.Contract{Path: dir + "/big", Success: "rows>=100"}); err != nil {
		t.Errorf("within the bound: %v", err)
	}
}

func TestContractValidate(t *testing.T) {
	for _, success := range []string{"_SUCCESS", "nonempty", "rows>=0", "rows >= 10", "rows>=999999999999999999"} {
		if err := (results.Contract{Path: "/x", Success: success}).Validate(); err != nil {
			t.Errorf("%s: %v", success, err)
		}
	}
	for _, success := range []string{"", "success", "rows>0", "rows>=", "rows>=-1", "rows>=+1", "rows>=1.5", "rows>=9999999999999999999", "empty"} {
		err := (results.Contract{Path: "/x", Success: success}).Validate()
		if err == nil || !strings.Contains(err.Error(), "nonempty") {
			t.Errorf("%q: error is %v", success, err)
		}
	}
	if (results.Contract{Success: "nonempty"}).Validate() == nil {
		t.Error("a contract without a path is valid")
	}
}
