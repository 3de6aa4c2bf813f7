package master

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/master/engine"
)

// The options of a task that executors know, and by which a plan or its submission chooses.
const (
	optionNamespace = "namespace"
	optionHelper    = "clic/helper"
)

// admit decides where the stages of a submitted plan run: with which executors, and in which namespace. It gives the options with
// which the task runs, and all that is to be said of the plan.
func (c Config) admit(s engine.Admission) (map[string]string, plan.Diagnostics) {
	a := &admission{cfg: c, Admission: s, options: maps.Clone(s.Options)}
	if a.options == nil {
		a.options = map[string]string{}
	}
	a.executor()
	route := c.route
	if name := a.options[engine.OptionExecutor]; name != "" {
		route = func(string) string { return name }
	}
	a.Diagnostics = a.Document.Placed(a.Diagnostics, func(platform string) bool { return a.cfg.onCluster(route(platform)) })
	a.plugins(route)
	a.namespace(route)
	a.helper()
	if len(a.options) == 0 {
		a.options = nil
	}
	return a.options, a.Diagnostics
}

type admission struct {
	engine.Admission
	cfg     Config
	options map[string]string
}

func (a *admission) say(s plan.Severity, rule, message, hint string, field ...string) {
	a.Diagnostics = append(a.Diagnostics, a.Document.Remark(s, rule, message, hint, field...))
}

// executor finds out which executor was chosen for the whole plan: by an option of the submission, or by a label. A label's value
// cannot hold a slash, so that a named cluster is chosen by its name alone, or with a dot instead.
func (a *admission) executor() {
	label := a.cfg.ExecutorLabel
	want, field := a.options[engine.OptionExecutor], []string(nil)
	if want == "" {
		want = a.Labels[label]
		if a.Document.Label(label) == want {
			field = []string{"metadata", "labels", label}
		}
	}
	if want == "" {
		delete(a.options, engine.OptionExecutor)
		return
	}
	for _, name := range a.cfg.PlanExecutors {
		short := strings.TrimPrefix(name, executorKube+"/")
		if slices.Contains([]string{name, short, strings.ReplaceAll(name, "/", ".")}, want) {
			a.options[engine.OptionExecutor] = name
			return
		}
	}
	hint := "plans may choose none here"
	if len(a.cfg.PlanExecutors) > 0 {
		hint = "plans may choose " + strings.Join(a.cfg.PlanExecutors, ", ")
	}
	a.say(plan.SeverityError, "executor", fmt.Sprintf("this master runs no plan on executor %q", want), hint, field...)
	delete(a.options, engine.OptionExecutor)
}

// namespace finds out where the Jobs of the plan go. The old master put all of them into one namespace and never looked at the
// plan's: plans of the CLIC form may name whatever they like.
func (a *admission) namespace(route func(platform string) string) {
	want, field := a.options[optionNamespace], []string(nil)
	byPlan := want == ""
	if byPlan {
		want, field = a.Document.Namespace(), []string{"metadata", "namespace"}
	}
	if want == "" {
		delete(a.options, optionNamespace)
		return
	}
	for _, name := range a.clusters(route) {
		k, _ := a.cfg.podsOf(name)
		if allows(k, want) {
			continue
		}
		message := fmt.Sprintf("executor %q runs no stages in namespace %q", name, want)
		if byPlan && a.Document.Form() == dag.FormCLIC {
			a.say(plan.SeverityNote, "namespace", fmt.Sprintf("%s; they run in %q, as ever in a plan of the CLIC form", message, k.Namespace), "", field...)
			return
		}
		a.say(plan.SeverityError, "namespace", message, "leave it out, or name one of "+strings.Join(append([]string{k.Namespace}, k.Namespaces...), ", "), field...)
		return
	}
	if len(a.clusters(route)) > 0 {
		a.options[optionNamespace] = want
	}
}

// clusters are the Kubernetes executors that run stages of the plan.
func (a *admission) clusters(route func(platform string) string) []string {
	var names []string
	for _, platform := range a.Document.Platforms() {
		if name := route(platform); a.cfg.onCluster(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func allows(k kubeconf.Config, namespace string) bool {
	if namespace == k.Namespace || slices.Contains(k.Namespaces, namespace) {
		return true
	}
	return slices.Contains(k.Namespaces, kubeconf.AnyNamespace) && len(validation.IsDNS1123Label(namespace)) == 0
}

// helper takes over what the plan says of the helper in its pods.
func (a *admission) helper() {
	said := a.Document.Annotation(optionHelper)
	if said == "" || a.options[optionHelper] != "" {
		return
	}
	if said != "true" && said != "false" {
		a.say(plan.SeverityError, "annotation", fmt.Sprintf("the annotation %s cannot be %q", optionHelper, said), "it can be true or false",
			"metadata", "annotations", optionHelper)
		return
	}
	a.options[optionHelper] = said
}
