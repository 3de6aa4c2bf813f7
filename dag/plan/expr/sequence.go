package expr

import (
	"encoding/json"
	"fmt"
	"strconv"
)

const (
	// maxSequenceText bounds what a format may make of one number.
	maxSequenceText = 4 << 10
)

// Sequence makes the items of withSequence. start, end and count are decimal numbers, "" where the plan doesn't say; end goes
// before count; the sequence counts down where end is less than start. format is for fmt, "" for %d. limit bounds the number
// of items; 0 is MaxItems.
func Sequence(start, end, count, format string, limit int) ([]Item, error) {
	if limit <= 0 {
		limit = MaxItems
	}
	from, to, empty, err := sequenceBounds(start, end, count)
	if err != nil || empty {
		return []Item{}, err
	}
	step, n := 1, uint64(to)-uint64(from)
	if to < from {
		step, n = -1, uint64(from)-uint64(to)
	}
	if n >= uint64(limit) {
		return nil, limitError(0, "withSequence from %d to %d has more than %d items", from, to, limit)
	}
	if format == "" {
		format = "%d"
	}
	if len(format) > maxSequenceText {
		return nil, limitError(0, "withSequence format is longer than %d bytes", maxSequenceText)
	}
	items := make([]Item, 0, n+1)
	total := 0
	for i := range int(n) + 1 {
		text := fmt.Sprintf(format, from+i*step)
		if total += len(text); len(text) > maxSequenceText || total > MaxDocument {
			return nil, limitError(0, "withSequence format %q makes too much text", shorten(format))
		}
		// As in Argo the format stands between the quotes of a JSON string, so that escapes in it work.
		item, err := NewItem(json.RawMessage(`"` + text + `"`))
		if err != nil {
			return nil, &Error{Msg: fmt.Sprintf("cannot use withSequence format %q: %v", format, err), Err: err}
		}
		items = append(items, item)
	}
	return items, nil
}

// sequenceBounds reads the numbers; empty is a count of 0.
func sequenceBounds(start, end, count string) (from, to int, empty bool, err error) {
	if start != "" {
		if from, err = strconv.Atoi(start); err != nil {
			return 0, 0, false, &Error{Msg: "cannot read withSequence start: " + err.Error(), Err: err}
		}
	}
	switch {
	case end != "":
		if to, err = strconv.Atoi(end); err != nil {
			return 0, 0, false, &Error{Msg: "cannot read withSequence end: " + err.Error(), Err: err}
		}
	case count != "":
		n, err := strconv.Atoi(count)
		if err != nil {
			return 0, 0, false, &Error{Msg: "cannot read withSequence count: " + err.Error(), Err: err}
		}
		if n < 0 {
			return 0, 0, false, errorAt(0, "withSequence count %d is negative", n)
		}
		return from, from + n - 1, n == 0, nil
	default:
		return 0, 0, false, errorAt(0, "neither end nor count was specified in withSequence")
	}
	return from, to, false, nil
}
