package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// Pauses between attempts, and how often a lower session is answered before it is believed that somebody else has the epoch.
const (
	minPause = 5 * time.Millisecond
	maxPause = 200 * time.Millisecond
	maxLate  = 20
)

// runCommitter is the goroutine that writes: all that changes for a leader goes through it, one round after the other. Everything
// that is asked for while a round is under way is in the next one.
func (s *Store) runCommitter(ctx context.Context) {
	defer s.work.Done()
	var open []*request
	pause := minPause
	for {
		// Whoever was answered in the last round may be about to ask again: a moment for them makes rounds fuller.
		runtime.Gosched()
		s.mu.Lock()
		open = append(open, s.queue...)
		s.queue = nil
		closed := s.closed
		s.mu.Unlock()
		if closed {
			for _, r := range open {
				r.finish(errClosed)
			}
			return
		}
		if len(open) == 0 && !s.chores() {
			s.await(ctx, s.nextChore(), s.wake)
			continue
		}
		s.failed = nil
		open = s.step(ctx, open)
		if s.failed == nil {
			pause = minPause
			continue
		}
		open = s.giveUp(open)
		s.await(ctx, pause, nil) // new requests do not make the server come back
		pause = min(2*pause, maxPause)
	}
}

// await waits to be woken, for some time at most; 0 has no end.
func (s *Store) await(ctx context.Context, most time.Duration, wake <-chan struct{}) {
	var end <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		end = timer.C
	}
	select {
	case <-wake:
	case <-end:
	case <-ctx.Done():
	}
}

// step does one thing: a round, or what must be done alone. It gives the requests that are still open.
func (s *Store) step(ctx context.Context, open []*request) []*request {
	n := 0
	for n < len(open) && open[n].alone == nil {
		n++
	}
	if n > 0 || len(open) == 0 {
		left := s.round(ctx, open[:n])
		return append(left, open[n:]...)
	}
	r := open[0]
	if err := s.settleDoubts(ctx); err != nil && s.broken == nil {
		s.fail(err)
		return open
	}
	err := r.alone(r.ctx)
	if err != nil && outcomeOf(err) != impossible && r.ctx.Err() == nil {
		s.fail(err)
		return open
	}
	r.finish(err)
	return open[1:]
}

// fail notes that a round came to nothing.
func (s *Store) fail(err error) { s.failed = err }

// giveUp ends the requests that have waited long enough for a server that does not answer.
func (s *Store) giveUp(open []*request) []*request {
	var left []*request
	now := time.Now()
	for _, r := range open {
		if r.tries++; r.tries == 1 {
			r.since = now
		}
		switch {
		case r.ctx.Err() != nil:
			r.finish(fmt.Errorf("%w: %w", s.fault(s.failed), r.ctx.Err()))
		case r.tries > 1 && now.Sub(r.since) > s.opts.Patience:
			r.finish(s.fault(s.failed))
		default:
			left = append(left, r)
		}
	}
	return left
}

func (r *request) finish(err error) {
	if r.err == nil {
		r.err = err
	}
	close(r.done)
}

// round sends what is open of the requests, and what there is to tidy up, and gives the requests that are still open then.
func (s *Store) round(ctx context.Context, open []*request) []*request {
	if err := s.settleDoubts(ctx); err != nil {
		if s.broken != nil {
			for _, r := range open {
				r.finish(s.broken)
			}
			return nil
		}
		s.fail(err)
		return open
	}
	open = s.sameEpoch(open)
	if time.Now().Before(s.hold) {
		s.fail(errSettling)
		return open
	}
	open, again := s.check(ctx, open)
	if again || s.failed != nil {
		return open
	}
	f := s.newFlush(open)
	// On a Cluster, what is sent to several nodes arrives in any order. So the indexes come first there.
	f.together = !s.cluster || f.add == nil
	if f.together {
		s.send(ctx, append(f.first, f.second...))
		f.readFirst(s)
	} else {
		s.send(ctx, f.first)
		if f.readFirst(s); f.added {
			s.send(ctx, f.second)
		}
	}
	f.readRaises(s)
	f.readTidy(s)
	return f.finish(s)
}

// sameEpoch ends the requests of epochs that are over. One that this Store did not lead itself is taken as it is: the server
// will tell.
func (s *Store) sameEpoch(open []*request) []*request {
	var left []*request
	for _, r := range open {
		if r.epoch > s.epoch {
			s.setEpoch(r.epoch)
			s.led = false
			s.known.Store(nil)
			s.index.reset()
			s.redo.reset()
		}
		if r.epoch < s.epoch || r.epoch <= s.deposed {
			r.finish(fmt.Errorf("cannot write with epoch %d, it is %d now: %w", r.epoch, s.epoch, store.ErrFenced))
			continue
		}
		left = append(left, r)
	}
	// A later one may have raised it.
	for i := range left {
		if left[i].epoch < s.epoch {
			return s.sameEpoch(left)
		}
	}
	return left
}

// flush is what a round sends.
type flush struct {
	open []*request
	// first goes out first, all of it in slots that tasks share but for fences and marks; then second.
	first, second []*call
	raises        []*call
	news          []uint16 // slots that are used for the first time
	marks         []*call
	mark          uint64
	tidy, add     *call
	// together says that all is sent at once.
	together bool
	// added says that what must be in the indexes is there.
	added bool
}

func (s *Store) newFlush(open []*request) *flush {
	f := &flush{open: open}
	for slot := range s.raises {
		if s.used[slot] {
			f.raises = append(f.raises, s.raiseCall(slot))
		}
	}
	f.first = append(f.first, f.raises...)
	if s.markDue() {
		f.mark = s.redo.mark + 1
		f.marks = s.markCalls(f.mark, true)
		f.first = append(f.first, f.marks...)
	}
	if drops := s.index.take(); len(drops) > 0 {
		f.tidy = s.indexCall(drops, false)
		f.first = append(f.first, f.tidy)
	}
	var adds []entry
	sums := map[string]uint64{}
	for _, r := range open {
		for _, o := range r.ops {
			if o.settled {
				continue
			}
			o.sent = true
			if !s.used[o.slot] {
				// The fence may be raised only after that is noted: a new leader raises those only that are.
				s.used[o.slot] = true
				f.news = append(f.news, o.slot)
				adds = append(adds, entry{key: s.keys.used(), kind: inBits, score: int64(o.slot)})
				raise := s.raiseCall(o.slot)
				f.raises, f.second = append(f.raises, raise), append(f.second, raise)
			}
			adds = append(adds, o.before...)
			adds = append(adds, s.headEntries(o, sums)...)
			f.second = append(f.second, o.call)
		}
	}
	if len(adds) > 0 {
		f.add = s.indexCall(adds, true)
		f.first = append(f.first, f.add)
	}
	return f
}

// headEntries are the entries that must be there before an op is sent. sums has what the earlier ops of the flush add.
func (s *Store) headEntries(o *op, sums map[string]uint64) []entry {
	h := o.head
	if h == nil {
		return nil
	}
	sum, ok := sums[h.task]
	if ok && sum == h.sum || !ok && s.index.has(h) {
		if o.want > 0 {
			o.call.args[o.want] = wantNothing
		}
		return nil
	}
	sums[h.task] = h.sum
	if o.want > 0 {
		o.call.args[o.want] = wantOld
	}
	return s.keys.entries(h)
}

// readFirst looks at the answers to what belongs to no task.
func (f *flush) readFirst(s *Store) {
	f.readMarks(s)
	f.added = true
	if f.add == nil {
		return
	}
	a := f.add.answer()
	f.added = a.outcome == answered && a.word == ""
	switch {
	case f.added:
		s.redo.push(f.add)
	case a.outcome != answered:
		s.fail(a.err)
	default:
		s.badFence(f.add.slot, &a)
	}
}

// readRaises looks at the fences that were raised. Where one is higher, the answers to the ops say so.
func (f *flush) readRaises(s *Store) {
	for _, c := range f.raises {
		if c.cmd == nil {
			continue // it comes after what failed
		}
		switch a := c.answer(); {
		case a.outcome != answered:
			s.fail(a.err)
		case a.word == "":
			delete(s.raises, c.slot)
		}
	}
	if !f.added {
		for _, slot := range f.news {
			s.used[slot] = false
		}
	}
}

func (f *flush) readMarks(s *Store) {
	if f.mark == 0 {
		return
	}
	s.redo.mark, s.redo.marked = f.mark, time.Now()
	settled := true
	for _, c := range f.marks {
		a := c.answer()
		switch {
		case a.outcome != answered:
			s.fail(a.err)
		case a.word == "":
			s.redo.acked[c.slot] = tokenOf(s.epoch, f.mark)
			continue
		case a.word == "behind":
			s.suspect, s.gap = true, true
		default:
			s.badFence(c.slot, &a)
		}
		settled = false
	}
	if settled {
		s.redo.settled = f.mark
	}
}

// badFence does what follows from an answer of the fence.
func (s *Store) badFence(slot uint16, a *answer) {
	switch a.word {
	case "late":
		_, session := parseToken(a.text(0))
		s.setSession(slot, session+1)
	case "lost":
		if s.led {
			s.suspect, s.gap, s.raises[slot] = true, true, true
		}
	}
}

// readTidy looks at what became of entries that were to go. If they did not, they stay: nobody is misled by them.
func (f *flush) readTidy(s *Store) {
	if f.tidy == nil {
		return
	}
	if a := f.tidy.answer(); a.outcome == answered && a.word != "" {
		s.badFence(f.tidy.slot, &a)
	}
}

// finish reads the answers to the ops, and gives the requests that are still open.
func (f *flush) finish(s *Store) []*request {
	var left []*request
	waits := map[string]bool{} // tasks of which an earlier op is open
	for _, r := range f.open {
		open, fenced := false, error(nil)
		for _, o := range r.ops {
			if o.settled {
				continue
			}
			if f.together || f.added {
				if err := s.read(o, waits[o.task] || !f.added); errors.Is(err, store.ErrFenced) {
					fenced = err
				} else if o.settled && o.err != nil && r.err == nil {
					r.err = o.err
				}
			} else {
				fenced = s.shutOutBy(f.add)
			}
			if !o.settled {
				open, waits[o.task] = true, true
			}
		}
		switch {
		case fenced != nil:
			r.err = fenced
			r.finish(nil)
		case open:
			left = append(left, r)
		default:
			r.finish(nil)
		}
	}
	if len(left) > 0 && s.failed == nil && !s.suspect && !s.reload {
		s.stalls++
	} else {
		s.stalls = 0
	}
	if s.stalls > maxLate {
		s.fail(errors.New("the server's answers do not fit together"))
	}
	return left
}

// shutOutBy is the error if the fence refused a call for good.
func (s *Store) shutOutBy(c *call) error {
	switch a := c.answer(); {
	case a.outcome == answered && a.word == "fenced":
		return fencedBy(&a)
	case a.outcome == answered && a.word == "lost" && !s.led:
		return s.neverLed()
	}
	return nil
}

func (s *Store) neverLed() error {
	return fmt.Errorf("epoch %d was not led here: %w", s.epoch, store.ErrFenced)
}

func fencedBy(a *answer) error {
	epoch, _ := parseToken(a.text(0))
	return fmt.Errorf("epoch %d has begun: %w", epoch, store.ErrFenced)
}

// read looks at the answer to an op. wait says that it is not to be relied on, since something that comes before it is open.
func (s *Store) read(o *op, wait bool) error {
	a := o.call.answer()
	if a.outcome != answered {
		s.index.forget(o.task)
		if a.outcome == impossible {
			o.settled, o.err = true, s.fault(a.err)
			return nil
		}
		s.fail(a.err)
		return nil
	}
	switch a.word {
	case "":
		if wait {
			return nil
		}
		s.done(o, &a)
		return nil
	case "fenced":
		return fencedBy(&a)
	case "lost":
		if !s.led {
			return s.neverLed()
		}
		fallthrough
	case "late":
		s.badFence(o.slot, &a)
		s.index.forget(o.task)
		return nil
	}
	s.index.forget(o.task)
	if !wait {
		s.bad(o, &a)
	}
	return nil
}

// done notes that an op was applied.
func (s *Store) done(o *op, a *answer) {
	o.settled = true
	s.redo.pushOp(o, a.n)
	if o.remove {
		o.removed = a.n == 1
		s.index.forget(o.task)
		if old, ok := oldHeading(o.task, a.rest); ok && o.removed {
			s.index.replaced(&s.keys, old, nil)
		}
	} else if o.head != nil {
		s.index.learn(o.head)
		old, ok := oldHeading(o.task, a.rest)
		if !ok {
			old = nil
		}
		s.index.replaced(&s.keys, old, o.head)
	}
	for _, e := range o.after {
		s.index.drops[e.place()] = e
	}
}

// bad deals with an answer that says no. Before it is believed, the server is looked at: it may have lost something, which can be
// put back.
func (s *Store) bad(o *op, a *answer) {
	switch a.word {
	case "more":
		return // the checks are made once more
	case "kept":
		o.settled, o.kept = true, true
		return
	case "conflict":
		o.settled = true
		o.err = fmt.Errorf("task %q has revision %s now: %w", o.task, a.text(0), store.ErrConflict)
		return
	}
	if !o.doubted {
		o.doubted, s.suspect = true, true
		s.gap = s.gap || a.word == "behind"
		return
	}
	o.settled = true
	switch a.word {
	case "notfound":
		switch {
		case o.forgiven:
		case o.checked && s.redo.lost:
			o.err = fmt.Errorf("task %q is gone: %w", o.task, store.ErrRolledBack)
		default:
			o.err = fmt.Errorf("cannot change task %q: %w", o.task, store.ErrNotFound)
		}
	case "exists":
		o.err = fmt.Errorf("cannot create task %q: %w", o.task, store.ErrExists)
	case "behind":
		o.err = fmt.Errorf("task %q has revision %s only: %w", o.task, a.text(0), store.ErrRolledBack)
	default:
		o.err = fmt.Errorf("cannot write task %q: script has answered %q", o.task, a.word)
	}
}
