package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format is what a result is written in.
type Format string

const (
	// FormatText is lines of text.
	FormatText Format = "text"
	// FormatCSV is rows of fields, separated by commas, semicolons, tabs or bars.
	FormatCSV Format = "csv"
	// FormatJSONL is a JSON object per line.
	FormatJSONL Format = "jsonl"
	// FormatParquet is Apache Parquet. Its rows are the lines, as JSON objects, and a table.
	FormatParquet Format = "parquet"
	// FormatORC is Apache ORC. It and the next three are named and not shown; the Note says what to do.
	FormatORC Format = "orc"
	// FormatAvro is Apache Avro.
	FormatAvro Format = "avro"
	// FormatSequence is Hadoop's sequence file.
	FormatSequence Format = "sequence"
	// FormatArrow is Arrow's file format.
	FormatArrow Format = "arrow"
	// FormatUnknown is binary. The Note says what it seems to be.
	FormatUnknown Format = "unknown"
)

// shape is a format with its particulars.
type shape struct {
	format Format
	// comma separates the fields of a CSV; header says that its first row names them.
	comma  rune
	header bool
	// note says what a binary file seems to be.
	note string
}

// instead is the way out for formats that are not shown.
const instead = ", which is not shown here; let the stage write Parquet, CSV or JSON lines, or read it in a stage of its own"

// binary tells the formats that have lines of their own from those that do not: all of one format, or of text.
func (s shape) binary() Format {
	switch s.format {
	case FormatText, FormatCSV, FormatJSONL:
		return ""
	}
	return s.format
}

// magics are the beginnings of binary files whose format is known.
var magics = []struct {
	magic  string
	format Format
	note   string
}{
	{"PAR1", FormatParquet, "Parquet"},
	{"PARE", FormatUnknown, "encrypted Parquet"},
	{"ORC", FormatORC, "ORC" + instead},
	{"Obj\x01", FormatAvro, "Avro" + instead},
	{"SEQ\x06", FormatSequence, "Hadoop sequence file" + instead},
	{"ARROW1", FormatArrow, "Arrow" + instead},
	{"PK\x03\x04", FormatUnknown, "zip"},
	{"\x89PNG", FormatUnknown, "PNG image"},
	{"%PDF", FormatUnknown, "PDF"},
	{"SQLite format 3\x00", FormatUnknown, "SQLite database"},
	{"\x7fELF", FormatUnknown, "program"},
}

// shown says that a format has lines.
func (f Format) shown() bool {
	switch f {
	case FormatText, FormatCSV, FormatJSONL, FormatParquet:
		return true
	}
	return false
}

// detect tells the format of a file from its name and its beginning. all says that sample is the whole file.
func detect(name string, sample []byte, all bool) shape {
	if isBinary(sample) {
		for _, m := range magics {
			if bytes.HasPrefix(sample, []byte(m.magic)) {
				return shape{format: m.format, note: m.note}
			}
		}
		return shape{format: FormatUnknown, note: "binary"}
	}
	lines := sampleLines(sample, all)
	switch extension(name) {
	case ".csv":
		s, ok := detectCSV(lines, false)
		if !ok {
			s = shape{format: FormatCSV, comma: ','}
		}
		return s
	case ".tsv":
		s, ok := detectSeparated(lines, '\t', false)
		if !ok {
			s = shape{format: FormatCSV, comma: '\t'}
		}
		return s
	case ".jsonl", ".ndjson":
		return shape{format: FormatJSONL}
	case ".txt", ".log", ".md", ".yaml", ".yml", ".xml", ".html":
		return shape{format: FormatText}
	}
	if areObjects(lines) {
		return shape{format: FormatJSONL}
	}
	if s, ok := detectCSV(lines, true); ok {
		return s
	}
	return shape{format: FormatText}
}

// extension is a name's last extension that says nothing of compression.
func extension(name string) string {
	for {
		ext := path.Ext(name)
		if !slices.Contains(packedExtensions, strings.ToLower(ext)) {
			return strings.ToLower(ext)
		}
		name = strings.TrimSuffix(name, ext)
	}
}

// isBinary looks for what text does not have: NUL bytes, and more than a few bytes that are neither UTF-8 nor printable.
func isBinary(sample []byte) bool {
	if bytes.IndexByte(sample, 0) >= 0 {
		return true
	}
	strange := 0
	for rest := sample; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 && utf8.FullRune(rest) || r < ' ' && !strings.ContainsRune("\t\n\r\f\b\x1b", r) {
			strange++
		}
		rest = rest[size:]
	}
	// A tenth: text in an old single-byte encoding stays text.
	return strange > 8 && strange > len(sample)/10
}

// sampleLines gives the first whole lines that are not empty.
func sampleLines(sample []byte, all bool) []string {
	const most = 20
	var lines []string
	for len(sample) > 0 && len(lines) < most {
		line, rest, found := bytes.Cut(sample, []byte("\n"))
		if !found && !all {
			break
		}
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) > 0 {
			lines = append(lines, string(line))
		}
		sample = rest
	}
	return lines
}

func areObjects(lines []string) bool {
	for _, line := range lines {
		if !strings.HasPrefix(line, "{") || !json.Valid([]byte(line)) {
			return false
		}
	}
	return len(lines) > 0
}

// detectCSV finds the separator by which all lines have the same number of fields, and at least two. strict asks for a
// header and a row, as a file has to have whose name does not say that it is a CSV.
func detectCSV(lines []string, strict bool) (shape, bool) {
	for _, comma := range ",\t;|" {
		if s, ok := detectSeparated(lines, comma, strict); ok {
			return s, true
		}
	}
	return shape{}, false
}

func detectSeparated(lines []string, comma rune, strict bool) (shape, bool) {
	if len(lines) == 0 || strict && len(lines) < 2 {
		return shape{}, false
	}
	first := fields(lines[0], comma)
	s := shape{format: FormatCSV, comma: comma, header: isHeader(first)}
	if len(first) < 2 || strict && !s.header {
		return s, false
	}
	for _, line := range lines[1:] {
		if openQuote(line, comma) {
			break // a field goes on in the next line, which says nothing of its own
		}
		if len(fields(line, comma)) != len(first) {
			return s, false
		}
	}
	return s, true
}

// openQuote reports whether a record ends inside of a quoted field, so that it goes on in the next line.
func openQuote(record string, comma rune) bool {
	q := quotes{comma: byte(comma), start: true}
	q.see([]byte(record))
	return q.open
}

// quotes follows a record of a CSV. A quote opens only at the beginning of a field; inside of one, a doubled quote is a quote.
type quotes struct {
	comma byte
	// open says that a quoted field is not closed yet, start that a field begins, ended that the last byte closed one.
	open, start, ended bool
}

func (q *quotes) see(part []byte) {
	for _, c := range part {
		switch {
		case q.open:
			q.open, q.ended = c != '"', c == '"'
			continue
		case c == '"' && (q.start || q.ended):
			q.open = true
		}
		q.start, q.ended = !q.open && c == q.comma, false
	}
}

// isHeader tells a row of names from a row of values: names are not empty, not numbers, have no space around them, and are
// all different.
func isHeader(row []string) bool {
	seen := map[string]bool{}
	for _, name := range row {
		_, err := strconv.ParseFloat(name, 64)
		if name == "" || len(name) > 100 || strings.TrimSpace(name) != name || err == nil || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// fields splits one record of a CSV. It is lenient: whatever is in the line is in some field.
func fields(record string, comma rune) []string {
	r := csv.NewReader(strings.NewReader(record))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
	row, err := r.Read()
	if err != nil {
		return strings.Split(record, string(comma))
	}
	return row
}
