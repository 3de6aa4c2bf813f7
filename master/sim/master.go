package sim

import (
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
)

// master is a process that leads or follows: the real lead.Machine, and while it leads a term with a real engine.
type master struct {
	process
	adapter *adapter
	machine *lead.Machine
	term    *term
	polls   int // numbers the wake-ups of the machine; older ones are void
	trap    trap
	way     time.Duration // how much longer a mutant trusts in its lease
}

// boundary is a point between two steps of a master at which it can be made to stop.
type boundary string

// The boundaries.
const (
	atNone       boundary = ""
	atLeading    boundary = "with the epoch taken"
	atRecovering boundary = "with the tasks loaded"
	atStepped    boundary = "before the commit"
	atCommitting boundary = "with the commit on its way"
	atCommitted  boundary = "with the commit answered"
	atFinished   boundary = "with the callers answered"
	atPerforming boundary = "between trusting and launching"
)

// trap has a master crash, or pause, when it comes to a boundary.
type trap struct {
	at    boundary
	pause time.Duration // 0 is a crash
}

func newMaster(w *world, name string) *master {
	m := &master{process: w.process(name)}
	m.alive = false
	return m
}

// start begins a new life.
func (m *master) start() {
	m.life++
	m.alive, m.paused, m.term, m.trap = true, false, nil, trap{}
	m.adapter = newAdapter(&m.process, m.w.db)
	m.machine = lead.New(m.w.opt.lease, store.Member{ID: m.id()})
	m.w.say(m.name, "starts")
	m.poll()
}

// id is the name of the present life.
func (m *master) id() string { return m.name + "." + num(m.life) }

// crash ends the life, and begins another after a while.
func (m *master) crash(down time.Duration) {
	m.w.say(m.name, "crashes")
	m.kill()
	m.term, m.trap = nil, trap{}
	m.w.after(down, m.start)
}

// at goes on with next, unless a trap is set at this boundary. One that is paused there goes on when it is resumed.
func (m *master) at(b boundary, next func()) {
	if m.trap.at != b {
		next()
		return
	}
	t := m.trap
	m.trap = trap{}
	m.w.say(m.name, "is caught", string(b))
	if t.pause == 0 {
		m.w.stats.count("crash " + string(b))
		m.crash(m.w.between(100*time.Millisecond, 4*time.Second))
		return
	}
	m.w.stats.count("pause " + string(b))
	m.stop(t.pause)
	m.after(0, next)
}

// stop pauses the master for a while.
func (m *master) stop(d time.Duration) {
	life := m.life
	m.pause()
	m.w.after(d, func() {
		if m.life == life && m.paused {
			m.w.say(m.name, "wakes up")
			m.resume()
		}
	})
}

// poll has the machine do what is due, and comes again when more is.
func (m *master) poll() {
	campaign, changes := m.machine.Tick(m.clock())
	m.heed(changes)
	if campaign {
		m.campaign()
	}
	m.polls++
	n := m.polls
	m.after(m.until(m.machine.Due()), func() {
		if m.polls == n {
			m.poll()
		}
	})
}

// campaign makes one call of the store.
func (m *master) campaign() {
	sent, over := m.clock(), false
	answered := func(l store.Lease, err error) {
		if over {
			return
		}
		over = true
		m.way = 0
		if m.w.opt.Mutant == MutantLateTrust {
			m.way = m.clock().Sub(sent)
		}
		m.heed(m.machine.Answered(m.clock(), lead.Answer{Sent: sent, Lease: l, Err: err}, m.w.r.Float64()))
		m.poll()
	}
	m.after(m.w.opt.lease.Timeout, func() { answered(store.Lease{}, errNoAnswer) })
	m.adapter.campaign(m.machine.Self(), m.w.opt.lease.TTL, m.w.opt.lease.Timeout, answered)
}

// turn takes the news that the lease changed hands.
func (m *master) turn() {
	m.machine.Turn(m.clock())
	m.poll()
}

// heed deals with what the machine says.
func (m *master) heed(changes []lead.Change) {
	for _, c := range changes {
		if c.Kind != lead.Renewed {
			m.w.say(m.name, c.Kind.String(), c.State.Leader.ID)
		}
		t := m.term
		switch c.Kind {
		case lead.BecameLeader:
			m.w.stats.Terms++
			m.term = newTerm(m, c.State)
			m.term.begin()
		case lead.Renewed:
			if t != nil && t.number == c.State.Term {
				t.renewed(c)
			}
		case lead.LostLead:
			m.term = nil
		}
	}
	m.w.check.leaders()
}

// renewed lets the term act for longer. After the lease had lapsed somebody else may have led: then the epoch tells.
func (t *term) renewed(c lead.Change) {
	t.lease = c.State.Until.Add(t.m.way)
	mutant := t.m.w.opt.Mutant
	if c.Lapsed && !t.doubt && mutant != MutantNoConfirm {
		t.doubt = true
		t.m.w.stats.count("lease lapsed")
	}
	if !t.doubt {
		t.trust = t.lease
		return
	}
	if !t.serving || t.asking {
		return
	}
	t.asking = true
	t.m.adapter.confirm(t.epoch, func(err error) {
		if t.over() {
			return
		}
		t.asking = false
		switch {
		case err == nil:
			t.doubt, t.trust = false, t.lease
			t.m.w.check.leaders()
		case errors.Is(err, store.ErrFenced):
			t.fence("its epoch is over")
		}
	})
}

// giveUp ends a term that cannot go on, and begins another after a pause if the lease is still this master's.
func (t *term) giveUp(why string) {
	const calm = 500 * time.Millisecond
	m := t.m
	if t.over() {
		return
	}
	m.w.say(m.name, "gives up term", num(t.number), why)
	m.term = nil
	m.after(calm, func() {
		m.heed(m.machine.Fenced(m.clock(), t.number))
		m.poll()
	})
}

// fence ends a term whose epoch is over.
func (t *term) fence(why string) {
	t.m.w.stats.count("fenced")
	t.giveUp(why)
}
