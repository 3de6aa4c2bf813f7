package kube

import (
	"sync"
	"time"
)

// movers are the Jobs whose pods have come further, but not to their end: nobody waits for that, so all that do in a moment are looked at
// together.
type movers struct {
	tell func(key string)

	mu   sync.Mutex
	keys map[string]struct{}
	next *time.Timer
}

// moment is how long that is, or a little longer: see untilTick. A stage is seen to run so much later.
const moment = 100 * time.Millisecond

func (m *movers) add(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = map[string]struct{}{}
	}
	m.keys[key] = struct{}{}
	switch {
	case len(m.keys) > 1: // it is set
	case m.next == nil:
		m.next = time.AfterFunc(untilTick(time.Now(), moment), m.flush)
	default:
		m.next.Reset(untilTick(time.Now(), moment))
	}
}

func (m *movers) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.keys {
		m.tell(key)
	}
	clear(m.keys)
}

// stop drops what is held back.
func (m *movers) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.keys)
	if m.next != nil {
		m.next.Stop()
	}
}
