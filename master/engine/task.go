package engine

import (
	"maps"
	"slices"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// task is an active run and what its shard has to remember about it that is not part of the stored state: all of it
// follows from the state, or can be asked for again, after a restart.
type task struct {
	name    string
	run     *dag.Run
	program dag.Program
	lane    *lane
	// seq numbers the task's history; it is the last number given.
	seq uint64
	// revision is that of the task in the store, 0 where the store does not count.
	revision uint64
	side     map[int32]*side
	live     int // attempts in the engine's index
	gone     bool

	// create is set until the first commit of a new task.
	create *creation
	// What the batch that is being made changed; see batch.
	dirty   bool
	header  bool
	review  bool
	marks   []mark
	changed []int32
	log     []store.LogEntry
}

// creation is what a submission stores once.
type creation struct {
	source []byte
}

// side is what is known of a node, or of the task as a whole (node -1), besides its state.
type side struct {
	// attempt is the attempt that launch, cancel and live are about.
	attempt int32
	launch  launchState
	cancel  cancelState
	tries   int32
	live    bool // the attempt is in the engine's index
	checked bool // it was launched again because it was said to be lost
	lost    bool // it was said to be lost while it was being launched
	// runsAt and lostAt are when it was last seen to run, and said to be lost, by the executor's clock.
	runsAt, lostAt dag.Time
	// keptAt is when it was last seen to be paused, by the same clock. pausing says that its cancel is a pause.
	keptAt  dag.Time
	pausing bool
	error   string
	slot    *item // its place in the dispatcher, queued or, once held, granted
	held    bool
	timer   dag.Time // the timer that is set, 0 if none
}

type launchState uint8

const (
	launchNone launchState = iota
	launchQueued
	launchSent // the executor was called and has not answered
	launchLater
	launchDone
)

type cancelState uint8

const (
	cancelNone   cancelState = iota
	cancelWanted             // when the launch was answered
	cancelQueued             // decided, and sent once that is saved
	cancelSent
	cancelLater
)

// mark says what of a node the batch changes.
type mark uint8

const (
	markSpec mark = 1 << iota
	markState
	markReview
)

func newTask(name string, run *dag.Run, program dag.Program) *task {
	return &task{name: name, run: run, program: program, side: map[int32]*side{}}
}

// at gives what is known of a node, making it.
func (t *task) at(i int32) *side {
	s := t.side[i]
	if s == nil {
		s = &side{}
		t.side[i] = s
	}
	return s
}

// known lists the nodes of which something is known besides their state, in order: what is done for all of them is done
// in the same order every time.
func (t *task) known() []int32 { return slices.Sorted(maps.Keys(t.side)) }

// tidy forgets a side that says nothing.
func (t *task) tidy(i int32, s *side) {
	if s.slot == nil && !s.live && s.timer == 0 && s.launch != launchSent && s.cancel != cancelSent && !t.run.Node(i).Kept {
		delete(t.side, i)
	}
}

// attempt describes the current attempt of a stage to its executor.
func (t *task) attempt(e *Engine, i int32) (executors.Attempt, error) {
	n := t.run.Node(i)
	spec, err := t.program.Stage(t.run, i)
	if err != nil {
		return executors.Attempt{}, err
	}
	id := dag.AttemptID(n.Spec.ID, n.Attempt)
	return executors.Attempt{
		ID: id, Task: t.name, Stage: n.Spec.ID, Number: n.Attempt, Epoch: e.epoch.Load(), Spec: spec,
		MasterHost: e.cfg.MasterHost, MasterPort: e.cfg.MasterPort, Token: e.token(id), Options: t.run.Task().Options,
	}, nil
}

// over reports whether nothing can happen to the run any more by itself, so that it need not be in memory.
func (t *task) over() bool { return t.run.Task().Status.Terminal() && t.live == 0 }

// holdsSlot reports whether a stage takes a slot: its attempt is under way and has not prepared its data. A stage that
// was PREPARED has given its slot back for good, since its reader may need it.
func holdsSlot(n *dag.Node) bool {
	switch n.Status {
	case dag.Launching, dag.Running, dag.Cancelling:
		return n.Live && n.Seen&dag.SeenPrepared == 0
	}
	return false
}

// room makes the marks cover every node.
func (t *task) room() {
	if n := t.run.Len(); len(t.marks) < n {
		t.marks = append(t.marks, make([]mark, n-len(t.marks))...)
	}
}

// note marks a node as changed.
func (t *task) note(i int32, m mark) {
	if t.marks[i]&(markSpec|markState) == 0 {
		t.changed = append(t.changed, i)
	}
	t.marks[i] |= m
}

// saved forgets what the batch changed, after its commit.
func (t *task) saved() {
	for _, i := range t.changed {
		t.marks[i] &^= markSpec | markState
	}
	if t.changed = t.changed[:0]; cap(t.changed) > 4096 {
		t.changed = nil
	}
	if t.create != nil || t.revision > 0 {
		t.revision++
	}
	t.log, t.create = nil, nil
	t.dirty, t.header = false, false
}
