package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/master/dfs"
)

func open(t *testing.T) (f *FS, dir string) {
	t.Helper()
	dir = t.TempDir()
	f, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, dir
}

// TestRenameInOneStep watches a directory that is moved: a process that is killed at any moment leaves nothing under the new name, which
// would keep the next one from it.
func TestRenameInOneStep(t *testing.T) {
	f, dir := open(t)
	if err := os.Mkdir(filepath.Join(dir, "from"), 0o750); err != nil {
		t.Fatal(err)
	}
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	if err := f.Rename(t.Context(), "/from", "/to"); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Read(watch, make([]byte, 4096)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("something was made on the way: %d bytes of events, %v", n, err)
	}
}

// TestRenameInTwoSteps is how files and directories are moved where the system cannot do it in one.
func TestRenameInTwoSteps(t *testing.T) {
	f, dir := open(t)
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	write("b")
	if err := f.moveFile("/a", "/b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto another file: %v", err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if err := f.moveFile("/a", "/c"); err != nil {
		t.Errorf("where somebody was killed half-way: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old name: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := f.moveDir("/d", "/e"); err != nil {
		t.Error(err)
	}
	if err := f.moveDir("/e", "/c"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a directory onto a file: %v", err)
	}
}

// TestPipe has a pipe where a directory is expected, which would wait for a writer.
func TestPipe(t *testing.T) {
	f, dir := open(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() {
		_, err := f.ReadDir(t.Context(), "/pipe", 0)
		done <- err
		done <- f.Rename(t.Context(), "/file", "/pipe/file")
	}()
	for range 2 {
		select {
		case err := <-done:
			if !errors.Is(err, dfs.ErrNotDirectory) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for somebody to write to the pipe")
		}
	}
}

// TestFailedWrite closes a file of which a part could not be written.
func TestFailedWrite(t *testing.T) {
	f, dir := open(t)
	w, err := f.Create(t.Context(), "/out")
	if err != nil {
		t.Fatal(err)
	}
	// A full disk fails one write, too, and takes the next one.
	whole := w.(*writer).f
	if w.(*writer).f, err = os.Open(whole.Name()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write([]byte("lost")); err == nil {
		t.Fatalf("%d bytes were written", n)
	}
	if err := w.(*writer).f.Close(); err != nil {
		t.Fatal(err)
	}
	w.(*writer).f = whole
	if n, err := w.Write([]byte("more")); err == nil {
		t.Errorf("%d bytes were written after those that were not", n)
	}
	if err := w.Close(); err == nil {
		t.Error("a file without some of its bytes was closed")
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
