package spark

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func TestPodSight(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	pod := func(change func(p *Pod)) *Pod {
		p := &Pod{Namespace: "n", Name: "p"}
		change(p)
		return p
	}
	for _, c := range []struct {
		name  string
		pod   *Pod
		gone  bool
		phase dag.AttemptPhase
		kind  dag.FailureKind
	}{
		{"pending", pod(func(p *Pod) { p.Waiting = "not scheduled" }), false, dag.AttemptPending, 0},
		{"running", pod(func(p *Pod) { p.Running = true }), false, dag.AttemptRunning, 0},
		{"succeeded", pod(func(p *Pod) { p.End = &PodEnd{} }), false, dag.AttemptSucceeded, 0},
		{"succeeded and gone", pod(func(p *Pod) { p.End = &PodEnd{} }), true, dag.AttemptSucceeded, 0},
		{"failed", pod(func(p *Pod) { p.End = &PodEnd{Exit: 3, Reason: "Error"} }), false, dag.AttemptFailed, dag.FailExit},
		{"oom", pod(func(p *Pod) { p.End = &PodEnd{Exit: 137, Reason: "OOMKilled"} }), false, dag.AttemptFailed, dag.FailOOM},
		{"not started", pod(func(p *Pod) { p.End = &PodEnd{Exit: 128, Reason: "StartError"} }), false, dag.AttemptFailed, dag.FailLaunch},
		{"evicted", pod(func(p *Pod) { p.End, p.Evicted = &PodEnd{}, "evicted" }), false, dag.AttemptFailed, dag.FailEvicted},
		{"deleted", pod(func(p *Pod) { p.Running = true }), true, dag.AttemptFailed, dag.FailLost},
	} {
		s := c.pod.sight(c.gone, now)
		var kind dag.FailureKind
		if s.Failure != nil {
			kind = s.Failure.Kind
		}
		if s.Phase != c.phase || kind != c.kind {
			t.Errorf("%s: got phase %d, failure %+v", c.name, s.Phase, s.Failure)
		}
	}
}

// A driver that its node does not start is one to give up where nobody submits it any more.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	failed, submits := &executors.Sighting{Phase: dag.AttemptFailed}, &executors.Sighting{Phase: dag.AttemptRunning}
	for _, c := range []struct {
		name string
		pod  Pod
		base *executors.Sighting
		want bool
	}{
		{"its node waits", Pod{Node: "n"}, failed, true},
		{"it is still submitted", Pod{Node: "n"}, submits, false},
		{"nothing is known of the submission", Pod{Node: "n"}, nil, false},
		{"no node has room", Pod{Waiting: "not scheduled"}, failed, false},
		{"its image is pulled", Pod{Node: "n", Waiting: "image pull"}, failed, false},
		{"it runs", Pod{Node: "n", Running: true}, failed, false},
		{"it has ended", Pod{Node: "n", End: &PodEnd{}}, failed, false},
	} {
		if got := halfMade(&c.pod, c.base); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	jobs := []job{
		{Status: "SUCCEEDED", Tasks: 4, Completed: 4},
		{Status: "RUNNING", Tasks: 10, Completed: 2, Skipped: 1, Active: 3, Failed: 1},
	}
	for _, c := range []struct {
		jobs    []job
		workers int
		waits   string
		want    dag.Progress
	}{
		{nil, -1, "", dag.Progress{Message: "no job yet"}},
		{jobs, 2, "", dag.Progress{Done: 7, Total: 14, Message: "1 of 2 jobs done, 7 of 14 tasks, 3 running, 1 failed, 2 executors"}},
		{jobs[:1], 0, "cores", dag.Progress{Done: 4, Total: 4, Message: "1 of 1 jobs done, 4 of 4 tasks, 0 running, 0 executors; waits for executors: cores"}},
	} {
		if d := cmp.Diff(&c.want, summary(c.jobs, c.workers, c.waits)); d != "" {
			t.Error(d)
		}
	}
	if idle(jobs) || !idle([]job{{Status: "RUNNING", Tasks: 1}}) || idle([]job{{Status: "SUCCEEDED", Tasks: 1}}) {
		t.Error("idle is wrong")
	}
}

func TestWhyNoExecutor(t *testing.T) {
	t.Parallel()
	for want, pods := range map[string][]Pod{
		"no pod of one was made yet": nil,
		"b: image pull":              {{Name: "a", Waiting: "not scheduled"}, {Name: "b", Waiting: "image pull", Stuck: true}},
		"2 have ended":               {{End: &PodEnd{}}, {End: &PodEnd{}}},
		"1 pods are starting":        {{Name: "a"}},
	} {
		if got := whyNoExecutor(pods); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDriverState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state     string
		cancelled bool
		phase     dag.AttemptPhase
		kind      dag.FailureKind
	}{
		{"SUBMITTED", false, dag.AttemptPending, 0},
		{"RELAUNCHING", false, dag.AttemptPending, 0},
		{"UNKNOWN", false, dag.AttemptPending, 0},
		{"RUNNING", true, dag.AttemptRunning, 0},
		{"FINISHED", true, dag.AttemptSucceeded, 0},
		{"KILLED", false, dag.AttemptStopped, 0},
		{"KILLED", true, dag.AttemptStopped, 0},
		{"FAILED", false, dag.AttemptFailed, dag.FailExit},
		{"FAILED", true, dag.AttemptStopped, 0},
		{"ERROR", false, dag.AttemptFailed, dag.FailLaunch},
		{"", false, dag.AttemptFailed, dag.FailLost},
		{"", true, dag.AttemptStopped, 0},
	} {
		s := (&answer{State: c.state}).sight("driver-1", c.cancelled)
		var kind dag.FailureKind
		if s.Failure != nil {
			kind = s.Failure.Kind
		}
		if s.Phase != c.phase || kind != c.kind {
			t.Errorf("%+v: got phase %d, failure %+v", c, s.Phase, s.Failure)
		}
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	rec := record{Attempt: "a", MainClass: "x.Y", Asked: time.UnixMilli(1_000_000)}
	drivers := []masterDriver{
		{ID: "newer", Start: "1002000", MainClass: "x.Y"},
		{ID: "right", Start: "1000100", MainClass: "x.Y"},
		{ID: "old", Start: "1000", MainClass: "x.Y"},
		{ID: "taken", Start: "1000100", MainClass: "x.Y"},
		{ID: "other", Start: "1000100", MainClass: "x.Z"},
		{ID: "odd", Start: "", MainClass: "x.Y"},
	}
	if d := cmp.Diff([]string{"right", "newer"}, rec.candidates(drivers, map[string]bool{"taken": true})); d != "" {
		t.Error(d)
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	l, err := openLedger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := record{Attempt: "a/../b", MainClass: "x", Epoch: 3, Asked: time.Unix(5, 0).UTC(), Driver: "driver-1"}
	if err := l.write(want); err != nil {
		t.Fatal(err)
	}
	got, known, err := l.read("a/../b")
	if d := cmp.Diff(want, got); d != "" || !known || err != nil {
		t.Error(d, known, err)
	}
	if taken, err := l.drivers(); err != nil || !taken["driver-1"] {
		t.Error(taken, err)
	}
	if err := l.setEpoch(7); err != nil || l.epoch() != 7 {
		t.Error(err, l.epoch())
	}
	for range 2 {
		if err := l.drop("a/../b"); err != nil {
			t.Error(err)
		}
	}
	if _, known, _ := l.read("a/../b"); known {
		t.Error("it is still there")
	}
}

func TestLogParts(t *testing.T) {
	t.Parallel()
	text := "one\ntwo\nthree\n"
	for _, c := range []struct {
		o    executors.LogOptions
		want string
	}{
		{executors.LogOptions{}, text},
		{executors.LogOptions{Offset: 4}, "two\nthree\n"},
		{executors.LogOptions{Offset: 4, Limit: 3}, "two"},
		{executors.LogOptions{Offset: -6}, "three\n"},
		{executors.LogOptions{Offset: -600}, text},
		{executors.LogOptions{Offset: 600}, ""},
	} {
		log, err := part(io.NopCloser(strings.NewReader(text)), c.o)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(log); err != nil || string(b) != c.want {
			t.Errorf("%+v: got %q, %v", c.o, b, err)
		}
	}
	for n, want := range map[int]string{1: "three\n", 2: "two\nthree\n", 3: text, 9: text} {
		log, err := tail(io.NopCloser(strings.NewReader(text)), n)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(log); string(b) != want {
			t.Errorf("the last %d: got %q", n, b)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	c := Config{Mode: StandaloneCluster, RESTURL: "http://h:6066", StateDir: "x", Env: map[string]string{"E": "1"}}.WithDefaults()
	got, err := c.request(attempt(jvmApp))
	if err != nil {
		t.Fatal(err)
	}
	want := &createRequest{
		Action: "CreateSubmissionRequest", Resource: "hdfs://data/sum.jar", MainClass: "org.example.Sum", Args: []string{"$(HOME)", "a b", ""},
		Version: oldestREST,
		Environment: map[string]string{
			"SPARK_ENV_LOADED": "1", "E": "1", "CLIC_STAGE_ID": "job-abcdefgh-sum", "CLIC_TASK": "job-abcdefgh", "CLIC_ATTEMPT": "1",
			"CLIC_ATTEMPT_ID": "job-abcdefgh-sum-r1", "CLIC_MASTER": "clic-master-svc:7777",
		},
		Properties: map[string]string{
			"spark.app.name": "job-abcdefgh-sum-r1", "spark.clic.attempt": "job-abcdefgh-sum-r1", "spark.clic.stage": "job-abcdefgh-sum",
			"spark.clic.task": "job-abcdefgh", "spark.cores.max": "6", "spark.driver.cores": "2", "spark.driver.memory": "2048m",
			"spark.driver.supervise": "false", "spark.executor.cores": "2", "spark.executor.instances": "3", "spark.executor.memory": "4096m",
			"spark.jars": "hdfs://data/sum.jar,local:///a.jar", "spark.kubernetes.driver.label.own": "1", "spark.kubernetes.driverEnv.TZ": "UTC",
			"spark.sql.shuffle.partitions": "4", "spark.submit.deployMode": "cluster",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	const refers = `{"plugin": {"spark": {"mainClass": "a.B", "mainApplicationFile": "hdfs://x.jar",
		"arguments": ["$(CLIC_OUTPUT)/x", "$(HOME)"], "conf": {"spark.to": "to $(CLIC_OUTPUT)"}}}}`
	for path, want := range map[string][]string{"hdfs:///o": {"hdfs:///o/x", "to hdfs:///o"}, "": {"$(CLIC_OUTPUT)/x", "to $(CLIC_OUTPUT)"}} {
		a := attempt(refers)
		a.OutputPath = path
		r, err := c.request(a)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(append(want, "$(HOME)"), []string{r.Args[0], r.Properties["spark.to"], r.Args[1]}); d != "" {
			t.Errorf("where the output is %q: %s", path, d)
		}
	}
	if _, err := c.request(attempt(pythonApp)); err == nil || !strings.Contains(err.Error(), "no Python") {
		t.Errorf("got %v", err)
	}
}
