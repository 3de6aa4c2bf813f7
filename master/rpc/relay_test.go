package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// start serves without a leader.
func start(tb testing.TB, limits Limits) (*Server, string) {
	tb.Helper()
	srv, err := NewServer(limits, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if err := srv.Serve(l); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = srv.Stop(ctx)
	})
	return srv, l.Addr().String()
}

// leads makes a server answer by the methods.
func (s *Server) leads(methods map[string]method) {
	services := map[string]map[string]method{"TaskService": {}, "SchedulerService": {}}
	for name, one := range methods {
		service := "TaskService"
		if strings.HasPrefix(name, "post") {
			service = "SchedulerService"
		}
		services[service][name] = one
	}
	s.begin(&turn{table: newTable(services)})
}

// onGetTask is a getTask that does f.
func onGetTask(f func(ctx context.Context, name string) (*master.TaskInfo, error)) method {
	return on(func(ctx context.Context, a *master.TaskServiceGetTaskArgs) (thrift.TStruct, error) {
		v, err := f(ctx, a.TaskName)
		return &master.TaskServiceGetTaskResult{Success: v, Error: clicError(err)}, declared(err)
	})
}

func onResume(f func(ctx context.Context) error) method {
	return on(func(ctx context.Context, _ *master.TaskServiceResumeArgs) (thrift.TStruct, error) {
		err := f(ctx)
		return &master.TaskServiceResumeResult{Error: clicError(err)}, declared(err)
	})
}

func onRetryTask(f func(ctx context.Context) error) method {
	return on(func(ctx context.Context, _ *master.TaskServiceRetryTaskArgs) (thrift.TStruct, error) {
		err := f(ctx)
		return &master.TaskServiceRetryTaskResult{Success: &master.RetryPlan{}, Error: clicError(err)}, declared(err)
	})
}

func wantCode(t *testing.T, err error, code base.ErrorCode, text string) {
	t.Helper()
	_ = clicErrorOf(t, err, code, text)
}

func clicErrorOf(t *testing.T, err error, code base.ErrorCode, text string) *base.ClicError {
	t.Helper()
	var e *base.ClicError
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, text) {
		t.Fatalf("got %v (%T), want %v with %q", err, err, code, text)
	}
	return e
}

// everyType is a struct that no version of the IDL has.
type everyType struct{ thrift.TStruct }

func (everyType) Write(ctx context.Context, out thrift.TProtocol) error {
	field := func(kind thrift.TType, id int16, write func() error) error {
		return errors.Join(out.WriteFieldBegin(ctx, "", kind, id), write(), out.WriteFieldEnd(ctx))
	}
	list := func() error {
		return errors.Join(out.WriteListBegin(ctx, thrift.BOOL, 3), out.WriteBool(ctx, true), out.WriteBool(ctx, false),
			out.WriteBool(ctx, true), out.WriteListEnd(ctx))
	}
	return errors.Join(
		out.WriteStructBegin(ctx, ""),
		field(thrift.BOOL, 1, func() error { return out.WriteBool(ctx, true) }),
		field(thrift.BOOL, 2, func() error { return out.WriteBool(ctx, false) }),
		field(thrift.BYTE, 40, func() error { return out.WriteByte(ctx, -3) }),
		field(thrift.I16, 41, func() error { return out.WriteI16(ctx, -300) }),
		field(thrift.I32, 3000, func() error { return out.WriteI32(ctx, 1<<30) }),
		field(thrift.I64, 3001, func() error { return out.WriteI64(ctx, -1<<60) }),
		field(thrift.DOUBLE, 3002, func() error { return out.WriteDouble(ctx, 1.5) }),
		field(thrift.STRING, 3003, func() error { return out.WriteString(ctx, "a\xffb") }),
		field(thrift.UUID, 3004, func() error { return out.WriteUUID(ctx, thrift.Tuuid{1, 2, 15: 3}) }),
		field(thrift.LIST, 3005, list),
		field(thrift.SET, 3006, func() error {
			return errors.Join(out.WriteSetBegin(ctx, thrift.I64, 1), out.WriteI64(ctx, 5), out.WriteSetEnd(ctx))
		}),
		field(thrift.MAP, 3007, func() error {
			return errors.Join(out.WriteMapBegin(ctx, thrift.STRING, thrift.LIST, 1), out.WriteString(ctx, "k"), list(), out.WriteMapEnd(ctx))
		}),
		field(thrift.MAP, 3008, func() error { return errors.Join(out.WriteMapBegin(ctx, 0, 0, 0), out.WriteMapEnd(ctx)) }),
		field(thrift.STRUCT, 3009, func() error {
			return errors.Join(out.WriteStructBegin(ctx, ""), out.WriteFieldStop(ctx), out.WriteStructEnd(ctx))
		}),
		out.WriteFieldStop(ctx),
		out.WriteStructEnd(ctx),
	)
}

// keeper keeps what it reads, and writes it again.
type keeper struct{ r raw }

func (k *keeper) Read(ctx context.Context, in thrift.TProtocol) (err error) {
	k.r, err = rawOf(ctx, in, 1<<20)
	return err
}

func (k *keeper) Write(ctx context.Context, out thrift.TProtocol) error { return k.r.Write(ctx, out) }

// Calls through a master that does not lead are as those to the one that leads, in every form, with everything in them.
func TestRelayInEveryWireForm(t *testing.T) {
	leader, at := start(t, Limits{})
	follower, addr := start(t, Limits{})
	brandNew := method{
		read: func(ctx context.Context, in thrift.TProtocol) (thrift.TStruct, error) {
			k := &keeper{}
			err := k.Read(ctx, in)
			return k, err
		},
		run: func(_ context.Context, a thrift.TStruct) (thrift.TStruct, error) { return a, nil },
	}
	leader.leads(map[string]method{
		"getTask": onGetTask(func(_ context.Context, name string) (*master.TaskInfo, error) {
			if name == "missing" {
				return nil, store.ErrNotFound
			}
			return &master.TaskInfo{TaskName: name, Labels: map[string]string{"a": "b"}, Holds: []*master.Hold{}, Deadline: new(int64(5))}, nil
		}),
		"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
			return "", thrift.NewTApplicationException(thrift.MISSING_RESULT, "none of "+name)
		}),
		"brandNew": brandNew,
	})
	follower.Follow(at)
	want, err := encoded(t.Context(), everyType{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			nc := dial(t, addr)
			c := f.tasks(slowly{nc})
			for range 3 {
				got, err := c.GetTask(t.Context(), "a")
				if err != nil || got.TaskName != "a" || got.Labels["a"] != "b" || got.GetDeadline() != 5 {
					t.Fatalf("%v, %v", got, err)
				}
			}
			_, err := c.GetTask(t.Context(), "missing")
			wantCode(t, err, base.ErrorCode_NOT_FOUND, "")
			_, err = c.GetPlan(t.Context(), "x")
			wantApplication(t, err, thrift.MISSING_RESULT, "none of x")
			_, err = c.Explain(t.Context(), "x")
			wantApplication(t, err, thrift.UNKNOWN_METHOD, "TaskService:explain")
			p := f.client(dial(t, addr))
			k := &keeper{}
			m := thrift.NewTMultiplexedProtocol(p, "TaskService")
			if _, err := thrift.NewTStandardClient(p, m).Call(t.Context(), "brandNew", everyType{}, k); err != nil || string(k.r) != string(want) {
				t.Fatalf("what came back is %x, %v; want %x", k.r, err, want)
			}
		})
	}
	if n := follower.Stats().Relayed; n == 0 {
		t.Error("nothing was relayed")
	}
	// A call that must not be carried out twice gets a connection of its own: one per form here.
	if n := leader.Stats().Accepted; n > int64(len(forms())+1) {
		t.Errorf("%d connections were made for one call after the other", n)
	}
}

func TestCallsWaitForALeader(t *testing.T) {
	srv, addr := start(t, Limits{})
	other, at := start(t, Limits{})
	named := func(who string) map[string]method {
		return map[string]method{"getPlan": onGetPlan(func(context.Context, string) (string, error) { return who, nil })}
	}
	other.leads(named("the other"))
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"lead", func() { srv.leads(named("itself")) }, "itself"},
		{"follow", func() { srv.Follow(at) }, "the other"},
		{"lead again", func() { srv.leads(named("itself")) }, "itself"},
	} {
		srv.Nobody()
		call := background(oldForm().tasks(dial(t, addr)))
		until(t, "the call waits", func() bool { return srv.Stats().Waiting == 1 })
		step.do()
		if a := <-call; a.err != nil || a.text != step.want {
			t.Errorf("%s: %+v", step.name, a)
		}
	}
	if self, leader := srv.Leader(); !self || leader != "" {
		t.Errorf("leader: %v, %q", self, leader)
	}
}

// until waits for a condition that nothing tells of.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look, end := time.NewTicker(time.Millisecond), time.After(patience)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-end:
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestNobodyLeads(t *testing.T) {
	srv, addr := start(t, Limits{Leaderless: 20 * time.Millisecond, Handle: 100 * time.Millisecond})
	check := func(t *testing.T, text string) {
		t.Helper()
		c := oldForm().tasks(dial(t, addr))
		_, err := c.GetTask(t.Context(), "x")
		if e := clicErrorOf(t, err, base.ErrorCode_UNAVAILABLE, text); e.RetryAfterMillis == nil {
			t.Error("it does not say that it can be repeated")
		}
		_, err = c.ListAllTask(t.Context())
		wantApplication(t, err, exceptionUnavailable, text)
		p := oldForm().client(dial(t, addr))
		stage := master.NewSchedulerServiceClient(thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, "SchedulerService")))
		begun := time.Now()
		got, err := stage.PostStageCompleted(t.Context(), "s", nil)
		if err != nil || got.ResultCode != base.ResultCode_EXCEPTION || !strings.Contains(got.Message, text) {
			t.Errorf("an old report: %v, %v", got, err)
		}
		if took := time.Since(begun); took < 90*time.Millisecond {
			t.Errorf("a report waited for %v only", took)
		}
	}
	t.Run("none is known", func(t *testing.T) { check(t, "no master leads at the moment") })
	t.Run("none answers", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		srv.Follow(l.Addr().String())
		check(t, "cannot reach the leading master at "+l.Addr().String())
	})
}

// Two masters that take each other for the leader do not pass calls to and fro.
func TestNoPingPong(t *testing.T) {
	a, addrA := start(t, Limits{Leaderless: 200 * time.Millisecond})
	b, addrB := start(t, Limits{Leaderless: 200 * time.Millisecond})
	a.Follow(addrB)
	b.Follow(addrA)
	_, err := oldForm().tasks(dial(t, addrA)).GetTask(t.Context(), "x")
	wantCode(t, err, base.ErrorCode_UNAVAILABLE, "does not lead any more")
	if n := a.Stats().Calls + b.Stats().Calls; n > 20 {
		t.Errorf("%d calls were made of one", n)
	}
	if n := a.Stats().Accepted; n != 1 {
		t.Errorf("%d connections to the first master", n)
	}
	// When it turns out who leads, the call is answered.
	call := background(oldForm().tasks(dial(t, addrA)))
	b.leads(map[string]method{"getPlan": echo()})
	if got := <-call; got.err != nil || got.text != "x" {
		t.Errorf("%+v", got)
	}
}

// fragile is a leader whose connections break in the middle of calls, in front of a real one.
type fragile struct {
	net.Listener
	calls atomic.Int32
	// keep is how often it breaks; then it hangs.
	breaks int32
	got    chan net.Conn
}

func breaking(t *testing.T, breaks int32) *fragile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fragile{Listener: l, breaks: breaks, got: make(chan net.Conn, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			var head [8]byte
			if _, err := io.ReadFull(nc, head[:]); err != nil {
				t.Error(err)
			}
			if f.calls.Add(1) <= f.breaks {
				nc.Close()
			}
			f.got <- nc
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for len(f.got) > 0 {
			(<-f.got).Close()
		}
	})
	return f
}

func TestLeaderDiesUnderACall(t *testing.T) {
	resumed := &dag.Refusal{Reason: "it is not suspended"}
	next, at := start(t, Limits{})
	next.leads(map[string]method{
		"getTask": onGetTask(func(_ context.Context, name string) (*master.TaskInfo, error) {
			return &master.TaskInfo{TaskName: name}, nil
		}),
		"resume":    onResume(func(context.Context) error { return resumed }),
		"retryTask": onRetryTask(func(context.Context) error { t.Error("carried out twice"); return nil }),
		"submit": on(func(_ context.Context, a *master.TaskServiceSubmitArgs) (thrift.TStruct, error) {
			return &master.TaskServiceSubmitResult{Success: &master.SubmitAnswer{TaskName: "t"}}, nil
		}),
	})
	calls := map[string]func(t *testing.T, c *master.TaskServiceClient){
		"a read": func(t *testing.T, c *master.TaskServiceClient) {
			if got, err := c.GetTask(t.Context(), "x"); err != nil || got.TaskName != "x" {
				t.Errorf("%v, %v", got, err)
			}
		},
		"a submission with an id": func(t *testing.T, c *master.TaskServiceClient) {
			if got, err := c.Submit(t.Context(), &master.Submission{RequestId: new("id")}); err != nil || got.TaskName != "t" {
				t.Errorf("%v, %v", got, err)
			}
		},
		"a submission without one": func(t *testing.T, c *master.TaskServiceClient) {
			_, err := c.Submit(t.Context(), &master.Submission{})
			if e := clicErrorOf(t, err, base.ErrorCode_UNAVAILABLE, "whether the request was carried out is unknown"); e.RetryAfterMillis != nil {
				t.Error("it says that it can be repeated")
			}
		},
		"a retry": func(t *testing.T, c *master.TaskServiceClient) {
			_, err := c.RetryTask(t.Context(), "x", nil, "")
			wantCode(t, err, base.ErrorCode_UNAVAILABLE, "whether the request was carried out is unknown")
		},
		"a change that was made already": func(t *testing.T, c *master.TaskServiceClient) {
			e := clicErrorOf(t, c.Resume(t.Context(), "x", ""), base.ErrorCode_REFUSED, "it is not suspended")
			if e.RetryAfterMillis == nil || !strings.Contains(e.Hint, "may have been carried out the first time") {
				t.Errorf("hint %q, retry after %v", e.Hint, e.RetryAfterMillis)
			}
		},
	}
	for name, call := range calls {
		t.Run("broken: "+name, func(t *testing.T) {
			t.Parallel()
			f := breaking(t, 1)
			srv, addr := start(t, Limits{})
			srv.Follow(f.Addr().String())
			go func() { f.got <- <-f.got; srv.Follow(at) }()
			call(t, oldForm().tasks(dial(t, addr)))
		})
		t.Run("frozen: "+name, func(t *testing.T) {
			t.Parallel()
			f := breaking(t, 0)
			srv, addr := start(t, Limits{})
			srv.Follow(f.Addr().String())
			go func() { f.got <- <-f.got; srv.Nobody(); srv.Follow(at) }()
			call(t, oldForm().tasks(dial(t, addr)))
		})
	}
}

// A leader that breaks every connection is not asked for ever.
func TestLeaderThatAlwaysBreaks(t *testing.T) {
	f := breaking(t, 100)
	srv, addr := start(t, Limits{})
	srv.Follow(f.Addr().String())
	_, err := oldForm().tasks(dial(t, addr)).GetTask(t.Context(), "x")
	wantCode(t, err, base.ErrorCode_UNAVAILABLE, "broke")
	if n := f.calls.Load(); n != maxLost {
		t.Errorf("asked %d times", n)
	}
}

// A master that loses the lead has calls answered by the next one, where that does no harm.
func TestLeadIsLostUnderACall(t *testing.T) {
	lost := fmt.Errorf("%w: %w", engine.ErrStopping, store.ErrFenced)
	next, at := start(t, Limits{})
	next.leads(map[string]method{
		"getTask": onGetTask(func(_ context.Context, name string) (*master.TaskInfo, error) {
			return &master.TaskInfo{TaskName: name}, nil
		}),
		"resume":           onResume(func(context.Context) error { return nil }),
		"postDataPrepared": posted(nil),
	})
	for _, relayed := range []bool{false, true} {
		t.Run(fmt.Sprintf("relayed=%v", relayed), func(t *testing.T) {
			srv, addr := start(t, Limits{})
			was := srv
			if relayed {
				var through string
				was, through = start(t, Limits{})
				srv.Follow(through)
			}
			follow := func() {
				was.Nobody()
				srv.Follow(at)
			}
			was.leads(map[string]method{
				"getTask":          onGetTask(func(context.Context, string) (*master.TaskInfo, error) { follow(); return nil, lost }),
				"resume":           onResume(func(context.Context) error { follow(); return lost }),
				"retryTask":        onRetryTask(func(context.Context) error { return lost }),
				"postDataPrepared": posted(func() error { follow(); return lost }),
			})
			c := oldForm().tasks(dial(t, addr))
			_, err := c.RetryTask(t.Context(), "x", nil, "")
			wantCode(t, err, base.ErrorCode_UNAVAILABLE, engine.ErrStopping.Error())
			if got, err := c.GetTask(t.Context(), "x"); err != nil || got.TaskName != "x" {
				t.Errorf("a read: %v, %v", got, err)
			}
		})
	}
	t.Run("others", func(t *testing.T) {
		for range 2 {
			srv, addr := start(t, Limits{})
			lose := func() error { srv.Follow(at); return lost }
			srv.leads(map[string]method{"resume": onResume(func(context.Context) error { return lose() }), "postDataPrepared": posted(lose)})
			p := oldForm().client(dial(t, addr))
			if err := oldForm().tasks(dial(t, addr)).Resume(t.Context(), "s", ""); err != nil {
				t.Errorf("a change: %v", err)
			}
			stage := master.NewSchedulerServiceClient(thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, "SchedulerService")))
			if got, err := stage.PostDataPrepared(t.Context(), "s"); err != nil || got.ResultCode != base.ResultCode_SUCCESS {
				t.Errorf("an old report: %v, %v", got, err)
			}
		}
	})
}

func posted(f func() error) method {
	return on(func(context.Context, *master.SchedulerServicePostDataPreparedArgs) (thrift.TStruct, error) {
		answer := &base.ServiceBaseResult_{ResultCode: base.ResultCode_SUCCESS}
		var err error
		if f != nil {
			if err = f(); err != nil {
				answer.ResultCode = base.ResultCode_EXCEPTION
			}
		}
		return &master.SchedulerServicePostDataPreparedResult{Success: answer}, declared(err)
	})
}
