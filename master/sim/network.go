package sim

import (
	"errors"
	"time"
)

// Errors of the network.
var (
	errNoAnswer = errors.New("no answer")
	errRefused  = errors.New("nobody is there")
)

// link is what two processes have of the network. Messages may be lost, late and doubled.
type link struct {
	// ordered links are single connections: what arrives does so in order, and once.
	ordered bool
	last    [2]time.Duration // when the newest message of each direction arrives
	cut     time.Duration    // nothing gets through until then
	slow    time.Duration    // everything takes long until then,
	lag     time.Duration    // by up to that
	lossy   time.Duration    // much is lost and doubled until then
}

// linkOf is the link of two processes.
func (w *world) linkOf(a, b *process) *link {
	k := [2]int{min(a.index, b.index), max(a.index, b.index)}
	l := w.links[k]
	if l == nil {
		l = &link{}
		w.links[k] = l
	}
	return l
}

// bad reports whether something is wrong with the link.
func (l *link) bad(now time.Duration) bool { return now < l.cut || now < l.slow || now < l.lossy }

// heal ends everything that is wrong with the link.
func (l *link) heal() { l.cut, l.slow, l.lossy = 0, 0, 0 }

// send carries a message to who is there now. lost, if not nil, is called at the sender's where nobody is there.
func (w *world) send(from, to *process, deliver, lost func()) {
	l := w.linkOf(from, to)
	if !to.alive {
		if lost != nil {
			from.after(w.between(100*time.Microsecond, 2*time.Millisecond), lost)
		}
		return
	}
	delay := w.between(50*time.Microsecond, time.Millisecond)
	if w.now < l.slow {
		delay += w.upTo(l.lag)
	}
	copies := 1
	if w.now < l.lossy && !l.ordered {
		switch w.r.IntN(5) {
		case 0:
			copies = 0
		case 1:
			copies = 2
		}
	}
	if w.now < l.cut {
		if w.chance(2) {
			copies = 0
		}
		delay += l.cut - w.now // it comes late
	}
	for range copies {
		at := w.now + delay
		if l.ordered {
			d := 0
			if from.index > to.index {
				d = 1
			}
			at = max(at, l.last[d])
			l.last[d] = at
		}
		to.after(at-w.now, deliver)
		delay += w.upTo(200 * time.Millisecond)
	}
	if copies == 0 {
		w.stats.count("message lost")
	}
}

// ask sends a request and waits for its answer. handle is what the other side does, perhaps twice or late; done is called
// once, with the answer or errNoAnswer after the timeout or errRefused.
func ask[T any](from, to *process, timeout time.Duration, handle func(answer func(T, error)), done func(T, error)) {
	w, over, life := from.w, false, from.life
	end := func(v T, err error) {
		if !over && from.life == life {
			over = true
			done(v, err)
		}
	}
	var zero T
	from.after(timeout, func() { end(zero, errNoAnswer) })
	w.send(from, to, func() {
		handle(func(v T, err error) {
			w.send(to, from, func() { end(v, err) }, nil)
		})
	}, func() { end(zero, errRefused) })
}
