package plan

import (
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// Rules of the remarks on fields that are about Kubernetes.
const (
	ruleKubeOnly  = "kubernetes-only"
	ruleNeedsKube = "needs-kubernetes"
	ruleNoCommand = "no-command"
	ruleNoImage   = "no-image"
)

// kubeUse is a field of a plan that is about Kubernetes: what is to be said of it follows from where its stages run.
type kubeUse struct {
	row     *row
	pattern string
	at      *where
	place   Diagnostic
}

// say makes the remark, for a plan of which it is not known where it runs (unknown), or for stages that do not run on Kubernetes.
func (k *kubeUse) say(form dag.Form, unknown bool) Diagnostic {
	d := k.place
	d.Hint = k.row.why
	switch {
	case k.row.treat == TreatKube:
		d.Severity, d.Rule, d.Message = SeverityNote, ruleKubeOnly, "this field only has a meaning on Kubernetes"
	case form == dag.FormCLIC:
		d.Severity, d.Rule = SeverityWarning, ruleNeedsKube
		d.Message = "this field only works on Kubernetes; elsewhere it is ignored, as ever in a plan of the CLIC form"
	case unknown:
		d.Severity, d.Rule = SeverityWarning, ruleNeedsKube
		d.Message = "this field only works on Kubernetes; a plan whose stage runs elsewhere is refused"
	default:
		d.Severity, d.Rule = SeverityError, ruleNeedsKube
		d.Message = "this field only works on Kubernetes, and the stage would run elsewhere"
	}
	return d
}

// kube notes a field that is about Kubernetes.
func (u *usage) kube(k kubeUse) { u.onKube = append(u.onKube, k) }

// remarks is what is said of the fields that are about Kubernetes: each once, where the first of it is that elsewhere says is not
// there; nil is that nobody knows.
func (d *Document) remarks(elsewhere func(k *kubeUse) bool) (ds Diagnostics) {
	said := map[string]bool{}
	for i := range d.onKube {
		k := &d.onKube[i]
		once := k.row.treat == TreatKube || elsewhere == nil
		if once && said[k.pattern] || elsewhere != nil && !elsewhere(k) || len(ds) >= MaxDiagnostics {
			continue
		}
		said[k.pattern] = true
		ds = append(ds, k.say(d.form, elsewhere == nil))
	}
	return ds
}

// Placed corrects ds, which is what Parse and Build said, for a plan of which it is known where its stages run: kubernetes says it
// of a platform. Nothing is said of fields that have their meaning there; a field without which a stage would not be what its
// author meant is an error where it has none, and so is the image that is missing where one is needed.
func (d *Document) Placed(ds Diagnostics, kubernetes func(platform string) bool) Diagnostics {
	platforms := d.platformsByPlace()
	everywhere := true
	for _, p := range platforms {
		everywhere = everywhere && kubernetes(p)
	}
	there := func(at *where) bool {
		for ; at != nil; at = at.up {
			if p, ok := platforms[at.String()]; ok {
				return kubernetes(p)
			}
		}
		return everywhere
	}
	all := &collector{file: d.file}
	for _, one := range ds {
		switch one.Rule {
		case ruleKubeOnly, ruleNeedsKube:
			continue // said anew
		case ruleNoCommand, ruleNoImage:
			if p, ok := platforms[strings.TrimSuffix(strings.TrimSuffix(one.Field, ".container"), ".script")]; ok && kubernetes(p) {
				if one.Rule == ruleNoCommand {
					continue // the image knows one
				}
				one.Severity, one.Hint = SeverityError, "Kubernetes needs one"
			}
		}
		all.list = append(all.list, one)
	}
	all.list = append(all.list, d.remarks(func(k *kubeUse) bool { return !there(k.at) })...)
	return all.result()
}

// Platforms are those of the templates that run programs, in order, without repetition.
func (d *Document) Platforms() []string {
	var list []string
	for _, p := range d.platformsByPlace() {
		list = append(list, p)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// platformsByPlace are the platforms of the templates that run programs, by the place of the template.
func (d *Document) platformsByPlace() map[string]string {
	all := map[string]string{}
	if d.set != nil {
		for _, t := range d.set.all {
			if t.kind == dag.KindStage {
				all[t.at.String()] = t.platform
			}
		}
		return all
	}
	templates := (*where)(nil).in("spec", "templates")
	for i := range d.wf.Spec.Templates {
		if t := &d.wf.Spec.Templates[i]; t.Container != nil {
			all[templates.item(i).String()] = platformOf(d.wf, t)
		}
	}
	return all
}

// Namespace is the namespace that the plan names, or "".
func (d *Document) Namespace() string { return d.wf.Namespace }

// Label is a label of the plan's own metadata, "" where it has none of that name.
func (d *Document) Label(name string) string { return d.wf.Labels[name] }

// Labels are those of the tasks that are made of the plan.
func (d *Document) Labels(o BuildOptions) map[string]string { return d.labels(o) }

// Annotation is Label for annotations.
func (d *Document) Annotation(name string) string { return d.wf.Annotations[name] }

// Remark makes a diagnostic about a field, which is named by its keys.
func (d *Document) Remark(s Severity, rule, message, hint string, field ...string) Diagnostic {
	ds := &collector{file: d.file, root: d.root}
	ds.add(s, rule, nil, (*where)(nil).in(field...), message, hint)
	return ds.list[0]
}
