package rpc

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// blocked is a getPlan that tells when it runs and ends when it is let go or cancelled.
type blocked struct {
	running chan struct{}
	letGo   chan struct{}
	ended   chan error
}

func newBlocked() *blocked {
	return &blocked{make(chan struct{}), make(chan struct{}), make(chan error, 1)}
}

func (b *blocked) method() method {
	return onGetPlan(func(ctx context.Context, name string) (string, error) {
		close(b.running)
		select {
		case <-b.letGo:
		case <-ctx.Done():
		}
		b.ended <- ctx.Err()
		return name, nil
	})
}

// answer is what a call in the background gave.
type answer struct {
	text string
	err  error
}

func background(c *master.TaskServiceClient) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		text, err := c.GetPlan(context.Background(), "x")
		out <- answer{text, err}
	}()
	return out
}

func TestStopDrains(t *testing.T) {
	b := newBlocked()
	srv, addr := serve(t, map[string]method{"getPlan": b.method(), "getTask": echo()}, Limits{})
	idle := dial(t, addr)
	late := dial(t, addr)
	busy := background(oldForm().tasks(dial(t, addr)))
	<-b.running

	stopped := make(chan error, 1)
	go func() { stopped <- srv.Stop(context.Background()) }()
	wantClosed(t, idle)
	wantClosed(t, late)
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("a new client was taken while stopping")
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped under a running call: %v", err)
	default:
	}
	close(b.letGo)
	if a := <-busy; a.err != nil || a.text != "x" {
		t.Errorf("the running call: %+v", a)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := srv.Stop(context.Background()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if err := <-b.ended; err != nil {
		t.Errorf("the call was cancelled: %v", err)
	}
}

func TestStopCutsWhatDoesNotEnd(t *testing.T) {
	b := newBlocked()
	srv, addr := serve(t, map[string]method{"getPlan": b.method()}, Limits{})
	busy := background(oldForm().tasks(dial(t, addr)))
	<-b.running
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	if err := srv.Stop(ctx); err == nil {
		t.Error("Stop hides that it cut a call")
	}
	if a := <-busy; a.err == nil {
		t.Errorf("the call was answered: %+v", a)
	}
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
}

func TestLongPollsEnd(t *testing.T) {
	t.Run("when the server stops", func(t *testing.T) {
		b := newBlocked()
		srv, addr := serve(t, map[string]method{"getPlan": waiting(b.method())}, Limits{})
		busy := background(oldForm().tasks(dial(t, addr)))
		<-b.running
		if err := srv.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if a := <-busy; a.err != nil || a.text != "x" {
			t.Errorf("the poll's answer: %+v", a)
		}
	})
	t.Run("when the client goes away", func(t *testing.T) {
		b := newBlocked()
		_, addr := serve(t, map[string]method{"getPlan": waiting(b.method())}, Limits{})
		nc := dial(t, addr)
		busy := background(oldForm().tasks(nc))
		<-b.running
		nc.Close()
		select {
		case err := <-b.ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the poll goes on without a client")
		}
		<-busy
	})
	t.Run("and the connection goes on", func(t *testing.T) {
		_, addr := serve(t, map[string]method{"getPlan": waiting(echo())}, Limits{})
		for _, f := range forms() {
			c := f.tasks(dial(t, addr))
			for range 20 {
				if got, err := c.GetPlan(context.Background(), "x"); err != nil || got != "x" {
					t.Fatalf("%s: %q, %v", f.name, got, err)
				}
			}
		}
	})
}

// A call that comes while another one waits is answered after it, whole.
func TestCallsBehindALongPoll(t *testing.T) {
	b := newBlocked()
	_, addr := serve(t, map[string]method{"getPlan": waiting(b.method()), "other": echo()}, Limits{})
	nc := dial(t, addr)
	p := oldForm().client(nc)
	args := &master.TaskServiceGetPlanArgs{TaskName: "first"}
	if _, err := nc.Write(message(t, "TaskService:getPlan", 1, args)); err != nil {
		t.Fatal(err)
	}
	<-b.running
	args.TaskName = "second"
	if _, err := nc.Write(message(t, "TaskService:other", 1, args)); err != nil {
		t.Fatal(err)
	}
	close(b.letGo)
	for _, want := range []string{"first", "second"} {
		if _, _, _, err := p.ReadMessageBegin(context.Background()); err != nil {
			t.Fatal(err)
		}
		var result master.TaskServiceGetPlanResult
		if err := result.Read(context.Background(), p); err != nil || result.GetSuccess() != want {
			t.Fatalf("answer %q, %v, want %q", result.GetSuccess(), err, want)
		}
	}
}
