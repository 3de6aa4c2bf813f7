package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// Direction is one of the two ways through a Proxy.
type Direction int

// The two ways.
const (
	Requests Direction = iota // from clients to the server
	Answers                   // from the server to clients
)

// Proxy is a TCP proxy before a server. It does what networks do to connections, when a test says so. All methods may be called
// from any goroutine.
type Proxy struct {
	// Addr is where it listens, host and port.
	Addr string

	listener net.Listener
	life     context.Context // ends with Close
	end      context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when anything below changes
	target  string
	links   map[*link]bool
	held    [2]bool
	delay   [2]time.Duration
	losses  []*Loss
	refuse  bool
	closed  bool
	stats   Stats
}

// Stats are what a Proxy has seen.
type Stats struct {
	// Connections is how many there are now; Accepted, Refused and Cut count those there ever were.
	Connections, Accepted, Refused, Cut int
	// Forwarded counts the pieces of data that went through; one piece may be several requests or answers, or a part of one.
	Forwarded [2]int
	// Waiting is how many pieces are held back or delayed now.
	Waiting [2]int
	// Lost counts what Lose took away.
	Lost [2]int
}

// Loss says what a Proxy shall take away. Everything that reached the server before is carried out by it: when an answer is
// taken away, the rest of the connection's requests is still executed.
type Loss struct {
	Direction Direction
	// Count is how many times; each costs the client its connection.
	Count int
	// Match restricts it to what a client sent with these letters in it, of any case, such as "evalsha", or to the answers to
	// that. "" is all.
	Match string
	// Silent leaves the client's connection open, without another answer, until the client gives up. Else it is cut at once.
	Silent bool
}

// NewProxy starts a proxy before a server's address; it ends with the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := StartProxy(tb.Context(), target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// StartProxy starts a proxy before a server's address. The caller closes it.
func StartProxy(ctx context.Context, target string) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("cannot start a proxy: %w", err)
	}
	p := &Proxy{
		Addr: l.Addr().String(), listener: l, target: target,
		changed: make(chan struct{}), links: map[*link]bool{},
	}
	p.life, p.end = context.WithCancel(context.WithoutCancel(ctx))
	p.work.Go(p.accept)
	return p, nil
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		l := newLink(p, conn)
		if !p.admit(l) {
			_ = conn.Close()
			continue
		}
		l.start()
	}
}

// admit takes a new connection in, unless none are wanted.
func (p *Proxy) admit(l *link) (ok bool) {
	p.change(func() {
		ok = !p.refuse && !p.closed
		if !ok {
			p.stats.Refused++
			return
		}
		p.stats.Accepted++
		p.links[l] = true
		p.work.Add(1)
	})
	return ok
}

// leave is called once, when a link's goroutines have ended.
func (p *Proxy) leave(l *link) {
	p.change(func() { delete(p.links, l) })
	p.work.Done()
}

// change changes the proxy and lets all who wait look again.
func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Target lets new connections go to another server.
func (p *Proxy) Target(addr string) { p.change(func() { p.target = addr }) }

// Refuse closes new connections at once, as if nobody listened; Refuse(false) ends that. Open ones stay.
func (p *Proxy) Refuse(on bool) { p.change(func() { p.refuse = on }) }

// Hold lets nothing go through in these directions, both if none is named: neither on open connections nor on new ones.
func (p *Proxy) Hold(directions ...Direction) { p.setHeld(true, directions) }

// Release lets everything go on that was held, also what came from clients that have gone away meanwhile.
func (p *Proxy) Release(directions ...Direction) { p.setHeld(false, directions) }

func (p *Proxy) setHeld(held bool, directions []Direction) {
	if len(directions) == 0 {
		directions = []Direction{Requests, Answers}
	}
	p.change(func() {
		for _, d := range directions {
			p.held[d] = held
		}
	})
}

// Delay lets everything take so much longer in a direction, from now on.
func (p *Proxy) Delay(direction Direction, by time.Duration) {
	p.change(func() { p.delay[direction] = by })
}

// Lose takes away what the Loss says, from now on. Several may be in force; the first that fits counts.
func (p *Proxy) Lose(l Loss) {
	l.Match = string(bytes.ToLower([]byte(l.Match)))
	p.change(func() { p.losses = append(p.losses, &l) })
}

// DropAnswers takes the next n answers away: the server executes, and the client never hears of it.
func (p *Proxy) DropAnswers(n int) { p.Lose(Loss{Direction: Answers, Count: n}) }

// Clear ends every hold, delay, loss and refusal.
func (p *Proxy) Clear() {
	p.change(func() { p.held, p.delay, p.losses, p.refuse = [2]bool{}, [2]time.Duration{}, nil, false })
}

// Cut closes all connections now, on both sides; what is held back is lost.
func (p *Proxy) Cut() { p.cut((*link).cut) }

// CutClients closes all connections to clients now. What they have sent still reaches the server, late if it is held back.
func (p *Proxy) CutClients() { p.cut((*link).cutClient) }

func (p *Proxy) cut(one func(*link)) {
	var all []*link
	p.change(func() {
		for l := range p.links {
			all = append(all, l)
		}
		p.stats.Cut += len(all)
	})
	for _, l := range all {
		one(l)
	}
}

// Stats says what the proxy has seen so far.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Connections = len(p.links)
	return s
}

// Await waits until the proxy's Stats are as wanted, such as until something waits in it.
func (p *Proxy) Await(ctx context.Context, wanted func(Stats) bool) error {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if wanted(p.Stats()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for the proxy, which has seen %+v: %w", p.Stats(), context.Cause(ctx))
		}
	}
}

// Close ends the proxy and all its connections. Idempotent.
func (p *Proxy) Close() {
	p.change(func() { p.closed = true })
	p.end()
	_ = p.listener.Close() // a second time is an error of no interest
	p.Cut()
	p.work.Wait()
}

// takes gives the Loss that a piece of data on a link falls to, nil if it may go on.
func (p *Proxy) takes(direction Direction, l *link) *Loss {
	var taken *Loss
	p.change(func() {
		for _, loss := range p.losses {
			if loss.Direction == direction && loss.Count > 0 && (loss.Match == "" || l.seen[loss]) {
				delete(l.seen, loss)
				loss.Count--
				p.stats.Lost[direction]++
				taken = loss
				return
			}
		}
	})
	return taken
}
