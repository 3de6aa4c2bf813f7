package kube

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a connection to the API server that is read at a pace. It takes in at once what has arrived: TLS by itself reads one record
// after the other, and a server sends each event of a watch, and each piece of an answer, in one of its own.
type conn struct {
	net.Conn
	raw  syscall.RawConn
	in   *bufio.Reader
	pace atomic.Pointer[pace]
	once sync.Once
	gone chan struct{} // closed by Close

	// What follows belongs to whoever reads.
	timer  *time.Timer
	budget budget
	fresh  bool // something has come since the last pause
	held   bool // what arrives is not announced
}

// dial gives connections that are read at a pace, which may change: see paced.
func dial(d *net.Dialer, p *pace) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return newConn(c, raw, p), nil
	}
}

func newConn(c net.Conn, raw syscall.RawConn, p *pace) *conn {
	paced := &conn{Conn: c, raw: raw, gone: make(chan struct{}), timer: time.NewTimer(time.Hour)}
	paced.timer.Stop()
	paced.in = bufio.NewReaderSize(arrivals{paced}, 32<<10)
	paced.pace.Store(p)
	return paced
}

func (c *conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Close ends a pause too.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

// arrivals reads what has arrived on a connection.
type arrivals struct{ c *conn }

func (a arrivals) Read(p []byte) (n int, err error) {
	c := a.c
	for {
		var pause time.Duration
		failed := c.raw.Read(func(fd uintptr) bool {
			if n, err = receive(fd, p); !errors.Is(err, unix.EAGAIN) {
				return true
			}
			if pause = c.rest(); pause > 0 {
				c.hold(fd, true)
				return true
			}
			if c.held {
				c.hold(fd, false) // what comes from now on is announced; what came just before is not
				n, err = receive(fd, p)
			}
			return !errors.Is(err, unix.EAGAIN)
		})
		switch {
		case failed != nil:
			return 0, failed
		case pause > 0:
			c.timer.Reset(pause)
			select {
			case <-c.timer.C:
			case <-c.gone:
			}
		case err != nil:
			return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", err)}
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			c.fresh = true
			return n, nil
		}
	}
}

// receive reads what is there; unix.EAGAIN where that is nothing. It is syscall's Read that the race detector knows to come after a Write.
func receive(fd uintptr, p []byte) (n int, err error) {
	for {
		if n, err = syscall.Read(int(fd), p); !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// rest says how long to wait for more before it is asked for. After a pause in which nothing came there is none: then the next that
// comes wakes us up.
func (c *conn) rest() time.Duration {
	if p := c.pace.Load(); p != nil && c.fresh {
		c.fresh = false
		return c.budget.rest(p, time.Now())
	}
	return 0
}

// low is from how many bytes on it is announced all the same that they have arrived on a connection that is held.
const low = 256 << 10

// hold has the kernel announce nothing, or everything again: the poller wakes the program for every packet, whether somebody reads or not.
// Where the kernel will not, the program is woken more often, and nothing else.
func (c *conn) hold(fd uintptr, on bool) {
	if on == c.held {
		return
	}
	c.held = on
	bytes := 1
	if on {
		bytes = low
	}
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
}

// paced has the connection that a request goes over be read at a pace from then on.
func paced(ctx context.Context, p *pace) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		c := got.Conn
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		if c, ok := c.(*conn); ok {
			c.pace.Store(p)
		}
	}})
}
