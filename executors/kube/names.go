package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// Labels of Jobs and pods. Values that are no label's are shortened, with a hash of the whole at the end; the exact ones are in the
// annotations.
const (
	labelManagedBy = kubeconf.LabelManagedBy
	// labelInstance tells the installations of one cluster apart: informers and clean-up select by it.
	labelInstance = "clic/instance"
	labelTask     = "clic/task"
	labelStage    = "clic/stage"
	labelNumber   = "clic/attempt-number"
	labelPlatform = "clic/platform"

	managedBy = "clic"
)

// Annotations of Jobs and pods, with exact values.
const (
	annotationAttempt = "clic/attempt-id"
	annotationTask    = "clic/task"
	annotationStage   = "clic/stage-id"
	annotationEpoch   = "clic/epoch"
	// annotationContainer names the container whose end is the attempt's.
	annotationContainer = "clic/container"
	// annotationScript holds the script of a pod without the helper, which reads it as a file.
	annotationScript = "clic/script"
	// annotationHelper is "true" where the helper is in the pod. In a plan's metadata and as a task's option it asks for it, or with
	// "false" for none; annotationPlanHelper is the same in the words of plans.
	annotationHelper     = "clic/helper"
	annotationPlanHelper = "clic.io/helper"
)

// optionNamespace is the option of a task that chooses the namespace of its Jobs.
const optionNamespace = "namespace"

const (
	maxLabel = 63 // of a label's value and of a DNS-1123 label, in bytes
	hashLen  = 10 // hexadecimal digits
)

// jobName is the name of an attempt's Job, and of its pods up to the last dash: the attempt's id where that is a DNS label, and
// otherwise what of it can be kept with a hash of the whole.
func jobName(attemptID string) string { return dnsLabel(attemptID, "stage") }

// dnsLabel makes a DNS-1123 label of a name. fallback stands for one of which nothing can be kept.
func dnsLabel(name, fallback string) string {
	if len(utilvalidation.IsDNS1123Label(name)) == 0 {
		return name
	}
	keep := sanitize(strings.ToLower(name), "-", "-")
	if keep == "" {
		keep = fallback
	}
	return hashed(keep, name, "-")
}

// labelValue makes a label's value of any text: the text itself where it is one.
func labelValue(s string) string {
	if len(utilvalidation.IsValidLabelValue(s)) == 0 {
		return s
	}
	return hashed(sanitize(s, "-_.", "-_."), s, "-_.")
}

// sanitize keeps letters, digits and the other bytes, puts a dash in place of the rest, and trims.
func sanitize(s, others, trim string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(others, r):
			return r
		}
		return '-'
	}, s)
	return strings.Trim(kept, trim)
}

// hashed is the beginning of keep and a hash of whole.
func hashed(keep, whole, trim string) string {
	sum := sha256.Sum256([]byte(whole))
	tail := hex.EncodeToString(sum[:])[:hashLen]
	if len(keep) > maxLabel-1-hashLen {
		keep = strings.TrimRight(keep[:maxLabel-1-hashLen], trim)
	}
	if keep == "" {
		return tail
	}
	return keep + "-" + tail
}

// containerName is the name of the container that runs the program: the template's.
func containerName(a executors.Attempt) string { return dnsLabel(a.Spec.Template, "main") }

// namespaceOf is the namespace of an attempt's Job.
func (c *Config) namespaceOf(a executors.Attempt) (string, error) {
	want := a.Options[optionNamespace]
	switch {
	case want == "" || want == c.Namespace:
		return c.Namespace, nil
	case len(validation.ValidateNamespaceName(want, false)) > 0:
		return "", fmt.Errorf("%w: %q cannot be a namespace's name; correct the task's option %q", executors.ErrNever, want, optionNamespace)
	case slices.Contains(c.Namespaces, want), slices.Contains(c.Namespaces, AnyNamespace):
		return want, nil
	}
	return "", fmt.Errorf("%w: the master's configuration allows no stages in the namespace %q; leave the task's option %q out, or have it allowed",
		executors.ErrNever, want, optionNamespace)
}

// labelsOf are those of an attempt's Job and pods.
func (c *Config) labelsOf(a executors.Attempt) map[string]string {
	return map[string]string{
		labelManagedBy: managedBy,
		labelInstance:  c.Instance,
		labelTask:      labelValue(a.Task),
		labelStage:     labelValue(a.Stage),
		labelNumber:    strconv.Itoa(int(a.Number)),
		labelPlatform:  labelValue(a.Spec.Platform),
	}
}

// annotationsOf are those of an attempt's Job and pods.
func annotationsOf(a executors.Attempt) map[string]string {
	return map[string]string{
		annotationAttempt:   a.ID,
		annotationTask:      a.Task,
		annotationStage:     a.Stage,
		annotationEpoch:     strconv.FormatUint(a.Epoch, 10),
		annotationContainer: containerName(a),
	}
}
