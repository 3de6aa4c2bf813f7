package kube

import (
	"testing"
	"time"
)

// Few news are read when they come, many together; a respite gives back what was spared.
func TestPace(t *testing.T) {
	always, some := &pace{pause: time.Second}, &pace{pause: time.Second, spare: 2}
	var none, left budget
	now := time.Unix(1000, 0) // at which a pause begins
	for i, want := range []time.Duration{0, 0, time.Second, time.Second} {
		if d := left.rest(some, now); d != want {
			t.Errorf("news %d wait %v for more, want %v", i, d, want)
		}
		if d := none.rest(always, now); d != time.Second {
			t.Errorf("news %d wait %v where all have to", i, d)
		}
	}
	for i, want := range []time.Duration{0, 0, time.Second} {
		if d := left.rest(some, now.Add(100*time.Second)); d != want {
			t.Errorf("after a long time news %d wait %v for more, want %v", i, d, want)
		}
	}
}

// Whoever rests wakes up at the same moments, and never after next to no rest.
func TestUntilTick(t *testing.T) {
	begin := time.Unix(1000, 0)
	for since, want := range map[int]int64{0: 100, 1: 99, 70: 30, 75: 25, 76: 124, 99: 101, 100: 100, 230: 70} {
		d := untilTick(begin.Add(time.Duration(since)*time.Millisecond), 100*time.Millisecond)
		if d.Milliseconds() != want {
			t.Errorf("after %d ms it is %v until the next, want %d ms", since, d, want)
		}
	}
}

// The more attempts are under way the longer news of them wait, up to ten times as long.
func TestPaceStretch(t *testing.T) {
	n := 0
	p := &pace{pause: 10 * time.Millisecond, crowd: func() int { return n }}
	for attempts, want := range map[int]int64{
		0: 10, crowded - 1: 10, crowded: 50, 2*crowded - 1: 50, 2 * crowded: 100, 1000 * crowded: 100,
	} {
		n = attempts
		if d := new(budget).rest(p, time.Unix(1000, 0)); d.Milliseconds() != want {
			t.Errorf("%d attempts: news wait %v, want %d ms", n, d, want)
		}
	}
}
