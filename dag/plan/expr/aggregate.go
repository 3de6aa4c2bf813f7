package expr

import (
	"encoding/json"
	"strings"
)

// Result is outputs.result: what a program wrote to its standard output, without exactly one newline at the end.
func Result(stdout []byte) string { return strings.TrimSuffix(string(stdout), "\n") }

// AggregateResults makes outputs.result of a loop, the JSON list of the results of its instances in order. Each result must
// be JSON; plain text is an error, with encoding/json's words as in Argo.
func AggregateResults(results []string) (string, error) {
	items := make([]json.RawMessage, 0, len(results))
	for _, r := range results {
		if err := checkJSON([]byte(r)); err != nil {
			return "", &Error{Msg: err.Error(), Err: err}
		}
		items = append(items, json.RawMessage(r))
	}
	return marshalString(items)
}

// AggregateValues makes outputs.parameters.NAME of a loop: the JSON list of the parameter's values, as JSON where all of
// them are lists or maps, as strings otherwise.
func AggregateValues(values []string) (string, error) {
	if len(values) == 0 {
		return marshalString([]any{})
	}
	parsed := make([]any, 0, len(values))
	for _, v := range values {
		text := strings.TrimLeft(v, " \t\r\n")
		if text == "" || text[0] != '{' && text[0] != '[' || checkJSON([]byte(v)) != nil {
			return marshalString(values)
		}
		var value any
		if json.Unmarshal([]byte(v), &value) != nil {
			return marshalString(values)
		}
		parsed = append(parsed, value)
	}
	return marshalString(parsed)
}

// AggregateParameters makes outputs.parameters of a loop: the JSON list of one map per instance, from names to values.
func AggregateParameters(instances []map[string]string) (string, error) {
	if instances == nil {
		instances = []map[string]string{}
	}
	return marshalString(instances)
}

// marshalString is json.Marshal to a string.
func marshalString(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", &Error{Msg: err.Error(), Err: err}
	}
	return string(data), nil
}
