package engine

import (
	"sync"

	"github.com/clic-orchestrator/clic/master/store"
)

// lingerers are the shards that linger. They write together: the moment at which one has lingered long enough is the end of it for all, and
// what they have goes to the store in one commit. Each by itself would write the same pages, and wait for the same disk, one after the other.
type lingerers struct {
	mu     sync.Mutex
	shards map[*shard]bool
}

// enter notes that a shard lingers.
func (l *lingerers) enter(s *shard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shards == nil {
		l.shards = map[*shard]bool{}
	}
	l.shards[s] = true
}

// over ends the lingering of all.
func (l *lingerers) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &jointCommit{missing: len(l.shards), written: make(chan struct{})}
	for s := range l.shards {
		s.joint = c
		s.signal()
	}
	clear(l.shards)
}

// ended reports whether somebody has ended the lingering of a shard.
func (l *lingerers) ended(s *shard) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.joint != nil
}

// leave ends the lingering of a shard. It gives what to write with, which the shard has to do once and only once; nil if it writes alone.
func (l *lingerers) leave(s *shard) *jointCommit {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.shards, s)
	c := s.joint
	s.joint = nil
	return c
}

// jointCommit is one commit of several shards.
type jointCommit struct {
	mu      sync.Mutex
	missing int // shards that have not said yet what they have
	changes []store.Change
	errs    []error
	written chan struct{}
}

// save is Engine.save, together with the other shards. It returns once all have been written.
func (c *jointCommit) save(e *Engine, changes []store.Change) []error {
	c.mu.Lock()
	from := len(c.changes)
	c.changes = append(c.changes, changes...)
	c.missing--
	last := c.missing == 0
	c.mu.Unlock()
	if last {
		if len(c.changes) > 0 {
			c.errs = e.save(c.changes)
		}
		close(c.written)
	}
	if len(changes) == 0 {
		return nil
	}
	<-c.written
	if c.errs == nil {
		return nil
	}
	return c.errs[from : from+len(changes)]
}
