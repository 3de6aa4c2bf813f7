package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// link is a connection to the master that leads: framed messages in the binary protocol, one call at a time.
type link struct {
	nc    net.Conn
	limit int
	seq   int32
	head  [4]byte
	// broken is set where the connection cannot be used again.
	broken bool
}

// The bounds of a link's calls, beside those of the call itself.
const (
	// dialTime is how long a leader may take to accept a connection, and keepLinks how many are kept for later calls.
	dialTime  = 2 * time.Second
	keepLinks = 256
	// drainTime is how long the leader may take to answer a long poll that was ended, because this server stops.
	drainTime = 2 * time.Second
)

// sentError is that a connection broke after a call was sent, at least in part.
type sentError struct{ err error }

func (e *sentError) Error() string { return e.err.Error() }
func (e *sentError) Unwrap() error { return e.err }

// errDraining is why a long poll ends when the server stops.
var errDraining = errors.New("the server stops")

// call sends arguments and gives what comes back. When ctx is done it ends at once; if because the server stops, the leader is
// asked to answer now.
func (l *link) call(ctx context.Context, name string, args raw) (reply, error) {
	stop := context.AfterFunc(ctx, func() { l.abort(context.Cause(ctx)) })
	r, err := l.exchange(name, args)
	if !stop() {
		l.broken = true // its deadlines may be changed at any moment
	}
	if err != nil {
		l.broken = true
	}
	return r, err
}

func (l *link) abort(why error) {
	if half, ok := l.nc.(interface{ CloseWrite() error }); ok && errors.Is(why, errDraining) {
		// The leader takes it for a client that went away, and answers with what it has.
		if half.CloseWrite() == nil && l.nc.SetReadDeadline(time.Now().Add(drainTime)) == nil {
			return
		}
	}
	_ = l.nc.SetDeadline(time.Unix(1, 0))
}

func (l *link) exchange(name string, args raw) (reply, error) {
	l.seq++
	head := make([]byte, 4, 64+len(name))
	head = binary.BigEndian.AppendUint32(head, thrift.VERSION_1|uint32(thrift.CALL))
	head = binary.BigEndian.AppendUint32(head, uint32(len(name)))
	head = append(head, name...)
	head = binary.BigEndian.AppendUint32(head, uint32(l.seq))
	size := len(head) - 4 + len(args)
	if size > l.limit {
		return reply{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	binary.BigEndian.PutUint32(head, uint32(size))
	parts := net.Buffers{head, args}
	if n, err := parts.WriteTo(l.nc); err != nil {
		if n == 0 {
			return reply{}, err
		}
		return reply{}, &sentError{err}
	}
	r, err := l.receive()
	if err != nil {
		return reply{}, &sentError{err}
	}
	return r, nil
}

// receive reads a reply.
func (l *link) receive() (reply, error) {
	if _, err := io.ReadFull(l.nc, l.head[:]); err != nil {
		return reply{}, err
	}
	size := int64(binary.BigEndian.Uint32(l.head[:]))
	// The leader bounds its answers by its own limits, which may be larger than ours.
	if size > max(int64(l.limit), int64(DefaultLimits.MessageBytes)) {
		return reply{}, fmt.Errorf("%w: the answer has %d bytes", ErrTooLarge, size)
	}
	var buf bytes.Buffer
	// Memory is taken as bytes arrive, not as they are announced.
	if _, err := io.CopyN(&buf, l.nc, size); err != nil {
		return reply{}, err
	}
	p := thrift.NewTBinaryProtocolConf(&thrift.TMemoryBuffer{Buffer: &buf}, unbounded())
	_, kind, seq, err := p.ReadMessageBegin(context.Background())
	if err != nil {
		return reply{}, err
	}
	if seq != l.seq || kind != thrift.REPLY && kind != thrift.EXCEPTION {
		return reply{}, fmt.Errorf("the leader answered out of order (type %d)", kind)
	}
	return reply{kind, raw(buf.Bytes())}, nil
}

// alive reports whether a connection that was kept can be used: the other side has neither closed it nor said anything.
func (l *link) alive() bool {
	sc, ok := l.nc.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var one [1]byte
	var said error
	err = rc.Read(func(fd uintptr) bool {
		// The descriptor does not block: without news the system says so.
		_, said = syscall.Read(int(fd), one[:])
		return true
	})
	return err == nil && (errors.Is(said, syscall.EAGAIN) || errors.Is(said, syscall.EWOULDBLOCK))
}

// links are the connections to the leader that are kept.
type links struct {
	limit int
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	leader string
	idle   []*link
	closed bool
}

// take gives a connection to the leader. A call that must not be sent twice asks for a fresh one: whether a kept one was
// closed at this very moment shows only after the call was written.
func (k *links) take(ctx context.Context, leader string, fresh bool) (*link, error) {
	for !fresh {
		l := k.pop(leader)
		if l == nil {
			break
		}
		if l.alive() {
			return l, nil
		}
		_ = l.nc.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	nc, err := k.dial(ctx, "tcp", leader)
	if err != nil {
		return nil, err
	}
	return &link{nc: nc, limit: k.limit}, nil
}

func (k *links) pop(leader string) *link {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leader != leader || len(k.idle) == 0 {
		return nil
	}
	l := k.idle[len(k.idle)-1]
	k.idle = k.idle[:len(k.idle)-1]
	return l
}

// give keeps a connection for later, or closes it.
func (k *links) give(leader string, l *link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.broken || k.closed || k.leader != leader || len(k.idle) >= keepLinks {
		_ = l.nc.Close()
		return
	}
	k.idle = append(k.idle, l)
}

// keepOnly closes connections to anybody else.
func (k *links) keepOnly(leader string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leader == leader {
		return
	}
	k.leader = leader
	k.drop()
}

// close closes all that are kept, and those that are given back later.
func (k *links) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.drop()
}

func (k *links) drop() {
	for _, l := range k.idle {
		_ = l.nc.Close()
	}
	k.idle = nil
}
