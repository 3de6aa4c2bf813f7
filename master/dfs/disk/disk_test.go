package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/dfstest"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
)

func open(t *testing.T, dir string) *disk.FS {
	t.Helper()
	fsys, err := disk.New(dir)
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

// Users are the system's here, and the test is only one of them: what permissions do is not tested.
func TestConformance(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tests"), 0o755); err != nil {
		t.Fatal(err)
	}
	dfstest.Run(t, dfstest.Backend{Root: "/tests", New: func(t *testing.T) dfs.FS { return open(t, dir) }, Fill: fill(dir)})
}

// fill makes many files faster than Create does, which waits for the disk.
func fill(root string) func(*testing.T, string, int) {
	return func(t *testing.T, dir string, n int) {
		for i := range n {
			if err := os.WriteFile(filepath.Join(root, dir, fmt.Sprintf("part-%05d", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNothingLeadsOut(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fsys := open(t, dir)
	if _, err := fsys.Open(t.Context(), "/link/secret"); err == nil {
		t.Error("a link led out of the directory")
	}
	if err := fsys.Remove(t.Context(), "/link", true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Errorf("what a link led to was removed: %v", err)
	}
}

func TestPipes(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	fsys := open(t, dir)
	if _, err := fsys.Open(t.Context(), "/pipe"); !errors.Is(err, dfs.ErrInvalid) {
		t.Errorf("opened a pipe: %v", err)
	}
}

func TestNew(t *testing.T) {
	if _, err := disk.New(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
