// Package shelltest is for the tests of the shell's commands: a Thrift server on the loopback interface whose answers the
// test decides, and a factory with streams in memory. It speaks the real wire form through the generated processor; what a
// real master answers is tested with a real master, in the scripts of shell/testdata.
package shelltest

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// Server serves the TaskService of a handler, one call after the other on each connection.
type Server struct {
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// Serve starts a server that the test's end stops. address is where to listen: 127.0.0.1:0 takes any free port.
func Serve(t testing.TB, address string, handler master.TaskService) *Server {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: l, conns: map[net.Conn]bool{}}
	processor := thrift.NewTMultiplexedProcessor()
	processor.RegisterProcessor("TaskService", master.NewTaskServiceProcessor(handler))
	s.group.Go(func() { s.accept(processor) })
	t.Cleanup(s.Stop)
	return s
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Stop ends the server and its connections. Idempotent.
func (s *Server) Stop() {
	_ = s.listener.Close()
	s.Drop()
	s.group.Wait()
}

// Drop breaks all connections, as a master does that is killed.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *Server) accept(p thrift.TProcessor) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.group.Go(func() { s.serve(c, p) })
	}
}

func (s *Server) serve(c net.Conn, p thrift.TProcessor) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		cancel()
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	transport := thrift.NewStreamTransport(c, c)
	protocol := thrift.NewTBinaryProtocolConf(transport, nil)
	for {
		// A declared exception is an error too, and the connection goes on after it.
		if ok, _ := p.Process(ctx, protocol, protocol); !ok {
			return
		}
	}
}

// NotFound is the error of a master that does not know a name.
func NotFound(name string) error {
	return &base.ClicError{Code: base.ErrorCode_NOT_FOUND, Message: "cannot find " + name}
}

// Shell is a factory with streams in memory.
type Shell struct {
	*factory.Factory
	In, Out, Err *bytes.Buffer
	Env          map[string]string
}

// Now is the moment at which the tests' shell lives.
func Now() time.Time { return time.Date(2026, 3, 5, 14, 30, 0, 0, time.UTC) }

// New makes a shell that talks to a handler.
func New(t testing.TB, handler master.TaskService) *Shell {
	t.Helper()
	server := Serve(t, "127.0.0.1:0", handler)
	s := Offline(t)
	s.Env["CLIC_MASTER"] = server.Address()
	return s
}

// Offline makes a shell that knows no master.
func Offline(t testing.TB) *Shell {
	t.Helper()
	io, in, out, errOut := iostreams.Test()
	s := &Shell{In: in, Out: out, Err: errOut, Env: map[string]string{"USER": "ann"}}
	s.Factory = &factory.Factory{
		IO: io, Version: "v1.2.3", Getenv: func(k string) string { return s.Env[k] }, Now: Now,
		SystemConfig: t.TempDir() + "/none",
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Terminal makes the streams pretend to be a terminal of this size, without colours.
func (s *Shell) Terminal(columns, rows int) {
	s.IO.InTerminal, s.IO.OutTerminal, s.IO.ErrTerminal = true, true, true
	s.IO.SetSize(columns, rows)
}
