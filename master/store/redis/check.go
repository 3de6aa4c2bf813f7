package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// Before a task is made or deleted, the committer looks at what there is: nothing of a batch may be written if a part of it is
// refused. Nobody else writes meanwhile, or else the fence refuses all of it.

// standing is what is known of a task at some place of a round.
type standing struct {
	exists            bool
	creation, request string
	nodes             int
	// garbage is how many nodes may be left of an earlier task of that name.
	garbage int
}

// view is what a round knows: tasks, and which task a request key belongs to ("": none).
type view struct {
	tasks  map[string]standing
	claims map[string]string
}

func newView() *view { return &view{tasks: map[string]standing{}, claims: map[string]string{}} }

// check refuses what cannot be done, and prepares the deletions. again says that nothing is known, since the connection is new:
// the server is to be looked at first.
func (s *Store) check(ctx context.Context, open []*request) (left []*request, again bool) {
	v := newView()
	for _, r := range open {
		v.want(r)
	}
	ask := len(v.tasks) > 0
	for _, r := range open {
		ask = ask || r.look
	}
	if !ask {
		return open, false
	}
	fence, err := s.look(ctx, v)
	if err != nil {
		s.fail(err)
		return open, false
	}
	if s.led && s.fresh.Load() {
		return open, true
	}
	if epoch, _ := parseToken(fence); epoch > s.epoch {
		for _, r := range open {
			r.finish(fmt.Errorf("epoch %d has begun: %w", epoch, store.ErrFenced))
		}
		return nil, false
	}
	for _, r := range open {
		err := s.judge(v, r)
		if err != nil || r.look {
			r.finish(err)
			continue
		}
		left = append(left, r)
	}
	return left, false
}

// want notes what must be known for a request.
func (v *view) want(r *request) {
	for _, o := range r.ops {
		if o.settled || !o.create && !o.remove {
			continue
		}
		v.tasks[o.task] = standing{}
		if o.request != "" {
			v.claims[o.request] = ""
		}
	}
}

// look asks the server. It gives the fence.
func (s *Store) look(ctx context.Context, v *view) (string, error) {
	pipe := s.writer.Pipeline()
	fence := pipe.Get(ctx, s.keys.fenceKey(s.keys.sharedSlot()))
	claims := map[string]*redis.StringCmd{}
	for request := range v.claims {
		claims[request] = pipe.Get(ctx, s.keys.request(request))
	}
	if err := s.lookAt(ctx, pipe, v, v.tasks); err != nil {
		return "", err
	}
	if err := fence.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	// A request key belongs to the task that it names, if that has it.
	owners := map[string]standing{}
	for request, cmd := range claims {
		owner, err := cmd.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", err
		}
		v.claims[request] = owner
		if _, known := v.tasks[owner]; owner != "" && !known {
			owners[owner] = standing{}
		}
	}
	if len(owners) > 0 {
		if err := s.lookAt(ctx, s.writer.Pipeline(), v, owners); err != nil {
			return "", err
		}
	}
	for request, owner := range v.claims {
		if t := v.tasks[owner]; !t.exists || t.request != request {
			v.claims[request] = ""
		}
	}
	return fence.Val(), nil
}

// lookAt adds what is known of some tasks to a view, with a pipeline that may have other commands before it.
func (s *Store) lookAt(ctx context.Context, pipe redis.Pipeliner, v *view, tasks map[string]standing) error {
	found := make(map[string]*redis.SliceCmd, len(tasks))
	names := make([]string, 0, len(tasks))
	for task := range tasks {
		found[task] = pipe.HMGet(ctx, s.keys.taskKey(task), "creation", fieldRequest, "nodes")
		names = append(names, task)
	}
	var garbage *redis.SliceCmd
	if len(names) > 0 {
		garbage = pipe.HMGet(ctx, s.keys.garbage(), names...)
	}
	// A key that is missing hides another error, so each command is looked at as well.
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if garbage != nil && garbage.Err() != nil {
		return garbage.Err()
	}
	for i, task := range names {
		if err := found[task].Err(); err != nil {
			return err
		}
		t, values := standing{}, found[task].Val()
		if len(values) == 3 {
			t.creation, t.exists = values[0].(string)
			t.request, _ = values[1].(string)
			t.nodes = number(values[2])
		}
		if left := garbage.Val(); i < len(left) {
			t.garbage = number(left[i])
		}
		v.tasks[task] = t
	}
	return nil
}

// number reads a number out of an answer; 0 where there is none.
func number(v any) int {
	text, _ := v.(string)
	n, _ := strconv.Atoi(text)
	return n
}

// judge goes through a request as it will be applied. What it does is in the view afterwards, unless it is refused.
func (s *Store) judge(v *view, r *request) error {
	next := &view{tasks: map[string]standing{}, claims: map[string]string{}}
	task := func(name string) (standing, bool) {
		if t, ok := next.tasks[name]; ok {
			return t, true
		}
		t, ok := v.tasks[name]
		return t, ok
	}
	taken := func(request string) bool {
		owner, ok := next.claims[request]
		if !ok {
			owner = v.claims[request]
		}
		t, _ := task(owner)
		return owner != "" && t.exists && t.request == request
	}
	if r.look {
		r.seen = maps.Clone(v.tasks)
	}
	for _, o := range r.ops {
		t, known := task(o.task)
		switch {
		case o.settled:
			continue
		case o.remove:
			if err := s.judgeRemoval(o, t); err != nil {
				return err
			}
			t = standing{}
		case o.create && t.exists && t.creation == o.print:
			// It is being repeated. What this request has sent itself is sent again, to be told what became of it.
			o.settled = !r.look && !o.sent
		case o.create && t.exists:
			return fmt.Errorf("cannot create task %q: %w", o.task, store.ErrExists)
		case o.create:
			if o.request != "" {
				if taken(o.request) {
					return fmt.Errorf("cannot create task %q: request %q: %w", o.task, o.request, store.ErrExists)
				}
				next.claims[o.request] = o.task
			}
			if t.garbage > 0 && !o.parts {
				return errParts
			}
			t = standing{exists: true, creation: o.print, request: o.request, nodes: o.nodes}
		case known && !t.exists && !o.forgiven:
			return fmt.Errorf("cannot change task %q: %w", o.task, store.ErrNotFound)
		case known:
			t.nodes = max(t.nodes, o.nodes)
		default:
			continue
		}
		next.tasks[o.task] = t
	}
	maps.Copy(v.tasks, next.tasks)
	maps.Copy(v.claims, next.claims)
	return nil
}

// judgeRemoval prepares a deletion, or has it done in parts.
func (s *Store) judgeRemoval(o *op, t standing) error {
	switch {
	case t.exists && t.nodes > chunk && !o.parts:
		return errParts
	case !t.exists && !o.sent:
		o.settled = true
		return nil
	case o.parts:
		o.nodes = t.nodes
		o.before = []entry{s.keys.leftover(o.task, t.nodes)}
	}
	o.call = s.deleteCall(o, t)
	return nil
}
