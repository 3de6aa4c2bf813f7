package results_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
	"github.com/clic-orchestrator/clic/master/results"
)

// metered counts what is read of a file system.
type metered struct {
	dfs.FS
	bytes, opened atomic.Int64
}

func (m *metered) Open(ctx context.Context, name string) (dfs.File, error) {
	m.opened.Add(1)
	f, err := m.FS.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &meteredFile{File: f, m: m}, nil
}

type meteredFile struct {
	dfs.File
	m *metered
}

func (f *meteredFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.m.bytes.Add(int64(n))
	return n, err
}

func (f *meteredFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.m.bytes.Add(int64(n))
	return n, err
}

// onDisk is a metered file system below dir, and a resolver for which hdfs://cluster and hdfs:/// both lead to it, and
// hdfs://other to another one.
func onDisk(t *testing.T, dir string) (*metered, results.Resolve) {
	t.Helper()
	open := func() *metered {
		files, err := disk.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = files.Close() })
		return &metered{FS: files}
	}
	cluster, other := open(), open()
	return cluster, func(uri string) (dfs.FS, string, error) {
		u, err := url.Parse(uri)
		if err != nil {
			return nil, "", err
		}
		switch u.Host {
		case "", "cluster":
			return cluster, path.Clean("/" + u.Path), nil
		case "other":
			return other, path.Clean("/" + u.Path), nil
		}
		return nil, "", fmt.Errorf("no file system %q is configured", u.Host)
	}
}

func remote(t *testing.T, dir string, roots ...string) (*metered, *results.Reader) {
	files, resolve := onDisk(t, dir)
	src := results.FromFS(resolve, roots)
	return files, reader(t, results.Config{Sources: map[string]results.Source{"hdfs": src}})
}

func TestRemote(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{
		"data/x.txt": "one\ntwo\n", "data/p/part-0.parquet": parquetOf(t, people("a")), "database/secret": "s", "data/gone/.keep": "",
	})
	_, r := remote(t, dir, "hdfs://cluster/data")
	for _, uri := range []string{"hdfs://cluster/data/x.txt", "hdfs:///data/x.txt", "hdfs://cluster//data/../data/x.txt"} {
		p, err := r.Head(t.Context(), uri, 5)
		if err != nil || cmp.Diff([]string{"one", "two"}, p.Lines) != "" {
			t.Errorf("%s: %+v, %v", uri, p, err)
		}
	}
	if p, err := r.Head(t.Context(), "hdfs://cluster/data/p", 5); err != nil || len(p.Rows) != 1 || p.Rows[0][0] != "a" {
		t.Errorf("%+v, %v", p, err)
	}
	for uri, want := range map[string]error{
		"hdfs://cluster/database/secret": results.ErrDenied, "hdfs://cluster/data/../database/secret": results.ErrDenied,
		"hdfs://cluster/": results.ErrDenied, "hdfs://other/data/x.txt": results.ErrDenied, "hdfs://unknown/data/x.txt": results.ErrPath,
		"hdfs://cluster/data/none": fs.ErrNotExist, "hdfs://cluster/data/x.txt/below": fs.ErrNotExist, "webhdfs://cluster/data/x.txt": results.ErrPath,
	} {
		if _, err := r.Head(t.Context(), uri, 5); !errors.Is(err, want) {
			t.Errorf("%s: error is %v, want %v", uri, err, want)
		}
	}
	info, err := r.Stat(t.Context(), "hdfs://cluster/data/none")
	if err != nil || info.Kind != results.KindMissing {
		t.Errorf("%+v, %v", info, err)
	}
	// Nothing is allowed unless it is said.
	_, r = remote(t, dir)
	if _, err := r.Stat(t.Context(), "hdfs://cluster/data/x.txt"); !errors.Is(err, results.ErrDenied) {
		t.Errorf("without roots: %v", err)
	}
	_, r = remote(t, dir, "hdfs://cluster/")
	if _, err := r.Stat(t.Context(), "hdfs://cluster/data/x.txt"); err != nil {
		t.Error(err)
	}
}

// TestRemoteCost: the first rows cost what they need.
func TestRemoteCost(t *testing.T) {
	dir := t.TempDir()
	for i := range 10_000 {
		parts := filepath.Join(dir, "parts")
		if i == 0 {
			if err := os.Mkdir(parts, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/part-%05d", parts, i), fmt.Appendf(nil, "line %d\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type numbers struct{ A, B, C, D float64 }
	random := rand.New(rand.NewPCG(1, 1))
	rows := make([]numbers, 300_000)
	for i := range rows {
		rows[i] = numbers{random.Float64(), random.Float64(), random.Float64(), random.Float64()}
	}
	put(t, dir, map[string]string{
		"huge.parquet": parquetOf(t, rows, parquet.MaxRowsPerRowGroup(2000), parquet.PageBufferSize(16<<10)),
		"huge.txt":     strings.Repeat("first lines\n", 10_000),
	})
	if err := os.Truncate(filepath.Join(dir, "huge.txt"), 1<<30); err != nil {
		t.Fatal(err)
	}
	files, r := remote(t, dir, "hdfs://cluster/")
	for _, c := range []struct {
		path          string
		bytes, opened int64
		rows          int
		most          uint64
	}{
		{"parts", 1000, 11, 10, 16 << 20}, {"huge.txt", 64 << 10, 1, 10, 1 << 20}, {"huge.parquet", 256 << 10, 1, 10, 2 << 20},
	} {
		files.bytes.Store(0)
		files.opened.Store(0)
		used := allocated(func() {
			p, err := r.Head(t.Context(), "hdfs://cluster/"+c.path, 10)
			if err != nil || len(p.Lines) != 10 || !p.More {
				t.Errorf("%s: %v", c.path, err)
			}
		})
		t.Logf("%s: %d bytes of %d files were read, %d allocated", c.path, files.bytes.Load(), files.opened.Load(), used)
		if files.bytes.Load() > c.bytes || files.opened.Load() > c.opened || used > c.most {
			t.Errorf("%s: %d bytes of %d files were read, %d allocated", c.path, files.bytes.Load(), files.opened.Load(), used)
		}
	}
	if err := r.Check(t.Context(), results.Contract{Path: "hdfs://cluster/huge.parquet", Success: "rows>=300000"}); err != nil {
		t.Error(err)
	}
}
