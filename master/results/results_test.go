package results_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clic-orchestrator/clic/master/results"
)

func reader(tb testing.TB, cfg results.Config) *results.Reader {
	tb.Helper()
	r, err := results.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// put writes files below dir and gives dir.
func put(tb testing.TB, dir string, files map[string]string) string {
	tb.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func zipped(content string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(content))
	_ = w.Close()
	return b.String()
}

func TestHead(t *testing.T) {
	for _, c := range []struct {
		name string
		// content is that of the file name, or files those of a directory.
		file    string
		content string
		files   map[string]string
		n       int
		want    results.Preview
	}{
		{name: "text", file: "a b.txt", content: "one\ntwo\r\n\nfour\n", n: 10, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"one", "two", "", "four"},
		}},
		{name: "more", file: "x", content: "one\ntwo\nthree", n: 2, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"one", "two"}, More: true,
		}},
		{name: "exactly", file: "x", content: "one\ntwo", n: 2, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"one", "two"},
		}},
		{name: "none", file: "x", content: "one\ntwo", n: 0, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, More: true,
		}},
		{name: "empty", file: "x", n: 3, want: results.Preview{}},
		{name: "csv", file: "x.csv", content: "id,name\n1,\"a, b\"\n2,\"x\ny\"\n3,z,extra\n4\n", n: 10, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"id", "name", "column 3"},
			Lines: []string{"id,name", `1,"a, b"`, "2,\"x\ny\"", "3,z,extra", "4"},
			Rows:  [][]string{{"1", "a, b", ""}, {"2", "x\ny", ""}, {"3", "z", "extra"}, {"4", "", ""}},
		}},
		{name: "csv rows do not count the header", file: "x.csv", content: "id,name\n1,a\n2,b\n3,c\n", n: 2, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"id", "name"}, More: true,
			Lines: []string{"id,name", "1,a", "2,b"}, Rows: [][]string{{"1", "a"}, {"2", "b"}},
		}},
		{name: "csv without header", file: "x.csv", content: "1,a\n2,b\n3,c\n", n: 2, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"column 1", "column 2"}, More: true,
			Lines: []string{"1,a", "2,b"}, Rows: [][]string{{"1", "a"}, {"2", "b"}},
		}},
		{name: "csv with a stray quote", file: "x.csv", content: "size,name\n5\" disk,a\n3,b\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"size", "name"},
			Lines: []string{"size,name", `5" disk,a`, "3,b"}, Rows: [][]string{{`5" disk`, "a"}, {"3", "b"}},
		}},
		{name: "csv by content", file: "part-00000", content: "word;count\na;3\nb;4\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"word", "count"},
			Lines: []string{"word;count", "a;3", "b;4"}, Rows: [][]string{{"a", "3"}, {"b", "4"}},
		}},
		{name: "prose is no csv", file: "x", content: "Well, yes\nand, no\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"Well, yes", "and, no"},
		}},
		{name: "tsv", file: "x.tsv", content: "a\tb\n1\t2\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"a", "b"},
			Lines: []string{"a\tb", "1\t2"}, Rows: [][]string{{"1", "2"}},
		}},
		{
			name: "json lines", file: "x.json", n: 9,
			content: `{"b":1,"a":"x"}` + "\n\n" + `{"c":{"d": [1, 2]},"a":null,"b":1e400}` + "\n", want: results.Preview{
				Info: results.Info{Format: results.FormatJSONL}, Columns: []string{"b", "a", "c"},
				Lines: []string{`{"b":1,"a":"x"}`, `{"c":{"d": [1, 2]},"a":null,"b":1e400}`},
				Rows:  [][]string{{"1", "x", ""}, {"1e400", "", `{"d":[1,2]}`}},
			},
		},
		{name: "json lines with one that is none", file: "x.jsonl", content: "{\"a\":1}\n[2]\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatJSONL}, Lines: []string{`{"a":1}`, "[2]"},
		}},
		{name: "json document", file: "x.json", content: "{\n \"a\": 1\n}\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"{", ` "a": 1`, "}"},
		}},
		{name: "gzip", file: "x.csv.gz", content: zipped("id,name\n1,a\n"), n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"id", "name"},
			Lines: []string{"id,name", "1,a"}, Rows: [][]string{{"1", "a"}},
		}},
		{name: "byte order mark", file: "x.csv", content: "\ufeffid,name\n1,a\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"id", "name"},
			Lines: []string{"id,name", "1,a"}, Rows: [][]string{{"1", "a"}},
		}},
		{name: "unsafe text", file: "x", content: "a\x1b[31mred\xff\r\x07 \u202ereversed\n", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"a\ufffd[31mred\ufffd\ufffd\ufffd \ufffdreversed"},
		}},
		{name: "binary", file: "x.txt", content: "a\x00b", n: 9, want: results.Preview{
			Info: results.Info{Format: results.FormatUnknown, Note: "binary"},
		}},
		{name: "orc", file: "x.orc", content: "ORC\x15\x00\x15", n: 9, want: results.Preview{
			Info: results.Info{
				Format: results.FormatORC,
				Note:   "ORC, which is not shown here; let the stage write Parquet, CSV or JSON lines, or read it in a stage of its own",
			},
		}},
		{
			name: "long lines", file: "x", content: strings.Repeat("ä", 100) + "\nshort\n" + strings.Repeat("x", 41), n: 9,
			want: results.Preview{
				Info:  results.Info{Format: results.FormatText},
				Lines: []string{strings.Repeat("ä", 20) + "…", "short", strings.Repeat("x", 40) + "x"},
			},
		},
		{name: "parts", n: 9, files: map[string]string{
			"part-00001.csv": "id,name\n3,c\n", "part-00000.csv": "id,name\n1,a\n2,b\n", "part-00002.csv": "",
			"_SUCCESS": "", ".part-00000.csv.crc": "x", "part-00000.csv.crc": "crc", ".hidden": "h", "_temporary/x": "t", "other/x": "o",
		}, want: results.Preview{
			Info: results.Info{Format: results.FormatCSV}, Columns: []string{"id", "name"},
			Lines: []string{"id,name", "1,a", "2,b", "3,c"}, Rows: [][]string{{"1", "a"}, {"2", "b"}, {"3", "c"}},
		}},
		{name: "more parts", n: 3, files: map[string]string{"1": "a\nb\n", "2": "c\n", "3": "", "4": "d\n"}, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"a", "b", "c"}, More: true,
		}},
		{name: "partitions", n: 9, files: map[string]string{
			"year=2024/month=1/part-0": "c\n", "year=2023/part-0": "b\n", "a": "a\n", "year=2024/_logs/x": "x",
		}, want: results.Preview{
			Info: results.Info{Format: results.FormatText}, Lines: []string{"a", "b", "c"},
		}},
		{name: "empty directory", n: 9, files: map[string]string{"_SUCCESS": ""}, want: results.Preview{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := dir
			if c.files != nil {
				put(t, dir, c.files)
			} else {
				put(t, dir, map[string]string{c.file: c.content})
				path = filepath.Join(dir, c.file)
			}
			maxLine := 41
			got, err := reader(t, results.Config{Roots: []string{dir}, MaxLine: maxLine}).Head(t.Context(), path, c.n)
			if err != nil {
				t.Fatal(err)
			}
			got.Path, got.Kind, got.Size, got.Files = "", "", 0, 0
			if d := cmp.Diff(&c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("preview (-want +got):\n%s", d)
			}
		})
	}
}

func TestStat(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{
		"file.csv":            "a,b\n1,2\n",
		"done/_SUCCESS":       "",
		"done/part-0":         "",
		"done/part-1.json":    "{}\n",
		"done/k=v/part-2":     "12345",
		"done/.part-0.crc":    "123",
		"going/_temporary/x":  "x",
		"many/a":              "1",
		"many/b":              "2",
		"many/c":              "3",
		"many/d":              "4",
		"parquet/x.parquet":   "PAR1\x00",
		"name with:colon/%41": "x",
	})
	r := reader(t, results.Config{Roots: []string{dir}, MaxFiles: 6})
	for _, c := range []struct {
		path string
		want results.Info
	}{
		{"file.csv", results.Info{Kind: results.KindFile, Size: 8, Files: 1, Format: results.FormatCSV}},
		{"done", results.Info{Kind: results.KindDirectory, Size: 8, Files: 3, Format: results.FormatText, Success: true}},
		{"done/", results.Info{Kind: results.KindDirectory, Size: 8, Files: 3, Format: results.FormatText, Success: true}},
		{"going", results.Info{Kind: results.KindDirectory}},
		{"many", results.Info{Kind: results.KindDirectory, Size: 4, Files: 4, Format: results.FormatText}},
		{"parquet", results.Info{Kind: results.KindDirectory, Size: 5, Files: 1, Format: results.FormatParquet, Note: "Parquet"}},
		{"nothing", results.Info{Kind: results.KindMissing}},
		{"nothing/at/all", results.Info{Kind: results.KindMissing}},
		{"file.csv/below", results.Info{Kind: results.KindMissing}},
		{"name with:colon/%41", results.Info{Kind: results.KindFile, Size: 1, Files: 1, Format: results.FormatText}},
	} {
		got, err := r.Stat(t.Context(), dir+"/"+c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		c.want.Path = dir + "/" + c.path
		if d := cmp.Diff(&c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.path, d)
		}
	}
	few := reader(t, results.Config{Roots: []string{dir}, MaxFiles: 3})
	got, err := few.Stat(t.Context(), dir+"/many")
	if err != nil || !got.Partial || got.Files != 3 {
		t.Errorf("with a bound of 3 files: %+v, %v", got, err)
	}
}

func TestPaths(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{"a b.txt": "hello\n"})
	r := reader(t, results.Config{Roots: []string{dir}})
	for _, path := range []string{
		dir + "/a b.txt", "file://" + dir + "/a b.txt", "file:" + dir + "/a%20b.txt", "FILE://localhost" + dir + "/a%20b.txt",
		dir + "/x/../a b.txt", dir + "//a b.txt",
	} {
		p, err := r.Head(t.Context(), path, 1)
		if err != nil || len(p.Lines) != 1 || p.Lines[0] != "hello" {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	for _, path := range []string{
		"", "relative", "./x", "file:relative", "file://host/x", "hdfs://namenode:8020/x", "s3a://bucket/x", dir + "/a\x00b",
	} {
		_, err := r.Head(t.Context(), path, 1)
		if !errors.Is(err, results.ErrPath) {
			t.Errorf("head of %q: error is %v", path, err)
		}
		if _, err := r.Stat(t.Context(), path); !errors.Is(err, results.ErrPath) {
			t.Errorf("stat of %q: error is %v", path, err)
		}
	}
	if _, err := r.Head(t.Context(), dir+"/missing", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: error is %v", err)
	}
}

func TestDenied(t *testing.T) {
	top := t.TempDir()
	outside := put(t, filepath.Join(top, "outside"), map[string]string{"secret": "s3cret\n"})
	root := put(t, filepath.Join(top, "root"), map[string]string{"in.txt": "fine\n", "dir/part-0": "p\n", "links/part-0": "p\n"})
	put(t, filepath.Join(top, "root2"), map[string]string{"x": "x\n"})
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(outside+"/secret", "absolute")
	link("../outside/secret", "relative")
	link("../outside", "linked-dir")
	link("absolute", "chain")
	link(outside+"/secret", "links/part-1")
	link(root+"/in.txt", "good")
	link("nowhere", "dangling")
	link("loop", "loop")
	alias := filepath.Join(top, "alias")
	if err := os.Symlink(root, alias); err != nil {
		t.Fatal(err)
	}
	r := reader(t, results.Config{Roots: []string{alias, filepath.Join(top, "later")}})

	for _, path := range []string{
		outside + "/secret", root + "/absolute", root + "/relative", root + "/chain", root + "/linked-dir/secret", root + "/linked-dir",
		root + "/../outside/secret", top + "/root2/x", top, "/", "/etc/passwd", outside + "/no/such/file", root + "/linked-dir/no",
		root + "/loop", root + "/links", "file://" + outside + "/secret",
	} {
		for what, call := range map[string]func() error{
			"head": func() error { _, err := r.Head(t.Context(), path, 5); return err },
			"stat": func() error { _, err := r.Stat(t.Context(), path); return err },
		} {
			err := call()
			var denied *results.DeniedError
			if !errors.Is(err, results.ErrDenied) || !errors.As(err, &denied) {
				t.Errorf("%s of %s: error is %v", what, path, err)
			} else if !strings.Contains(err.Error(), alias) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s of %s: the message is %q", what, path, err)
			}
		}
	}
	for _, path := range []string{root + "/in.txt", alias + "/in.txt", root + "/good", alias + "/dir", root + "/dir"} {
		if p, err := r.Head(t.Context(), path, 5); err != nil || len(p.Lines) != 1 {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	if info, err := r.Stat(t.Context(), root+"/dangling"); err != nil || info.Kind != results.KindMissing {
		t.Errorf("a link that leads nowhere: %+v, %v", info, err)
	}
	none := reader(t, results.Config{})
	if _, err := none.Head(t.Context(), root+"/in.txt", 1); !errors.Is(err, results.ErrDenied) {
		t.Errorf("without roots: error is %v", err)
	}
}

// TestExchangedPath lets a link change its target all the time: what is read is allowed, or nothing is.
func TestExchangedPath(t *testing.T) {
	top := t.TempDir()
	put(t, top, map[string]string{"outside/x": "s3cret\n", "root/real/x": "fine\n"})
	link := filepath.Join(top, "root", "dir")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			next := filepath.Join(top, "root", "next")
			_ = os.Symlink([]string{"real", "../outside"}[i%2], next)
			_ = os.Rename(next, link)
		}
	}()
	r := reader(t, results.Config{Roots: []string{filepath.Join(top, "root")}})
	read := 0
	for i := 0; i < 500 || read == 0; i++ {
		p, err := r.Head(t.Context(), link+"/x", 5)
		if err != nil {
			continue
		}
		read++
		if len(p.Lines) != 1 || p.Lines[0] != "fine" {
			t.Fatalf("read %q", p.Lines)
		}
	}
	stop()
	<-done
}

func TestNotRegular(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{"parts/part-0": "one\n"})
	for _, name := range []string{"fifo", "parts/part-1"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := reader(t, results.Config{Roots: []string{dir, "/dev"}})
	for _, path := range []string{dir + "/fifo", "/dev/zero"} {
		if _, err := r.Head(t.Context(), path, 5); !errors.Is(err, results.ErrNotRegular) {
			t.Errorf("%s: error is %v", path, err)
		}
		if info, err := r.Stat(t.Context(), path); err != nil || info.Kind != results.KindOther {
			t.Errorf("%s: %+v, %v", path, info, err)
		}
	}
	if p, err := r.Head(t.Context(), dir+"/parts", 5); err != nil || len(p.Lines) != 1 {
		t.Errorf("a directory with a pipe in it: %+v, %v", p, err)
	}
}

func TestContextEnded(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{"x": "x"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := reader(t, results.Config{Roots: []string{dir}})
	if _, err := r.Head(ctx, dir, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []results.Config{{Roots: []string{"relative"}}, {MaxLine: -1}, {MaxBytes: -1}, {MaxRows: -1}, {MaxFiles: -1}} {
		if _, err := results.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
