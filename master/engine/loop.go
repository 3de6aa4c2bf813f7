package engine

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// maxInputs bounds what a shard takes into one batch, and what waits for it: beyond that callers wait in line.
const maxInputs = 4096

// run is the goroutine around a shard. It ends when stop is closed and everything that was queued has been dealt with.
func (s *shard) run(stop <-chan struct{}) {
	defer close(s.exited)
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	var in []input
	for {
		// A moment for those who were just answered, or are about to ask: what they bring is in the same commit.
		runtime.Gosched()
		in = s.collect(in[:0])
		if len(in) == 0 && !s.urgent() {
			select {
			case <-stop:
				if in = s.collect(in[:0]); len(in) == 0 {
					s.refuseWaiting()
					return
				}
			default:
				if !s.sleep(stop, alarm) {
					continue
				}
			}
		}
		var with *jointCommit
		if len(in) > 0 && s.patient(in) {
			in, with = s.linger(in, stop, alarm)
		}
		s.cycle(in, with)
		clear(in)
	}
}

// lingering is how long inputs wait at most for company that nothing follows from: that a stage runs now, say. Each commit costs a write
// to the disk, and the end of some stage, which has to be written at once, mostly comes soon enough to take them along.
const lingering = 250 * time.Millisecond

// patient reports whether all of the inputs may wait, and so may whatever else there is to do.
func (s *shard) patient(in []input) bool {
	for _, x := range in {
		if !s.canWait(x) {
			return false
		}
	}
	return !s.urgent()
}

func (s *shard) canWait(x input) bool {
	switch x := x.(type) {
	case *sighting:
		return x.seen.Phase == dag.AttemptRunning || x.seen.Phase == dag.AttemptPending ||
			x.seen.Phase == dag.AttemptSucceeded && s.isLast(x)
	case *launched:
		t, q := s.tasks[x.task], s.queues[x.executor]
		if t == nil || q == nil || x.err != nil || q.sent > maxSent/2 { // others wait for its place
			return false
		}
		sd := t.side[x.node]
		return sd != nil && sd.cancel == cancelNone && !sd.lost
	}
	return false
}

// isLast reports whether a success is the end of a task that nobody watches, and nobody waits for the place of its stage: then nothing
// follows. Where there is more than a chain of groups around the stage that has not ended, something may.
func (s *shard) isLast(x *sighting) bool {
	t := s.tasks[x.task]
	if t == nil {
		return false
	}
	sd, task := t.side[x.node], t.run.Task()
	if sd == nil || sd.slot == nil || task.OnExit || t.run.Len() > maxLast {
		return false
	}
	open := x.node // it and its groups, which come before it
	for i := int32(t.run.Len()) - 1; i >= 0; i-- {
		n := t.run.Node(i)
		if len(n.Spec.Hooks) > 0 || i != open && !n.Status.Terminal() {
			return false
		}
		if i == open {
			open = n.Spec.Parent
		}
	}
	return !s.e.topics.watched(x.task) && !s.e.dispatch.wanted(sd.slot)
}

// maxLast is of how many nodes it is found out at most that only the last has not ended.
const maxLast = 32

// linger takes in what comes for a moment, until something does that cannot wait. with is who else writes at the end of that moment.
func (s *shard) linger(in []input, stop <-chan struct{}, alarm *time.Timer) (_ []input, with *jointCommit) {
	s.e.lingerers.enter(s)
	in = s.company(in, stop, alarm)
	return in, s.e.lingerers.leave(s)
}

// company adds to the inputs what comes while the shard lingers.
func (s *shard) company(in []input, stop <-chan struct{}, alarm *time.Timer) []input {
	// All shards wait for the same moment.
	wait := lingering - time.Duration(s.e.now())*time.Millisecond%lingering
	if at := s.timers.next(); at != 0 {
		wait = min(wait, max(0, time.Duration(at-s.e.now())*time.Millisecond))
	}
	alarm.Reset(wait)
	for len(in) < maxInputs {
		from := len(in)
		select {
		case x := <-s.incoming:
			in = append(in, x)
		case <-s.wake:
			if s.e.lingerers.ended(s) {
				return in
			}
		case <-alarm.C:
			s.e.lingerers.over()
			return in
		case <-stop:
			return in
		}
		in = s.collect(in)
		switch more := in[from:]; {
		case slices.ContainsFunc(more, isQuery): // it is to see what came before it
			s.backlog = append(s.backlog, more...)
			return in[:from]
		case !s.patient(more):
			return in
		}
	}
	return in
}

func isQuery(x input) bool {
	_, ok := x.(*query)
	return ok
}

// cycle makes one batch of inputs durable, perhaps with those of other shards, and acts on it.
func (s *shard) cycle(in []input, with *jointCommit) {
	b := s.step(s.e.now(), in)
	var errs []error
	if len(b.changes) > 0 || with != nil {
		errs = s.save(b.changes, with)
	}
	s.e.perform(s, s.finish(s.e.now(), b, errs))
}

// patience is how long a commit may take before those who only want to look do not wait for it any longer.
const patience = 500 * time.Millisecond

// save waits for a commit. Where the store stays away, somebody stands in for the shard meanwhile.
func (s *shard) save(changes []store.Change, with *jointCommit) (errs []error) {
	done, ended := make(chan struct{}), make(chan struct{})
	late := time.AfterFunc(patience, func() {
		defer close(ended)
		s.standIn(done)
	})
	if with != nil {
		errs = with.save(s.e, changes)
	} else {
		errs = s.e.save(changes)
	}
	close(done)
	if !late.Stop() {
		<-ended
	}
	return errs
}

// standIn answers queries until done is closed, from runs that are ahead of what is saved: Stale says so. All else waits its turn. The
// shard's own goroutine does nothing meanwhile.
func (s *shard) standIn(done <-chan struct{}) {
	incoming := s.incoming
	for {
		select {
		case <-done:
			return
		case x := <-incoming:
			if q, ok := x.(*query); ok {
				s.ask(q)
				continue
			}
			s.backlog = append(s.backlog, x)
			if len(s.backlog) >= maxInputs {
				incoming = nil
			}
		}
	}
}

// collect takes what waits for the shard.
func (s *shard) collect(in []input) []input {
	in = append(in, s.backlog...)
	s.backlog = s.backlog[:0]
	s.mu.Lock()
	in = append(in, s.inbox...)
	clear(s.inbox)
	s.inbox = s.inbox[:0]
	s.mu.Unlock()
	for len(in) < maxInputs {
		select {
		case x := <-s.incoming:
			in = append(in, x)
		default:
			return in
		}
	}
	return in
}

// urgent reports whether there is something to do without any input.
func (s *shard) urgent() bool {
	if at := s.timers.next(); at != 0 && at <= s.e.now() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.grants) > 0
}

// sleep waits for something to do. It gives true where a timer is due.
func (s *shard) sleep(stop <-chan struct{}, alarm *time.Timer) bool {
	var due <-chan time.Time
	if at := s.timers.next(); at != 0 {
		alarm.Reset(max(0, time.Duration(at-s.e.now())*time.Millisecond))
		due = alarm.C
	}
	select {
	case x := <-s.incoming:
		s.post(x)
	case <-s.wake:
	case <-due:
		return true
	case <-stop:
	}
	return false
}

// refuseWaiting answers those whose task is still being loaded when the engine stops.
func (s *shard) refuseWaiting() {
	for _, l := range s.loading {
		for _, x := range l.waiting {
			x.done(nil, dag.Delta{}, ErrStopping)
		}
	}
}

// post leaves an input of the engine's own, which never has to wait.
func (s *shard) post(x input) {
	s.mu.Lock()
	s.inbox = append(s.inbox, x)
	s.mu.Unlock()
	s.signal()
}

func (s *shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send leaves an input from outside, and waits while the shard has too many.
func (s *shard) send(ctx context.Context, x input) error {
	select {
	case <-s.e.quit:
		return s.e.stopped()
	default:
	}
	select {
	case s.incoming <- x:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.e.quit:
		return s.e.stopped()
	}
}

// ask sends an input and waits for its answer.
func (s *shard) await(ctx context.Context, x input, c call) error {
	if err := s.send(ctx, x); err != nil {
		return err
	}
	select {
	case err := <-c.ch:
		return err
	case <-ctx.Done():
		if c.left != nil {
			c.left.Store(true)
		}
		return ctx.Err()
	case <-s.exited:
	}
	select {
	case err := <-c.ch:
		return err
	default:
		return s.e.stopped()
	}
}

// perform hands effects to those who carry them out.
func (e *Engine) perform(s *shard, fx effects) {
	for _, name := range fx.news {
		e.topics.publish(name)
	}
	for i := range fx.launches {
		l := fx.launches[i]
		e.workers[l.executor].launch(func(ctx context.Context) {
			err := e.trusted()
			if err == nil {
				err = e.cfg.Executors[l.executor].Launch(ctx, l.attempt)
				e.outranked(l.executor, err)
			}
			e.count.launches.Add(1)
			if err != nil {
				e.count.launchFailures.Add(1)
			}
			s.post(&launched{quiet: l.order, executor: l.executor, node: l.node, attempt: l.attempt.Number, err: err})
		})
	}
	for _, c := range fx.cancels {
		e.workers[c.executor].cancel(func(ctx context.Context) {
			err := e.trusted()
			if err == nil {
				err = e.stopAttempt(ctx, &c)
			}
			e.count.cancels.Add(1)
			s.post(&canceled{quiet: c.order, node: c.node, attempt: c.number, err: err})
		})
	}
	for _, name := range fx.loads {
		e.loader.launch(func(ctx context.Context) {
			t, err := e.load(ctx, name)
			s.post(&loaded{quiet: quiet{name}, run: t, err: err})
		})
	}
}
