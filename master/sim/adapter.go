package sim

import (
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// adapter is a process's end of the store: it repeats what was not answered, knows a change that was applied by its batch's
// id, notices that the store was restarted, and then puts back what had been acknowledged lately.
type adapter struct {
	p  *process
	by writer
	db *db
	// run is the life of the store that the connection is to.
	run int
	// epoch is that of the newest lead of this process.
	epoch uint64
	// window is what was acknowledged lately, in order.
	window  []past
	healing bool
	waiting []func(error) // calls that wait for the healing
	// fog is until when what is written comes much too late.
	fog time.Duration
	// session counts the commits of which it is not known what became. The next one that arrives shuts those out.
	session uint64
	// anew is set once the store was restarted since the last lead of this process.
	anew bool
	// settled is when new commits are sent again after the store was restarted: whoever led last has raised the fence by then.
	settled time.Duration
}

// past is a change that was acknowledged.
type past struct {
	at    time.Duration
	epoch uint64
	c     store.Change
	batch string
}

// Times of the adapter.
const (
	storeTimeout = 400 * time.Millisecond
	storeTries   = 3
	windowLength = 5 * time.Second
)

func newAdapter(p *process, d *db) *adapter {
	return &adapter{p: p, by: writer{p, p.life}, db: d, run: d.life}
}

// query makes one call of the store. Where the connection broke it is made again once the store was healed.
func query[T any](a *adapter, timeout time.Duration, do func(d *db) (T, error), done func(T, error)) {
	once(a, timeout, do, func(v T, err error) {
		if errors.Is(err, errReset) {
			query(a, timeout, do, done)
			return
		}
		done(v, err)
	})
}

// once makes one call of the store. errReset says that the connection broke, and that the store was healed since.
func once[T any](a *adapter, timeout time.Duration, do func(d *db) (T, error), done func(T, error)) {
	var zero T
	healed := func(err error) {
		if err == nil {
			err = errReset
		}
		done(zero, err)
	}
	if a.healing {
		a.waiting = append(a.waiting, healed)
		return
	}
	run := a.run
	ask(a.p, &a.db.process, timeout, func(answer func(T, error)) {
		switch {
		case run != a.db.life:
			answer(zero, errReset)
		case a.db.hidden:
			answer(zero, store.ErrRolledBack)
		default:
			if v, err := do(a.db); !errors.Is(err, errNoAnswer) {
				answer(v, err)
			}
		}
	}, func(v T, err error) {
		switch {
		case errors.Is(err, errReset):
			a.heal(healed)
		case errors.Is(err, errNoAnswer), errors.Is(err, errRefused):
			done(v, errors.Join(store.ErrUnavailable, err))
		default:
			done(v, err)
		}
	})
}

// heal connects anew, and puts back what the store may have lost.
func (a *adapter) heal(done func(error)) {
	a.waiting = append(a.waiting, done)
	if a.healing {
		return
	}
	a.healing = true
	w := a.p.w
	a.window = slices.DeleteFunc(a.window, func(p past) bool { return p.at < w.now-windowLength })
	redo, epoch, run := a.window, a.epoch, a.run
	if w.opt.Mutant == MutantNoRedo {
		redo = nil
	}
	ask(a.p, &a.db.process, storeTimeout, func(answer func(int, error)) {
		if a.db.hidden {
			answer(0, store.ErrRolledBack)
			return
		}
		a.db.putBack(a.by, run, epoch, redo)
		answer(a.db.life, nil)
	}, func(now int, err error) {
		a.healing = false
		switch {
		case err == nil:
			if a.run != now && w.opt.Mutant != MutantNoSettling {
				a.settled = w.now + settling
			}
			a.anew = a.anew || a.run != now
			a.run = now
			w.say(a.p.name, "reconnected to the store", num(len(redo)))
		case !errors.Is(err, store.ErrRolledBack):
			err = errors.Join(store.ErrUnavailable, err)
		}
		waiting := a.waiting
		a.waiting = nil
		for _, f := range waiting {
			f(err)
		}
	})
}

// putBack writes again what was acknowledged once, and raises the fence to where it was. It is done while the store settles,
// when nobody else does anything, by those who knew the last life in which anybody did: what comes later is too late. Nor is it
// done by who was deposed: with the fence that did it, all that came before is there.
func (d *db) putBack(by writer, run int, epoch uint64, redo []past) {
	if d.w.now >= d.began+settling || run < d.acted || epoch < d.fence {
		return
	}
	if epoch > d.fence {
		old := d.fence
		d.note(by, "fence", func() { d.fence = old })
		d.fence = epoch
	}
	for i := range redo {
		p := &redo[i]
		old := d.tasks[p.c.Task]
		err := d.commit(by, p.epoch, &p.c, p.batch, true)
		if err == nil && d.tasks[p.c.Task] != old {
			d.w.stats.count("change put back")
		}
	}
}

// commit writes a batch, as store.Store's Commit.
func (a *adapter) commit(epoch uint64, changes []store.Change, done func(error)) {
	ids := make([]string, len(changes))
	for i := range changes {
		ids[i] = batchID(epoch, &changes[i])
	}
	a.try(epoch, changes, ids, storeTries, done)
}

func (a *adapter) try(epoch uint64, changes []store.Change, ids []string, tries int, done func(error)) {
	w := a.p.w
	if w.now < a.settled {
		a.p.after(a.settled-w.now, func() { a.try(epoch, changes, ids, tries, done) })
		return
	}
	session := a.session
	write := func(d *db) ([]error, error) {
		if d.heard[a] > session {
			return nil, errNoAnswer
		}
		d.heard[a] = session
		return d.pipeline(a.by, epoch, changes, ids)
	}
	again := func(err error) {
		if tries <= 1 {
			done(err)
			return
		}
		a.p.after(w.between(20*time.Millisecond, 60*time.Millisecond), func() { a.try(epoch, changes, ids, tries-1, done) })
	}
	if w.now < a.fog {
		// When the fog lifts, or even later: by then it was given up where anything is.
		late := a.fog - w.now + w.upTo(100*time.Millisecond)
		if w.chance(2) {
			late = w.upTo(6 * time.Second)
		}
		a.session++
		a.p.after(late, func() { once(a, storeTimeout, write, func([]error, error) {}) })
		a.p.after(storeTimeout, func() { again(store.ErrUnavailable) })
		return
	}
	once(a, storeTimeout, write, func(codes []error, err error) {
		if err == nil {
			err = worst(codes)
		}
		switch {
		case err == nil:
			for i := range changes {
				a.window = append(a.window, past{w.now, epoch, changes[i], ids[i]})
			}
			done(nil)
		case errors.Is(err, errReset):
			a.try(epoch, changes, ids, tries, done)
		case errors.Is(err, store.ErrUnavailable):
			a.session++
			again(err)
		case errors.Is(err, errBehind):
			again(store.ErrRolledBack)
		default:
			done(err)
		}
	})
}

// pipeline writes the changes of a batch one by one. What can be refused as a whole is, before anything is written. Where
// the network is bad only the first few may arrive.
func (d *db) pipeline(by writer, epoch uint64, changes []store.Change, ids []string) ([]error, error) {
	for i := range changes {
		c := &changes[i]
		if !c.Create {
			continue
		}
		old := d.tasks[c.Task]
		request := c.Header.Request
		if old != nil && old.made != ids[i] || old == nil && request != "" && d.requests[request] != "" {
			return nil, store.ErrExists
		}
	}
	broken := len(changes)
	if d.w.linkOf(by.process, &d.process).bad(d.w.now) && d.w.chance(4) {
		broken = d.w.r.IntN(len(changes) + 1)
	}
	if len(changes) == 0 && d.fence > epoch {
		return nil, store.ErrFenced
	}
	codes := make([]error, len(changes))
	for i := range changes {
		if i == broken {
			d.w.stats.count("batch cut short")
			return nil, errNoAnswer
		}
		codes[i] = d.commit(by, epoch, &changes[i], ids[i], false)
		if gone := errors.Is(codes[i], errBehind) || errors.Is(codes[i], store.ErrNotFound); gone && deleted(changes[i+1:], changes[i].Task) {
			codes[i] = nil // it is being repeated
		}
	}
	return codes, nil
}

// deleted reports whether the rest of a batch deletes the task.
func deleted(rest []store.Change, task string) bool {
	return slices.ContainsFunc(rest, func(c store.Change) bool { return c.Delete && c.Task == task })
}

// worst is the error that says most about a batch.
func worst(codes []error) error {
	for _, e := range []error{store.ErrFenced, errBehind, store.ErrExists, store.ErrConflict} {
		for _, c := range codes {
			if errors.Is(c, e) {
				return e
			}
		}
	}
	return errors.Join(codes...)
}

// batchID identifies a change by what is in it.
func batchID(epoch uint64, c *store.Change) string {
	h := fnv.New64a()
	h.Write([]byte(c.Task))
	for _, n := range c.Nodes {
		h.Write([]byte(num(n.Index)))
		h.Write(n.Spec)
		h.Write(n.State)
	}
	for _, l := range c.Log {
		h.Write(l.Body)
	}
	if c.Header != nil {
		h.Write(c.Header.Body)
	}
	return num(epoch) + "/" + num(c.Base) + "/" + num(h.Sum64())
}

// campaign takes or renews the lease.
func (a *adapter) campaign(m store.Member, ttl, timeout time.Duration, done func(store.Lease, error)) {
	query(a, timeout, func(d *db) (store.Lease, error) { return d.campaign(a.by, m, ttl) }, done)
}

func (a *adapter) lead(id string, done func(uint64, error)) {
	query(a, storeTimeout, func(d *db) (uint64, error) { return d.lead(a.by, id) }, func(epoch uint64, err error) {
		if err == nil {
			a.epoch, a.anew = max(a.epoch, epoch), false
		}
		done(epoch, err)
	})
}

// confirm asks whether an epoch is in force still: it commits nothing. After a restart of the store nobody can be sure what
// others have done in epochs that the store has forgotten, so that a new term has to begin.
func (a *adapter) confirm(epoch uint64, done func(error)) {
	a.commit(epoch, nil, func(err error) {
		if err == nil && a.anew {
			err = store.ErrFenced
		}
		done(err)
	})
}

func (a *adapter) load(name string, done func(*store.Record, error)) {
	query(a, storeTimeout, func(d *db) (*store.Record, error) { return d.record(name) }, done)
}

func (a *adapter) unfinished(done func([]string, error)) {
	query(a, storeTimeout, func(d *db) ([]string, error) { return d.unfinished(), nil }, done)
}

// resolve finds the task of a submission's key.
func (a *adapter) resolve(key string, done func(string, error)) {
	query(a, storeTimeout, func(d *db) (string, error) {
		if name := d.requests[key]; name != "" {
			return name, nil
		}
		return "", store.ErrNotFound
	}, done)
}
