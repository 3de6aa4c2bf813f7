package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// slowly is a connection that sends every byte on its own, as Python's unbuffered sockets nearly do.
type slowly struct{ net.Conn }

func (s slowly) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestEveryWireForm(t *testing.T) {
	_, addr := serve(t, map[string]method{
		"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
			if name == "bad" {
				return "", thrift.NewTApplicationException(thrift.MISSING_RESULT, "no such thing")
			}
			return name, nil
		}),
	}, Limits{})
	for _, f := range forms() {
		for _, tiny := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tiny=%v", f.name, tiny), func(t *testing.T) {
				t.Parallel()
				nc := dial(t, addr)
				if tiny {
					nc = slowly{nc}
				}
				c := f.tasks(nc)
				ctx := context.Background()
				for _, name := range []string{"a", strings.Repeat("long", 1000), ""} {
					got, err := c.GetPlan(ctx, name)
					if err != nil || got != name {
						t.Fatalf("getPlan(%.10q) = %.10q, %v", name, got, err)
					}
				}
				_, err := c.GetPlan(ctx, "bad")
				wantApplication(t, err, thrift.MISSING_RESULT, "no such thing")
				_, err = c.GetTask(ctx, "x")
				wantApplication(t, err, thrift.UNKNOWN_METHOD, "TaskService:getTask")
				if got, err := c.GetPlan(ctx, "again"); err != nil || got != "again" {
					t.Fatalf("after errors: %q, %v", got, err)
				}
			})
		}
	}
}

func wantApplication(t *testing.T, err error, kind int32, text string) {
	t.Helper()
	var tae thrift.TApplicationException
	if !errors.As(err, &tae) || tae.TypeId() != kind || !strings.Contains(tae.Error(), text) {
		t.Fatalf("got %v (%T), want a TApplicationException of type %d with %q", err, err, kind, text)
	}
}

func TestBareMethodNames(t *testing.T) {
	_, addr := serveServices(t, map[string]map[string]method{
		"TaskService":  {"getPlan": echo(), "both": echo()},
		"OtherService": {"both": echo()},
	}, Limits{})
	call := func(name string) (string, error) {
		p := oldForm().client(dial(t, addr))
		c := thrift.NewTStandardClient(p, p)
		var result master.TaskServiceGetPlanResult
		_, err := c.Call(context.Background(), name, &master.TaskServiceGetPlanArgs{TaskName: "x"}, &result)
		return result.GetSuccess(), err
	}
	if got, err := call("getPlan"); err != nil || got != "x" {
		t.Fatalf("getPlan without its service: %q, %v", got, err)
	}
	_, err := call("both")
	wantApplication(t, err, thrift.UNKNOWN_METHOD, "both")
	for _, name := range []string{"NoService:getPlan", ":", "", "TaskService:", strings.Repeat("x", 1000)} {
		_, err := call(name)
		var tae thrift.TApplicationException
		if !errors.As(err, &tae) {
			t.Fatalf("call of %.20q: %v", name, err)
		}
	}
}

func TestPanicEndsNothing(t *testing.T) {
	srv, addr := serve(t, map[string]method{
		"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
			if name == "boom" {
				panic("secret of the house")
			}
			return name, nil
		}),
	}, Limits{})
	c := oldForm().tasks(dial(t, addr))
	_, err := c.GetPlan(context.Background(), "boom")
	wantApplication(t, err, thrift.INTERNAL_ERROR, "internal error in getPlan")
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("the client learns too much: %v", err)
	}
	if got, err := c.GetPlan(context.Background(), "x"); err != nil || got != "x" {
		t.Fatalf("on the same connection afterwards: %q, %v", got, err)
	}
	if n := srv.Stats().Panics; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

func TestGarbageClosesItsConnectionOnly(t *testing.T) {
	_, addr := serve(t, map[string]method{"getPlan": echo()}, Limits{Receive: 200 * time.Millisecond})
	good := oldForm().tasks(dial(t, addr))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		nc := dial(t, addr)
		b := make([]byte, 1+r.IntN(300))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		if i%3 == 0 {
			copy(b, []byte{0x80, 0x01, 0x00, 0x01})
		}
		if _, err := nc.Write(b); err == nil {
			_, _ = io.ReadAll(nc)
		}
		if got, err := good.GetPlan(context.Background(), "x"); err != nil || got != "x" {
			t.Fatalf("another client after garbage: %q, %v", got, err)
		}
	}
	nc := dial(t, addr)
	if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, nc)
}

// message is a call as bytes, in the old clients' form.
func message(tb testing.TB, name string, kind thrift.TMessageType, args thrift.TStruct) []byte {
	tb.Helper()
	buf := thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, conf)
	if err := write(context.Background(), p, name, kind, 7, args); err != nil {
		tb.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

func TestClientsThatDoNotGoOn(t *testing.T) {
	_, addr := serve(t, map[string]method{"getPlan": echo()}, Limits{
		Receive: 50 * time.Millisecond, Idle: 50 * time.Millisecond,
	})
	whole := message(t, "TaskService:getPlan", thrift.CALL, &master.TaskServiceGetPlanArgs{TaskName: "x"})
	for _, n := range []int{0, 1, 4, len(whole) / 2, len(whole) - 1} {
		nc := dial(t, addr)
		if _, err := nc.Write(whole[:n]); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, nc)
	}
}

func TestMoreConnectionsThanAllowed(t *testing.T) {
	srv, addr := serve(t, map[string]method{"getPlan": echo()}, Limits{Connections: 2})
	var kept []*master.TaskServiceClient
	for range 2 {
		c := oldForm().tasks(dial(t, addr))
		if _, err := c.GetPlan(context.Background(), "x"); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	wantClosed(t, dial(t, addr))
	for _, c := range kept {
		if _, err := c.GetPlan(context.Background(), "x"); err != nil {
			t.Errorf("a client that was there before: %v", err)
		}
	}
	if s := srv.Stats(); s.Refused != 1 || s.Connections != 2 || s.Accepted != 2 {
		t.Errorf("stats: %+v", s)
	}
}

func TestCallsThatTakeTooLong(t *testing.T) {
	_, addr := serve(t, map[string]method{
		"getPlan": onGetPlan(func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}),
	}, Limits{Handle: 20 * time.Millisecond})
	_, err := oldForm().tasks(dial(t, addr)).GetPlan(context.Background(), "x")
	wantApplication(t, err, thrift.INTERNAL_ERROR, "deadline")
}

func TestSizes(t *testing.T) {
	_, addr := serve(t, map[string]method{
		"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
			if name == "huge" {
				return strings.Repeat("x", 100_000), nil
			}
			return fmt.Sprint(len(name)), nil
		}),
	}, Limits{MessageBytes: 64 << 10, HeavyBytes: 16 << 10, HeavyCalls: 1})
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			c := f.tasks(dial(t, addr))
			if got, err := c.GetPlan(context.Background(), strings.Repeat("x", 60_000)); err != nil || got != "60000" {
				t.Fatalf("a call that just fits: %q, %v", got, err)
			}
			_, err := c.GetPlan(context.Background(), "huge")
			if strings.Contains(f.name, "framed") || f.name == "header-binary" || f.name == "header-compact" {
				wantApplication(t, err, thrift.INTERNAL_ERROR, "larger than 65536 bytes")
			} else if err != nil {
				t.Fatalf("without a frame the answer needs no bound: %v", err)
			}
			_, err = c.GetPlan(context.Background(), strings.Repeat("x", 10_000_000))
			if f.name == "binary" || f.name == "compact" {
				wantApplication(t, err, thrift.PROTOCOL_ERROR, "larger than this master takes (65536 bytes")
			} else if err == nil {
				t.Fatal("a call that is too large was answered")
			}
			if got, err := f.tasks(dial(t, addr)).GetPlan(context.Background(), "x"); err != nil || got != "1" {
				t.Fatalf("afterwards: %q, %v", got, err)
			}
		})
	}
}

func TestHeavyCallsTakeTurns(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	_, addr := serve(t, map[string]method{
		"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				now--
			}()
			return fmt.Sprint(len(name)), nil
		}),
	}, Limits{HeavyBytes: 1000, HeavyCalls: 2})
	var wg sync.WaitGroup
	for range 16 {
		c := oldForm().tasks(dial(t, addr))
		wg.Go(func() {
			for range 5 {
				if got, err := c.GetPlan(context.Background(), strings.Repeat("x", 50_000)); err != nil || got != "50000" {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	if most > 2 {
		t.Errorf("%d heavy calls at once", most)
	}
}

func TestOnewayIsNotAnswered(t *testing.T) {
	ran := make(chan string, 1)
	_, addr := serve(t, map[string]method{
		"getPlan": onGetPlan(func(_ context.Context, name string) (string, error) {
			if name != "last" {
				ran <- name
			}
			return name, nil
		}),
	}, Limits{})
	nc := dial(t, addr)
	if _, err := nc.Write(message(t, "TaskService:getPlan", thrift.ONEWAY, &master.TaskServiceGetPlanArgs{TaskName: "x"})); err != nil {
		t.Fatal(err)
	}
	if got := <-ran; got != "x" {
		t.Errorf("ran with %q", got)
	}
	// The next answer on the connection is that of the next call.
	if got, err := oldForm().tasks(nc).GetPlan(context.Background(), "last"); err != nil || got != "last" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOtherMessagesAreRefused(t *testing.T) {
	_, addr := serve(t, map[string]method{"getPlan": echo()}, Limits{})
	for _, kind := range []thrift.TMessageType{thrift.REPLY, thrift.EXCEPTION, 17} {
		nc := dial(t, addr)
		if _, err := nc.Write(message(t, "TaskService:getPlan", kind, &master.TaskServiceGetPlanArgs{})); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(nc)
		if !bytes.Contains(b, []byte("is not a call")) {
			t.Errorf("message type %d: %q", kind, b)
		}
	}
}

func TestBadArguments(t *testing.T) {
	_, addr := serve(t, map[string]method{"getPlan": echo()}, Limits{Elements: 10})
	// A field of an unknown id that says it is a map of two thousand million entries.
	head := message(t, "TaskService:getPlan", thrift.CALL, &master.TaskServiceGetPlanArgs{})
	head = head[:len(head)-1-len("\x0b\x00\x01\x00\x00\x00\x00")]
	bad := append(bytes.Clone(head), 0x0d, 0x00, 0x63, 0x0b, 0x0b, 0x7f, 0xff, 0xff, 0xff)
	nc := dial(t, addr)
	if _, err := nc.Write(bad); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(nc)
	if !bytes.Contains(b, []byte("exceeds the limit")) && !bytes.Contains(b, []byte("size exceeded")) {
		t.Errorf("answer: %q", b)
	}
	// Nesting without end.
	deep := append(bytes.Clone(head), bytes.Repeat([]byte{0x0c, 0x00, 0x63}, 100_000)...)
	nc = dial(t, addr)
	_, _ = nc.Write(deep)
	b, _ = io.ReadAll(nc)
	if len(b) > 0 && !bytes.Contains(b, []byte("epth")) {
		t.Errorf("answer: %q", b)
	}
}
