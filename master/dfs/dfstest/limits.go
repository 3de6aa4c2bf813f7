package dfstest

import (
	"context"
	"fmt"
	"io/fs"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs"
)

func testPermissions(t *testing.T, p *place) {
	if p.Stranger == nil {
		return
	}
	stranger := connect(t, p.Stranger)
	p.write(t, p.path("secret"), []byte("x"))
	p.write(t, p.path("empty secret"), nil)
	p.write(t, p.path("dir", "file"), []byte("x"))
	p.write(t, p.path("open"), []byte("x"))
	for _, name := range []string{"secret", "empty secret", "dir"} {
		p.Private(t, p.path(name))
	}
	if got, err := read(t, stranger, p.path("open")); err != nil || string(got) != "x" {
		t.Errorf("what everybody may read: %q, %v", got, err)
	}
	if _, err := stranger.Stat(t.Context(), p.path("secret")); err != nil {
		t.Errorf("what a directory says of a file: %v", err)
	}
	for _, c := range []struct {
		what string
		name string
		do   func(name string) error
	}{
		// At Open: nobody shall begin to read what he may not.
		{"Open", "secret", func(name string) error { _, err := stranger.Open(t.Context(), name); return err }},
		{"Open", "empty secret", func(name string) error { _, err := stranger.Open(t.Context(), name); return err }},
		{"Open", "dir/file", func(name string) error { _, err := stranger.Open(t.Context(), name); return err }},
		{"Stat", "dir/file", func(name string) error { _, err := stranger.Stat(t.Context(), name); return err }},
		{"ReadDir", "dir", func(name string) error { _, err := stranger.ReadDir(t.Context(), name, 0); return err }},
		{"Create", "new", func(name string) error { return write(t, stranger, name, nil) }},
		{"Create", "dir/new", func(name string) error { return write(t, stranger, name, nil) }},
		{"MkdirAll", "new", func(name string) error { return stranger.MkdirAll(t.Context(), name) }},
		{"Rename", "open", func(name string) error { return stranger.Rename(t.Context(), name, name+"2") }},
		{"Remove", "open", func(name string) error { return stranger.Remove(t.Context(), name, false) }},
		{"Remove all", "dir", func(name string) error { return stranger.Remove(t.Context(), name, true) }},
	} {
		name := p.path(c.name)
		wants(t, c.do(name), c.what+" without permission", name, fs.ErrPermission)
	}
	p.holds(t, p.dir, "dir", "empty secret", "open", "secret")
}

func testCancelledCalls(t *testing.T, p *place) {
	p.write(t, p.path("file"), []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range calls {
		wants(t, c.do(ctx, p, p.path("file")), c.name+" with a cancelled context", p.path("file"), context.Canceled)
	}
	p.holds(t, p.dir, "file")
	// The next ones are none the worse for it.
	if got := p.read(t, p.path("file")); string(got) != "x" {
		t.Errorf("read %q", got)
	}
}

// testCancelledFiles cancels what files were opened and created with.
func testCancelledFiles(t *testing.T, p *place) {
	p.write(t, p.path("big"), random(3<<20))
	ctx, cancel := context.WithCancel(t.Context())
	f, err := p.FS.Open(ctx, p.path("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := p.FS.Create(ctx, p.path("new"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = f.Read(make([]byte, 3<<20))
	wants(t, err, "Read with a cancelled context", p.path("big"), context.Canceled)
	_, err = f.ReadAt(make([]byte, 10), 1<<20)
	wants(t, err, "ReadAt with a cancelled context", p.path("big"), context.Canceled)
	wants(t, w.Close(), "Close with a cancelled context", p.path("new"), context.Canceled)
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after a Close that failed: %v", err)
	}
	p.holds(t, p.dir, "big")
}

// testManyUsers uses one FS from many goroutines at once.
func testManyUsers(t *testing.T, p *place) {
	together(16, func(i int) {
		dir := p.path(fmt.Sprint(i))
		content := random(100_000 + i)
		for n := range 3 {
			name := fmt.Sprintf("%s/%d", dir, n)
			if err := write(t, p.FS, name, content); err != nil {
				t.Error(err)
				return
			}
			got, err := read(t, p.FS, name)
			if d := different(got, content); err != nil || d != "" {
				t.Error(err, d)
			}
			if err := p.Rename(t.Context(), name, name+"-moved"); err != nil {
				t.Error(err)
			}
		}
		if entries, err := p.ReadDir(t.Context(), dir, 0); err != nil || len(entries) != 3 {
			t.Errorf("%d entries, %v", len(entries), err)
		}
		if err := p.Remove(t.Context(), dir, true); err != nil {
			t.Error(err)
		}
	})
	p.holds(t, p.dir)
}

func testClose(t *testing.T, p *place) {
	p.write(t, p.path("file"), random(1<<20))
	fsys := p.New(t)
	f, err := fsys.Open(t.Context(), p.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := fsys.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 10), 900_000); err == nil {
		t.Error("a file can be read after its file system was closed")
	}
	if err := f.Close(); err != nil {
		t.Errorf("closing a file after its file system: %v", err)
	}
	for _, c := range calls {
		wants(t, c.do(t.Context(), fsys, p.path("file")), c.name+" after Close", p.path("file"), dfs.ErrUnavailable)
	}
	p.holds(t, p.dir, "file")
}
