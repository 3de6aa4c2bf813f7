package streamlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func show(t interface{ Fatal(...any) }, v View) string {
	r := &Reader{}
	r.Show(v)
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func all(t interface{ Fatal(...any) }, dir string, stdout, stderr bool) View {
	v, err := Open(dir, stdout, stderr).Next()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Whatever is written in whatever portions is read back in order: at once, in portions while it is written, and across a
// change of the writer.
func TestNothingDropped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "streamlog") //nolint:usetesting // one directory for each try, not for each test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		w := New(dir, 1<<20, 0)
		var want [2]strings.Builder
		var both, followed strings.Builder
		follower := Open(dir, true, true)
		for range rapid.IntRange(0, 30).Draw(t, "writes") {
			switch rapid.IntRange(0, 9).Draw(t, "action") {
			case 0:
				v, err := follower.Next()
				if err != nil {
					t.Fatal(err)
				}
				followed.WriteString(show(t, v))
			case 1:
				w.Close()
				w = New(dir, 1<<20, 0)
				if err := w.Reopen(); err != nil {
					t.Fatal(err)
				}
			default:
				s := Stream(rapid.IntRange(0, 1).Draw(t, "stream"))
				text := rapid.StringN(1, 20, 50).Draw(t, "text")
				w.Write(s, []byte(text))
				want[s].WriteString(text)
				both.WriteString(text)
			}
		}
		w.Close()
		v, err := follower.Next()
		if err != nil {
			t.Fatal(err)
		}
		followed.WriteString(show(t, v))
		for _, c := range []struct{ what, got, want string }{
			{"stdout", show(t, all(t, dir, true, false)), want[Stdout].String()},
			{"stderr", show(t, all(t, dir, false, true)), want[Stderr].String()},
			{"both", show(t, all(t, dir, true, true)), both.String()},
			{"followed", followed.String(), both.String()},
		} {
			if c.got != c.want {
				t.Fatalf("%s: %q, want %q", c.what, c.got, c.want)
			}
		}
		checkSlices(t, all(t, dir, true, true), both.String())
	})
}

func checkSlices(t *rapid.T, v View, text string) {
	n := len(text)
	if int(v.Size()) != n {
		t.Fatalf("size %d, want %d", v.Size(), n)
	}
	a := rapid.IntRange(0, n).Draw(t, "a")
	b := rapid.IntRange(a, n).Draw(t, "b")
	if got := show(t, v.Slice(int64(a), int64(b))); got != text[a:b] {
		t.Fatalf("slice %d:%d is %q, want %q", a, b, got, text[a:b])
	}
	lines := rapid.IntRange(1, 5).Draw(t, "lines")
	start, err := v.LastLines(lines)
	if err != nil {
		t.Fatal(err)
	}
	split := strings.SplitAfter(text, "\n")
	if split[len(split)-1] == "" {
		split = split[:len(split)-1]
	}
	if want := strings.Join(split[max(0, len(split)-lines):], ""); text[start:] != want {
		t.Fatalf("the last %d lines are %q, want %q", lines, text[start:], want)
	}
}

var remark = regexp.MustCompile(`\n\[(\d+) bytes were dropped here\]\n`)

// Of a flood the beginning and the end stay, the remark counts what is missing, and the disk never holds more than the
// limit.
func TestFlood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "streamlog") //nolint:usetesting // one directory for each try, not for each test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		const limit = 4096
		w := New(dir, limit, 0)
		var want [2]bytes.Buffer
		for i := range rapid.IntRange(0, 60).Draw(t, "writes") {
			s := Stream(rapid.IntRange(0, 1).Draw(t, "stream"))
			text := strings.Repeat(fmt.Sprintf("%04d ", i), rapid.IntRange(1, 300).Draw(t, "times"))
			w.Write(s, []byte(text))
			want[s].WriteString(text)
			if n := onDisk(t, dir); n > 2*limit {
				t.Fatalf("%d bytes are kept of two streams, with a limit of %d each", n, limit)
			}
		}
		w.Close()
		for s := range want {
			checkFlood(t, show(t, all(t, dir, s == 0, s == 1)), want[s].String(), limit)
		}
		// Together they hold the same, in whatever order.
		both := show(t, all(t, dir, true, true))
		one, other := show(t, all(t, dir, true, false)), show(t, all(t, dir, false, true))
		strip := func(s string) int { return len(remark.ReplaceAllString(s, "")) }
		if strip(both) != strip(one)+strip(other) {
			t.Fatalf("both streams hold %d bytes, each alone %d and %d", strip(both), strip(one), strip(other))
		}
	})
}

func onDisk(t *rapid.T, dir string) (n int64) {
	for _, s := range []Stream{Stdout, Stderr} {
		segs, err := segments(dir, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, seg := range segs {
			n += seg.size
		}
	}
	return n
}

func checkFlood(t *rapid.T, got, want string, limit int) {
	at := remark.FindStringSubmatchIndex(got)
	if at == nil {
		if got != want {
			t.Fatalf("%d bytes were read and none dropped, %d written", len(got), len(want))
		}
		return
	}
	head, tail := got[:at[0]], got[at[1]:]
	var missing int
	if _, err := fmt.Sscan(got[at[2]:at[3]], &missing); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(want, head) || !strings.HasSuffix(want, tail) || len(head)+missing+len(tail) != len(want) {
		t.Fatalf("%d bytes, %d dropped, %d bytes: not what was written (%d)", len(head), missing, len(tail), len(want))
	}
	if len(head) != limit/2 || len(tail) < limit/4 {
		t.Fatalf("the head has %d bytes, the tail %d, with a limit of %d", len(head), len(tail), limit)
	}
}

func TestResult(t *testing.T) {
	for _, c := range []struct{ name, out, want string }{
		{"none", "", ""},
		{"one line end goes", "a\n\n", "a\n"},
		{"not text", "a\xff\n", "a\uFFFD"},
		{"as much as may be", strings.Repeat("x", 3000), strings.Repeat("x", 3000)},
	} {
		w := New(t.TempDir(), 1024, 3001)
		w.Write(Stderr, []byte("not this"))
		w.Write(Stdout, []byte(c.out))
		w.Close()
		if got, err := w.Result(3000); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	w := New(t.TempDir(), 1024, 3001)
	w.Write(Stdout, []byte(strings.Repeat("x", 3001)))
	w.Close()
	if _, err := w.Result(3000); err == nil || !strings.Contains(err.Error(), "3001") {
		t.Errorf("too much gave %v", err)
	}
}

// When the disk gives an error the program is not held up, and the error is told.
func TestDiskError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	w := New(dir, 1024, 0)
	w.Write(Stdout, []byte("one"))
	w.Write(Stderr, []byte("two"))
	if n, err := w.Written(Stdout); n != 3 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written: %d, %v", n, err)
	}
	if _, err := w.Result(100); err == nil {
		t.Error("a result without its bytes")
	}
	w.Close()
	if _, err := Open(dir, true, true).Next(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading gave %v", err)
	}
}

// Streams that alternate byte by byte do not fill the disk with the order either.
func TestOrderIsBounded(t *testing.T) {
	dir := t.TempDir()
	w := New(dir, 1<<10, 0)
	for i := range 300_000 {
		w.Write(Stream(i%2), []byte{'x'})
	}
	w.Close()
	info, err := os.Stat(filepath.Join(dir, orderName))
	if err != nil || info.Size() > maxOrder+16 {
		t.Errorf("the order takes %d bytes, %v", info.Size(), err)
	}
	v := all(t, dir, true, true)
	if n := len(remark.ReplaceAllString(show(t, v), "")); n == 0 || n > 2<<10 {
		t.Errorf("%d bytes were read", n)
	}
}
