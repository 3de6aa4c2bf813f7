package nursery

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const rest = "1 100 100 34816 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876543 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 768"
	want := proc{pid: 4711, ppid: 1, pgrp: 100, sid: 100, state: 'S', ticks: 9876543}
	for _, name := range []string{"sh", "a b", "))) S 9 9 9", "x) Z (y", ""} {
		got, err := parseStat([]byte("4711 (" + name + ") S " + rest + "\n"))
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
		got.code = 0
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(proc{})); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
	for _, bad := range []string{"", "1", "1 (sh)", "1 (sh) S 1 2", ") 1 (", "x (sh) S " + rest, "1 (sh) S 1 x " + rest} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("4711 (sh) S 1 100 100 34816 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876543 11"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseStat(b) })
}

func TestReadProc(t *testing.T) {
	p, err := readProc(os.Getpid())
	if err != nil || p.pid != os.Getpid() || p.ppid != os.Getppid() || p.ticks == 0 || p.gone() {
		t.Errorf("%+v, %v", p, err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "exit 5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &Begun{PID: cmd.Process.Pid}
	if p, err := readProc(b.PID); err == nil {
		b.Ticks = p.ticks
	}
	for { // it cannot be reaped before Wait
		status, known := zombieExit(b)
		if known {
			if status.ExitStatus() != 5 {
				t.Errorf("exit status %d, want 5", status.ExitStatus())
			}
			break
		}
		<-time.After(time.Millisecond)
	}
	b.Ticks++
	if _, known := zombieExit(b); known || exists(b) {
		t.Error("another process's remains were taken for this one's")
	}
	_ = cmd.Wait()
}

// A record is the join of its lines, wherever they are in the file; a line that was cut off does not count.
func TestReadRecord(t *testing.T) {
	data := t.TempDir()
	dir := Dir(data, "a")
	if _, err := ReadRecord(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, d := range []string{dir, filepath.Join(data, endedName)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s, err := createState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	begun, end := &Begun{ID: "a", PID: 7, Started: 1}, &End{At: 2, Exit: 3}
	other := &Record{ID: "b", Begun: &Begun{ID: "b"}, Stop: 5, End: &End{Exit: 1}}
	for _, r := range []*Record{other, {ID: "a", Begun: begun}, {ID: "a", Stop: 9}, {ID: "a", End: end}} {
		if err := s.add(r); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(StateFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	upTo := func(n int) *Record { // what the first n bytes say
		want := &Record{}
		for i, add := range []func(){func() {}, func() { want.Begun = begun }, func() { want.Stop = 9 }, func() { want.End = end }} {
			if n -= len(lines[i]); n >= 0 {
				add()
			}
		}
		return want
	}
	for n := range len(whole) + 1 {
		if err := os.WriteFile(StateFile(dir), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		checkRecord(t, dir, upTo(n))
		// What another nursery writes then is understood; it ends a line that lacks nothing but its end.
		another, err := openState(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := another.add(&Record{ID: "a", Stop: 10}); err != nil {
			t.Fatal(err)
		}
		another.close()
		want := upTo(n + 1)
		want.Stop = 10
		checkRecord(t, dir, want)
	}
	// The other name will do, and what a later attempt adds does not matter.
	if err := os.Link(StateFile(dir), endedFile(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, Dir(data, "b")); err != nil {
		t.Fatal(err)
	}
	if err := s.add(other); err != nil {
		t.Fatal(err)
	}
	checkRecord(t, dir, &Record{Begun: begun, Stop: 10, End: end})
	checkRecord(t, Dir(data, "b"), &Record{Begun: other.Begun, Stop: 5, End: other.End})
}

func checkRecord(t *testing.T, dir string, want *Record) {
	t.Helper()
	got, err := ReadRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if Ended(dir) != (want.End != nil) {
		t.Errorf("ended is %v", Ended(dir))
	}
}

// Every id has a directory of its own, below attempts and nowhere else.
func TestDir(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{
		"plan-abcdefgh-java-1", "plan-abcdefgh-java-1-r2", "A", "a", "", ".", "..", "../x", "/x", "a/b", "a\x00b", "ä", ".hidden",
		strings.Repeat("x", 200), strings.Repeat("x", 201), strings.Repeat("x", 202), "sha256-abc",
	} {
		dir := Dir("/data", id)
		if filepath.Dir(dir) != "/data/attempts" || len(filepath.Base(dir)) > 255 {
			t.Errorf("%q is in %q", id, dir)
		}
		if other, ok := seen[dir]; ok {
			t.Errorf("%q and %q are both in %s", id, other, dir)
		}
		seen[dir] = id
	}
	if got := Dir("/data", "plan-abcdefgh-java-1"); got != "/data/attempts/plan-abcdefgh-java-1" {
		t.Errorf("a plain id is in %s", got)
	}
}

// Only a directory that is as it was made goes to another attempt.
func TestPristine(t *testing.T) {
	dir := t.TempDir()
	mk := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full := mk("full", 0o700)
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := mk("empty", 0o700)
	if err := os.Symlink(empty, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		empty: true, full: false, mk("open", 0o755): false, filepath.Join(dir, "link"): false, filepath.Join(dir, "none"): false,
	} {
		if got := pristine(name); got != want {
			t.Errorf("%s: %v", filepath.Base(name), got)
		}
	}
	mk("full/dir", 0o700)
	for _, c := range []struct {
		names []string
		want  bool
	}{{[]string{"dir", "x"}, true}, {[]string{"x"}, false}, {[]string{"dir"}, false}, {[]string{"dir", "x", "y"}, false}} {
		if got := pristine(full, c.names...); got != c.want {
			t.Errorf("%v: %v", c.names, got)
		}
	}
}

func TestRemoveAll(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	deep := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "x"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{deep, filepath.Dir(deep)} {
		if err := os.Chmod(d, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeAll(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := removeAll(root); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}
