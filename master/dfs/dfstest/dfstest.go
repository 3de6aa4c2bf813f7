// Package dfstest is the suite that every file system of package dfs passes: what its contract promises, on real files. An adapter's
// test is a Backend and a call of Run.
package dfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Backend is a file system under test.
type Backend struct {
	// Root is a directory of it that exists, is empty, and may be filled and emptied by New's user.
	Root string
	// New connects to it as the user that owns Root. It is called several times.
	New func(t *testing.T) dfs.FS
	// Stranger connects as a user without any rights but those that everybody has. Nil where there are no users: then Private is
	// not called, and what permissions do is not tested.
	Stranger func(t *testing.T) dfs.FS
	// Private takes from everybody but the owner all rights to a file or directory.
	Private func(t *testing.T, name string)
	// Fill makes n empty files part-00000, part-00001, … in a directory that exists. Nil: with Create.
	Fill func(t *testing.T, dir string, n int)
	// Many is how many entries a large directory has; 0 is 10,000.
	Many int
}

// Run runs the suite. Each test has a directory of its own below the backend's root.
func Run(t *testing.T, b Backend) {
	if b.Many == 0 {
		b.Many = 10_000
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *place)
	}{
		{"Paths", testPaths},
		{"Stat", testStat},
		{"ReadDir", testReadDir},
		{"ManyEntries", testManyEntries},
		{"OddNames", testOddNames},
		{"Create", testCreate},
		{"CreateTwice", testCreateTwice},
		{"Abort", testAbort},
		{"Open", testOpen},
		{"BigFile", testBigFile},
		{"ReadAt", testReadAt},
		{"MkdirAll", testMkdirAll},
		{"Rename", testRename},
		{"RenameRefused", testRenameRefused},
		{"RenameRace", testRenameRace},
		{"Remove", testRemove},
		{"Permissions", testPermissions},
		{"CancelledCalls", testCancelledCalls},
		{"CancelledFiles", testCancelledFiles},
		{"ManyUsers", testManyUsers},
		{"Close", testClose},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := connect(t, b.New)
			p := &place{Backend: b, FS: fsys, dir: path.Join(b.Root, strings.ToLower(test.name))}
			if err := fsys.MkdirAll(t.Context(), p.dir); err != nil {
				t.Fatal(err)
			}
			test.run(t, p)
			if err := fsys.Remove(t.Context(), p.dir, true); err != nil {
				t.Errorf("cannot tidy up: %v", err)
			}
		})
	}
}

// place is where one test of the suite works.
type place struct {
	Backend
	dfs.FS
	dir string
}

// connect opens a file system until the end of the test.
func connect(t *testing.T, open func(*testing.T) dfs.FS) dfs.FS {
	t.Helper()
	fsys := open(t)
	t.Cleanup(func() {
		if err := fsys.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fsys
}

// path gives the path of something below the test's directory.
func (p *place) path(elements ...string) string {
	return path.Join(append([]string{p.dir}, elements...)...)
}

// write makes a file.
func (p *place) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := write(t, p.FS, name, content); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, fsys dfs.FS, name string, content []byte) error {
	t.Helper()
	w, err := fsys.Create(t.Context(), name)
	if err != nil {
		return err
	}
	if n, err := w.Write(content); err != nil || n != len(content) {
		return errors.Join(fmt.Errorf("wrote %d bytes of %d: %w", n, len(content), err), w.Abort())
	}
	return w.Close()
}

// read gives what is in a file.
func (p *place) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := read(t, p.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func read(t *testing.T, fsys dfs.FS, name string) ([]byte, error) {
	t.Helper()
	f, err := fsys.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// names lists a directory.
func (p *place) names(t *testing.T, dir string, limit int) []string {
	t.Helper()
	entries, err := p.ReadDir(t.Context(), dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names
}

// holds checks what a directory has in it.
func (p *place) holds(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := p.names(t, dir, 0); !slices.Equal(got, want) {
		t.Errorf("%q has %q, want %q", dir, got, want)
	}
}

// wants checks that an error is one of those wanted, and names the path.
func wants(t *testing.T, err error, call, name string, want ...error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %q", call, want)
		return
	}
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		t.Errorf("%s: %v, which is not %q", call, err, want)
	}
	if name != "" && !strings.Contains(err.Error(), name) {
		t.Errorf("%s: %v, which does not name %s", call, err, name)
	}
}

// random gives bytes that no two places of a file have the same of.
func random(n int) []byte {
	content := make([]byte, n)
	source := rand.NewChaCha8([32]byte([]byte("dfstest: the same bytes any time")))
	_, _ = source.Read(content) // never fails
	return content
}

// different says where two long contents differ first, "" if they do not.
func different(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	n := min(len(got), len(want))
	for i := range n {
		if got[i] != want[i] {
			return fmt.Sprintf("differ at byte %d of %d", i, len(want))
		}
	}
	return fmt.Sprintf("%d bytes instead of %d", len(got), len(want))
}

// together runs f in n goroutines and waits for them.
func together(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}
