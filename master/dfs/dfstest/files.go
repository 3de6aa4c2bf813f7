package dfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/clic-orchestrator/clic/master/dfs"
)

func testCreate(t *testing.T, p *place) {
	for _, content := range []string{"", "x", strings.Repeat("0123456789", 1000)} {
		name := p.path("not", "there", "yet", fmt.Sprint(len(content)))
		p.write(t, name, []byte(content))
		if got := p.read(t, name); string(got) != content {
			t.Errorf("read %d bytes, want %d", len(got), len(content))
		}
	}
	p.write(t, p.path("file"), []byte("old"))
	for _, name := range []string{p.path("file"), p.path("not")} {
		wants(t, write(t, p.FS, name, []byte("new")), "Create of what exists", name, fs.ErrExist)
	}
	if got := p.read(t, p.path("file")); string(got) != "old" {
		t.Errorf("the file that was there reads %q", got)
	}
	wants(t, write(t, p.FS, p.path("file", "below"), nil), "Create below a file", p.path("file", "below"), dfs.ErrNotDirectory)
	wants(t, write(t, p.FS, "/", nil), "Create of the root", "", fs.ErrExist)

	w, err := p.FS.Create(t.Context(), p.path("pieces"))
	if err != nil {
		t.Fatal(err)
	}
	want := random(300_000)
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 1+len(rest)/7)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a Write after Close has no error")
	}
	if err := w.Abort(); err != nil {
		t.Errorf("an Abort after Close: %v", err)
	}
	if d := different(p.read(t, p.path("pieces")), want); d != "" {
		t.Error(d)
	}
	p.holds(t, p.dir, "file", "not", "pieces")
}

// testCreateTwice lets several write one name at once: one of them gets it, whole.
func testCreateTwice(t *testing.T, p *place) {
	var winners atomic.Int32
	together(4, func(i int) {
		err := write(t, p.FS, p.path("one"), bytes.Repeat([]byte{byte('a' + i)}, 100_000))
		if err == nil {
			winners.Add(1)
		} else if !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	})
	if winners.Load() != 1 {
		t.Errorf("%d of 4 wrote the file", winners.Load())
	}
	if got := p.read(t, p.path("one")); len(got) != 100_000 || bytes.Count(got, got[:1]) != len(got) {
		t.Errorf("the file has %d bytes, %d of one writer", len(got), bytes.Count(got, got[:1]))
	}
	p.holds(t, p.dir, "one")
}

func testAbort(t *testing.T, p *place) {
	for name, content := range map[string][]byte{"nothing": nil, "little": []byte("x"), "much": random(3 << 20)} {
		w, err := p.FS.Create(t.Context(), p.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
		}
		if err := w.Close(); err == nil {
			t.Error("Close after Abort has no error")
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("Write after Abort has no error")
		}
	}
	p.holds(t, p.dir)
}

func testOpen(t *testing.T, p *place) {
	_, err := p.FS.Open(t.Context(), p.path("none"))
	wants(t, err, "Open of nothing", p.path("none"), fs.ErrNotExist)
	_, err = p.FS.Open(t.Context(), p.dir)
	wants(t, err, "Open of a directory", p.dir, dfs.ErrIsDirectory)
	for _, size := range []int{0, 1, 511, 512, 513, 4096, 70_001} {
		want := random(size)
		p.write(t, p.path("file"), want)
		f, err := p.FS.Open(t.Context(), p.path("file"))
		if err != nil {
			t.Fatal(err)
		}
		if f.Size() != int64(size) {
			t.Errorf("%d bytes, want %d", f.Size(), size)
		}
		if err := iotest.TestReader(f, want); err != nil {
			t.Error(err)
		}
		if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // io.Reader's contract wants io.EOF itself
			t.Errorf("after the end: %d, %v", n, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a Read after Close: %v", err)
		}
		if _, err := f.ReadAt(make([]byte, 1), 0); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a ReadAt after Close: %v", err)
		}
		if err := p.Remove(t.Context(), p.path("file"), false); err != nil {
			t.Fatal(err)
		}
	}
}

func testBigFile(t *testing.T, p *place) {
	want := random(5<<20 + 12_345)
	p.write(t, p.path("big"), want)
	for _, size := range []int{7, 512, 4096, 100_000, len(want)} {
		f, err := p.FS.Open(t.Context(), p.path("big"))
		if err != nil {
			t.Fatal(err)
		}
		reader := io.Reader(f)
		if size == 7 {
			reader = io.LimitReader(f, 50_000)
		}
		var got bytes.Buffer
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{reader}, make([]byte, size)); err != nil {
			t.Error(err)
		}
		if d := different(got.Bytes(), want[:min(got.Len(), len(want))]); d != "" || size != 7 && got.Len() != len(want) {
			t.Errorf("by %d bytes: %d bytes, %s", size, got.Len(), d)
		}
		f.Close()
	}
}

func testReadAt(t *testing.T, p *place) {
	want := random(3<<20 + 777)
	p.write(t, p.path("big"), want)
	f, err := p.FS.Open(t.Context(), p.path("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	next := 0
	for range 60 {
		// Anywhere, a little further on, or right where the last one ended.
		off, length := rnd.IntN(len(want)), 1+rnd.IntN(50_000)
		switch rnd.IntN(3) {
		case 0:
			off = min(next, len(want)-1)
		case 1:
			off = min(next+rnd.IntN(10_000), len(want)-1)
		}
		got := make([]byte, length)
		n, err := f.ReadAt(got, int64(off))
		if short := off+length > len(want); n != min(length, len(want)-off) || err != nil && (!short || err != io.EOF) || short && err == nil { //nolint:errorlint // io.ReaderAt wants io.EOF itself
			t.Fatalf("%d bytes at %d of %d: %d, %v", length, off, len(want), n, err)
		}
		if d := different(got[:n], want[off:off+n]); d != "" {
			t.Fatalf("%d bytes at %d: %s", length, off, d)
		}
		next = off + n
	}
	if n, err := f.ReadAt(make([]byte, 1), int64(len(want))); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("before the beginning: %v", err)
	}
	// None of these moved the place where Read goes on, and they can be made at once.
	head := make([]byte, 1000)
	if _, err := io.ReadFull(f, head); err != nil || different(head, want[:1000]) != "" {
		t.Errorf("Read after ReadAt: %v, %s", err, different(head, want[:1000]))
	}
	together(4, func(i int) {
		got := make([]byte, 100_000)
		if _, err := f.ReadAt(got, int64(i)*500_000); err != nil || different(got, want[i*500_000:][:len(got)]) != "" {
			t.Errorf("several at once: %v", err)
		}
	})
	rest, err := io.ReadAll(f)
	if d := different(rest, want[1000:]); err != nil || d != "" {
		t.Errorf("the rest: %v, %s", err, d)
	}
}
