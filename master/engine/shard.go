package engine

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// shard owns the active runs whose names hash to it. step and finish are all that it does: functions of their inputs and
// the time, without goroutines, sockets or a clock. loop.go has the goroutine around them.
//
//	step(now, inputs) -> batch     apply events, grant slots, encode what changed
//	commit                         somebody else's; one at a time per shard
//	finish(now, batch, errors)     answer the callers, hand out the effects
//
// Between finish and the next step nothing of a run is uncommitted: that is when queries look at it.
type shard struct {
	e       *Engine
	id      int
	tasks   map[string]*task
	loading map[string]*loading
	broken  map[string]error
	faults  map[string]int
	timers  timers
	queues  map[string]*launchQueue
	backlog []input      // inputs that the shard gives itself
	joint   *jointCommit // set by the lingerers, which guard it
	paused  bool         // nothing is launched or cancelled: recovery is not over, or the engine stops
	later   []order      // cancels that wait for the end of the pause
	current *batch       // the batch that is being made

	mu       sync.Mutex // guards what others leave for the shard
	inbox    []input
	grants   []*item
	incoming chan input
	wake     chan struct{}
	exited   chan struct{}
}

// loading is a task that is being read from the store. What is about it waits.
type loading struct {
	waiting []input
	tries   int
	dropped *task // the run that was dropped, if the task was active
}

// order is an effect of a batch for one attempt.
type order struct {
	task    *task
	node    int32
	attempt int32
}

// applied is an input whose answer waits for the commit.
type applied struct {
	in    input
	task  *task
	delta dag.Delta
	err   error
	// culprit marks the input that broke the run, which must not come again.
	culprit bool
}

// part is the owner of a change: an active task, or a deletion.
type part struct {
	task     *task
	deletion *deletion
}

// batch is what a step made of its inputs.
type batch struct {
	now dag.Time
	// changes is what to commit; parts says whose they are, in the same order.
	changes []store.Change
	parts   []part

	tasks    []*task // those that changed
	deleted  []*deletion
	controls []*control
	applied  []applied
	reviews  []order
	ready    []*item
	launches []order
	cancels  []order
	loads    []string
	touched  []*task // tasks that may be over though they did not change
	// broke are the tasks that an event broke, in order; faulty says how.
	broke  []*task
	faulty map[*task]error
}

// effects is what the world has to do after a batch was committed.
type effects struct {
	launches []launch
	cancels  []cancel
	loads    []string
	// news are tasks with new history, or that are gone.
	news []string
}

func newShard(e *Engine, id int) *shard {
	return &shard{
		e: e, id: id, paused: true,
		tasks: map[string]*task{}, loading: map[string]*loading{}, broken: map[string]error{}, faults: map[string]int{},
		queues:   map[string]*launchQueue{},
		incoming: make(chan input, maxInputs), wake: make(chan struct{}, 1), exited: make(chan struct{}),
	}
}

// step applies inputs and whatever is due.
func (s *shard) step(now dag.Time, in []input) *batch {
	b := &batch{now: now}
	s.current = b
	for _, x := range in {
		if q, ok := x.(*query); ok {
			s.ask(q)
		}
	}
	for _, x := range in {
		if _, ok := x.(*query); !ok {
			s.take(b, x)
		}
	}
	s.fire(b)
	s.settle(b)
	s.encode(b)
	return b
}

// ask answers a query, from a run of which everything is committed.
func (s *shard) ask(q *query) {
	switch t := s.tasks[q.task]; {
	case t != nil:
		q.done(t, dag.Delta{}, q.look(t))
	case s.loading[q.task] != nil:
		l := s.loading[q.task]
		l.waiting = append(l.waiting, q)
	case s.broken[q.task] != nil:
		q.done(nil, dag.Delta{}, s.broken[q.task])
	default:
		_, err := q.absent()
		q.done(nil, dag.Delta{}, err)
	}
}

// take applies one input.
func (s *shard) take(b *batch, x input) {
	switch x := x.(type) {
	case *newcomer:
		if x.abandoned() {
			x.done(nil, dag.Delta{}, errAbandoned)
			return
		}
		if s.tasks[x.task] != nil || s.loading[x.task] != nil {
			x.done(nil, dag.Delta{}, fmt.Errorf("task %q: %w", x.task, store.ErrExists))
			return
		}
		s.adopt(b, x.run)
		s.absorb(b, x.run, x.delta)
		a := applied{in: x, task: x.run}
		a.delta, a.err = s.apply(b, x.run, dag.Start{At: b.now})
		b.applied = append(b.applied, a)
		return
	case *loaded:
		s.taken(b, x)
		return
	case *deletion:
		s.remove(b, x)
		return
	case *control:
		s.paused = s.paused && !x.open
		b.controls = append(b.controls, x)
		return
	case *launched:
		s.launchReturned(x)
	}
	name := x.target()
	t := s.tasks[name]
	if t == nil {
		s.miss(b, name, x)
		return
	}
	a := applied{in: x, task: t}
	ev, err := x.event(s, t, b.now)
	if a.err = err; ev != nil && err == nil {
		sound := b.faulty[t] == nil
		a.delta, a.err = s.apply(b, t, ev)
		a.culprit = sound && b.faulty[t] != nil
	}
	b.touched = append(b.touched, t)
	b.applied = append(b.applied, a)
}

// miss deals with an input for a task that is not here.
func (s *shard) miss(b *batch, name string, x input) {
	if l := s.loading[name]; l != nil {
		l.waiting = append(l.waiting, x)
		return
	}
	if err := s.broken[name]; err != nil {
		x.done(nil, dag.Delta{}, err)
		return
	}
	load, err := x.absent()
	if !load {
		x.done(nil, dag.Delta{}, err)
		return
	}
	s.loading[name] = &loading{waiting: []input{x}}
	b.loads = append(b.loads, name)
}

// apply gives an event to a run. An error that is not the core's way to say no means that the run cannot be relied on
// any more: it is dropped at the end of the step, and loaded again.
func (s *shard) apply(b *batch, t *task, ev dag.Event) (d dag.Delta, err error) {
	if fault := b.faulty[t]; fault != nil {
		return dag.Delta{}, fault
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
		if err != nil && !errors.Is(err, dag.ErrRefused) && !errors.Is(err, dag.ErrUnknownNode) {
			err = fmt.Errorf("cannot apply %T to task %q: %w", ev, t.name, err)
			if b.faulty == nil {
				b.faulty = map[*task]error{}
			}
			b.faulty[t] = err
			b.broke = append(b.broke, t)
		}
	}()
	s.e.count.events.Add(1)
	d, err = t.run.Step(ev)
	if err == nil {
		s.absorb(b, t, d)
		if i := subject(ev); i >= 0 {
			s.review(b, t, i)
		}
	}
	return d, err
}

// subject is the node that an event is about, which is looked at even if the event changed nothing.
func subject(ev dag.Event) int32 {
	switch ev := ev.(type) {
	case dag.Grant:
		return ev.Node
	case dag.Tick:
		return ev.Node
	case dag.Observed:
		return ev.Node
	}
	return -1
}

// absorb notes what an event changed.
func (s *shard) absorb(b *batch, t *task, d dag.Delta) {
	if d.Empty() {
		return
	}
	if !t.dirty {
		t.dirty = true
		b.tasks = append(b.tasks, t)
	}
	if d.Header {
		t.header = true
		s.review(b, t, -1)
	}
	t.room()
	for _, i := range d.Added {
		t.note(i, markSpec|markState)
		s.review(b, t, i)
	}
	for _, i := range d.Changed {
		t.note(i, markState)
		s.review(b, t, i)
	}
	for _, i := range d.Respecced {
		t.note(i, markSpec)
	}
	for i := range d.Log {
		t.seq++
		t.log = append(t.log, store.LogEntry{Seq: t.seq, Body: dag.AppendEntry(nil, d.Log[i])})
		s.measure(t, &d.Log[i])
	}
}

// review asks for a node (or, with -1, the task itself) to be looked at before the step is over.
func (s *shard) review(b *batch, t *task, i int32) {
	if i < 0 {
		if t.review {
			return
		}
		t.review = true
	} else {
		t.room()
		if t.marks[i]&markReview != 0 {
			return
		}
		t.marks[i] |= markReview
	}
	b.reviews = append(b.reviews, order{task: t, node: i})
}

// settle looks at everything that changed: what is ready asks for a slot, what got one is granted it, until nothing
// more follows. So a stage that becomes ready is decided to be launched in the very commit that made it ready.
func (s *shard) settle(b *batch) {
	for {
		for k := 0; k < len(b.reviews); k++ {
			r := b.reviews[k]
			if r.node >= 0 {
				r.task.marks[r.node] &^= markReview
			} else {
				r.task.review = false
			}
			if !r.task.gone && b.faulty[r.task] == nil {
				s.look(b, r.task, r.node)
			}
		}
		b.reviews = b.reviews[:0]
		if len(b.ready) > 0 {
			slices.SortStableFunc(b.ready, func(a, c *item) int { return cmp.Compare(c.prio, a.prio) })
			s.e.dispatch.add(b.ready, s.e.groupOf, s)
			b.ready = b.ready[:0]
		}
		grants := s.takeGrants()
		if len(grants) == 0 && len(b.reviews) == 0 {
			return
		}
		for _, it := range grants {
			t := it.task
			sd := t.side[it.node]
			if t.gone || sd == nil || sd.slot != it {
				continue // it was given back meanwhile
			}
			sd.held = true
			if _, err := s.apply(b, t, dag.Grant{At: b.now, Node: it.node}); err != nil {
				s.review(b, t, it.node)
			}
		}
	}
}

func (s *shard) takeGrants() []*item {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants
	s.grants = nil
	return g
}

// granted is called by the dispatcher, with its lock held.
func (s *shard) granted(it *item, signal bool) {
	s.mu.Lock()
	s.grants = append(s.grants, it)
	s.mu.Unlock()
	if signal {
		s.signal()
	}
}

// look compares a node's state with what is under way for it.
func (s *shard) look(b *batch, t *task, i int32) {
	effects := t.run.EffectsOf(i)
	sd := t.side[i]
	if i < 0 || t.run.Node(i).Spec.Kind != dag.KindStage {
		s.arm(t, i, effects)
		if sd != nil && sd.timer == 0 {
			delete(t.side, i)
		}
		return
	}
	n := t.run.Node(i)
	if sd == nil {
		if !n.Live && len(effects) == 0 {
			return
		}
		sd = t.at(i)
	}
	s.lookAttempt(t, n, sd)
	s.lookSlot(b, t, n, sd, effects)
	for _, f := range effects {
		switch f.Kind {
		case dag.EffectLaunch:
			if sd.launch == launchNone && sd.cancel != cancelSent { // a pause that goes on is answered first
				sd.launch = launchQueued
				b.launches = append(b.launches, order{t, i, f.Attempt})
			}
		case dag.EffectCancel:
			s.wantCancel(b, t, f, sd)
		}
	}
	s.arm(t, i, effects)
	t.tidy(i, sd)
}

// lookAttempt keeps the index of live attempts.
func (s *shard) lookAttempt(t *task, n *dag.Node, sd *side) {
	if sd.live && (!n.Live || sd.attempt != n.Attempt) {
		s.e.attempts.remove(dag.AttemptID(n.Spec.ID, sd.attempt))
		sd.live = false
		t.live--
		if n.Kept { // what is launched next is the same attempt
			sd.tries, sd.error, sd.checked, sd.lost, sd.pausing = 0, "", false, false, false
			sd.launch = launchNone
			if sd.cancel != cancelSent {
				sd.cancel = cancelNone
			}
		}
	}
	if sd.attempt != n.Attempt {
		sd.attempt, sd.tries, sd.error, sd.checked, sd.lost = n.Attempt, 0, "", false, false
		sd.runsAt, sd.lostAt, sd.keptAt, sd.pausing = 0, 0, 0, false
		sd.launch, sd.cancel = launchNone, cancelNone
	}
	if n.Live && !sd.live {
		s.e.attempts.put(dag.AttemptID(n.Spec.ID, n.Attempt), attemptRef{s, t.name, n.Index, n.Attempt})
		sd.live = true
		t.live++
	}
}

// lookSlot gives back the slot, or the place in the line, of a stage that does not need it any more, and queues a stage
// that is ready.
func (s *shard) lookSlot(b *batch, t *task, n *dag.Node, sd *side, effects []dag.Effect) {
	ready := slices.ContainsFunc(effects, func(f dag.Effect) bool { return f.Kind == dag.EffectReady })
	if sd.slot != nil && (sd.held && !holdsSlot(n) || !sd.held && !ready) {
		s.e.dispatch.drop(sd.slot, s)
		sd.slot, sd.held = nil, false
	}
	if ready && sd.slot == nil {
		sd.slot = &item{task: t, node: n.Index, prio: priority(t.run, n)}
		b.ready = append(b.ready, sd.slot)
	}
}

func priority(r *dag.Run, n *dag.Node) int32 {
	p := r.Task().Priority
	if n.Spec.Policy != nil {
		p += n.Spec.Policy.Priority
	}
	return p
}
