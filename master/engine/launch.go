package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// launchQueue holds the launches of one executor that were decided and not handed to it yet. What an attempt runs is
// computed only when it is handed over, so that a hundred thousand ready stages do not mean as many descriptions.
type launchQueue struct {
	orders []order
	head   int
	sent   int // launches that the executor has not answered
}

// maxSent bounds the launches that a shard has handed over, per executor.
const maxSent = 256

func (q *launchQueue) next() (order, bool) {
	if q.head == len(q.orders) {
		q.orders, q.head = q.orders[:0], 0
		if cap(q.orders) > 4096 {
			q.orders = nil
		}
		return order{}, false
	}
	o := q.orders[q.head]
	q.orders[q.head] = order{}
	q.head++
	return o, true
}

// launch is an attempt to be handed to an executor; cancel one to be stopped.
type launch struct {
	executor string
	order    quiet
	node     int32
	attempt  executors.Attempt
}

type cancel struct {
	executor string
	order    quiet
	node     int32
	number   int32
	id       string
	grace    time.Duration
	pause    bool // it goes on later, if the executor can do that
}

// act hands out launches and cancels after their decision was committed.
func (s *shard) act(b *batch, fx *effects) {
	for _, o := range b.launches {
		if o.task.gone {
			continue
		}
		name := s.e.cfg.executorOf(o.task.run.Task(), o.task.run.Node(o.node).Spec)
		q := s.queues[name]
		if q == nil {
			q = &launchQueue{}
			s.queues[name] = q
		}
		q.orders = append(q.orders, o)
	}
	s.later = append(s.later, b.cancels...)
	if s.paused {
		return
	}
	for _, o := range s.later {
		s.sendCancel(o, fx)
	}
	s.later = nil
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[name]
		for q.sent < maxSent {
			o, ok := q.next()
			if !ok {
				break
			}
			s.sendLaunch(name, q, o, fx)
		}
	}
}

func (s *shard) sendLaunch(name string, q *launchQueue, o order, fx *effects) {
	if o.task.gone {
		return
	}
	n, sd := o.task.run.Node(o.node), o.task.side[o.node]
	if sd == nil || sd.launch != launchQueued || sd.attempt != o.attempt || n.Status != dag.Launching {
		return // it was cancelled before it was its turn
	}
	never := func(kind dag.FailureKind, err error) {
		f := dag.NewFailure(kind, 0, err.Error())
		f.Permanent = true
		sd.launch = launchDone
		s.backlog = append(s.backlog, &failed{quiet{o.task.name}, o.node, o.attempt, f})
	}
	if s.e.cfg.Executors[name] == nil {
		never(dag.FailLaunch, fmt.Errorf("there is no executor %q for platform %q", name, n.Spec.Platform))
		return
	}
	a, err := describe(s.e, o.task, o.node)
	if err != nil {
		never(dag.FailPlan, err)
		return
	}
	sd.launch = launchSent
	q.sent++
	fx.launches = append(fx.launches, launch{name, quiet{o.task.name}, o.node, a})
}

// describe is task.attempt for plans that panic.
func describe(e *Engine, t *task, i int32) (a executors.Attempt, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot describe stage %q: panic: %v\n%s", t.run.Node(i).Spec.ID, r, debug.Stack())
		}
	}()
	return t.attempt(e, i)
}

func (s *shard) sendCancel(o order, fx *effects) {
	if o.task.gone {
		return
	}
	if sd := o.task.side[o.node]; sd != nil && sd.attempt == o.attempt && sd.cancel == cancelQueued {
		sd.launch, sd.cancel = launchDone, cancelSent
	}
	n := o.task.run.Node(o.node)
	pause := pauses(o.task.run.EffectsOf(o.node))
	if sd := o.task.side[o.node]; sd != nil && sd.attempt == o.attempt {
		sd.pausing = pause
	}
	name := s.e.cfg.executorOf(o.task.run.Task(), n.Spec)
	if s.e.cfg.Executors[name] == nil {
		s.backlog = append(s.backlog, &sighting{quiet{o.task.name}, o.node, o.attempt, executors.Sighting{Phase: dag.AttemptStopped}})
		return
	}
	c := cancel{
		executor: name, order: quiet{o.task.name}, node: o.node, number: o.attempt,
		id: dag.AttemptID(n.Spec.ID, o.attempt), pause: pause,
	}
	if n.Spec.Policy != nil {
		c.grace = time.Duration(n.Spec.Policy.Grace) * time.Millisecond
	}
	fx.cancels = append(fx.cancels, c)
}

// pauses reports whether what is to be stopped goes on later.
func pauses(effects []dag.Effect) bool {
	return slices.ContainsFunc(effects, func(f dag.Effect) bool { return f.Kind == dag.EffectCancel && f.Pause })
}

// stopAttempt has an executor stop an attempt, or pause it.
func (e *Engine) stopAttempt(ctx context.Context, c *cancel) error {
	x := e.cfg.Executors[c.executor]
	if p, ok := x.(executors.Pauser); ok && c.pause {
		return p.Pause(ctx, c.id, c.grace)
	}
	return x.Cancel(ctx, c.id, c.grace)
}

// launchReturned makes room for the next launch, whatever became of the task.
func (s *shard) launchReturned(l *launched) {
	if q := s.queues[l.executor]; q != nil && !l.counted {
		q.sent--
		l.counted = true
	}
}

// awayPeriod is the time after which a launch is tried again whose executor cannot be reached.
const awayPeriod = 3 * time.Second

// launchAnswered notes what the executor said to a launch. It gives the event of a launch that is hopeless.
func (s *shard) launchAnswered(t *task, l *launched, now dag.Time) dag.Event {
	sd := t.side[l.node]
	if sd == nil || sd.attempt != l.attempt {
		return nil
	}
	if sd.cancel == cancelWanted {
		sd.cancel = cancelNone
		s.review(s.current, t, l.node)
	}
	n := t.run.Node(l.node)
	if n.Kept && n.Status.Launchable() { // it was paused before its launch was answered
		sd.launch, sd.error = launchNone, ""
		return nil
	}
	if l.err == nil || n.Status != dag.Launching {
		sd.launch, sd.error = launchDone, ""
		return s.lostMeanwhile(t, l, sd, now)
	}
	sd.lost = false
	never := errors.Is(l.err, executors.ErrNever)
	// What says nothing about the attempt does not use up its tries: the engine stops, or does not lead any more.
	away := errors.Is(l.err, executors.ErrAway)
	idle := away || errors.Is(l.err, executors.ErrClosed) || errors.Is(l.err, executors.ErrStale) || errors.Is(l.err, context.Canceled)
	sd.error = l.err.Error()
	if !idle {
		sd.tries++
	}
	if !never && (idle || int(sd.tries) < s.e.cfg.LaunchTries) {
		sd.launch = launchLater
		wait := s.e.backoff(int(sd.tries))
		if away { // many may wait, and it does not help that each tries often
			wait = max(wait, min(awayPeriod, s.e.cfg.BackoffCap))
		}
		s.timers.push(timer{at: now + dag.Time(wait.Milliseconds()), kind: timerLaunch, node: l.node, task: t})
		return nil
	}
	sd.launch = launchDone
	message := sd.error
	if sd.tries > 1 {
		message = fmt.Sprintf("%s (tried %d times)", message, sd.tries)
	}
	f := dag.NewFailure(dag.FailLaunch, 0, message)
	f.Permanent = never
	return dag.Observed{
		At: now, Node: l.node, Attempt: l.attempt, Phase: dag.AttemptFailed, Failure: f, Random: s.e.cfg.Random(),
	}
}

// lostMeanwhile deals with an attempt that the executor said is lost while it was being launched: it is launched once more,
// and what is lost then is believed to be.
func (s *shard) lostMeanwhile(t *task, l *launched, sd *side, now dag.Time) dag.Event {
	if !sd.lost || t.run.Node(l.node).Status != dag.Launching {
		return nil
	}
	sd.lost = false
	if !sd.checked {
		sd.checked, sd.launch = true, launchNone
		s.review(s.current, t, l.node)
		return nil
	}
	return believed(now, l.node, l.attempt, dag.NewFailure(dag.FailLost, 0, "the executor has lost it"))
}

// believed ends an attempt that is said to be lost once more. The word may be an old one that comes again while the attempt
// runs, so it is stopped, and only when the executor says that nothing runs has it failed, and may the next begin.
func believed(now dag.Time, node, attempt int32, f *dag.Failure) dag.Event {
	return dag.Report{At: now, Node: node, Attempt: attempt, What: dag.ReportFailed, Failure: f}
}

// launchDecides is asked about an attempt that was decided to be launched and that the executor says is lost. After a
// restart that may only mean that nobody came to launch it, and the word may come late, when it was launched already. So
// the launch that is due, or a second one, decides: it adopts what is there. Only what is lost again is believed to be.
func (s *shard) launchDecides(t *task, i int32) bool {
	sd := t.side[i]
	switch {
	case sd == nil:
		return true
	case sd.launch == launchSent:
		sd.lost = true // before its answer, or by its answer
		return true
	case sd.launch != launchDone:
		return true
	case sd.checked:
		return false
	}
	sd.checked, sd.launch = true, launchNone
	s.review(s.current, t, i)
	return true
}

// wantCancel stops an attempt: at once, or when the launch that is under way has been answered, so that it is not
// launched after it was stopped. What was only to be paused and now has to end is stopped anew.
func (s *shard) wantCancel(b *batch, t *task, f dag.Effect, sd *side) {
	if sd.pausing && !f.Pause && (sd.cancel == cancelSent || sd.cancel == cancelLater) {
		sd.cancel = cancelNone
	}
	switch {
	case sd.cancel != cancelNone:
	case sd.launch == launchSent:
		sd.cancel = cancelWanted
	default:
		sd.cancel = cancelQueued
		b.cancels = append(b.cancels, order{t, f.Node, f.Attempt})
	}
}

// cancelPeriod is the time after which a stop is asked for again whose end was not seen.
const cancelPeriod = 10 * time.Second

func (s *shard) cancelAnswered(t *task, c *canceled, now dag.Time) {
	sd := t.side[c.node]
	if sd == nil || sd.attempt != c.attempt || sd.cancel != cancelSent {
		return
	}
	n := t.run.Node(c.node)
	if !n.Live || n.Status == dag.Launching { // it was paused, and is perhaps about to go on
		sd.cancel = cancelNone
		s.review(s.current, t, c.node)
		return
	}
	wait := cancelPeriod
	if n.Spec.Policy != nil {
		wait += time.Duration(n.Spec.Policy.Grace) * time.Millisecond
	}
	if c.err != nil {
		s.e.log.Warn("cannot stop an attempt yet", "stage", n.Spec.ID, "attempt", c.attempt, "error", c.err)
		sd.tries++
		wait = s.e.backoff(int(sd.tries))
	}
	sd.cancel = cancelLater
	s.timers.push(timer{at: now + dag.Time(wait.Milliseconds()), kind: timerCancel, node: c.node, task: t})
}

// backoff is the delay before the n-th repetition.
func (e *Engine) backoff(n int) time.Duration {
	d := e.cfg.Backoff
	for ; n > 1 && d < e.cfg.BackoffCap; n-- {
		d *= 2
	}
	return min(d, e.cfg.BackoffCap)
}
