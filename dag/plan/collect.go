package plan

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// collector gathers diagnostics and finds the place of each.
type collector struct {
	file string
	// root is the plan's tree, or nil where it has to be read again to find a place.
	root func() *yaml.Node
	list Diagnostics
	more int
}

// add appends a diagnostic. Its place is that of node, or else that of the field at, or else none.
func (ds *collector) add(sev Severity, rule string, node *yaml.Node, at *where, message, hint string) {
	if len(ds.list) >= MaxDiagnostics {
		ds.more++
		return
	}
	d := Diagnostic{Severity: sev, File: ds.file, Rule: rule, Message: message, Hint: hint, Field: at.String()}
	if node == nil && at != nil && ds.root != nil {
		node = locate(ds.root(), at)
	}
	if node != nil {
		d.Line, d.Column = node.Line, node.Column
	}
	ds.list = append(ds.list, d)
}

func (ds *collector) errorf(rule string, at *where, hint, format string, args ...any) {
	ds.add(SeverityError, rule, nil, at, fmt.Sprintf(format, args...), hint)
}

func (ds *collector) warnf(rule string, at *where, hint, format string, args ...any) {
	ds.add(SeverityWarning, rule, nil, at, fmt.Sprintf(format, args...), hint)
}

func (ds *collector) notef(rule string, at *where, hint, format string, args ...any) {
	ds.add(SeverityNote, rule, nil, at, fmt.Sprintf(format, args...), hint)
}

// result is everything that was collected, in the order of the file.
func (ds *collector) result() Diagnostics {
	if ds.more > 0 {
		ds.list = append(ds.list, Diagnostic{
			Severity: SeverityNote, File: ds.file, Rule: "more",
			Message: fmt.Sprintf("%d more are not shown", ds.more),
		})
	}
	slices.SortStableFunc(ds.list, func(a, b Diagnostic) int {
		if (a.Line == 0) != (b.Line == 0) {
			return b.Line - a.Line // what has no place comes last
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.CompactFunc(ds.list, func(a, b Diagnostic) bool { return a == b })
}

// where is the path of a field. It is a list of steps from the field up, so that making one costs little; only a
// diagnostic spells it out. nil is the whole plan.
type where struct {
	up    *where
	key   string
	index int // of a list's item; -1 for a key
}

func (w *where) at(k string) *where { return &where{up: w, key: k, index: -1} }
func (w *where) item(i int) *where  { return &where{up: w, index: i} }

// in follows several keys.
func (w *where) in(keys ...string) *where {
	for _, k := range keys {
		w = w.at(k)
	}
	return w
}

// String is the path as people write it, such as spec.templates[1].container.image.
func (w *where) String() string {
	if w == nil {
		return ""
	}
	if w.index >= 0 {
		return fmt.Sprintf("%s[%d]", w.up, w.index)
	}
	if w.up == nil {
		return w.key
	}
	return w.up.String() + "." + w.key
}

func (w *where) steps() []*where {
	var all []*where
	for ; w != nil; w = w.up {
		all = append(all, w)
	}
	slices.Reverse(all)
	return all
}

// locate finds the value of a field in the tree, or the closest value around it.
func locate(root *yaml.Node, at *where) *yaml.Node {
	n := root
	for _, s := range at.steps() {
		next := child(n, s)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, s *where) *yaml.Node {
	n = target(n)
	if n == nil {
		return nil
	}
	if s.index >= 0 {
		if n.Kind == yaml.SequenceNode && s.index < len(n.Content) {
			return n.Content[s.index]
		}
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == s.key {
			return n.Content[i+1]
		}
	}
	return nil
}

// target follows aliases, a bounded number of times.
func target(n *yaml.Node) *yaml.Node {
	for range MaxNesting {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}
