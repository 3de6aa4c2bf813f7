package parquet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	writer "github.com/parquet-go/parquet-go"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// write makes a Parquet file by another implementation.
func write[T any](tb testing.TB, rows []T, options ...writer.WriterOption) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := writer.NewGenericWriter[T](&b, options...)
	for _, row := range rows {
		if _, err := w.Write([]T{row}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// head reads the first n rows, and gives the cells as text: null is "null", strings are quoted.
func head(tb testing.TB, content []byte, n int) (columns []string, rows [][]string, more bool) {
	tb.Helper()
	f, err := parquet.Open(tb.Context(), bytes.NewReader(content), int64(len(content)), parquet.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	t, err := f.Head(n)
	if err != nil {
		tb.Fatal(err)
	}
	return t.Columns, texts(t), t.More
}

func texts(t *parquet.Table) (rows [][]string) {
	for _, row := range t.Rows {
		var out []string
		for _, c := range row {
			s := c.Text
			switch {
			case c.Null:
				s = "null"
			case !c.Raw:
				s = "'" + s + "'"
			}
			if c.Cut {
				s += "…"
			}
			out = append(out, s)
		}
		rows = append(rows, out)
	}
	return rows
}

type inner struct {
	X int32    `parquet:"x"`
	Y *string  `parquet:"y,optional"`
	Z []string `parquet:"z,list"`
}

type all struct {
	Bool    bool             `parquet:"bool"`
	I32     int32            `parquet:"i32"`
	I64     int64            `parquet:"i64"`
	U32     uint32           `parquet:"u32"`
	U64     uint64           `parquet:"u64"`
	F32     float32          `parquet:"f32"`
	F64     float64          `parquet:"f64"`
	Str     string           `parquet:"str"`
	Opt     *int64           `parquet:"opt,optional"`
	Bin     []byte           `parquet:"bin"`
	UUID    [16]byte         `parquet:"uuid,uuid"`
	Time    time.Time        `parquet:"time,timestamp(microsecond)"`
	Date    int32            `parquet:"date,date"`
	Dec     int64            `parquet:"dec,decimal(2:18)"`
	List    []int64          `parquet:"list,list"`
	Rep     []string         `parquet:"rep"`
	Map     map[string]int32 `parquet:"map"`
	Struct  inner            `parquet:"struct"`
	Structs []inner          `parquet:"structs,list"`
	None    *inner           `parquet:"none,optional"`
}

func one() all {
	x, y := int64(-7), "y\"<é>"
	return all{
		Bool: true, I32: -1, I64: -1 << 62, U32: 1<<32 - 1, U64: 1<<64 - 1, F32: 0.1, F64: 1e300, Str: "a\nb", Opt: &x, Bin: []byte{0, 255},
		UUID: [16]byte{0: 1, 15: 255}, Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Date: 20454, Dec: -123, List: []int64{1, 2},
		Rep: []string{"p", "q"}, Map: map[string]int32{"k": 3}, Struct: inner{X: 1, Y: &y, Z: []string{"z"}},
		Structs: []inner{{X: 1}, {X: 2, Y: &y, Z: []string{"a", "b"}}},
	}
}

func TestTypes(t *testing.T) {
	for _, version := range []int{1, 2} {
		columns, rows, more := head(t, write(t, []all{one(), {}}, writer.DataPageVersion(version)), 10)
		want := map[string][2]string{
			"bool": {"true", "false"}, "i32": {"-1", "0"}, "i64": {"-4611686018427387904", "0"}, "u32": {"4294967295", "0"},
			"u64": {"18446744073709551615", "0"}, "f32": {"0.1", "0"}, "f64": {"1e+300", "0"}, "str": {"'a\nb'", "''"}, "opt": {"-7", "null"},
			"bin": {"'0x00ff'", "''"}, "uuid": {"'01000000-0000-0000-0000-0000000000ff'", "'00000000-0000-0000-0000-000000000000'"},
			"time": {"'2026-01-02 03:04:05.000006Z'", ""}, "date": {"'2026-01-01'", "'1970-01-01'"}, "dec": {"-1.23", "0.00"},
			"list": {"[1,2]", "[]"}, "rep": {`["p","q"]`, "[]"}, "map": {`{"k":3}`, "{}"},
			"struct":  {`{"x":1,"y":"y\"<é>","z":["z"]}`, `{"x":0,"y":null,"z":[]}`},
			"structs": {`[{"x":1,"y":null,"z":[]},{"x":2,"y":"y\"<é>","z":["a","b"]}]`, "[]"}, "none": {"null", "null"},
		}
		if len(rows) != 2 || more || len(columns) != len(want) {
			t.Fatalf("%d rows, more %v, columns %q", len(rows), more, columns)
		}
		for i, column := range columns {
			got := [2]string{rows[0][i], rows[1][i]}
			if column == "time" {
				got[1] = "" // the zero time is beyond what microseconds of 64 bits have by half of the writers
			}
			if d := cmp.Diff(want[column], got); d != "" {
				t.Errorf("version %d, column %q (-want +got):\n%s", version, column, d)
			}
		}
	}
}

// TestEncodings writes the same columns in all encodings and compressions that the other implementation has.
func TestEncodings(t *testing.T) {
	type encoded struct {
		Plain  string   `parquet:"plain"`
		Dict   string   `parquet:"dict,dict"`
		Len    string   `parquet:"len,delta"`
		Delta  int64    `parquet:"delta,delta"`
		Delta3 int32    `parquet:"delta3,delta"`
		Split  float64  `parquet:"split,split"`
		Flag   bool     `parquet:"flag"`
		Opt    *string  `parquet:"opt,optional,dict"`
		Nested []string `parquet:"nested,list,dict"`
	}
	const n = 5000
	rows := make([]encoded, n)
	want := make([][]string, n)
	for i := range rows {
		s := fmt.Sprintf("value %d", i*i)
		e := encoded{
			Plain: s, Dict: fmt.Sprint("d", i%300), Len: s, Delta: int64(i) * int64(i) * 1_000_003, Delta3: int32(-i % 77), Split: float64(i) / 4,
			Flag: i%3 == 0,
		}
		opt, nested := "null", `[`
		if i%5 != 0 {
			e.Opt, opt = &s, "'"+s+"'"
		}
		for k := range i % 4 {
			e.Nested = append(e.Nested, fmt.Sprint("n", k))
			nested += fmt.Sprintf(`"n%d",`, k)
		}
		rows[i] = e
		want[i] = []string{
			"'" + s + "'", "'" + e.Dict + "'", "'" + s + "'", fmt.Sprint(e.Delta), fmt.Sprint(e.Delta3), strings.TrimSuffix(fmt.Sprintf("%g", e.Split), ".0"),
			fmt.Sprint(e.Flag), opt, strings.TrimSuffix(nested, ",") + "]",
		}
	}
	for name, codec := range map[string]writer.WriterOption{
		"none": writer.Compression(&writer.Uncompressed), "snappy": writer.Compression(&writer.Snappy), "gzip": writer.Compression(&writer.Gzip),
		"zstd": writer.Compression(&writer.Zstd), "lz4": writer.Compression(&writer.Lz4Raw),
	} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s %d", name, version), func(t *testing.T) {
				content := write(t, rows, codec, writer.DataPageVersion(version), writer.PageBufferSize(4<<10), writer.MaxRowsPerRowGroup(1500))
				_, got, more := head(t, content, n)
				if d := cmp.Diff(want, got); d != "" || more {
					t.Errorf("more %v; rows (-want +got):\n%.2000s", more, d)
				}
				if _, few, more := head(t, content, 7); cmp.Diff(want[:7], few) != "" || !more {
					t.Errorf("the first 7 rows differ, or more is %v", more)
				}
			})
		}
	}
	_, got, more := head(t, write(t, rows[:1], writer.Compression(&writer.Uncompressed)), 0)
	if len(got) != 0 || !more {
		t.Errorf("%d rows, more %v", len(got), more)
	}
	f, err := parquet.Open(t.Context(), bytes.NewReader(write(t, rows)), int64(len(write(t, rows))), parquet.Limits{})
	if err != nil || f.NumRows() != n {
		t.Errorf("%v", err)
	}
	brotli := write(t, rows[:5], writer.Compression(&writer.Brotli))
	if _, err := read(t.Context(), brotli, 1, parquet.Limits{}); !errors.Is(err, parquet.ErrUnsupported) || !strings.Contains(err.Error(), "Brotli") {
		t.Errorf("Brotli: error is %v", err)
	}
}

func read(ctx context.Context, content []byte, n int, lim parquet.Limits) (*parquet.Table, error) {
	f, err := parquet.Open(ctx, bytes.NewReader(content), int64(len(content)), lim)
	if err != nil {
		return nil, err
	}
	return f.Head(n)
}

// counting counts what is read.
type counting struct {
	io.ReaderAt
	bytes int64
	calls int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.bytes += int64(len(p))
	c.calls++
	return c.ReaderAt.ReadAt(p, off)
}

// TestReadsWhatItNeeds: of a file of many row groups the first rows cost the beginning of the metadata and one page of each column.
func TestReadsWhatItNeeds(t *testing.T) {
	type wide struct{ A, B, C, D, E, F, G, H int64 }
	rows := make([]wide, 200_000)
	for i := range rows {
		v := int64(i) * 7_777_777
		rows[i] = wide{v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7}
	}
	content := write(t, rows, writer.MaxRowsPerRowGroup(500), writer.PageBufferSize(8<<10))
	c := &counting{ReaderAt: bytes.NewReader(content)}
	f, err := parquet.Open(t.Context(), c, int64(len(content)), parquet.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != 200_000 || c.bytes > 100<<10 {
		t.Errorf("%d rows; the number of rows cost %d bytes in %d reads", f.NumRows(), c.bytes, c.calls)
	}
	table, err := f.Head(10)
	if err != nil || len(table.Rows) != 10 || !table.More {
		t.Fatalf("%v", err)
	}
	if c.bytes > 300<<10 || len(content) < 8<<20 {
		t.Errorf("10 rows of a file of %d bytes cost %d bytes in %d reads", len(content), c.bytes, c.calls)
	}
	t.Logf("10 rows of a file of %d bytes cost %d bytes in %d reads", len(content), c.bytes, c.calls)
}

func TestBounds(t *testing.T) {
	type row struct {
		Long string  `parquet:"long,zstd"`
		List []int32 `parquet:"list,list"`
	}
	big := row{Long: strings.Repeat("ä", 1<<20), List: make([]int32, 1<<20)}
	content := write(t, []row{big, {Long: "x", List: []int32{1}}})
	table, err := read(t.Context(), content, 10, parquet.Limits{Cell: 101})
	if err != nil || len(table.Rows) != 2 {
		t.Fatalf("%v", err)
	}
	for i, c := range table.Rows[0] {
		if !c.Cut || len(c.Text) > 101 || len(c.Text) < 99 {
			t.Errorf("cell %d has %d bytes, cut %v", i, len(c.Text), c.Cut)
		}
	}
	if table.Rows[1][0].Text != "x" || table.Rows[1][1].Text != "[1]" {
		t.Errorf("second row: %+v", table.Rows[1])
	}
	// A bound on the work leaves out the columns that are beyond it, one on the page says so.
	table, err = read(t.Context(), content, 10, parquet.Limits{Bytes: 5 << 20})
	if err != nil || len(table.Rows) != 2 || cmp.Diff([]string{"list"}, table.Unread) != "" {
		t.Errorf("%+v, %v", table, err)
	}
	if _, err = read(t.Context(), content, 10, parquet.Limits{Page: 1 << 20}); !errors.Is(err, parquet.ErrUnsupported) {
		t.Errorf("error is %v", err)
	}
	// Many small rows: as many as there is room for.
	rows := make([]row, 10_000)
	for i := range rows {
		rows[i].Long = strings.Repeat("y", 50)
	}
	table, err = read(t.Context(), write(t, rows), 10_000, parquet.Limits{Cells: 100_000})
	if err != nil || !table.More || len(table.Rows) < 100_000/2/51 || len(table.Rows) > 100_000/51 {
		t.Errorf("%d rows, more %v, %v", len(table.Rows), table.More, err)
	}
	table, err = read(t.Context(), write(t, rows), 3, parquet.Limits{Columns: 1})
	if err != nil || len(table.Columns) != 1 || table.LeftOut != 1 || len(table.Rows) != 3 {
		t.Errorf("%+v, %v", table, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = read(ctx, content, 3, parquet.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestDamaged(t *testing.T) {
	content := write(t, []all{one(), one()})
	for name, b := range map[string][]byte{
		"nothing": nil, "magic only": []byte("PAR1"), "no metadata": []byte("PAR1\x00\x00\x00\x00PAR1"), "cut off": content[:len(content)-100],
		"head only": content[:200], "no end": append(bytes.Clone(content), 0), "length": func() []byte {
			b := bytes.Clone(content)
			b[len(b)-5] = 0x7f
			return b
		}(), "metadata": func() []byte {
			b := bytes.Clone(content)
			for i := len(b) - 300; i < len(b)-200; i++ {
				b[i] = 0xff
			}
			return b
		}(), "page": func() []byte {
			b := bytes.Clone(content)
			for i := 4; i < 100; i++ {
				b[i] ^= 0x55
			}
			return b
		}(),
	} {
		_, err := read(t.Context(), b, 10, parquet.Limits{})
		if !errors.Is(err, parquet.ErrDamaged) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if _, err := read(t.Context(), append(bytes.Clone(content[:len(content)-4]), "PARE"...), 1, parquet.Limits{}); !errors.Is(err, parquet.ErrUnsupported) {
		t.Errorf("encrypted: error is %v", err)
	}
}

func TestDecimals(t *testing.T) {
	for _, text := range []string{
		"123", "-0.05", "12345678901234567890123456789.01", "-170141183460469231731687303715884105.728",
	} {
		digits := strings.ReplaceAll(text, ".", "")
		scale := 0
		if i := strings.IndexByte(text, '.'); i >= 0 {
			scale = len(text) - i - 1
		}
		n, _ := new(big.Int).SetString(digits, 10)
		b := make([]byte, 16)
		new(big.Int).And(n, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))).FillBytes(b)
		schema := writer.NewSchema("s", writer.Group{"d": writer.Decimal(scale, 38, writer.FixedLenByteArrayType(16))})
		var out bytes.Buffer
		w := writer.NewWriter(&out, schema)
		if _, err := w.WriteRows([]writer.Row{{writer.FixedLenByteArrayValue(b).Level(0, 0, 0)}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, rows, _ := head(t, out.Bytes(), 1); rows[0][0] != text {
			t.Errorf("%s is shown as %s", text, rows[0][0])
		}
	}
}
