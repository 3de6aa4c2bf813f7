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
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/shelltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler lets a test decide what a few calls do.
type handler struct {
	master.TaskService
	getTask func(ctx context.Context, name string) (*master.TaskInfo, error)
	resume  func() error
	submit  func() (*master.SubmitAnswer, error)
	retry   func() (*master.RetryPlan, error)
}

func (h *handler) RetryTask(context.Context, string, []string, string) (*master.RetryPlan, error) {
	return h.retry()
}

func (h *handler) GetTask(ctx context.Context, name string) (*master.TaskInfo, error) {
	return h.getTask(ctx, name)
}
func (h *handler) Resume(context.Context, string, string) error { return h.resume() }
func (h *handler) Submit(context.Context, *master.Submission) (*master.SubmitAnswer, error) {
	return h.submit()
}

func connect(t *testing.T, address string, change func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Address: address, Backoff: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	c := client.New(cfg)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAnswers(t *testing.T) {
	h := &handler{getTask: func(_ context.Context, name string) (*master.TaskInfo, error) {
		if name == "missing" {
			return nil, shelltest.NotFound(name)
		}
		return &master.TaskInfo{TaskName: name}, nil
	}}
	s := shelltest.Serve(t, "127.0.0.1:0", h)
	c := connect(t, s.Address(), nil)
	for range 3 {
		got, err := c.GetTask(t.Context(), "a")
		if err != nil || got.TaskName != "a" {
			t.Fatalf("%v, %v", got, err)
		}
		if _, err = c.GetTask(t.Context(), "missing"); client.Code(err) != base.ErrorCode_NOT_FOUND {
			t.Fatalf("%v", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	s := shelltest.Serve(t, "127.0.0.1:0", &handler{})
	s.Stop()
	c := connect(t, s.Address(), func(c *client.Config) { c.Source = "a test" })
	_, err := c.GetTask(t.Context(), "a")
	u, ok := errors.AsType[*client.UnreachableError](err)
	if !ok || u.Address != s.Address() {
		t.Fatalf("%v", err)
	}
	if want := "no master answers at " + s.Address() + " (address from a test): connection refused"; err.Error() != want {
		t.Errorf("%q, want %q", err.Error(), want)
	}
}

// TestRepeats breaks the connection in the middle of calls.
func TestRepeats(t *testing.T) {
	var calls atomic.Int32
	h := &handler{}
	s := shelltest.Serve(t, "127.0.0.1:0", h)
	first := func() bool {
		if calls.Add(1) == 1 {
			s.Drop()
			return true
		}
		return false
	}
	h.getTask = func(context.Context, string) (*master.TaskInfo, error) { first(); return &master.TaskInfo{}, nil }
	h.submit = func() (*master.SubmitAnswer, error) { first(); return &master.SubmitAnswer{TaskName: "t"}, nil }
	h.resume = func() error { first(); return nil }
	h.retry = func() (*master.RetryPlan, error) { first(); return &master.RetryPlan{}, nil }
	c := connect(t, s.Address(), nil)

	tests := []struct {
		name    string
		call    func() error
		repeats bool
	}{
		{"a read", func() error { _, err := c.GetTask(t.Context(), "a"); return err }, true},
		{"a submission with an id", func() error {
			_, err := c.Submit(t.Context(), &master.Submission{RequestId: new("id")})
			return err
		}, true},
		{"a submission without an id", func() error { _, err := c.Submit(t.Context(), &master.Submission{}); return err }, true},
		{"a harmless change", func() error { return c.Resume(t.Context(), "s", "") }, true},
		{"a change that must not be made twice", func() error { _, err := c.RetryTask(t.Context(), "t", nil, ""); return err }, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			calls.Store(0)
			err := tc.call()
			if tc.repeats {
				if err != nil || calls.Load() != 2 {
					t.Fatalf("%d calls, %v", calls.Load(), err)
				}
				return
			}
			lost, ok := errors.AsType[*client.LostError](err)
			if !ok || !lost.Uncertain || calls.Load() != 1 {
				t.Fatalf("%d calls, %v", calls.Load(), err)
			}
		})
	}
}

// TestRestartedMaster uses a connection that was kept after the master went away and came back.
func TestRestartedMaster(t *testing.T) {
	h := &handler{
		getTask: func(context.Context, string) (*master.TaskInfo, error) { return &master.TaskInfo{}, nil },
		resume:  func() error { return nil },
	}
	s := shelltest.Serve(t, "127.0.0.1:0", h)
	c := connect(t, s.Address(), nil)
	for range 2 {
		if _, err := c.GetTask(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		s = shelltest.Serve(t, s.Address(), h)
		if err := c.Resume(t.Context(), "s", ""); err != nil {
			t.Fatalf("a change after a restart: %v", err)
		}
	}
}

func TestCancelAndTimeout(t *testing.T) {
	entered, over := make(chan struct{}, 1), make(chan struct{})
	h := &handler{getTask: func(context.Context, string) (*master.TaskInfo, error) {
		entered <- struct{}{}
		<-over
		return &master.TaskInfo{}, nil
	}}
	s := shelltest.Serve(t, "127.0.0.1:0", h)
	t.Cleanup(func() { close(over) }) // before the server stops

	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	if _, err := connect(t, s.Address(), nil).GetTask(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	hasty := connect(t, s.Address(), func(c *client.Config) { c.CallTimeout = 20 * time.Millisecond })
	_, err := hasty.GetTask(t.Context(), "a")
	if _, ok := errors.AsType[*client.TimeoutError](err); !ok {
		t.Errorf("time-out: %v", err)
	}
	<-entered
}

func TestTooLarge(t *testing.T) {
	h := &handler{getTask: func(context.Context, string) (*master.TaskInfo, error) {
		return &master.TaskInfo{Message: strings.Repeat("x", 1000), Labels: map[string]string{"a": strings.Repeat("y", 1000)}}, nil
	}}
	s := shelltest.Serve(t, "127.0.0.1:0", h)
	c := connect(t, s.Address(), func(c *client.Config) { c.MaxMessage = 1500 })
	if _, err := c.GetTask(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "larger than 1500 bytes") {
		t.Fatalf("%v", err)
	}
}

func TestUnknownMethod(t *testing.T) {
	// A master that is older than this shell: a service without the method.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		tr := thrift.NewStreamTransport(conn, conn)
		proto := thrift.NewTBinaryProtocolConf(tr, nil)
		name, _, seq, err := proto.ReadMessageBegin(context.Background())
		if err != nil {
			return
		}
		_ = proto.Skip(context.Background(), thrift.STRUCT)
		_ = proto.WriteMessageBegin(context.Background(), strings.TrimPrefix(name, "TaskService:"), thrift.EXCEPTION, seq)
		_ = thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "Unknown function explain").Write(context.Background(), proto)
		_ = proto.WriteMessageEnd(context.Background())
		_ = proto.Flush(context.Background())
	}()
	c := connect(t, l.Addr().String(), nil)
	_, err = c.Explain(t.Context(), "s")
	if app, ok := errors.AsType[thrift.TApplicationException](err); !ok || app.TypeId() != thrift.UNKNOWN_METHOD {
		t.Errorf("%v", err)
	}
	_ = c.Close()
	_ = l.Close()
	<-done
}
