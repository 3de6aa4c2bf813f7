package plan

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Treatment is what becomes of a field of a plan.
type Treatment string

const (
	// TreatRun: the field has Argo's meaning.
	TreatRun Treatment = "run"
	// TreatKube: the field is handed to the Kubernetes executor, and means nothing to the others.
	TreatKube Treatment = "kubernetes-only"
	// TreatNeedsKube: the field has Argo's meaning on Kubernetes; a stage that runs elsewhere is refused with it.
	TreatNeedsKube Treatment = "needs-kubernetes"
	// TreatIgnored: the field is left out; a warning says why that may matter.
	TreatIgnored Treatment = "ignored"
	// TreatHarmless: the field is left out, and nothing is lost by it here.
	TreatHarmless Treatment = "harmless"
	// TreatRefused: a plan with this field is refused.
	TreatRefused Treatment = "refused"
	// TreatUnknown: Argo's language has no such field; the plan is refused.
	TreatUnknown Treatment = "unknown"
)

// FieldUse is one line of the compatibility report: what becomes of a field that a plan uses.
type FieldUse struct {
	// Field is the path with [] for lists, such as spec.templates[].container.image.
	Field     string    `json:"field"`
	Treatment Treatment `json:"treatment"`
	// Count is how often the plan has it.
	Count int    `json:"count"`
	Why   string `json:"why,omitempty"`
}

// row is a line of the table of fields.
type row struct {
	field string
	treat Treatment
	// why says what follows, or what to use instead.
	why string
	// of is the section that describes what is in the field; "" extends the treatment to all of it.
	of string
}

// rule is a row in its place in a plan.
type rule struct {
	row     *row
	pattern string
	suffix  string // "[]" for lists, ".*" for maps
	table   fieldTable
	kids    map[string]*rule
	order   []string
	n       int
}

func newRules() *rule {
	return &rule{row: &row{treat: TreatRun, of: "workflow"}, table: fields()}
}

// child is the rule of a field; nil where the table does not know it.
func (r *rule) child(name string) *rule {
	if r == nil {
		return nil
	}
	if r.row.of == "" {
		return r
	}
	if k, ok := r.kids[name]; ok {
		return k
	}
	var k *rule
	for i := range r.table[r.row.of] {
		if found := &r.table[r.row.of][i]; found.field == name {
			k = &rule{row: found, pattern: strings.TrimPrefix(r.pattern+r.suffix+"."+name, "."), table: r.table}
			break
		}
	}
	if r.kids == nil {
		r.kids = map[string]*rule{}
	}
	r.kids[name] = k
	r.order = append(r.order, name)
	return k
}

func (r *rule) item() *rule {
	if r != nil && r.row.of != "" {
		r.suffix = "[]"
	}
	return r
}

func (r *rule) any() *rule {
	if r != nil && r.row.of != "" {
		r.suffix = ".*"
	}
	return r
}

// usage is which fields a plan uses.
type usage struct {
	root    *rule
	unknown []FieldUse
	onKube  []kubeUse
}

// note counts a field, says what has to be said of it, and reports whether its value is to be read.
func (u *usage) note(ds *collector, r *rule, key *yaml.Node, at *where) bool {
	if r == nil {
		u.count(at, TreatRefused, "not supported")
		ds.add(SeverityError, "not-supported", key, at, "this field of Argo's language is not supported", "")
		return false
	}
	r.n++
	if r.row.treat == TreatKube || r.row.treat == TreatNeedsKube {
		u.kube(kubeUse{r.row, r.pattern, at, Diagnostic{File: ds.file, Line: key.Line, Column: key.Column, Field: at.String()}})
		return true
	}
	if r.n > 1 && r.row.treat != TreatRefused {
		return true // once is enough
	}
	switch r.row.treat {
	case TreatRefused:
		ds.add(SeverityError, "not-supported", key, at, "this field of Argo's language is not supported", r.row.why)
		return false
	case TreatIgnored:
		ds.add(SeverityWarning, "ignored", key, at, "this field is ignored", r.row.why)
	case TreatHarmless:
		ds.add(SeverityNote, "ignored", key, at, "this field is ignored", r.row.why)
	}
	return true
}

// count records a field that the table has no row for.
func (u *usage) count(at *where, t Treatment, why string) {
	field := at.pattern()
	for i := range u.unknown {
		if u.unknown[i].Field == field {
			u.unknown[i].Count++
			return
		}
	}
	if len(u.unknown) < MaxDiagnostics {
		u.unknown = append(u.unknown, FieldUse{Field: field, Treatment: t, Count: 1, Why: why})
	}
}

// report lists every field that was used, refused ones first, then as the plan has them.
func (u *usage) report() []FieldUse {
	var all []FieldUse
	var walk func(r *rule)
	walk = func(r *rule) {
		if r.n > 0 {
			all = append(all, FieldUse{Field: r.pattern, Treatment: r.row.treat, Count: r.n, Why: r.row.why})
		}
		for _, name := range r.order {
			if k := r.kids[name]; k != nil {
				walk(k)
			}
		}
	}
	walk(u.root)
	all = append(all, u.unknown...)
	rank := []Treatment{TreatUnknown, TreatRefused, TreatNeedsKube, TreatIgnored, TreatKube, TreatHarmless, TreatRun}
	slices.SortStableFunc(all, func(a, b FieldUse) int {
		return slices.Index(rank, a.Treatment) - slices.Index(rank, b.Treatment)
	})
	return all
}

// pattern is the path with [] for every item.
func (w *where) pattern() string {
	if w == nil {
		return ""
	}
	if w.index >= 0 {
		return strings.TrimSuffix(w.up.pattern(), "[]") + "[]"
	}
	if w.up == nil {
		return w.key
	}
	return w.up.pattern() + "." + w.key
}
