package dag

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The stored form is JSON, so that a person can read a store. Unknown fields are ignored: a field may be added without
// a new schema version.

// AppendHeader appends the encoded task record to b.
func (r *Run) AppendHeader(b []byte) []byte { return appendJSON(b, &r.task) }

// AppendSpec appends the encoded spec of a node to b.
func (r *Run) AppendSpec(b []byte, i int32) []byte { return appendJSON(b, r.nodes[i].Spec) }

// AppendState appends the encoded state of a node to b.
func (r *Run) AppendState(b []byte, i int32) []byte { return appendJSON(b, &r.nodes[i].NodeState) }

// AppendEntry appends an encoded history entry to b.
func AppendEntry(b []byte, e Entry) []byte { return appendJSON(b, &e) }

func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		// Unreachable: the records hold nothing that JSON cannot express but for a float that is not finite, which the
		// plan's validation refuses. An empty record makes Load fail rather than lie.
		return b
	}
	return append(b, j...)
}

// DecodeHeader reads what AppendHeader wrote.
func DecodeHeader(b []byte) (*Task, error) {
	var t Task
	if err := decode(b, &t, "task record"); err != nil {
		return nil, err
	}
	return &t, nil
}

// DecodeSpec reads what AppendSpec wrote.
func DecodeSpec(b []byte) (*NodeSpec, error) {
	var s NodeSpec
	if err := decode(b, &s, "stage spec"); err != nil {
		return nil, err
	}
	return &s, nil
}

// DecodeState reads what AppendState wrote.
func DecodeState(b []byte) (*NodeState, error) {
	var s NodeState
	if err := decodeState(b, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// DecodeEntry reads what AppendEntry wrote.
func DecodeEntry(b []byte) (*Entry, error) {
	var e Entry
	if err := decode(b, &e, "history entry"); err != nil {
		return nil, err
	}
	return &e, nil
}

func decodeState(b []byte, s *NodeState) error { return decode(b, s, "stage state") }

// decodeSpec reads a spec and lets nodes of the same policy and the same words share them.
func decodeSpec(b []byte, policies map[string]*Policy) (*NodeSpec, error) {
	s, err := DecodeSpec(b)
	if err != nil {
		return nil, err
	}
	if s.Policy != nil {
		key := policyKey(b)
		if p, ok := policies[key]; ok {
			s.Policy = p
		} else {
			policies[key] = s.Policy
		}
	}
	return s, nil
}

// policyKey is the encoded policy inside an encoded spec; it is the spec's last field.
func policyKey(spec []byte) string {
	text := string(spec)
	if k := strings.LastIndex(text, `"pol":`); k >= 0 {
		return text[k:]
	}
	return text
}

func decode(b []byte, v any, what string) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: cannot read %s: %w", ErrCorrupt, what, err)
	}
	return nil
}
