package engine

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// input is something that a shard takes in: a request, what an executor saw, or the answer to an effect.
type input interface {
	// target is the name of the task it is about.
	target() string
	// event is what the input means for an active task. A nil event with a nil error means that there is nothing to apply.
	event(s *shard, t *task, now dag.Time) (dag.Event, error)
	// absent says what happens where the task is not active: load asks for it to be loaded, so that the input is tried
	// again; otherwise the error is its answer.
	absent() (load bool, err error)
	// again reports whether the input may be applied again, unanswered, after a commit whose outcome is unknown.
	again() bool
	// done takes what came of it: the change, or why there was none. It is called once, after the change is durable.
	done(t *task, d dag.Delta, err error)
}

// quiet is what inputs have in common that nobody waits for: they come again by themselves where they matter, and are
// dropped where their task is gone.
type quiet struct{ task string }

func (q *quiet) target() string                                   { return q.task }
func (q *quiet) event(*shard, *task, dag.Time) (dag.Event, error) { return nil, nil }
func (q *quiet) absent() (bool, error)                            { return false, nil }
func (q *quiet) again() bool                                      { return true }
func (q *quiet) done(*task, dag.Delta, error)                     {}

// errAbandoned is the answer that nobody waits for.
var errAbandoned = errors.New("nobody waits for this any more")

// errNotActive tells readers to look into the store.
var errNotActive = errors.New("task is not active")

// call is how somebody waits for the answer to an input, or has left since.
type call struct {
	ch   chan error
	left *atomic.Bool
}

func newCall() call { return call{make(chan error, 1), new(atomic.Bool)} }

// abandoned reports whether nobody waits any more. What a person asked for and was told to ask again is then not done.
func (c call) abandoned() bool { return c.left != nil && c.left.Load() }

func (c call) answer(err error) {
	if c.ch != nil {
		c.ch <- err
	}
}

// command is a request of a person: it is made into an event by the shard, where the run can be looked at. Tasks that are
// not active are loaded for it, so that the core gives its own reason for a refusal.
type command struct {
	quiet
	call
	make func(t *task, now dag.Time) (dag.Event, error)
	// then, if set, looks at the run after the event.
	then func(t *task, d dag.Delta)
}

func (c *command) event(_ *shard, t *task, now dag.Time) (dag.Event, error) {
	if c.abandoned() {
		return nil, errAbandoned
	}
	return c.make(t, now)
}
func (c *command) absent() (bool, error) { return true, nil }
func (c *command) again() bool           { return false }
func (c *command) done(t *task, d dag.Delta, err error) {
	if err == nil && c.then != nil {
		c.then(t, d)
	}
	c.answer(err)
}

// query looks at a run as it was last committed.
type query struct {
	quiet
	call
	look func(t *task) error
}

func (q *query) absent() (bool, error)                { return false, errNotActive }
func (q *query) done(_ *task, _ dag.Delta, err error) { q.answer(err) }

// sighting is what an executor saw.
type sighting struct {
	quiet
	node    int32
	attempt int32
	seen    executors.Sighting
}

func (g *sighting) event(s *shard, t *task, now dag.Time) (dag.Event, error) {
	i := g.node
	if int(i) >= t.run.Len() {
		return nil, nil
	}
	n := t.run.Node(i)
	if n.Attempt != g.attempt {
		return nil, nil
	}
	if s.outdated(t, g) {
		return nil, nil
	}
	if sd := t.side[i]; lost(&g.seen) && n.Status == dag.Cancelling && sd != nil && sd.launch == launchSent {
		return nil, nil // the launch may start it yet: the stop that follows its answer decides
	}
	if lost(&g.seen) && n.Status == dag.Launching {
		if s.launchDecides(t, i) {
			return nil, nil
		}
		return believed(now, i, g.attempt, g.seen.Failure), nil
	}
	ev := dag.Observed{
		At: between(millis(g.seen.At), n.Launched, now), Node: i, Attempt: g.attempt, Phase: g.seen.Phase,
		Reason: g.seen.Reason, Info: g.seen.Info, ExitCode: int32(g.seen.ExitCode), Failure: g.seen.Failure,
		Outputs: g.seen.Outputs, Usage: g.seen.Usage, Progress: g.seen.Progress, Kept: g.seen.Kept, Random: s.e.cfg.Random(),
	}
	if !g.seen.Started.IsZero() {
		ev.Started = between(millis(g.seen.Started), n.Launched, now)
	}
	return ev, nil
}

// outdated reports whether a sighting is older than one that came before it and says the opposite: that the attempt runs, or
// that it is lost or paused. Sightings may come out of order, and twice; their times are the executor's own. All other ends are
// believed whenever they come.
func (s *shard) outdated(t *task, g *sighting) bool {
	sd, at := t.side[g.node], millis(g.seen.At)
	switch {
	case sd == nil || at == 0:
	case g.seen.Phase == dag.AttemptRunning:
		sd.runsAt = max(sd.runsAt, at)
		return at < sd.lostAt || at < sd.keptAt
	case g.seen.Kept:
		old := at < sd.runsAt || at <= sd.keptAt
		sd.keptAt = max(sd.keptAt, at)
		return old
	case lost(&g.seen):
		sd.lostAt = max(sd.lostAt, at)
		return at < sd.runsAt
	}
	return false
}

func lost(s *executors.Sighting) bool {
	return s.Phase == dag.AttemptFailed && s.Failure != nil && s.Failure.Kind == dag.FailLost
}

// between keeps what another clock said within what this one knows. A zero time is now.
func between(at, from, to dag.Time) dag.Time {
	if at <= 0 || at > to {
		return to
	}
	return max(at, from)
}

// failed feeds back that an attempt could not be launched at all.
type failed struct {
	quiet
	node    int32
	attempt int32
	failure *dag.Failure
}

func (f *failed) event(s *shard, t *task, now dag.Time) (dag.Event, error) {
	return dag.Observed{
		At: now, Node: f.node, Attempt: f.attempt, Phase: dag.AttemptFailed, Failure: f.failure, Random: s.e.cfg.Random(),
	}, nil
}

// launched is an executor's answer to a launch; canceled that to a cancel.
type launched struct {
	quiet
	executor string
	node     int32
	attempt  int32
	err      error
	counted  bool
}

func (l *launched) event(s *shard, t *task, now dag.Time) (dag.Event, error) {
	return s.launchAnswered(t, l, now), nil
}

type canceled struct {
	quiet
	node    int32
	attempt int32
	err     error
}

func (c *canceled) event(s *shard, t *task, now dag.Time) (dag.Event, error) {
	s.cancelAnswered(t, c, now)
	return nil, nil
}

// stray is a task that the store has, and that nobody runs. Where it is not active by now, it is loaded.
type stray struct{ quiet }

func (x *stray) absent() (bool, error) { return true, nil }

// newcomer is a run that was made by a submission.
type newcomer struct {
	quiet
	call
	run   *task
	delta dag.Delta
}

func (n *newcomer) again() bool                          { return false }
func (n *newcomer) done(_ *task, _ dag.Delta, err error) { n.answer(err) }

// loaded is the answer to the wish to have a task loaded.
type loaded struct {
	quiet
	run *task
	err error
}

// deletion removes a task that has ended.
type deletion struct {
	quiet
	call
}

func (d *deletion) again() bool                          { return false }
func (d *deletion) done(_ *task, _ dag.Delta, err error) { d.answer(err) }

// retriable wraps the reason why a change was not saved, or perhaps was, so that callers know to ask again.
func retriable(task string, err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrExists) {
		return fmt.Errorf("cannot save task %q: %w", task, err)
	}
	return fmt.Errorf("cannot save task %q: %w: %w", task, store.ErrUnavailable, err)
}

// control is answered when everything before it has been dealt with; open ends the pause after recovery.
type control struct {
	quiet
	call
	open bool
}

func newQuery(task string, look func(t *task) error) *query {
	return &query{quiet: quiet{task}, call: newCall(), look: look}
}
