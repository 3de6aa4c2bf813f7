package expr

import (
	"bytes"
	"encoding/json"
)

// SubstituteJSON substitutes in every string of a JSON document, keys included, and leaves everything else as it is: the
// document may be an item of a loop, or a whole task. Values become JSON strings again, so any value is safe. It gives what
// substituting each string on its own gives; Argo, which replaces in the document's text, gives the same for all documents
// in which every {{ is closed within its string.
func SubstituteJSON(document []byte, sc Scope, opt Options) ([]byte, error) {
	if !bytes.Contains(document, []byte(tagOpen)) {
		return document, nil
	}
	if err := checkJSON(document); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i := 0; i < len(document); {
		if document[i] != '"' {
			out.WriteByte(document[i])
			i++
			continue
		}
		end := i + 1
		for document[end] != '"' { // the document is valid: every string ends
			if document[end] == '\\' {
				end++
			}
			end++
		}
		literal := document[i : end+1]
		replaced, err := substituteLiteral(literal, sc, opt)
		if err != nil {
			return nil, err
		}
		if out.Write(replaced); out.Len() > MaxDocument {
			return nil, limitError(i, "substituted document is longer than %d bytes", MaxDocument)
		}
		i = end + 1
	}
	return out.Bytes(), nil
}

// substituteLiteral substitutes in one string with its quotes.
func substituteLiteral(literal []byte, sc Scope, opt Options) ([]byte, error) {
	var s string
	if err := json.Unmarshal(literal, &s); err != nil {
		return nil, err
	}
	r, err := Substitute(s, sc, opt)
	if err != nil || r == s {
		return literal, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
