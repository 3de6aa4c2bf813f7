//go:build hdfs

package hdfs_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	lib "github.com/colinmarc/hdfs/v2"
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/dfstest"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// connect makes the file system of a cluster, as its configuration says, with changes.
func connect(t testing.TB, c *hdfstest.Cluster, change func(*hadoop.Config)) *hdfs.FS {
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
	if change != nil {
		change(&config)
	}
	fsys, err := hdfs.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fsys.Close(); err != nil {
			t.Error(err)
		}
	})
	return fsys
}

// raw makes a client of the library, for what our file system does not do.
func raw(t testing.TB, c *hdfstest.Cluster) *lib.Client {
	t.Helper()
	client, err := lib.NewClient(lib.ClientOptions{Addresses: c.Namenodes, User: c.User})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// directory makes a directory for one test, and removes it.
func directory(t testing.TB, fsys dfs.FS) string {
	t.Helper()
	dir := "/" + rand.Text()
	if err := fsys.MkdirAll(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended by now.
		if err := fsys.Remove(context.Background(), dir, true); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill makes empty files part-00000 and so on.
func fill(t testing.TB, c *hdfstest.Cluster, dir string, n int, content []byte) {
	t.Helper()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			client, err := lib.NewClient(lib.ClientOptions{Addresses: c.Namenodes, User: c.User})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = client.Close() }()
			for k := i; k < n; k += 8 {
				w, err := client.CreateFile(fmt.Sprintf("%s/part-%05d", dir, k), 1, 1<<20, 0o644)
				if err == nil && len(content) > 0 {
					_, err = w.Write(content)
				}
				if err == nil {
					err = w.Close()
				}
				for lib.IsErrReplicating(err) {
					err = w.Close()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestConformance(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := hdfstest.Shared(t)
	small := func(config *hadoop.Config) { config.BlockSize = 1 << 20 }
	as := func(user string) func(t *testing.T) dfs.FS {
		return func(t *testing.T) dfs.FS {
			return connect(t, c, func(config *hadoop.Config) {
				small(config)
				config.User = user
			})
		}
	}
	t.Run("suite", func(t *testing.T) {
		client := raw(t, c)
		dfstest.Run(t, dfstest.Backend{
			Root:     directory(t, connect(t, c, nil)),
			New:      as(c.User),
			Stranger: as("nobody-in-particular"),
			Private: func(t *testing.T, name string) {
				if err := client.Chmod(name, os.FileMode(0o700)); err != nil {
					t.Fatal(err)
				}
			},
			Fill: func(t *testing.T, dir string, n int) { fill(t, c, dir, n, nil) },
		})
	})
}

// TestFirstLinesOfManyParts reads the beginnings of the first files of a directory with 10,000 of them.
func TestFirstLinesOfManyParts(t *testing.T) {
	c := hdfstest.Shared(t)
	fsys := connect(t, c, nil)
	dir := directory(t, fsys)
	fill(t, c, dir, 10_000, nil)
	line := []byte("a line of the first part\n")
	for i := range 3 {
		name := fmt.Sprintf("%s/first-%d", dir, i)
		w, err := fsys.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	entries, err := fsys.ReadDir(t.Context(), dir, 3)
	if err != nil || len(entries) != 3 {
		t.Fatal(len(entries), err)
	}
	for _, e := range entries {
		f, err := fsys.Open(t.Context(), dir+"/"+e.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		if _, err := f.Read(got); err != nil || string(got) != string(line) {
			t.Errorf("%q, %v", got, err)
		}
		f.Close()
	}
	t.Logf("the first lines of 3 of 10,003 files took %s", time.Since(begin))
}
