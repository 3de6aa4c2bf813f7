package dfstest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// call is a method of FS, with a path to call it with.
type call struct {
	name string
	do   func(ctx context.Context, fsys dfs.FS, name string) error
}

// calls are all methods that take a path.
var calls = []call{
	{"Stat", func(ctx context.Context, f dfs.FS, name string) error { _, err := f.Stat(ctx, name); return err }},
	{"ReadDir", func(ctx context.Context, f dfs.FS, name string) error { _, err := f.ReadDir(ctx, name, 0); return err }},
	{"Open", func(ctx context.Context, f dfs.FS, name string) error {
		file, err := f.Open(ctx, name)
		if err != nil {
			return err
		}
		return file.Close()
	}},
	{"Create", func(ctx context.Context, f dfs.FS, name string) error {
		w, err := f.Create(ctx, name)
		if err != nil {
			return err
		}
		return w.Abort()
	}},
	{"MkdirAll", func(ctx context.Context, f dfs.FS, name string) error { return f.MkdirAll(ctx, name) }},
	{"Rename from", func(ctx context.Context, f dfs.FS, name string) error { return f.Rename(ctx, name, "/to") }},
	{"Rename to", func(ctx context.Context, f dfs.FS, name string) error { return f.Rename(ctx, "/from", name) }},
	{"Remove", func(ctx context.Context, f dfs.FS, name string) error { return f.Remove(ctx, name, false) }},
	{"Remove all", func(ctx context.Context, f dfs.FS, name string) error { return f.Remove(ctx, name, true) }},
}

func testPaths(t *testing.T, p *place) {
	for _, name := range []string{
		"", ".", "relative", p.dir + "/", p.dir + "//x", p.dir + "/../x", p.dir + "/./x", "hdfs://host" + p.dir,
		p.dir + "/\xff\xfe", p.dir + "/a\x00b", p.dir + "/" + strings.Repeat("x", 256),
	} {
		for _, c := range calls {
			wants(t, c.do(t.Context(), p, name), fmt.Sprintf("%s(%q)", c.name, name), "", dfs.ErrInvalid)
		}
	}
	_, err := p.ReadDir(t.Context(), p.dir, -1)
	wants(t, err, "ReadDir with a limit of -1", p.dir, dfs.ErrInvalid)
	wants(t, p.Remove(t.Context(), "/", true), "Remove(/)", "", dfs.ErrInvalid)
	wants(t, p.Rename(t.Context(), "/", p.path("x")), "Rename(/)", "", dfs.ErrInvalid)
	p.holds(t, p.dir)
}

func testStat(t *testing.T, p *place) {
	p.write(t, p.path("file"), []byte("hello"))
	info, err := p.Stat(t.Context(), p.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != "file" || info.Dir || info.Size != 5 || info.Owner == "" {
		t.Errorf("a file is %+v", info)
	}
	// Clocks of servers are not ours to test, but a time in another unit is far off.
	if age := time.Since(info.Modified); age < -time.Hour || age > time.Hour {
		t.Errorf("a new file was modified %s ago", age)
	}
	for _, dir := range []string{p.dir, "/"} {
		info, err := p.Stat(t.Context(), dir)
		if err != nil || !info.Dir || info.Size != 0 || info.Name != dir[strings.LastIndex(dir, "/")+1:] && info.Name != dir {
			t.Errorf("the directory %q is %+v, %v", dir, info, err)
		}
	}
	_, err = p.Stat(t.Context(), p.path("none"))
	wants(t, err, "Stat of nothing", p.path("none"), fs.ErrNotExist)
	_, err = p.Stat(t.Context(), p.path("file", "below"))
	wants(t, err, "Stat below a file", p.path("file", "below"), fs.ErrNotExist, dfs.ErrNotDirectory)
}

func testReadDir(t *testing.T, p *place) {
	p.holds(t, p.dir)
	// By bytes: capitals before small letters, both before umlauts, those before what lies outside of the 16-bit characters.
	ordered := []string{"-", "10", "9", "B", "a", "a b", "a.b", "aa", "aé", "b", "z", "é", "ü", "漢", "\U0001F600"}
	for i := range ordered {
		// In another order than they are listed.
		name := ordered[(i*7)%len(ordered)]
		if i%3 == 0 {
			if err := p.MkdirAll(t.Context(), p.path(name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		p.write(t, p.path(name), []byte(name))
	}
	p.holds(t, p.dir, ordered...)
	for limit := 1; limit <= len(ordered)+1; limit++ {
		want := ordered[:min(limit, len(ordered))]
		if got := p.names(t, p.dir, limit); !slices.Equal(got, want) {
			t.Errorf("the first %d are %q, want %q", limit, got, want)
		}
	}
	entries, err := p.ReadDir(t.Context(), p.dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := p.Stat(t.Context(), p.path(e.Name))
		if err != nil || info.Dir != e.Dir || info.Size != e.Size || info.Owner != e.Owner || !info.Modified.Equal(e.Modified) {
			t.Errorf("listed as %+v, Stat says %+v, %v", e, info, err)
		}
	}
	_, err = p.ReadDir(t.Context(), p.path("none"), 0)
	wants(t, err, "ReadDir of nothing", p.path("none"), fs.ErrNotExist)
	_, err = p.ReadDir(t.Context(), p.path("10"), 0)
	if info, _ := p.Stat(t.Context(), p.path("10")); !info.Dir {
		wants(t, err, "ReadDir of a file", p.path("10"), dfs.ErrNotDirectory)
	}
	p.write(t, p.path("file"), nil)
	for _, limit := range []int{0, 1} {
		_, err = p.ReadDir(t.Context(), p.path("file"), limit)
		wants(t, err, "ReadDir of a file", p.path("file"), dfs.ErrNotDirectory)
	}
}

func testManyEntries(t *testing.T, p *place) {
	dir := p.path("many")
	if err := p.MkdirAll(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if p.Fill != nil {
		p.Fill(t, dir, p.Many)
	} else {
		together(8, func(i int) {
			for n := i; n < p.Many; n += 8 {
				if err := write(t, p.FS, fmt.Sprintf("%s/part-%05d", dir, n), nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all := p.names(t, dir, 0)
	if len(all) != p.Many || !slices.IsSorted(all) {
		t.Fatalf("%d entries of %d, sorted: %t", len(all), p.Many, slices.IsSorted(all))
	}
	for _, limit := range []int{1, 10, p.Many - 1, p.Many, p.Many + 1} {
		if got := p.names(t, dir, limit); !slices.Equal(got, all[:min(limit, len(all))]) {
			t.Errorf("the first %d of %d entries are %d others", limit, len(all), len(got))
		}
	}
}

func testOddNames(t *testing.T, p *place) {
	for _, name := range []string{
		"a b", " leading", "trailing ", "100%", "%20", "%2F", "ünïcode", "漢字", "a#b", "a?b=c&d", "a+b", "a;b", "a,b", "a=b", "a&b", "a'b", `a"b`,
		`a\b`, "a*b", "[ab]", "{a,b}", "~", "$HOME", "(a)", "a@b", "a|b", "<a>", "...", "-n", "!", "a\tb", "a\u00a0b", "_SUCCESS", ".hidden",
		strings.Repeat("n", 200), strings.Repeat("ü", 100),
	} {
		file := p.path("in "+name, name)
		p.write(t, file, []byte(name))
		if got := p.read(t, file); string(got) != name {
			t.Errorf("%q reads %q", file, got)
		}
		p.holds(t, p.path("in "+name), name)
		info, err := p.Stat(t.Context(), file)
		if err != nil || info.Name != name {
			t.Errorf("%q: %+v, %v", file, info, err)
		}
		if err := p.Rename(t.Context(), file, p.path("in "+name, name+".new")); err != nil {
			t.Error(err)
		}
		p.holds(t, p.path("in "+name), name+".new")
		if err := p.Remove(t.Context(), p.path("in "+name), true); err != nil {
			t.Error(err)
		}
	}
	p.holds(t, p.dir)
}

func testMkdirAll(t *testing.T, p *place) {
	for range 2 {
		if err := p.MkdirAll(t.Context(), p.path("a", "b", "c")); err != nil {
			t.Fatal(err)
		}
	}
	p.holds(t, p.path("a", "b"), "c")
	p.write(t, p.path("file"), []byte("x"))
	for _, name := range []string{p.path("file"), p.path("file", "below")} {
		wants(t, p.MkdirAll(t.Context(), name), "MkdirAll over a file", name, dfs.ErrNotDirectory)
	}
	if err := p.MkdirAll(t.Context(), "/"); err != nil {
		t.Error(err)
	}
	together(8, func(int) {
		if err := p.MkdirAll(t.Context(), p.path("at", "once", "deep")); err != nil {
			t.Error(err)
		}
	})
}

func testRename(t *testing.T, p *place) {
	p.write(t, p.path("a"), []byte("x"))
	if err := p.MkdirAll(t.Context(), p.path("sub")); err != nil {
		t.Fatal(err)
	}
	if err := p.Rename(t.Context(), p.path("a"), p.path("sub", "b")); err != nil {
		t.Fatal(err)
	}
	if err := p.Rename(t.Context(), p.path("sub"), p.path("moved")); err != nil {
		t.Fatal(err)
	}
	p.holds(t, p.dir, "moved")
	if got := p.read(t, p.path("moved", "b")); string(got) != "x" {
		t.Errorf("a moved file reads %q", got)
	}
}

func testRenameRefused(t *testing.T, p *place) {
	p.write(t, p.path("file1"), []byte("1"))
	p.write(t, p.path("file2"), []byte("2"))
	p.write(t, p.path("dir", "in"), nil)
	if err := p.MkdirAll(t.Context(), p.path("empty")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		want     []error
	}{
		{"file1", "file2", []error{fs.ErrExist}},
		{"file1", "file1", []error{fs.ErrExist}},
		{"file1", "empty", []error{fs.ErrExist}},
		{"file1", "dir", []error{fs.ErrExist}},
		{"dir", "file1", []error{fs.ErrExist}},
		{"dir", "empty", []error{fs.ErrExist}},
		{"empty", "dir", []error{fs.ErrExist}},
		{"empty", "empty", []error{fs.ErrExist}},
		{"dir", "dir/in/x", []error{dfs.ErrInvalid, dfs.ErrNotDirectory}},
		{"dir", "dir/x", []error{dfs.ErrInvalid}},
		{"none", "new", []error{fs.ErrNotExist}},
		{"none", "file1", []error{fs.ErrNotExist, fs.ErrExist}},
		{"file1", "none/new", []error{fs.ErrNotExist}},
		{"file1", "file2/new", []error{dfs.ErrNotDirectory, fs.ErrNotExist}},
	} {
		err := p.Rename(t.Context(), p.path(c.from), p.path(c.to))
		wants(t, err, fmt.Sprintf("Rename(%s, %s)", c.from, c.to), p.path(c.from), c.want...)
	}
	p.holds(t, p.dir, "dir", "empty", "file1", "file2")
	p.holds(t, p.path("empty"))
	p.holds(t, p.path("dir"), "in")
	if one, two := p.read(t, p.path("file1")), p.read(t, p.path("file2")); string(one) != "1" || string(two) != "2" {
		t.Errorf("the files read %q and %q", one, two)
	}
}

// testRenameRace moves several files, and then directories, to one name at once: one of them gets there, and nothing is lost.
func testRenameRace(t *testing.T, p *place) {
	const n = 8
	for round := range 10 {
		to := p.path(fmt.Sprintf("to-%d", round))
		directories := round%2 == 1
		for i := range n {
			from := p.path(fmt.Sprintf("from-%d-%d", round, i))
			if directories {
				from += "/in"
			}
			p.write(t, from, fmt.Appendf(nil, "%d", i))
		}
		var winners atomic.Int32
		together(n, func(i int) {
			from := p.path(fmt.Sprintf("from-%d-%d", round, i))
			err := p.Rename(t.Context(), from, to)
			if err == nil {
				winners.Add(1)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
		if winners.Load() != 1 {
			t.Fatalf("%d of %d got to %q", winners.Load(), n, to)
		}
		if left := len(p.names(t, p.dir, 0)); left != (round+1)*n {
			t.Fatalf("%d entries are left of %d", left, (round+1)*n)
		}
	}
}

func testRemove(t *testing.T, p *place) {
	p.write(t, p.path("file"), []byte("x"))
	p.write(t, p.path("dir", "deep", "file"), []byte("x"))
	if err := p.MkdirAll(t.Context(), p.path("empty")); err != nil {
		t.Fatal(err)
	}
	wants(t, p.Remove(t.Context(), p.path("dir"), false), "Remove of a full directory", p.path("dir"), dfs.ErrNotEmpty)
	for _, all := range []bool{false, true} {
		wants(t, p.Remove(t.Context(), p.path("none"), all), "Remove of nothing", p.path("none"), fs.ErrNotExist)
		wants(t, p.Remove(t.Context(), p.path("file", "x"), all), "Remove below a file", p.path("file", "x"),
			fs.ErrNotExist, dfs.ErrNotDirectory)
	}
	p.holds(t, p.dir, "dir", "empty", "file")
	for name, all := range map[string]bool{"file": false, "empty": false, "dir": true} {
		if err := p.Remove(t.Context(), p.path(name), all); err != nil {
			t.Error(err)
		}
	}
	p.holds(t, p.dir)
	p.write(t, p.path("file"), []byte("x"))
	if err := p.Remove(t.Context(), p.path("file"), true); err != nil {
		t.Error(err)
	}
	p.holds(t, p.dir)
}
