package kube

import "time"

// pace is how news are read. As long as there are few, each is read when it comes. Where there are many, what comes during a pause is
// read together: every time that a program has to wake up costs more than most of what it is told.
type pace struct {
	// pause is how long news may wait for more.
	pause time.Duration
	// crowd says how many there may be news of, if that matters: see stretch.
	crowd func() int
	// spare is how many in a row need not wait. Every respite gives one back.
	spare int
}

// respite is how often reading at once is free in the long run.
const respite = 100 * time.Millisecond

// budget is what is left of a pace's spare.
type budget struct {
	left float64
	seen time.Time
}

// rest says for how long to read nothing.
func (b *budget) rest(p *pace, now time.Time) time.Duration {
	b.left = min(float64(p.spare), b.left+float64(now.Sub(b.seen))/float64(respite))
	b.seen = now
	if b.left < 1 {
		return untilTick(now, p.stretch())
	}
	b.left--
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
