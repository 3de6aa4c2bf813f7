package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// mainName is what the container of the program is called in Argo's language, and so in patches, until the pod is complete.
const mainName = "main"

// template is what dag.StageSpec.TemplateJSON holds of interest here: the fields of Argo's template that describe a pod, with those
// of the plan put under them, and beside them what only the plan has. Lists and maps are as in Argo's types.
type template struct {
	Metadata                     metadata                   `json:"metadata"`
	Container                    *corev1.Container          `json:"container"`
	Script                       *corev1.Container          `json:"script"` // its source is the spec's
	InitContainers               []userContainer            `json:"initContainers"`
	Sidecars                     []userContainer            `json:"sidecars"`
	Volumes                      []corev1.Volume            `json:"volumes"`
	NodeSelector                 map[string]string          `json:"nodeSelector"`
	Affinity                     *corev1.Affinity           `json:"affinity"`
	Tolerations                  []corev1.Toleration        `json:"tolerations"`
	SchedulerName                string                     `json:"schedulerName"`
	PriorityClassName            string                     `json:"priorityClassName"`
	ServiceAccountName           string                     `json:"serviceAccountName"`
	AutomountServiceAccountToken *bool                      `json:"automountServiceAccountToken"`
	HostAliases                  []corev1.HostAlias         `json:"hostAliases"`
	SecurityContext              *corev1.PodSecurityContext `json:"securityContext"`
	PodSpecPatch                 string                     `json:"podSpecPatch"`
	Workflow                     workflow                   `json:"workflow"`
}

// workflow is what the plan says of all its pods.
type workflow struct {
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets"`
	HostNetwork      bool                          `json:"hostNetwork"`
	DNSPolicy        corev1.DNSPolicy              `json:"dnsPolicy"`
	DNSConfig        *corev1.PodDNSConfig          `json:"dnsConfig"`
	PodMetadata      metadata                      `json:"podMetadata"`
	PodSpecPatch     string                        `json:"podSpecPatch"`
	// Annotations are the plan's own for the master.
	Annotations map[string]string `json:"annotations"`
}

type metadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// userContainer is an init container or a sidecar.
type userContainer struct {
	corev1.Container `json:",inline"`
	// MirrorVolumeMounts mounts what the main container mounts.
	MirrorVolumeMounts *bool `json:"mirrorVolumeMounts"`
}

// never is an error that repeating the launch cannot mend.
func never(format string, args ...any) error {
	return fmt.Errorf("%w: %w", executors.ErrNever, fmt.Errorf(format, args...))
}

// parseTemplate reads the template of an attempt. One that has none is described by its spec alone.
func parseTemplate(a executors.Attempt) (*template, error) {
	t := &template{}
	if len(a.Spec.TemplateJSON) == 0 {
		return t, nil
	}
	if err := json.Unmarshal(a.Spec.TemplateJSON, t); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return nil, never("template %q: %s cannot be %s; correct the plan", a.Spec.Template, wrong.Field, wrong.Value)
		}
		return nil, never("cannot read template %q: %w", a.Spec.Template, err)
	}
	return t, nil
}

// program is the container that the template describes, nil where it describes none.
func (t *template) program() *corev1.Container {
	if t.Script != nil {
		return t.Script
	}
	return t.Container
}

// podSpec is the pod of an attempt as Argo has it: the program in the container "main", and beside it the sidecars.
func (t *template) podSpec(c *Config, a executors.Attempt) (*corev1.PodSpec, error) {
	grace := c.graceOf(a)
	w := &t.Workflow
	pod := &corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: &grace,
		NodeSelector:                  t.NodeSelector,
		Affinity:                      t.Affinity,
		Tolerations:                   t.Tolerations,
		SchedulerName:                 t.SchedulerName,
		PriorityClassName:             t.PriorityClassName,
		ServiceAccountName:            t.ServiceAccountName,
		AutomountServiceAccountToken:  t.AutomountServiceAccountToken,
		HostAliases:                   t.HostAliases,
		SecurityContext:               t.SecurityContext,
		HostNetwork:                   w.HostNetwork,
		DNSPolicy:                     w.DNSPolicy,
		DNSConfig:                     w.DNSConfig,
	}
	if pod.HostNetwork && pod.DNSPolicy == "" {
		pod.DNSPolicy = corev1.DNSClusterFirstWithHostNet // without it the master's service has no name there
	}
	if len(pod.NodeSelector) == 0 {
		pod.NodeSelector = maps.Clone(c.NodeSelector)
	}
	if len(pod.Tolerations) == 0 {
		pod.Tolerations = slices.Clone(c.Tolerations)
	}
	if pod.ServiceAccountName == "" {
		pod.ServiceAccountName = c.ServiceAccount
	}
	pod.ImagePullSecrets = slices.Clone(w.ImagePullSecrets)
	for _, name := range c.ImagePullSecrets {
		if ref := (corev1.LocalObjectReference{Name: name}); !slices.Contains(pod.ImagePullSecrets, ref) {
			pod.ImagePullSecrets = append(pod.ImagePullSecrets, ref)
		}
	}
	main, err := t.mainContainer(a)
	if err != nil {
		return nil, err
	}
	c.mountClaim(t, a, main)
	pod.Containers = []corev1.Container{*main}
	for i := range t.Sidecars {
		pod.Containers = append(pod.Containers, t.Sidecars[i].mirrored(main))
	}
	for i := range t.InitContainers {
		pod.InitContainers = append(pod.InitContainers, t.InitContainers[i].mirrored(main))
	}
	return pod, t.addVolumes(pod, a)
}

// mainContainer is the program's container. What is run is the spec's, everything around it the template's.
func (t *template) mainContainer(a executors.Attempt) (*corev1.Container, error) {
	spec := a.Spec
	main := &corev1.Container{}
	if p := t.program(); p != nil {
		main = p.DeepCopy()
	}
	if main.RestartPolicy != nil {
		return nil, never("template %q: container.restartPolicy is not supported; use retryStrategy", spec.Template)
	}
	main.Name = mainName
	main.Stdin, main.StdinOnce, main.TTY = false, false, false // nobody is at the other end
	main.WorkingDir = spec.WorkDir
	if spec.Image != "" {
		main.Image = spec.Image
	}
	if spec.Shell {
		main.Command, main.Args = []string{"/bin/sh", "-c"}, []string{executors.ShellLine(a)}
		if main.ImagePullPolicy == "" {
			main.ImagePullPolicy = corev1.PullIfNotPresent
		}
	} else {
		main.Command, main.Args = slices.Clone(spec.Command), slices.Clone(spec.Args)
	}
	main.Env = plannedVariables(main.Env, spec)
	resources(&main.Resources, spec)
	return main, nil
}

// mirrored is the container with the mounts of the main one, if it asks for them.
func (u *userContainer) mirrored(main *corev1.Container) corev1.Container {
	ctr := *u.DeepCopy()
	if u.MirrorVolumeMounts == nil || !*u.MirrorVolumeMounts {
		return ctr
	}
	for _, m := range main.VolumeMounts {
		if !slices.ContainsFunc(ctr.VolumeMounts, func(own corev1.VolumeMount) bool { return own.MountPath == m.MountPath }) {
			ctr.VolumeMounts = append(ctr.VolumeMounts, m)
		}
	}
	return ctr
}

// mountClaim mounts the shared volume of the CLIC form. It goes before a volume of the same name, and before what else is mounted
// in its place: the old master knew nothing else.
func (c *Config) mountClaim(t *template, a executors.Attempt, main *corev1.Container) {
	if !a.Spec.Shell || c.PVC == NoClaim {
		return
	}
	same := func(v corev1.Volume) bool { return v.Name == c.VolumeName }
	t.Volumes = append([]corev1.Volume{{Name: c.VolumeName, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.PVC},
	}}}, slices.DeleteFunc(t.Volumes, same)...)
	there := func(m corev1.VolumeMount) bool { return m.MountPath == c.MountPath }
	main.VolumeMounts = append([]corev1.VolumeMount{{Name: c.VolumeName, MountPath: c.MountPath}},
		slices.DeleteFunc(main.VolumeMounts, there)...)
}

// addVolumes puts the volumes into the pod that its containers mount, as Argo does: the others may not even exist.
func (t *template) addVolumes(pod *corev1.PodSpec, a executors.Attempt) error {
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			for _, m := range list[i].VolumeMounts {
				if err := t.addVolume(pod, m.Name); err != nil {
					return never("template %q: container %q: volumeMounts: %w", a.Spec.Template, list[i].Name, err)
				}
			}
			for _, d := range list[i].VolumeDevices {
				if err := t.addVolume(pod, d.Name); err != nil {
					return never("template %q: container %q: volumeDevices: %w", a.Spec.Template, list[i].Name, err)
				}
			}
		}
	}
	return nil
}

func (t *template) addVolume(pod *corev1.PodSpec, name string) error {
	named := func(v corev1.Volume) bool { return v.Name == name }
	if slices.ContainsFunc(pod.Volumes, named) {
		return nil
	}
	i := slices.IndexFunc(t.Volumes, named)
	if i < 0 {
		return fmt.Errorf("there is no volume %q; add it to spec.volumes or to the template's volumes", name)
	}
	pod.Volumes = append(pod.Volumes, t.Volumes[i])
	return nil
}

// plannedVariables adds the spec's variables to those that the container has itself; of several of one name the last counts.
func plannedVariables(own []corev1.EnvVar, spec *dag.StageSpec) []corev1.EnvVar {
	known := map[string]bool{}
	for i := range own {
		known[own[i].Name] = true
	}
	for i := range spec.Env {
		if v := &spec.Env[i]; !known[v.Name] {
			own = append(own, fromSpec(v))
		}
	}
	last := map[string]int{}
	for i := range own {
		last[own[i].Name] = i
	}
	var env []corev1.EnvVar
	for i := range own {
		if last[own[i].Name] == i {
			env = append(env, own[i])
		}
	}
	return env
}

// withOurs puts what every attempt finds in its environment before the plan's variables: those may refer to ours, and cannot replace
// them.
func withOurs(a executors.Attempt, planned []corev1.EnvVar) []corev1.EnvVar {
	var env []corev1.EnvVar
	ours := map[string]bool{}
	for _, v := range executors.Env(a) {
		e := literalVariable(v)
		env, ours[e.Name] = append(env, e), true
	}
	for i := range planned {
		if !ours[planned[i].Name] {
			env = append(env, planned[i])
		}
	}
	return env
}

func fromSpec(v *dag.EnvVar) corev1.EnvVar {
	e := corev1.EnvVar{Name: v.Name}
	var optional *bool
	if v.Optional {
		optional = ptr(true)
	}
	switch {
	case v.SecretName != "":
		e.ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: v.SecretName}, Key: v.SecretKey, Optional: optional,
		}}
	case v.ConfigMap != "":
		e.ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: v.ConfigMap}, Key: v.ConfigKey, Optional: optional,
		}}
	default:
		e.Value = v.Value
	}
	return e
}

// resources puts the spec's requests and limits into the container's, where they say something else.
func resources(r *corev1.ResourceRequirements, spec *dag.StageSpec) {
	set := func(list *corev1.ResourceList, name corev1.ResourceName, want *resource.Quantity) {
		if have, ok := (*list)[name]; want.IsZero() || ok && have.Cmp(*want) == 0 {
			return
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = *want
	}
	set(&r.Requests, corev1.ResourceCPU, resource.NewMilliQuantity(spec.CPURequest, resource.DecimalSI))
	set(&r.Requests, corev1.ResourceMemory, resource.NewQuantity(spec.MemoryRequest, resource.BinarySI))
	set(&r.Limits, corev1.ResourceCPU, resource.NewMilliQuantity(spec.CPULimit, resource.DecimalSI))
	set(&r.Limits, corev1.ResourceMemory, resource.NewQuantity(spec.MemoryLimit, resource.BinarySI))
}
