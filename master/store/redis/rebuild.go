package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// RebuildReport is what a rebuild of the indexes found.
type RebuildReport struct {
	// Tasks is how many there are. Damaged are the names of those whose header cannot be read; they are left out.
	Tasks   int
	Damaged []string
	// Added is how many entries were missing, Removed how many there were too many.
	Added, Removed int
}

// rebuildAtOnce is how many tasks or entries are looked at in one go; commits wait meanwhile.
const rebuildAtOnce = 500

// RebuildIndex makes the indexes anew from the tasks, while the store is in use. The caller leads with this epoch. progress, if not
// nil, is told from time to time how many tasks were looked at; it may be called from several goroutines, one after the other.
func (s *Store) RebuildIndex(ctx context.Context, epoch uint64, progress func(done int)) (RebuildReport, error) {
	r := &rebuild{s: s, epoch: epoch, progress: progress}
	if err := s.ready(ctx); err != nil {
		return RebuildReport{}, err
	}
	err := s.eachMaster(ctx, s.reader, r.tasks)
	if err == nil {
		err = r.sweep(ctx)
	}
	r.mu.Lock() // where ctx has ended, a step may still be under way
	defer r.mu.Unlock()
	if err != nil {
		return r.report, fmt.Errorf("cannot rebuild the indexes: %w", s.fault(err))
	}
	return r.report, nil
}

type rebuild struct {
	s        *Store
	epoch    uint64
	progress func(int)

	mu     sync.Mutex
	report RebuildReport
}

// literal makes a pattern of SCAN that a text fits only.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// tasks adds what belongs to the tasks of a server.
func (r *rebuild) tasks(ctx context.Context, c *redis.Client) error {
	return scan(func(cursor uint64) ([]string, uint64, error) {
		return c.Scan(ctx, cursor, literal.Replace(r.s.keys.task)+"{*}", rebuildAtOnce).Result()
	}, func(keys []string) error {
		var tasks []string
		for _, key := range keys {
			if task, ok := r.s.keys.taskOf(key); ok {
				tasks = append(tasks, task)
			}
		}
		return r.some(ctx, tasks)
	})
}

// scan calls f with what each step of a cursor gives.
func scan(next func(cursor uint64) ([]string, uint64, error), f func([]string) error) error {
	for cursor := uint64(0); ; {
		found, after, err := next(cursor)
		if err == nil && len(found) > 0 {
			err = f(found)
		}
		if cursor = after; err != nil || cursor == 0 {
			return err
		}
	}
}

// some adds the entries of some tasks, while nothing is written.
func (r *rebuild) some(ctx context.Context, tasks []string) error {
	err := r.s.ask(&request{ctx: ctx, alone: func(ctx context.Context) error {
		if err := r.s.leads(r.epoch); err != nil {
			return err
		}
		heads, damaged, err := r.heads(ctx, tasks)
		if err != nil {
			return err
		}
		var entries []entry
		for _, h := range heads {
			entries = append(entries, r.s.keys.entries(h)...)
			if r.s.cluster {
				entries = append(entries, entry{key: r.s.keys.used(), kind: inBits, score: int64(r.s.keys.slot(h.task))})
			}
		}
		added, err := r.s.sendIndex(ctx, entries, true)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.report.Tasks += len(heads)
		r.report.Added += added
		r.report.Damaged = append(r.report.Damaged, damaged...)
		return nil
	}})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.progress != nil {
		r.progress(r.report.Tasks)
	}
	return err
}

// heads reads what the indexes are made of.
func (r *rebuild) heads(ctx context.Context, tasks []string) (heads map[string]*heading, damaged []string, err error) {
	pipe := r.s.writer.Pipeline()
	cmds := map[string]*redis.SliceCmd{}
	for _, task := range tasks {
		if cmds[task] == nil {
			cmds[task] = pipe.HMGet(ctx, r.s.keys.taskKey(task), headerFields...)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, nil, err
	}
	heads = map[string]*heading{}
	for task, cmd := range cmds {
		h, ok, err := decodeHeader(task, cmd.Val())
		switch {
		case err != nil:
			damaged = append(damaged, task)
		case ok:
			heads[task] = headingOf(h)
		}
	}
	return heads, damaged, nil
}

// sweep removes the entries that belong to no header.
func (r *rebuild) sweep(ctx context.Context) error {
	c, err := r.s.sharedServer(ctx)
	if err != nil {
		return err
	}
	var indexes []string
	prefix := r.s.keys.shared("")
	err = scan(func(cursor uint64) ([]string, uint64, error) {
		return c.Scan(ctx, cursor, literal.Replace(prefix)+"*", rebuildAtOnce).Result()
	}, func(keys []string) error {
		indexes = append(indexes, keys...)
		return nil
	})
	if err != nil {
		return err
	}
	var texts []entry
	for _, key := range indexes {
		name, _, _ := strings.Cut(key[len(prefix):], ":")
		switch name {
		case "all", "status", "plan", "label", "suffix", "expires":
			if err := r.sweepSet(ctx, c, name, key); err != nil {
				return err
			}
		case "request":
			task, err := c.Get(ctx, key).Result()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			texts = append(texts, entry{key: key, member: task, kind: inText})
		}
	}
	for len(texts) > 0 {
		n := min(rebuildAtOnce, len(texts))
		if err := r.drop(ctx, texts[:n], func(e entry) string { return e.member }); err != nil {
			return err
		}
		texts = texts[n:]
	}
	return nil
}

// sharedServer is the one that has what tasks share.
func (s *Store) sharedServer(ctx context.Context) (*redis.Client, error) {
	switch c := s.reader.(type) {
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, s.keys.meta())
	case *redis.Client:
		return c, nil
	}
	return nil, errors.New("unknown kind of client")
}

// sweepSet goes through a sorted set.
func (r *rebuild) sweepSet(ctx context.Context, c *redis.Client, name, key string) error {
	return scan(func(cursor uint64) ([]string, uint64, error) {
		return c.ZScan(ctx, key, cursor, "", rebuildAtOnce).Result()
	}, func(pairs []string) error {
		var entries []entry
		for i := 0; i+1 < len(pairs); i += 2 {
			entries = append(entries, entry{key: key, member: pairs[i], score: int64(number(pairs[i+1]))})
		}
		return r.drop(ctx, entries, func(e entry) string {
			task := e.member
			switch name {
			case "expires":
			case "suffix":
				task = taskOfSuffix(e.member)
			default:
				task, _ = taskOfMember(e.member)
			}
			return task
		})
	})
}

// drop removes those of some entries that do not belong to their task's header, while nothing is written.
func (r *rebuild) drop(ctx context.Context, entries []entry, taskOf func(entry) string) error {
	return r.s.ask(&request{ctx: ctx, alone: func(ctx context.Context) error {
		if err := r.s.leads(r.epoch); err != nil {
			return err
		}
		tasks := make([]string, len(entries))
		for i, e := range entries {
			tasks[i] = taskOf(e)
		}
		heads, _, err := r.heads(ctx, tasks)
		if err != nil {
			return err
		}
		right := map[place]bool{}
		for _, h := range heads {
			for _, e := range r.s.keys.entries(h) {
				right[e.place()] = true
			}
		}
		var wrong []entry
		for i, e := range entries {
			if !right[e.place()] {
				wrong = append(wrong, e)
				r.s.index.forget(tasks[i])
			}
		}
		removed, err := r.s.sendIndex(ctx, wrong, false)
		r.mu.Lock()
		r.report.Removed += removed
		r.mu.Unlock()
		return err
	}})
}
