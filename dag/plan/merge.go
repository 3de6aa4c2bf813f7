package plan

import (
	"reflect"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
)

// applyDefaults puts templateDefaults and the plan's retryStrategy under every template, inline ones included. What a
// template says itself wins; of the kinds of template only the template's own is taken from the defaults.
func (d *Document) applyDefaults() {
	spec := &d.wf.Spec
	if spec.TemplateDefaults == nil && spec.RetryStrategy == nil {
		return
	}
	for i := range spec.Templates {
		d.applyTo(&spec.Templates[i], 0)
	}
}

func (d *Document) applyTo(t *wfv1.Template, depth int) {
	if depth > MaxNesting {
		return
	}
	spec := &d.wf.Spec
	if spec.TemplateDefaults != nil {
		defaults := spec.TemplateDefaults.DeepCopy()
		defaults.Name = ""
		keepKind(defaults, t)
		underlay(reflect.ValueOf(t).Elem(), reflect.ValueOf(defaults).Elem())
	}
	if t.RetryStrategy == nil && spec.RetryStrategy != nil {
		t.RetryStrategy = spec.RetryStrategy.DeepCopy()
	}
	eachInline(t, func(in *wfv1.Template) { d.applyTo(in, depth+1) })
}

// eachInline visits the templates that are written inside calls.
func eachInline(t *wfv1.Template, visit func(*wfv1.Template)) {
	for i := range t.Steps {
		for j := range t.Steps[i].Steps {
			if in := t.Steps[i].Steps[j].Inline; in != nil {
				visit(in)
			}
		}
	}
	if t.DAG != nil {
		for i := range t.DAG.Tasks {
			if in := t.DAG.Tasks[i].Inline; in != nil {
				visit(in)
			}
		}
	}
}

// keepKind removes from the defaults all kinds but the template's.
func keepKind(defaults, t *wfv1.Template) {
	if t.Container == nil {
		defaults.Container = nil
	}
	if t.Script == nil {
		defaults.Script = nil
	}
	if t.Plugin == nil {
		defaults.Plugin = nil
	}
	if t.DAG == nil {
		defaults.DAG = nil
	}
	if t.Steps == nil {
		defaults.Steps = nil
	}
	if t.Suspend == nil {
		defaults.Suspend = nil
	}
	if t.DAG != nil || t.Steps != nil { // only what runs a program can have these
		defaults.ActiveDeadlineSeconds, defaults.Timeout = nil, ""
	} else {
		defaults.Parallelism = nil
	}
}

// underlay fills what is not set in v from under: fields one by one, lists of named things by name, as Kubernetes'
// strategic merge does.
func underlay(v, under reflect.Value) {
	switch {
	case under.IsZero():
	case v.IsZero():
		v.Set(under)
	case v.Kind() == reflect.Pointer:
		if v.Elem().Kind() == reflect.Struct {
			underlay(v.Elem(), under.Elem())
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if f.Type.Kind() == reflect.Slice {
				mergeList(v.Field(i), under.Field(i), f.Tag)
				continue
			}
			underlay(v.Field(i), under.Field(i))
		}
	case v.Kind() == reflect.Map:
		for _, k := range under.MapKeys() {
			if !v.MapIndex(k).IsValid() {
				v.SetMapIndex(k, under.MapIndex(k))
			}
		}
	}
}

func mergeList(v, under reflect.Value, tag reflect.StructTag) {
	key := tag.Get("patchMergeKey")
	if v.Len() == 0 {
		v.Set(under)
		return
	}
	if !strings.Contains(tag.Get("patchStrategy"), "merge") || key == "" {
		return
	}
	field := strings.ToUpper(key[:1]) + key[1:]
	if v.Type().Elem().Kind() != reflect.Struct || !v.Index(0).FieldByName(field).IsValid() {
		return
	}
	have := map[any]int{}
	for i := range v.Len() {
		have[v.Index(i).FieldByName(field).Interface()] = i
	}
	for i := range under.Len() {
		u := under.Index(i)
		if at, ok := have[u.FieldByName(field).Interface()]; ok {
			underlay(v.Index(at), u)
			continue
		}
		v.Set(reflect.Append(v, u))
	}
}
