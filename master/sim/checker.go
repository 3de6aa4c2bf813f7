package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// checker knows what was promised, and looks after every step whether it is kept:
//
//   - what was acknowledged (a submission, a hold, a continue, a cancel, a retry, a deletion, a report) is in the store by
//     then, and at the end still;
//   - no attempt is decided to be launched twice, none begins that was not decided, or whose stage has another that runs;
//   - no stage starts before its dependencies allow it;
//   - holds are exactly what the set semantics says;
//   - what has ended stays so, unless somebody asked for a retry;
//   - history and states say the same, in every commit, and what is stored can be loaded;
//   - no epoch is given twice, and none writes or launches after a higher one was given;
//   - two masters never trust in their lead at once;
//   - a read that is not marked stale shows what was acknowledged before it was asked for;
//   - every task ends soon once all is well.
type checker struct {
	w       *world
	tasks   map[string]*mirror
	acks    []ack
	keys    map[string]string // tasks by the key of the submission that was acknowledged
	deleted map[string]bool
	open    map[string]bool // submissions that somebody still waits for
	retried map[string]bool // tasks of which somebody asked for a retry
	// latest is the task's Seq that anybody was told of, or whose change was acknowledged to anybody.
	latest map[string]uint64
	// unsure is until when the store may be behind what was acknowledged, after a restart.
	unsure time.Duration
	before map[string]*store.Record // the record before the last change
	// newest is the highest epoch in force, given the highest that anybody was ever given.
	newest, given uint64
}

// ack is something that was acknowledged.
type ack struct{ what, who, task, stage string }

func newChecker(w *world) *checker {
	return &checker{
		w: w, tasks: map[string]*mirror{}, keys: map[string]string{}, deleted: map[string]bool{}, open: map[string]bool{}, retried: map[string]bool{}, latest: map[string]uint64{},
		before: map[string]*store.Record{}, unsure: -1,
	}
}

// applied is told of every change that the store has taken.
func (k *checker) applied(c *store.Change, s *stored, epoch uint64) {
	if epoch < k.newest && k.w.now >= k.unsure {
		k.w.fail("epoch %d writes, and %d was given since", epoch, k.newest)
	}
	if old := k.w.db.previous(c.Task); old != nil {
		k.before[c.Task] = old
	}
	m := k.tasks[c.Task]
	if m == nil {
		m = newMirror(c.Task, k.retried)
		k.tasks[c.Task] = m
	}
	if err := m.take(c); err != nil {
		k.w.fail("task %s: %v", c.Task, err)
	}
	if m.seq != s.rec.LastSeq {
		k.w.fail("task %s: its history ends with %d, and the last number is %d", c.Task, m.seq, s.rec.LastSeq)
	}
}

func (k *checker) removed(task string) {
	delete(k.tasks, task)
	k.deleted[task] = true
}

// lost starts the mirrors anew after the store has lost something.
func (k *checker) lost() {
	k.unsure, k.newest = k.w.now+10*time.Second, k.w.db.fence
	for name := range k.tasks {
		if k.w.db.tasks[name] == nil {
			delete(k.tasks, name)
		}
	}
	for _, name := range k.w.db.order {
		old := k.tasks[name]
		m, err := k.again(name, old)
		if err != nil {
			k.w.fail("task %s, as it was: %v", name, err)
		}
		k.tasks[name] = m
	}
}

// again makes the mirror of a task from what is stored. old knows what the history does not say.
func (k *checker) again(name string, old *mirror) (*mirror, error) {
	s := k.w.db.tasks[name]
	m := newMirror(name, k.retried)
	m.births = []int64{}
	if old != nil {
		for _, n := range old.nodes {
			m.births = append(m.births, n.born)
		}
	}
	err := m.take(&store.Change{Task: name, Header: &s.rec.Header, Nodes: s.rec.Nodes, Log: s.log})
	m.births = nil
	for _, n := range m.nodes {
		m.appear(n, int64(m.seq))
	}
	return m, err
}

// begins is told of every attempt that an executor starts.
func (k *checker) begins(x *attempt) {
	for _, h := range k.w.hosts {
		for _, o := range h.order {
			if o != x && o.Stage == x.Stage && !o.ended {
				k.w.fail("%s begins while %s runs", x.ID, o.ID)
			}
		}
	}
	if k.w.now < k.unsure {
		return
	}
	m := k.tasks[x.Task]
	if m == nil {
		k.w.fail("%s begins, and nobody knows its task", x.ID)
		return
	}
	if !m.launched[x.ID] {
		k.w.fail("%s begins, and nobody decided that", x.ID)
		return
	}
	for _, n := range m.nodes {
		if n.spec.ID == x.Stage && (!n.state.Live || n.state.Attempt != x.Number) {
			k.w.fail("%s begins, and in the store it is over (%s, attempt %d)", x.ID, n.status, n.state.Attempt)
		}
	}
}

// launches is told of every launch that an executor takes.
func (k *checker) launches(h *host, a *executors.Attempt) {
	if a.Epoch < h.recovered {
		k.w.fail("%s is launched in epoch %d, and %d was announced to its executor since", a.ID, a.Epoch, h.recovered)
	}
}

// reported is told of every report that was acknowledged as accepted.
func (k *checker) reported(r engine.StageReport) {
	if r.What != dag.ReportCompleted {
		return
	}
	for _, name := range k.w.db.order {
		m := k.tasks[name]
		if m.node(r.StageID) != nil {
			k.promise(ack{"report", num(r.Attempt), name, r.StageID})
			return
		}
	}
}

// answered is told of every answer that a master gives to a client.
func (k *checker) answered(o *op, r result, err error) {
	if err != nil {
		return
	}
	switch o.what {
	case "submit":
		o.task = r.task
		if old := k.keys[o.who]; old != "" && old != r.task {
			k.w.fail("submission %s made both %s and %s", o.who, old, r.task)
		}
		k.keys[o.who] = r.task
	case "read":
		if !r.stale && r.revision < o.seen {
			k.w.fail("a read of %s shows step %d, and %d was acknowledged before", o.task, r.revision, o.seen)
		}
		return
	}
	k.promise(ack{o.what, o.who, o.task, o.stage})
}

// promise notes an acknowledgement, which has to be true already.
func (k *checker) promise(a ack) {
	k.acks = append(k.acks, a)
	k.w.say("checker", "promised", a.what, a.who, a.task, a.stage)
	if k.w.now < k.unsure {
		return
	}
	if err := k.verify(a); err != nil {
		k.w.fail("acknowledged too early: %v", err)
	}
	if m := k.tasks[a.task]; m != nil {
		k.latest[a.task] = max(k.latest[a.task], m.task.Seq)
	}
}

// leads is told of every epoch that is given.
func (k *checker) leads(epoch uint64, name string) {
	if epoch <= k.given {
		k.w.fail("%s was given epoch %d, and %d was given before", name, epoch, k.given)
	}
	k.given, k.newest = max(k.given, epoch), epoch
}

// acknowledged is the newest step of a task that a client can know of.
func (k *checker) acknowledged(task string) uint64 {
	if k.w.now < k.unsure {
		return 0
	}
	return k.latest[task]
}

// verify looks for an acknowledged thing in the store.
func (k *checker) verify(a ack) error {
	m := k.tasks[a.task]
	switch {
	case a.what == "delete":
		if m != nil {
			return fmt.Errorf("task %s was deleted by %s, and is there", a.task, a.who)
		}
		return nil
	case k.deleted[a.task]:
		return nil
	case m == nil:
		return fmt.Errorf("%s by %s: task %s is not there", a.what, a.who, a.task)
	case a.what == "submit" && k.w.db.requests[a.who] != a.task:
		return fmt.Errorf("submission %s made %s, and its key leads to %q", a.who, a.task, k.w.db.requests[a.who])
	case a.what == "report" && !m.finished[a.stage]:
		return fmt.Errorf("%s has reported that it is done (attempt %s), and is %s", a.stage, a.who, m.node(a.stage).status)
	case a.what != "submit" && a.what != "report" && !m.said[a.what+"/"+a.who]:
		return fmt.Errorf("%s by %s of %s %s is not in the history", a.what, a.who, a.task, a.stage)
	}
	return nil
}

// leaders is told when a master may trust in its lead for longer.
func (k *checker) leaders() {
	found := ""
	for _, m := range k.w.masters {
		if !m.alive || m.term == nil || !m.term.trusted() {
			continue
		}
		if found != "" {
			k.w.fail("both %s and %s trust in their lead", found, m.name)
		}
		found = m.name
	}
}

// final looks at everything when all has ended.
func (k *checker) final() error {
	var errs []error
	for _, a := range k.acks {
		errs = append(errs, k.verify(a))
	}
	for _, name := range k.w.db.order {
		m, err := k.again(name, k.tasks[name])
		if err == nil && !m.task.Status.Terminal() {
			err = fmt.Errorf("it is %s", m.task.Status)
		}
		if err == nil {
			var rec *store.Record
			if rec, err = k.w.db.record(name); err == nil {
				_, err = engine.Revive(rec)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("in the end, task %s: %w", name, err))
		}
	}
	for _, h := range k.w.hosts {
		for _, x := range h.order {
			if !x.ended {
				errs = append(errs, fmt.Errorf("in the end, %s runs", x.ID))
			}
		}
	}
	return errors.Join(errs...)
}

// anyTask is some task that is stored, mostly the first.
func (k *checker) anyTask(r *rand.Rand) *mirror {
	names := k.w.db.order
	if len(names) == 0 {
		return nil
	}
	if r.IntN(3) > 0 {
		return k.tasks[names[0]]
	}
	return k.tasks[names[r.IntN(len(names))]]
}

// kept is a task as it was before its last change.
func (k *checker) kept(name string) *store.Record { return k.before[name] }

// node finds a node by its id.
func (m *mirror) node(id string) *mnode {
	for _, n := range m.nodes {
		if n.spec.ID == id {
			return n
		}
	}
	return nil
}

// heldRoots are the ids of the nodes on which holds were put, in order.
func (m *mirror) heldRoots() (ids []string) {
	for _, r := range m.roots {
		ids = append(ids, m.nodes[r].spec.ID)
	}
	slices.Sort(ids)
	return ids
}

// anyHold is the root of some hold, or "".
func (m *mirror) anyHold(r *rand.Rand) string {
	ids := m.heldRoots()
	if len(ids) == 0 {
		return ""
	}
	return ids[r.IntN(len(ids))]
}

// live reports whether anything runs outside.
func (w *world) live() bool {
	for _, h := range w.hosts {
		for _, x := range h.order {
			if !x.ended {
				return true
			}
		}
	}
	return false
}
