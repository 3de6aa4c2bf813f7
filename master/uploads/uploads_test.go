package uploads_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
	"github.com/clic-orchestrator/clic/master/uploads"
)

type bench struct {
	*testing.T
	*uploads.Store
	dir string // the root of the file system
	now time.Time
}

func newBench(t *testing.T, c uploads.Config) *bench {
	t.Helper()
	dir := t.TempDir()
	files, err := disk.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	b := &bench{T: t, dir: dir, now: time.Now()}
	c.FS, c.Root, c.Base, c.Staging = files, "/up", "hdfs://test/up", filepath.Join(t.TempDir(), "staging")
	c.Now = func() time.Time { return b.now }
	if b.Store, err = uploads.New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func content(name string, data []byte) uploads.Content {
	sum := sha256.Sum256(data)
	return uploads.Content{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data)), Name: name}
}

// stored is what is in the file system under a URI.
func (b *bench) stored(uri string) []byte {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "up", filepath.FromSlash(strings.TrimPrefix(uri, "hdfs://test/up/"))))
	if err != nil {
		return nil
	}
	return data
}

func (b *bench) put(c uploads.Content, data []byte) string {
	b.Helper()
	state, err := b.Put(b.Context(), c, 0, data)
	if err != nil || !state.Complete || state.Offset != c.Size {
		b.Fatalf("%+v, %v", state, err)
	}
	return state.URI
}

// Parts arrive in any order and any number; what counts is what was asked for.
func TestParts(t *testing.T) {
	b := newBench(t, uploads.Config{})
	data := make([]byte, 1000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	c := content("app.jar", data)
	for _, step := range []struct{ from, to, want int64 }{
		{0, 0, 0}, {0, 300, 300}, {0, 300, 300}, {500, 600, 300}, {300, 300, 300}, {300, 999, 999},
	} {
		state, err := b.Put(t.Context(), c, step.from, data[step.from:step.to])
		if err != nil || state.Offset != step.want || state.Complete {
			t.Errorf("bytes %d to %d: %+v, %v", step.from, step.to, state, err)
		}
	}
	for range 2 { // and again, when it is there
		state, err := b.Put(t.Context(), c, 999, data[999:])
		if err != nil || !state.Complete || !bytes.Equal(b.stored(state.URI), data) || !strings.HasSuffix(state.URI, "/app.jar") {
			t.Errorf("%+v, %v", state, err)
		}
	}
	if uri := b.put(content("empty", nil), nil); b.stored(uri) == nil {
		t.Error("an empty file was not stored")
	}
}

func TestRefused(t *testing.T) {
	b := newBench(t, uploads.Config{MaxSize: 100, MaxStaged: 150})
	data := bytes.Repeat([]byte("x"), 100)
	good := content("x", data)
	for what, c := range map[string]struct {
		content uploads.Content
		data    []byte
		want    error
	}{
		"no checksum":     {uploads.Content{Name: "x", SHA256: "zz"}, nil, uploads.ErrBad},
		"upper case":      {uploads.Content{Name: "x", SHA256: strings.ToUpper(good.SHA256)}, nil, uploads.ErrBad},
		"a path":          {uploads.Content{Name: "../x", SHA256: good.SHA256}, nil, uploads.ErrBad},
		"no name":         {uploads.Content{SHA256: good.SHA256}, nil, uploads.ErrBad},
		"hidden":          {uploads.Content{Name: ".x", SHA256: good.SHA256}, nil, uploads.ErrBad},
		"a control":       {uploads.Content{Name: "a\nb", SHA256: good.SHA256}, nil, uploads.ErrBad},
		"a long name":     {uploads.Content{Name: strings.Repeat("x", 201), SHA256: good.SHA256}, nil, uploads.ErrBad},
		"negative":        {uploads.Content{Name: "x", SHA256: good.SHA256, Size: -1}, nil, uploads.ErrBad},
		"too large":       {uploads.Content{Name: "x", SHA256: good.SHA256, Size: 101}, nil, uploads.ErrTooLarge},
		"more than said":  {uploads.Content{Name: "x", SHA256: good.SHA256, Size: 10}, data, uploads.ErrBad},
		"wrong checksum":  {uploads.Content{Name: "x", SHA256: strings.Repeat("0", 64), Size: 100}, data, uploads.ErrChecksum},
		"of another task": {good, nil, nil},
	} {
		if _, err := b.Put(t.Context(), c.content, 0, c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if _, err := b.Put(t.Context(), good, 0, data[:99]); err != nil {
		t.Error(err)
	}
	other := bytes.Repeat([]byte("y"), 90)
	if _, err := b.Put(t.Context(), content("y", other), 0, other[:80]); !errors.Is(err, uploads.ErrTooLarge) {
		t.Errorf("more at once than is allowed: %v", err)
	}
	if err := b.Claim(t.Context(), "t", []uploads.Content{good}); !errors.Is(err, uploads.ErrMissing) {
		t.Errorf("a claim of what is not there: %v", err)
	}
}

// What several tasks use goes with the last of them.
func TestRelease(t *testing.T) {
	b := newBench(t, uploads.Config{})
	one, two := content("one", []byte("1")), content("two", []byte("2"))
	uri1, uri2 := b.put(one, []byte("1")), b.put(two, []byte("2"))
	for task, uses := range map[string][]uploads.Content{"a": {one, two}, "b": {one}} {
		for range 2 {
			if err := b.Claim(t.Context(), task, uses); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		task     string
		one, two bool
	}{{"none", true, true}, {"a", true, false}, {"a", true, false}, {"b", false, false}} {
		if err := b.Release(t.Context(), step.task); err != nil {
			t.Fatal(err)
		}
		if got := b.stored(uri1) != nil; got != step.one {
			t.Errorf("after %q the first is there: %v", step.task, got)
		}
		if got := b.stored(uri2) != nil; got != step.two {
			t.Errorf("after %q the second is there: %v", step.task, got)
		}
	}
}

func TestSweep(t *testing.T) {
	b := newBench(t, uploads.Config{Unused: time.Hour})
	used, unused, lost := content("used", []byte("1")), content("unused", []byte("2")), content("lost", []byte("3"))
	uris := []string{b.put(used, []byte("1")), b.put(unused, []byte("2")), b.put(lost, []byte("3"))}
	half := content("half", []byte("45"))
	_, err := b.Put(t.Context(), half, 0, []byte("4"))
	err = errors.Join(err, b.Claim(t.Context(), "known", []uploads.Content{used}), b.Claim(t.Context(), "gone", []uploads.Content{lost}))
	if err != nil {
		t.Fatal(err)
	}
	exists := func(_ context.Context, task string) (bool, error) { return task == "known", nil }
	there := func() (all []bool) {
		for _, uri := range uris {
			all = append(all, b.stored(uri) != nil)
		}
		state, err := b.Put(t.Context(), half, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, state.Offset == 1)
	}
	if err := b.Sweep(t.Context(), exists); err != nil || fmt.Sprint(there()) != "[true true true true]" {
		t.Errorf("what is new: %v, %v", there(), err)
	}
	b.now = b.now.Add(2 * time.Hour)
	if err := b.Sweep(t.Context(), exists); err != nil || fmt.Sprint(there()) != "[true false false false]" {
		t.Errorf("later: %v, %v", there(), err)
	}
	if err := b.Release(t.Context(), "known"); err != nil || b.stored(uris[0]) != nil {
		t.Error("what a task had claimed is still there", err)
	}
}

// Whoever claims a content while its last user goes has it, or is told that he has not.
func TestRace(t *testing.T) {
	b := newBench(t, uploads.Config{})
	data := []byte("data")
	c := content("x", data)
	var work sync.WaitGroup
	for worker := range 8 {
		work.Go(func() {
			task := fmt.Sprintf("t%d", worker)
			for range 50 {
				uri := b.URI(c)
				if _, err := b.Put(t.Context(), c, 0, data); err != nil {
					t.Error(err)
				}
				err := b.Claim(t.Context(), task, []uploads.Content{c})
				if errors.Is(err, uploads.ErrMissing) {
					continue // somebody else was the last to use it
				}
				if err != nil || !bytes.Equal(b.stored(uri), data) {
					t.Errorf("claimed, and not there: %v", err)
				}
				if err := b.Release(t.Context(), task); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	left, err := filepath.Glob(filepath.Join(b.dir, "up", "content", "*", "*", "x"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// meeting is a file system on the way to which something happens.
type meeting struct {
	dfs.FS
	create func(name string)
	remove func(name string)
}

func (m *meeting) Create(ctx context.Context, name string) (dfs.Writer, error) {
	if m.create != nil {
		m.create(name)
	}
	return m.FS.Create(ctx, name)
}

func (m *meeting) Remove(ctx context.Context, name string, all bool) error {
	if m.remove != nil {
		m.remove(name)
	}
	return m.FS.Remove(ctx, name, all)
}

// TestTwoMasters has another master store the same content at the same moment. It stays where it is: stages may read it already.
func TestTwoMasters(t *testing.T) {
	for _, late := range []bool{false, true} {
		m := &meeting{}
		one := newBench(t, uploads.Config{})
		files, err := disk.New(one.dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = files.Close() })
		m.FS = files
		other, err := uploads.New(uploads.Config{FS: m, Root: "/up", Base: "hdfs://test/up", Staging: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		data := []byte("data of two")
		c := content("app.jar", data)
		meet := func() {
			m.create = nil
			if got := one.stored(one.put(c, data)); !bytes.Equal(got, data) {
				t.Errorf("%q", got)
			}
		}
		m.create = func(string) { meet() }
		if late { // not before the file is begun
			m.create = nil
			m.FS = &closing{FS: files, before: meet}
		}
		m.remove = func(name string) { t.Errorf("%q is removed", name) }
		state, err := other.Put(t.Context(), c, 0, data)
		if err != nil || !state.Complete {
			t.Errorf("%+v, %v", state, err)
		}
	}
}

// closing is a file system in which something happens before a file is complete.
type closing struct {
	dfs.FS
	before func()
}

type closingWriter struct {
	dfs.Writer
	before func()
}

func (c *closing) Create(ctx context.Context, name string) (dfs.Writer, error) {
	w, err := c.FS.Create(ctx, name)
	return &closingWriter{w, c.before}, err
}

func (w *closingWriter) Close() error {
	w.before()
	return w.Writer.Close()
}

// slow is a Store whose file system does not go on when the first file is to be complete, before leave is called.
func slow(t *testing.T, wait time.Duration) (s *uploads.Store, entered <-chan struct{}, leave func()) {
	t.Helper()
	files, err := disk.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	in, out := make(chan struct{}), make(chan struct{})
	fsys := &closing{FS: files, before: sync.OnceFunc(func() {
		close(in)
		<-out
	})}
	if s, err = uploads.New(uploads.Config{FS: fsys, Root: "/up", Base: "/up", Staging: t.TempDir(), Wait: wait}); err != nil {
		t.Fatal(err)
	}
	leave = sync.OnceFunc(func() { close(out) })
	t.Cleanup(func() {
		leave()
		s.Close()
	})
	return s, in, leave
}

// TestTurn has callers wait for a content that takes its time, for no longer than they want to, and come back for it.
func TestTurn(t *testing.T) {
	s, entered, leave := slow(t, time.Hour)
	data := []byte("much data")
	c, same := content("app.jar", data), content("other.jar", data)
	gone, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Put(gone, c, 0, data)
		done <- err
	}()
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait any more: %v", err)
	}
	for _, c := range []uploads.Content{c, same} {
		if _, err := s.Put(gone, c, 0, data); !errors.Is(err, context.Canceled) {
			t.Errorf("while another one is at it: %v", err)
		}
	}
	go func() {
		state, err := s.Put(context.Background(), c, c.Size, nil)
		if err == nil && !state.Complete {
			err = errors.New("it is not complete")
		}
		done <- err
	}()
	leave()
	if err := <-done; err != nil {
		t.Errorf("who comes back: %v", err)
	}
}

// TestLongMove answers before a large content is where it belongs.
func TestLongMove(t *testing.T) {
	s, entered, leave := slow(t, time.Millisecond)
	data := []byte("much data")
	c := content("app.jar", data)
	for range 3 {
		if state, err := s.Put(t.Context(), c, 0, data); err != nil || state.Complete || state.Offset != c.Size {
			t.Errorf("%+v, %v", state, err)
		}
	}
	<-entered
	leave()
	for {
		state, err := s.Put(t.Context(), c, c.Size, nil)
		if err != nil || state.Offset != c.Size {
			t.Fatalf("%+v, %v", state, err)
		}
		if state.Complete {
			break
		}
	}
	s.Close()
	if state, err := s.Put(t.Context(), content("b", []byte("b")), 0, []byte("b")); err == nil {
		t.Errorf("after Close: %+v", state)
	}
}

// TestAnotherSize has somebody announce a wrong size, which costs those nothing who are right.
func TestAnotherSize(t *testing.T) {
	b := newBench(t, uploads.Config{})
	data := []byte("0123456789")
	c := content("app.jar", data)
	if state, err := b.Put(t.Context(), c, 0, data[:6]); err != nil || state.Offset != 6 {
		t.Fatalf("%+v, %v", state, err)
	}
	wrong := c
	wrong.Size = 3
	if _, err := b.Put(t.Context(), wrong, 0, []byte("abc")); !errors.Is(err, uploads.ErrChecksum) {
		t.Errorf("%v", err)
	}
	if state, err := b.Put(t.Context(), c, 6, data[6:]); err != nil || !state.Complete {
		t.Errorf("%+v, %v", state, err)
	}
}
