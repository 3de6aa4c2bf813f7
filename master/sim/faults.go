package sim

import (
	"time"
)

// faultPlan says when something goes wrong; what it is is decided then.
type faultPlan struct {
	// quiet is until when nothing else goes wrong.
	quiet time.Duration
	// race is a paused leader for whom somebody else leads for a short while.
	race *master
	// forget has the store forget the next epoch that it gives.
	forget bool
}

// schedule plans n faults, and the calm after them.
func (w *world) schedule(n int) {
	for range n + n/10 { // some are put off until nothing goes wrong any more
		w.after(w.between(time.Second, w.opt.storm), w.fault)
	}
	w.after(w.opt.storm, w.calmDown)
	if n > 0 && (w.opt.patience >= 0 || w.chance(2)) {
		// Nobody takes over after that, so that what is stranded stays so.
		w.after(w.opt.storm-w.between(100*time.Millisecond, 2*time.Second), func() {
			for _, m := range w.masters {
				if m.alive && m.term != nil && m.term.serving {
					w.intoTheFog(m)
				}
			}
		})
	}
}

// fault lets something go wrong.
func (w *world) fault() {
	if w.calm {
		return
	}
	if w.now < w.plan.quiet {
		w.after(w.plan.quiet-w.now+w.upTo(time.Second), w.fault)
		return
	}
	w.stats.Faults++
	m := w.masters[w.r.IntN(len(w.masters))]
	if w.chance(2) { // the leader is the most interesting one
		for _, o := range w.masters {
			if o.term != nil && o.alive {
				m = o
			}
		}
	}
	w.pick(m)
}

// pick chooses what goes wrong, mostly at a master.
func (w *world) pick(m *master) {
	store, host := &w.db.process, &w.hosts[w.r.IntN(len(w.hosts))].process
	long := w.between(100*time.Millisecond, 6*time.Second)
	switch n := w.r.IntN(37); {
	case n < 3 && m.alive:
		w.stats.count("crash")
		m.crash(w.between(100*time.Millisecond, 4*time.Second))
	case n < 9 && m.alive:
		t := trap{at: boundaries()[w.r.IntN(len(boundaries()))]}
		if w.chance(2) {
			t.pause = w.between(100*time.Millisecond, 8*time.Second)
		}
		m.trap = t
	case n < 12 && m.alive && !m.paused:
		w.stats.count("pause")
		w.say(m.name, "is paused for", long.String())
		m.stop(long)
	case n < 15:
		w.spoil(&m.process, store, long)
	case n < 17:
		w.spoil(&m.process, host, long)
	case n < 18:
		for _, c := range w.clients {
			w.spoil(&m.process, &c.process, long)
		}
	case n < 19:
		for _, o := range w.masters {
			if o != m {
				w.spoil(&m.process, &o.process, long)
			}
		}
	case n < 22:
		w.restartStore(w.between(10*time.Millisecond, 4*time.Second), false)
	case n < 25:
		w.restartStore(w.between(10*time.Millisecond, 2*time.Second), true)
	case n < 26:
		w.hideStore(w.between(500*time.Millisecond, 4*time.Second))
	case n < 27:
		w.stats.count("host crash")
		h := w.hosts[w.r.IntN(len(w.hosts))]
		if h.alive {
			h.crash(w.between(100*time.Millisecond, 3*time.Second))
		}
	case n < 29 && m.alive && !m.paused:
		m.leave()
	case n < 31:
		w.stats.count("slow, then cut")
		w.say("network", "slow, then cut", m.name)
		l := w.linkOf(&m.process, store)
		d := w.between(500*time.Millisecond, 1500*time.Millisecond)
		l.slow, l.lag = w.now+d, w.opt.lease.Timeout
		w.after(d, func() {
			if !w.calm && w.now >= w.plan.quiet {
				l.cut = w.now + long
			}
		})
	case n < 33:
		w.relayRace(m)
	case n < 35:
		w.plan.forget = true
	case n < 37:
		w.intoTheFog(m)
	}
}

// intoTheFog has somebody submit to a master whose writes reach the store much too late for a while.
func (w *world) intoTheFog(m *master) {
	if w.now < w.plan.quiet || !m.alive {
		return
	}
	w.stats.count("submission into the fog")
	w.say("network", "fog", m.name)
	m.adapter.fog = w.now + storeTries*storeTimeout + max(0, w.opt.patience) + w.upTo(500*time.Millisecond)
	for _, c := range w.clients {
		if c.alive && len(w.db.order) < 2*w.opt.tasks {
			c.submit(smallPlan(w.r))
		}
	}
}

// loseTheBaton pauses the second of a relay race right after it got its epoch, lets the store forget that, and the first
// wake up.
func (w *world) loseTheBaton(first *master, by writer) {
	w.after(w.upTo(5*time.Millisecond), func() {
		if w.calm || w.now < w.plan.quiet || !w.canLose(time.Second) || !w.onlyLeases(time.Second) {
			return
		}
		w.stats.count("baton lost")
		w.plan.race = nil
		w.restartStore(10*time.Millisecond, true)
		for _, m := range w.masters {
			if &m.process == by.process && m.alive && !m.paused {
				m.stop(w.between(3*time.Second, 6*time.Second))
			}
		}
		first.resume()
	})
}

// forgets lets the store forget an epoch that it has just given, if it is meant to; and who got it may not come back soon.
func (w *world) forgets(by writer) {
	if first := w.plan.race; first != nil && &first.process != by.process && w.chance(2) {
		w.loseTheBaton(first, by)
		return
	}
	if !w.plan.forget {
		return
	}
	w.after(w.upTo(800*time.Millisecond), func() {
		if w.calm || w.now < w.plan.quiet || !w.plan.forget || !w.canLose(time.Second) {
			return
		}
		w.plan.forget = false
		w.stats.count("epoch forgotten")
		needed := !w.onlyLeases(time.Second)
		w.restartStore(w.between(10*time.Millisecond, time.Second), true)
		for _, m := range w.masters {
			if &m.process != by.process || !m.alive || m.paused || needed {
				continue
			}
			switch w.r.IntN(3) {
			case 0:
				m.crash(w.between(3*time.Second, 6*time.Second))
			case 1:
				m.stop(w.between(500*time.Millisecond, 6*time.Second))
			}
		}
	})
}

// relayRace pauses a leader, has whoever takes over crash a little later, and lets the first wake up when it can have the
// lease again, without ever having heard of the other.
func (w *world) relayRace(m *master) {
	if !m.alive || m.paused || m.term == nil || w.plan.race != nil {
		return
	}
	w.stats.count("relay race")
	w.say(m.name, "is paused for a relay race")
	w.plan.race = m
	m.stop(12 * time.Second)
	life := m.life
	w.after(12*time.Second, func() {
		if w.plan.race == m && m.life == life {
			w.plan.race = nil
		}
	})
}

// opened is told of every master that begins to serve. The second of a relay race crashes, or has the store forget what it
// wrote, just when the first wakes up.
func (w *world) opened(m *master) {
	first := w.plan.race
	if first == nil || first == m {
		return
	}
	w.plan.race = nil
	w.crowd(func(c *client, task *mirror) { c.suspend(task.name, task.nodes[len(task.nodes)-1].spec.ID) })
	wakes := w.chance(3)
	m.after(w.between(200*time.Millisecond, 1500*time.Millisecond), func() {
		if w.calm || !first.paused || w.now < w.plan.quiet {
			return
		}
		if wakes {
			if w.canLose(time.Second) {
				w.stats.count("woken by a loss")
				w.restartStore(w.between(time.Millisecond, 50*time.Millisecond), true)
				first.resume()
			}
			return
		}
		for _, o := range w.masters {
			if o != first && o.alive {
				o.crash(5 * time.Second)
			}
		}
		life := first.life
		w.after(w.between(w.opt.lease.TTL, w.opt.lease.TTL+time.Second), func() {
			if first.life == life && first.paused {
				w.say(first.name, "wakes up")
				first.resume()
				w.crowd(func(c *client, task *mirror) { c.run(&op{what: "read", task: task.name, req: read(task.name)}) })
			}
		})
	})
}

// crowd has every client do something with some task, several times in the next second.
func (w *world) crowd(do func(c *client, task *mirror)) {
	for _, c := range w.clients {
		for range 4 {
			c.after(w.upTo(time.Second), func() {
				if task := w.check.anyTask(w.r); task != nil && !w.calm {
					do(c, task)
				}
			})
		}
	}
}

func boundaries() []boundary {
	return []boundary{atLeading, atRecovering, atStepped, atCommitting, atCommitted, atFinished, atPerforming, atPerforming}
}

// spoil does something to a link for a while.
func (w *world) spoil(a, b *process, d time.Duration) {
	l := w.linkOf(a, b)
	switch w.r.IntN(3) {
	case 0:
		w.stats.count("partition")
		w.say("network", "cut", a.name, b.name, d.String())
		l.cut = w.now + d
	case 1:
		w.stats.count("slow link")
		w.say("network", "slow", a.name, b.name, d.String())
		l.slow, l.lag = w.now+d, w.between(10*time.Millisecond, 3*time.Second)
	default:
		w.stats.count("lossy link")
		w.say("network", "lossy", a.name, b.name, d.String())
		l.lossy = w.now + d
	}
}

// leave stops a master in order, and starts it again soon: it gives the lease back.
func (m *master) leave() {
	w := m.w
	w.stats.count("resigned")
	w.say(m.name, "resigns")
	m.machine.Resign()
	m.term = nil
	id := m.id()
	query(m.adapter, storeTimeout, func(d *db) (struct{}, error) {
		d.resign(m.adapter.by, id)
		d.turned()
		return struct{}{}, nil
	}, func(struct{}, error) { m.crash(w.between(100*time.Millisecond, 2*time.Second)) })
}

// turned tells the masters that the lease changed hands.
func (d *db) turned() {
	for _, m := range d.w.masters {
		d.w.send(&d.process, &m.process, m.turn, nil)
	}
}

// restartStore ends the store's life and begins another after a while. lossy takes the last second away, if who wrote that
// is there to put it back: then nothing else goes wrong until it has.
func (w *world) restartStore(down time.Duration, lossy bool) {
	d := w.db
	if !d.alive {
		return
	}
	const second = time.Second
	lossy = lossy && w.canLose(second)
	what := "store restart"
	if lossy {
		what = "store restart with a loss"
		w.undisturbed(down + 5*time.Second)
	}
	w.stats.count(what)
	w.say("store", "goes down for", down.String())
	d.kill()
	if lossy {
		d.lose(second)
	}
	w.after(down, func() {
		d.alive, d.began = true, w.now
		w.say("store", "is back")
	})
}

// undisturbed ends what is wrong with the links to the store, and lets nothing else go wrong for a while.
func (w *world) undisturbed(d time.Duration) {
	w.plan.quiet = w.now + d
	for _, m := range w.masters {
		m.trap = trap{}
		w.linkOf(&m.process, &w.db.process).heal()
		if m.alive {
			m.adapter.fog = 0
		}
	}
}

// onlyLeases reports whether nothing was written lately but leases and epochs.
func (w *world) onlyLeases(span time.Duration) bool {
	for _, u := range w.db.undo {
		if u.at > w.now-span && u.what != "lease" && u.what != "fence" {
			return false
		}
	}
	return true
}

// canLose reports whether nobody minds if the store loses what was written lately: because it is nothing but leases and
// epochs, or because one leader wrote all of it and is there to put it back.
func (w *world) canLose(span time.Duration) bool {
	if w.opt.patience >= 0 {
		return false // a change that was given up may have been applied, and nobody can put it back
	}
	if w.onlyLeases(span) {
		return true
	}
	var by writer
	for _, u := range w.db.undo {
		if u.at <= w.now-span {
			continue
		}
		if by.process != nil && u.by != by || u.by.life != u.by.process.life {
			return false
		}
		by = u.by
	}
	for _, m := range w.masters {
		if &m.process == by.process {
			return m.alive && !m.paused && m.term != nil && m.term.serving && !w.linkOf(by.process, &w.db.process).bad(w.now)
		}
	}
	return false
}

// hideStore lets the store come back as an empty one for a while, until somebody puts the right one back. Nobody that knows
// better believes it; nobody new comes meanwhile.
func (w *world) hideStore(d time.Duration) {
	for _, m := range w.masters {
		if !m.alive {
			return
		}
	}
	w.stats.count("store came back empty")
	w.say("store", "is empty for", d.String())
	w.undisturbed(d)
	w.db.kill()
	w.db.alive, w.db.hidden, w.db.began = true, true, w.now
	w.after(d, func() {
		w.db.kill()
		w.db.alive, w.db.hidden, w.db.began = true, false, w.now
		w.say("store", "is what it was")
	})
}

// calmDown ends all that is wrong.
func (w *world) calmDown() {
	w.calm = true
	w.say("world", "is calm")
	for _, l := range w.links {
		l.heal()
	}
	for _, m := range w.masters {
		m.trap = trap{}
		if m.paused {
			m.resume()
		}
	}
	w.clients[0].tidy()
}
