package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// ending is how an attempt ended.
type ending struct {
	failure  *dag.Failure // nil: it succeeded
	exit     int
	started  time.Time
	at       time.Time // zero: now
	info     string
	outputs  *dag.Outputs
	usage    *dag.Usage
	finished bool // how the program ended is known
}

func failed(kind dag.FailureKind, exit int, message string) *ending {
	return &ending{failure: dag.NewFailure(kind, exit, message), exit: exit}
}

// fresh is how long ago something may have been to count as now: the cluster's times are whole seconds.
const fresh = 2 * time.Second

func (e *ending) fill(s *executors.Sighting, now time.Time) {
	s.Phase, s.Failure, s.ExitCode = dag.AttemptSucceeded, e.failure, e.exit
	if e.failure != nil {
		s.Phase = dag.AttemptFailed
	}
	s.Started, s.Outputs, s.Usage, s.Reason = e.started, e.outputs, e.usage, ""
	if e.info != "" {
		s.Info = e.info
	}
	if !e.at.IsZero() && now.Sub(e.at) > fresh {
		s.At = e.at
	}
}

// end says whether the attempt has ended, and how.
func (o *observation) end(pod *corev1.Pod) (*ending, bool) {
	if pod == nil && o.Gone != nil && (o.Job == nil || finished(o.Job)) {
		return o.endOfPod(o.Gone)
	}
	if pod != nil {
		if e, ok := o.endOfPod(pod); ok || !ended(pod) {
			return e, ok
		}
	}
	if o.Job == nil {
		return nil, false
	}
	if pod == nil && finishedAs(o.Job, batchv1.JobComplete) {
		return &ending{}, true
	}
	if c := conditionOf(o.Job, batchv1.JobFailed); c != nil && pod == nil {
		if c.Reason == batchv1.JobReasonDeadlineExceeded {
			return failed(dag.FailTimeout, 0, "it ran past its deadline: "+line(c.Message)), true
		}
		return failed(dag.FailLost, 0, "its pod is gone, so nobody knows how it ended: "+line(c.Message)), true
	}
	return nil, false
}

// endOfPod judges the pod: by what was done to it where that came first, and otherwise by how its program ended.
func (o *observation) endOfPod(pod *corev1.Pod) (*ending, bool) {
	if !ended(pod) && pod != o.Gone {
		return nil, false
	}
	e := endOfProgram(pod)
	if f := refusedByNode(pod); f != nil {
		e.failure = f
		return e, true
	}
	if ended(pod) && e.finished && !takenAway(pod, e) {
		return e, true
	}
	cause, known := o.cause(pod)
	if !known {
		return nil, false
	}
	if cause != nil {
		e.failure, e.exit = cause, cause.ExitCode
	}
	return e, true
}

// cause is why a pod ended that did not end by itself. It is not known before the cluster has said what it makes of it, because a
// pod that goes over its deadline is deleted like any other.
func (o *observation) cause(pod *corev1.Pod) (*dag.Failure, bool) {
	exit := exitOf(pod)
	if o.Job != nil && overdue(o.Job) {
		if neverBegan(pod) {
			message := "its deadline came before its program had begun"
			return dag.NewFailure(dag.FailTimeout, exit, appendMessage(message, o.whyPending(pod).reason)), true
		}
		return dag.NewFailure(dag.FailTimeout, exit, "it ran past its deadline and was stopped by the cluster"), true
	}
	if c := podCondition(pod, corev1.DisruptionTarget); c != nil && c.Status == corev1.ConditionTrue {
		return disrupted(pod, c, exit), true
	}
	switch {
	case pod.DeletionTimestamp == nil && pod != o.Gone:
		return nil, true
	case o.Job == nil, o.Job.DeletionTimestamp != nil:
		return dag.NewFailure(dag.FailLost, exit, "somebody else deleted its Job"), true
	case finished(o.Job):
		return dag.NewFailure(dag.FailLost, exit, fmt.Sprintf("somebody else deleted its pod %s", pod.Name)), true
	}
	return nil, false
}

func disrupted(pod *corev1.Pod, c *corev1.PodCondition, exit int) *dag.Failure {
	what := map[string]string{
		corev1.PodReasonPreemptionByScheduler: "preempted by a pod of higher priority",
		"DeletionByTaintManager":              fmt.Sprintf("evicted from node %s because of a taint", pod.Spec.NodeName),
		"EvictionByEvictionAPI":               "evicted through the API, as when a node is drained",
		corev1.PodReasonTerminationByKubelet:  fmt.Sprintf("ended by node %s", pod.Spec.NodeName),
		"DeletionByPodGC":                     fmt.Sprintf("node %s is gone", pod.Spec.NodeName),
		"DeletionByDeviceTaintManager":        fmt.Sprintf("evicted from node %s because of a device", pod.Spec.NodeName),
	}[c.Reason]
	if what == "" {
		what = "evicted (" + c.Reason + ")"
	}
	kind := dag.FailEvicted
	if c.Reason == "DeletionByPodGC" {
		kind = dag.FailLost
	}
	return dag.NewFailure(kind, exit, line(what+": "+c.Message))
}

// refusedByNode is what the node itself says of a pod that it ended or did not take.
func refusedByNode(pod *corev1.Pod) *dag.Failure {
	exit := 0
	if t := mainEnd(pod); t != nil {
		exit = int(t.ExitCode)
	}
	if pod.Status.Phase != corev1.PodFailed {
		return nil
	}
	message := line(strings.TrimSuffix(pod.Status.Reason+": "+pod.Status.Message, ": "))
	switch pod.Status.Reason {
	case "":
		return nil
	case "Evicted", "Preempting", "NodeShutdown", "Terminated", "Shutdown":
		return dag.NewFailure(dag.FailEvicted, exit, fmt.Sprintf("node %s evicted it: %s", pod.Spec.NodeName, message))
	case "DeadlineExceeded":
		return dag.NewFailure(dag.FailTimeout, exit, "it ran past its deadline: "+message)
	case "NodeLost":
		return dag.NewFailure(dag.FailLost, exit, message)
	}
	if mainEnd(pod) != nil {
		return nil
	}
	return dag.NewFailure(dag.FailLaunch, 0, fmt.Sprintf("node %s did not take its pod: %s", pod.Spec.NodeName, message))
}

// takenAway reports whether a pod was being deleted or evicted when its program ended: what a program does when it is told to stop is
// not its own end, even where it ends well.
func takenAway(pod *corev1.Pod, e *ending) bool {
	if pod.DeletionTimestamp == nil {
		c := podCondition(pod, corev1.DisruptionTarget)
		return e.failure != nil && c != nil && c.Status == corev1.ConditionTrue
	}
	asked := pod.DeletionTimestamp.Time
	grace := pod.DeletionGracePeriodSeconds
	if grace == nil || *grace == 0 { // the last step of a deletion: it was asked for at most so long before
		grace = pod.Spec.TerminationGracePeriodSeconds
	}
	if grace != nil {
		asked = asked.Add(-time.Duration(*grace) * time.Second)
	}
	return e.at.IsZero() || !e.at.Before(asked)
}

// ended reports whether nothing of the pod's programs runs any more. Sidecars may.
func ended(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].State.Terminated == nil {
			return false
		}
	}
	return true
}

func mainEnd(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if c := mainStatus(pod); c != nil {
		return c.State.Terminated
	}
	return nil
}

// endOfProgram says how the program of a pod ended by itself, as far as is known.
func endOfProgram(pod *corev1.Pod) *ending {
	if e := endOfInit(pod); e != nil {
		return e
	}
	t := mainEnd(pod)
	if t == nil || unborn(t) {
		e := failed(dag.FailLost, 0, "its pod ended, and nobody knows how: "+line(pod.Status.Reason+" "+pod.Status.Message))
		e.info = infoOf(pod)
		return e
	}
	e := &ending{exit: int(t.ExitCode), started: t.StartedAt.Time, at: t.FinishedAt.Time, info: infoOf(pod), finished: true}
	if e.started.Unix() <= 0 {
		e.started = time.Time{}
	}
	if e.at.Unix() <= 0 {
		e.at = time.Time{}
	}
	r, helped := parseRecord(t.Message)
	if helped {
		r.tell(e)
	}
	e.failure = failureOf(t, r, helped)
	return e
}

// endOfInit is the failure of an init container, after which the program never starts.
func endOfInit(pod *corev1.Pod) *ending {
	if t := mainEnd(pod); t != nil && t.StartedAt.Unix() > 0 {
		return nil
	}
	for i := range pod.Status.InitContainerStatuses {
		c := &pod.Status.InitContainerStatuses[i]
		t := c.State.Terminated
		if t == nil || t.ExitCode == 0 {
			continue
		}
		kind := dag.FailExit
		switch {
		case c.Name == helperContainer:
			kind = dag.FailLaunch
		case t.Reason == reasonOOM:
			kind = dag.FailOOM
		}
		message := fmt.Sprintf("init container %s: Error (exit code %d)", c.Name, t.ExitCode)
		e := failed(kind, int(t.ExitCode), appendMessage(message, t.Message))
		e.at, e.info, e.finished = t.FinishedAt.Time, infoOf(pod), true
		return e
	}
	return nil
}

const (
	reasonOOM     = "OOMKilled"
	reasonUnknown = "ContainerStatusUnknown"
)

// neverBegan reports whether the pod's program was not started, as far as is known.
func neverBegan(pod *corev1.Pod) bool {
	t := mainEnd(pod)
	return t == nil && !running(pod) || t != nil && unborn(t)
}

// exitOf is the exit status of a pod's program, 0 where it has none: that of an init container is not it.
func exitOf(pod *corev1.Pod) int {
	if neverBegan(pod) {
		return 0
	}
	return endOfProgram(pod).exit
}

// unborn reports whether what is said of a container's end stands for none: the node makes up an exit status for a container of an ended
// pod that it never started, or does not know any more.
func unborn(t *corev1.ContainerStateTerminated) bool {
	return t.Reason == reasonUnknown && t.StartedAt.Unix() <= 0
}

func failureOf(t *corev1.ContainerStateTerminated, r record, helped bool) *dag.Failure {
	exit := int(t.ExitCode)
	message := fmt.Sprintf("main: Error (exit code %d)", exit)
	switch {
	case helped && r.Exit == 0 && r.Error != "":
		return dag.NewFailure(dag.FailOutput, 0, "wait: Error (exit code 64): "+r.Error)
	case exit == 0:
		return nil
	case t.Reason == reasonOOM:
		return dag.NewFailure(dag.FailOOM, exit, message+": the system killed it for want of memory")
	case t.Reason == reasonUnknown:
		return dag.NewFailure(dag.FailLost, exit, "its node does not know any more how it ended: "+line(t.Message))
	case t.Reason == "DeadlineExceeded":
		return dag.NewFailure(dag.FailTimeout, exit, "it ran past its deadline: "+line(t.Message))
	case notStarted(t):
		return dag.NewFailure(dag.FailLaunch, exit, "the node could not start it: "+line(t.Message))
	case helped:
		return dag.NewFailure(dag.FailExit, exit, appendMessage(message, r.Error))
	}
	return dag.NewFailure(dag.FailExit, exit, appendMessage(message, t.Message))
}

// notStarted reports whether the container could not be started for a reason that is not its command: a command that does not exist
// is the program's own failure, wherever it runs.
func notStarted(t *corev1.ContainerStateTerminated) bool {
	if t.Reason != "StartError" && t.Reason != "ContainerCannotRun" {
		return false
	}
	return !strings.Contains(t.Message, "exec: ") && !strings.Contains(t.Message, "no such file or directory") &&
		!strings.Contains(t.Message, "permission denied")
}

func appendMessage(m, more string) string {
	if more = line(more); more != "" {
		return m + ": " + more
	}
	return m
}

// record is what the helper leaves behind as the termination message of its container.
type record struct {
	V       int    `json:"v"`
	Exit    int    `json:"exit"`
	Error   string `json:"error"`
	Posted  bool   `json:"posted"`
	Info    string `json:"info"`
	Started int64  `json:"started"` // Unix time in milliseconds
	Usage   *struct {
		CPU int64 `json:"cpu"` // milliseconds
		RSS int64 `json:"rss"` // bytes
	} `json:"usage"`
	Outputs *struct {
		Result     *string           `json:"result"`
		Parameters map[string]string `json:"parameters"`
	} `json:"outputs"`
}

// parseRecord reads a termination message. false if it is none of the helper's.
func parseRecord(message string) (r record, ok bool) {
	if !strings.HasPrefix(message, `{"v":1,`) || json.Unmarshal([]byte(message), &r) != nil {
		return record{}, false
	}
	return r, true
}

// tell completes what is known of an end.
func (r *record) tell(e *ending) {
	e.outputs = r.outputs()
	if r.Started > 0 {
		e.started = time.UnixMilli(r.Started)
	}
	if r.Info != "" {
		e.info += "; " + r.Info
	}
	if u := r.Usage; u != nil {
		e.usage = &dag.Usage{CPU: dag.Duration(u.CPU), MaxRSS: u.RSS}
	}
}

func (r *record) outputs() *dag.Outputs {
	if r.Outputs == nil || r.Outputs.Result == nil && len(r.Outputs.Parameters) == 0 {
		return nil
	}
	return &dag.Outputs{Result: r.Outputs.Result, Params: r.Outputs.Parameters}
}

// finished reports whether the cluster has closed the Job.
func finished(job *batchv1.Job) bool {
	return finishedAs(job, batchv1.JobComplete) || finishedAs(job, batchv1.JobFailed)
}

func finishedAs(job *batchv1.Job, kind batchv1.JobConditionType) bool {
	return conditionOf(job, kind) != nil
}

// overdue reports whether the cluster ends the Job because of its deadline.
func overdue(job *batchv1.Job) bool {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
		if c := conditionOf(job, kind); c != nil && c.Reason == batchv1.JobReasonDeadlineExceeded {
			return true
		}
	}
	return false
}
