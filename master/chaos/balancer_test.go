package chaos

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// balancer is one address before several masters, as a Service of Kubernetes is: each connection goes to one of them, and
// those that nobody listens at are left out.
type balancer struct {
	address  string
	listener net.Listener
	targets  []string
	work     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
}

func newBalancer(t testing.TB, targets ...string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{address: l.Addr().String(), listener: l, targets: targets, conns: map[net.Conn]bool{}}
	b.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			b.work.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(b.close)
	return b
}

func (b *balancer) serve(from net.Conn) {
	defer from.Close()
	to := b.connect()
	if to == nil {
		return
	}
	defer to.Close()
	if !b.enter(from, to) {
		return
	}
	defer b.leave(from, to)
	var answers sync.WaitGroup
	answers.Go(func() { forward(from, to) })
	forward(to, from)
	answers.Wait()
}

// connect connects to any of the targets that take connections.
func (b *balancer) connect() net.Conn {
	for _, i := range rand.Perm(len(b.targets)) {
		if c, err := net.DialTimeout("tcp", b.targets[i], time.Second); err == nil {
			return c
		}
	}
	return nil
}

// forward passes everything on, and then the end. Where one side is broken, the other one is, too.
func forward(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); err == nil && ok {
		err = half.CloseWrite()
	}
	if err != nil {
		_ = to.Close()
		_ = from.Close()
	}
}

func (b *balancer) enter(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		b.conns[c] = true
	}
	return !b.ended
}

func (b *balancer) leave(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		delete(b.conns, c)
	}
}

func (b *balancer) close() {
	b.mu.Lock()
	b.ended = true
	_ = b.listener.Close()
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.work.Wait()
}
