package stage_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// scheduler is a master's SchedulerService whose answers the test decides: what a real one does not do at will. It embeds the
// interface for the calls of old programs, which the helper does not make.
type scheduler struct {
	master.SchedulerService
	t        *testing.T
	listener net.Listener
	group    sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every call
	calls   []string
	outputs *master.StageOutputs
	// answer decides what is said to the n-th call (from 1) of a kind; nil accepts.
	answer func(call string, n int) (*master.ReportAnswer, error)
	conns  map[net.Conn]bool
}

// serve starts a scheduler; address is where, "" anywhere.
func serve(t *testing.T, address string, answer func(string, int) (*master.ReportAnswer, error)) *scheduler {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &scheduler{t: t, listener: l, changed: make(chan struct{}), answer: answer, conns: map[net.Conn]bool{}}
	p := thrift.NewTMultiplexedProcessor()
	p.RegisterProcessor("SchedulerService", master.NewSchedulerServiceProcessor(s))
	s.group.Go(func() { s.accept(p) })
	t.Cleanup(s.stop)
	return s
}

func (s *scheduler) address() string { return s.listener.Addr().String() }

func (s *scheduler) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.group.Wait()
}

func (s *scheduler) accept(p thrift.TProcessor) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.group.Go(func() {
			defer func() {
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			transport := thrift.NewStreamTransport(c, c)
			protocol := thrift.NewTBinaryProtocolConf(transport, nil)
			for {
				if ok, _ := p.Process(context.Background(), protocol, protocol); !ok {
					return
				}
			}
		})
	}
}

// note keeps a call and gives its answer.
func (s *scheduler) note(a *master.AttemptRef, call, more string) (*master.ReportAnswer, error) {
	s.mu.Lock()
	n := 1
	for _, c := range s.calls {
		if kind, _, _ := strings.Cut(c, " "); kind == call {
			n++
		}
	}
	s.calls = append(s.calls, strings.TrimSpace(fmt.Sprintf("%s %s/%d/%s %s", call, a.StageId, a.GetAttempt(), a.GetToken(), more)))
	close(s.changed)
	s.changed = make(chan struct{})
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		if v, err := answer(call, n); v != nil || err != nil {
			return v, err
		}
	}
	return &master.ReportAnswer{Accepted: true}, nil
}

// await waits until a call of a kind was made so many times.
func (s *scheduler) await(call string, times int) {
	s.t.Helper()
	late := time.After(patience)
	for {
		s.mu.Lock()
		n, changed := 0, s.changed
		for _, c := range s.calls {
			if kind, _, _ := strings.Cut(c, " "); kind == call {
				n++
			}
		}
		calls := slices.Clone(s.calls)
		s.mu.Unlock()
		if n >= times {
			return
		}
		select {
		case <-changed:
		case <-late:
			s.t.Fatalf("no %d calls of %s, but %q", times, call, calls)
		}
	}
}

// made are the calls so far, without heartbeats.
func (s *scheduler) made() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c string) bool { return strings.HasPrefix(c, "heartbeat") })
}

func (s *scheduler) ReportStarted(_ context.Context, a *master.AttemptRef, _ map[string]string) (*master.ReportAnswer, error) {
	return s.note(a, "started", "")
}

func (s *scheduler) ReportPrepared(_ context.Context, a *master.AttemptRef) (*master.ReportAnswer, error) {
	return s.note(a, "prepared", "")
}

func (s *scheduler) ReportCompleted(_ context.Context, a *master.AttemptRef, o *master.StageOutputs) (*master.ReportAnswer, error) {
	s.mu.Lock()
	s.outputs = o
	s.mu.Unlock()
	return s.note(a, "completed", "")
}

func (s *scheduler) ReportFailed(_ context.Context, a *master.AttemptRef, reason string, code int32) (*master.ReportAnswer, error) {
	return s.note(a, "failed", fmt.Sprintf("%d %s", code, reason))
}

func (s *scheduler) Heartbeat(_ context.Context, a *master.AttemptRef) (*master.ReportAnswer, error) {
	return s.note(a, "heartbeat", "")
}

func (s *scheduler) ReportProgress(_ context.Context, a *master.AttemptRef, done, total int64, message string) (*master.ReportAnswer, error) {
	return s.note(a, "progress", fmt.Sprintf("%d/%d %s", done, total, message))
}

// stageOf makes the box a stage of the master at an address.
func (b *box) stageOf(address string) {
	b.env = append(b.env,
		executors.EnvMaster+"="+address, executors.EnvStage+"=s-1", executors.EnvAttempt+"=2", executors.EnvToken+"=secret")
}

// The errors of a master.
func unavailable() error {
	return &base.ClicError{Code: base.ErrorCode_UNAVAILABLE, Message: "no master leads", RetryAfterMillis: new(int64(1))}
}

func denied() error {
	return &base.ClicError{Code: base.ErrorCode_DENIED, Message: "the token is not that of the attempt"}
}

// freePort is an address at which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// remove takes the termination log away, which then cannot be written.
func (b *box) removeLog() {
	b.Helper()
	if err := os.Remove(b.log); err != nil {
		b.Fatal(err)
	}
}
