package redistest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// link is one connection through a Proxy. Each direction has a reader and a writer with a queue between them, so that what
// waits in one piece does not keep the next from being read.
type link struct {
	p      *Proxy
	client net.Conn

	mu     sync.Mutex
	server net.Conn
	dead   chan struct{} // closed when both sides are cut
	once   sync.Once

	// tail is the end of what the client sent last, in lower case; seen, under the proxy's lock, are the losses whose Match it
	// has sent.
	tail []byte
	seen map[*Loss]bool

	connected chan struct{} // closed when server is set
	queues    [2]chan piece
	work      sync.WaitGroup
}

// piece is some data on its way.
type piece struct {
	data []byte
	at   time.Time // when it came
}

// queued is how many pieces of at most 64 KiB one direction of a connection holds back before its sender has to wait.
const queued = 1024

func newLink(p *Proxy, client net.Conn) *link {
	return &link{
		p: p, client: client, dead: make(chan struct{}), seen: map[*Loss]bool{}, connected: make(chan struct{}),
		queues: [2]chan piece{make(chan piece, queued), make(chan piece, queued)},
	}
}

func (l *link) start() {
	l.work.Go(func() { l.read(Requests, l.client) })
	l.work.Go(func() { l.write(Requests) })
	l.work.Go(func() {
		select {
		case <-l.connected:
			l.read(Answers, l.server)
		case <-l.dead:
			close(l.queues[Answers])
		}
	})
	l.work.Go(func() { l.write(Answers) })
	go func() {
		l.work.Wait()
		l.cut()
		l.p.leave(l)
	}()
}

// read takes data from one side until that has no more.
func (l *link) read(d Direction, from io.Reader) {
	defer close(l.queues[d])
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if d == Requests {
				l.look(buf[:n])
			}
			l.p.change(func() { l.p.stats.Waiting[d]++ })
			select {
			case l.queues[d] <- piece{data: bytes.Clone(buf[:n]), at: time.Now()}:
			case <-l.dead:
				l.p.change(func() { l.p.stats.Waiting[d]-- })
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// look notes which losses what the client sends matches.
func (l *link) look(data []byte) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	text := slices.Concat(l.tail, bytes.ToLower(data))
	for _, loss := range l.p.losses {
		if loss.Match != "" && bytes.Contains(text, []byte(loss.Match)) {
			l.seen[loss] = true
		}
	}
	l.tail = bytes.Clone(text[max(0, len(text)-64):])
}

// write hands over what was read in a direction, when it is due.
func (l *link) write(d Direction) {
	forward := true
	for next := range l.queues[d] {
		forward = forward && l.wait(d, next.at)
		if forward {
			forward = l.deliver(d, next.data)
		}
		l.p.change(func() { l.p.stats.Waiting[d]-- })
	}
	if d == Requests {
		l.endRequests()
		return
	}
	l.cut() // the server has closed
}

// wait gives true when a piece may go on, and false when the connection is cut.
func (l *link) wait(d Direction, at time.Time) bool {
	for {
		l.p.mu.Lock()
		held, changed := l.p.held[d], l.p.changed
		left := time.Until(at.Add(l.p.delay[d]))
		l.p.mu.Unlock()
		if !held && left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		expired := timer.C
		if held {
			expired = nil
		}
		select {
		case <-l.dead:
			timer.Stop()
			return false
		case <-expired:
		case <-changed:
		}
		timer.Stop()
	}
}

// deliver hands a piece over, or loses it; false if nothing more shall be handed over in this direction.
func (l *link) deliver(d Direction, data []byte) bool {
	if loss := l.p.takes(d, l); loss != nil {
		if !loss.Silent {
			l.cutClient()
		}
		return false
	}
	to := l.client
	if d == Requests {
		var err error
		if to, err = l.dial(); err != nil {
			l.cut()
			return false
		}
	}
	if _, err := to.Write(data); err != nil {
		return false // that side has gone; the reader of that side ends the link
	}
	l.p.change(func() { l.p.stats.Forwarded[d]++ })
	return true
}

// dial connects to the server, the first time.
func (l *link) dial() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server != nil {
		return l.server, nil
	}
	l.p.mu.Lock()
	target := l.p.target
	l.p.mu.Unlock()
	ctx, cancel := context.WithTimeout(l.p.life, patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.dead:
		_ = conn.Close()
		return nil, net.ErrClosed
	default:
	}
	l.server = conn
	close(l.connected)
	return conn, nil
}

// endRequests tells the server that nothing more comes: it executes what it has, answers, and closes.
func (l *link) endRequests() {
	l.mu.Lock()
	server := l.server
	l.mu.Unlock()
	half, ok := server.(*net.TCPConn)
	if !ok {
		l.cut() // there never was a connection
		return
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		l.cut()
	}
}

// cutClient lets the client see the end of the connection. Whatever it has sent until it closes its side goes the way of all
// requests: closing both ways here would throw away what was not yet read.
func (l *link) cutClient() {
	if half, ok := l.client.(*net.TCPConn); ok {
		_ = half.CloseWrite() // an error says that the client has gone
	}
}

// cut closes both sides.
func (l *link) cut() {
	l.once.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.dead)
		_ = l.client.Close()
		if l.server != nil {
			_ = l.server.Close()
		}
	})
}
