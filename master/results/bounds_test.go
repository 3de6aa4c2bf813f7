package results_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/results"
)

func TestManyParts(t *testing.T) {
	dir := t.TempDir()
	for i := range 10_000 {
		if err := os.WriteFile(fmt.Sprintf("%s/part-%05d", dir, i), fmt.Appendf(nil, "line %d\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := reader(t, results.Config{Roots: []string{dir}})
	p, err := r.Head(t.Context(), dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"line 0", "line 1", "line 2"}, p.Lines); d != "" || !p.More || p.Files != 4 {
		t.Errorf("lines (-want +got):\n%s\nmore %v, %d files read", d, p.More, p.Files)
	}
	info, err := r.Stat(t.Context(), dir)
	if err != nil || info.Files != 10_000 || info.Size != 98_890 || info.Partial {
		t.Errorf("%+v, %v", info, err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHugeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "huge.txt")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Repeat("first lines\n", 10_000)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
	r := reader(t, results.Config{Roots: []string{dir}})
	used := allocated(func() {
		p, err := r.Head(t.Context(), path, 10)
		if err != nil || len(p.Lines) != 10 || !p.More || p.Format != results.FormatText {
			t.Errorf("%d lines, more %v, %v", len(p.Lines), p.More, err)
		}
		info, err := r.Stat(t.Context(), path)
		if err != nil || info.Size != 1<<30 {
			t.Errorf("%+v, %v", info, err)
		}
	})
	if used > 1<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

// endless is a source with one file that never ends, and counts what is read of it.
type endless struct {
	pattern string
	read    int64
}

func (e *endless) Stat(context.Context, string) (results.Entry, error) {
	return results.Entry{Name: "x", Kind: results.KindFile, Size: 1 << 50}, nil
}

func (e *endless) ReadDir(context.Context, string, int) ([]results.Entry, error) { return nil, nil }

func (e *endless) Open(context.Context, string) (io.ReadCloser, error) { return io.NopCloser(e), nil }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.pattern[(e.read+int64(i))%int64(len(e.pattern))]
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestEndless(t *testing.T) {
	for name, c := range map[string]struct {
		pattern string
		n       int
		lines   int
		most    int64
	}{
		"one line":  {"x", 10, 1, 4 << 20},
		"few lines": {"0123456\n", 10, 10, 64 << 10},
		"all rows":  {"0123456\n", 1 << 30, 10_000, 256 << 10},
		"one quote": {"a,\"\n", 10, 0, 4 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			src := &endless{pattern: c.pattern}
			r := reader(t, results.Config{Sources: map[string]results.Source{"test": src}})
			var p *results.Preview
			used := allocated(func() {
				var err error
				if p, err = r.Head(t.Context(), "test://host/x", c.n); err != nil {
					t.Fatal(err)
				}
			})
			if c.lines > 0 && len(p.Lines) != c.lines || !p.More {
				t.Errorf("%d lines, want %d; more %v", len(p.Lines), c.lines, p.More)
			}
			if src.read > c.most || used > 8<<20 {
				t.Errorf("%d bytes were read, %d allocated", src.read, used)
			}
		})
	}
}

// TestGzipBomb: what is counted is what comes out.
func TestGzipBomb(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	block := bytes.Repeat([]byte("x"), 1<<20)
	for range 32 {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := put(t, t.TempDir(), map[string]string{"x.gz": b.String(), "broken.gz": b.String()[:100]})
	r := reader(t, results.Config{Roots: []string{dir}})
	used := allocated(func() {
		p, err := r.Head(t.Context(), dir+"/x.gz", 5)
		if err != nil || len(p.Lines) != 1 || !p.More {
			t.Errorf("%+v, %v", p, err)
		}
	})
	if used > 2<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
	if _, err := r.Head(t.Context(), dir+"/broken.gz", 5); err == nil || !strings.Contains(err.Error(), "broken.gz") {
		t.Errorf("a file that was cut off: error is %v", err)
	}
}
