package dfs_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
)

func TestParseURI(t *testing.T) {
	for uri, want := range map[string]dfs.Location{
		"hdfs://nn:8020/a/b":      {Scheme: "hdfs", Authority: "nn:8020", Path: "/a/b"},
		"hdfs://clic":             {Scheme: "hdfs", Authority: "clic", Path: "/"},
		"HDFS:///a//b/":           {Scheme: "hdfs", Path: "/a/b"},
		"hdfs:/a":                 {Scheme: "hdfs", Path: "/a"},
		"webhdfs://10.0.0.1:1/":   {Scheme: "webhdfs", Authority: "10.0.0.1:1", Path: "/"},
		"hdfs://[::1]:1/a b%20#?": {Scheme: "hdfs", Authority: "[::1]:1", Path: "/a b%20#?"},
		"hdfs:///ü/_SUCCESS":      {Scheme: "hdfs", Path: "/ü/_SUCCESS"},
		"hdfs:///a:b":             {Scheme: "hdfs", Path: "/a:b"},
	} {
		got, err := dfs.ParseURI(uri)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%q: %v %s", uri, err, d)
		}
	}
	for _, uri := range []string{
		"", "/a", "a/b", "hdfs", "hdfs:", "hdfs:a", "://a/b", "1hdfs://a/b", "hd_fs://a/b", "hdfs://user@nn/a", "hdfs://nn:port/a",
		"hdfs://a b/c", "hdfs:///a/../b", "hdfs:///./b", "hdfs:///\xff", "hdfs:///a\x00", "hdfs://nn?x/a",
	} {
		if l, err := dfs.ParseURI(uri); !errors.Is(err, dfs.ErrInvalid) {
			t.Errorf("%q: %+v, %v", uri, l, err)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add("hdfs://nn:8020/a/b")
	f.Add("hdfs:///a%20b#c?d")
	f.Add("hdfs:/x")
	f.Fuzz(func(t *testing.T, uri string) {
		l, err := dfs.ParseURI(uri)
		if err != nil {
			if !errors.Is(err, dfs.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := dfs.CheckPath(l.Path); err != nil {
			t.Fatal(err)
		}
		if again, err := dfs.ParseURI(l.String()); err != nil || again != l {
			t.Fatalf("%q is %+v, whose URI %q is %+v, %v", uri, l, l, again, err)
		}
	})
}

func TestSet(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	var set dfs.Set
	var opened []string
	errBad := errors.New("bad authority")
	set.Add("test", "standard", func(authority string) (dfs.FS, error) {
		opened = append(opened, authority)
		if authority == "bad" {
			return nil, errBad
		}
		return disk.New(dir)
	})
	for _, uri := range []string{"test:///file", "test://standard/file", "test://other/file", "test:/file"} {
		f, err := set.Open(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		f.Close()
	}
	if d := cmp.Diff([]string{"standard", "other"}, opened); d != "" {
		t.Errorf("opened: %s", d)
	}
	if _, l, err := set.Resolve("test:///file"); err != nil || l.String() != "test://standard/file" {
		t.Errorf("%q, %v", l, err)
	}
	if _, _, err := set.Resolve("test://bad/file"); !errors.Is(err, errBad) {
		t.Error(err)
	}
	if _, _, err := set.Resolve("else:///file"); !errors.Is(err, dfs.ErrInvalid) {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"test"}, set.Schemes()); d != "" {
		t.Error(d)
	}
	for range 2 {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := set.Resolve("test:///file"); !errors.Is(err, dfs.ErrUnavailable) {
		t.Error(err)
	}
}
