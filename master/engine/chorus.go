package engine

import (
	"sync"

	"github.com/clic-orchestrator/clic/master/store"
)

// chorus has shards that linger write together: the moment at which one has lingered long enough is the end of it for all, and what they
// have goes to the store in one commit. Each by itself would write the same pages, and wait for the same disk, one after the other.
type chorus struct {
	mu        sync.Mutex
	lingering map[*shard]bool
}

// enter notes that a shard lingers.
func (c *chorus) enter(s *shard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lingering == nil {
		c.lingering = map[*shard]bool{}
	}
	c.lingering[s] = true
}

// over ends the lingering of all.
func (c *chorus) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &verse{missing: len(c.lingering), written: make(chan struct{})}
	for s := range c.lingering {
		s.verse = v
		s.signal()
	}
	clear(c.lingering)
}

// ended reports whether somebody has ended the lingering of a shard.
func (c *chorus) ended(s *shard) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.verse != nil
}

// leave ends the lingering of a shard. It gives what to write with, which the shard has to do once and only once; nil if it writes alone.
func (c *chorus) leave(s *shard) *verse {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lingering, s)
	v := s.verse
	s.verse = nil
	return v
}

// verse is one commit of several shards.
type verse struct {
	mu      sync.Mutex
	missing int // shards that have not said yet what they have
	changes []store.Change
	errs    []error
	written chan struct{}
}

// save is Engine.save, together with the other shards. It returns once all have been written.
func (v *verse) save(e *Engine, changes []store.Change) []error {
	v.mu.Lock()
	from := len(v.changes)
	v.changes = append(v.changes, changes...)
	v.missing--
	last := v.missing == 0
	v.mu.Unlock()
	if last {
		if len(v.changes) > 0 {
			v.errs = e.save(v.changes)
		}
		close(v.written)
	}
	if len(changes) == 0 {
		return nil
	}
	<-v.written
	if v.errs == nil {
		return nil
	}
	return v.errs[from : from+len(changes)]
}
