package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// maxFaults is how often a run may be dropped because an event broke it. After that the task is left alone.
const maxFaults = 8

// adopt makes a run active. What follows from its state is looked at before the step is over.
func (s *shard) adopt(b *batch, t *task) {
	t.lane = s.e.dispatch.newLane(s, t.name)
	s.tasks[t.name] = t
	s.e.active.add(t.name, s, int(t.run.Task().Stages))
	s.e.finished.forget(t.name)
	for i := range int32(t.run.Len()) {
		n := t.run.Node(i)
		if !n.Live {
			continue
		}
		sd := t.at(i)
		sd.attempt = n.Attempt
		if holdsSlot(n) {
			sd.slot = &item{task: t, node: i, prio: priority(t.run, n)}
			sd.held = true
			s.e.dispatch.hold(sd.slot, s.e.groupOf(sd.slot))
		}
		s.review(b, t, i)
	}
	for _, f := range t.run.Pending() {
		s.review(b, t, f.Node)
	}
	b.touched = append(b.touched, t)
}

// inherit takes over from a run that was dropped what was under way outside: launches and cancels whose answers are to
// come, and the index of live attempts.
func (t *task) inherit(e *Engine, old *task) {
	for i, o := range old.side {
		if !o.live {
			continue
		}
		if int(i) < t.run.Len() {
			if n := t.run.Node(i); n.Live && n.Attempt == o.attempt {
				sd := t.at(i)
				sd.attempt, sd.tries, sd.error, sd.live = o.attempt, o.tries, o.error, true
				sd.keptAt, sd.pausing = o.keptAt, o.pausing
				t.live++
				if o.launch == launchSent || o.launch == launchDone {
					sd.launch = o.launch
				}
				if o.cancel == cancelSent {
					sd.cancel = o.cancel
				}
				continue
			}
		}
		e.attempts.remove(dag.AttemptID(old.run.Node(i).Spec.ID, o.attempt))
	}
	old.release()
}

// taken goes on with a task that was read from the store, or that could not be.
func (s *shard) taken(b *batch, x *loaded) {
	name := x.task
	l := s.loading[name]
	if l == nil {
		l = &loading{} // at the start
	}
	if x.err != nil {
		s.notLoaded(b, l, x)
		return
	}
	delete(s.loading, name)
	if l.dropped != nil {
		x.run.inherit(s.e, l.dropped)
	}
	s.adopt(b, x.run)
	for _, w := range l.waiting {
		if q, ok := w.(*query); ok {
			s.ask(q)
		}
	}
	for _, w := range l.waiting {
		if _, ok := w.(*query); !ok {
			s.take(b, w)
		}
	}
}

func (s *shard) notLoaded(b *batch, l *loading, x *loaded) {
	name, waiting := x.task, l.waiting
	if errors.Is(x.err, store.ErrUnavailable) && l.dropped != nil {
		l.waiting = nil
		for _, w := range waiting {
			if w.again() {
				l.waiting = append(l.waiting, w)
			} else {
				w.done(nil, dag.Delta{}, x.err)
			}
		}
		s.reload(b.now, name, l)
		return
	}
	delete(s.loading, name)
	switch {
	case errors.Is(x.err, store.ErrNotFound):
		s.abandon(name, l)
	case errors.Is(x.err, store.ErrUnavailable):
	default:
		s.e.log.Error("cannot load task; it is left alone", "task", name, "error", x.err)
		s.isolate(name, x.err)
		s.abandon(name, l)
	}
	for _, w := range waiting {
		w.done(nil, dag.Delta{}, x.err)
	}
}

// isolate leaves a task alone that cannot be run. It stays in the store as it is, for somebody to look at.
func (s *shard) isolate(name string, err error) {
	s.e.count.broken.Add(1)
	err = fmt.Errorf("task %q cannot be run: %w", name, err)
	s.broken[name] = err
	s.e.broken.Store(name, err)
}

// abandon forgets what was outside of a run that does not come back.
func (s *shard) abandon(name string, l *loading) {
	s.e.active.remove(name)
	if l.dropped == nil {
		return
	}
	for i, o := range l.dropped.side {
		if o.live {
			s.e.attempts.remove(dag.AttemptID(l.dropped.run.Node(i).Spec.ID, o.attempt))
		}
	}
	l.dropped.release()
	l.dropped = nil
}

// reload asks for a dropped task after a while that grows.
func (s *shard) reload(now dag.Time, name string, l *loading) {
	at := now + dag.Time(s.e.backoff(l.tries).Milliseconds())
	l.tries++
	s.timers.push(timer{at: at, kind: timerReload, name: name})
}

// drop gives up a run whose state in memory cannot be relied on. What waited for it waits on.
func (s *shard) drop(t *task) {
	t.gone = true
	delete(s.tasks, t.name)
	for _, i := range t.known() {
		if sd := t.side[i]; sd.slot != nil {
			s.e.dispatch.drop(sd.slot, s)
			sd.slot = nil
		}
	}
}

// evict takes a run out of memory of which nothing is left to do.
func (s *shard) evict(t *task) {
	s.drop(t)
	for i, sd := range t.side {
		if sd.live {
			s.e.attempts.remove(dag.AttemptID(t.run.Node(i).Spec.ID, sd.attempt))
		}
	}
	s.e.active.remove(t.name)
	t.release()
}

// release lets the garbage collector have the run: timers and orders may point to the task for long.
func (t *task) release() { t.run, t.program, t.side, t.marks, t.lane = nil, nil, nil, nil, nil }

// remove prepares the deletion of a task.
func (s *shard) remove(b *batch, x *deletion) {
	t := s.tasks[x.task]
	if l := s.loading[x.task]; t == nil && l != nil {
		l.waiting = append(l.waiting, x)
		return
	}
	if t != nil && !t.run.Task().Status.Terminal() {
		x.done(t, dag.Delta{}, &dag.Refusal{
			Reason: fmt.Sprintf("task %q has not ended: it is %s", x.task, t.run.Task().Status), Hint: "cancel it first, or force the deletion",
		})
		return
	}
	b.deleted = append(b.deleted, x)
}

// encode makes the batch's changes out of what is marked.
func (s *shard) encode(b *batch) {
	for _, t := range b.broke {
		s.e.log.Error("an event broke a task; it is loaded again", "task", t.name, "error", b.faulty[t])
	}
	var a arena
	for _, t := range b.tasks {
		if b.faulty[t] != nil || t.gone {
			continue
		}
		b.changes = append(b.changes, s.change(t, &a))
		b.parts = append(b.parts, part{task: t})
	}
	for _, x := range b.deleted {
		b.changes = append(b.changes, store.Change{Delete: true, Task: x.task})
		b.parts = append(b.parts, part{task: s.tasks[x.task], deletion: x})
	}
}

func (s *shard) change(t *task, a *arena) store.Change {
	c := store.Change{Task: t.name, Base: t.revision, Log: t.log}
	if t.create != nil {
		c.Create, c.Source = true, t.create.source
	}
	if t.header || c.Create {
		c.Header = s.e.header(t.run.Task(), a.add(t.run.AppendHeader))
	}
	c.Nodes = make([]store.NodeRecord, len(t.changed))
	for k, i := range t.changed {
		r := &c.Nodes[k]
		r.Index, r.Stage = i, t.run.Node(i).Spec.ID
		if t.marks[i]&markSpec != 0 {
			r.Spec = a.add(func(buf []byte) []byte { return t.run.AppendSpec(buf, i) })
		}
		if t.marks[i]&markState != 0 {
			r.State = a.add(func(buf []byte) []byte { return t.run.AppendState(buf, i) })
			r.Status = t.run.Node(i).Status.String()
		}
	}
	return c
}

// header makes the stored header of a task.
func (e *Engine) header(t *dag.Task, body []byte) *store.Header {
	h := &store.Header{
		Task: t.Name, Plan: strings.ToLower(t.Plan), Status: t.Status, Submitted: t.Submitted, Ended: t.Ended,
		Labels: t.Labels, Request: t.Request, Body: body,
	}
	if t.Status.Terminal() {
		h.Expires = t.Ended + dag.Time(e.cfg.retain(t))
	}
	return h
}

// arena holds encoded records, in few large pieces instead of many small ones: each is twice as large as the one before, up to a bound.
type arena struct {
	free []byte // what is left of the piece
	size int    // of the piece
}

func (a *arena) add(encode func([]byte) []byte) []byte {
	const least, most = 1 << 10, 64 << 10
	if len(a.free) < a.size/8 || a.size == 0 {
		a.size = min(max(2*a.size, least), most)
		a.free = make([]byte, a.size)
	}
	record := encode(a.free[:0])
	if n := len(record); n <= len(a.free) { // else it has moved to a place of its own
		a.free = a.free[n:]
		record = record[:n:n]
	}
	return record
}

// finish ends a batch: errs are what became of its changes, nil if all are durable. Callers are answered here, and only
// here is anything handed out that acts outside.
func (s *shard) finish(now dag.Time, b *batch, errs []error) effects {
	var fx effects
	failed := map[*task]error{}
	for _, t := range b.broke {
		failed[t] = b.faulty[t]
	}
	outcome := func(i int) error {
		if errs == nil {
			return nil
		}
		return errs[i]
	}
	for i, p := range b.parts {
		if p.deletion == nil {
			s.settled(p.task, outcome(i), failed, &fx)
		}
	}
	for _, list := range [][]*task{b.broke, b.tasks} {
		for _, t := range list {
			if err := failed[t]; err != nil {
				s.lost(now, b, t, err)
			}
		}
	}
	for i := range b.applied {
		a := &b.applied[i]
		err, bad := failed[a.task]
		switch {
		case !bad:
			a.in.done(a.task, a.delta, a.err)
		case a.culprit:
			a.in.done(nil, dag.Delta{}, a.err)
		case a.in.again() && s.loading[a.task.name] != nil:
			l := s.loading[a.task.name]
			l.waiting = append(l.waiting, a.in)
		default:
			a.in.done(nil, dag.Delta{}, retriable(a.task.name, err))
		}
	}
	for i, p := range b.parts {
		if p.deletion != nil {
			s.deleted(p, outcome(i), &fx)
		}
	}
	s.act(b, &fx)
	for _, list := range [][]*task{b.tasks, b.touched} {
		for _, t := range list {
			if !t.gone && t.over() {
				s.evict(t)
			}
		}
	}
	for _, c := range b.controls {
		c.answer(nil)
	}
	fx.loads = b.loads
	s.current = nil
	return fx
}

// settled notes what became of a task's change.
func (s *shard) settled(t *task, err error, failed map[*task]error, fx *effects) {
	if err != nil {
		failed[t] = err
		return
	}
	if len(t.log) > 0 {
		fx.news = append(fx.news, t.name)
	}
	if k := t.run.Task(); k.Status.Terminal() {
		s.e.expiring(k.Ended + dag.Time(s.e.cfg.retain(k)))
	}
	t.saved()
}

// deleted notes what became of a deletion. What still runs of the task is stopped.
func (s *shard) deleted(p part, err error, fx *effects) {
	if err == nil {
		fx.news = append(fx.news, p.deletion.task)
		s.e.finished.forget(p.deletion.task)
		delete(s.broken, p.deletion.task)
		s.e.broken.Delete(p.deletion.task)
		if t := p.task; t != nil && !t.gone {
			for _, i := range t.known() {
				if sd := t.side[i]; sd.live && !s.paused {
					s.sendCancel(order{t, i, sd.attempt}, fx)
				}
			}
			s.evict(t)
		}
	}
	p.deletion.done(p.task, dag.Delta{}, err)
}

// lost drops a run whose change was not saved, or perhaps was, and has it loaded again.
func (s *shard) lost(now dag.Time, b *batch, t *task, err error) {
	if t.gone {
		return
	}
	s.drop(t)
	s.e.count.reloads.Add(1)
	if errors.Is(err, store.ErrFenced) {
		return // the store is somebody else's now; nothing is done any more
	}
	l := &loading{dropped: t}
	if t.create != nil && errors.Is(err, store.ErrExists) {
		s.abandon(t.name, l)
		return
	}
	if b.faulty[t] != nil {
		if s.faults[t.name]++; s.faults[t.name] > maxFaults {
			s.e.log.Error("task breaks again and again; it is left alone", "task", t.name, "error", err)
			s.isolate(t.name, err)
			s.abandon(t.name, l)
			return
		}
		l.tries = s.faults[t.name]
	} else {
		s.e.log.Warn("cannot save a task; it is loaded again", "task", t.name, "error", err)
	}
	s.loading[t.name] = l
	s.reload(now, t.name, l)
}
