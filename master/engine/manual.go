package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// Manual is an engine whose shards are driven by hand: it has no goroutine, no clock and no socket, and everything between
// an input and a change to commit, and between that commit and what has to be done, is what an Engine does. So whole masters
// can be run under a clock that somebody made up, with every commit, launch and load failing in every way.
//
// The caller is the goroutines around the shards. In order: Begin with what the store has, Step and Finish until nothing is
// Due, Recover the executors, Open; and then for ever inputs, Step, commit what the batch Changes, Finish, and do what the
// Effects say. Between Step and Finish of a shard there is no other Step of it. The same calls give the same bytes.
//
// Answers to requests are given by calling back, during Step or Finish (or at once).
type Manual struct {
	e       *Engine
	shelf   *shelf
	waiting []waiter
}

// waiter is a request whose answer has not come.
type waiter struct {
	call   call
	answer func(error)
}

// NewManual makes an engine to drive by hand. The store and the executors of cfg are not used; names are those of the
// executors that there are.
func NewManual(cfg Config, names ...string) (*Manual, error) {
	m := &Manual{shelf: &shelf{}}
	cfg.Store = m.shelf
	cfg.Executors = map[string]executors.Executor{}
	for _, name := range names {
		cfg.Executors[name] = elsewhere{}
	}
	var err error
	m.e, err = New(cfg)
	return m, err
}

// elsewhere stands for an executor that the caller drives.
type elsewhere struct{ executors.Executor }

// shelf stands for a store: it gives what it was handed.
type shelf struct {
	store.Store
	rec *store.Record
	err error
}

func (s *shelf) Load(context.Context, string) (*store.Record, error) { return s.rec, s.err }

func (m *Manual) load(rec *store.Record, err error, do func()) {
	m.shelf.rec, m.shelf.err = rec, err
	do()
	m.shelf.rec, m.shelf.err = nil, nil
}

// Begin takes the epoch of the lead and the unfinished tasks. It gives the attempts that may exist outside, by executor. The
// shards take note of them with their first Step.
func (m *Manual) Begin(epoch uint64, records []*store.Record) (map[string][]executors.Attempt, error) {
	m.e.epoch.Store(epoch)
	all := map[string][]executors.Attempt{}
	for _, rec := range records {
		var live map[string][]executors.Attempt
		var err error
		m.load(rec, nil, func() { live, err = m.e.loadOne(context.Background(), rec.Header.Task) })
		if err != nil {
			return nil, err
		}
		for name, attempts := range live {
			all[name] = append(all[name], attempts...)
		}
	}
	return all, nil
}

// Open lets the shards act: every executor knows the attempts, and has said what became of them.
func (m *Manual) Open() {
	for _, s := range m.e.shards {
		s.post(&control{open: true})
	}
	m.e.dispatch.start()
}

// Shards is the number of shards, which are counted from 0. ShardOf gives that of a task.
func (m *Manual) Shards() int { return len(m.e.shards) }

// ShardOf gives the shard of a task, active or not.
func (m *Manual) ShardOf(task string) int { return m.e.shardOf(task).id }

// Due reports whether a shard has something to do at now.
func (m *Manual) Due(shard int, now dag.Time) bool {
	s := m.e.shards[shard]
	if at := s.timers.next(); at != 0 && at <= now {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.backlog)+len(s.inbox)+len(s.incoming)+len(s.grants) > 0
}

// NextTimer is when a shard has something to do without any input, 0 if never.
func (m *Manual) NextTimer(shard int) dag.Time { return m.e.shards[shard].timers.next() }

// Batch is what a Step made, and what has to be committed before Finish.
type Batch struct {
	s *shard
	b *batch
}

// Changes are what is to be committed. They are not to be changed.
func (b *Batch) Changes() []store.Change { return b.b.changes }

// Shard is the number of the batch's shard.
func (b *Batch) Shard() int { return b.s.id }

// Step has a shard apply its inputs and what is due.
func (m *Manual) Step(shard int, now dag.Time) *Batch {
	s := m.e.shards[shard]
	b := &Batch{s, s.step(now, s.collect(nil))}
	m.tell()
	return b
}

// Finish ends a batch. errs say what became of its changes, one by one; nil if all are durable.
func (m *Manual) Finish(b *Batch, now dag.Time, errs []error) Effects {
	fx := b.s.finish(now, b.b, errs)
	m.tell()
	out := Effects{Loads: fx.loads}
	for _, l := range fx.launches {
		out.Launches = append(out.Launches, Launch{Executor: l.executor, Attempt: l.attempt, s: b.s, order: l.order, node: l.node})
	}
	for _, c := range fx.cancels {
		out.Cancels = append(out.Cancels, Cancel{Executor: c.executor, ID: c.id, Grace: c.grace, Pause: c.pause, s: b.s, order: c.order, node: c.node, number: c.number})
	}
	return out
}

// tell gives answers to those who wait for them, in the order in which they asked.
func (m *Manual) tell() {
	var ready []func()
	m.waiting = slices.DeleteFunc(m.waiting, func(w waiter) bool {
		select {
		case err := <-w.call.ch:
			ready = append(ready, func() { w.answer(err) })
			return true
		default:
			return false
		}
	})
	for _, f := range ready {
		f()
	}
}

// Effects are what has to be done after a commit.
type Effects struct {
	// Launches and Cancels go to executors, Loads to the store. Each is answered by the method that takes it.
	Launches []Launch
	Cancels  []Cancel
	Loads    []string
}

// Launch is an attempt to be handed to an executor.
type Launch struct {
	Executor string
	Attempt  executors.Attempt
	s        *shard
	order    quiet
	node     int32
}

// Cancel is an attempt to be stopped by an executor, or paused by one that can (executors.Pauser).
type Cancel struct {
	Executor string
	ID       string
	Grace    time.Duration
	Pause    bool
	s        *shard
	order    quiet
	node     int32
	number   int32
}

// Launched takes an executor's answer to a launch.
func (m *Manual) Launched(l Launch, err error) {
	l.s.post(&launched{quiet: l.order, executor: l.Executor, node: l.node, attempt: l.Attempt.Number, err: err})
}

// Canceled takes an executor's answer to a cancel.
func (m *Manual) Canceled(c Cancel, err error) {
	c.s.post(&canceled{quiet: c.order, node: c.node, attempt: c.number, err: err})
}

// Loaded takes the store's answer to a load.
func (m *Manual) Loaded(name string, rec *store.Record, err error) {
	m.load(rec, err, func() {
		t, err := m.e.load(context.Background(), name)
		m.e.shardOf(name).post(&loaded{quiet: quiet{name}, run: t, err: err})
	})
}

// Sighting takes what an executor saw.
func (m *Manual) Sighting(seen executors.Sighting) {
	if ref, ok := m.e.attempts.get(seen.AttemptID); ok {
		ref.shard.post(&sighting{quiet{ref.task}, ref.node, ref.attempt, seen})
	}
}

// Stray says that the store has an unfinished task. It is loaded if it is not active.
func (m *Manual) Stray(task string) {
	if !m.Active(task) {
		m.e.shardOf(task).post(&stray{quiet{task}})
	}
}

// Active reports whether a task is active, or on its way to be again.
func (m *Manual) Active(task string) bool { return m.e.active.get(task) != nil }

// Broken gives the error of a task that was left alone, or nil.
func (m *Manual) Broken(task string) error {
	if err, ok := m.e.broken.Load(task); ok {
		return err.(error)
	}
	return nil
}

// Run gives the run of an active task as it is in memory, which may be ahead of what is committed between Step and Finish. It
// is nil while the task is not in memory. It may be looked at until the next Step.
func (m *Manual) Run(task string) *dag.Run {
	if t := m.e.shardOf(task).tasks[task]; t != nil {
		return t.run
	}
	return nil
}

// Stats gives the counters as they stand.
func (m *Manual) Stats() Stats { return m.e.Stats() }

// Look has look look at a run as queries do, at once or when the task has been loaded. errNotActive, in an Engine the reason
// to look into the store, is ErrNotActive here.
func (m *Manual) Look(task string, look func(*dag.Run), answer func(error)) {
	q := &query{quiet: quiet{task}, call: newCall(), look: func(t *activeRun) error {
		look(t.run)
		return nil
	}}
	m.wait(q.call, answer)
	m.e.shardOf(task).ask(q)
	m.tell()
}

// ErrNotActive is the answer to a Look or a Report whose task is not active.
var ErrNotActive = errNotActive

func (m *Manual) wait(c call, answer func(error)) {
	if answer != nil {
		m.waiting = append(m.waiting, waiter{c, answer})
	}
}

// Submit makes a task of a plan, under the name that it is given. Everything that can be wrong with the plan is the error
// that is returned; whether it became durable is answered.
func (m *Manual) Submit(task string, s Submission, answer func(error)) error {
	src := &source{File: s.File, Plan: s.PlanName, YAML: string(s.YAML), Options: s.BuildOptions}
	p, program, ds := m.e.documents.compile(task, src)
	if err := ds.Err(); err != nil {
		return err
	}
	p.Suspended = p.Suspended || s.Suspended
	run, delta, err := dag.New(p, program, m.e.now())
	if err != nil {
		return fmt.Errorf("cannot make task %q: %w", task, err)
	}
	t := run.Task()
	t.Owner, t.Request, t.Options, t.Retain = s.Owner, s.RequestID, s.Options, s.Retain
	body, err := src.encode()
	if err != nil {
		return fmt.Errorf("cannot store the plan of task %q: %w", task, err)
	}
	n := &newcomer{quiet: quiet{task}, call: newCall(), run: newTask(task, run, program), delta: delta}
	n.run.create = &creation{source: body}
	m.wait(n.call, answer)
	m.e.shardOf(task).post(n)
	return nil
}

// Report takes a callback of a stage program, for a task that is active. accepted and cancelRequested are as Engine.Report
// gives them.
func (m *Manual) Report(r StageReport, answer func(accepted, cancelRequested bool, err error)) {
	first, others := m.e.active.ofStage(r.StageID)
	if first == nil {
		answer(false, false, ErrNotActive)
		return
	}
	m.reportTo(first, others, &r, answer)
}

// reportTo asks the tasks that a stage may belong to, one after the other.
func (m *Manual) reportTo(a *activeTask, others []*activeTask, r *StageReport, answer func(accepted, cancelRequested bool, err error)) {
	p := &report{quiet: quiet{a.name}, call: newCall(), r: r}
	m.wait(p.call, func(err error) {
		if len(others) > 0 && (errors.Is(err, errNotActive) || errors.Is(err, dag.ErrUnknownNode)) {
			m.reportTo(others[0], others[1:], r, answer)
			return
		}
		answer(p.accepted, p.cancel, err)
	})
	a.shard.post(p)
}

// The commands give a function to call when nobody waits for the answer any more: what was not carried out yet never is.

// Suspend puts a hold on a stage of a task, or with stage "" on its entry.
func (m *Manual) Suspend(task, stage string, hold dag.Hold, answer func(error)) (leave func()) {
	return m.order(task, stage, func(i int32, now dag.Time) dag.Event { return dag.Suspend{At: now, Node: max(i, 0), Hold: hold} }, answer)
}

// Continue removes the hold whose root is the stage, or with stage "" the task's entry.
func (m *Manual) Continue(task, stage, who string, answer func(error)) (leave func()) {
	return m.order(task, stage, func(i int32, now dag.Time) dag.Event { return dag.Continue{At: now, Node: max(i, 0), Who: who} }, answer)
}

// Cancel stops a stage, or with stage "" the task.
func (m *Manual) Cancel(task, stage, who, why string, handlers bool, answer func(error)) (leave func()) {
	return m.order(task, stage, func(i int32, now dag.Time) dag.Event {
		return dag.Cancel{At: now, Node: i, Who: who, Why: why, Handlers: handlers}
	}, answer)
}

// Skip marks a stage that was not launched as SKIPPED.
func (m *Manual) Skip(task, stage, who, why string, answer func(error)) (leave func()) {
	return m.order(task, stage, func(i int32, now dag.Time) dag.Event { return dag.SkipStage{At: now, Node: i, Who: who, Why: why} }, answer)
}

// Retry runs a task again that has failed.
func (m *Manual) Retry(task, who string, answer func(error)) (leave func()) {
	return m.order(task, "", func(_ int32, now dag.Time) dag.Event { return dag.RetryTask{At: now, Who: who} }, answer)
}

// order gives a task a command.
func (m *Manual) order(task, stage string, event func(i int32, now dag.Time) dag.Event, answer func(error)) (leave func()) {
	c := &command{quiet: quiet{task}, call: newCall()}
	c.make = func(t *activeRun, now dag.Time) (dag.Event, error) {
		i := whole
		if stage != "" {
			var err error
			if i, err = t.run.Find(stage); err != nil {
				return nil, err
			}
		}
		return event(i, now), nil
	}
	m.wait(c.call, answer)
	m.e.shardOf(task).post(c)
	return func() {
		c.left.Store(true)
		m.waiting = slices.DeleteFunc(m.waiting, func(w waiter) bool { return w.call == c.call })
	}
}

// Delete removes a task that has ended.
func (m *Manual) Delete(task string, answer func(error)) {
	d := &deletion{quiet: quiet{task}, call: newCall()}
	m.wait(d.call, answer)
	m.e.shardOf(task).post(d)
}

// Revive makes a run of what the store has, as a task is loaded. It is for those who check the store.
func Revive(rec *store.Record) (*dag.Run, error) {
	t, err := (&Engine{}).revive(rec)
	if err != nil {
		return nil, err
	}
	return t.run, nil
}
