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
	q := newRequest(full, c.peer)
	if kind != thrift.CALL && kind != thrift.ONEWAY {
		err := thrift.NewTApplicationException(thrift.INVALID_MESSAGE_TYPE_EXCEPTION, fmt.Sprintf("message type %d is not a call", kind))
		return errors.Join(err, c.send(ctx, q.name, seq, exception(err)))
	}
	refused, err := q.read(ctx, c.srv.turn.Load(), c.proto, c.srv.limits.MessageBytes)
	if err == nil {
		err = c.proto.ReadMessageEnd(ctx)
	}
	if err != nil {
		if w := c.wire.failed; w != nil && !errors.Is(w, ErrTooLarge) {
			return w
		}
		// What follows in the stream cannot be understood any more.
		return c.giveUp(ctx, q.name, seq, err)
	}
	if refused != nil {
		return c.send(ctx, q.name, seq, exception(refused))
	}
	answer := c.handle(ctx, q)
	if kind == thrift.ONEWAY {
		return nil
	}
	return c.send(ctx, q.name, seq, answer)
}

// giveUp answers a call that cannot be read, and ends the connection.
func (c *conn) giveUp(ctx context.Context, name string, seq int32, err error) error {
	text := err.Error()
	if tooLarge(err) || errors.Is(c.wire.failed, ErrTooLarge) {
		text = fmt.Sprintf("the call is larger than this master takes (%d bytes, %d elements in a list): %v",
			c.srv.limits.MessageBytes, c.srv.limits.Elements, err)
	}
	refused := c.send(ctx, name, seq, exception(thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, text)))
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

// handle answers the call within its time.
func (c *conn) handle(ctx context.Context, q *request) (answer reply) {
	begun := time.Now()
	ctx = context.WithValue(ctx, peerKey{}, q.peer)
	hctx, cancel := context.WithTimeout(ctx, c.srv.limits.Handle)
	defer cancel()
	if q.waits {
		var end context.CancelCauseFunc
		hctx, end = context.WithCancelCause(hctx)
		defer end(nil)
		defer context.AfterFunc(c.srv.draining, func() { end(errDraining) })()
		defer c.wire.watchGone(func() { end(errGone) })()
	}
	defer func() {
		if v := recover(); v != nil {
			c.srv.panicked(ctx, c.peer, q.name, v, debug.Stack())
			answer = exception(thrift.NewTApplicationException(thrift.INTERNAL_ERROR, "internal error in "+q.name))
		}
		c.srv.calls.Add(1)
		if c.srv.log.Enabled(ctx, slog.LevelDebug) {
			c.srv.log.DebugContext(ctx, "call", "method", q.name, "peer", q.peer, "took", time.Since(begun), "exception", answer.kind == thrift.EXCEPTION)
		}
	}()
	return c.srv.attend(hctx, q)
}

// send sends the answer to a call.
func (c *conn) send(ctx context.Context, name string, seq int32, answer reply) error {
	// Not the call's own context: an answer is sent whole even where the call's time is over.
	ctx = context.WithoutCancel(ctx)
	err := write(ctx, c.proto, name, answer.kind, seq, answer.body)
	if tooLarge(err) {
		// Nothing of it was sent. Ask for less, says the error.
		return write(ctx, c.proto, name, thrift.EXCEPTION, seq, thrift.NewTApplicationException(thrift.INTERNAL_ERROR,
			fmt.Sprintf("the answer of %s is larger than %d bytes: ask for less at once", name, c.srv.limits.MessageBytes)))
	}
	return err
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
