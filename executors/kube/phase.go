package kube

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// observation is everything that the cluster says of one attempt at one moment.
type observation struct {
	// Job is nil once it is gone.
	Job *batchv1.Job
	// Pods are those of this Job that exist. Gone is the last that was seen of the latest one that no longer does.
	Pods []*corev1.Pod
	Gone *corev1.Pod
	// Events are the last warnings about the Job and about its pods, one for each object at most.
	Events []warning
	Now    time.Time
	// StartTimeout is how long a pod that can never start is waited for, Troubled since when it is known that it cannot; zero is now.
	StartTimeout time.Duration
	Troubled     time.Time
}

// warning is an event of the type Warning.
type warning struct {
	Kind, Reason, Message string
}

// sight says what an observation means. It is a pure function. The second result is false where there is nothing to report yet.
// The third is when to look again though nothing has changed; zero is never.
//
// A failure that is reported of an attempt that still exists (its pod can never start) is a decision to end it: nothing of it has
// ended yet.
func sight(o observation) (executors.Sighting, bool, time.Time) {
	s := executors.Sighting{At: o.Now}
	pod := o.pod()
	if e, ok := o.end(pod); ok {
		e.fill(&s, o.Now)
		return s, true, time.Time{}
	}
	switch {
	case pod == nil && o.Job == nil:
		failed(dag.FailLost, 0, "its Job is gone: somebody else deleted it").fill(&s, o.Now)
		return s, true, time.Time{}
	case pod == nil || ended(pod):
		return o.withoutPod(s)
	case running(pod):
		s.Phase, s.Started = dag.AttemptRunning, startOf(pod)
		s.Info, s.Reason = infoOf(pod), troubleOf(pod)
		return s, true, time.Time{}
	}
	s.Phase, s.Info = dag.AttemptPending, infoOf(pod)
	return o.waiting(s, o.whyPending(pod))
}

// pod is the one that counts: of several, which there are for a moment after a pause, the latest.
func (o *observation) pod() *corev1.Pod {
	var best *corev1.Pod
	for _, p := range o.Pods {
		if best == nil || later(p, best) {
			best = p
		}
	}
	return best
}

func later(a, b *corev1.Pod) bool {
	if da, db := a.DeletionTimestamp != nil, b.DeletionTimestamp != nil; da != db {
		return db
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return a.Name > b.Name
}

// withoutPod is what to say of a Job that has not ended and that has no pod, or one that was deleted.
func (o *observation) withoutPod(s executors.Sighting) (executors.Sighting, bool, time.Time) {
	job := o.Job
	switch {
	case job == nil || job.DeletionTimestamp != nil:
		return s, false, time.Time{}
	case suspended(job) && conditionOf(job, batchv1.JobSuspended) == nil:
		return s, false, time.Time{} // the cluster has not taken note yet: a pod may be on its way
	case suspended(job) && job.Annotations[annotationPaused] != "":
		s.Phase, s.Kept = dag.AttemptStopped, true
		return s, true, time.Time{}
	case suspended(job):
		s.Phase, s.Reason = dag.AttemptPending, "its Job was suspended by somebody else (spec.suspend)"
		return s, true, time.Time{}
	}
	s.Phase = dag.AttemptPending
	for _, e := range o.Events {
		if e.Kind == kindJob && e.Reason == "FailedCreate" {
			return o.waiting(s, wait{reason: refusal(e.Message), lasts: true})
		}
	}
	return s, false, time.Time{}
}

// wait is why something is pending. What lasts will not go away by itself, and is waited for so long only.
type wait struct {
	reason string
	lasts  bool
}

func (o *observation) waiting(s executors.Sighting, w wait) (executors.Sighting, bool, time.Time) {
	s.Reason = w.reason
	if !w.lasts || o.StartTimeout <= 0 {
		return s, true, time.Time{}
	}
	since := o.Troubled
	if since.IsZero() {
		since = o.Now
	}
	until := since.Add(o.StartTimeout)
	if o.Now.Before(until) {
		return s, true, until
	}
	failed(dag.FailLaunch, 0, fmt.Sprintf("it could not start within %v: %s", o.StartTimeout, w.reason)).fill(&s, o.Now)
	return s, true, time.Time{}
}

// whyPending says in one line what a pod waits for.
func (o *observation) whyPending(pod *corev1.Pod) wait {
	if c := podCondition(pod, corev1.PodScheduled); c != nil && c.Status != corev1.ConditionTrue {
		return wait{reason: unscheduled(c)}
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if c.State.Waiting == nil {
			continue
		}
		if kind := waitKind(c.State.Waiting.Reason); kind != "" {
			return wait{reason: line(kind + ": " + waitMessage(c.State.Waiting)), lasts: true}
		}
	}
	for _, e := range o.Events {
		if e.Kind != kindPod {
			continue
		}
		switch e.Reason {
		case "FailedMount", "FailedAttachVolume":
			return wait{reason: line("waiting for volume: " + e.Message), lasts: neverMounts(e.Message)}
		case "FailedCreatePodSandBox":
			return wait{reason: line("the node cannot make its sandbox: " + e.Message)}
		}
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.State.Running != nil && c.Name != helperContainer {
			return wait{reason: fmt.Sprintf("init container %q runs", c.Name)}
		}
	}
	return wait{}
}

func unscheduled(c *corev1.PodCondition) string {
	switch {
	case c.Reason == corev1.PodReasonSchedulingGated:
		return line("scheduling is gated: " + c.Message)
	case strings.Contains(strings.ToLower(c.Message), "persistentvolumeclaim"):
		return line("waiting for volume: " + claimMessage(c.Message))
	case c.Message == "":
		return "not scheduled to a node yet"
	}
	return line(c.Message)
}

// claimMessage is the part of a message that is about a claim.
func claimMessage(m string) string {
	if i := strings.Index(m, "persistentvolumeclaim "); i >= 0 {
		m, _, _ = strings.Cut(m[i:], ". ")
	}
	return m
}

// waitKind says what a container's reason for waiting is about; "" where it is only on its way.
func waitKind(reason string) string {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable",
		"SignatureValidationFailed":
		return "image pull"
	case "CreateContainerConfigError":
		return "configuration"
	case "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError", "CrashLoopBackOff":
		return "container"
	}
	return ""
}

func waitMessage(w *corev1.ContainerStateWaiting) string {
	if w.Message == "" {
		return w.Reason
	}
	if strings.Contains(w.Message, w.Reason) {
		return w.Message
	}
	return w.Reason + ": " + w.Message
}

// neverMounts tells what a volume lacks that somebody has to make from what only takes its time.
func neverMounts(message string) bool {
	return strings.Contains(message, "not found") &&
		(strings.Contains(message, "secret ") || strings.Contains(message, "configmap ") || strings.Contains(message, "references non-existent"))
}

// refusal is why the cluster does not make a pod or a Job.
func refusal(message string) string {
	if strings.Contains(message, "exceeded quota") || strings.Contains(message, "must specify limits") || strings.Contains(message, "must specify requests") {
		return line("quota: " + message)
	}
	return line("refused: " + message)
}

// maxLine is how long a reason may be.
const maxLine = 400

// line makes one line of a message.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return s
}

// running reports whether the program of the pod was started and has not ended.
func running(pod *corev1.Pod) bool {
	c := mainStatus(pod)
	return c != nil && (c.State.Running != nil || c.State.Terminated != nil)
}

func startOf(pod *corev1.Pod) time.Time {
	c := mainStatus(pod)
	switch {
	case c == nil:
	case c.State.Running != nil:
		return c.State.Running.StartedAt.Time
	case c.State.Terminated != nil:
		return c.State.Terminated.StartedAt.Time
	}
	return time.Time{}
}

// troubleOf says what happens to a pod that runs.
func troubleOf(pod *corev1.Pod) string {
	if c := podCondition(pod, corev1.DisruptionTarget); c != nil && c.Status == corev1.ConditionTrue {
		return line("it is being evicted: " + c.Message)
	}
	if pod.DeletionTimestamp != nil {
		return "its pod is being deleted"
	}
	return ""
}

func infoOf(pod *corev1.Pod) string {
	info := "pod " + pod.Namespace + "/" + pod.Name
	if pod.Spec.NodeName != "" {
		info += " on node " + pod.Spec.NodeName
	}
	return info
}

// mainStatus is the state of the container whose end is the attempt's.
func mainStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	name := pod.Annotations[annotationContainer]
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == name {
			return c
		}
	}
	if len(pod.Status.ContainerStatuses) > 0 {
		return &pod.Status.ContainerStatuses[0]
	}
	return nil
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

// conditionOf is a condition of a Job that holds.
func conditionOf(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

// The kinds of objects that events are about.
const (
	kindJob = "Job"
	kindPod = "Pod"
)
