package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// peerKey is the context key of the client's address.
type peerKey struct{}

// peer is the address of the client whose call the context belongs to, without its port; "" outside of a call.
func peer(ctx context.Context) string {
	p, _ := ctx.Value(peerKey{}).(string)
	return p
}

// conn serves one client.
type conn struct {
	srv   *Server
	wire  *wire
	proto *thrift.THeaderProtocol
	peer  string

	mu sync.Mutex
	// busy is set from the first byte of a call until its answer is sent. closing is set when the server stops.
	busy, closing bool
}

func newConn(srv *Server, nc net.Conn) *conn {
	c := &conn{srv: srv, peer: nc.RemoteAddr().String()}
	if host, _, err := net.SplitHostPort(c.peer); err == nil {
		c.peer = host
	}
	c.wire = &wire{nc: nc, limits: &srv.limits, heavy: srv.heavy, onFirst: c.begin}
	c.proto = thrift.NewTHeaderProtocolConf(c.wire, srv.conf)
	return c
}

// begin is called when a call begins to arrive. From then on a graceful stop waits for its answer.
func (c *conn) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing && !c.busy {
		return errClosing
	}
	c.busy = true
	return nil
}

// rest is called between two calls. It reports false when the connection is to be closed.
func (c *conn) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	return !c.closing
}

// drain closes the connection now if no call is under way, and after that call's answer otherwise.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if !c.busy {
		_ = c.wire.Close() // whether it was open does not matter any more
	}
}

// serve answers calls until the client goes away, stays idle for too long, breaks a rule, or the server stops.
func (c *conn) serve(ctx context.Context) {
	defer c.wire.Close()
	defer c.wire.endCall()
	defer func() {
		// Only decoding can get here: handlers have their own.
		if v := recover(); v != nil {
			c.srv.panicked(ctx, c.peer, decoding, v, debug.Stack())
		}
	}()
	ctx = context.WithValue(ctx, peerKey{}, c.peer)
	for c.rest() {
		err := c.wire.nextCall()
		if err == nil {
			err = c.one(ctx)
		}
		if err != nil {
			if !ended(err) && !ended(c.wire.failed) {
				c.srv.log.DebugContext(ctx, "connection closed", "peer", c.peer, "error", err)
			}
			return
		}
	}
}

// one reads a call, runs it and answers. An error ends the connection.
func (c *conn) one(ctx context.Context) error {
	full, kind, seq, err := c.proto.ReadMessageBegin(ctx)
	if err != nil {
		return err
	}
	// A call that came with the one before was read already.
	if err := c.begin(); err != nil {
		return err
	}
	m, name, err := c.srv.table.find(full)
	if kind != thrift.CALL && kind != thrift.ONEWAY {
		err := thrift.NewTApplicationException(thrift.INVALID_MESSAGE_TYPE_EXCEPTION, fmt.Sprintf("message type %d is not a call", kind))
		return errors.Join(err, c.refuse(ctx, name, seq, err))
	}
	if err != nil {
		if skip := c.proto.Skip(ctx, thrift.STRUCT); skip != nil {
			return skip
		}
		if end := c.proto.ReadMessageEnd(ctx); end != nil {
			return end
		}
		return c.refuse(ctx, name, seq, err)
	}
	run, err := m.read(ctx, c.proto)
	if err == nil {
		err = c.proto.ReadMessageEnd(ctx)
	}
	if err != nil {
		if w := c.wire.failed; w != nil && !errors.Is(w, ErrTooLarge) {
			return w
		}
		// What follows in the stream cannot be understood any more.
		return c.giveUp(ctx, name, seq, err)
	}
	result, err := c.handle(ctx, m, name, run)
	if kind == thrift.ONEWAY {
		return nil
	}
	if err != nil {
		return c.refuse(ctx, name, seq, err)
	}
	return c.answer(ctx, name, seq, result)
}

// giveUp answers a call that cannot be read, and ends the connection.
func (c *conn) giveUp(ctx context.Context, name string, seq int32, err error) error {
	text := err.Error()
	if tooLarge(err) || errors.Is(c.wire.failed, ErrTooLarge) {
		text = fmt.Sprintf("the call is larger than this master takes (%d bytes, %d elements in a list): %v",
			c.srv.limits.MessageBytes, c.srv.limits.Elements, err)
	}
	refused := c.refuse(ctx, name, seq, thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, text))
	if refused == nil {
		c.wire.linger()
	}
	return errors.Join(err, refused)
}

// tooLarge reports whether Thrift refused to read or write something because of its size.
func tooLarge(err error) bool {
	var tpe thrift.TProtocolException
	return errors.As(err, &tpe) && tpe.TypeId() == thrift.SIZE_LIMIT
}

// handle runs the call within its time.
func (c *conn) handle(ctx context.Context, m method, name string, run call) (result thrift.TStruct, err error) {
	begun := time.Now()
	hctx, cancel := context.WithTimeout(ctx, c.srv.limits.Handle)
	defer cancel()
	if m.waits {
		defer context.AfterFunc(c.srv.draining, cancel)()
		defer c.wire.watchGone(cancel)()
	}
	defer func() {
		if v := recover(); v != nil {
			c.srv.panicked(ctx, c.peer, name, v, debug.Stack())
			result, err = nil, thrift.NewTApplicationException(thrift.INTERNAL_ERROR, "internal error in "+name)
		}
		c.srv.calls.Add(1)
		if c.srv.log.Enabled(ctx, slog.LevelDebug) {
			c.srv.log.DebugContext(ctx, "call", "method", name, "peer", c.peer, "took", time.Since(begun), "error", err)
		}
	}()
	return run(hctx)
}

// answer sends the result of a call.
func (c *conn) answer(ctx context.Context, name string, seq int32, result thrift.TStruct) error {
	// Not the call's own context: an answer is sent whole even where the call's time is over.
	err := write(context.WithoutCancel(ctx), c.proto, name, thrift.REPLY, seq, result)
	if tooLarge(err) {
		// Nothing of it was sent. Ask for less, says the error.
		return c.refuse(ctx, name, seq, thrift.NewTApplicationException(thrift.INTERNAL_ERROR,
			fmt.Sprintf("the answer of %s is larger than %d bytes: ask for less at once", name, c.srv.limits.MessageBytes)))
	}
	return err
}

// refuse answers a call with an error.
func (c *conn) refuse(ctx context.Context, name string, seq int32, err error) error {
	return write(context.WithoutCancel(ctx), c.proto, name, thrift.EXCEPTION, seq, asApplication(err))
}

// writable is what every generated struct and TApplicationException can do.
type writable interface {
	Write(ctx context.Context, out thrift.TProtocol) error
}

func write(ctx context.Context, out thrift.TProtocol, name string, kind thrift.TMessageType, seq int32, body writable) error {
	if err := out.WriteMessageBegin(ctx, name, kind, seq); err != nil {
		return err
	}
	if err := body.Write(ctx, out); err != nil {
		return err
	}
	if err := out.WriteMessageEnd(ctx); err != nil {
		return err
	}
	return out.Flush(ctx)
}
