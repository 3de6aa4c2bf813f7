package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/clic-orchestrator/clic/dag"
)

// scene is what a cluster showed at one moment, as the tests with a real cluster have recorded it.
type scene struct {
	Now    time.Time      `json:"now"`
	Job    *batchv1.Job   `json:"job"`
	Pods   []corev1.Pod   `json:"pods"`
	Events []corev1.Event `json:"events"`
}

func readScene(t *testing.T, name string) scene {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "seen", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var s scene
	if err := yaml.UnmarshalStrict(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// observe takes the scene through the view, which drops what is not needed.
func (s scene) observe() observation {
	v := newView()
	v.changed, v.moved = func(string) {}, func(string) {}
	v.lostPod = func(string, *corev1.Pod) {}
	key := ""
	if s.Job != nil {
		v.putJob(s.Job)
		key = keyOf(s.Job.Namespace, s.Job.Name)
	}
	for i := range s.Pods {
		v.putPod(&s.Pods[i])
		if k := ownerKey(&s.Pods[i]); key == "" {
			key = k
		}
	}
	for i := range s.Events {
		v.warn(&s.Events[i])
	}
	o := observation{Now: s.Now}
	o.Job, o.Pods, o.Events = v.look(key, "")
	return o
}

// What the recorded cases mean, before anything is waited for.
func TestSightRecorded(t *testing.T) {
	for name, want := range map[string]struct {
		phase dag.AttemptPhase
		kind  dag.FailureKind
		exit  int
		says  string
	}{
		"exit":            {dag.AttemptFailed, dag.FailExit, 3, "main: Error (exit code 3): sorry"},
		"oom":             {dag.AttemptFailed, dag.FailOOM, 137, "main: Error (exit code 137): the system killed it for want of memory"},
		"init":            {dag.AttemptFailed, dag.FailExit, 5, "init container prepare: Error (exit code 5)"},
		"refused":         {dag.AttemptFailed, dag.FailLaunch, 0, "did not take its pod: OutOfcpu"},
		"evicted-by-node": {dag.AttemptFailed, dag.FailEvicted, 137, "evicted it: Evicted: "},
		"deadline-init":   {dag.AttemptFailed, dag.FailTimeout, 0, "its deadline came before its program had begun"},
		"deadline-volume": {dag.AttemptFailed, dag.FailTimeout, 0, "it ran past its deadline"},
		"image":           {phase: dag.AttemptPending, says: "image pull: "},
		"image-name":      {phase: dag.AttemptPending, says: "image pull: "},
		"config":          {phase: dag.AttemptPending, says: `configuration: `},
		"volume":          {phase: dag.AttemptPending, says: `waiting for volume: MountVolume.SetUp failed for volume "v" : secret "none" not found`},
		"quota":           {phase: dag.AttemptPending, says: "quota: "},
		"unschedulable":   {phase: dag.AttemptPending, says: "nodes are available"},
		"claim":           {phase: dag.AttemptPending, says: `waiting for volume: persistentvolumeclaim "none" not found`},
		"gated":           {phase: dag.AttemptPending, says: "scheduling is gated"},
	} {
		t.Run(name, func(t *testing.T) {
			o := readScene(t, name).observe()
			s, known, again := sight(o)
			if !known || s.Phase != want.phase || s.ExitCode != want.exit {
				t.Fatalf("sight gave %+v, %v", s, known)
			}
			if want.phase == dag.AttemptPending {
				if !strings.Contains(s.Reason, want.says) || strings.Contains(s.Reason, "\n") {
					t.Errorf("the reason is %q, want %q", s.Reason, want.says)
				}
				if !again.IsZero() {
					t.Errorf("it wants to be looked at again at %v, though nothing is to be waited for", again)
				}
				return
			}
			if s.Failure == nil || s.Failure.Kind != want.kind || !strings.Contains(s.Failure.Message, want.says) {
				t.Errorf("the failure is %+v, want %v: %s", s.Failure, want.kind, want.says)
			}
			if strings.HasPrefix(name, "deadline-") && !s.Started.IsZero() { // by which it is known that there is no exit status
				t.Errorf("it is said to have begun at %v", s.Started)
			}
		})
	}
}

// A pod that can never start is waited for, and then given up; one that is not scheduled is waited for for ever.
func TestSightStartTimeout(t *testing.T) {
	for name, ends := range map[string]bool{
		"image": true, "image-name": true, "config": true, "volume": true, "quota": true,
		"unschedulable": false, "claim": false, "gated": false,
	} {
		o := readScene(t, name).observe()
		o.StartTimeout = time.Hour
		s, known, again := sight(o)
		if !known || s.Phase != dag.AttemptPending || again.IsZero() == ends {
			t.Errorf("%s: before the timeout: %+v, again at %v", name, s, again)
		}
		o.Troubled, o.Now = o.Now, o.Now.Add(2*time.Hour)
		s, known, _ = sight(o)
		failed := known && s.Phase == dag.AttemptFailed && s.Failure.Kind == dag.FailLaunch &&
			strings.Contains(s.Failure.Message, "could not start within 1h0m0s: ")
		if failed != ends {
			t.Errorf("%s: after the timeout: %+v", name, s)
		}
		if ends && o.over() {
			t.Errorf("%s: nothing of it is left, for all that is said", name)
		}
	}
}

// The order in which the news of several objects come is anybody's guess.
func TestSightSteps(t *testing.T) {
	at := func(s int) metav1.Time { return metav1.Unix(1_700_000_000+int64(s), 0) }
	job := func(change ...func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "argo", UID: "1", CreationTimestamp: at(0)}}
		for _, c := range change {
			c(j)
		}
		return j
	}
	condition := func(kind batchv1.JobConditionType, reason string) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason})
		}
	}
	suspend := func(mark bool) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Spec.Suspend = ptr(true)
			if mark {
				j.Annotations = map[string]string{annotationPaused: "x"}
			}
		}
	}
	deletedJob := func(j *batchv1.Job) { t := at(20); j.DeletionTimestamp = &t }
	pod := func(change ...func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: "j-x", Namespace: "argo", CreationTimestamp: at(1), Annotations: map[string]string{annotationContainer: "c"},
		}}
		for _, c := range change {
			c(p)
		}
		return p
	}
	runs := func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(2)}},
		}}
	}
	exits := func(exit int32, phase corev1.PodPhase, when int, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = phase
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: exit, StartedAt: at(2), FinishedAt: at(when), Message: message},
			}}}
		}
	}
	deleted := func(when int) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			t := at(when + 30)
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &t, ptr(int64(30))
		}
	}
	unknown := func(p *corev1.Pod) {
		t := p.Status.ContainerStatuses[0].State.Terminated
		t.Reason, t.StartedAt, t.FinishedAt = "ContainerStatusUnknown", metav1.Time{}, metav1.Time{}
	}
	target := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions,
				corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason})
		}
	}
	const silent = 255
	for _, c := range []struct {
		name  string
		job   *batchv1.Job
		pods  []*corev1.Pod
		gone  *corev1.Pod
		phase dag.AttemptPhase // silent: nothing is known yet
		kind  dag.FailureKind
		exit  int
		kept  bool
	}{
		{name: "nothing is left", phase: dag.AttemptFailed, kind: dag.FailLost},
		{name: "no pod yet", job: job(), phase: silent},
		{name: "running", job: job(), pods: []*corev1.Pod{pod(runs)}, phase: dag.AttemptRunning},
		{name: "running, its Job is gone", pods: []*corev1.Pod{pod(runs)}, phase: dag.AttemptRunning},
		{name: "running, told to stop", job: job(), pods: []*corev1.Pod{pod(runs, deleted(5))}, phase: dag.AttemptRunning},
		{name: "the program has ended, a sidecar has not", job: job(), pods: []*corev1.Pod{pod(exits(0, corev1.PodRunning, 9, ""))}, phase: dag.AttemptSucceeded},
		{name: "succeeded before the Job says so", job: job(), pods: []*corev1.Pod{pod(exits(0, corev1.PodSucceeded, 9, ""))}, phase: dag.AttemptSucceeded},
		{name: "succeeded, the pod is gone", job: job(condition(batchv1.JobComplete, "")), phase: dag.AttemptSucceeded},
		{name: "failed, the pod is gone", job: job(condition(batchv1.JobFailed, "BackoffLimitExceeded")), phase: dag.AttemptFailed, kind: dag.FailLost},
		{name: "failed, the pod is gone and was seen", job: job(condition(batchv1.JobFailed, "BackoffLimitExceeded")), gone: pod(exits(3, corev1.PodFailed, 9, "")), phase: dag.AttemptFailed, kind: dag.FailExit, exit: 3},
		{name: "failed before it was deleted", job: job(), pods: []*corev1.Pod{pod(exits(3, corev1.PodFailed, 4, ""), deleted(5))}, phase: dag.AttemptFailed, kind: dag.FailExit, exit: 3},
		{name: "ended after it was deleted, the Job has not been told", job: job(), pods: []*corev1.Pod{pod(exits(0, corev1.PodSucceeded, 6, ""), deleted(5))}, phase: silent},
		{name: "ended well after it was deleted", job: job(condition(batchv1.JobComplete, "")), pods: []*corev1.Pod{pod(exits(0, corev1.PodSucceeded, 6, ""), deleted(5))}, phase: dag.AttemptFailed, kind: dag.FailLost},
		{name: "ended after its Job was deleted", job: job(deletedJob), pods: []*corev1.Pod{pod(exits(143, corev1.PodFailed, 6, ""), deleted(5))}, phase: dag.AttemptFailed, kind: dag.FailLost, exit: 143},
		{name: "over its deadline", job: job(condition(batchv1.JobFailureTarget, "DeadlineExceeded")), pods: []*corev1.Pod{pod(exits(143, corev1.PodFailed, 6, ""), deleted(5))}, phase: dag.AttemptFailed, kind: dag.FailTimeout, exit: 143},
		{name: "over its deadline before it began, the node makes up an end", job: job(condition(batchv1.JobFailureTarget, "DeadlineExceeded")), pods: []*corev1.Pod{pod(exits(137, corev1.PodFailed, 6, ""), unknown, deleted(5))}, phase: dag.AttemptFailed, kind: dag.FailTimeout},
		{name: "over its deadline, the pod is gone", job: job(condition(batchv1.JobFailed, "DeadlineExceeded")), phase: dag.AttemptFailed, kind: dag.FailTimeout},
		{name: "evicted, ends well", job: job(), pods: []*corev1.Pod{pod(exits(0, corev1.PodSucceeded, 6, ""), deleted(5), target("EvictionByEvictionAPI"))}, phase: dag.AttemptFailed, kind: dag.FailEvicted},
		{name: "its node is gone", job: job(), pods: []*corev1.Pod{pod(runs, deleted(5), target("DeletionByPodGC"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })}, phase: dag.AttemptFailed, kind: dag.FailLost},
		{name: "suspended, the cluster has not seen it", job: job(suspend(true)), phase: silent},
		{name: "paused", job: job(suspend(true), condition(batchv1.JobSuspended, "")), phase: dag.AttemptStopped, kept: true},
		{name: "paused, its pod ends still", job: job(suspend(true), condition(batchv1.JobSuspended, "")), pods: []*corev1.Pod{pod(runs, deleted(5))}, phase: dag.AttemptRunning},
		{name: "paused, its pod has ended", job: job(suspend(true), condition(batchv1.JobSuspended, "")), pods: []*corev1.Pod{pod(exits(143, corev1.PodFailed, 6, ""), deleted(5))}, phase: dag.AttemptStopped, kept: true},
		{name: "it ended while it was being paused", job: job(suspend(true)), pods: []*corev1.Pod{pod(exits(0, corev1.PodSucceeded, 6, ""))}, phase: dag.AttemptSucceeded},
		{name: "suspended by somebody else", job: job(suspend(false), condition(batchv1.JobSuspended, "")), phase: dag.AttemptPending},
		{name: "resumed, with the old pod", job: job(), pods: []*corev1.Pod{pod(exits(143, corev1.PodFailed, 6, ""), deleted(5))}, phase: silent},
		{name: "the helper missed an output", job: job(), pods: []*corev1.Pod{pod(exits(0, corev1.PodSucceeded, 6, `{"v":1,"exit":0,"error":"open /o: no such file or directory"}`))}, phase: dag.AttemptFailed, kind: dag.FailOutput},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, known, _ := sight(observation{Job: c.job, Pods: c.pods, Gone: c.gone, Now: at(100).Time})
			if !known {
				if c.phase != silent {
					t.Error("nothing is known")
				}
				return
			}
			if s.Phase != c.phase || s.ExitCode != c.exit || s.Kept != c.kept {
				t.Fatalf("sight gave %+v (%+v)", s, s.Failure)
			}
			if (s.Failure != nil) != (c.kind != 0) || s.Failure != nil && (s.Failure.Kind != c.kind || s.Failure.Message == "") {
				t.Errorf("the failure is %+v, want %v", s.Failure, c.kind)
			}
		})
	}
}

func TestRecord(t *testing.T) {
	result := "r"
	r, ok := parseRecord(`{"v":1,"exit":3,"error":"it broke","posted":true,"info":"2 left","started":1700000000123,` +
		`"usage":{"cpu":5,"rss":6},"outputs":{"result":"r","parameters":{"p":"q"}}}`)
	if !ok {
		t.Fatal("it is no record")
	}
	e := &ending{}
	r.tell(e)
	if e.outputs == nil || *e.outputs.Result != result || e.outputs.Params["p"] != "q" || e.usage.MaxRSS != 6 || e.started.UnixMilli() != 1700000000123 {
		t.Errorf("%+v", e)
	}
	for _, message := range []string{"", "sorry", `{"v":2,"exit":3}`, `{"v":1,"exit":"x"}`, `{"v":1,`} {
		if _, ok := parseRecord(message); ok {
			t.Errorf("%q is a record", message)
		}
	}
}
