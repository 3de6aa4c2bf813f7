package pods

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clic-orchestrator/clic/executors/spark"
)

func TestView(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	state := func(name string, s corev1.ContainerState) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{
			{Name: "sidecar", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			{Name: name, State: s},
		}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "OOMKilled", Message: "m", StartedAt: metav1.NewTime(at), FinishedAt: metav1.NewTime(at.Add(time.Minute)),
	}}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "no  such image"}}
	const driver = "spark-kubernetes-driver"
	for _, c := range []struct {
		name   string
		status corev1.PodStatus
		want   spark.Pod
	}{
		{"running", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: state(driver, running)}, spark.Pod{Running: true, Started: at}},
		{
			"killed",
			corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: state(driver, ended)},
			spark.Pod{Started: at, End: &spark.PodEnd{Exit: 137, Reason: "OOMKilled", Message: "m", Finished: at.Add(time.Minute)}},
		},
		{
			"no image",
			corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: state(driver, waiting)},
			spark.Pod{Waiting: "image pull: ErrImageNeverPull: no such image", Stuck: true},
		},
		{
			"no room",
			corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available: 1 Insufficient memory.",
			}}},
			spark.Pod{Waiting: "not scheduled: 0/1 nodes are available: 1 Insufficient memory."},
		},
		{
			"evicted",
			corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"},
			spark.Pod{Evicted: "node n evicted it: Evicted: low on memory"},
		},
		{
			"ended by the cluster",
			corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Odd", Message: "x"},
			spark.Pod{Evicted: "the cluster ended it: Odd x"},
		},
	} {
		p := &corev1.Pod{Status: c.status}
		p.Name, p.Namespace, p.Spec.NodeName = "p", "ns", "n"
		c.want.Name, c.want.Namespace, c.want.Node = "p", "ns", "n"
		if d := cmp.Diff(c.want, view(p)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// What a program does when it is told to go is not its own end.
func TestTaken(t *testing.T) {
	t.Parallel()
	at, grace := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), int64(30)
	for _, c := range []struct {
		name     string
		finished time.Time
		deleted  bool
		want     bool
	}{
		{"not deleted", at, false, false},
		{"ended before", at.Add(-time.Minute), true, false},
		{"ended after", at.Add(time.Second), true, true},
		{"never began", time.Time{}, true, true},
	} {
		p := &corev1.Pod{}
		if c.deleted {
			until := metav1.NewTime(at.Add(30 * time.Second))
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &until, &grace
		}
		if got := taken(p, &spark.PodEnd{Exit: 137, Finished: c.finished}); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}
