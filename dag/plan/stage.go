package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// Stage implements dag.Program.
func (p *program) Stage(run *dag.Run, node int32) (*dag.StageSpec, error) {
	n := run.Node(node)
	if n.Spec.Kind != dag.KindStage {
		return nil, fmt.Errorf("node %q is a %s, which has no program", n.Spec.ID, n.Spec.Kind)
	}
	if p.clic != nil {
		return p.clic.stage(p, n), nil
	}
	r, ok := parseRef(n.Spec.Call)
	if !ok {
		return nil, fmt.Errorf("stage %q belongs to no call of the plan", n.Spec.ID)
	}
	k, h, t, ok := p.set.find(r)
	if !ok {
		return nil, fmt.Errorf("stage %q: the plan has no call %q", n.Spec.ID, n.Spec.Call)
	}
	if h != nil {
		k = nil
	}
	sc := &scope{p: p, run: run, tmpl: t, instance: -1, inputs: n.Spec.Inputs, own: -1, stage: node}
	s := &dag.StageSpec{
		StageID: n.Spec.ID, Task: p.task, Template: n.Spec.Template, Platform: n.Spec.Platform, Inputs: n.Spec.Inputs,
		CaptureResult: t.src.Script != nil || k != nil && k.resultUsed,
	}
	f := &filling{sc: sc}
	f.program(s, t)
	f.outputs(s, t)
	policyOf(s, n.Spec.Policy)
	s.Output = outputOf(p.wf, t.src, f.text)
	s.TemplateJSON = f.template(p, t, p.set.around(r))
	if f.err != nil {
		return nil, fmt.Errorf("stage %q: %w", n.Spec.ID, f.err)
	}
	return s, nil
}

// filling substitutes the strings of a template, and keeps the first error.
type filling struct {
	sc  *scope
	err error
}

func (f *filling) text(s string) string {
	v, err := expr.Substitute(s, f.sc, expr.Options{AllowUnresolved: true})
	if err != nil && f.err == nil {
		f.err = err
	}
	return v
}

func (f *filling) texts(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, f.text(s))
	}
	return out
}

// program fills in what is run.
func (f *filling) program(s *dag.StageSpec, t *template) {
	if t.src.Plugin != nil {
		s.Plugin, _ = pluginOf(t.src) // the rest is in the template
		return
	}
	c := t.src.Container
	if t.src.Script != nil {
		c = &t.src.Script.Container
		s.Script = f.text(t.src.Script.Source)
	}
	s.Image, s.WorkDir = f.text(c.Image), f.text(c.WorkingDir)
	s.Env = envOf(c.Env, f.text)
	resourcesOf(s, c.Resources)
	if t.clicArg != "" {
		s.Form, s.Shell = dag.FormCLIC, true
		s.Args = []string{f.sc.inputs[t.clicArg]}
		return
	}
	s.Command, s.Args = f.texts(c.Command), f.texts(c.Args)
}

func (f *filling) outputs(s *dag.StageSpec, t *template) {
	for i := range t.outputs {
		o := &t.outputs[i]
		file := dag.OutputFile{Name: o.name, Path: f.text(o.path.raw)}
		if o.fallback != nil {
			v := f.text(o.fallback.raw)
			file.Default = &v
		}
		s.OutputFiles = append(s.OutputFiles, file)
	}
}

// template is the whole template, substituted, in JSON.
func (f *filling) template(p *program, t *template, around *wfv1.Template) []byte {
	b := p.templateJSON(t.src, around)
	if !containsTag(string(b)) {
		return b
	}
	out, err := expr.SubstituteJSON(b, f.sc, expr.Options{AllowUnresolved: true})
	if err != nil && f.err == nil {
		f.err = err
	}
	return out
}

// envOf translates environment variables.
func envOf(list []corev1.EnvVar, fill func(string) string) []dag.EnvVar {
	var env []dag.EnvVar
	for _, e := range list {
		v := dag.EnvVar{Name: fill(e.Name), Value: fill(e.Value)}
		if from := e.ValueFrom; from != nil {
			if s := from.SecretKeyRef; s != nil {
				v.SecretName, v.SecretKey, v.Optional = fill(s.Name), fill(s.Key), s.Optional != nil && *s.Optional
			}
			if c := from.ConfigMapKeyRef; c != nil {
				v.ConfigMap, v.ConfigKey, v.Optional = fill(c.Name), fill(c.Key), c.Optional != nil && *c.Optional
			}
		}
		env = append(env, v)
	}
	return env
}

// resourcesOf translates requests and limits.
func resourcesOf(s *dag.StageSpec, r corev1.ResourceRequirements) {
	s.CPURequest, s.MemoryRequest = r.Requests.Cpu().MilliValue(), r.Requests.Memory().Value()
	s.CPULimit, s.MemoryLimit = r.Limits.Cpu().MilliValue(), r.Limits.Memory().Value()
}

func policyOf(s *dag.StageSpec, p *dag.Policy) {
	if p != nil {
		s.Timeout, s.Grace = p.Timeout, p.Grace
	}
}

// stageTemplate is a template with what the plan says of all pods put under it. What Argo's type has no place for stands beside it.
type stageTemplate struct {
	wfv1.Template
	Workflow *podsOfPlan `json:"workflow,omitempty"`
}

// podsOfPlan is what a plan says of all its pods, where the template's type has no place for it, or where both count: metadata
// and podSpecPatch of the template are applied after the plan's.
type podsOfPlan struct {
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	HostNetwork      *bool                         `json:"hostNetwork,omitempty"`
	DNSPolicy        *corev1.DNSPolicy             `json:"dnsPolicy,omitempty"`
	DNSConfig        *corev1.PodDNSConfig          `json:"dnsConfig,omitempty"`
	PodMetadata      *wfv1.Metadata                `json:"podMetadata,omitempty"`
	PodSpecPatch     string                        `json:"podSpecPatch,omitempty"`
	// Annotations are the plan's own for the master. They go to no pod, and a template's go before them.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// podsOf gives what a plan says of all its pods; nil if that is nothing.
func podsOf(wf *wfv1.Workflow) *podsOfPlan {
	spec := &wf.Spec
	all := &podsOfPlan{
		ImagePullSecrets: spec.ImagePullSecrets, HostNetwork: spec.HostNetwork, DNSPolicy: spec.DNSPolicy, DNSConfig: spec.DNSConfig,
		PodMetadata: spec.PodMetadata, PodSpecPatch: spec.PodSpecPatch,
	}
	for name, value := range wf.Annotations {
		if strings.HasPrefix(name, annotationPrefix) {
			if all.Annotations == nil {
				all.Annotations = map[string]string{}
			}
			all.Annotations[name] = value
		}
	}
	if reflect.ValueOf(all).Elem().IsZero() {
		return nil
	}
	return all
}

// templateJSON is a template in JSON, with what the plan says of all pods put under it. Where pods may run is said by the template that
// calls it as well, nil where there is none, which goes before the plan.
func (p *program) templateJSON(t, around *wfv1.Template) []byte {
	spec := &p.wf.Spec
	if around == nil {
		around = &wfv1.Template{}
	}
	full := stageTemplate{Template: programOf(t), Workflow: podsOf(p.wf)}
	full.Inputs, full.Outputs = t.Inputs, t.Outputs
	have := map[string]bool{}
	for _, v := range full.Volumes {
		have[v.Name] = true
	}
	full.Volumes = append([]corev1.Volume(nil), full.Volumes...)
	for _, v := range spec.Volumes {
		if !have[v.Name] {
			full.Volumes = append(full.Volumes, v)
		}
	}
	orElse(&full.ServiceAccountName, spec.ServiceAccountName)
	orElse(&full.SchedulerName, spec.SchedulerName)
	orElse(&full.PriorityClassName, spec.PodPriorityClassName)
	for _, from := range []struct {
		nodes       map[string]string
		affinity    *corev1.Affinity
		tolerations []corev1.Toleration
	}{
		{around.NodeSelector, around.Affinity, around.Tolerations},
		{spec.NodeSelector, spec.Affinity, spec.Tolerations},
	} {
		if len(full.NodeSelector) == 0 {
			full.NodeSelector = from.nodes
		}
		if full.Affinity == nil {
			full.Affinity = from.affinity
		}
		if len(full.Tolerations) == 0 {
			full.Tolerations = from.tolerations
		}
	}
	full.HostAliases = slices.Concat(spec.HostAliases, full.HostAliases) // both count, as in Argo
	if full.SecurityContext == nil {
		full.SecurityContext = spec.SecurityContext
	}
	if full.AutomountServiceAccountToken == nil {
		full.AutomountServiceAccountToken = spec.AutomountServiceAccountToken
	}
	if full.Executor == nil {
		full.Executor = spec.Executor
	}
	b, err := json.Marshal(&full)
	if err != nil { // the types were read from JSON
		return nil
	}
	return b
}

func orElse(s *string, other string) {
	if *s == "" {
		*s = other
	}
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }

// clicTemplates works out what the stages of each template share.
func (p *program) clicTemplates() {
	for _, t := range p.clic.templates {
		compiled := &template{name: t.Name, src: t, kind: dag.KindStage, platform: platformOf(p.wf, t), clicArg: "yes"}
		var policy *dag.Policy
		if t.Container != nil {
			policy, _ = p.policy(compiled, nil, &scope{p: p, instance: -1, own: -1, stage: -1}) // checked by Parse
		}
		p.clicPolicies = append(p.clicPolicies, policy)
		p.clicPlatforms = append(p.clicPlatforms, compiled.platform)
		p.clicCancels = append(p.clicCancels, annotation(p.wf, t, annotationPrepared) == "cancel")
	}
}

// template is the template of a stage.
func (c *clicPlan) template(n *dag.Node) *wfv1.Template {
	if i := int(n.Index) - 1; i >= 0 && i < len(c.tasks) {
		return c.templates[c.tasks[i].template]
	}
	return nil
}
