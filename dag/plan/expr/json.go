package expr

import (
	"encoding/json"
	"errors"
)

// checkJSON says whether data is one JSON value that is not too deep and not too long. The texts of syntax errors are those
// of encoding/json, which users of Argo know.
func checkJSON(data []byte) error {
	if len(data) > MaxDocument {
		return limitError(0, "%d bytes of JSON are more than %d", len(data), MaxDocument)
	}
	if at := tooDeep(data); at >= 0 {
		return limitError(at, "JSON is nested deeper than %d", MaxNesting)
	}
	if json.Valid(data) {
		return nil
	}
	var v json.RawMessage
	return json.Unmarshal(data, &v)
}

// tooDeep is where the nesting of brackets outside strings exceeds the bound, or -1.
func tooDeep(data []byte) int {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > MaxNesting {
				return i
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return -1
}

// asType is errors.As with the target's type inferred.
func asType[T error](err error, target *T) bool { return errors.As(err, target) }

// shorten cuts a text that goes into a message.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xC0 == 0x80 { // not within a character
		cut--
	}
	return s[:cut] + "…"
}
