package kube

import (
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// trimJob keeps what is needed of a Job: of a thousand of them the rest would be most of the master's memory.
func trimJob(job *batchv1.Job) *batchv1.Job {
	t := &batchv1.Job{ObjectMeta: trimMeta(&job.ObjectMeta)}
	t.Spec.Suspend, t.Spec.TTLSecondsAfterFinished = job.Spec.Suspend, job.Spec.TTLSecondsAfterFinished
	t.Spec.Template.Spec.TerminationGracePeriodSeconds = job.Spec.Template.Spec.TerminationGracePeriodSeconds
	t.Status.StartTime, t.Status.Conditions = job.Status.StartTime, job.Status.Conditions
	t.Labels = nil
	return t
}

// trimEvent keeps what is needed of an event.
func trimEvent(e *corev1.Event) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{ResourceVersion: e.ResourceVersion, UID: e.UID},
		InvolvedObject: corev1.ObjectReference{Kind: e.InvolvedObject.Kind, UID: e.InvolvedObject.UID},
		Reason:         e.Reason, Message: e.Message, LastTimestamp: e.LastTimestamp,
	}
}

// trimPod keeps what is needed of a pod.
func trimPod(pod *corev1.Pod) *corev1.Pod {
	t := &corev1.Pod{ObjectMeta: trimMeta(&pod.ObjectMeta)}
	t.OwnerReferences = pod.OwnerReferences
	t.Spec.NodeName, t.Spec.TerminationGracePeriodSeconds = pod.Spec.NodeName, pod.Spec.TerminationGracePeriodSeconds
	s := &pod.Status
	t.Status = corev1.PodStatus{Phase: s.Phase, Reason: s.Reason, Message: s.Message, StartTime: s.StartTime}
	for _, c := range s.Conditions {
		if keptCondition([]byte(c.Type)) != "" {
			t.Status.Conditions = append(t.Status.Conditions, c)
		}
	}
	t.Status.ContainerStatuses = trimStatuses(s.ContainerStatuses)
	t.Status.InitContainerStatuses = trimStatuses(s.InitContainerStatuses)
	return t
}

func trimStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	if len(all) == 0 {
		return nil
	}
	kept := make([]corev1.ContainerStatus, len(all))
	for i := range all {
		kept[i] = corev1.ContainerStatus{Name: all[i].Name, State: all[i].State}
	}
	return kept
}

func trimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	t := metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
		DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds,
	}
	for _, name := range keptAnnotations() {
		if value, ok := m.Annotations[name]; ok {
			if t.Annotations == nil {
				t.Annotations = make(map[string]string, 4)
			}
			t.Annotations[name] = value
		}
	}
	if name, ok := m.Labels[batchv1.JobNameLabel]; ok {
		t.Labels = map[string]string{batchv1.JobNameLabel: name}
	}
	return t
}

// sameJob reports whether two versions of a Job that was trimmed say the same. Most changes are of what is not looked at: that its pod
// is there, or ready, or was counted.
func sameJob(a, b *batchv1.Job) bool {
	return sameMeta(&a.ObjectMeta, &b.ObjectMeta) && same1(a.Spec.Suspend, b.Spec.Suspend) &&
		same1(a.Spec.TTLSecondsAfterFinished, b.Spec.TTLSecondsAfterFinished) &&
		same1(a.Spec.Template.Spec.TerminationGracePeriodSeconds, b.Spec.Template.Spec.TerminationGracePeriodSeconds) &&
		same1(a.Status.StartTime, b.Status.StartTime) && slices.Equal(a.Status.Conditions, b.Status.Conditions)
}

// samePod is the same for pods.
func samePod(a, b *corev1.Pod) bool {
	s, t := &a.Status, &b.Status
	return sameMeta(&a.ObjectMeta, &b.ObjectMeta) && a.Spec.NodeName == b.Spec.NodeName &&
		same1(a.Spec.TerminationGracePeriodSeconds, b.Spec.TerminationGracePeriodSeconds) &&
		s.Phase == t.Phase && s.Reason == t.Reason && s.Message == t.Message && same1(s.StartTime, t.StartTime) &&
		slices.Equal(s.Conditions, t.Conditions) && slices.EqualFunc(s.ContainerStatuses, t.ContainerStatuses, sameContainer) &&
		slices.EqualFunc(s.InitContainerStatuses, t.InitContainerStatuses, sameContainer)
}

func sameContainer(a, b corev1.ContainerStatus) bool {
	return a.Name == b.Name && same1(a.State.Waiting, b.State.Waiting) && same1(a.State.Running, b.State.Running) &&
		same1(a.State.Terminated, b.State.Terminated)
}

func sameMeta(a, b *metav1.ObjectMeta) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name && a.UID == b.UID && a.CreationTimestamp == b.CreationTimestamp &&
		same1(a.DeletionTimestamp, b.DeletionTimestamp) && same1(a.DeletionGracePeriodSeconds, b.DeletionGracePeriodSeconds) &&
		maps.Equal(a.Annotations, b.Annotations) && maps.Equal(a.Labels, b.Labels) && ownerUID(a) == ownerUID(b)
}

// same1 compares what may be missing.
func same1[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }
