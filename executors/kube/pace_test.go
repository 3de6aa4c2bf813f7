package kube

import (
	"testing"
	"time"
)

// Few news are read when they come, many together; a respite gives back what was spared.
func TestPace(t *testing.T) {
	var never pace
	if d := never.rest(time.Now()); d != 0 {
		t.Errorf("it rests for %v, and should not", d)
	}
	always := pace{pause: time.Second}
	p := pace{pause: time.Second, spare: 2}
	now := time.Now()
	for i, want := range []time.Duration{0, 0, time.Second, time.Second} {
		if d := p.rest(now); d != want {
			t.Errorf("news %d wait %v for more, want %v", i, d, want)
		}
		if d := always.rest(now); d != time.Second {
			t.Errorf("news %d wait %v where all have to", i, d)
		}
		now = now.Add(respite / 4)
	}
	for i, want := range []time.Duration{0, 0, time.Second} {
		if d := p.rest(now.Add(100 * respite)); d != want {
			t.Errorf("after a long time news %d wait %v for more, want %v", i, d, want)
		}
	}
}
