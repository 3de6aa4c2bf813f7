package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Health is how it goes with the server.
type Health struct {
	// Reachable says that the last command was answered, Since from when on that has been so, or has not.
	Reachable bool
	Since     time.Time
	// LastError is the last reason why it was not reachable, "" if there was none.
	LastError string
	// Address is the URL without user and password; Mode is single, sentinel or cluster; Version is the server's.
	Address, Mode, Version string
	// Generation is the mark of this store's data.
	Generation string
	// Healed counts how often the server had lost its last writes, which were put back; Losses how often something was
	// lost for good.
	Healed, Losses uint64
	// Commands, Sent and Received count commands and bytes since Open.
	Commands, Sent, Received uint64
}

// Health tells how it goes. It asks nobody.
func (s *Store) Health() Health {
	h := Health{
		Address: s.target.String(), Mode: s.mode(), Version: s.version, Generation: s.generation,
		Healed: s.meter.healed.Load(), Losses: s.meter.losses.Load(),
		Commands: s.meter.commands.Load(), Sent: s.meter.sent.Load(), Received: s.meter.received.Load(),
	}
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	h.Reachable, h.Since = !s.meter.away, s.meter.since
	if s.meter.err != nil {
		h.LastError = s.fault(s.meter.err).Error()
	}
	return h
}

// Generation marks the data in this Redis: it is made once, when a store is opened on a Redis without any.
func (s *Store) Generation() string { return s.generation }

func (s *Store) mode() string {
	switch {
	case s.cluster:
		return "cluster"
	case s.target.Master != "":
		return "sentinel"
	}
	return "single"
}

// meter counts, and sees whether the server answers.
type meter struct {
	commands, sent, received, healed, losses atomic.Uint64

	mu    sync.Mutex
	away  bool
	since time.Time
	err   error
}

var _ redis.Hook = (*meter)(nil)

// DialHook does nothing.
func (m *meter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook looks at a command.
func (m *meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		m.commands.Add(1)
		err := next(ctx, cmd)
		m.saw(err)
		return err
	}
}

// ProcessPipelineHook looks at a pipeline.
func (m *meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		m.commands.Add(uint64(len(cmds)))
		err := next(ctx, cmds)
		m.saw(err)
		return err
	}
}

func (m *meter) saw(err error) {
	away := err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, context.Canceled) && outcomeOf(err) != impossible
	m.mu.Lock()
	defer m.mu.Unlock()
	if away != m.away {
		m.away, m.since = away, time.Now()
	}
	if away {
		m.err = err
	}
}

// dialer makes connections that count their bytes.
func (m *meter) dialer(timeout time.Duration, secure *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		var c net.Conn
		var err error
		if secure != nil {
			c, err = (&tls.Dialer{NetDialer: plain, Config: secure}).DialContext(ctx, network, addr)
		} else {
			c, err = plain.DialContext(ctx, network, addr)
		}
		if err != nil {
			return nil, err
		}
		return &meteredConn{Conn: c, m: m}, nil
	}
}

type meteredConn struct {
	net.Conn
	m *meter
}

func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.m.received.Add(uint64(n))
	return n, err
}

func (c *meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.m.sent.Add(uint64(n))
	return n, err
}
