package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// db is the model of the store: what a Redis with the adapter's scripts does. It runs in one thread, so that each call is
// atomic; a batch is as many calls as it has changes.
type db struct {
	process
	// fence is the epoch below which nothing is written.
	fence    uint64
	lease    store.Lease
	until    time.Duration // when the lease is over
	tasks    map[string]*stored
	order    []string // names, in the order of their creation
	requests map[string]string
	// undo is how to take back what was written lately, the newest last: what a restart may lose.
	undo []undo
	// began is when this life began; for a while after that nobody new gets the lease.
	began time.Duration
	// acted is the last life in which anybody got the lease or an epoch, or wrote.
	acted int
	// heard is the highest session that an adapter's commits had.
	heard map[*adapter]uint64
	// hidden is set while the store came back as another, empty one.
	hidden bool
}

// stored is a task in the store. It is not changed, but replaced.
type stored struct {
	rec   store.Record
	log   []store.LogEntry
	batch string // of the last change
	epoch uint64 // that wrote it
	made  string // the batch that created it
	prev  *stored
}

// writer is who calls the store, in one of its lives.
type writer struct {
	*process
	life int
}

type undo struct {
	at   time.Duration
	by   writer
	do   func()
	what string
}

// Results of the calls, besides those of package store.
var (
	// errReset: the connection was to a life of the store that is over.
	errReset = errors.New("connection reset")
	// errBehind: the store has not seen what the change is based on.
	errBehind = errors.New("the store is behind")
	// errLeased: somebody else has the lease.
	errLeased = errors.New("somebody else has the lease")
	// errSettling: the store was restarted, and does not know yet who led.
	errSettling = errors.New("settling after a restart")
)

// Times after a restart of the store; see campaign.
const (
	settling = 2 * time.Second // the length of a lease: all that were lost have run out then
	grace    = 3 * time.Second
)

func newDB(w *world) *db {
	d := &db{process: w.process("store"), tasks: map[string]*stored{}, requests: map[string]string{}, heard: map[*adapter]uint64{}, began: -grace, acted: 1}
	d.life = 1
	return d
}

// note remembers how to take something back.
func (d *db) note(by writer, what string, do func()) {
	const kept = 2 * time.Second
	d.undo = append(d.undo, undo{d.w.now, by, do, what})
	if len(d.undo) > 64 && d.undo[0].at < d.w.now-kept {
		d.undo = slices.DeleteFunc(d.undo, func(u undo) bool { return u.at < d.w.now-kept })
	}
}

// campaign is store.Shared's Campaign. After a restart what the store says of the lease may be old: for a while nobody gets
// it, so that whoever led last comes back, puts back what was lost and raises the fence to its epoch; then only who led
// with that epoch; and then anybody.
func (d *db) campaign(by writer, m store.Member, ttl time.Duration) (store.Lease, error) {
	if d.w.opt.Mutant != MutantNoGrace {
		switch life := d.w.now - d.began; {
		case life < settling:
			return store.Lease{}, errSettling
		case life < grace && (m.Epoch == 0 || m.Epoch != d.fence): // one above the fence was lost for good
			return store.Lease{}, errSettling
		case life < grace && d.lease.Holder.ID != m.ID:
			d.until = 0 // the store does not know better
		}
	}
	if d.w.now >= d.until || d.lease.Holder.ID == m.ID {
		d.act(by)
		lease, until := d.lease, d.until
		d.note(by, "lease", func() { d.lease, d.until = lease, until })
		if d.lease.Holder.ID != m.ID {
			d.turned()
		}
		d.lease.Holder, d.until = m, d.w.now+ttl
	}
	return store.Lease{Holder: d.lease.Holder, Left: d.until - d.w.now}, nil
}

// act notes that somebody acts in this life.
func (d *db) act(by writer) {
	if old := d.acted; old != d.life {
		d.note(by, "lease", func() { d.acted = old })
		d.acted = d.life
	}
}

func (d *db) resign(by writer, id string) {
	if d.lease.Holder.ID == id {
		lease, until := d.lease, d.until
		d.note(by, "lease", func() { d.lease, d.until = lease, until })
		d.lease, d.until = store.Lease{}, 0
	}
}

// lead is store.Store's Lead. Epochs come from the clock, so that one that was lost is not given again.
func (d *db) lead(by writer, id string) (uint64, error) {
	switch {
	case d.w.now < d.until && d.lease.Holder.ID != id:
		return 0, errLeased
	case d.w.now < d.began+settling && d.w.opt.Mutant != MutantNoGrace:
		return 0, errSettling
	}
	d.act(by)
	old := d.fence
	d.note(by, "fence", func() { d.fence = old })
	d.fence = max(old+1, uint64(d.w.now/time.Millisecond))
	if d.w.opt.Mutant == MutantEpochsAgain {
		d.fence = old + 1
	}
	d.w.check.leads(d.fence, by.name)
	d.w.forgets(by)
	return d.fence, nil
}

// commit writes one change, as the script does.
func (d *db) commit(by writer, epoch uint64, c *store.Change, batch string, redo bool) error {
	if d.w.opt.Mutant != MutantStoreIgnoresEpoch && !redo {
		switch {
		case d.fence > epoch:
			return store.ErrFenced
		case d.fence < epoch:
			return store.ErrFenced // the epoch was lost
		}
	}
	old := d.tasks[c.Task]
	switch {
	case c.Delete:
		return d.remove(by, c.Task, old)
	case c.Create:
		if old != nil && old.made == batch {
			return nil
		}
		if old != nil || c.Header.Request != "" && d.requests[c.Header.Request] != "" {
			return store.ErrExists
		}
		old = &stored{}
	case old == nil:
		if c.Base > 0 {
			return errBehind
		}
		return store.ErrNotFound
	default:
		if err := d.follows(old, c, batch); err != nil {
			return err
		}
		if old.batch == batch {
			return nil
		}
	}
	d.apply(by, epoch, old, c, batch)
	return nil
}

// follows compares the task's revision with the one that the change is based on.
func (d *db) follows(old *stored, c *store.Change, batch string) error {
	switch rev := old.rec.Revision; {
	case c.Base == 0 || c.Base == rev || d.w.opt.Mutant == MutantNoCAS:
		return nil
	case rev == c.Base+1 && old.batch == batch:
		return nil
	case rev < c.Base:
		return errBehind
	}
	return store.ErrConflict
}

// apply writes a change that may be written.
func (d *db) apply(by writer, epoch uint64, old *stored, c *store.Change, batch string) {
	d.act(by)
	s := *old
	s.prev = nil
	if !c.Create {
		before := *old
		before.prev = nil
		s.prev = &before
	}
	s.rec.Revision++
	s.batch, s.epoch = batch, epoch
	if c.Create {
		s.made, s.rec.Source = batch, c.Source
	}
	if c.Header != nil {
		s.rec.Header = *c.Header
	}
	s.rec.Nodes = slices.Clone(old.rec.Nodes)
	for _, n := range c.Nodes {
		for int(n.Index) >= len(s.rec.Nodes) {
			s.rec.Nodes = append(s.rec.Nodes, store.NodeRecord{Index: int32(len(s.rec.Nodes))})
		}
		at := &s.rec.Nodes[n.Index]
		if n.Spec != nil {
			at.Spec = n.Spec
		}
		if n.State != nil {
			at.State, at.Status = n.State, n.Status
		}
		at.Stage = n.Stage
	}
	s.log = slices.Clip(old.log)
	for _, l := range c.Log {
		if l.Seq > s.rec.LastSeq {
			s.log = append(s.log, l)
			s.rec.LastSeq = l.Seq
		}
	}
	d.put(by, c.Task, &s, c.Create)
	d.w.stats.Commits++
	d.w.say("store", "applied", c.Task, "epoch", num(epoch), "revision", num(s.rec.Revision), by.name)
	d.w.check.applied(c, &s, epoch)
}

// put replaces a task, and remembers how to take that back.
func (d *db) put(by writer, name string, s *stored, create bool) {
	old, request := d.tasks[name], ""
	if create {
		request = s.rec.Header.Request
		d.order = append(d.order, name)
	}
	if request != "" {
		d.requests[request] = name
	}
	d.tasks[name] = s
	d.note(by, name, func() {
		if old != nil {
			d.tasks[name] = old
		} else {
			delete(d.tasks, name)
			d.order = slices.DeleteFunc(d.order, func(n string) bool { return n == name })
		}
		if request != "" {
			delete(d.requests, request)
		}
	})
}

func (d *db) remove(by writer, name string, old *stored) error {
	if old == nil {
		return nil
	}
	at := slices.Index(d.order, name)
	request := old.rec.Header.Request
	delete(d.tasks, name)
	d.order = slices.Delete(d.order, at, at+1)
	if request != "" {
		delete(d.requests, request)
	}
	d.note(by, name, func() {
		d.tasks[name] = old
		d.order = append(d.order, name)
		if request != "" {
			d.requests[request] = name
		}
	})
	d.w.say("store", "deleted", name, by.name)
	d.w.check.removed(name)
	return nil
}

// record is a task as Load gives it.
func (d *db) record(name string) (*store.Record, error) {
	s := d.tasks[name]
	if s == nil {
		return nil, store.ErrNotFound
	}
	rec := s.rec
	return &rec, nil
}

// unfinished lists the tasks that have not ended.
func (d *db) unfinished() (names []string) {
	for _, name := range d.order {
		if !d.tasks[name].rec.Header.Status.Terminal() {
			names = append(names, name)
		}
	}
	return names
}

// lose takes back what was written in the last second, as a crash of the machine does to a file that is synchronised every
// second.
func (d *db) lose(span time.Duration) int {
	n := 0
	for len(d.undo) > 0 && d.undo[len(d.undo)-1].at > d.w.now-span {
		u := d.undo[len(d.undo)-1]
		d.undo = d.undo[:len(d.undo)-1]
		u.do()
		n++
	}
	d.w.say("store", "lost", num(n), "writes")
	d.w.check.lost()
	return n
}

// previous is a task as it was before its last change, nil if there was nothing.
func (d *db) previous(name string) *store.Record {
	if s := d.tasks[name]; s != nil && s.prev != nil {
		return &s.prev.rec
	}
	return nil
}
