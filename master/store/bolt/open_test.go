package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// edit opens the file behind the store's back.
func edit(t *testing.T, dir string, f func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, bolt.FileName), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenMakesDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b c")
	s, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if want := filepath.Join(dir, bolt.FileName); s.Path() != want {
		t.Errorf("path is %q, want %q", s.Path(), want)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, s.Path(): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("mode of %s is %v, want %v; %v", path, info.Mode(), want, err)
		}
	}
}

func TestOpenRefusesNewer(t *testing.T) {
	dir := t.TempDir()
	s, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	edit(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), binary.BigEndian.AppendUint64(nil, 2))
	})
	_, err = bolt.Open(dir)
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v", err)
	}
	// The refusal has let go of the file.
	edit(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), binary.BigEndian.AppendUint64(nil, 1))
	})
	if s, err = bolt.Open(dir); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	for name, content := range map[string][]byte{
		"text":  bytes.Repeat([]byte("this is no store\n"), 4096),
		"short": []byte("x"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, bolt.FileName)
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := bolt.Open(dir)
			if err == nil {
				closeStore(t, s)
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("the message does not name the file: %v", err)
			}
			if got, _ := os.ReadFile(file); !bytes.Equal(got, content) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestCorruptRecord damages records one by one: an error that is not ErrUnavailable says so, and nothing panics.
func TestCorruptRecord(t *testing.T) {
	for _, c := range []struct {
		bucket string
		kind   byte
	}{{"hot", 'h'}, {"hot", 'i'}, {"hot", 's'}, {"cold", 'p'}} {
		t.Run(c.bucket+" "+string(c.kind), func(t *testing.T) {
			dir := t.TempDir()
			const task = "p-aaaaaaaa"
			s, epoch := lead(t, dir)
			err := s.Commit(t.Context(), epoch, []store.Change{{
				Create: true, Task: task, Header: &store.Header{Task: task, Plan: "p", Submitted: 1}, Source: []byte("plan"),
				Nodes: []store.NodeRecord{{Stage: "s", Spec: []byte("spec"), State: []byte("state")}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			edit(t, dir, func(tx *bbolt.Tx) error {
				top := tx.Bucket([]byte(c.bucket))
				id, _ := top.Cursor().First()
				k, v := top.Bucket(id).Cursor().Seek([]byte{c.kind})
				k, v = bytes.Clone(k), bytes.Clone(v)
				return top.Bucket(id).Put(k, v[:len(v)-2])
			})
			s, epoch = lead(t, dir)
			defer closeStore(t, s)
			_, err = s.Load(t.Context(), task)
			if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
				t.Errorf("load: error is %v", err)
			}
			other := []store.Change{{Create: true, Task: "p-bbbbbbbb", Header: &store.Header{Task: "p-bbbbbbbb"}, Source: []byte{}}}
			if err := s.Commit(t.Context(), epoch, other); err != nil {
				t.Errorf("another task cannot be written: %v", err)
			}
		})
	}
}

func closeStore(t *testing.T, s *bolt.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func lead(t *testing.T, dir string) (*bolt.Store, uint64) {
	t.Helper()
	s, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := s.Lead(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s, epoch
}

func TestInvalidChanges(t *testing.T) {
	s, epoch := lead(t, t.TempDir())
	defer closeStore(t, s)
	h := &store.Header{Task: "p-aaaaaaaa"}
	for name, c := range map[string]store.Change{
		"no task":       {Create: true, Header: h, Source: []byte{}},
		"no header":     {Create: true, Task: h.Task, Source: []byte{}},
		"no source":     {Create: true, Task: h.Task, Header: h},
		"other header":  {Create: true, Task: "p-bbbbbbbb", Header: h, Source: []byte{}},
		"negative node": {Create: true, Task: h.Task, Header: h, Source: []byte{}, Nodes: []store.NodeRecord{{Index: -1, Spec: []byte{}}}},
	} {
		if err := s.Commit(t.Context(), epoch, []store.Change{c}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSpaceIsReused: a file does not grow without end under tasks that come and go, nor under a task that goes on and on.
func TestSpaceIsReused(t *testing.T) {
	s, epoch := lead(t, t.TempDir())
	defer closeStore(t, s)
	commit := func(c store.Change) {
		t.Helper()
		if err := s.Commit(t.Context(), epoch, []store.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	size := func() int64 {
		info, err := os.Stat(s.Path())
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	h := &store.Header{Task: "p-aaaaaaaa", Plan: "p", Submitted: 1}
	lifetime := func() {
		c := store.Change{Create: true, Task: h.Task, Header: h, Source: make([]byte, 10_000)}
		for i := range 100 {
			c.Nodes = append(c.Nodes, store.NodeRecord{Index: int32(i), Stage: "s", Spec: make([]byte, 300), State: make([]byte, 200)})
		}
		commit(c)
		c = store.Change{Task: h.Task, Nodes: c.Nodes}
		for i := range c.Nodes {
			c.Nodes[i].Spec = nil
		}
		for range 200 { // 4 MB of states
			commit(c)
		}
		commit(store.Change{Delete: true, Task: h.Task})
	}
	lifetime()
	first := size()
	for range 5 {
		lifetime()
	}
	if now := size(); now > first { // bbolt lets a file grow by 16 MiB at once
		t.Errorf("the file grew from %d to %d bytes", first, now)
	}
}
