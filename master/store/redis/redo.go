package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// A server that writes its append-only file every second loses the last second or two where its machine fails, and a replica that
// is promoted may not have heard of the last writes. The leader keeps what was acknowledged lately, and sends it again: each
// call says what it follows, so that nothing is applied twice, or to something else.
//
// A server that may have lost something is another process than before, which it says itself. Whether what is kept is enough to put
// back what it has lost is told by marks: numbers that the leader writes in between, some on every node. What was written
// before a mark is there if the mark is.

const (
	// markEvery is how long the leader writes until it writes a mark.
	markEvery = 500 * time.Millisecond
	// maxRedo bounds the bytes of the calls that are kept.
	maxRedo = 64 << 20
	// redoAtOnce is how many calls are sent again in one go.
	redoAtOnce = 200
)

// redoLog holds the calls that were acknowledged lately. The committer has it.
type redoLog struct {
	calls []redoCall
	size  int
	// mark is the number of the last mark that was sent in this term, at the time marked; acked has for each slot the one that was
	// acknowledged.
	mark   uint64
	marked time.Time
	acked  map[uint16]string
	// settled is the last mark that was acknowledged everywhere.
	settled uint64
	// whole is the lowest mark after which nothing is missing in calls.
	whole uint64
	// runs are the servers' processes, as they were when all was well.
	runs map[string]bool
	// lost is set once the server has lost something for good in this term.
	lost bool
}

type redoCall struct {
	*call
	// mark is that after which it was sent, at the time when it was acknowledged.
	mark uint64
	at   time.Time
}

func (l *redoLog) reset() { *l = redoLog{acked: map[uint16]string{}} }

func (l *redoLog) push(c *call) {
	c.cmd = nil
	l.calls = append(l.calls, redoCall{call: c, mark: l.mark, at: time.Now()})
	l.size += c.size
}

// pushOp keeps what was applied; n is what the script answered: the revision, negative if it had been applied before.
func (l *redoLog) pushOp(o *op, n int64) {
	c := o.call
	if c.base > 0 && n != 0 {
		// Now that the revision is known, the call can say what it follows.
		c.args[c.base] = strconv.FormatInt(max(n, -n)-1, 10)
	}
	l.push(c)
}

// trim forgets what is so old that the server will not lose it. What no mark follows stays.
func (l *redoLog) trim(age time.Duration) {
	n, now := 0, time.Now()
	for n < len(l.calls) && (l.size > maxRedo || l.calls[n].mark < l.settled && now.Sub(l.calls[n].at) > age) {
		l.size -= l.calls[n].size
		if g := l.calls[n].group; g != nil {
			g.torn = true
		}
		l.whole = l.calls[n].mark + 1
		n++
	}
	if n > 0 {
		clear(l.calls[:n])
		if l.calls = l.calls[n:]; len(l.calls) == 0 {
			l.calls = nil
		}
	}
}

// markDue says whether a mark is to be written: after something was, and not too often.
func (s *Store) markDue() bool {
	l := &s.redo
	return s.led && len(l.calls) > 0 && l.calls[len(l.calls)-1].mark == l.mark && time.Since(l.marked) >= markEvery
}

// chores says whether the committer has something to do that nobody waits for.
func (s *Store) chores() bool {
	return s.broken == nil && (len(s.index.drops) > 0 || s.led && (s.suspect || s.fresh.Load()) || s.markDue())
}

// nextChore is how long until there may be something to do; 0 if nothing will be.
func (s *Store) nextChore() time.Duration {
	l := &s.redo
	l.trim(s.opts.Redo)
	if !s.led || len(l.calls) == 0 {
		return 0
	}
	if l.calls[len(l.calls)-1].mark == l.mark {
		return max(time.Millisecond, markEvery-time.Since(l.marked))
	}
	return s.opts.Redo
}

// markCalls writes a mark everywhere; follow says that the one before must be there.
func (s *Store) markCalls(mark uint64, follow bool) []*call {
	var calls []*call
	next := tokenOf(s.epoch, mark)
	for _, slot := range s.keys.marks() {
		b := newBuilder(&s.scripts.mark, 2, 3, 128)
		b.str(s.keys.fenceKey(slot))
		b.str(s.keys.markKey(slot))
		b.arguments()
		if before, ok := s.redo.acked[slot]; ok && follow {
			b.str(before)
		} else {
			b.fixed(wantNothing)
		}
		b.str(next)
		calls = append(calls, b.call(&s.scripts.mark, slot))
	}
	return calls
}

// settleDoubts looks at the server where there is a reason to: a new connection, or an answer that should not be. If something
// is missing, it is put back.
func (s *Store) settleDoubts(ctx context.Context) error {
	if s.broken != nil {
		return s.mend(ctx)
	}
	if s.reload {
		if err := s.loadScripts(ctx); err != nil {
			return err
		}
		s.reload = false
	}
	if !s.led || !s.suspect && !s.fresh.Load() {
		return nil
	}
	s.fresh.Store(false)
	s.suspect = true // until it is known to be well
	runs, err := s.runs(ctx)
	if err != nil {
		return err
	}
	for run := range runs {
		s.gap = s.gap || !s.redo.runs[run]
	}
	if s.gap {
		if mine, err := s.settle(ctx); err != nil || !mine {
			return err
		}
		s.known.Store(&runs)
	}
	lowest, lost, err := s.compare(ctx)
	if err != nil {
		return err
	}
	if lost || s.gap {
		if err := s.restore(ctx, lowest); err != nil {
			return err
		}
	}
	s.redo.runs, s.suspect, s.gap = runs, false, false
	return nil
}

// errSettling is while a server that was restarted gives everybody who led it the time to put back what it has lost.
var errSettling = errors.New("it was restarted a moment ago, and waits for who led to put back what it may have lost")

// settle says whether this Store may put back what the server has lost: only who led it when it was restarted knows what
// that is, and only until somebody may have gone on without it. Until then nothing new is written.
func (s *Store) settle(ctx context.Context) (mine bool, err error) {
	lease := s.lease.Load()
	if lease == 0 {
		return true, nil // there is one master only, as far as this Store knows
	}
	v, err := s.eval(ctx, &s.scripts.settle, []string{s.keys.meta()}, lease).Slice()
	if err != nil {
		return false, err
	}
	a := answer{rest: v}
	left, ok := v[len(v)-1].(int64)
	if len(v) != 3 || !ok {
		return false, errors.New("script has answered what it never does")
	}
	// Without a life before this, there was no lease in it either.
	if s.redo.runs[a.text(0)] || a.text(1) == "" || left > 0 && s.redo.runs[a.text(1)] {
		s.hold = time.Now().Add(time.Duration(left) * time.Millisecond)
		return true, nil
	}
	// Somebody else may lead by now, on what the server had. What is kept here fits nowhere any more.
	if n := len(s.redo.calls); n > 0 {
		s.log.Error("Redis was restarted while this master was away for too long to put back what may have been lost", "kept", n)
		s.meter.losses.Add(1)
	}
	s.deposed, s.led, s.gap, s.suspect = s.epoch, false, false, false
	s.known.Store(nil)
	return false, nil
}

// runs are the names that the servers' processes have given themselves when they were started.
func (s *Store) runs(ctx context.Context) (map[string]bool, error) {
	var mu sync.Mutex
	runs := map[string]bool{}
	err := s.eachMaster(ctx, s.reader, func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "server").Result()
		mu.Lock()
		defer mu.Unlock()
		runs[infoField(info, "run_id")] = true
		return err
	})
	return runs, err
}

// compare reads the generation and the marks. lost says that a mark is missing, lowest is the lowest that is there instead.
func (s *Store) compare(ctx context.Context) (lowest int64, lost bool, err error) {
	pipe := s.writer.Pipeline()
	generation := pipe.HGet(ctx, s.keys.meta(), metaGeneration)
	marks := map[uint16]*redis.StringCmd{}
	for slot := range s.redo.acked {
		marks[slot] = pipe.Get(ctx, s.keys.markKey(slot))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, err
	}
	// The first error hides those after it.
	if err := generation.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, err
	}
	if generation.Val() != s.generation {
		s.breakOff(generation.Val())
		return 0, false, s.broken
	}
	lowest = int64(s.redo.mark)
	for slot, cmd := range marks {
		mark, err := cmd.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, false, err
		}
		epoch, n := parseToken(mark)
		_, want := parseToken(s.redo.acked[slot])
		switch {
		case epoch > s.epoch: // somebody else leads; the fence will say so
			return 0, false, nil
		case mark == "" || epoch < s.epoch:
			lost, lowest = true, -1
		case n < want:
			lost, lowest = true, min(lowest, int64(n))
		default:
			s.redo.acked[slot] = mark // perhaps one of which it was not known
		}
	}
	return lowest, lost, nil
}

// breakOff is for a server that holds something else than it did. Nothing can be done then.
func (s *Store) breakOff(generation string) {
	what := "other data"
	if generation == "" {
		what = "nothing of it any more"
	}
	s.broken = fmt.Errorf("%w: this Redis held the state of generation %s, and has %s", store.ErrRolledBack, s.generation, what)
	s.log.Error("Redis has lost all state: it came back empty, or is another one", "expected", s.generation, "found", generation)
	s.meter.losses.Add(1)
}

// mend looks whether a server that had lost everything has it again, such as from a backup. Then somebody may lead anew.
func (s *Store) mend(ctx context.Context) error {
	if !s.fresh.Swap(false) {
		return s.broken
	}
	generation, err := s.writer.HGet(ctx, s.keys.meta(), metaGeneration).Result()
	if err != nil || generation != s.generation {
		return s.broken
	}
	s.log.Warn("Redis has the state back that it had lost", "generation", generation)
	s.broken, s.led = nil, false
	s.known.Store(nil)
	return nil
}

// restore sends again what was acknowledged lately, in order.
func (s *Store) restore(ctx context.Context, lowest int64) error {
	if fence, err := s.raiseSlots(ctx, s.keys.allSlots()); err != nil {
		return err
	} else if fence != "" {
		return nil // somebody else leads, and the next call is told
	}
	s.used = s.unused()
	s.index.reset()
	done, err := s.replay(ctx)
	if err != nil || done.fenced {
		return err
	}
	// Where even the marks of this term are gone, all of the term is kept here, and what it builds on is there.
	covered := (lowest >= 0 && uint64(lowest) >= s.redo.whole || s.redo.whole == 0 && done.missing == 0) && done.foreign == 0
	if err := s.rewriteMarks(ctx); err != nil {
		return err
	}
	switch {
	case covered && done.applied == 0:
		s.log.Info("Redis was restarted, or another server has taken over; nothing is missing", "looked at", len(s.redo.calls))
		return nil
	case covered:
		s.log.Warn("Redis had lost its last writes; they were sent again", "sent", len(s.redo.calls), "applied", done.applied)
		s.meter.healed.Add(1)
		return nil
	}
	s.redo.lost = true
	s.meter.losses.Add(1)
	s.log.Error("Redis has lost writes that it had acknowledged, which cannot all be put back; tasks may have gone back to an "+
		"earlier state, or be gone", "kept", s.opts.Redo, "applied", done.applied, "missing", done.missing, "overwritten", done.foreign)
	return nil
}

// replayed counts what became of the calls: applied anew, missing what they follow, or in the way of what another leader wrote while
// the server had lost its fence.
type replayed struct {
	applied, missing, foreign int
	fenced                    bool
}

// replay sends all calls that are kept, in order.
func (s *Store) replay(ctx context.Context) (done replayed, err error) {
	for part := range slices.Chunk(s.redo.calls, redoAtOnce) {
		var calls []*call
		for _, c := range part {
			if c.group != nil && c.group.torn {
				done.missing++
				continue
			}
			calls = append(calls, c.call)
		}
		s.send(ctx, calls)
		for _, c := range calls {
			a := c.answer()
			c.cmd = nil
			switch {
			case a.outcome != answered:
				return done, a.err
			case a.word == "fenced" || a.word == "late":
				done.fenced = true
				return done, nil
			case a.word == "lost":
				return done, errAgain
			case a.word == "behind" || a.word == "notfound":
				done.missing++
			case a.word == "conflict" && epochOfBatch(a.text(1)) != s.epoch:
				done.foreign++
			case a.n > 0:
				done.applied++
			}
		}
	}
	return done, nil
}

// rewriteMarks writes the last mark anew.
func (s *Store) rewriteMarks(ctx context.Context) error {
	calls := s.markCalls(s.redo.mark, false)
	s.send(ctx, calls)
	for _, c := range calls {
		if a := c.answer(); a.outcome != answered {
			return a.err
		} else if a.word == "" {
			s.redo.acked[c.slot] = tokenOf(s.epoch, s.redo.mark)
		}
	}
	s.redo.settled = s.redo.mark
	return nil
}

// raiseAtOnce is how many fences are raised in one go.
const raiseAtOnce = 2048

// raiseSlots raises the fences of slots to what they should be. It gives one that is higher, or "".
func (s *Store) raiseSlots(ctx context.Context, slots []uint16) (higher string, err error) {
	for part := range slices.Chunk(slots, raiseAtOnce) {
		calls := make([]*call, len(part))
		for i, slot := range part {
			calls[i] = s.raiseCall(slot)
		}
		s.send(ctx, calls)
		for _, c := range calls {
			switch a := c.answer(); {
			case a.outcome != answered:
				return "", a.err
			case a.word != "":
				higher = a.word
			default:
				delete(s.raises, c.slot)
			}
		}
	}
	return higher, nil
}
