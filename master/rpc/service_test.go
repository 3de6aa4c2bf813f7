package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/store"
)

// The tables of calls are complete, and hold nothing that the IDL does not.
func TestEveryMethodIsServed(t *testing.T) {
	s := NewService(Config{})
	for service, tc := range map[string]struct {
		served    map[string]method
		generated []string
	}{
		"TaskService":      {s.taskMethods(), slices.Sorted(maps.Keys(master.NewTaskServiceProcessor(s).ProcessorMap()))},
		"SchedulerService": {s.schedulerMethods(), slices.Sorted(maps.Keys(master.NewSchedulerServiceProcessor(s).ProcessorMap()))},
	} {
		if diff := cmp.Diff(tc.generated, slices.Sorted(maps.Keys(tc.served))); diff != "" {
			t.Errorf("%s (-IDL +served):\n%s", service, diff)
		}
	}
	all := newTable(map[string]map[string]method{"TaskService": s.taskMethods(), "SchedulerService": s.schedulerMethods()})
	if want := 2 * (len(s.taskMethods()) + len(s.schedulerMethods())); len(all) != want {
		t.Errorf("%d names, want %d: a method name of two services is ambiguous", len(all), want)
	}
}

// Statuses and kinds are numbered alike on the wire and in package dag.
func TestNumbersOnTheWire(t *testing.T) {
	for _, s := range dag.Statuses() {
		if got := master.StageState(s).String(); got != s.String() {
			t.Errorf("stage state %d: %s on the wire, %s in dag", s, got, s)
		}
	}
	for _, s := range dag.TaskStatuses() {
		if got := master.TaskState(s).String(); got != s.String() {
			t.Errorf("task state %d: %s on the wire, %s in dag", s, got, s)
		}
	}
	for k := dag.KindStage; k <= dag.KindGate; k++ {
		got := strings.ToLower(strings.ReplaceAll(master.NodeKind(k).String(), "_", "-"))
		if got != k.String() {
			t.Errorf("kind %d: %s on the wire, %s in dag", k, got, k)
		}
	}
	for m := dag.HoldStart; m <= dag.HoldRequeue; m++ {
		if got := strings.ToLower(master.HoldMode(m).String()); got != m.String() {
			t.Errorf("mode %d: %s on the wire, %s in dag", m, got, m)
		}
	}
}

func TestErrors(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("cannot do it: %w", err) }
	invalid := plan.Diagnostics{{Severity: plan.SeverityError, File: "p.yaml", Line: 3, Column: 4, Field: "spec", Message: "bad", Hint: "fix", Rule: "r"}}
	for _, tc := range []struct {
		err  error
		want base.ErrorCode
	}{
		{invalid.Err(), base.ErrorCode_INVALID},
		{missing("x"), base.ErrorCode_INVALID},
		{dag.ErrUnknownNode, base.ErrorCode_NOT_FOUND},
		{store.ErrNotFound, base.ErrorCode_NOT_FOUND},
		{executors.ErrNoLogs, base.ErrorCode_NOT_FOUND},
		{fs.ErrNotExist, base.ErrorCode_NOT_FOUND},
		{store.ErrExists, base.ErrorCode_EXISTS},
		{&dag.Refusal{Reason: "no", Hint: "wait"}, base.ErrorCode_REFUSED},
		{&engine.NotReadyError{StageID: "s", Status: dag.Running}, base.ErrorCode_NOT_READY},
		{engine.ErrStopping, base.ErrorCode_UNAVAILABLE},
		{engine.ErrToken, base.ErrorCode_DENIED},
		{store.ErrUnavailable, base.ErrorCode_UNAVAILABLE},
		{context.DeadlineExceeded, base.ErrorCode_UNAVAILABLE},
		{&results.DeniedError{Path: "/x"}, base.ErrorCode_DENIED},
		{ErrDenied, base.ErrorCode_DENIED},
		{ErrTooLarge, base.ErrorCode_TOO_LARGE},
		{errors.New("anything"), base.ErrorCode_INTERNAL},
	} {
		got := clicError(wrap(tc.err))
		if got.Code != tc.want {
			t.Errorf("%v: %v, want %v", tc.err, got.Code, tc.want)
		}
		if (got.RetryAfterMillis != nil) != (tc.want == base.ErrorCode_UNAVAILABLE) {
			t.Errorf("%v: retry after %v", tc.err, got.RetryAfterMillis)
		}
	}
	if clicError(nil) != nil {
		t.Error("no error became one")
	}
	if e := clicError(wrap(&dag.Refusal{Reason: "no", Hint: "wait"})); e.Hint != "wait" {
		t.Errorf("hint of a refusal: %q", e.Hint)
	}
	want := []*base.Diagnostic{{Severity: "error", File: "p.yaml", Line: 3, Column: 4, Field: "spec", Message: "bad", Hint: "fix", Rule: "r"}}
	if diff := cmp.Diff(want, clicError(invalid.Err()).Diagnostics); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
}

func TestOldTimes(t *testing.T) {
	zone := time.FixedZone("X", 8*3600)
	s := NewService(Config{Location: zone})
	at := dag.Time(time.Date(2024, 2, 29, 23, 5, 9, 999e6, zone).UnixMilli())
	if got := s.oldTime(at); got != "2024-02-29 23:05:09" {
		t.Errorf("time: %q", got)
	}
	if got := s.oldTime(0); got != "   -" {
		t.Errorf("unset time: %q", got)
	}
	for _, tc := range []struct {
		from, to dag.Time
		want     string
	}{{0, 0, ""}, {1000, 0, ""}, {0, 1000, ""}, {1000, 1999, "0"}, {1000, 3000, "2"}, {5000, 1000, ""}} {
		if got := oldRuntime(tc.from, tc.to); got != tc.want {
			t.Errorf("runtime from %d to %d: %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestRedaction(t *testing.T) {
	r := newRedactor()
	for in, want := range map[string]string{
		"":                                 "",
		"pid 4711; template java-exec":     "pid 4711; template java-exec",
		"run --password=hunter2 --n=3":     "run --password=*** --n=3",
		"run --db-password hunter2 x":      "run --db-password *** x",
		`API_KEY="a b c" next`:             `API_KEY=*** next`,
		"MY_SECRET: 's p' rest":            "MY_SECRET: *** rest",
		`{"accessToken": "abc", "n": 1}`:   `{"accessToken": ***, "n": 1}`,
		"redis://:123456@host:6379/0":      "redis://:***@host:6379/0",
		"jdbc:mysql://u:pw@h/db?x=1":       "jdbc:mysql://u:***@h/db?x=1",
		"Authorization: Bearer abcdef.ghi": "Authorization: Bearer ***",
		"spark.hadoop.fs.s3a.secret.key=Z": "spark.hadoop.fs.s3a.secret.key=***",
		"http://h/?token=abc&x=1":          "http://h/?token=***&x=1",
		"keyboard and monkey stay":         "keyboard and monkey stay",
		"/data/tokens/list.txt":            "/data/tokens/list.txt",
	} {
		if got := r.text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestWaits(t *testing.T) {
	for millis, want := range map[int64]time.Duration{
		-1: atOnce, 0: atOnce, 5000: 5 * time.Second, 60_000: time.Minute, 61_000: time.Minute, 1 << 62: time.Minute,
	} {
		if got := wait(millis); got != want {
			t.Errorf("wait(%d) = %v, want %v", millis, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	if err := DefaultLimits.Validate(); err != nil {
		t.Error(err)
	}
	if got := (Limits{}).WithDefaults(); got != DefaultLimits {
		t.Errorf("defaults: %+v", got)
	}
	for _, l := range []Limits{{Connections: -1}, {MessageBytes: 2 << 30}, {Idle: -1}} {
		if err := l.WithDefaults().Validate(); err == nil {
			t.Errorf("%+v is valid", l)
		}
	}
}
