package kube

import (
	"google.golang.org/protobuf/encoding/protowire"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is seen of a Job or a pod is sent whole with every change, some ten times for a stage, and most of it is its template and who
// wrote which field. readJob and readPod read out of it what trimJob and trimPod keep, and pass over the rest: they give the same as
// the library's own decoding and then trimming, for less work and memory. The numbers are those of the fields in Kubernetes' API, which
// never change.

// readJob reads a Job. What it cannot read is an error, for the full decoder to look at.
func readJob(raw []byte) (*batchv1.Job, error) {
	job := &batchv1.Job{}
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.message(func(b []byte) error { return readMeta(b, &job.ObjectMeta) })
		case 2:
			f.message(func(b []byte) error { return readJobSpec(b, &job.Spec) })
		case 3:
			f.message(func(b []byte) error { return readJobStatus(b, &job.Status) })
		}
	}
	job.Labels, job.OwnerReferences = nil, nil
	return job, f.err
}

func readJobSpec(raw []byte, spec *batchv1.JobSpec) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 6:
			f.message(func(b []byte) error { return readTemplate(b, &spec.Template.Spec) })
		case 8:
			integer(&f, &spec.TTLSecondsAfterFinished)
		case 10:
			truth(&f, &spec.Suspend)
		}
	}
	return f.err
}

// readTemplate reads a pod template.
func readTemplate(raw []byte, spec *corev1.PodSpec) error {
	f := wire{rest: raw}
	for f.next() {
		if f.number == 2 {
			f.message(func(b []byte) error { return readPodSpec(b, spec, false) })
		}
	}
	return f.err
}

func readJobStatus(raw []byte, status *batchv1.JobStatus) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.message(func(b []byte) error {
				var c batchv1.JobCondition
				kind, is := "", ""
				err := readCondition(b, condition{&kind, &is, &c.LastProbeTime, &c.LastTransitionTime, &c.Reason, &c.Message, nil})
				c.Type, c.Status = batchv1.JobConditionType(kind), corev1.ConditionStatus(is)
				status.Conditions = append(status.Conditions, c)
				return err
			})
		case 2:
			f.timePointer(&status.StartTime)
		}
	}
	return f.err
}

// condition is where the fields of one go, which Jobs and pods number alike.
type condition struct {
	kind, status    *string
	probed, changed *metav1.Time
	reason, message *string
	generation      *int64 // a pod's
}

func readCondition(raw []byte, to condition) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.text(to.kind)
		case 2:
			f.text(to.status)
		case 3:
			f.time(to.probed)
		case 4:
			f.time(to.changed)
		case 5:
			f.text(to.reason)
		case 6:
			f.text(to.message)
		case 7:
			if to.generation != nil && f.want(protowire.VarintType) {
				*to.generation = int64(f.value)
			}
		}
	}
	return f.err
}

// readPod reads a pod.
func readPod(raw []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.message(func(b []byte) error { return readMeta(b, &pod.ObjectMeta) })
		case 2:
			f.message(func(b []byte) error { return readPodSpec(b, &pod.Spec, true) })
		case 3:
			f.message(func(b []byte) error { return readPodStatus(b, &pod.Status) })
		}
	}
	return pod, f.err
}

// readPodSpec reads of a pod's specification for how long it may end and, unless it is a template, where it is.
func readPodSpec(raw []byte, spec *corev1.PodSpec, placed bool) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 4:
			integer(&f, &spec.TerminationGracePeriodSeconds)
		case 10:
			if placed {
				f.text(&spec.NodeName)
			}
		}
	}
	return f.err
}

func readPodStatus(raw []byte, status *corev1.PodStatus) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			if f.want(protowire.BytesType) {
				status.Phase = phaseOf(f.bytes)
			}
		case 2:
			f.message(func(b []byte) error { return readPodCondition(b, status) })
		case 3:
			f.text(&status.Message)
		case 4:
			f.text(&status.Reason)
		case 7:
			f.timePointer(&status.StartTime)
		case 8:
			f.message(func(b []byte) error { return readContainer(b, &status.ContainerStatuses) })
		case 10:
			f.message(func(b []byte) error { return readContainer(b, &status.InitContainerStatuses) })
		}
	}
	return f.err
}

// phaseOf is a phase without a string of its own.
func phaseOf(b []byte) corev1.PodPhase {
	for _, p := range [...]corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed} {
		if string(b) == string(p) {
			return p
		}
	}
	return corev1.PodPhase(b)
}

// readPodCondition reads a condition, if it is one that is kept.
func readPodCondition(raw []byte, status *corev1.PodStatus) error {
	var c corev1.PodCondition
	for f := (wire{rest: raw}); f.next(); {
		if f.number == 1 && f.kind == protowire.BytesType {
			c.Type = keptCondition(f.bytes)
		}
	}
	if c.Type == "" {
		return nil
	}
	kind, is := "", ""
	err := readCondition(raw, condition{&kind, &is, &c.LastProbeTime, &c.LastTransitionTime, &c.Reason, &c.Message, &c.ObservedGeneration})
	c.Status = corev1.ConditionStatus(is)
	status.Conditions = append(status.Conditions, c)
	return err
}

// keptCondition is the type of a pod's condition, if it says something that matters.
func keptCondition(kind []byte) corev1.PodConditionType {
	switch string(kind) {
	case string(corev1.PodScheduled):
		return corev1.PodScheduled
	case string(corev1.DisruptionTarget):
		return corev1.DisruptionTarget
	}
	return ""
}

// readContainer reads the status of a container.
func readContainer(raw []byte, to *[]corev1.ContainerStatus) error {
	var s corev1.ContainerStatus
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.text(&s.Name)
		case 2:
			f.message(func(b []byte) error { return readState(b, &s.State) })
		}
	}
	*to = append(*to, s)
	return f.err
}

func readState(raw []byte, state *corev1.ContainerState) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			if state.Waiting == nil {
				state.Waiting = &corev1.ContainerStateWaiting{}
			}
			f.message(state.Waiting.Unmarshal)
		case 2:
			if state.Running == nil {
				state.Running = &corev1.ContainerStateRunning{}
			}
			f.message(state.Running.Unmarshal)
		case 3:
			if state.Terminated == nil {
				state.Terminated = &corev1.ContainerStateTerminated{}
			}
			f.message(state.Terminated.Unmarshal)
		}
	}
	return f.err
}

// readMeta reads what trimMeta keeps, and the owners.
func readMeta(raw []byte, m *metav1.ObjectMeta) error {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.text(&m.Name)
		case 3:
			f.text(&m.Namespace)
		case 5:
			f.text((*string)(&m.UID))
		case 6:
			f.text(&m.ResourceVersion)
		case 8:
			f.time(&m.CreationTimestamp)
		case 9:
			f.timePointer(&m.DeletionTimestamp)
		case 10:
			integer(&f, &m.DeletionGracePeriodSeconds)
		case 11:
			if key, value := f.pair(); string(key) == batchv1.JobNameLabel {
				m.Labels = map[string]string{batchv1.JobNameLabel: string(value)}
			}
		case 12:
			key, value := f.pair()
			if name := keptAnnotation(key); name != "" {
				if m.Annotations == nil {
					m.Annotations = make(map[string]string, 4)
				}
				m.Annotations[name] = string(value)
			}
		case 13:
			f.message(func(b []byte) error {
				var o metav1.OwnerReference
				err := o.Unmarshal(b)
				m.OwnerReferences = append(m.OwnerReferences, o)
				return err
			})
		}
	}
	return f.err
}

// keptAnnotations are those of ours that are looked at.
func keptAnnotations() [4]string {
	return [...]string{annotationAttempt, annotationEpoch, annotationContainer, annotationPaused}
}

func keptAnnotation(name []byte) string {
	for _, kept := range keptAnnotations() {
		if string(name) == kept {
			return kept
		}
	}
	return ""
}
