package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// Server serves Thrift calls on a listener, by a service of its own or by relaying them to the master that leads. Make one with
// NewServer.
type Server struct {
	limits Limits
	conf   *thrift.TConfiguration
	log    *slog.Logger
	heavy  chan struct{}

	// base is the context of all calls; halt ends it. draining ends when a stop begins.
	base     context.Context
	halt     context.CancelFunc
	draining context.Context
	drain    context.CancelFunc

	// turn is who answers; turning is held while it changes. self describes this master while it does not lead.
	turn       atomic.Pointer[turn]
	turning    sync.Mutex
	lastLeader string
	lastResort time.Duration
	links      links
	self       atomic.Pointer[Service]

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
	// serving counts the accept loop and the connections.
	serving sync.WaitGroup

	accepted, refused, calls atomic.Int64
	panics, decodingPanics   atomic.Int64
	complained               atomic.Int64
	relayed, repeated        atomic.Int64
	waiting                  atomic.Int64
}

// Stats are counters since the start, and the clients of this moment.
type Stats struct {
	// Connections are the clients now. Accepted, Refused (over the limit), Calls and Panics count from the start.
	Connections                      int
	Accepted, Refused, Calls, Panics int64
	// Relayed are calls that another master answered, Repeated the tries beyond the first of calls whose leader had gone. Waiting
	// are the calls that wait for a leader now.
	Relayed, Repeated, Waiting int64
}

// NewServer makes a server for which nobody leads yet: see Lead, Follow and Nobody. The limits must be valid; zero fields have
// defaults. log must not be nil.
func NewServer(limits Limits, log *slog.Logger) (*Server, error) {
	limits = limits.WithDefaults()
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	srv := &Server{
		limits: limits,
		conf: &thrift.TConfiguration{
			MaxMessageSize:   int32(limits.MessageBytes),
			MaxFrameSize:     int32(limits.MessageBytes),
			MaxContainerSize: int32(limits.Elements),
		},
		log:        log,
		lastResort: lastResort,
		links:      links{limit: limits.MessageBytes, dial: (&net.Dialer{}).DialContext},
		heavy:      make(chan struct{}, limits.HeavyCalls),
		conns:      make(map[*conn]struct{}),
	}
	srv.base, srv.halt = context.WithCancel(context.Background())
	srv.draining, srv.drain = context.WithCancel(context.Background())
	srv.Nobody()
	return srv, nil
}

// Serve begins to accept clients of l and returns. The server closes l when it stops. Serve may be called once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Err() != nil {
		_ = l.Close()
		return errClosing
	}
	if s.listener != nil {
		return errors.New("server is serving already")
	}
	s.listener = l
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		s.accept(l)
	}()
	return nil
}

// accept takes clients until the listener is closed.
func (s *Server) accept(l net.Listener) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = shortest
			s.admit(nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) || s.draining.Err() != nil {
			return
		}
		// Out of descriptors, most likely: they come back as clients leave.
		s.log.Error("cannot accept a connection", "error", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, longest)
		case <-s.draining.Done():
			return
		}
	}
}

// admit serves a client, or closes it where there are too many or the server stops.
func (s *Server) admit(nc net.Conn) {
	s.mu.Lock()
	full := len(s.conns) >= s.limits.Connections
	if full || s.draining.Err() != nil {
		s.mu.Unlock()
		_ = nc.Close()
		if full {
			s.refused.Add(1)
			s.complain()
		}
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	s.mu.Unlock()
	s.accepted.Add(1)
	go func() {
		defer s.serving.Done()
		defer s.forget(c)
		c.serve(s.base)
	}()
}

// stubborn is how long Stop waits for calls that it has cancelled.
const stubborn = 5 * time.Second

// complain logs that clients are refused, at most once in ten seconds.
func (s *Server) complain() {
	const every = 10
	now, last := time.Now().Unix(), s.complained.Load()
	if now-last >= every && s.complained.CompareAndSwap(last, now) {
		s.log.Warn("too many connections: new ones are closed", "limit", s.limits.Connections, "refused", s.refused.Load())
	}
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Stop ends the server: no new clients, idle connections are closed, long polls are answered at once, and calls that are
// under way are answered, here or by the leader; those that wait for a leader are told so. When ctx ends before that, they are cancelled, their connections are closed, and Stop returns
// ctx's error once they are gone (or will not go). Idempotent; a second Stop with a shorter ctx makes a first one hurry.
func (s *Server) Stop(ctx context.Context) error {
	s.drain()
	defer s.links.close()
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.halt()
		return nil
	case <-ctx.Done():
	}
	s.halt()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.wire.Close()
	}
	left := len(s.conns)
	s.mu.Unlock()
	select {
	case <-done:
		return fmt.Errorf("cannot stop in time, %d connections were cut: %w", left, context.Cause(ctx))
	case <-time.After(stubborn):
		return fmt.Errorf("cannot stop: calls ignore that they were cancelled: %w", context.Cause(ctx))
	}
}

// decoding is where a panic was that no handler made.
const decoding = "decoding"

// Stats are the server's counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Connections: n, Accepted: s.accepted.Load(), Refused: s.refused.Load(),
		Calls: s.calls.Load(), Panics: s.panics.Load(),
		Relayed: s.relayed.Load(), Repeated: s.repeated.Load(), Waiting: s.waiting.Load(),
	}
}

// panicked records a panic. The client learns that there was one, the log the rest.
func (s *Server) panicked(ctx context.Context, peer, where string, v any, stack []byte) {
	s.panics.Add(1)
	if where == decoding {
		s.decodingPanics.Add(1)
	}
	s.log.ErrorContext(ctx, "panic in a call", "method", where, "peer", peer, "panic", fmt.Sprint(v), "stack", string(stack))
}
