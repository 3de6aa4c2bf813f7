package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"go.yaml.in/yaml/v3"

	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// decoder fills Argo's types from a YAML tree. Beside what encoding/json would do it knows where everything stands,
// refuses fields that do not exist, and asks the table of fields what becomes of each.
type decoder struct {
	ds    *collector
	types map[reflect.Type]*structInfo
	use   *usage
	// aliased counts the values inside aliases; inAlias is how many aliases the current value stands in.
	aliased, inAlias int
	bomb             bool
}

// structInfo is what encoding/json knows of a struct: its fields by name, those of embedded structs included.
type structInfo struct {
	fields map[string]fieldInfo
	names  []string
}

type fieldInfo struct {
	index []int
	typ   reflect.Type
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	parallelSteps   = reflect.TypeFor[wfv1.ParallelSteps]()
	anyString       = reflect.TypeFor[wfv1.AnyString]()
)

func (d *decoder) info(t reflect.Type) *structInfo {
	if si, ok := d.types[t]; ok {
		return si
	}
	si := &structInfo{fields: map[string]fieldInfo{}}
	si.add(t, nil)
	si.names = make([]string, 0, len(si.fields))
	for n := range si.fields {
		si.names = append(si.names, n)
	}
	slices.Sort(si.names)
	d.types[t] = si
	return si
}

func (si *structInfo) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(prefix), i)
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				si.add(inner, index)
				continue
			}
		}
		if name == "-" || name == "" || !f.IsExported() {
			continue
		}
		if old, taken := si.fields[name]; !taken || len(index) < len(old.index) {
			si.fields[name] = fieldInfo{index: index, typ: f.Type}
		}
	}
}

// value decodes a node into v. rule is the place of the value in the table of fields.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at *where, rule *rule) {
	if n.Kind == yaml.AliasNode {
		d.inAlias++
		defer func() { d.inAlias-- }()
		if n = target(n); n == nil || d.inAlias > MaxNesting {
			d.explode(n, at)
			return
		}
	}
	if d.inAlias > 0 {
		if d.aliased++; d.aliased > MaxAliased {
			d.explode(n, at)
		}
	}
	if d.bomb {
		return
	}
	if v.Kind() == reflect.Pointer {
		if n.Kind == yaml.ScalarNode && resolve(n).kind == 'n' {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), at, rule)
		return
	}
	if v.Type() == parallelSteps {
		d.list(n, v.FieldByName("Steps"), at, rule)
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(jsonUnmarshaler) {
		d.custom(n, v, at)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, at, rule)
	case reflect.Slice:
		d.list(n, v, at, rule)
	case reflect.Map:
		d.mapping(n, v, at, rule)
	default:
		d.scalar(n, v, at)
	}
}

func (d *decoder) explode(n *yaml.Node, at *where) {
	if !d.bomb {
		d.bomb = true
		d.ds.add(SeverityError, "aliases", n, at, fmt.Sprintf("aliases stand for more than %d values", MaxAliased), "")
	}
}

// pair is an entry of a YAML map.
type pair struct{ key, value *yaml.Node }

// pairs lists the entries of a map, merges (<<) included, and reports keys that come twice.
func (d *decoder) pairs(n *yaml.Node, at *where, depth int) []pair {
	own := make([]pair, 0, len(n.Content)/2)
	find := finder(len(n.Content) / 2)
	var merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" || k.Value == "<<" && k.Style == 0 {
			merged = append(merged, d.merge(v, at, depth)...)
			continue
		}
		if first := find(own, target(k)); first != nil {
			d.ds.add(SeverityError, "duplicate-key", k, at.at(k.Value),
				fmt.Sprintf("the key %q stands twice in this map, first in line %d", k.Value, first.Line), "remove one of them")
			continue
		}
		own = append(own, pair{k, v})
	}
	for _, m := range merged {
		if find(own, m.key) == nil {
			own = append(own, m)
		}
	}
	return own
}

// finder finds keys in a list that only grows. Maps of Argo's language are small, so that looking at each is fastest, but
// those of a hostile plan need not be.
func finder(size int) func(ps []pair, key *yaml.Node) *yaml.Node {
	if size <= 32 {
		return find
	}
	seen, next := make(map[string]*yaml.Node, size), 0
	return func(ps []pair, key *yaml.Node) *yaml.Node {
		for ; next < len(ps); next++ {
			seen[ps[next].key.Value] = ps[next].key
		}
		if key == nil {
			return nil
		}
		return seen[key.Value]
	}
}

func find(ps []pair, key *yaml.Node) *yaml.Node {
	if key == nil {
		return nil
	}
	for _, p := range ps {
		if p.key.Value == key.Value {
			return p.key
		}
	}
	return nil
}

func (d *decoder) merge(v *yaml.Node, at *where, depth int) []pair {
	if depth > MaxNesting {
		d.explode(v, at)
		return nil
	}
	t := target(v)
	switch {
	case t == nil:
		return nil
	case t.Kind == yaml.MappingNode:
		if d.aliased += len(t.Content); d.aliased > MaxAliased {
			d.explode(v, at)
			return nil
		}
		return d.pairs(t, at, depth+1)
	case t.Kind == yaml.SequenceNode:
		var all []pair
		for _, c := range t.Content {
			for _, p := range d.merge(c, at, depth+1) {
				if find(all, p.key) == nil {
					all = append(all, p)
				}
			}
		}
		return all
	}
	d.ds.add(SeverityError, "type", v, at, "<< needs a map or a list of maps", "")
	return nil
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, at *where, r *rule) {
	if n.Kind == yaml.ScalarNode && resolve(n).kind == 'n' {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, at, "a map")
		return
	}
	si := d.info(v.Type())
	for _, p := range d.pairs(n, at, 0) {
		name := p.key.Value
		here := at.at(name)
		f, ok := si.fields[name]
		if !ok {
			d.unknown(p.key, here, name, si.names)
			continue
		}
		next := r.child(name)
		if (next != r || r == nil) && !d.use.note(d.ds, next, p.key, here) {
			continue
		}
		d.value(p.value, v.FieldByIndex(f.index), here, next)
	}
}

func (d *decoder) unknown(key *yaml.Node, at *where, name string, names []string) {
	hint := ""
	if near := expr.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) <= 8 {
		hint = "known here: " + strings.Join(names, ", ")
	}
	d.ds.add(SeverityError, "unknown-field", key, at, fmt.Sprintf("there is no field %q here", name), hint)
	d.use.count(at, TreatUnknown, "no such field in Argo's language")
}

func (d *decoder) mismatch(n *yaml.Node, at *where, want string) {
	is := "a map"
	switch n.Kind {
	case yaml.SequenceNode:
		is = "a list"
	case yaml.ScalarNode:
		is = resolve(n).what()
	}
	d.ds.add(SeverityError, "type", n, at, fmt.Sprintf("this is %s, but %s is needed here", is, want), "")
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at *where, r *rule) {
	if n.Kind == yaml.ScalarNode && resolve(n).kind == 'n' {
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 { // bytes
		d.custom(n, v, at)
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, at, "a list")
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	next := r.item()
	for i, c := range n.Content {
		d.value(c, items.Index(i), at.item(i), next)
	}
	v.Set(items)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at *where, r *rule) {
	if n.Kind == yaml.ScalarNode && resolve(n).kind == 'n' {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, at, "a map")
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	next := r.any()
	for _, p := range d.pairs(n, at, 0) {
		if v.Type().Key().Kind() != reflect.String || p.key.Kind != yaml.ScalarNode {
			d.mismatch(p.key, at, "a string as key")
			continue
		}
		key := p.key.Value
		if s := resolve(p.key); s.kind == 'b' || s.kind == 'i' {
			key = s.String()
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(p.value, value, at.at(key), next)
		m.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

// custom decodes a type that reads its own JSON.
func (d *decoder) custom(n *yaml.Node, v reflect.Value, at *where) {
	if v.Type() == anyString && n.Kind == yaml.ScalarNode {
		if s := resolve(n); s.kind == 's' || s.kind == 'n' { // the common case, without a detour
			v.SetString(s.text)
			return
		}
	}
	text, ok := d.json(n, nil, at)
	if !ok {
		return
	}
	if err := json.Unmarshal(text, v.Addr().Interface()); err != nil {
		want := v.Type().Name()
		switch {
		case v.Type() == anyString:
			want = "a string, a number or true or false"
		case want == "Quantity":
			want, err = "a quantity", errors.New("quantities are written as in 500m, 2 or 1Gi")
		case want == "IntOrString":
			want = "a number or a string"
		}
		d.ds.add(SeverityError, "type", n, at, fmt.Sprintf("this cannot be read as %s: %v", want, err), "")
	}
}

// json writes a node as JSON.
func (d *decoder) json(n *yaml.Node, b []byte, at *where) ([]byte, bool) {
	if n.Kind == yaml.AliasNode {
		d.inAlias++
		defer func() { d.inAlias-- }()
		n = target(n)
	}
	if d.inAlias > 0 {
		d.aliased++
	}
	if n == nil || d.aliased > MaxAliased || d.inAlias > MaxNesting {
		d.explode(n, at)
		return nil, false
	}
	var ok bool
	switch n.Kind {
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, c := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			if b, ok = d.json(c, b, at); !ok {
				return nil, false
			}
		}
		return append(b, ']'), true
	case yaml.MappingNode:
		b = append(b, '{')
		for i, p := range d.pairs(n, at, 0) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, scalar{kind: 's', text: keyText(p.key)}.JSON()...), ':')
			if b, ok = d.json(p.value, b, at); !ok {
				return nil, false
			}
		}
		return append(b, '}'), true
	default:
		s := resolve(n)
		d.surprise(s, n, at)
		return append(b, s.JSON()...), true
	}
}

func keyText(k *yaml.Node) string {
	if s := resolve(k); s.kind == 'b' || s.kind == 'i' {
		return s.String()
	}
	return k.Value
}

// scalar decodes a string, a number or a boolean.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at *where) {
	if n.Kind != yaml.ScalarNode {
		d.mismatch(n, at, kindName(v.Kind()))
		return
	}
	s := resolve(n)
	if s.kind == 'n' {
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.surprise(s, n, at)
		v.SetString(s.String())
	case reflect.Bool:
		if s.kind != 'b' {
			d.mismatch(n, at, kindName(v.Kind()))
			return
		}
		v.SetBool(s.truth)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		whole := s.whole
		if s.kind == 'f' && s.float == math.Trunc(s.float) && math.Abs(s.float) < 1<<53 {
			whole, s.kind = int64(s.float), 'i'
		}
		if s.kind != 'i' {
			d.mismatch(n, at, kindName(v.Kind()))
			return
		}
		if v.OverflowInt(whole) {
			d.ds.add(SeverityError, "range", n, at, "the number "+strconv.FormatInt(whole, 10)+" is out of range", "")
			return
		}
		v.SetInt(whole)
	case reflect.Float32, reflect.Float64:
		switch s.kind {
		case 'i':
			v.SetFloat(float64(s.whole))
		case 'f':
			v.SetFloat(s.float)
		default:
			d.mismatch(n, at, kindName(v.Kind()))
		}
	default:
		d.custom(n, v, at)
	}
}

// surprise warns of words that are booleans to Argo's YAML parser but look like strings.
func (d *decoder) surprise(s scalar, n *yaml.Node, at *where) {
	if s.kind == 'b' && !strings.EqualFold(s.text, "true") && !strings.EqualFold(s.text, "false") {
		d.ds.add(SeverityWarning, "yaml-boolean", n, at, fmt.Sprintf("in YAML, %s is a boolean: as in Argo, this becomes %q", s.text, s.String()), "put it in quotes")
	}
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}
