package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

const (
	defaultExpire = 1000
	// expireAtOnce is how many tasks are deleted in one round, so that commits need not wait for long.
	expireAtOnce = 50
)

// Expire deletes what is due, and what leaders that died have left of tasks. The names that it gives with an error are deleted all
// the same.
func (s *Store) Expire(ctx context.Context, epoch uint64, now dag.Time, limit int) ([]string, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = defaultExpire
	}
	var deleted []string
	err := s.ask(&request{ctx: ctx, epoch: epoch, look: true}) // says whether somebody else leads
	if err == nil {
		err = s.collectAll(ctx, epoch)
	}
	for err == nil && len(deleted) < limit {
		var names []string
		names, err = s.reader.ZRangeByScore(ctx, s.keys.expires(), &redis.ZRangeBy{
			Min: "-inf", Max: strconv.FormatInt(int64(now), 10), Count: int64(min(expireAtOnce, limit-len(deleted))),
		}).Result()
		if err != nil || len(names) == 0 {
			break
		}
		var some []string
		some, err = s.expire(ctx, epoch, now, names)
		deleted = append(deleted, some...)
	}
	if err != nil {
		return deleted, fmt.Errorf("cannot expire tasks: %w", s.fault(err))
	}
	return deleted, nil
}

// Due reads the index of expiries, and looks at the headers of what is due by it.
func (s *Store) Due(ctx context.Context, now dag.Time, limit int) (tasks []string, next dag.Time, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, 0, err
	}
	if limit <= 0 {
		limit = defaultExpire
	}
	border := strconv.FormatInt(int64(now), 10)
	pipe := s.reader.Pipeline()
	due := pipe.ZRangeByScore(ctx, s.keys.expires(), &redis.ZRangeBy{Min: "-inf", Max: border, Count: int64(limit) + 1})
	later := pipe.ZRangeByScoreWithScores(ctx, s.keys.expires(), &redis.ZRangeBy{Min: "(" + border, Max: "+inf", Count: 1})
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, 0, s.readError("look for what expires", err)
	}
	names := due.Val()
	if more := len(names) > limit; more {
		names = names[:limit]
	} else if z := later.Val(); len(z) > 0 {
		next = dag.Time(z[0].Score)
	}
	for _, task := range names {
		h, err := s.Header(ctx, task)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, 0, err
		case h.Status.Terminal() && h.Expires > 0 && h.Expires <= now:
			tasks = append(tasks, task)
		}
	}
	return tasks, next, nil
}

// expire deletes those of some tasks that are due, and puts the index right for the others.
func (s *Store) expire(ctx context.Context, epoch uint64, now dag.Time, names []string) ([]string, error) {
	ops := make([]*op, len(names))
	for i, task := range names {
		ops[i] = &op{task: task, slot: s.keys.slot(task), remove: true, due: now}
	}
	// One by one where one of them is large.
	requests := [][]*op{ops}
	var deleted []string
	for len(requests) > 0 {
		some := requests[0]
		requests = requests[1:]
		r := &request{ctx: ctx, epoch: epoch, ops: some}
		err := s.ask(r)
		switch {
		case err == nil:
		case len(some) > 1 && isParts(err):
			for _, o := range some {
				requests = append(requests, []*op{o})
			}
			continue
		case isParts(err):
			err = s.expireParts(ctx, epoch, some[0])
		}
		if !r.ended() {
			return deleted, err // it may still be under way
		}
		for _, o := range some {
			if o.removed {
				deleted = append(deleted, o.task)
			}
		}
		if err != nil {
			return deleted, err
		}
		for _, o := range some {
			if o.removed {
				continue
			}
			if err := s.reindex(ctx, epoch, o.task); err != nil {
				return deleted, err
			}
		}
	}
	return deleted, nil
}

func (s *Store) expireParts(ctx context.Context, epoch uint64, o *op) error {
	release, err := s.takeParts(ctx)
	if err != nil {
		return err
	}
	defer release()
	o.parts = true
	return s.removeParts(ctx, epoch, o)
}

// reindex makes the entries of a task new, where one of them was not as it should be. Nothing is written meanwhile.
func (s *Store) reindex(ctx context.Context, epoch uint64, task string) error {
	return s.ask(&request{ctx: ctx, alone: func(ctx context.Context) error {
		if err := s.leads(epoch); err != nil {
			return err
		}
		values, err := s.writer.HMGet(ctx, s.keys.taskKey(task), headerFields...).Result()
		if err != nil {
			return err
		}
		h, ok, err := decodeHeader(task, values)
		if err != nil {
			return err
		}
		due := entry{key: s.keys.expires(), member: task}
		s.index.forget(task)
		if !ok {
			s.index.drops[due.place()] = due
			return nil
		}
		head := headingOf(h)
		if _, ends := head.due(); !ends {
			s.index.drops[due.place()] = due
			return nil
		}
		_, err = s.sendIndex(ctx, s.keys.entries(head), true)
		return err
	}})
}

// sendIndex changes indexes at once. The committer runs it.
func (s *Store) sendIndex(ctx context.Context, entries []entry, add bool) (changed int, err error) {
	if len(entries) == 0 {
		return 0, nil
	}
	slot := s.keys.sharedSlot()
	raise, c := s.raiseCall(slot), s.indexCall(entries, add)
	s.send(ctx, []*call{raise, c})
	a := c.answer()
	if a.outcome != answered {
		return 0, a.err
	}
	if err := s.shutOutBy(c); err != nil {
		return 0, err
	}
	if a.word != "" {
		s.badFence(slot, &a)
		return 0, errAgain
	}
	return int(a.n), nil
}

// leads is the error for an epoch that is not the committer's.
func (s *Store) leads(epoch uint64) error {
	if epoch != s.epoch || !s.led {
		return fmt.Errorf("epoch %d is over, or was not led here: %w", epoch, store.ErrFenced)
	}
	return nil
}
