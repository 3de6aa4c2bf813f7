package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/shelltest"
)

func unavailable(millis int64) error {
	return &base.ClicError{Code: base.ErrorCode_UNAVAILABLE, Message: "no master leads at the moment", RetryAfterMillis: &millis}
}

// named is a master that tells its name.
func named(name string, calls *atomic.Int32) *handler {
	return &handler{getTask: func(context.Context, string) (*master.TaskInfo, error) {
		calls.Add(1)
		return &master.TaskInfo{TaskName: name}, nil
	}}
}

func TestSeveralMasters(t *testing.T) {
	var calls [3]atomic.Int32
	dead := shelltest.Serve(t, "127.0.0.1:0", named("dead", &calls[0]))
	dead.Stop()
	a := shelltest.Serve(t, "127.0.0.1:0", named("a", &calls[1]))
	b := shelltest.Serve(t, "127.0.0.1:0", named("b", &calls[2]))
	c := connect(t, strings.Join([]string{dead.Address(), a.Address(), b.Address()}, ","), nil)
	ask := func(want string) {
		t.Helper()
		got, err := c.GetTask(t.Context(), "x")
		if err != nil || got.TaskName != want {
			t.Fatalf("%v, %v; want %s", got, err, want)
		}
	}
	ask("a")
	ask("a")
	if c.Address() != a.Address() {
		t.Errorf("address %s, want %s", c.Address(), a.Address())
	}
	a.Stop()
	ask("b")
	ask("b")
	b.Stop()
	// All are away; one comes back while they are asked.
	dials := 0
	address := c.Address() + "," + a.Address()
	later := connect(t, address, func(c *client.Config) {
		c.Dial = func(ctx context.Context, network, at string) (net.Conn, error) {
			if dials++; dials == 10 {
				shelltest.Serve(t, a.Address(), named("a again", &calls[1]))
			}
			if dials == 1 {
				at = "127.0.0.1:0"
				l, err := net.Listen(network, at)
				if err != nil {
					return nil, err
				}
				defer l.Close()
				at = l.Addr().String() // a connection that was made once, and breaks
			}
			return (&net.Dialer{}).DialContext(ctx, network, at)
		}
	})
	got, err := later.GetTask(t.Context(), "x")
	if err != nil || got.TaskName != "a again" {
		t.Fatalf("%v, %v after %d connections", got, err, dials)
	}
}

func TestNoneOfSeveralMastersIsThere(t *testing.T) {
	dead := shelltest.Serve(t, "127.0.0.1:0", &handler{})
	dead.Stop()
	c := connect(t, dead.Address()+","+dead.Address(), func(c *client.Config) { c.Patience = time.Hour })
	_, err := c.GetTask(t.Context(), "x")
	u, ok := errors.AsType[*client.UnreachableError](err)
	if !ok || u.Address != dead.Address()+", "+dead.Address() {
		t.Errorf("%v", err)
	}
}

// A master that says that it cannot serve now is asked again, and the others too.
func TestUnavailable(t *testing.T) {
	var first, second atomic.Int32
	a := shelltest.Serve(t, "127.0.0.1:0", &handler{
		getTask: func(context.Context, string) (*master.TaskInfo, error) { first.Add(1); return nil, unavailable(1) },
		retry:   func() (*master.RetryPlan, error) { first.Add(1); return nil, unavailable(1) },
	})
	b := shelltest.Serve(t, "127.0.0.1:0", &handler{getTask: func(context.Context, string) (*master.TaskInfo, error) {
		if second.Add(1) < 3 {
			return nil, unavailable(1)
		}
		return &master.TaskInfo{TaskName: "x"}, nil
	}})
	c := connect(t, a.Address()+","+b.Address(), nil)
	if got, err := c.GetTask(t.Context(), "x"); err != nil || got.TaskName != "x" || first.Load() != 3 || second.Load() != 3 {
		t.Errorf("%v, %v after %d and %d tries", got, err, first.Load(), second.Load())
	}
	first.Store(0)
	alone := connect(t, a.Address(), func(c *client.Config) { c.Patience = 20 * time.Millisecond })
	if _, err := alone.GetTask(t.Context(), "x"); client.Code(err) != base.ErrorCode_UNAVAILABLE || first.Load() < 2 {
		t.Errorf("%v after %d tries", err, first.Load())
	}
	first.Store(0)
	if _, err := alone.RetryTask(t.Context(), "x", nil, ""); client.Code(err) != base.ErrorCode_UNAVAILABLE || first.Load() != 1 {
		t.Errorf("a change that must not be made twice: %v after %d tries", err, first.Load())
	}
}

// changes answers changes with an error that the test gives, and knows one task and one stage.
type changes struct {
	master.TaskService
	fail   func() error
	task   *master.TaskInfo
	stage  *master.StageInfo
	server *shelltest.Server
}

func (h *changes) GetTask(context.Context, string) (*master.TaskInfo, error) { return h.task, nil }

func (h *changes) GetStage(context.Context, string) (*master.StageInfo, error)  { return h.stage, nil }
func (h *changes) Resume(context.Context, string, string) error                 { return h.fail() }
func (h *changes) ResumeTask(context.Context, string, string) error             { return h.fail() }
func (h *changes) CancelStage(context.Context, string, string, string) error    { return h.fail() }
func (h *changes) SkipStage(context.Context, string, string, string) error      { return h.fail() }
func (h *changes) DeleteTask(context.Context, string, bool, string, bool) error { return h.fail() }

func (h *changes) CancelTask(context.Context, string, string, bool, string) error { return h.fail() }

func (h *changes) Suspend(context.Context, string, master.HoldMode, string, int64, string) (*master.Hold, error) {
	return nil, h.fail()
}

func (h *changes) SuspendTask(context.Context, string, master.HoldMode, string, int64, string) (*master.Hold, error) {
	return nil, h.fail()
}

// A change whose answer was lost is made again. That it is refused then, because it was made the first time, is not an error.
func TestChangesThatWereMadeTheFirstTime(t *testing.T) {
	mine := &master.Hold{ID: 3, RootStageId: "s", Who: "ann", Reason: "why"}
	task := func(s master.TaskState) *changes {
		return &changes{task: &master.TaskInfo{State: s, Holds: []*master.Hold{mine}}}
	}
	stage := func(s master.StageState) *changes {
		return &changes{stage: &master.StageInfo{State: s, Holds: []*master.Hold{{RootStageId: "t"}, mine}}}
	}
	const refused, gone = base.ErrorCode_REFUSED, base.ErrorCode_NOT_FOUND
	resume := func(ctx context.Context, c *client.Client) error { return c.Resume(ctx, "s", "") }
	resumeTask := func(ctx context.Context, c *client.Client) error { return c.ResumeTask(ctx, "t", "") }
	remove := func(ctx context.Context, c *client.Client) error { return c.DeleteTask(ctx, "t", false, "") }
	cancelTask := func(ctx context.Context, c *client.Client) error { return c.CancelTask(ctx, "t", "", false, "") }
	cancelStage := func(ctx context.Context, c *client.Client) error { return c.CancelStage(ctx, "s", "", "") }
	skip := func(ctx context.Context, c *client.Client) error { return c.SkipStage(ctx, "s", "", "") }
	suspend := func(who string) func(context.Context, *client.Client) error {
		return func(ctx context.Context, c *client.Client) error {
			h, err := c.Suspend(ctx, "s", master.HoldMode_HOLD, "why", 0, who)
			if err == nil && h.ID != mine.ID {
				return errors.New("another hold")
			}
			return err
		}
	}
	suspendTask := func(ctx context.Context, c *client.Client) error {
		_, err := c.SuspendTask(ctx, "t", master.HoldMode_HOLD, "why", 0, "ann")
		return err
	}
	for _, tc := range []struct {
		name string
		h    *changes
		call func(context.Context, *client.Client) error
		code base.ErrorCode
		made bool
	}{
		{"resume", task(1), resume, refused, true},
		{"resume of an unknown stage", task(1), resume, gone, false},
		{"resume task", task(1), resumeTask, refused, true},
		{"delete", task(3), remove, gone, true},
		{"delete what may not be deleted", task(1), remove, refused, false},
		{"cancel", task(master.TaskState_CANCELLED), cancelTask, refused, true},
		{"cancel while it is being stopped", task(master.TaskState_RUNNING), cancelTask, refused, true},
		{"cancel what has ended by itself", task(master.TaskState_COMPLETED), cancelTask, refused, false},
		{"cancel a stage", stage(master.StageState_CANCELLING), cancelStage, refused, true},
		{"cancel a stage that has ended by itself", stage(master.StageState_FAILED), cancelStage, refused, false},
		{"skip", stage(master.StageState_SKIPPED), skip, refused, true},
		{"skip what runs", stage(master.StageState_RUNNING), skip, refused, false},
		{"suspend", stage(master.StageState_SUSPEND), suspend("ann"), refused, true},
		{"suspend what runs on", &changes{
			stage: &master.StageInfo{State: master.StageState_RUNNING}, task: &master.TaskInfo{Holds: []*master.Hold{mine}},
		}, suspend("ann"), refused, true},
		{"suspend what somebody else holds", stage(master.StageState_SUSPEND), suspend("bob"), refused, false},
		{"suspend task", task(master.TaskState_SUSPENDED), suspendTask, refused, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := tc.h
			h.server = shelltest.Serve(t, "127.0.0.1:0", h)
			c := connect(t, h.server.Address(), nil)
			check := func(how string, err error) {
				t.Helper()
				var e *base.ClicError
				switch errors.As(err, &e); {
				case tc.made && err != nil, !tc.made && client.Code(err) != tc.code:
					t.Errorf("%s: %v", how, err)
				case e != nil && e.RetryAfterMillis == nil:
					t.Errorf("%s: nothing says that it may have been done: %v", how, err)
				}
			}
			calls := 0
			h.fail = func() error {
				if calls++; calls == 1 {
					h.server.Drop()
				}
				return &base.ClicError{Code: tc.code, Message: "no"}
			}
			check("the connection broke", tc.call(t.Context(), c))
			if calls != 2 {
				t.Errorf("%d calls", calls)
			}
			h.fail = func() error { return &base.ClicError{Code: tc.code, Message: "no", RetryAfterMillis: new(int64(0))} }
			check("the master repeated it", tc.call(t.Context(), c))
			h.fail = func() error { return &base.ClicError{Code: tc.code, Message: "no"} }
			if err := tc.call(t.Context(), c); client.Code(err) != tc.code {
				t.Errorf("at the first try: %v", err)
			}
		})
	}
}

func TestStaleAnswers(t *testing.T) {
	since := int64(1_700_000_000_000)
	h := &changes{
		task: &master.TaskInfo{StaleSince: &since}, stage: &master.StageInfo{StaleSince: &since}, fail: func() error { return nil },
	}
	s := shelltest.Serve(t, "127.0.0.1:0", h)
	var told []time.Time
	c := connect(t, s.Address(), func(c *client.Config) { c.OnStale = func(at time.Time) { told = append(told, at) } })
	if _, err := c.GetTask(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetStage(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	h.task = &master.TaskInfo{}
	if _, err := c.GetTask(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || !told[0].Equal(time.UnixMilli(since)) {
		t.Errorf("told of %v", told)
	}
}

// A master that was stopped in its tracks accepts connections and never answers.
func TestFrozenMaster(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var calls atomic.Int32
	b := shelltest.Serve(t, "127.0.0.1:0", named("b", &calls))
	c := connect(t, l.Addr().String()+","+b.Address(), func(c *client.Config) { c.TryTimeout = 20 * time.Millisecond })
	if got, err := c.GetTask(t.Context(), "x"); err != nil || got.TaskName != "b" {
		t.Errorf("%v, %v", got, err)
	}
}

// Old calls have no errors of their own: a master that is stopping says so with an exception of Thrift's.
func TestPassingExceptions(t *testing.T) {
	for kind, passing := range map[int32]bool{100: true, 101: true, 102: true, thrift.INTERNAL_ERROR: false, thrift.UNKNOWN_METHOD: false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			p := thrift.NewTBinaryProtocolConf(thrift.NewStreamTransport(nc, nc), nil)
			answer(p, thrift.EXCEPTION, thrift.NewTApplicationException(kind, "the master is stopping"))
			answer(p, thrift.REPLY, &master.TaskServiceGetTaskResult{Success: &master.TaskInfo{TaskName: "x"}})
		}()
		c := connect(t, l.Addr().String(), nil)
		if _, err = c.GetTask(t.Context(), "x"); (err == nil) != passing {
			t.Errorf("type %d: %v", kind, err)
		}
		_ = c.Close()
		_ = l.Close()
		<-done
	}
}

// answer reads a getTask and answers it. Errors show in the client.
func answer(p thrift.TProtocol, kind thrift.TMessageType, body interface {
	Write(ctx context.Context, p thrift.TProtocol) error
},
) {
	ctx := context.Background()
	_, _, seq, err := p.ReadMessageBegin(ctx)
	if err != nil {
		return
	}
	_ = p.Skip(ctx, thrift.STRUCT)
	_ = p.WriteMessageBegin(ctx, "getTask", kind, seq)
	_ = body.Write(ctx, p)
	_ = p.WriteMessageEnd(ctx)
	_ = p.Flush(ctx)
}
