package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// conn is one connection: the binary protocol on a buffered socket, as the old clients speak it. One call at a time.
type conn struct {
	socket  net.Conn
	address string
	bound   *bounded
	client  *thrift.TStandardClient
	// spoiled is set where a context ended just as the answer came: the socket's deadline may be set at any moment.
	spoiled bool
}

func newConn(socket net.Conn, address, service string, maxMessage int32) *conn {
	bound := &bounded{reader: socket, max: int64(maxMessage)}
	// The protocol's own limit is per string and container, ours is for the answer as a whole.
	conf := &thrift.TConfiguration{MaxMessageSize: maxMessage, MaxFrameSize: maxMessage}
	transport := thrift.NewStreamTransport(bound, socket)
	in := thrift.NewTBinaryProtocolConf(transport, conf)
	out := thrift.NewTMultiplexedProtocol(thrift.NewTBinaryProtocolConf(transport, conf), service)
	return &conn{socket: socket, address: address, bound: bound, client: thrift.NewTStandardClient(in, out)}
}

// call ends early, with the socket unusable, when the context is done.
func (k *conn) call(ctx context.Context, method string, args, result thrift.TStruct) error {
	k.bound.left = k.bound.max
	k.bound.exceeded = false
	stop := context.AfterFunc(ctx, func() {
		// A moment in the past wakes the reader and the writer.
		_ = k.socket.SetDeadline(time.Unix(1, 0))
	})
	_, err := k.client.Call(ctx, method, args, result)
	k.spoiled = !stop()
	return err
}

func (k *conn) close() { _ = k.socket.Close() }

func (k *conn) tooLarge() error {
	if k.bound.exceeded {
		return fmt.Errorf("the master's answer is larger than %d bytes", k.bound.max)
	}
	return nil
}

var errTooLarge = errors.New("answer is too large")

// bounded ends an answer that is too large. What the buffer in front of it has read ahead counts towards the next answer
// as nothing, which at worst is one buffer.
type bounded struct {
	reader    io.Reader
	max, left int64
	exceeded  bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.exceeded = true
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.reader.Read(p)
	b.left -= int64(n)
	return n, err
}
