package kube

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"time"
)

// pace is how news of a feed are read. As long as there are few, each is read when it comes. Where there are many, what comes during a
// pause is read together: every time that a program has to wake up costs more than most of what it is told.
type pace struct {
	// pause is how long news may wait for more. 0: not at all.
	pause time.Duration
	// crowd says how many there may be news of, if that matters: see stretch.
	crowd func() int
	// spare is how many in a row need not wait. Every respite gives one back.
	spare int

	left float64
	seen time.Time
}

// respite is how often reading at once is free in the long run.
const respite = 100 * time.Millisecond

// rest says for how long to read nothing after news had to be waited for.
func (p *pace) rest(now time.Time) time.Duration {
	if p.pause == 0 {
		return 0
	}
	p.left = min(float64(p.spare), p.left+float64(now.Sub(p.seen))/float64(respite))
	p.seen = now
	if p.left < 1 {
		return untilTick(now, p.stretch())
	}
	p.left--
	return 0
}

// crowded is from how many attempts under way news of them wait longer.
const crowded = 320

// stretch is the pause, or more of it where many attempts are under way, in proportion to them. Then each takes long anyway: with n of them,
// of which r end in a second, one takes n/r on average, so that the pause is a share of it that does not grow with n.
func (p *pace) stretch() time.Duration {
	if p.crowd == nil {
		return p.pause
	}
	switch n := p.crowd(); { // by divisors of what a gulp is to a sip, so that their ticks coincide
	case n >= 2*crowded:
		return 10 * p.pause
	case n >= crowded:
		return 5 * p.pause
	}
	return p.pause
}

// untilTick is how long it is until the next moment that is a multiple of a pause, or the one after it where that is nearly there. Everything
// that waits for such moments wakes up together.
func untilTick(now time.Time, pause time.Duration) time.Duration {
	d := pause - time.Duration(now.UnixNano())%pause
	if d < pause/4 {
		d += pause
	}
	return d
}

// held is how many bytes may arrive on a connection that is held before they are announced all the same.
const held = 256 << 10

// hold keeps what arrives from being announced: the poller wakes the program for every packet, whether somebody reads or not.
// release ends that, and announces what has come.
func (c *bufferedConn) hold()    { c.announceFrom(held) }
func (c *bufferedConn) release() { c.announceFrom(1) }

func (c *bufferedConn) announceFrom(bytes int) {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		// Where it cannot be done the program is woken more often, and nothing else.
		_ = raw.Control(func(fd uintptr) { setLowWater(fd, bytes) })
	}
}

// onConnection has a request tell which connection it goes over. It is told nothing where that is none of watchClients'.
func onConnection(ctx context.Context, tell func(*bufferedConn)) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		c := got.Conn
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		if b, ok := c.(*bufferedConn); ok {
			tell(b)
		}
	}})
}
