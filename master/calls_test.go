package master_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// gated is a plan of shell scripts: one waits for the file of the parameter "gate" and writes a result, the others follow.
const gated = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: gated-
spec:
  entrypoint: main
  arguments:
    parameters: [{name: gate}, {name: out, value: "none"}]
  templates:
  - name: main
    dag:
      tasks:
      - {name: first, template: wait}
      - {name: second, template: say, dependencies: [first]}
      - {name: third, template: say, dependencies: [second]}
  - name: wait
    script:
      image: none
      command: [sh]
      source: |
        echo waiting
        while [ ! -e "{{workflow.parameters.gate}}" ]; do sleep 0.02; done
        echo one; echo two; echo three
  - name: say
    script:
      image: none
      command: [sh]
      source: |
        echo hello from $CLIC_STAGE_ID
`

// failing is a plan whose second stage fails.
const failing = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: failing
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: good, template: good}
      - {name: bad, template: bad, dependencies: [good]}
      - {name: after, template: good, dependencies: [bad]}
  - name: good
    script: {image: none, command: [sh], source: "true"}
  - name: bad
    script: {image: none, command: [sh], source: "exit 3"}
`

// wantCode checks that err is a ClicError of the code which says all the texts somewhere.
func wantCode(t *testing.T, err error, want base.ErrorCode, texts ...string) {
	t.Helper()
	var e *base.ClicError
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("got %v (%T), want a ClicError %v", err, err, want)
	}
	all := fmt.Sprint(e.Message, e.Hint, e.Field, e.Diagnostics)
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%q is not said in %s", text, all)
		}
	}
}

func ok[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// until watches the task over the wire until a stage (or the task: "") has the state.
func until(t *testing.T, c *thriftmaster.TaskServiceClient, task, stage, state string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var cursor int64
	for ctx.Err() == nil {
		page, err := c.Watch(ctx, task, cursor, 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.StageId == stage && e.ToState == state {
				return
			}
		}
		if page.Done {
			break
		}
		cursor = page.Cursor
	}
	t.Fatalf("%s %s did not become %s", task, stage, state)
}

func TestCallsOfPeople(t *testing.T) {
	dir := t.TempDir()
	r := run(t, config(t, dir))
	c, _ := r.connect(t)
	ctx := t.Context()
	gate := filepath.Join(dir, "gate")
	submission := &thriftmaster.Submission{
		Plan: gated, Parameters: map[string]string{"gate": gate}, Labels: map[string]string{"team": "x"},
		RequestId: new("once"), Owner: new("ann"),
	}
	dry := *submission
	dry.DryRun = new(true)
	if a := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(ctx, &dry)); a.Created || a.Stages != 3 {
		t.Errorf("dry run: %+v", a)
	}
	a := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(ctx, submission))
	if !a.Created || a.Stages != 3 || !strings.HasPrefix(a.TaskName, "gated-") {
		t.Errorf("submit: %+v", a)
	}
	if again := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(ctx, submission)); again.Created || again.TaskName != a.TaskName {
		t.Errorf("submit with the same key: %+v", again)
	}
	page := ok[*thriftmaster.StagePage](t)(c.ListStages(ctx, &thriftmaster.StageQuery{TaskName: a.TaskName, Explain: new(true)}))
	if len(page.Stages) != 3 || page.NextAfter != -1 {
		t.Fatalf("stages: %+v", page)
	}
	ids := []string{page.Stages[0].StageId, page.Stages[1].StageId, page.Stages[2].StageId}
	if diff := cmp.Diff([]string{ids[0]}, page.Stages[1].Explanation.Stages); diff != "" || page.Stages[1].Explanation.Kind != "parents" {
		t.Errorf("explanation of the second: %+v", page.Stages[1].Explanation)
	}
	until(t, c, a.TaskName, ids[0], "RUNNING")
	x := ok[*thriftmaster.Explanation](t)(c.Explain(ctx, ids[2]))
	if x.Kind != "parents" || len(x.Stages) != 1 || x.Stages[0] != ids[1] {
		t.Errorf("explain: %+v", x)
	}

	task := ok[*thriftmaster.TaskInfo](t)(c.GetTask(ctx, a.TaskName))
	if task.State != thriftmaster.TaskState_RUNNING || task.Owner != "ann" || task.Labels["team"] != "x" || task.Form != "argo" ||
		task.Started == 0 || task.Ended != 0 || task.Stages != 3 || task.Counts["RUNNING"] != 1 || task.Parameters["gate"] != gate {
		t.Errorf("task: %+v", task)
	}
	listed := ok[*thriftmaster.TaskPage](t)(c.ListTasks(ctx, &thriftmaster.TaskQuery{
		States: []thriftmaster.TaskState{thriftmaster.TaskState_RUNNING}, Labels: map[string]string{"team": "x"}, Plan: new("gated"),
	}))
	if len(listed.Tasks) != 1 || listed.Tasks[0].TaskName != a.TaskName {
		t.Errorf("list: %+v", listed)
	}
	if got := ok[string](t)(c.GetPlan(ctx, a.TaskName)); got != gated {
		t.Errorf("plan: %q", got)
	}
	_, err := c.GetResult_(ctx, ids[0])
	wantCode(t, err, base.ErrorCode_NOT_READY)
	holds(t, c, a.TaskName, ids)
	logs(t, c, ids[0], gate)
	until(t, c, a.TaskName, "", "COMPLETED")
	resultsOf(t, c, ids[0])
	wantCode(t, c.CancelTask(ctx, a.TaskName, "too late", false, ""), base.ErrorCode_REFUSED)
	info := ok[*thriftmaster.MasterInfo](t)(c.GetMasterInfo(ctx))
	if info.Version != "v-test" || info.Address != r.Addr().String() || !strings.HasPrefix(info.Store, "bolt:///") || info.Epoch == 0 ||
		len(info.Executors) != 1 || info.Started == 0 {
		t.Errorf("master: %+v", info)
	}
	if err := c.DeleteTask(ctx, a.TaskName, false, "ann", false); err != nil {
		t.Error(err)
	}
	_, err = c.GetTask(ctx, a.TaskName)
	wantCode(t, err, base.ErrorCode_NOT_FOUND)
}

func holds(t *testing.T, c *thriftmaster.TaskServiceClient, task string, ids []string) {
	t.Helper()
	ctx := t.Context()
	_, err := c.Suspend(ctx, ids[0], thriftmaster.HoldMode_HOLD, "", 0, "")
	wantCode(t, err, base.ErrorCode_REFUSED)
	_, err = c.Suspend(ctx, ids[1], 9, "", 0, "")
	wantCode(t, err, base.ErrorCode_INVALID)
	_, err = c.Suspend(ctx, ids[1], 0, "", 5000, "")
	wantCode(t, err, base.ErrorCode_INVALID)
	h := ok[*thriftmaster.Hold](t)(c.Suspend(ctx, ids[1], thriftmaster.HoldMode_HOLD, "look first", 0, "ann"))
	if h.RootStageId != ids[1] || h.Who != "ann" || h.Reason != "look first" || h.Since == 0 || h.UntilTime != nil {
		t.Errorf("hold: %+v", h)
	}
	v := ok[*thriftmaster.StageInfo](t)(c.GetStage(ctx, ids[2]))
	if v.State != thriftmaster.StageState_SUSPEND || len(v.Holds) != 1 || v.Holds[0].RootStageId != ids[1] {
		t.Errorf("stage behind a hold: %+v", v)
	}
	// The refusal names the stage to continue.
	wantCode(t, c.Resume(ctx, ids[2], ""), base.ErrorCode_REFUSED, ids[1])
	if err := c.Resume(ctx, ids[1], "ann"); err != nil {
		t.Error(err)
	}
	wantCode(t, c.Resume(ctx, "nothing", "ann"), base.ErrorCode_NOT_FOUND)
	wantCode(t, c.SkipStage(ctx, "nothing", "", ""), base.ErrorCode_NOT_FOUND)
	_, err = c.Watch(ctx, "nothing", 0, 0, 0)
	wantCode(t, err, base.ErrorCode_NOT_FOUND)
	wantCode(t, c.DeleteTask(ctx, task, false, "", false), base.ErrorCode_REFUSED)
}

// logs reads the log of a stage that waits for the gate, follows it over the gate's opening, and reads its end.
func logs(t *testing.T, c *thriftmaster.TaskServiceClient, id, gate string) {
	t.Helper()
	ctx := t.Context()
	var got strings.Builder
	req := &thriftmaster.LogRequest{StageId: id, WaitMillis: new(int64(10_000))}
	opened := false
	for {
		chunk, err := c.ReadLog(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(chunk.Data)
		if chunk.NextOffset != int64(got.Len()) {
			t.Fatalf("offset %d after %d bytes", chunk.NextOffset, got.Len())
		}
		req.Offset = &chunk.NextOffset
		if got.String() == "waiting\n" && !opened {
			opened = true
			if err := os.WriteFile(gate, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if chunk.Done {
			break
		}
	}
	if got.String() != "waiting\none\ntwo\nthree\n" {
		t.Errorf("log: %q", got.String())
	}
	for _, tc := range []struct {
		req  thriftmaster.LogRequest
		want string
		next int64
		done bool
	}{
		{thriftmaster.LogRequest{TailLines: new(int32(1))}, "three\n", 22, true},
		{thriftmaster.LogRequest{Offset: new(int64(-10))}, "two\nthree\n", 22, true},
		{thriftmaster.LogRequest{Offset: new(int64(8)), Limit: new(int32(3))}, "one", 11, false},
		{thriftmaster.LogRequest{Stream: new("stderr")}, "", 0, true},
		{thriftmaster.LogRequest{Offset: new(int64(22))}, "", 22, true},
		{thriftmaster.LogRequest{Attempt: new(int32(0)), TailLines: new(int32(2)), Stream: new("stdout")}, "two\nthree\n", 22, true},
	} {
		tc.req.StageId = id
		chunk, err := c.ReadLog(ctx, &tc.req)
		if err != nil {
			t.Errorf("%v: %v", tc.req, err)
			continue
		}
		if string(chunk.Data) != tc.want || chunk.NextOffset != tc.next || chunk.Done != tc.done {
			t.Errorf("%+v: %q, next %d, done %v", tc.req, chunk.Data, chunk.NextOffset, chunk.Done)
		}
	}
	_, err := c.ReadLog(ctx, &thriftmaster.LogRequest{StageId: id, Stream: new("other")})
	wantCode(t, err, base.ErrorCode_INVALID)
	_, err = c.ReadLog(ctx, &thriftmaster.LogRequest{StageId: id, Attempt: new(int32(5))})
	wantCode(t, err, base.ErrorCode_NOT_FOUND)
	_, err = c.ReadLog(ctx, &thriftmaster.LogRequest{StageId: "nothing"})
	wantCode(t, err, base.ErrorCode_NOT_FOUND)
}

func resultsOf(t *testing.T, c *thriftmaster.TaskServiceClient, id string) {
	t.Helper()
	// A script's result is what it printed.
	info := ok[*thriftmaster.ResultInfo](t)(c.GetResult_(t.Context(), id))
	if info.Kind != "value" || info.Size != 21 || info.Path != "" {
		t.Errorf("result: %+v", info)
	}
	p := ok[*thriftmaster.Preview](t)(c.PreviewResult_(t.Context(), id, 2))
	if diff := cmp.Diff([]string{"waiting", "one"}, p.Lines); diff != "" || !p.More {
		t.Errorf("preview: %+v", p)
	}
	_, err := c.PreviewResult_(t.Context(), id, -1)
	wantCode(t, err, base.ErrorCode_INVALID)
	_, err = c.PreviewResult_(t.Context(), "nothing", 0)
	wantCode(t, err, base.ErrorCode_NOT_FOUND)
}

func TestRetryOverTheWire(t *testing.T) {
	r := run(t, config(t, t.TempDir()))
	c, _ := r.connect(t)
	ctx := t.Context()
	a := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(ctx, &thriftmaster.Submission{Plan: failing}))
	until(t, c, a.TaskName, "", "FAILED")
	page := ok[*thriftmaster.StagePage](t)(c.ListStages(ctx, &thriftmaster.StageQuery{TaskName: a.TaskName}))
	var ids []string
	for _, v := range page.Stages {
		ids = append(ids, v.StageId)
	}
	bad := ok[*thriftmaster.StageInfo](t)(c.GetStage(ctx, ids[1]))
	if bad.State != thriftmaster.StageState_FAILED || bad.Failure.GetKind() != "exit" || bad.Failure.GetExitCode() != 3 || bad.GetExitCode() != 3 {
		t.Errorf("failed stage: %+v, failure %+v", bad, bad.Failure)
	}
	p := ok[*thriftmaster.RetryPlan](t)(c.PlanRetry(ctx, a.TaskName, nil))
	if diff := cmp.Diff([][]string{{ids[1], ids[2]}, {ids[0]}}, [][]string{p.Reset, p.Kept}); diff != "" {
		t.Errorf("plan of the retry (-want +got):\n%s", diff)
	}
	ok[*thriftmaster.RetryPlan](t)(c.RetryTask(ctx, a.TaskName, []string{ids[1]}, "ann"))
	_, err := c.PlanRetry(ctx, a.TaskName, []string{"nothing"})
	var e *base.ClicError
	if !errors.As(err, &e) {
		t.Errorf("plan of a retry of nothing: %v", err)
	}
	until(t, c, a.TaskName, "", "RUNNING")
}

func TestBadPlansOverTheWire(t *testing.T) {
	r := run(t, config(t, t.TempDir()))
	c, _ := r.connect(t)
	_, err := c.Submit(t.Context(), &thriftmaster.Submission{
		Plan: strings.ReplaceAll(failing, "template: bad", "template: nobody"), FileName: new("my.yaml"), PlanName: "a_b",
	})
	wantCode(t, err, base.ErrorCode_INVALID, "my.yaml:12", "nobody", "a_b", "File:my.yaml Line:12")
	_, err = c.Submit(t.Context(), nil)
	wantCode(t, err, base.ErrorCode_INVALID)
	_, err = c.Submit(t.Context(), &thriftmaster.Submission{Plan: "[not a plan"})
	wantCode(t, err, base.ErrorCode_INVALID)
}

// Programs that use the newer reports say which attempt they are.
func TestReportsOfPrograms(t *testing.T) {
	dir := t.TempDir()
	r := run(t, config(t, dir))
	c, s := r.connect(t)
	ctx := t.Context()
	plan := strings.ReplaceAll(gated, "echo waiting", `echo "$CLIC_TOKEN" > `+filepath.Join(dir, "token")+`; echo waiting`)
	gate := filepath.Join(dir, "gate")
	a := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(ctx, &thriftmaster.Submission{Plan: plan, Parameters: map[string]string{"gate": gate}}))
	page := ok[*thriftmaster.StagePage](t)(c.ListStages(ctx, &thriftmaster.StageQuery{TaskName: a.TaskName, Limit: new(int32(1))}))
	if len(page.Stages) != 1 || page.NextAfter < 0 {
		t.Fatalf("a page of one: %+v", page)
	}
	id := page.Stages[0].StageId
	// The log's first line comes after the token was written.
	for chunk := (&thriftmaster.LogChunk{}); len(chunk.Data) == 0; {
		chunk = ok[*thriftmaster.LogChunk](t)(c.ReadLog(ctx, &thriftmaster.LogRequest{StageId: id, WaitMillis: new(int64(5000))}))
	}
	b, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(b))
	ref := &thriftmaster.AttemptRef{StageId: id, Attempt: new(int32(0)), Token: &token}
	for name, report := range map[string]func() (*thriftmaster.ReportAnswer, error){
		"started": func() (*thriftmaster.ReportAnswer, error) {
			return s.ReportStarted(ctx, ref, map[string]string{"password": "x", "host": "h"})
		},
		"heartbeat": func() (*thriftmaster.ReportAnswer, error) { return s.Heartbeat(ctx, ref) },
		"progress":  func() (*thriftmaster.ReportAnswer, error) { return s.ReportProgress(ctx, ref, 3, 10, "counting") },
	} {
		answer, err := report()
		if err != nil || answer.CancelRequested {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
	v := ok[*thriftmaster.StageInfo](t)(c.GetStage(ctx, id))
	if v.GetProgressDone() != 3 || v.GetProgressTotal() != 10 || v.GetProgressMessage() != "counting" {
		t.Errorf("progress: %+v", v)
	}
	if strings.Contains(v.Info, "password=x") {
		t.Errorf("info tells a secret: %q", v.Info)
	}
	forged := *ref
	forged.Token = new("forged")
	_, err = s.ReportCompleted(ctx, &forged, nil)
	wantCode(t, err, base.ErrorCode_DENIED)
	stale := *ref
	stale.Attempt, stale.Token = new(int32(7)), nil
	if answer, err := s.ReportPrepared(ctx, &stale); err == nil && answer.Accepted {
		t.Errorf("a report of an attempt that does not exist was accepted: %+v", answer)
	}
	_, err = s.ReportFailed(ctx, nil, "x", 1)
	wantCode(t, err, base.ErrorCode_INVALID)
	_, err = s.Heartbeat(ctx, &thriftmaster.AttemptRef{StageId: "nothing"})
	wantCode(t, err, base.ErrorCode_NOT_FOUND)
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	until(t, c, a.TaskName, "", "COMPLETED")
}
