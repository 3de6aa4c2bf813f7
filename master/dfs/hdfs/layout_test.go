//go:build hdfs

package hdfs_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// TestErasureCoded meets files whose bytes do not stand in a row on any datanode: they are refused, with a way out, and never read as if
// they did. Nor are files written so.
func TestErasureCoded(t *testing.T) {
	c := hdfstest.Shared(t)
	fsys := connect(t, c, nil)
	dir := directory(t, fsys) + "/coded"
	c.ErasureCoded(t, dir)
	content := random(5 << 20)
	local := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(local, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Tool(t, "dfs", "-put", local, dir+"/file")
	c.Tool(t, "dfs", "-touchz", dir+"/empty")

	for _, name := range []string{dir + "/file", dir + "/empty"} {
		got, err := read(t.Context(), fsys, name)
		if !errors.Is(err, dfs.ErrInvalid) || !strings.Contains(err.Error(), "erasure") || !strings.Contains(err.Error(), name) {
			t.Errorf("%d bytes were read, right ones %v; %v", len(got), bytes.HasPrefix(content, got), err)
		}
	}
	for _, name := range []string{dir + "/new", dir + "/below/new"} {
		if err := write(t.Context(), fsys, name, content); !errors.Is(err, dfs.ErrInvalid) || !strings.Contains(err.Error(), "erasure") {
			t.Errorf("written: %v", err)
		}
	}
	if list, err := fsys.ReadDir(t.Context(), dir, 0); err != nil || len(list) < 2 {
		t.Errorf("%v, %v", list, err)
	}
	if err := fsys.Remove(t.Context(), dir+"/file", false); err != nil {
		t.Error(err)
	}
}
