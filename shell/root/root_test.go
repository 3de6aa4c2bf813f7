package root_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/root"
	"github.com/clic-orchestrator/clic/shell/shelltest"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // what tables show does not depend on the machine
	goleak.VerifyTestMain(m)
}

// TestCommands runs the command lines in testdata (-rewrite writes what they print). A directive is
//
//	clic [terminal=COLUMNS] [ascii] [color] [offline] [role=leader|follower|orphan] [stale]
//
// with the arguments on the next line, in shell-like quotes; further lines are the standard input.
func TestCommands(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, runCase)
	})
}

func runCase(t *testing.T, d *datadriven.TestData) string {
	h := world()
	s := shelltest.New(t, h)
	address := s.Env["CLIC_MASTER"]
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "terminal":
			var columns int
			arg.Scan(t, 0, &columns)
			s.Terminal(columns, 24)
		case "ascii":
			s.IO.UTF8 = false
		case "color":
			s.IO.Color, s.IO.ErrColor = true, true
		case "role":
			h.Master = sharing(arg.Vals[0])
		case "stale":
			stale(h)
		case "offline":
			// A port that nothing listens on: a listener that was closed.
			server := shelltest.Serve(t, "127.0.0.1:0", h)
			server.Stop()
			address = server.Address()
			s.Env["CLIC_MASTER"] = address
		default:
			d.Fatalf(t, "unknown argument %s", arg.Key)
		}
	}
	line, input, _ := strings.Cut(d.Input, "\n")
	s.In.WriteString(input)
	status := root.Main(context.Background(), s.Factory, fields(line))

	var b strings.Builder
	b.WriteString(strings.ReplaceAll(s.Out.String(), "\x1b", "^["))
	if s.Err.Len() > 0 {
		b.WriteString("stderr:\n" + strings.ReplaceAll(s.Err.String(), "\x1b", "^["))
	}
	for _, c := range h.Calls() {
		b.WriteString("call: " + c + "\n")
	}
	for _, c := range h.Submitted {
		fmt.Fprintf(&b, "submitted: name=%q file=%q plan=%q params=%v labels=%v owner=%q id=%v\n", c.PlanName, c.GetFileName(), c.Plan,
			c.Parameters, c.Labels, c.GetOwner(), c.GetRequestId() != "")
	}
	if status != 0 {
		fmt.Fprintf(&b, "exit status %d\n", status)
	}
	text := strings.ReplaceAll(b.String(), address, "MASTER:7777")
	return strings.ReplaceAll(text, "\t", "→")
}

// sharing is what a master of three answers that share a store.
func sharing(role string) *master.MasterInfo {
	i := &master.MasterInfo{
		Version: "v9", Address: "10.0.0.1:7777", Store: "redis://store:6379/0", Executors: []string{"local"}, Started: at(3600), Epoch: 4,
		ActiveTasks: 1, ActiveStages: 2, Role: role, Leader: "10.0.0.2:7777",
		Members: []*master.Member{
			{ID: "b/7/x", Address: "10.0.0.2:7777", Version: "v9", Host: "b", Pid: 7, Started: at(7200), Seen: at(0), SilentMillis: 400, Leads: true},
			{ID: "a/8/y", Address: "10.0.0.1:7777", Version: "v9", Host: "a", Pid: 8, Started: at(3600), Seen: at(0), SilentMillis: 20},
			{ID: "c/9/z", Address: "10.0.0.3:7777", Version: "v8", Host: "c", Pid: 99, Started: at(90_000), Seen: at(5), SilentMillis: 5400},
		},
	}
	if role == "orphan" {
		i.Role, i.Leader, i.Members = "follower", "", nil
		i.StaleSince, i.StoreTrouble = new(at(60)), "connection refused"
	}
	return i
}

// stale makes answers say that the master cannot reach its store.
func stale(h *shelltest.Handler) {
	for _, t := range h.Tasks {
		t.StaleSince = new(at(60))
	}
	for _, s := range h.Stages {
		s.StaleSince = new(at(60))
	}
}

// fields splits a command line; single quotes group.
func fields(line string) []string {
	var all []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

// at is a time of the wire, so many seconds before now.
func at(secondsAgo int64) int64 { return shelltest.Now().UnixMilli() - secondsAgo*1000 }

// world is what the master of the tests knows.
func world() *shelltest.Handler {
	const running, done, failed = "wordcount-qwertyui", "wordcount-aaaabbbb", "nightly-zxcvbnml"
	h := &shelltest.Handler{
		Tasks: []*master.TaskInfo{
			{
				TaskName: running, PlanName: "wordcount", State: master.TaskState_RUNNING, Submitted: at(65), Started: at(64), Stages: 4,
				Counts: map[string]int32{"COMPLETED": 1, "RUNNING": 1, "SUSPEND": 1, "WAITING": 1}, Owner: "ann", Priority: 5,
				Labels:     map[string]string{"team": "data", "env": "test"},
				Parameters: map[string]string{"date": "2026-03-05", "db-password": "hunter2"}, RemainingMillis: new(int64(120_000)),
				Holds: []*master.Hold{{ID: 1, RootStageId: running + "-java-3", Who: "bob", Reason: "wait for the dump", Since: at(30)}},
			},
			{
				TaskName: done, PlanName: "wordcount", State: master.TaskState_COMPLETED, Submitted: at(7200), Started: at(7199), Ended: at(7000),
				Stages: 1, Counts: map[string]int32{"COMPLETED": 1},
			},
			{
				TaskName: failed, PlanName: "nightly", State: master.TaskState_FAILED, Submitted: at(90000), Started: at(89990), Ended: at(89000),
				Stages: 2, Counts: map[string]int32{"COMPLETED": 1, "FAILED": 1}, Message: "stage nightly-zxcvbnml-sh-2 failed\x1b[31m: no space",
			},
		},
		Plans: map[string]string{running: "kind: Workflow\n"},
		Logs:  map[string]string{running + "-sh-1": "one\ntwo\nthree", running + "-java-2": "x\n"},
		Previews: map[string]*master.Preview{
			running + "-sh-1": {
				Result_: &master.ResultInfo{StageId: running + "-sh-1", Path: "/data/out.csv", Kind: "file", Size: 2048, Files: 1, Format: "csv"},
				Lines:   []string{"word,n", "the,9", "a,7"}, Columns: []string{"word", "n"}, Rows: [][]string{{"the", "9"}, {"a", "7"}}, More: true,
			},
			running + "-java-3": {Result_: &master.ResultInfo{
				StageId: running + "-java-3", Path: "/data/out.orc", Kind: "file", Size: 4096, Files: 1, Format: "orc",
				Note: new("ORC, which is not shown here; let the stage write Parquet"),
			}},
		},
		Retry: &master.RetryPlan{Reset: []string{failed + "-sh-2"}, Kept: []string{failed + "-sh-1"}},
		Fail:  map[string]error{},
	}
	h.Stages = []*master.StageInfo{
		{StageId: running + "-entry", TaskName: running, Name: "main", Kind: master.NodeKind_DAG, State: master.StageState_RUNNING, Index: 0},
		{
			StageId: running + "-sh-1", TaskName: running, Name: "fetch", Path: ".fetch", State: master.StageState_COMPLETED, Template: "sh",
			Platform: "sh", Children: []string{running + "-java-2", running + "-java-3"}, Launched: at(64), Started: at(63), Ended: at(60),
			ExitCode: new(int32(0)), Group: running + "-entry", Index: 1, CpuMillis: new(int64(1500)), MaxRssBytes: new(int64(50 << 20)),
			Outputs: &master.StageOutputs{Result_: new("ok")},
		},
		{
			StageId: running + "-java-2", TaskName: running, Name: "count", Path: ".count", State: master.StageState_RUNNING, Template: "java-count",
			Platform: "java", Parents: []string{running + "-sh-1"}, Children: []string{running + "-java-4"}, Launched: at(60), Started: at(59),
			Attempt: 1, Retries: 1, Group: running + "-entry", Index: 2, ProgressDone: new(int64(40)), ProgressTotal: new(int64(100)),
			Attempts: []*master.AttemptInfo{{Started: at(62), Ended: at(61), Failure: &master.Failure{Kind: "exit", ExitCode: 3, Message: "exit status 3"}}},
		},
		{
			StageId: running + "-java-3", TaskName: running, Name: "sort", Path: ".sort", State: master.StageState_SUSPEND, Template: "java-sort",
			Platform: "java", Parents: []string{running + "-sh-1"}, Children: []string{running + "-java-4"}, Group: running + "-entry", Index: 3,
			Explanation: &master.Explanation{Kind: "hold", Text: "held by bob: wait for the dump"},
		},
		{
			StageId: running + "-java-4", TaskName: running, Name: "report", Path: ".report", State: master.StageState_WAITING, Template: "java-report",
			Platform: "java", Parents: []string{running + "-java-2", running + "-java-3"}, Group: running + "-entry", Index: 4,
			Explanation: &master.Explanation{Kind: "parents", Text: "waits for count and sort"},
		},
		{StageId: failed + "-sh-2", TaskName: failed, Name: "load", State: master.StageState_FAILED, Failure: &master.Failure{Kind: "exit", ExitCode: 1, Message: "no space"}},
	}
	return h
}

// TestErrors checks what the codes of the master's errors become.
func TestErrors(t *testing.T) {
	for code, want := range map[base.ErrorCode]int{
		base.ErrorCode_UNKNOWN: 1, base.ErrorCode_INVALID: 65, base.ErrorCode_NOT_FOUND: 4, base.ErrorCode_EXISTS: 5, base.ErrorCode_REFUSED: 5,
		base.ErrorCode_NOT_READY: 75, base.ErrorCode_UNAVAILABLE: 75, base.ErrorCode_DENIED: 77, base.ErrorCode_TOO_LARGE: 65,
		base.ErrorCode_INTERNAL: 70, base.ErrorCode(99): 1,
	} {
		h := world()
		h.Fail["skipStage"] = &base.ClicError{Code: code, Message: "it is so", Hint: "do this"}
		s := shelltest.New(t, h)
		if got := root.Main(context.Background(), s.Factory, []string{"skip", "wordcount-qwertyui/report"}); got != want {
			t.Errorf("%v: exit status %d, want %d", code, got, want)
		}
		if got, want := s.Err.String(), "clic: it is so; do this\n"; got != want {
			t.Errorf("%v: %q, want %q", code, got, want)
		}
	}
}

// TestHelp checks that every command that people see says what it does and shows how, and that every flag is explained.
func TestHelp(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if !sub.Hidden && sub.Name() != "help" {
				visit(sub)
			}
		}
		topic := !c.Runnable()
		if c.Short == "" || topic && c.Long == "" {
			t.Errorf("%q does not say what it does", c.CommandPath())
		}
		if c.Example == "" && !topic && !c.HasSubCommands() {
			t.Errorf("%q has no example", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%q: --%s is not explained", c.CommandPath(), f.Name)
			}
		})
	}
	visit(root.NewCmdRoot(shelltest.Offline(t).Factory))
}
