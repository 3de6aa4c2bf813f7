package logstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
	"github.com/clic-orchestrator/clic/master/logstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty is a file system that can be away. A call that finds it so says that.
type faulty struct {
	dfs.FS
	err   atomic.Pointer[error]
	asked atomic.Int64
}

func (f *faulty) fault() error {
	f.asked.Add(1)
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *faulty) Create(ctx context.Context, name string) (dfs.Writer, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	return f.FS.Create(ctx, name)
}

func (f *faulty) Remove(ctx context.Context, name string, all bool) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.FS.Remove(ctx, name, all)
}

// lines is a log that can be looked at.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

type site struct {
	*logstore.Store
	fs    *faulty
	root  string // of the file system, on this machine
	spool string
	log   lines
}

// open makes an archive in directories of its own. change may be nil.
func open(t *testing.T, change func(*logstore.Config)) *site {
	t.Helper()
	s := &site{root: t.TempDir(), spool: filepath.Join(t.TempDir(), "spool")}
	d, err := disk.New(s.root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	s.fs = &faulty{FS: d}
	s.again(t, change)
	return s
}

// again makes it anew, as a master that is started again does.
func (s *site) again(t *testing.T, change func(*logstore.Config)) {
	t.Helper()
	c := logstore.Config{FS: s.fs, Root: "/logs", Spool: s.spool, Logger: slog.New(slog.NewTextHandler(&s.log, nil))}
	if change != nil {
		change(&c)
	}
	var err error
	if s.Store, err = logstore.New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
}

func (s *site) put(t *testing.T, name, text string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func (s *site) read(t *testing.T, name string, from int64) string {
	t.Helper()
	r, err := s.Open(t.Context(), name, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *site) waiting(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(s.spool)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (s *site) stored(t *testing.T) (names []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.root, "logs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}

func (s *site) gone(t *testing.T, name string) {
	t.Helper()
	_, statErr := s.Stat(t.Context(), name)
	_, openErr := s.Open(t.Context(), name, 0)
	if !errors.Is(statErr, fs.ErrNotExist) || !errors.Is(openErr, fs.ErrNotExist) {
		t.Errorf("%s: %v, %v", name, statErr, openErr)
	}
}

func TestKeepsAndRemoves(t *testing.T) {
	s := open(t, nil)
	s.gone(t, "a")
	s.put(t, "a", "one\ntwo\n")
	if !s.Kept("a") || s.Kept("b") {
		t.Error("it does not know what is in the spool")
	}
	if got := s.read(t, "a", 4); got != "two\n" {
		t.Errorf("from the spool: %q", got)
	}
	s.Start()
	if err := s.Close(); err != nil { // which writes what there is
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.log"}, s.stored(t)); diff != "" || len(s.waiting(t)) > 0 || s.Kept("a") {
		t.Errorf("stored: %s; left: %v", diff, s.waiting(t))
	}
	for from, want := range map[int64]string{0: "one\ntwo\n", 4: "two\n", 8: "", 100: ""} {
		if got := s.read(t, "a", from); got != want {
			t.Errorf("from %d: %q", from, got)
		}
	}
	if at, err := s.Stat(t.Context(), "a"); err != nil || time.Since(at) > time.Hour {
		t.Errorf("written at %v, %v", at, err)
	}

	s.again(t, nil)
	s.put(t, "a", "another") // the one that is there is kept
	s.put(t, "b", "never seen")
	for _, name := range []string{"b", "never was"} {
		if err := s.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.read(t, "a", 0); got != "one\ntwo\n" || len(s.waiting(t)) > 0 {
		t.Errorf("%q, left %v", got, s.waiting(t))
	}
	s.gone(t, "b")
	if diff := cmp.Diff([]string{"a.log"}, s.stored(t)); diff != "" {
		t.Error(diff)
	}
}

func TestNamesThatAreNone(t *testing.T) {
	s := open(t, nil)
	for _, name := range []string{"", ".", "..", ".log-1", "a/b", `a\b`, "a:b", "a\x00"} {
		_, stat := s.Stat(t.Context(), name)
		_, read := s.Open(t.Context(), name, 0)
		for _, err := range []error{stat, read, s.Remove(name), s.Put(t.Context(), name, strings.NewReader("x"))} {
			if !errors.Is(err, logstore.ErrName) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

// A file system that is away keeps nobody waiting. Everything is written once it is back, and was said once.
func TestFileSystemAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		away := fmt.Errorf("connect: %w", dfs.ErrUnavailable)
		s.fs.err.Store(&away)
		s.Start()
		const n = 600 // more than are looked at in one go
		var want []string
		for i := range n {
			s.put(t, fmt.Sprintf("s%03d", i), "text")
			want = append(want, fmt.Sprintf("s%03d.log", i))
		}
		<-time.After(5 * time.Minute)
		synctest.Wait()
		if asked := s.fs.asked.Load(); asked > 60 {
			t.Errorf("it was asked %d times in five minutes", asked)
		}
		if got := s.read(t, "s599", 0); got != "text" {
			t.Errorf("meanwhile %q is read", got)
		}
		if err := s.Remove("s000"); err != nil {
			t.Fatal(err)
		}
		s.gone(t, "s000")
		s.fs.err.Store(nil)
		<-time.After(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(want[1:], sorted(s.stored(t))); diff != "" || len(s.waiting(t)) > 0 {
			t.Errorf("left %v; %s", s.waiting(t), diff)
		}
		if warned, back := s.log.count("cannot write logs"), s.log.count("written to their archive again"); warned != 1 || back != 1 {
			t.Errorf("said %d and %d times:\n%s", warned, back, s.log.text.String())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// A log that cannot be written keeps no other from it.
func TestOneThatCannotBeWritten(t *testing.T) {
	s := open(t, nil)
	place := filepath.Join(s.root, "logs")
	if err := os.MkdirAll(place, 0o700); err != nil {
		t.Fatal(err)
	}
	s.put(t, "good", "text")
	s.put(t, "bad", "text")
	// Its directory is a file.
	s.Start()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	at, err := filepath.Glob(filepath.Join(place, "*", "bad.log"))
	if err != nil || len(at) != 1 {
		t.Fatal(at, err)
	}
	if err := os.RemoveAll(filepath.Dir(at[0])); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(at[0]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.again(t, nil)
	s.put(t, "bad", "text")
	s.put(t, "other", "text")
	s.Start()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bad.log"}, s.waiting(t)); diff != "" {
		t.Error(diff)
	}
	if s.read(t, "other", 0) != "text" || s.read(t, "bad", 0) != "text" {
		t.Error("a log is lost")
	}
}

func TestSpoolIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *logstore.Config) { c.MaxSpool = 10 })
		away := fmt.Errorf("connect: %w", dfs.ErrUnavailable)
		s.fs.err.Store(&away)
		s.Start()
		s.put(t, "a", "12345678")
		if err := s.Put(t.Context(), "b", strings.NewReader("123")); !errors.Is(err, logstore.ErrFull) {
			t.Errorf("it gave %v", err)
		}
		s.put(t, "c", "12")
		if diff := cmp.Diff([]string{"a.log", "c.log"}, s.waiting(t)); diff != "" {
			t.Error(diff)
		}
		s.fs.err.Store(nil)
		<-time.After(5 * time.Minute)
		synctest.Wait()
		s.put(t, "b", "123")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a.log", "b.log", "c.log"}, sorted(s.stored(t))); diff != "" {
			t.Error(diff)
		}
		// What is there counts after a start as well.
		s.fs.err.Store(&away)
		s.again(t, func(c *logstore.Config) { c.MaxSpool = 10 })
		s.put(t, "d", "1234567890")
		s.again(t, func(c *logstore.Config) { c.MaxSpool = 10 })
		s.Start()
		synctest.Wait()
		if err := s.Put(t.Context(), "e", strings.NewReader("1")); !errors.Is(err, logstore.ErrFull) {
			t.Errorf("it gave %v", err)
		}
	})
}

// breaks is a log that breaks off.
type breaks struct{}

func (breaks) Read(p []byte) (int, error) { return copy(p, "half"), errors.New("cut off") }

func TestHalfALogIsNone(t *testing.T) {
	s := open(t, nil)
	if err := s.Put(t.Context(), "a", breaks{}); err == nil || s.Kept("a") || len(s.waiting(t)) > 0 {
		t.Errorf("%v, %v", err, s.waiting(t))
	}
}
