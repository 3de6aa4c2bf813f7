package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// deaf is an engine that refuses everything: the fuzzer is about what comes before it, and about the answers.
type deaf struct{ engine.API }

func (deaf) Submit(context.Context, engine.Submission) (*engine.Submitted, error) {
	return nil, store.ErrUnavailable
}

func (deaf) Task(context.Context, string) (*engine.TaskView, error) { return nil, store.ErrUnavailable }

func (deaf) Report(context.Context, engine.StageReport) (bool, bool, error) {
	return false, false, store.ErrUnavailable
}
func (deaf) Info(context.Context) engine.Info { return engine.Info{} }

// FuzzServer sends any bytes to a server, and to another one that relays to it. It must survive them (calls that reach the parts of the engine that are not there
// are panics in handlers, which are contained as well), and answer the next client.
func FuzzServer(f *testing.F) {
	s := NewService(Config{Engine: deaf{}})
	srv, addr := serveServices(f, map[string]map[string]method{
		"TaskService": s.taskMethods(), "SchedulerService": s.schedulerMethods(),
	}, Limits{Receive: 2 * time.Second, MessageBytes: 1 << 20, Elements: 1000})
	relay, through := start(f, Limits{Receive: 2 * time.Second, MessageBytes: 1 << 20, Elements: 1000, Leaderless: time.Second})
	relay.Follow(addr)
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := srv.decodingPanics.Load() + relay.decodingPanics.Load()
		for _, to := range []string{addr, through} {
			nc := dial(t, to)
			// The server may close before it has taken all.
			_, _ = nc.Write(b)
			if tcp, ok := nc.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, nc)
			nc.Close()
		}
		if n := srv.decodingPanics.Load() + relay.decodingPanics.Load(); n != before {
			t.Errorf("decoding panicked")
		}
		_, err := oldForm().tasks(dial(t, through)).GetTask(context.Background(), "x")
		var e *base.ClicError
		if !errors.As(err, &e) || e.Code != base.ErrorCode_UNAVAILABLE {
			t.Errorf("a good call afterwards: %v", err)
		}
	})
}

// seeds are good calls in every form, whole and broken.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	submission := &master.TaskServiceSubmitArgs{Submission: &master.Submission{
		Plan: "spec: {}", PlanName: "p", Parameters: map[string]string{"a": "b"}, Priority: new(int32(3)), DryRun: new(true),
	}}
	for _, call := range []struct {
		name string
		args thrift.TStruct
	}{
		{"TaskService:submit", submission},
		{"TaskService:getTask", &master.TaskServiceGetTaskArgs{TaskName: "x"}},
		{"TaskService:getMasterInfo", &master.TaskServiceGetMasterInfoArgs{}},
		{"TaskService:listTasks", &master.TaskServiceListTasksArgs{Query: &master.TaskQuery{States: []master.TaskState{1, 2}}}},
		{"SchedulerService:postStageStarted", &master.SchedulerServicePostStageStartedArgs{StageId: "s", SubmitMsg: map[string]string{"k": "v"}}},
		{"SchedulerService:reportFailed", &master.SchedulerServiceReportFailedArgs{Attempt: &master.AttemptRef{StageId: "s", Attempt: new(int32(1))}}},
		{"Relayed:10.0.0.1|TaskService:getTask", &master.TaskServiceGetTaskArgs{TaskName: "x"}},
		{"nothing", &master.TaskServiceGetMasterInfoArgs{}},
	} {
		for _, form := range forms() {
			c := &capture{}
			p := form.client(c)
			if err := write(context.Background(), p, call.name, thrift.CALL, 1, call.args); err != nil {
				f.Fatal(err)
			}
			b := c.Bytes()
			all = append(all, b, b[:len(b)/2], bytes.Repeat(b, 3))
		}
	}
	all = append(all,
		nil, []byte("GET / HTTP/1.1\r\n\r\n"), binary.BigEndian.AppendUint32(nil, 1<<31-1),
		[]byte{0, 0, 0, 0, 0, 0, 0, 0}, []byte{0x82, 0x21, 1, 0xff, 0xff, 0xff, 0xff, 0x0f},
		[]byte{0x80, 0x01, 0, 1, 0x7f, 0xff, 0xff, 0xff, 'x'},
	)
	return all
}

// capture is a connection that keeps what is written.
type capture struct{ bytes.Buffer }

func (*capture) Close() error                     { return nil }
func (*capture) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*capture) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*capture) SetDeadline(time.Time) error      { return nil }
func (*capture) SetReadDeadline(time.Time) error  { return nil }
func (*capture) SetWriteDeadline(time.Time) error { return nil }
