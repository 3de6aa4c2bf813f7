package parquet

import (
	"bytes"
	"encoding/json"
)

// record writes one row's value of a nested column as JSON. The values come as the leaves have them: each with its repetition level, which says
// at which list something new begins, and its definition level, which says how deep there is something.
type record struct {
	out  []byte
	most int
	// cut says that not all values of the row are there.
	cut bool
}

// full says that nothing more will be shown.
func (r *record) full() bool { return len(r.out) > r.most }

func (r *record) write(s string) { r.out = append(r.out, s...) }

// string writes a JSON string.
func (r *record) string(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) == nil { // a string always can be
		r.out = append(r.out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	}
}

// field writes the value of a field. parts are the values of the leaves below it, none of them empty.
func (r *record) field(n *node, parts [][]triple) error {
	switch {
	case len(parts) == 0:
		r.write("{}")
		return nil
	case n.repeated == repeated:
		return r.list(n, n, parts)
	case n.repeated == optional && parts[0][0].def < n.def:
		r.write("null")
		return nil
	}
	return r.body(n, parts)
}

// body writes the value of a field that is there.
func (r *record) body(n *node, parts [][]triple) error {
	if n.leaf() {
		if parts[0][0].def < n.def {
			r.write("null")
			return nil
		}
		v, err := n.value(parts[0][0].raw, r.most)
		if err != nil {
			return err
		}
		r.cut = r.cut || v.cut
		if v.raw {
			r.write(v.text)
		} else {
			r.string(v.text)
		}
		return nil
	}
	if e := n.entries(); e != nil && e.last > e.first {
		if n.logical.kind == logicalMap && len(e.children) > 0 && e.children[0].leaf() {
			return r.mapping(e, parts)
		}
		return r.list(e, e.item(n), parts)
	}
	r.write("{")
	for i, child := range n.children {
		if r.full() {
			return nil
		}
		if i > 0 {
			r.write(",")
		}
		r.string(child.name)
		r.write(":")
		if err := r.field(child, parts[child.first-n.first:child.last-n.first]); err != nil {
			return err
		}
	}
	r.write("}")
	return nil
}

// list writes the elements of a repeated field: the field itself, or the one that is in it.
func (r *record) list(n, item *node, parts [][]triple) error {
	r.write("[")
	err := r.each(n, parts, func(parts [][]triple) error {
		if item == n {
			return r.body(n, parts)
		}
		return r.field(item, parts)
	})
	r.write("]")
	return err
}

// mapping writes the pairs of a map as an object.
func (r *record) mapping(n *node, parts [][]triple) error {
	r.write("{")
	err := r.each(n, parts, func(parts [][]triple) error {
		key := n.children[0]
		if parts[0][0].def < key.def {
			r.string("")
		} else {
			v, err := key.value(parts[0][0].raw, r.most)
			if err != nil {
				return err
			}
			r.string(v.text)
		}
		r.write(":")
		if len(n.children) < 2 {
			r.write("null")
			return nil
		}
		value := n.children[1]
		return r.field(value, parts[value.first-n.first:value.last-n.first])
	})
	r.write("}")
	return err
}

// each goes through the elements of a repeated field.
func (r *record) each(n *node, parts [][]triple, f func(parts [][]triple) error) error {
	if parts[0][0].def < n.def {
		return nil
	}
	at := make([]int, len(parts))
	for count := 0; !r.full(); count++ {
		item := make([][]triple, len(parts))
		ended := 0
		for i, part := range parts {
			start := at[i]
			if start == len(part) {
				ended++
				continue
			}
			end := start + 1
			for end < len(part) && part[end].rep > n.rep {
				end++
			}
			item[i], at[i] = part[start:end], end
		}
		switch {
		case ended == len(parts):
			return nil
		case ended > 0 && r.cut:
			return nil
		case ended > 0:
			return damaged("the fields of a list have different numbers of values")
		}
		if count > 0 {
			r.write(",")
		}
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}
