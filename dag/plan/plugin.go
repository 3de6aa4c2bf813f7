package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
	"github.com/clic-orchestrator/clic/dag/sparkapp"
)

// PluginSpark is the one plugin that stages can be made of: the application that package dag/sparkapp describes.
const PluginSpark = "spark"

// pluginOf gives the plugin that a template is made of, by its name; "" where it is none, or not of exactly one.
func pluginOf(t *wfv1.Template) (name string, value json.RawMessage) {
	if t.Plugin == nil {
		return "", nil
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(t.Plugin.Value, &all) != nil || len(all) != 1 {
		return "", nil
	}
	for name, value = range all {
	}
	return name, value
}

// plugin checks the plugin of a template.
func (c *compiler) plugin(t *template) {
	if t.src.Plugin == nil {
		return
	}
	at := t.at.at("plugin")
	name, value := pluginOf(t.src)
	switch name {
	case PluginSpark:
		for _, p := range sparkapp.Check(value, containsTag) {
			c.sparkProblem(&p, at.at(PluginSpark))
		}
	case "":
		if !c.refusedIn(t.at) {
			c.ds.errorf("type", at, "write plugin: {spark: {…}}", "a plugin is a map with one key, its name")
		}
	default:
		hint := "run the work in a container; the only plugin is spark"
		if near := expr.Nearest(name, []string{PluginSpark}); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		c.ds.errorf("not-supported", at.at(name), hint, "the plugin %q is not supported", name)
	}
}

func (c *compiler) sparkProblem(p *sparkapp.Problem, at *where) {
	for _, s := range p.Path {
		if s.Key == "" {
			at = at.item(s.Index)
		} else {
			at = at.at(s.Key)
		}
	}
	hint := p.Hint
	if near := expr.Nearest(p.Name, p.Known); hint == "" && near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if hint == "" && len(p.Known) > 0 {
		hint = "known here: " + strings.Join(p.Known, ", ")
	}
	c.ds.errorf(p.Rule, at, hint, "%s", p.Message)
}

// pluginStrings visits every text in a template's plugin, with its place.
func pluginStrings(t *wfv1.Template, at *where, visit func(s string, at *where)) {
	if t.Plugin == nil {
		return
	}
	var v any
	if json.Unmarshal(t.Plugin.Value, &v) == nil {
		eachJSON(v, at, visit)
	}
}

func eachJSON(v any, at *where, visit func(s string, at *where)) {
	switch v := v.(type) {
	case string:
		visit(v, at)
	case []any:
		for i := range v {
			eachJSON(v[i], at.item(i), visit)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			visit(k, at.at(k))
			eachJSON(v[k], at.at(k), visit)
		}
	}
}

// Plugins says which platforms' stages are made of a plugin, and of which.
func (d *Document) Plugins() map[string]string {
	all := map[string]string{}
	if d.set == nil {
		return all
	}
	for _, t := range d.set.all {
		if name, _ := pluginOf(t.src); t.kind == dag.KindStage && name != "" {
			all[t.platform] = name
		}
	}
	return all
}
