//go:build hdfs

package hdfs_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// TestStates brings an HDFS into states in which it does not do everything, and looks at what callers are told.
func TestStates(t *testing.T) {
	c := hdfstest.Own(t)
	fsys := connect(t, c, func(config *hadoop.Config) {
		config.RetryFor, config.DataTimeout, config.BlockSize = 3*time.Second, 2*time.Second, 1<<20
	})
	content := random(3 << 20)
	if err := write(t.Context(), fsys, "/dir/file", content); err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(ctx context.Context, name string) error{
		"create":    func(ctx context.Context, name string) error { return write(ctx, fsys, name, content) },
		"mkdir":     func(ctx context.Context, name string) error { return fsys.MkdirAll(ctx, name) },
		"rename":    func(ctx context.Context, name string) error { return fsys.Rename(ctx, "/dir/file", name) },
		"overwrite": func(ctx context.Context, _ string) error { return fsys.Remove(ctx, "/dir/file", false) },
	}
	// refused makes all changes, and says what comes of each.
	refused := func(want error, text string) {
		t.Helper()
		for name, change := range changes {
			begin := time.Now()
			err := change(t.Context(), "/dir/new-"+name)
			if !errors.Is(err, want) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "/dir/") {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("%s took %s", name, took)
			}
		}
		if got, err := read(t.Context(), fsys, "/dir/file"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if list, err := fsys.ReadDir(t.Context(), "/dir", 0); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
	}
	c.Tool(t, "dfsadmin", "-safemode", "enter")
	refused(dfs.ErrUnavailable, "SafeModeException")
	c.Tool(t, "dfsadmin", "-safemode", "leave")

	c.Tool(t, "dfsadmin", "-setQuota", "2", "/dir") // the directory itself counts
	delete(changes, "overwrite")
	delete(changes, "rename")
	refused(dfs.ErrQuota, "quota")
	c.Tool(t, "dfsadmin", "-clrQuota", "/dir")
	c.Tool(t, "dfsadmin", "-setSpaceQuota", "8m", "/dir")
	delete(changes, "mkdir")
	refused(dfs.ErrQuota, "quota")
	c.Tool(t, "dfsadmin", "-clrSpaceQuota", "/dir")

	c.Tool(t, "dfsadmin", "-allowSnapshot", "/dir")
	c.Tool(t, "dfs", "-createSnapshot", "/dir", "then")
	if err := fsys.Remove(t.Context(), "/dir/file", false); err != nil {
		t.Error(err)
	}
	if got, err := read(t.Context(), fsys, "/dir/.snapshot/then/file"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("of a snapshot: %d bytes, %v", len(got), err)
	}
	if err := write(t.Context(), fsys, "/dir/.snapshot/then/new", content); err == nil {
		t.Error("a snapshot was written to")
	}
	if err := fsys.Remove(t.Context(), "/dir", true); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory with snapshots: %v", err)
	}

	// A datanode that hangs takes connections and says nothing: a write goes on without it once the namenode has noticed.
	patient := connect(t, c, func(config *hadoop.Config) { config.RetryFor, config.DataTimeout = 40*time.Second, 2*time.Second })
	c.Script(t, "pause", "datanode1")
	begin := time.Now()
	err := write(t.Context(), patient, "/hung", content)
	t.Logf("a file was written in %s while a datanode hung", time.Since(begin))
	if err != nil {
		t.Error(err)
	}
	c.Script(t, "resume", "datanode1")
	if got, err := read(t.Context(), fsys, "/hung"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
