package results_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/clic-orchestrator/clic/master/results"
)

// pack writes content through a compressing writer.
func pack(tb testing.TB, content string, open func(io.Writer) (io.WriteCloser, error)) string {
	tb.Helper()
	var b bytes.Buffer
	w, err := open(&b)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func zstandard(tb testing.TB, content string) string {
	return pack(tb, content, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
}

// hadoopBlocks writes blocks as Hadoop's BlockCompressorStream does: groups of up to three blocks.
func hadoopBlocks(content string, compress func([]byte) []byte) string {
	var b []byte
	for rest := []byte(content); len(rest) > 0; {
		group := rest[:min(len(rest), 3000)]
		rest = rest[len(group):]
		b = binary.BigEndian.AppendUint32(b, uint32(len(group)))
		for len(group) > 0 {
			block := group[:min(len(group), 1000)]
			group = group[len(block):]
			packed := compress(block)
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
		}
	}
	return string(b)
}

func snappyBlock(b []byte) []byte { return snappy.Encode(nil, b) }

func lz4Block(b []byte) []byte {
	out := make([]byte, lz4.CompressBlockBound(len(b)))
	var c lz4.Compressor
	n, err := c.CompressBlock(b, out)
	if err != nil || n == 0 {
		panic(fmt.Sprint("cannot compress: ", err))
	}
	return out[:n]
}

// javaSnappy writes blocks as snappy-java's stream does.
func javaSnappy(content string) string {
	b := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for rest := []byte(content); len(rest) > 0; {
		block := snappyBlock(rest[:min(len(rest), 1000)])
		rest = rest[min(len(rest), 1000):]
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(block))), block...)
	}
	return string(b)
}

func packings(tb testing.TB, content string) map[string]string {
	half := len(content) / 2
	return map[string]string{
		"x.csv.gz": zipped(content), "two.csv.gz": zipped(content[:half]) + zipped(content[half:]), "by magic": zipped(content),
		"x.csv.zst": zstandard(tb, content), "two.csv.zst": zstandard(tb, content[:half]) + zstandard(tb, content[half:]),
		"skippable.zst": "\x50\x2a\x4d\x18\x02\x00\x00\x00ab" + zstandard(tb, content),
		"framed.csv.snappy": pack(tb, content, func(w io.Writer) (io.WriteCloser, error) {
			return snappy.NewBufferedWriter(w), nil
		}),
		"hadoop.csv.snappy": hadoopBlocks(content, snappyBlock), "java.csv": javaSnappy(content),
		"framed.csv.lz4": pack(tb, content, func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil }),
		"hadoop.csv.lz4": hadoopBlocks(content, lz4Block),
		"x.csv.deflate":  pack(tb, content, func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }),
	}
}

func TestPacked(t *testing.T) {
	var content strings.Builder
	content.WriteString("id,name\n")
	for i := range 3000 {
		fmt.Fprintf(&content, "%d,name %d\n", i, i)
	}
	dir := put(t, t.TempDir(), packings(t, content.String()))
	r := reader(t, results.Config{Roots: []string{dir}})
	for name := range packings(t, content.String()) {
		p, err := r.Head(t.Context(), dir+"/"+name, 10_000)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Format != results.FormatCSV || len(p.Rows) != 3000 || p.More || p.Rows[2999][1] != "name 2999" {
			t.Errorf("%s: %s, %d rows, more %v", name, p.Format, len(p.Rows), p.More)
		}
		if p, err = r.Head(t.Context(), dir+"/"+name, 2); err != nil || len(p.Rows) != 2 || !p.More {
			t.Errorf("%s: 2 rows: %v", name, err)
		}
	}
	// What only looks like it by its name is what it is.
	plain := put(t, t.TempDir(), map[string]string{"x.csv.snappy": "id,name\n1,a\n", "x.lz4": "one\ntwo\n", "x.deflate": "one\n"})
	for name, want := range map[string]results.Format{"x.csv.snappy": results.FormatCSV, "x.lz4": results.FormatText, "x.deflate": results.FormatText} {
		p, err := reader(t, results.Config{Roots: []string{plain}}).Head(t.Context(), plain+"/"+name, 5)
		if err != nil || p.Format != want {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestBzip2 has a file that bzip2 made of three lines, as Go has nothing that writes it.
func TestBzip2(t *testing.T) {
	const packed = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xa0\x30\x7b\x7e\x00\x00\x06\xd9\x00\x00\x10\x00\x04\x30\x00\x36\x23\x20\x00\x31\x00\xd3\x4d\x04\x03\x10\x20\x41\x45\x97\x46\xf5\xed\xf8\xbb\x92\x29\xc2\x84\x85\x01\x83\xdb\xf0"
	dir := put(t, t.TempDir(), map[string]string{"x.csv.bz2": packed})
	p, err := reader(t, results.Config{Roots: []string{dir}}).Head(t.Context(), dir+"/x.csv.bz2", 5)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"id,name", "1,a", "2,b"}, p.Lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
}

// TestPackedDamaged: files that were cut off, or in which bytes were changed, are errors that say so, and no wrong lines but for what
// comes before the damage.
func TestPackedDamaged(t *testing.T) {
	content := strings.Repeat("some line of text that goes on and on\n", 3000)
	for name, packed := range packings(t, content) {
		cut := packed[:len(packed)*2/3]
		dir := put(t, t.TempDir(), map[string]string{name: cut})
		_, err := reader(t, results.Config{Roots: []string{dir}}).Head(t.Context(), dir+"/"+name, 10_000)
		if !errors.Is(err, results.ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s cut off: error is %v", name, err)
		}
	}
}

// TestBombs: what is small and unpacks to much costs no more than the bounds.
func TestBombs(t *testing.T) {
	content := strings.Repeat("x", 64<<20)
	for name, packed := range map[string]string{
		"x.zst": zstandard(t, content), "x.gz": zipped(content), "hadoop.snappy": hadoopOnce(content), "java": javaSnappy(content),
		"x.sz": pack(t, content, func(w io.Writer) (io.WriteCloser, error) { return snappy.NewBufferedWriter(w), nil }),
	} {
		dir := put(t, t.TempDir(), map[string]string{name: packed})
		r := reader(t, results.Config{Roots: []string{dir}})
		used := allocated(func() {
			p, err := r.Head(t.Context(), dir+"/"+name, 5)
			if name == "hadoop.snappy" { // a block of 64 MiB
				if !errors.Is(err, results.ErrDamaged) {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			if err != nil || len(p.Lines) != 1 || !p.More {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
		})
		if used > 32<<20 {
			t.Errorf("%s: %d bytes were allocated", name, used)
		}
	}
}

// hadoopOnce writes one block of everything.
func hadoopOnce(content string) string {
	packed := snappyBlock([]byte(content))
	b := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	return string(append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...))
}

func TestMixedParts(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{"part-0": "one\ntwo\n", "part-1": "PAR1\x00\x00", "part-2": "three\n"})
	p, err := reader(t, results.Config{Roots: []string{dir}}).Head(t.Context(), dir, 9)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"one", "two"}, p.Lines); d != "" || !p.More || p.Note != "part-1 is parquet and is not shown, nor is what follows it" {
		t.Errorf("more %v, note %q, lines (-want +got):\n%s", p.More, p.Note, d)
	}
}
