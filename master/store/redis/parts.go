package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/clic-orchestrator/clic/master/store"
)

// A task of many nodes is made and deleted in parts, so that the server, and everybody who commits, need not wait for all of it. Its
// header comes last when it is made, and goes first when it is deleted: the task is there, or is not. The hash of garbage
// has its name meanwhile, so that nothing is left of it for good if a leader dies in between.

// partsAtOnce is how many parts go into one request.
const partsAtOnce = 4

// commitParts does what Commit does, where a task of the batch is large, or has something left over. Only one batch at a time is.
func (s *Store) commitParts(ctx context.Context, epoch uint64, batch []store.Change) error {
	release, err := s.takeParts(ctx)
	if err != nil {
		return err
	}
	defer release()
	ops, _, err := s.prepare(epoch, batch)
	if err != nil {
		return err
	}
	seen, err := s.lookFor(ctx, epoch, ops)
	if err != nil {
		return err
	}
	var small []*op
	flush := func() error {
		if len(small) == 0 {
			return nil
		}
		r := &request{ctx: ctx, epoch: epoch, ops: small}
		small = nil
		err := s.ask(r)
		if isParts(err) {
			return s.oneByOne(ctx, epoch, r.ops)
		}
		return err
	}
	for i, o := range ops {
		large := o.create && len(batch[i].Nodes) > chunk || o.remove && seen[o.task].nodes > chunk
		o.parts = large || o.create // nothing is left over any more
		if !large {
			small = append(small, o)
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		if o.remove {
			err = s.removeParts(ctx, epoch, o)
		} else {
			err = s.createParts(ctx, epoch, o, batch[i].Nodes)
		}
		if err != nil {
			return err
		}
	}
	return flush()
}

// oneByOne is for a batch of which a task has grown large meanwhile.
func (s *Store) oneByOne(ctx context.Context, epoch uint64, ops []*op) error {
	for _, o := range ops {
		var err error
		if o.remove {
			o.parts = true
			err = s.removeParts(ctx, epoch, o)
		} else {
			err = s.ask(&request{ctx: ctx, epoch: epoch, ops: []*op{o}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeParts waits for the turn to do something in parts.
func (s *Store) takeParts(ctx context.Context) (release func(), err error) {
	select {
	case s.parts <- struct{}{}:
		return func() { <-s.parts }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.stopped:
		return nil, errClosed
	}
}

// lookFor checks a batch whole, and removes what is left over of earlier tasks of the same names.
func (s *Store) lookFor(ctx context.Context, epoch uint64, ops []*op) (map[string]standing, error) {
	for _, o := range ops {
		o.parts = true
	}
	r := &request{ctx: ctx, epoch: epoch, ops: ops, look: true}
	if err := s.ask(r); err != nil {
		return nil, err
	}
	for _, o := range ops {
		o.settled, o.before = false, nil
		if left := r.seen[o.task].garbage; o.create && left > 0 {
			if err := s.collect(ctx, epoch, o.task, left); err != nil {
				return nil, err
			}
		}
	}
	return r.seen, nil
}

// createParts writes the nodes, then all the rest.
func (s *Store) createParts(ctx context.Context, epoch uint64, o *op, nodes []store.NodeRecord) error {
	mark := s.keys.leftover(o.task, o.nodes)
	parts := &group{}
	o.call.group = parts
	for len(nodes) > 0 {
		r := &request{ctx: ctx, epoch: epoch}
		for range partsAtOnce {
			n := min(chunk, len(nodes))
			if n > 0 {
				c := s.stagesCall(o, nodes[:n])
				c.group = parts
				r.ops = append(r.ops, &op{task: o.task, slot: o.slot, call: c, before: []entry{mark}})
			}
			nodes = nodes[n:]
		}
		if err := s.ask(r); err != nil {
			return fmt.Errorf("cannot create task %q: %w", o.task, err)
		}
	}
	o.after = []entry{mark}
	return s.ask(&request{ctx: ctx, epoch: epoch, ops: []*op{o}})
}

// stagesCall follows stages.lua.
func (s *Store) stagesCall(o *op, nodes []store.NodeRecord) *call {
	base := s.keys.stageBase(o.task)
	b := newBuilder(&s.scripts.stages, 2+len(nodes), 1+5*len(nodes), 128+len(o.task)+nodesSize(nodes, base))
	b.str(s.keys.fenceKey(o.slot))
	b.str(s.keys.taskKey(o.task))
	for i := range nodes {
		if !empty(&nodes[i]) {
			b.numbered(base, int(nodes[i].Index))
		}
	}
	b.arguments()
	for i := range nodes {
		if !empty(&nodes[i]) {
			b.node(&nodes[i])
		}
	}
	return b.call(&s.scripts.stages, o.slot)
}

// removeParts deletes all but the nodes, then those.
func (s *Store) removeParts(ctx context.Context, epoch uint64, o *op) error {
	if err := s.ask(&request{ctx: ctx, epoch: epoch, ops: []*op{o}}); err != nil || o.kept {
		return err
	}
	return s.collect(ctx, epoch, o.task, o.nodes)
}

// collect deletes the nodes that are left of a task that is gone. If it is there, they stay.
func (s *Store) collect(ctx context.Context, epoch uint64, task string, nodes int) error {
	nodes = max(nodes, 1) // an entry for nothing goes, too
	slot, base := s.keys.slot(task), s.keys.stageBase(task)
	for from := 0; from < nodes; {
		r := &request{ctx: ctx, epoch: epoch}
		for range partsAtOnce {
			to := min(from+chunk, nodes)
			if from == to {
				break
			}
			b := newBuilder(&s.scripts.unlink, 2+to-from, 1, 128+len(task)+(to-from)*(len(base)+maxInt))
			b.str(s.keys.fenceKey(slot))
			b.str(s.keys.taskKey(task))
			for ; from < to; from++ {
				b.numbered(base, from)
			}
			b.arguments()
			r.ops = append(r.ops, &op{task: task, slot: slot, call: b.call(&s.scripts.unlink, slot)})
		}
		if from == nodes {
			r.ops[len(r.ops)-1].after = []entry{s.keys.leftover(task, 0)}
		}
		if err := s.ask(r); err != nil {
			return fmt.Errorf("cannot delete what is left of task %q: %w", task, err)
		}
	}
	return nil
}

// collectAll deletes what leaders that died have left of tasks.
func (s *Store) collectAll(ctx context.Context, epoch uint64) error {
	left, err := s.reader.HGetAll(ctx, s.keys.garbage()).Result()
	if err != nil || len(left) == 0 {
		return s.fault(err)
	}
	release, err := s.takeParts(ctx)
	if err != nil {
		return err
	}
	defer release()
	// Those that were being made or deleted until now are not in it any more.
	if left, err = s.reader.HGetAll(ctx, s.keys.garbage()).Result(); err != nil {
		return s.fault(err)
	}
	for task, nodes := range left {
		if err := s.collect(ctx, epoch, task, number(nodes)); err != nil {
			return err
		}
	}
	return nil
}

func isParts(err error) bool { return errors.Is(err, errParts) }
