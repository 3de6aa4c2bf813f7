package plan

import (
	"reflect"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
)

// eachString visits every string in a value of Argo's types, with its place.
func eachString(v reflect.Value, at *where, visit func(s string, at *where)) {
	switch v.Kind() {
	case reflect.String:
		if v.Len() > 0 {
			visit(v.String(), at)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			eachString(v.Elem(), at, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachString(v.Index(i), at.item(i), visit)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			eachString(v.MapIndex(k), at.at(k.String()), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				eachString(v.Field(i), at, visit)
				continue
			}
			eachString(v.Field(i), at.at(name), visit)
		}
	}
}

// programOf is the part of a template that is substituted for each run of its program: all but its parameters and calls.
func programOf(t *wfv1.Template) wfv1.Template {
	p := *t
	p.Inputs, p.Outputs = wfv1.Inputs{}, wfv1.Outputs{}
	p.Steps, p.DAG = nil, nil
	return p
}

// stringsIn checks the references in a template's program.
func (r *refChecker) stringsIn(t *template, u use) {
	p := programOf(t.src)
	p.Metrics = nil // ignored, and its variables are its own
	if p.RetryStrategy != nil && !strings.Contains(p.RetryStrategy.Expression, "{{") {
		retry := *p.RetryStrategy
		retry.Expression = "" // an expression, not a template
		p.RetryStrategy = &retry
	}
	visit := func(s string, at *where) {
		if strings.Contains(s, "{{") {
			x := newText(s, at, r.ds)
			r.text(&x, u, at)
		}
	}
	eachString(reflect.ValueOf(p), t.at, visit)
	pluginStrings(t.src, t.at.at("plugin"), visit)
}
