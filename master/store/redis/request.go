package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// request is what the committer is asked for.
type request struct {
	ctx   context.Context // the caller's, who waits
	epoch uint64
	ops   []*op
	// look asks for the checks only; nothing is written.
	look bool
	// alone is run instead of anything else, while nothing is being written.
	alone func(ctx context.Context) error

	err error
	// done is closed once err says how it went.
	done chan struct{}
	// since is when the first attempt failed, tries how many did.
	since time.Time
	tries int
	// seen is what the checks found of the tasks that are made or deleted.
	seen map[string]standing
}

// op is one step of a request, usually a Change.
type op struct {
	task string
	slot uint16
	// call is nil for a deletion, which is made when it is known what there is.
	call *call
	// head is set if the indexes may change; want is the place in call of the argument that asks for what they were made of before.
	head *heading
	want int

	create  bool
	print   string // of a creation
	request string
	// nodes is one more than the highest index of a node in it.
	nodes int

	remove bool
	// due restricts a deletion to a task that may be deleted at this time; 0 does not.
	due dag.Time
	// parts says that a deletion leaves the nodes to others.
	parts bool
	// forgiven says that it is no error if the task is gone, since the rest of the batch deletes it.
	forgiven bool
	checked  bool // base was given

	// before are entries that are made first, after those that go when all is done.
	before, after []entry

	sent, settled bool
	// doubted is set once an answer was bad and the server was looked at.
	doubted bool
	err     error
	// removed and kept are what became of a deletion.
	removed, kept bool
}

// errParts is an internal answer: a task is too large for what was asked in one go, or has something left over from before.
var errParts = errors.New("this is done in several parts")

// chunk is how many nodes are written or deleted at once, where that need not be all.
const chunk = 500

// prepare makes the steps of a batch. large says that it must be done in several parts.
func (s *Store) prepare(epoch uint64, batch []store.Change) (ops []*op, large bool, err error) {
	ops = make([]*op, len(batch))
	for i := range batch {
		if err := valid(&batch[i]); err != nil {
			return nil, false, err
		}
		if ops[i], err = s.prepareOne(epoch, &batch[i]); err != nil {
			return nil, false, err
		}
		ops[i].forgiven = deletedLater(batch[i+1:], batch[i].Task)
		large = large || batch[i].Create && len(batch[i].Nodes) > chunk
	}
	return ops, large, nil
}

// deletedLater reports whether the rest of a batch deletes the task: then the batch may be being repeated, and a change of a task
// that is gone is no error.
func deletedLater(rest []store.Change, task string) bool {
	return slices.ContainsFunc(rest, func(c store.Change) bool { return c.Delete && c.Task == task })
}

func (s *Store) prepareOne(epoch uint64, c *store.Change) (*op, error) {
	o := &op{task: c.Task, slot: s.keys.slot(c.Task)}
	if c.Delete {
		o.remove = true
		return o, nil
	}
	for i := range c.Nodes {
		o.nodes = max(o.nodes, int(c.Nodes[i].Index)+1)
	}
	labels := ""
	if c.Header != nil {
		labels = encodeLabels(c.Header.Labels)
		o.head = headingOf(c.Header)
		o.head.sum = headSum(s.seed, c.Header, labels)
	}
	id := fingerprint(c)
	if c.Create {
		o.create, o.print, o.request = true, hex.EncodeToString(id[:16]), c.Header.Request
		o.call = s.createCall(epoch, c, o, labels)
		return o, nil
	}
	o.checked = c.Base > 0
	batch := strconv.FormatUint(epoch, 10) + ":" + hex.EncodeToString(id[:8])
	o.call = s.updateCall(epoch, c, o, labels, batch)
	return o, nil
}

// updateCall follows update.lua.
func (s *Store) updateCall(epoch uint64, c *store.Change, o *op, labels, id string) *call {
	base := s.keys.stageBase(c.Task)
	size := 256 + 4*len(c.Task) + len(base) + nodesSize(c.Nodes, base) + logSize(c.Log)
	heads := 0
	if c.Header != nil {
		heads = 2 * len(headerFields)
		size += headerSize(c.Header, labels)
	}
	b := newBuilder(&s.scripts.update, 3+len(c.Nodes), 9+heads+2*len(c.Log)+5*len(c.Nodes), size)
	b.str(s.keys.fenceKey(o.slot))
	b.str(s.keys.taskKey(c.Task))
	b.str(s.keys.eventsKey(c.Task))
	for i := range c.Nodes {
		if !empty(&c.Nodes[i]) {
			b.numbered(base, int(c.Nodes[i].Index))
		}
	}
	b.arguments()
	basePlace := len(b.args)
	b.uint(c.Base)
	b.str(id)
	b.uint(epoch)
	b.fixed(s.history)
	o.want = len(b.args)
	b.fixed(wantNothing)
	b.int(int64(o.nodes))
	b.int(int64(heads))
	b.int(int64(len(c.Log)))
	b.rest(c, labels)
	call := b.call(&s.scripts.update, o.slot)
	call.base = basePlace
	return call
}

// wantOld asks an update for what the indexes were made of before.
var (
	wantNothing any = ""
	wantOld     any = "1"
)

// rest adds what the calls for a new and for a known task end with.
func (b *builder) rest(c *store.Change, labels string) {
	if c.Header != nil {
		b.header(c.Header, labels)
	}
	for i := range c.Log {
		b.uint(c.Log[i].Seq)
		b.bytes(c.Log[i].Body)
	}
	for i := range c.Nodes {
		if !empty(&c.Nodes[i]) {
			b.node(&c.Nodes[i])
		}
	}
}

func headerSize(h *store.Header, labels string) int {
	return len(h.Task) + len(h.Plan) + len(h.Request) + len(h.Body) + len(labels) + 4*maxInt
}

// createCall follows create.lua. The nodes of a large task are not in it.
func (s *Store) createCall(epoch uint64, c *store.Change, o *op, labels string) *call {
	whole := *c
	if len(c.Nodes) > chunk {
		whole.Nodes = nil
	}
	base := s.keys.stageBase(c.Task)
	size := 256 + 5*len(c.Task) + nodesSize(whole.Nodes, base) + logSize(c.Log) + headerSize(c.Header, labels) + len(c.Source)
	b := newBuilder(&s.scripts.create, 4+len(whole.Nodes), 9+2*len(headerFields)+2*len(c.Log)+5*len(whole.Nodes), size)
	b.str(s.keys.fenceKey(o.slot))
	b.str(s.keys.taskKey(c.Task))
	b.str(s.keys.planKey(c.Task))
	b.str(s.keys.eventsKey(c.Task))
	for i := range whole.Nodes {
		if !empty(&whole.Nodes[i]) {
			b.numbered(base, int(whole.Nodes[i].Index))
		}
	}
	b.arguments()
	b.str(o.print)
	b.str(strconv.FormatUint(epoch, 10) + ":" + o.print[:16])
	b.uint(epoch)
	b.fixed(s.history)
	b.int(int64(o.nodes))
	b.bytes(c.Source)
	b.int(int64(2 * len(headerFields)))
	b.int(int64(len(c.Log)))
	b.rest(&whole, labels)
	return b.call(&s.scripts.create, o.slot)
}

// deleteCall follows delete.lua.
func (s *Store) deleteCall(o *op, found standing) *call {
	nodes := found.nodes
	if o.parts {
		nodes = 0
	}
	base := s.keys.stageBase(o.task)
	b := newBuilder(&s.scripts.remove, 4+nodes, 8, 256+4*len(o.task)+nodes*(len(base)+maxInt))
	b.str(s.keys.fenceKey(o.slot))
	b.str(s.keys.taskKey(o.task))
	b.str(s.keys.planKey(o.task))
	b.str(s.keys.eventsKey(o.task))
	for i := range nodes {
		b.numbered(base, i)
	}
	b.arguments()
	b.str(found.creation)
	if o.due > 0 {
		b.int(int64(o.due))
	} else {
		b.fixed(wantNothing)
	}
	if o.parts {
		b.int(int64(found.nodes))
	} else {
		b.fixed(wantNothing)
	}
	for _, status := range dag.TaskStatuses() {
		if status.Terminal() {
			b.str(status.String())
		}
	}
	return b.call(&s.scripts.remove, o.slot)
}

// Commit writes a batch. A change of a task that does not exist gives store.ErrNotFound, for that Change alone; the others are
// written. So do ErrConflict and ErrRolledBack.
//
// The commits that wait while others are being sent are sent together. What is not answered is sent again, until it is, the
// context ends, or Options.Patience does; then the error is store.ErrUnavailable.
func (s *Store) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if len(batch) == 0 {
		return s.ask(&request{ctx: ctx, epoch: epoch, look: true})
	}
	ops, large, err := s.prepare(epoch, batch)
	if err != nil {
		return err
	}
	if !large {
		err = s.ask(&request{ctx: ctx, epoch: epoch, ops: ops})
	}
	if large || errors.Is(err, errParts) {
		return s.commitParts(ctx, epoch, batch)
	}
	return err
}

// ask hands a request to the committer and waits for its end.
func (s *Store) ask(r *request) error {
	r.done = make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	s.nudge()
	select {
	case <-r.done:
		return r.err
	case <-r.ctx.Done():
	}
	if s.withdraw(r) {
		return r.ctx.Err()
	}
	if r.ended() {
		return r.err
	}
	// The committer goes on with it without its caller. All that it needs is its own.
	return fmt.Errorf("%w: no answer yet: %w", store.ErrUnavailable, r.ctx.Err())
}

// ended says whether the committer is done with a request; until then it has all that is in it.
func (r *request) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// withdraw takes a request out of the queue; false if it is being worked on already.
func (s *Store) withdraw(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, r)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// nudge wakes the committer.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

var errClosed = fmt.Errorf("%w: it was closed", store.ErrUnavailable)
