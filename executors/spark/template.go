package spark

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// template is an attempt's template in JSON, as far as it is changed here: everything else is handed on.
type template map[string]any

// readTemplate reads the template of an attempt; an empty one where it has none.
func readTemplate(raw []byte) (template, error) {
	t := template{}
	if len(raw) == 0 {
		return t, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("cannot read the template: %w", err)
	}
	return t, nil
}

// in gives the map under a key, made where there is none.
func in(m map[string]any, key string) map[string]any {
	if sub, ok := m[key].(map[string]any); ok {
		return sub
	}
	sub := map[string]any{}
	m[key] = sub
	return sub
}

// container is the program's container. It is the template's own, if that is one.
func (t template) container() map[string]any {
	if s, ok := t["script"].(map[string]any); ok {
		delete(t, "script")
		t["container"] = s
	}
	return in(t, "container")
}

// label puts labels and annotations on the pod, under what the plan says.
func (t template) label(labels, annotations map[string]string) {
	meta := in(t, "metadata")
	for key, values := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		if len(values) == 0 {
			continue
		}
		to := in(meta, key)
		for name, value := range values {
			if _, said := to[name]; !said {
				to[name] = value
			}
		}
	}
}

// names are those of the items of a list of named things.
func names(list any) map[string]bool {
	all := map[string]bool{}
	items, _ := list.([]any)
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			if name, ok := m["name"].(string); ok {
				all[name] = true
			}
		}
	}
	return all
}

// add appends a named thing to a list, unless there is one of its name.
func add(to map[string]any, key string, item map[string]any) {
	name, _ := item["name"].(string)
	if names(to[key])[name] {
		return
	}
	list, _ := to[key].([]any)
	to[key] = append(list, item)
}

// fieldEnv adds a variable that the cluster fills in from a field of the pod.
func fieldEnv(container map[string]any, name, path string) {
	add(container, "env", map[string]any{"name": name, "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": path}}})
}

// json is the template as text.
func (t template) json() ([]byte, error) {
	t = maps.Clone(t)
	delete(t, "plugin")
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("cannot write the template: %w", err)
	}
	return b, nil
}
