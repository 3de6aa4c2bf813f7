package parquet_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// thrift writes what other writers do not: metadata in Thrift's compact protocol, field by field.
type thrift struct {
	bytes.Buffer
	last []int
}

func (w *thrift) head(id, typ int) {
	top := len(w.last) - 1
	w.WriteByte(byte((id-w.last[top])<<4 | typ))
	w.last[top] = id
}

func (w *thrift) number(v int64) { w.Write(binary.AppendUvarint(nil, uint64(v<<1)^uint64(v>>63))) }

func (w *thrift) i32(id int, v int64) {
	w.head(id, 5)
	w.number(v)
}

func (w *thrift) i64(id int, v int64) {
	w.head(id, 6)
	w.number(v)
}

func (w *thrift) text(id int, s string) {
	w.head(id, 8)
	w.Write(binary.AppendUvarint(nil, uint64(len(s))))
	w.WriteString(s)
}

// list writes a list of structs, each by a function.
func (w *thrift) list(id int, items ...func()) {
	w.head(id, 9)
	w.WriteByte(byte(len(items)<<4 | 12))
	for _, item := range items {
		w.body(item)
	}
}

func (w *thrift) structure(id int, body func()) {
	w.head(id, 12)
	w.body(body)
}

func (w *thrift) body(body func()) {
	w.last = append(w.last, 0)
	body()
	w.WriteByte(0)
	w.last = w.last[:len(w.last)-1]
}

// field is a SchemaElement; a group has no physical type (-1).
type field struct {
	name                               string
	physical, width, repetition, below int64
	// annotation is the number of the older annotation and 1; 0 is none.
	annotation int64
}

// chunk is a column with one page.
type page struct {
	physical, encoding, values int64
	data                       []byte
}

// file makes a file of one row group in which each leaf has one page.
func file(rows int64, schema []field, pages []page) []byte {
	var out bytes.Buffer
	out.WriteString("PAR1")
	offs, sizes := make([]int64, len(pages)), make([]int64, len(pages))
	for i, p := range pages {
		w := &thrift{}
		w.body(func() {
			w.i32(1, 0)
			w.i32(2, int64(len(p.data)))
			w.i32(3, int64(len(p.data)))
			w.structure(5, func() {
				w.i32(1, p.values)
				w.i32(2, p.encoding)
				w.i32(3, 3)
				w.i32(4, 3)
			})
		})
		offs[i] = int64(out.Len())
		out.Write(w.Bytes())
		out.Write(p.data)
		sizes[i] = int64(out.Len()) - offs[i]
	}
	w := &thrift{}
	w.body(func() {
		w.i32(1, 1)
		var elements, chunks []func()
		for _, f := range schema {
			elements = append(elements, func() {
				if f.physical >= 0 {
					w.i32(1, f.physical)
				}
				if f.width > 0 {
					w.i32(2, f.width)
				}
				w.i32(3, f.repetition)
				w.text(4, f.name)
				if f.physical < 0 {
					w.i32(5, f.below)
				}
				if f.annotation > 0 {
					w.i32(6, f.annotation-1)
				}
			})
		}
		w.list(2, elements...)
		w.i64(3, rows)
		for i, p := range pages {
			chunks = append(chunks, func() {
				w.i64(2, offs[i])
				w.structure(3, func() {
					w.i32(1, p.physical)
					w.i32(4, 0)
					w.i64(5, p.values)
					w.i64(7, sizes[i])
					w.i64(9, offs[i])
				})
			})
		}
		w.list(4, func() {
			w.list(1, chunks...)
			w.i64(2, 1)
			w.i64(3, rows)
		})
	})
	out.Write(w.Bytes())
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(w.Len())))
	out.WriteString("PAR1")
	return out.Bytes()
}

func int32s(v ...uint32) (b []byte) {
	for _, n := range v {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// TestEmptyGroups reads groups without any field, as some writers have them for empty structs, wherever they stand.
func TestEmptyGroups(t *testing.T) {
	group := func(name string, children int64) field {
		return field{name: name, physical: -1, below: children}
	}
	number := func(name string) field { return field{name: name, physical: 1} }
	one := page{physical: 1, values: 2, data: int32s(7, 8)}
	for name, c := range map[string]struct {
		schema []field
		pages  []page
		want   [][]string
	}{
		"at the end": {[]field{group("s", 2), number("a"), group("e", 0)}, []page{one}, [][]string{{"7", "{}"}, {"8", "{}"}}},
		"first":      {[]field{group("s", 2), group("e", 0), number("a")}, []page{one}, [][]string{{"{}", "7"}, {"{}", "8"}}},
		"inside": {
			[]field{group("s", 2), number("a"), group("g", 3), number("b"), group("e", 0), number("c")},
			[]page{one, one, one},
			[][]string{{"7", `{"b":7,"e":{},"c":7}`}, {"8", `{"b":8,"e":{},"c":8}`}},
		},
		"of groups without fields": {
			[]field{group("s", 2), number("a"), group("g", 1), group("e", 0)}, []page{one}, [][]string{{"7", "{}"}, {"8", "{}"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, rows, _ := head(t, file(2, c.schema, c.pages), 5)
			if d := cmp.Diff(c.want, rows); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestWideValues has a column whose values are said to be of two gigabytes each: nothing is allocated for them.
func TestWideValues(t *testing.T) {
	for _, encoding := range []int64{0, 9} {
		content := file(1, []field{{name: "s", physical: -1, below: 1}, {name: "w", physical: 7, width: 1<<31 - 1}},
			[]page{{physical: 7, encoding: encoding, values: 1, data: []byte("little")}})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := parquet.Open(t.Context(), bytes.NewReader(content), int64(len(content)), parquet.Limits{})
		if err == nil {
			_, err = f.Head(1)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > 64<<20 {
			t.Errorf("encoding %d: %d bytes were allocated, error %v", encoding, used, err)
		}
	}
}
