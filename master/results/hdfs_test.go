//go:build hdfs

package results_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
	"github.com/clic-orchestrator/clic/master/results"
)

// adapters are the ways to a real HDFS.
func adapters(t *testing.T, c *hdfstest.Cluster) map[string]dfs.FS {
	t.Helper()
	properties, err := hadoop.Load(c.ConfDir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := properties.Config("")
	if err != nil {
		t.Fatal(err)
	}
	config.User = c.User
	all := map[string]dfs.FS{}
	if all["hdfs"], err = hdfs.New(config); err != nil {
		t.Fatal(err)
	}
	for name, service := range map[string]string{"webhdfs": c.WebHDFS, "httpfs": c.HTTPFS} {
		if all[name], err = webhdfs.New(webhdfs.Config{URLs: []string{service}, User: c.User}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, fsys := range all {
			if err := fsys.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return all
}

// TestOnHDFS reads results of a real HDFS by all ways.
func TestOnHDFS(t *testing.T) {
	all := adapters(t, hdfstest.Shared(t))
	dir := "/" + rand.Text()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := all["webhdfs"].Remove(ctx, dir, true); err != nil {
			t.Error(err)
		}
	})
	for name, content := range map[string]string{
		"table/_SUCCESS": "", "table/k=1/part-0.parquet": parquetOf(t, people("a", "b")), "table/k=2/part-1.parquet": parquetOf(t, people("c")),
		"text/part-0.gz": zipped("one\ntwo\n"), "text/part-1.zst": zstandard(t, "three\n"), "text/part-2": "",
		"cut.parquet": parquetOf(t, people("a"))[:200],
	} {
		w, err := all["hdfs"].Create(t.Context(), dir+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, fsys := range all {
		t.Run(name, func(t *testing.T) {
			resolve := func(uri string) (dfs.FS, string, error) {
				l, err := dfs.ParseURI(uri)
				return fsys, l.Path, err
			}
			r := reader(t, results.Config{Sources: map[string]results.Source{"hdfs": results.FromFS(resolve, []string{"hdfs://" + dir})}})
			p, err := r.Head(t.Context(), "hdfs://"+dir+"/table", 10)
			if err != nil || fmt.Sprint(p.Rows) != `[[a 0 ["t","a"] 1] [b  ["t","b"] 1] [c 0 ["t","c"] 2]]` {
				t.Errorf("%+v, %v", p, err)
			}
			p, err = r.Head(t.Context(), "hdfs://"+dir+"/text", 10)
			if err != nil || fmt.Sprint(p.Lines) != "[one two three]" {
				t.Errorf("%+v, %v", p, err)
			}
			for success, want := range map[string]error{"_SUCCESS": nil, "rows>=3": nil, "rows>=4": results.ErrUnmet} {
				if err := r.Check(t.Context(), results.Contract{Path: "hdfs://" + dir + "/table", Success: success}); !errors.Is(err, want) {
					t.Errorf("%s: %v", success, err)
				}
			}
			for path, want := range map[string]error{
				dir + "/cut.parquet": results.ErrDamaged, dir + "/none": fs.ErrNotExist, "/elsewhere": results.ErrDenied,
			} {
				if _, err := r.Head(t.Context(), "hdfs://"+path, 1); !errors.Is(err, want) {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
}
