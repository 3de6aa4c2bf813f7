package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what must happen soon.
const patience = 20 * time.Second

// form is a way in which clients speak.
type form struct {
	name   string
	client func(nc net.Conn) thrift.TProtocol
}

var conf = &thrift.TConfiguration{MaxMessageSize: 1 << 30, MaxFrameSize: 1 << 30}

// forms are all the ways in which clients of the wild speak.
func forms() []form {
	socket := func(nc net.Conn) thrift.TTransport { return thrift.NewTSocketFromConnConf(nc, conf) }
	framed := func(nc net.Conn) thrift.TTransport { return thrift.NewTFramedTransportConf(socket(nc), conf) }
	header := func(id thrift.THeaderProtocolID, transforms ...thrift.THeaderTransformID) func(net.Conn) thrift.TProtocol {
		return func(nc net.Conn) thrift.TProtocol {
			return thrift.NewTHeaderProtocolConf(socket(nc), &thrift.TConfiguration{
				THeaderProtocolID: &id, THeaderTransforms: transforms, MaxMessageSize: 1 << 30, MaxFrameSize: 1 << 30,
			})
		}
	}
	return []form{
		{"binary", func(nc net.Conn) thrift.TProtocol { return thrift.NewTBinaryProtocolConf(socket(nc), conf) }},
		{"binary-framed", func(nc net.Conn) thrift.TProtocol { return thrift.NewTBinaryProtocolConf(framed(nc), conf) }},
		{"compact", func(nc net.Conn) thrift.TProtocol { return thrift.NewTCompactProtocolConf(socket(nc), conf) }},
		{"compact-framed", func(nc net.Conn) thrift.TProtocol { return thrift.NewTCompactProtocolConf(framed(nc), conf) }},
		{"header-binary", header(thrift.THeaderProtocolBinary)},
		{"header-compact", header(thrift.THeaderProtocolCompact)},
		{"header-zlib", header(thrift.THeaderProtocolBinary, thrift.TransformZlib)},
	}
}

// oldForm is the form of the old clients.
func oldForm() form { return forms()[0] }

// serve starts a server with the given TaskService methods.
func serve(tb testing.TB, methods map[string]method, limits Limits) (*Server, string) {
	tb.Helper()
	return serveServices(tb, map[string]map[string]method{"TaskService": methods}, limits)
}

func serveServices(tb testing.TB, services map[string]map[string]method, limits Limits) (*Server, string) {
	tb.Helper()
	srv, err := NewServer(limits, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	srv.begin(&turn{table: newTable(services)})
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
		// Tests that stop the server by themselves get the same answer again.
		_ = srv.Stop(ctx)
	})
	return srv, l.Addr().String()
}

func dial(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	return nc
}

// tasks is a TaskService client in the form.
func (f form) tasks(nc net.Conn) *master.TaskServiceClient {
	p := f.client(nc)
	m := thrift.NewTMultiplexedProtocol(p, "TaskService")
	return master.NewTaskServiceClient(thrift.NewTStandardClient(p, m))
}

// wantClosed waits until the server has closed the connection, and fails if it says anything.
func wantClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	b, err := io.ReadAll(nc)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Fatalf("the connection is still open")
	}
	if len(b) > 0 {
		t.Fatalf("the server said %q", b)
	}
}

// waiting marks a method as a long poll.
func waiting(m method) method {
	m.waits = true
	return m
}

// echo is a getPlan that gives back the name that it was asked for.
func echo() method {
	return on(func(_ context.Context, a *master.TaskServiceGetPlanArgs) (thrift.TStruct, error) {
		return &master.TaskServiceGetPlanResult{Success: &a.TaskName}, nil
	})
}

// onGetPlan is a getPlan that does f.
func onGetPlan(f func(ctx context.Context, name string) (string, error)) method {
	return on(func(ctx context.Context, a *master.TaskServiceGetPlanArgs) (thrift.TStruct, error) {
		v, err := f(ctx, a.TaskName)
		return &master.TaskServiceGetPlanResult{Success: &v}, err
	})
}
