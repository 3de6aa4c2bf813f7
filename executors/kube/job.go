package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// deadlineSlack is how much later than the core the cluster ends an attempt that takes too long: the core's own cancel comes first,
// and says why.
const deadlineSlack = time.Minute

// Bounds of what one Job may be. The API server keeps objects of up to 1.5 MiB, and the pod repeats nearly all of its Job.
const (
	maxJob        = 1 << 20
	maxString     = 128<<10 - 1 // of an argument or NAME=value, in bytes: Linux takes no longer ones
	maxVariables  = 2000
	maxContainers = 50
	maxVolumes    = 200
)

// buildJob makes the Job of an attempt. It is a pure function, and deterministic: the same attempt gives the same Job, byte for
// byte. c has its defaults. Errors wrap executors.ErrNever: they lie in the plan or the configuration.
func buildJob(c *Config, a executors.Attempt) (*batchv1.Job, error) {
	if a.Spec == nil || a.ID == "" {
		return nil, never("an attempt without an id or a program")
	}
	namespace, err := c.namespaceOf(a)
	if err != nil {
		return nil, err
	}
	t, err := parseTemplate(a)
	if err != nil {
		return nil, err
	}
	pod, helper, err := c.buildPod(t, a)
	if err != nil {
		return nil, err
	}
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: jobName(a.ID), Namespace: namespace, Labels: c.labelsOf(a), Annotations: annotationsOf(a)},
		Spec: batchv1.JobSpec{
			Parallelism:             ptr(int32(1)),
			Completions:             ptr(int32(1)),
			BackoffLimit:            ptr(int32(0)),
			PodReplacementPolicy:    ptr(batchv1.Failed),
			TTLSecondsAfterFinished: seconds32(c.TTL),
			Template:                corev1.PodTemplateSpec{Spec: *pod},
		},
	}
	if limit := milliseconds(a.Spec.Timeout); limit > 0 {
		deadline := wholeSeconds(limit+deadlineSlack) + c.graceOf(a)
		job.Spec.ActiveDeadlineSeconds = &deadline
	}
	if helper {
		job.Annotations[annotationHelper] = "true"
	}
	if job.Spec.Template.ObjectMeta, err = c.podMetadata(t, a); err != nil {
		return nil, err
	}
	maps.Copy(job.Spec.Template.Annotations, job.Annotations)
	if a.Spec.Script != "" && !helper {
		job.Spec.Template.Annotations[annotationScript] = a.Spec.Script
	}
	if n := job.Size(); n > maxJob {
		return nil, never("the Job of template %q has %d bytes, and %d are possible; pass large values on a volume", a.Spec.Template, n, maxJob)
	}
	return job, nil
}

// buildPod makes the pod, and says whether the helper is in it.
func (c *Config) buildPod(t *template, a executors.Attempt) (*corev1.PodSpec, bool, error) {
	pod, err := t.podSpec(c, a)
	if err != nil {
		return nil, false, err
	}
	if pod, err = t.patch(pod, a); err != nil {
		return nil, false, err
	}
	if err := t.addVolumes(pod, a); err != nil { // of mounts that came with a patch
		return nil, false, err
	}
	main := native(pod)
	if main.Image == "" {
		return nil, false, never("template %q: container.image is not set; give the container an image", a.Spec.Template)
	}
	main.Env = withOurs(a, main.Env)
	helper, err := c.wantsHelper(t, a, main)
	if err != nil {
		return nil, false, err
	}
	if helper || a.Spec.Script != "" {
		if err := roomForHelper(pod, main, a); err != nil {
			return nil, false, err
		}
	}
	switch {
	case helper:
		err = c.inject(pod, main, a)
	case a.Spec.Script != "":
		err = mountScript(pod, main, a)
	}
	if err != nil {
		return nil, false, err
	}
	main.Name = containerName(a)
	return pod, helper, checkPod(pod, a)
}

// native leaves the program as the pod's only container and gives it: every other one becomes an init container that runs on beside
// it, since a Job ends only when all of its containers have.
func native(pod *corev1.PodSpec) *corev1.Container {
	i := slices.IndexFunc(pod.Containers, isMain)
	for j, sidecar := range pod.Containers {
		if j != i {
			sidecar.RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways)
			pod.InitContainers = append(pod.InitContainers, sidecar)
		}
	}
	pod.Containers = []corev1.Container{pod.Containers[i]}
	return &pod.Containers[0]
}

// checkPod refuses what the cluster would refuse later or in other words.
func checkPod(pod *corev1.PodSpec, a executors.Attempt) error {
	if n := len(pod.InitContainers) + 1; n > maxContainers {
		return never("template %q: %d containers, and %d are possible", a.Spec.Template, n, maxContainers)
	}
	if n := len(pod.Volumes); n > maxVolumes {
		return never("template %q: %d volumes, and %d are possible", a.Spec.Template, n, maxVolumes)
	}
	names := map[string]bool{}
	for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for i := range list {
			if err := checkContainer(&list[i]); err != nil {
				return never("template %q: container %q: %w", a.Spec.Template, list[i].Name, err)
			}
			if names[list[i].Name] {
				return never("template %q: several containers are called %q; the program's is called as the template: name the others otherwise",
					a.Spec.Template, list[i].Name)
			}
			names[list[i].Name] = true
		}
	}
	return nil
}

func checkContainer(ctr *corev1.Container) error {
	if ctr.Name == "" {
		return fmt.Errorf("name is not set; give it one")
	}
	if n := len(ctr.Env); n > maxVariables {
		return fmt.Errorf("env has %d variables, and %d are possible", n, maxVariables)
	}
	check := func(what, text string) error {
		if len(text) > maxString {
			return fmt.Errorf("%s has %d bytes, and %d are possible; pass large values on a volume", what, len(text), maxString)
		}
		if strings.ContainsRune(text, 0) {
			return fmt.Errorf("%s holds a NUL, which no program can be given", what)
		}
		return nil
	}
	for _, arg := range append(slices.Clone(ctr.Command), ctr.Args...) {
		if err := check("an argument", arg); err != nil {
			return err
		}
	}
	for i := range ctr.Env {
		e := &ctr.Env[i]
		if e.Name == "" || strings.Contains(e.Name, "=") {
			return fmt.Errorf("env: %q cannot be a variable's name", e.Name)
		}
		if err := check("the variable "+e.Name, e.Name+"="+strings.ReplaceAll(e.Value, "$$", "$")); err != nil {
			return err
		}
	}
	return nil
}

// podMetadata is that of the pod: the configuration's, under the plan's, under the template's, under our own.
func (c *Config) podMetadata(t *template, a executors.Attempt) (metav1.ObjectMeta, error) {
	m := metav1.ObjectMeta{Labels: map[string]string{}, Annotations: map[string]string{}}
	for _, part := range []struct {
		from string
		metadata
	}{
		{"the configuration", metadata{c.Labels, c.Annotations}},
		{"spec.podMetadata", t.Workflow.PodMetadata},
		{fmt.Sprintf("template %q: metadata", a.Spec.Template), t.Metadata},
	} {
		for name, value := range part.Labels {
			if kubeconf.ReservedLabel(name) {
				return m, never("%s: the label %q belongs to clic or Kubernetes; choose another", part.from, name)
			}
			m.Labels[name] = value
		}
		for name, value := range part.Annotations {
			switch {
			case name == annotationHelper: // it was for us
			case kubeconf.ReservedAnnotation(name):
				return m, never("%s: the annotation %q belongs to clic; choose another", part.from, name)
			default:
				m.Annotations[name] = value
			}
		}
	}
	bad := metavalidation.ValidateLabels(m.Labels, field.NewPath("metadata", "labels"))
	bad = append(bad, validation.ValidateAnnotations(m.Annotations, field.NewPath("metadata", "annotations"))...)
	if len(bad) > 0 {
		return m, never("template %q: %w; correct the plan", a.Spec.Template, bad.ToAggregate())
	}
	maps.Copy(m.Labels, c.labelsOf(a))
	return m, nil
}

// graceOf is the time between TERM and KILL of an attempt, in whole seconds.
func (c *Config) graceOf(a executors.Attempt) int64 {
	if g := milliseconds(a.Spec.Grace); g > 0 {
		return wholeSeconds(g)
	}
	return wholeSeconds(c.Grace)
}

// milliseconds turns the core's unit of time into Go's, as far as that reaches.
func milliseconds(d dag.Duration) time.Duration {
	return time.Duration(min(int64(d), int64(100*365*24*time.Hour/time.Millisecond))) * time.Millisecond
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// seconds32 is a time to live; nil, which is for ever, for a negative one.
func seconds32(d time.Duration) *int32 {
	if d < 0 {
		return nil
	}
	return ptr(int32(min(wholeSeconds(d), 1<<31-1)))
}

func ptr[T any](v T) *T { return &v }
