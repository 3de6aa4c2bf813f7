package master_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// empty answers two calls with the same thing always; the others are not there.
type empty struct {
	thriftmaster.TaskService
	thriftmaster.SchedulerService
	task *thriftmaster.TaskInfo
}

func (e *empty) GetTask(context.Context, string) (*thriftmaster.TaskInfo, error) { return e.task, nil }

func (*empty) PostStageStarted(context.Context, string, map[string]string) (*base.ServiceBaseResult_, error) {
	return &base.ServiceBaseResult_{ResultCode: base.ResultCode_SUCCESS}, nil
}

// serveEmpty is Thrift's own server with the generated processors, as it comes.
func serveEmpty(b *testing.B, h *empty) string {
	b.Helper()
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		b.Fatal(err)
	}
	p := thrift.NewTMultiplexedProcessor()
	p.RegisterProcessor("TaskService", thriftmaster.NewTaskServiceProcessor(h))
	p.RegisterProcessor("SchedulerService", thriftmaster.NewSchedulerServiceProcessor(h))
	srv := thrift.NewTSimpleServer4(p, socket, thrift.NewTBufferedTransportFactory(4096), thrift.NewTBinaryProtocolFactoryConf(nil))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.AcceptLoop()
	}()
	b.Cleanup(func() {
		_ = srv.Stop()
		<-done
	})
	return socket.Addr().String()
}

// clients are connections that call at the same time.
const clients = 64

// measure makes n calls from all clients together and gives the calls per second.
func measure(b *testing.B, addr string, n int, call func(ctx context.Context, t *thriftmaster.TaskServiceClient, s *thriftmaster.SchedulerServiceClient) error) float64 {
	b.Helper()
	conf := &thrift.TConfiguration{}
	type pair struct {
		nc net.Conn
		t  *thriftmaster.TaskServiceClient
		s  *thriftmaster.SchedulerServiceClient
	}
	pairs := make([]pair, clients)
	defer func() {
		for _, p := range pairs {
			if p.nc != nil {
				p.nc.Close()
			}
		}
	}()
	for i := range pairs {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		p := thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(nc, conf), 4096), conf)
		client := func(service string) thrift.TClient {
			return thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, service))
		}
		pairs[i] = pair{nc, thriftmaster.NewTaskServiceClient(client("TaskService")), thriftmaster.NewSchedulerServiceClient(client("SchedulerService"))}
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begun := time.Now()
	for _, p := range pairs {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := call(context.Background(), p.t, p.s); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return float64(n) / took.Seconds()
}

// BenchmarkThriftCalls measures calls of 64 clients of a whole master, beside Thrift's own server with handlers that do
// nothing, in the same run. getTask reads a task that runs, and its answer is large; postStageStarted is a late callback.
func BenchmarkThriftCalls(b *testing.B) {
	cfg := config(b, b.TempDir())
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r := run(b, cfg)
	t, _ := r.connect(b)
	gate := filepath.Join(b.TempDir(), "gate")
	a, err := t.Submit(context.Background(), &thriftmaster.Submission{Plan: gated, Parameters: map[string]string{"gate": gate}})
	if err != nil {
		b.Fatal(err)
	}
	stages, err := t.ListStages(context.Background(), &thriftmaster.StageQuery{TaskName: a.TaskName})
	if err != nil {
		b.Fatal(err)
	}
	// The last stage waits, so the call changes nothing.
	waiting := stages.Stages[len(stages.Stages)-1].StageId
	info, err := t.GetTask(context.Background(), a.TaskName)
	if err != nil {
		b.Fatal(err)
	}
	bare := serveEmpty(b, &empty{task: info})
	for _, bm := range []struct {
		name string
		call func(ctx context.Context, t *thriftmaster.TaskServiceClient, s *thriftmaster.SchedulerServiceClient) error
	}{
		{"getTask", func(ctx context.Context, t *thriftmaster.TaskServiceClient, _ *thriftmaster.SchedulerServiceClient) error {
			_, err := t.GetTask(ctx, a.TaskName)
			return err
		}},
		{"postStageStarted", func(ctx context.Context, _ *thriftmaster.TaskServiceClient, s *thriftmaster.SchedulerServiceClient) error {
			_, err := s.PostStageStarted(ctx, waiting, nil)
			return err
		}},
	} {
		b.Run(fmt.Sprintf("%s/clients=%d", bm.name, clients), func(b *testing.B) {
			other := measure(b, bare, b.N, bm.call)
			b.ResetTimer()
			ours := measure(b, r.Addr().String(), b.N, bm.call)
			b.StopTimer()
			b.ReportMetric(ours, "calls/s")
			b.ReportMetric(other, "empty-calls/s")
			b.ReportMetric(ours/other, "ratio")
		})
	}
	if err := t.CancelTask(context.Background(), a.TaskName, "measured", false, ""); err != nil {
		b.Fatal(err)
	}
	untilDone(b, r, a.TaskName)
}

// untilDone waits for the end of a task.
func untilDone(b *testing.B, r *running, task string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var cursor uint64
	for ctx.Err() == nil {
		page, err := r.API().Watch(ctx, task, cursor, 0)
		if err != nil {
			b.Fatal(err)
		}
		if page.Done {
			return
		}
		cursor = page.Cursor
	}
	b.Fatal("the task does not end")
}
