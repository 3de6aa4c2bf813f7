//go:build cluster

package kube_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
)

const forever = "while :; do sleep 0.1; done"

// Programs that fail by themselves, and pods that can never start.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, script, patch string
		quota               string
		why                 string // it is pending for, first
		kind                dag.FailureKind
		exit                int
		says                string
	}{
		{name: "exit", script: "echo sorry > /dev/termination-log; exit 3", kind: dag.FailExit, exit: 3, says: "Error (exit code 3): sorry"},
		{
			name: "oom", script: "x=a; while :; do x=$x$x; done", kind: dag.FailOOM, exit: 137, says: "want of memory",
			patch: `{"containers": [{"name": "main", "resources": {"limits": {"memory": "32Mi"}}}]}`,
		},
		{
			name: "init", script: "true", kind: dag.FailExit, exit: 5, says: "init container prepare: Error (exit code 5)",
			patch: `{"initContainers": [{"name": "prepare", "image": "` + shellImage + `", "command": ["sh", "-c", "exit 5"]}]}`,
		},
		{
			name: "image", script: "true", why: "image pull: ", kind: dag.FailLaunch, says: "image pull: ",
			patch: `{"containers": [{"name": "main", "image": "clic.test/no-such-image:1"}]}`,
		},
		{
			name: "image-name", script: "true", why: "image pull: ", kind: dag.FailLaunch, says: "InvalidImageName",
			patch: `{"containers": [{"name": "main", "image": "clic.test/NO:1:2"}]}`,
		},
		{
			name: "config", script: "true", why: `configuration: `, kind: dag.FailLaunch, says: `secret "none" not found`,
			patch: `{"containers": [{"name": "main", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]}]}`,
		},
		{
			name: "volume", script: "true", why: "waiting for volume: ", kind: dag.FailLaunch, says: `secret "none" not found`,
			patch: `{"volumes": [{"name": "v", "secret": {"secretName": "none"}}],
				"containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}`,
		},
		{
			name: "refused", script: "true", kind: dag.FailLaunch, says: "did not take its pod: OutOfcpu",
			patch: `{"nodeName": "` + os.Getenv("CLIC_CLUSTER") + `", "containers": [{"name": "main", "resources": {"requests": {"cpu": "1000"}}}]}`,
		},
		{
			name: "evicted-by-node", script: "head -c 20000000 /dev/zero > /v/file; " + forever, kind: dag.FailEvicted, exit: -1, says: "evicted it: ",
			patch: `{"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
				"containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}`,
		},
		{name: "quota", script: "true", quota: "pods", why: "quota: ", kind: dag.FailLaunch, says: "exceeded quota"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			if c.quota != "" {
				s.putQuota(t, c.quota)
			}
			s.launch(t, c.name, c.script, c.patch)
			if c.why != "" {
				s.sees(t, c.name, "why it is pending", func(r executors.Sighting) bool {
					return r.Phase == dag.AttemptPending && strings.HasPrefix(r.Reason, c.why) && !strings.Contains(r.Reason, "\n")
				})
				s.keep(t, c.name)
			}
			r := s.end(t, c.name)
			if c.why == "" {
				s.keep(t, c.name)
			}
			if c.exit < 0 {
				c.exit = r.ExitCode
			}
			wantFailure(t, r, c.kind, c.exit, c.says)
		})
	}
}

func (s *site) putQuota(t *testing.T, what string) {
	t.Helper()
	q, err := s.client.CoreV1().ResourceQuotas(s.name).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceName(what): resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota", func() bool {
		q, err = s.client.CoreV1().ResourceQuotas(s.name).Get(t.Context(), "none", metav1.GetOptions{})
		return err == nil && len(q.Status.Hard) > 0
	})
}

// What others do to attempts that run.
func TestTakenAway(t *testing.T) {
	now := int64(0)
	for _, c := range []struct {
		name  string
		patch string
		do    func(t *testing.T, s *site) error
		kind  dag.FailureKind
		says  string
	}{
		{
			name: "job-deleted", kind: dag.FailLost, says: "somebody else deleted its Job",
			do: func(t *testing.T, s *site) error {
				how := metav1.DeletePropagationBackground
				return s.client.BatchV1().Jobs(s.name).Delete(t.Context(), "job-deleted", metav1.DeleteOptions{PropagationPolicy: &how})
			},
		},
		{
			name: "job-deleted-foreground", kind: dag.FailLost, says: "somebody else deleted its Job",
			do: func(t *testing.T, s *site) error {
				how := metav1.DeletePropagationForeground
				return s.client.BatchV1().Jobs(s.name).Delete(t.Context(), "job-deleted-foreground", metav1.DeleteOptions{PropagationPolicy: &how})
			},
		},
		{
			name: "pod-deleted", kind: dag.FailLost, says: "somebody else deleted its pod pod-deleted-",
			do: func(t *testing.T, s *site) error {
				return s.client.CoreV1().Pods(s.name).Delete(t.Context(), s.pod(t, "pod-deleted").Name, metav1.DeleteOptions{})
			},
		},
		{
			name: "pod-deleted-at-once", kind: dag.FailLost, says: "somebody else deleted its pod",
			do: func(t *testing.T, s *site) error {
				return s.client.CoreV1().Pods(s.name).Delete(t.Context(), s.pod(t, "pod-deleted-at-once").Name,
					metav1.DeleteOptions{GracePeriodSeconds: &now})
			},
		},
		{
			name: "evicted", kind: dag.FailEvicted, says: "evicted through the API",
			do: func(t *testing.T, s *site) error {
				return s.client.CoreV1().Pods(s.name).EvictV1(t.Context(), &policyv1.Eviction{
					ObjectMeta: metav1.ObjectMeta{Name: s.pod(t, "evicted").Name, Namespace: s.name},
				})
			},
		},
		{
			name: "deadline", kind: dag.FailTimeout, says: "deadline",
			do: func(t *testing.T, s *site) error {
				_, err := s.client.BatchV1().Jobs(s.name).Patch(t.Context(), "deadline", types.MergePatchType,
					[]byte(`{"spec": {"activeDeadlineSeconds": 1}}`), metav1.PatchOptions{})
				return err
			},
		},
		{
			name: "preempted", kind: dag.FailEvicted, says: "preempted by a pod of higher priority",
			patch: `{"containers": [{"name": "main", "resources": {"requests": {"cpu": "1200m"}}}]}`,
			do:    func(t *testing.T, s *site) error { return s.pushAside(t) },
		},
		{
			name: "tainted", kind: dag.FailEvicted, says: "because of a taint",
			patch: `{"nodeName": "tainted-node"}`,
			do:    func(t *testing.T, s *site) error { return s.taint(t, "tainted-node") },
		},
		{
			name: "node-deleted", kind: dag.FailLost, says: "node gone-node is gone",
			patch: `{"nodeName": "gone-node"}`,
			do: func(t *testing.T, s *site) error {
				return s.client.CoreV1().Nodes().Delete(t.Context(), "gone-node", metav1.DeleteOptions{})
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			node := ""
			if strings.Contains(c.patch, "-node") {
				node = strings.Split(c.patch, `"`)[3]
				s.pretendNode(t, node)
			}
			// It ends well when it is told to stop, which is not what it was launched for.
			s.launch(t, c.name, `trap 'exit 0' TERM; `+forever, c.patch)
			if node != "" {
				s.pretendRunning(t, c.name)
			}
			s.sees(t, c.name, "its running", isRunning)
			if err := c.do(t, s); err != nil {
				t.Fatal(err)
			}
			r := s.end(t, c.name)
			s.keep(t, c.name)
			wantFailure(t, r, c.kind, r.ExitCode, c.says)
			if r.ExitCode != 0 && r.ExitCode != 143 && r.ExitCode != 137 {
				t.Errorf("the exit code is %d", r.ExitCode)
			}
		})
	}
}

// pushAside starts a pod of higher priority for which there is no room.
func (s *site) pushAside(t *testing.T) error {
	t.Helper()
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Value: 1000}
	if _, err := s.client.SchedulingV1().PriorityClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = s.client.SchedulingV1().PriorityClasses().Delete(context.Background(), s.name, metav1.DeleteOptions{})
	})
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "important"},
		Spec: corev1.PodSpec{
			PriorityClassName: s.name, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "c", Image: shellImage, Command: []string{"sleep", "1000"},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1200m")}},
			}},
		},
	}
	_, err := s.client.CoreV1().Pods(s.name).Create(t.Context(), pod, metav1.CreateOptions{})
	return err
}

// pretendNode makes a node that nobody runs: the test says what its pods do. What the cluster does about it is the cluster's own.
func (s *site) pretendNode(t *testing.T, name string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Unschedulable: true}}
	if _, err := s.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.client.CoreV1().Nodes().Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func (s *site) pretendRunning(t *testing.T, id string) {
	t.Helper()
	pod := s.pod(t, id)
	start := metav1.Now()
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &start
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: pod.Spec.Containers[0].Name, Ready: true, Image: shellImage,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: start}},
	}}
	if _, err := s.client.CoreV1().Pods(s.name).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// taint has the cluster evict the pods of a node. The node then does what a node would do: its pod ends.
func (s *site) taint(t *testing.T, name string) error {
	t.Helper()
	node, err := s.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "test", Effect: corev1.TaintEffectNoExecute})
	if _, err := s.client.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	var pod *corev1.Pod
	eventually(t, "the pod's deletion", func() bool {
		pod = s.pod(t, "tainted")
		return pod.DeletionTimestamp != nil
	})
	now := metav1.Now()
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		StartedAt: now, FinishedAt: now, Reason: "Completed",
	}}
	if _, err := s.client.CoreV1().Pods(s.name).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		return err
	}
	none := int64(0)
	return s.client.CoreV1().Pods(s.name).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &none})
}

// What only waits says for what, and can be stopped.
func TestPending(t *testing.T) {
	for _, c := range []struct{ name, patch, why string }{
		{"unschedulable", `{"nodeSelector": {"no": "such-node"}}`, "nodes are available"},
		{
			"claim", `{"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}],
				"containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}`,
			`waiting for volume: persistentvolumeclaim "none" not found`,
		},
		{"gated", `{"schedulingGates": [{"name": "test/gate"}]}`, "scheduling is gated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			s.launch(t, c.name, "true", c.patch)
			s.sees(t, c.name, "why it is pending", func(r executors.Sighting) bool {
				return r.Phase == dag.AttemptPending && strings.Contains(r.Reason, c.why)
			})
			s.keep(t, c.name)
			if err := s.e.Cancel(t.Context(), c.name, 0); err != nil {
				t.Fatal(err)
			}
			if r := s.end(t, c.name); r.Phase != dag.AttemptStopped {
				t.Errorf("it ended as %+v", r)
			}
		})
	}
}

// A quota for Jobs themselves is waited for by the launch.
func TestLaunchRefused(t *testing.T) {
	s := newSite(t, func(c *kube.Config) { c.StartTimeout = time.Minute })
	s.putQuota(t, "count/jobs.batch")
	launched := make(chan error, 1)
	go func() { launched <- s.e.Launch(t.Context(), s.attempt("waits", "true", "")) }()
	s.sees(t, "waits", "why it is pending", func(r executors.Sighting) bool {
		return r.Phase == dag.AttemptPending && strings.HasPrefix(r.Reason, "quota: ")
	})
	if err := s.client.CoreV1().ResourceQuotas(s.name).Delete(t.Context(), "none", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-launched; err != nil {
		t.Fatal(err)
	}
	if r := s.end(t, "waits"); r.Phase != dag.AttemptSucceeded {
		t.Errorf("it ended as %+v", r)
	}
	// Stopped while it waits, it is never created.
	s.putQuota(t, "count/jobs.batch")
	go func() { launched <- s.e.Launch(t.Context(), s.attempt("stopped", "true", "")) }()
	s.sees(t, "stopped", "why it is pending", func(r executors.Sighting) bool { return r.Phase == dag.AttemptPending })
	if err := s.e.Cancel(t.Context(), "stopped", 0); err != nil {
		t.Fatal(err)
	}
	if err := <-launched; err == nil {
		t.Error("it was launched all the same")
	}
	if r := s.end(t, "stopped"); r.Phase != dag.AttemptStopped {
		t.Errorf("it ended as %+v", r)
	}
}
