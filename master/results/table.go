package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxColumns bounds the columns of a table; what is beyond is left out.
const maxColumns = 256

// csvTable makes a table of the records of a CSV. Rows that are longer than the header get columns without a name of their
// own.
func csvTable(records []string, s shape) (columns []string, rows [][]string) {
	if s.header && len(records) > 0 {
		columns, records = fields(records[0], s.comma), records[1:]
	}
	columns = columns[:min(len(columns), maxColumns)]
	for _, record := range records {
		row := fields(record, s.comma)
		row = row[:min(len(row), maxColumns)]
		for len(columns) < len(row) {
			columns = append(columns, fmt.Sprintf("column %d", len(columns)+1))
		}
		rows = append(rows, row)
	}
	for i := range rows {
		rows[i] = append(rows[i], make([]string, len(columns)-len(rows[i]))...)
	}
	return columns, rows
}

// jsonTable makes a table of JSON objects. The columns are all their keys, in the order in which they come up. ok is false
// where a record is no object.
func jsonTable(records []string) (columns []string, rows [][]string, ok bool) {
	place := map[string]int{}
	for _, record := range records {
		var row []string
		err := eachMember(record, func(key string, value json.RawMessage) {
			at, known := place[key]
			if !known {
				if len(columns) == maxColumns {
					return
				}
				at = len(columns)
				place[key] = at
				columns = append(columns, key)
			}
			row = append(row, make([]string, max(0, at+1-len(row)))...)
			row[at] = cell(value)
		})
		if err != nil {
			return nil, nil, false
		}
		rows = append(rows, row)
	}
	for i := range rows {
		rows[i] = append(rows[i], make([]string, len(columns)-len(rows[i]))...)
	}
	return columns, rows, true
}

// errNoObject is for a line that is something else than one object.
var errNoObject = errors.New("not an object")

// eachMember goes through the members of an object in their order.
func eachMember(object string, f func(key string, value json.RawMessage)) error {
	d := json.NewDecoder(strings.NewReader(object))
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errNoObject
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		f(t.(string), value)
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errNoObject
	}
	return nil
}

// cell shows a JSON value: a string as it is, null as nothing, all else as JSON in one line.
func cell(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s // null leaves it empty
	}
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return string(value)
	}
	return b.String()
}
