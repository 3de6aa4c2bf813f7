package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

// empty answers two calls with the same thing always; the others are not there.
type empty struct {
	thriftmaster.TaskService
	thriftmaster.SchedulerService
	task *thriftmaster.TaskInfo
}

// GetTask is the one call, PostStageStarted the other.
func (e *empty) GetTask(context.Context, string) (*thriftmaster.TaskInfo, error) { return e.task, nil }

func (*empty) PostStageStarted(context.Context, string, map[string]string) (*base.ServiceBaseResult_, error) {
	return &base.ServiceBaseResult_{ResultCode: base.ResultCode_SUCCESS}, nil
}

// serve runs Thrift's own server with the empty handlers until stop.
func (e *empty) serve() (address string, stop func() error, err error) {
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err == nil {
		err = socket.Listen()
	}
	if err != nil {
		return "", nil, err
	}
	p := thrift.NewTMultiplexedProcessor()
	p.RegisterProcessor("TaskService", thriftmaster.NewTaskServiceProcessor(e))
	p.RegisterProcessor("SchedulerService", thriftmaster.NewSchedulerServiceProcessor(e))
	srv := thrift.NewTSimpleServer4(p, socket, thrift.NewTBufferedTransportFactory(4096), thrift.NewTBinaryProtocolFactoryConf(nil))
	done := make(chan error, 1)
	go func() { done <- srv.AcceptLoop() }()
	return socket.Addr().String(), func() error {
		return errors.Join(srv.Stop(), <-done)
	}, nil
}

// clients is how many connections call at the same time.
const clients = 64

// caller is one client with a connection of its own.
type caller struct {
	net.Conn
	tasks  *thriftmaster.TaskServiceClient
	stages *thriftmaster.SchedulerServiceClient
}

func connect(ctx context.Context, address string) (caller, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return caller{}, err
	}
	conf := &thrift.TConfiguration{}
	p := thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(nc, conf), 4096), conf)
	client := func(service string) thrift.TClient {
		return thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, service))
	}
	return caller{nc, thriftmaster.NewTaskServiceClient(client("TaskService")), thriftmaster.NewSchedulerServiceClient(client("SchedulerService"))}, nil
}

// load makes n calls from all clients together.
func (b *bench) load(address string, n int, call func(context.Context, caller) error) (time.Duration, error) {
	var callers []caller
	defer func() {
		for _, c := range callers {
			_ = c.Close()
		}
	}()
	for range clients {
		c, err := connect(b.ctx, address)
		if err != nil {
			return 0, err
		}
		callers = append(callers, c)
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for _, c := range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := call(b.ctx, c); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return took, nil
}

// thriftCalls measures calls of a whole master beside a Thrift server that does nothing.
func thriftCalls(b *bench) error {
	return b.withMaster(master.Config{Listen: "127.0.0.1:0"}, func(m *master.Master) error {
		// Its second stage waits for the first, so that a report about it is one that changes nothing.
		a, err := m.API().Submit(b.ctx, engine.Submission{YAML: []byte(clicPlan(2, 1)), Suspended: true})
		if err != nil {
			return err
		}
		page, err := m.API().Stages(b.ctx, engine.StageQuery{Task: a.Task})
		if err != nil {
			return err
		}
		waiting := page.Stages[len(page.Stages)-1].ID
		c, err := connect(b.ctx, m.Addr().String())
		if err != nil {
			return err
		}
		info, err := c.tasks.GetTask(b.ctx, a.Task)
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
		bare, stop, err := (&empty{task: info}).serve()
		if err != nil {
			return err
		}
		err = b.beside(m.Addr().String(), bare, a.Task, waiting)
		if stopped := stop(); err == nil {
			err = stopped
		}
		return err
	})
}

// beside measures both servers in turn.
func (b *bench) beside(ours, bare, task, stage string) error {
	n := b.pick(30_000, 3_000)
	for _, x := range []struct {
		name, what string
		call       func(context.Context, caller) error
	}{
		{"getTask", "reads a task of 2 stages", func(ctx context.Context, c caller) error {
			_, err := c.tasks.GetTask(ctx, task)
			return err
		}},
		{"postStageStarted", "a report that changes nothing", func(ctx context.Context, c caller) error {
			_, err := c.stages.PostStageStarted(ctx, stage, nil)
			return err
		}},
	} {
		var mine, other []time.Duration
		for range b.pick(3, 1) {
			for _, side := range []struct {
				address string
				to      *[]time.Duration
			}{{ours, &mine}, {bare, &other}} {
				took, err := b.load(side.address, n, x.call)
				if err != nil {
					return err
				}
				*side.to = append(*side.to, took)
			}
		}
		what := fmt.Sprintf("%s, %d clients in the same process, plain binary protocol, %d calls", x.what, clients, n)
		b.tell("thrift/"+x.name, rates(n, mine), "calls/s", "", what)
		b.tell("thrift/"+x.name+"-empty", rates(n, other), "calls/s", "", "the same by Thrift's TSimpleServer with an empty handler, in turn")
		b.tell("thrift/"+x.name+"-ratio", rates(n, mine)/rates(n, other), "of empty", "", "of the two above")
	}
	return nil
}
