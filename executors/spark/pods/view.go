package pods

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/executors/spark"
)

// view is what Spark's executor looks at of a pod.
func view(p *corev1.Pod) spark.Pod {
	v := spark.Pod{
		Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, Labels: p.Labels, Annotations: p.Annotations,
		Created: p.CreationTimestamp.Time, Deleting: p.DeletionTimestamp != nil,
	}
	v.Evicted = evicted(p)
	if c := main(p); c != nil {
		switch {
		case c.State.Running != nil:
			v.Running, v.Started = true, c.State.Running.StartedAt.Time
		case c.State.Terminated != nil:
			t := c.State.Terminated
			v.Started = t.StartedAt.Time
			v.End = &spark.PodEnd{Exit: int(t.ExitCode), Reason: t.Reason, Message: t.Message, Finished: t.FinishedAt.Time}
		}
	}
	if v.End == nil && (p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded) {
		v.Running = false
		if v.Evicted == "" {
			v.Evicted = line("the cluster ended it: " + p.Status.Reason + " " + p.Status.Message)
		}
	}
	v.Taken = taken(p, v.End)
	if !v.Running && v.End == nil {
		v.Waiting, v.Stuck = waiting(p)
	}
	return v
}

// taken reports whether a pod was told to go before its program had ended.
func taken(p *corev1.Pod, end *spark.PodEnd) bool {
	if p.DeletionTimestamp == nil {
		return false
	}
	asked := p.DeletionTimestamp.Time
	grace := p.DeletionGracePeriodSeconds
	if grace == nil || *grace == 0 { // the last step of a deletion: it was asked for at most so long before
		grace = p.Spec.TerminationGracePeriodSeconds
	}
	if grace != nil {
		asked = asked.Add(-time.Duration(*grace) * time.Second)
	}
	return end == nil || end.Finished.Unix() <= 0 || !end.Finished.Before(asked) // a container that never was has no times
}

// main is the state of the container that Spark's program runs in.
func main(p *corev1.Pod) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if c := &p.Status.ContainerStatuses[i]; strings.HasPrefix(c.Name, "spark-kubernetes-") {
			return c
		}
	}
	if len(p.Status.ContainerStatuses) > 0 {
		return &p.Status.ContainerStatuses[0]
	}
	return nil
}

// evicted is why the cluster ended a pod that did not end by itself.
func evicted(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodFailed && slices.Contains([]string{"Evicted", "Preempting", "NodeShutdown", "Terminated", "Shutdown"}, p.Status.Reason) {
		return line(fmt.Sprintf("node %s evicted it: %s: %s", p.Spec.NodeName, p.Status.Reason, p.Status.Message))
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && p.Status.Phase == corev1.PodFailed {
			return line("evicted (" + c.Reason + "): " + c.Message)
		}
	}
	return ""
}

// waiting says why a pod does not run yet, and whether that can change by itself.
func waiting(p *corev1.Pod) (why string, stuck bool) {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
			return line("not scheduled: " + c.Message), false
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		w := c.State.Waiting
		if w == nil {
			continue
		}
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
			return line("image pull: " + w.Reason + ": " + w.Message), true
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return line("container: " + w.Reason + ": " + w.Message), true
		}
	}
	return "", false
}

// maxLine is how long a reason may be, in bytes.
const maxLine = 400

func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return s
}
