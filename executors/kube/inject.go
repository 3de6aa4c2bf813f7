package kube

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// The helper's part of a pod: an init container copies it into a volume, and the program's container starts it in the program's
// place.
const (
	helperVolume    = kubeconf.HelperVolume
	helperDir       = kubeconf.HelperDir
	helperContainer = "clic-install"
	helperInImage   = "/clic-stage"
	helperInPod     = helperDir + "/clic-stage"
	scriptFile      = "script"

	// envStageOptions tells the helper what to take back (stageOptions in JSON).
	envStageOptions = "CLIC_STAGE_OPTIONS"
	// envStageScript is the script; what does not fit goes on in envStageScript_1, _2 and so on.
	envStageScript = "CLIC_STAGE_SCRIPT"

	// scriptChunk is how many bytes of a script one variable holds: Linux takes no string of 128 KiB or more.
	scriptChunk = 96 << 10
	// maxScriptFile is the longest script without the helper. It travels as an annotation, and Kubernetes allows 256 KiB for all of
	// those together.
	maxScriptFile = 240 << 10
)

// installMemory is the least limit of memory that the copying is given.
const installMemory = 32 << 20

// stageOptions is what the helper is told.
type stageOptions struct {
	Result      bool          `json:"result"`
	Outputs     []stageOutput `json:"outputs,omitempty"`
	Heartbeat   string        `json:"heartbeat"`
	ResultLimit int64         `json:"resultLimit"`
	OutputLimit int64         `json:"outputLimit"`
	// Callbacks: the program reports its start and its completion itself, as those of the CLIC form do; the helper leaves both to it.
	Callbacks bool `json:"callbacks,omitempty"`
	// Grace is the pod's time between TERM and KILL.
	Grace string `json:"grace"`
	// TerminationLog is the file that the cluster reads the helper's last word from; "" is the usual one.
	TerminationLog string `json:"terminationLog,omitempty"`
	// MessageLimit is how many bytes of that arrive.
	MessageLimit int `json:"messageLimit"`
}

// The kubelet takes maxMessage bytes of a container's last word, and maxMessages of all containers of a pod together, an equal share
// of each (MaxPodTerminationMessageLogLength). strangers are containers that the cluster itself may add, as service meshes do.
const (
	maxMessage  = 4 << 10
	maxMessages = 12 << 10
	strangers   = 2
)

type stageOutput struct {
	Name    string  `json:"name"`
	Path    string  `json:"path"`
	Default *string `json:"default,omitempty"`
}

// wantsHelper says whether the helper goes into the pod of an attempt whose program is in main. It is an error if it cannot and
// something is lost without it, unless the plan says itself that it does without.
func (c *Config) wantsHelper(t *template, a executors.Attempt, main *corev1.Container) (bool, error) {
	var missing string
	switch {
	case c.StageImage == "":
		missing = "the master's configuration names no image with the stage helper"
	case len(main.Command) == 0:
		missing = "the stage helper starts the program, and what the image runs by itself is not known here; give the container a command"
	}
	switch said := t.helperOption(a); said {
	case "true":
		if missing != "" {
			return false, never("template %q: %s: true: %s", a.Spec.Template, annotationPlanHelper, missing)
		}
		return true, nil
	case "false":
		return false, nil
	case "":
	default:
		return false, never("template %q: %s can be true or false, not %q", a.Spec.Template, annotationPlanHelper, said)
	}
	// A script's result is always asked for, whether or not somebody uses it.
	needed := len(a.Spec.OutputFiles) > 0 || a.Spec.CaptureResult && a.Spec.Script == ""
	if c.StageHelper == HelperNever && missing == "" {
		missing = "the master's configuration forbids the stage helper"
	}
	switch {
	case missing == "":
		return !a.Spec.Shell || needed || c.StageHelper == HelperAlways, nil
	case needed:
		return false, never("template %q: outputs cannot be taken from the pod: %s", a.Spec.Template, missing)
	}
	return false, nil
}

// helperOption is what the task, the template or the plan says of the helper, in this order.
func (t *template) helperOption(a executors.Attempt) string {
	for _, of := range []map[string]string{a.Options, t.Metadata.Annotations, t.Workflow.Annotations} {
		for _, name := range []string{annotationPlanHelper, annotationHelper} {
			if v := of[name]; v != "" {
				return v
			}
		}
	}
	return ""
}

// roomForHelper refuses a pod that has something of its own where the helper's files go.
func roomForHelper(pod *corev1.PodSpec, main *corev1.Container, a executors.Attempt) error {
	for i := range pod.Volumes {
		if pod.Volumes[i].Name == helperVolume {
			return never("template %q: the volume name %q is taken by the stage helper; choose another", a.Spec.Template, helperVolume)
		}
	}
	for _, m := range main.VolumeMounts {
		if path.Clean(m.MountPath) == helperDir {
			return never("template %q: %s is taken by the stage helper; mount the volume %q elsewhere", a.Spec.Template, helperDir, m.Name)
		}
	}
	return nil
}

// inject puts the helper into the pod.
func (c *Config) inject(pod *corev1.PodSpec, main *corev1.Container, a executors.Attempt) error {
	o := stageOptions{
		Result: a.Spec.CaptureResult, Heartbeat: c.Heartbeat.String(), ResultLimit: c.ResultLimit, OutputLimit: c.OutputLimit,
		Callbacks: a.Spec.Shell, Grace: "0s", TerminationLog: main.TerminationMessagePath,
		// Its own init container is not among them yet.
		MessageLimit: min(maxMessage, maxMessages/(len(pod.Containers)+len(pod.InitContainers)+1+strangers)),
	}
	if g := pod.TerminationGracePeriodSeconds; g != nil {
		o.Grace = strconv.FormatInt(*g, 10) + "s"
	}
	for _, f := range a.Spec.OutputFiles {
		o.Outputs = append(o.Outputs, stageOutput{Name: f.Name, Path: f.Path, Default: f.Default})
	}
	text, err := json.Marshal(&o)
	if err != nil {
		return fmt.Errorf("cannot tell the helper what to do: %w", err)
	}
	install := corev1.Container{
		Name: helperContainer, Image: c.StageImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Command:      []string{helperInImage, "install", helperDir},
		Resources:    installResources(main.Resources),
		VolumeMounts: []corev1.VolumeMount{{Name: helperVolume, MountPath: helperDir}},
		// It has no last word of its own: where the copying fails, why is in its log.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	if a.Spec.Script != "" {
		install.Env = scriptVariables(a.Spec.Script)
		main.Args = append(main.Args, helperDir+"/"+scriptFile)
	}
	pod.InitContainers = slices.Insert(pod.InitContainers, 0, install)
	pod.Volumes = append(pod.Volumes, corev1.Volume{
		Name: helperVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
	})
	main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: helperVolume, MountPath: helperDir})
	main.Env = append(main.Env, corev1.EnvVar{Name: envStageOptions, Value: literal(string(text))})
	main.Command = append([]string{helperInPod, "run", "--"}, main.Command...)
	return nil
}

// installResources are those of the copying: the program's own, which cost nothing more since it runs later, and keep the pod's class
// of service.
func installResources(r corev1.ResourceRequirements) corev1.ResourceRequirements {
	var out corev1.ResourceRequirements
	pick := func(from corev1.ResourceList) corev1.ResourceList {
		var to corev1.ResourceList
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := from[name]; ok {
				if to == nil {
					to = corev1.ResourceList{}
				}
				to[name] = q
			}
		}
		return to
	}
	out.Requests, out.Limits = pick(r.Requests), pick(r.Limits)
	least := resource.NewQuantity(installMemory, resource.BinarySI)
	limit, limited := out.Limits[corev1.ResourceMemory]
	if !limited || limit.Cmp(*least) >= 0 {
		return out
	}
	if request, ok := out.Requests[corev1.ResourceMemory]; ok && request.Cmp(limit) == 0 {
		out.Requests[corev1.ResourceMemory] = *least
	}
	out.Limits[corev1.ResourceMemory] = *least
	return out
}

// mountScript gives the pod the script as a file without the helper: an annotation of the pod that is mounted.
func mountScript(pod *corev1.PodSpec, main *corev1.Container, a executors.Attempt) error {
	switch {
	case len(main.Command) == 0:
		return never("template %q: script.command is not set; name the interpreter of the script", a.Spec.Template)
	case len(a.Spec.Script) > maxScriptFile:
		return never("template %q: script.source has %d bytes, and without the stage helper at most %d fit; put it into the image or on a volume",
			a.Spec.Template, len(a.Spec.Script), maxScriptFile)
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: helperVolume, VolumeSource: corev1.VolumeSource{
		DownwardAPI: &corev1.DownwardAPIVolumeSource{
			DefaultMode: ptr(int32(0o555)),
			Items: []corev1.DownwardAPIVolumeFile{{
				Path: scriptFile, FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.annotations['" + annotationScript + "']"},
			}},
		},
	}})
	main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: helperVolume, MountPath: helperDir, ReadOnly: true})
	main.Args = append(main.Args, helperDir+"/"+scriptFile)
	return nil
}

// scriptVariables cut a script into variables that Linux takes.
func scriptVariables(script string) []corev1.EnvVar {
	var env []corev1.EnvVar
	for script != "" {
		n := min(len(script), scriptChunk)
		for n < len(script) && n > scriptChunk-utf8.UTFMax && !utf8.RuneStart(script[n]) {
			n--
		}
		name := envStageScript
		if len(env) > 0 {
			name += "_" + strconv.Itoa(len(env))
		}
		env = append(env, corev1.EnvVar{Name: name, Value: literal(script[:n])})
		script = script[n:]
	}
	return env
}

// literal writes a text so that the kubelet's expansion of $(NAME) gives the text again.
func literal(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// literalVariable makes a variable of NAME=value.
func literalVariable(v string) corev1.EnvVar {
	name, value, _ := strings.Cut(v, "=")
	return corev1.EnvVar{Name: name, Value: literal(value)}
}
