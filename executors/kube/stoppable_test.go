package kube

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// A Job that nobody asked for is deleted only where something of it runs or may run.
func TestStoppable(t *testing.T) {
	pod := func(phase corev1.PodPhase) *corev1.Pod { return &corev1.Pod{Status: corev1.PodStatus{Phase: phase}} }
	open, paused, closed := &batchv1.Job{}, &batchv1.Job{}, &batchv1.Job{}
	paused.Spec.Suspend = new(true)
	closed.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	for name, tt := range map[string]struct {
		job  *batchv1.Job
		pods []*corev1.Pod
		want bool
	}{
		"no pod yet":                 {open, nil, true},
		"pod waits":                  {open, []*corev1.Pod{pod(corev1.PodPending)}, true},
		"pod runs":                   {open, []*corev1.Pod{pod(corev1.PodRunning)}, true},
		"one of two runs":            {open, []*corev1.Pod{pod(corev1.PodFailed), pod(corev1.PodRunning)}, true},
		"pod has ended, Job is open": {open, []*corev1.Pod{pod(corev1.PodSucceeded)}, false},
		"pod has failed":             {open, []*corev1.Pod{pod(corev1.PodFailed)}, false},
		"paused, with its old pod":   {paused, []*corev1.Pod{pod(corev1.PodFailed)}, true},
		"closed":                     {closed, nil, false},
	} {
		if got := stoppable(tt.job, tt.pods); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
