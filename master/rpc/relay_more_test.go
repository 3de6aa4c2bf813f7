package rpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// poll is a watch that ends when it is told to.
func poll(running chan<- struct{}, ended chan<- error) method {
	return on(func(ctx context.Context, _ *master.TaskServiceWatchArgs) (thrift.TStruct, error) {
		running <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return &master.TaskServiceWatchResult{Success: &master.EventPage{Events: []*master.Event{}, Cursor: 7}}, nil
	})
}

func TestRelayedLongPolls(t *testing.T) {
	leader, at := start(t, Limits{})
	running, ended := make(chan struct{}, 1), make(chan error, 1)
	leader.leads(map[string]method{"watch": poll(running, ended)})
	watch := func(nc net.Conn) <-chan error {
		out := make(chan error, 1)
		go func() {
			page, err := oldForm().tasks(nc).Watch(context.Background(), "x", 0, 0, 60_000)
			if err == nil && page.Cursor != 7 {
				err = errors.New("another page")
			}
			out <- err
		}()
		return out
	}
	t.Run("the client goes away", func(t *testing.T) {
		follower, addr := start(t, Limits{})
		follower.Follow(at)
		nc := dial(t, addr)
		answer := watch(nc)
		<-running
		nc.Close()
		if err := <-ended; !errors.Is(err, errGone) {
			t.Errorf("ended by %v", err)
		}
		if err := <-answer; err == nil {
			t.Error("an answer through a closed connection")
		}
	})
	t.Run("the follower stops", func(t *testing.T) {
		follower, addr := start(t, Limits{})
		follower.Follow(at)
		answer := watch(dial(t, addr))
		<-running
		if err := follower.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("the poll was not answered: %v", err)
		}
		if err := <-ended; !errors.Is(err, errGone) {
			t.Errorf("ended by %v", err)
		}
	})
	t.Run("the leader stops", func(t *testing.T) {
		follower, addr := start(t, Limits{})
		follower.Follow(at)
		answer := watch(dial(t, addr))
		<-running
		if err := leader.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("the poll was not answered: %v", err)
		}
		if err := <-ended; !errors.Is(err, errDraining) {
			t.Errorf("ended by %v", err)
		}
	})
}

func TestStopDrainsRelays(t *testing.T) {
	b := newBlocked()
	leader, at := start(t, Limits{})
	leader.leads(map[string]method{"getPlan": b.method()})
	follower, addr := start(t, Limits{})
	follower.Follow(at)
	call := background(oldForm().tasks(dial(t, addr)))
	<-b.running
	stopped := make(chan error, 1)
	go func() { stopped <- follower.Stop(context.Background()) }()
	<-follower.draining.Done()
	select {
	case err := <-stopped:
		t.Fatalf("stopped under a relayed call: %v", err)
	default:
	}
	close(b.letGo)
	if a := <-call; a.err != nil || a.text != "x" {
		t.Errorf("%+v", a)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A call that waits for a leader does not keep a server from stopping.
func TestStopEndsWaiting(t *testing.T) {
	srv, addr := start(t, Limits{})
	call := background(oldForm().tasks(dial(t, addr)))
	until(t, "the call waits", func() bool { return srv.Stats().Waiting == 1 })
	if err := srv.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if a := <-call; a.err == nil || !strings.Contains(a.err.Error(), "no master leads") {
		t.Errorf("%+v", a)
	}
}

// A leader that was restarted at the same address is asked by a new connection: nobody sees that the kept ones were closed.
func TestKeptConnectionsThatWereClosed(t *testing.T) {
	methods := map[string]method{"getPlan": echo(), "retryTask": onRetryTask(func(context.Context) error { return nil })}
	leader, at := start(t, Limits{})
	leader.leads(methods)
	follower, addr := start(t, Limits{})
	follower.Follow(at)
	c := oldForm().tasks(dial(t, addr))
	for range 3 {
		if got, err := c.GetPlan(t.Context(), "x"); err != nil || got != "x" {
			t.Fatalf("%q, %v", got, err)
		}
		if err := leader.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		leader, _ = start(t, Limits{})
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		leader.leads(methods)
		second := leader
		go second.accept(l)
		t.Cleanup(func() { l.Close() })
		if _, err := c.RetryTask(t.Context(), "x", nil, ""); err != nil {
			t.Fatalf("a change: %v", err)
		}
		l.Close()
	}
	if n := follower.Stats().Repeated; n != 0 {
		t.Errorf("%d calls were repeated", n)
	}
}

func TestRelayedClients(t *testing.T) {
	leader, at := start(t, Limits{})
	leader.leads(map[string]method{"getPlan": onGetPlan(func(ctx context.Context, _ string) (string, error) { return someone(ctx, ""), nil })})
	follower, addr := start(t, Limits{})
	follower.Follow(at)
	if got, err := oldForm().tasks(dial(t, addr)).GetPlan(t.Context(), "x"); err != nil || got != "client at 127.0.0.1" {
		t.Errorf("%q, %v", got, err)
	}
	// What another master says is taken only where it is an address.
	for name, want := range map[string]string{
		"Relayed:10.1.2.3|TaskService:getPlan":                "client at 10.1.2.3",
		"Relayed:fe80::1%eth0|getPlan":                        "client at fe80::1%eth0",
		"Relayed:the king|TaskService:getPlan":                "",
		"Relayed:|getPlan":                                    "",
		"Relayed:getPlan":                                     "",
		"Relayed:" + strings.Repeat("1", 5000) + "|getPlan":   "",
		"Relayed:10.1.2.3|Relayed:10.1.2.4|TaskService:other": "unknown method",
	} {
		p := oldForm().client(dial(t, at))
		if err := write(t.Context(), p, name, thrift.CALL, 1, &master.TaskServiceGetPlanArgs{TaskName: "x"}); err != nil {
			t.Fatal(err)
		}
		_, kind, _, err := p.ReadMessageBegin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if kind == thrift.EXCEPTION {
			e := thrift.NewTApplicationException(0, "")
			if err := e.Read(t.Context(), p); err != nil || !strings.Contains(e.Error(), "unknown method") || want != "unknown method" {
				t.Errorf("%.50s: %v, %v", name, e, err)
			}
			continue
		}
		var got master.TaskServiceGetPlanResult
		if err := got.Read(t.Context(), p); err != nil || got.GetSuccess() != want {
			t.Errorf("%.50s: %q, %v; want %q", name, got.GetSuccess(), err, want)
		}
	}
}

func TestRelayedSizes(t *testing.T) {
	leader, at := start(t, Limits{MessageBytes: 32 << 10})
	leader.leads(map[string]method{"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
		if name == "huge" {
			return strings.Repeat("x", 100_000), nil
		}
		return name, nil
	})})
	follower, addr := start(t, Limits{MessageBytes: 64 << 10, Elements: 10})
	follower.Follow(at)
	for _, f := range forms() {
		if f.name == "header-zlib" {
			continue // it makes small of large
		}
		t.Run(f.name, func(t *testing.T) {
			if got, err := f.tasks(dial(t, addr)).GetPlan(t.Context(), strings.Repeat("x", 30_000)); err != nil || len(got) != 30_000 {
				t.Fatalf("a call that just fits: %d, %v", len(got), err)
			}
			_, err := f.tasks(dial(t, addr)).GetPlan(t.Context(), "huge")
			wantApplication(t, err, thrift.INTERNAL_ERROR, "larger than 32768 bytes")
			// Larger than the leader takes, which then breaks the connection.
			if _, err := f.tasks(dial(t, addr)).GetPlan(t.Context(), strings.Repeat("x", 60_000)); err == nil {
				t.Error("a call that is too large for the leader was answered")
			}
			if _, err := f.tasks(dial(t, addr)).GetPlan(t.Context(), strings.Repeat("x", 10_000_000)); err == nil {
				t.Error("a call that is too large was answered")
			}
			many := &master.TaskQuery{States: make([]master.TaskState, 11)}
			_, err = f.tasks(dial(t, addr)).ListTasks(t.Context(), many)
			wantApplication(t, err, thrift.PROTOCOL_ERROR, "10 elements")
		})
	}
	// Nesting without end.
	head := message(t, "TaskService:getPlan", thrift.CALL, &master.TaskServiceGetPlanArgs{})
	head = head[:len(head)-1-len("\x0b\x00\x01\x00\x00\x00\x00")]
	for _, deep := range []string{"\x0c\x00\x63", "\x0f\x00\x63\x0f\x00\x00\x00\x01\x0f\x00\x00\x00\x01"} {
		nc := dial(t, addr)
		_, _ = nc.Write(append(bytes.Clone(head), strings.Repeat(deep, 4000)...))
		wantApplication(t, firstException(t, nc), thrift.PROTOCOL_ERROR, "")
	}
}

func firstException(t *testing.T, nc net.Conn) error {
	t.Helper()
	p := oldForm().client(nc)
	if _, _, _, err := p.ReadMessageBegin(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := thrift.NewTApplicationException(0, "")
	if err := e.Read(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return e
}

// Saying again who leads does not disturb what is under way; neither does not knowing it for a while.
func TestSameLeaderAgain(t *testing.T) {
	b := newBlocked()
	leader, at := start(t, Limits{})
	leader.leads(map[string]method{"getPlan": b.method()})
	follower, addr := start(t, Limits{})
	follower.Follow(at)
	call := background(oldForm().tasks(dial(t, addr)))
	<-b.running
	for range 3 {
		follower.Follow(at)
		follower.Nobody()
		follower.Nobody()
		follower.Follow(at)
	}
	close(b.letGo)
	if a := <-call; a.err != nil || a.text != "x" {
		t.Errorf("%+v", a)
	}
	if s := follower.Stats(); s.Repeated != 0 || s.Relayed != 1 {
		t.Errorf("%+v", s)
	}
}

// When nobody is known to lead for long, the last leader is asked: it may have lost the store like everybody else.
func TestLastLeader(t *testing.T) {
	leader, at := start(t, Limits{})
	leader.leads(map[string]method{"getPlan": echo(), "retryTask": onRetryTask(func(context.Context) error { t.Error("carried out"); return nil })})
	follower, addr := start(t, Limits{Leaderless: time.Second})
	follower.lastResort = 200 * time.Millisecond
	follower.Follow(at)
	follower.Nobody()
	c := oldForm().tasks(dial(t, addr))
	begun := time.Now()
	if got, err := c.GetPlan(t.Context(), "x"); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if took := time.Since(begun); took < 150*time.Millisecond {
		t.Errorf("asked after %v already", took)
	}
	_, err := c.RetryTask(t.Context(), "x", nil, "")
	wantCode(t, err, base.ErrorCode_UNAVAILABLE, "no master leads at the moment")
	leader.Nobody()
	_, err = c.GetPlan(t.Context(), "x")
	wantCode(t, err, base.ErrorCode_UNAVAILABLE, "no master leads at the moment")
}

// Who answers changes all the time while clients call: every call is answered, by whoever leads.
func TestTurnsUnderLoad(t *testing.T) {
	const servers, clients, calls = 3, 6, 150
	var all []*Server
	var addrs []string
	for range servers {
		srv, addr := start(t, Limits{})
		all, addrs = append(all, srv), append(addrs, addr)
	}
	stop, changed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(changed)
		for n := 0; ; n++ {
			for i, srv := range all {
				switch {
				case i == n%servers:
					srv.leads(map[string]method{"getPlan": echo()})
				case n%4 == 3:
					srv.Nobody()
				default:
					srv.Follow(addrs[n%servers])
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
		}
	}()
	failed := make(chan error, clients)
	for i := range clients {
		nc := dial(t, addrs[i%servers])
		go func() {
			c := forms()[i%len(forms())].tasks(nc)
			for range calls {
				if got, err := c.GetPlan(context.Background(), "x"); err != nil || got != "x" {
					failed <- errors.Join(err, errors.New("answer "+got))
					return
				}
			}
			failed <- nil
		}()
	}
	for range clients {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-changed
}
