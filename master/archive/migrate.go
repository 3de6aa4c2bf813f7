package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// MigrateOptions say where the old master kept its tasks, and how they are read.
type MigrateOptions struct {
	// TaskPrefix and StagePrefix begin the old keys: "clic:task:" and "clic:stage:" unless set.
	TaskPrefix, StagePrefix string
	// Zone is the one in which the old master wrote times; nil is UTC.
	Zone *time.Location
	// Retain is for how long, from Now on, a task is kept whose old key did not run out by itself. 0 is 30 days.
	Retain time.Duration
	// Now is the time; it must be set.
	Now time.Time
	// DryRun only reports. The store may be nil then.
	DryRun bool
	// Delete deletes the old keys of tasks that are in the store, and of stages whose task has long gone.
	Delete bool
}

// Migrated is what a migration did.
type Migrated struct {
	// Tasks were taken over, with so many Stages. There were Already tasks in the store.
	Tasks, Stages, Already int
	// Unfinished tasks were left alone: "name: STATUS". The old master must end them, or somebody submits them again.
	Unfinished []string
	// Unreadable are keys whose value is not what it should be, and why. They were left alone.
	Unreadable []string
	// Orphans are stages whose task is not there any more: the old master deleted tasks and not their stages.
	Orphans int
	// Deleted counts the old keys that were deleted.
	Deleted int
}

// Migrate takes over what the old Java master left in Redis: JSON texts under a key for each task and each stage. Finished tasks
// become tasks of the store, under the epoch of the caller's lead, so that they are listed and shown as before. Keys of any
// other type, such as this program's own, are not looked at. All keys of the Redis are gone through (SCAN), so this is for
// an administrator, once; repeating it does no harm.
func Migrate(ctx context.Context, old redis.UniversalClient, s store.Store, epoch uint64, o MigrateOptions) (*Migrated, error) {
	if o.TaskPrefix == "" {
		o.TaskPrefix = "clic:task:"
	}
	if o.StagePrefix == "" {
		o.StagePrefix = "clic:stage:"
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Retain == 0 {
		o.Retain = 30 * 24 * time.Hour
	}
	if o.Now.IsZero() {
		return nil, errors.New("cannot migrate: the time is not set")
	}
	m := &migration{old: old, s: s, epoch: epoch, o: o, done: &Migrated{}}
	if err := m.run(ctx); err != nil {
		return m.done, fmt.Errorf("cannot migrate: %w", err)
	}
	return m.done, nil
}

type migration struct {
	old   redis.UniversalClient
	s     store.Store
	epoch uint64
	o     MigrateOptions
	done  *Migrated
	// stages are the ids of the stages that there are, by task; "" for those without one.
	stages map[string][]string
}

func (m *migration) run(ctx context.Context) error {
	tasks, err := m.names(ctx, m.o.TaskPrefix)
	if err != nil {
		return err
	}
	stages, err := m.names(ctx, m.o.StagePrefix)
	if err != nil {
		return err
	}
	m.stages = map[string][]string{}
	known := map[string]bool{}
	for _, t := range tasks {
		known[t] = true
	}
	for _, id := range stages {
		owner := ownerOf(id, known)
		m.stages[owner] = append(m.stages[owner], id)
	}
	for _, name := range tasks {
		if err := m.task(ctx, name); err != nil {
			return fmt.Errorf("task %q: %w", name, err)
		}
	}
	return m.orphans(ctx)
}

// ownerOf is the task that a stage's id begins with, "" if there is none: <task>-<template>-<n>.
func ownerOf(id string, tasks map[string]bool) string {
	for end := len(id); end > 0; end = strings.LastIndexByte(id[:end], '-') {
		if tasks[id[:end]] {
			return id[:end]
		}
	}
	return ""
}

// names are what follows a prefix in the keys that there are, of those that could be the old master's: this program's own have
// braces.
func (m *migration) names(ctx context.Context, prefix string) ([]string, error) {
	var mu sync.Mutex
	found := map[string]bool{}
	scan := func(ctx context.Context, c redis.Cmdable) error {
		for it := c.Scan(ctx, 0, escapePattern(prefix)+"*", 1000).Iterator(); ; {
			if !it.Next(ctx) {
				return it.Err()
			}
			if name := strings.TrimPrefix(it.Val(), prefix); name != "" && !strings.ContainsAny(name, "{}") {
				mu.Lock()
				found[name] = true
				mu.Unlock()
			}
		}
	}
	var err error
	if cluster, ok := m.old.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return scan(ctx, c) })
	} else {
		err = scan(ctx, m.old)
	}
	return slices.Sorted(maps.Keys(found)), err
}

// escapePattern takes the meaning from characters that are special in a pattern of Redis.
func escapePattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(s)
}

// read gets values, "" where there is none of type string, and how long the first still lasts.
func (m *migration) read(ctx context.Context, keys []string) (values []string, left time.Duration, err error) {
	values = make([]string, len(keys))
	for from := 0; from < len(keys); from += 500 {
		part := keys[from:min(from+500, len(keys))]
		var ttl *redis.DurationCmd
		gets := make([]*redis.StringCmd, len(part))
		// The first error of all is given; each is looked at by itself.
		_, _ = m.old.Pipelined(ctx, func(p redis.Pipeliner) error {
			if from == 0 {
				ttl = p.PTTL(ctx, part[0])
			}
			for i, k := range part {
				gets[i] = p.Get(ctx, k)
			}
			return nil
		})
		if ttl != nil {
			if left, err = ttl.Result(); err != nil {
				return nil, 0, err
			}
		}
		for i, g := range gets {
			value, err := g.Result()
			if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
				return nil, 0, err
			}
			values[from+i] = value
		}
	}
	return values, left, nil
}

func (m *migration) unreadable(key string, err error) {
	m.done.Unreadable = append(m.done.Unreadable, fmt.Sprintf("%s: %v", key, err))
}

// task takes one task over.
func (m *migration) task(ctx context.Context, name string) error {
	key := m.o.TaskPrefix + name
	values, left, err := m.read(ctx, []string{key})
	if err != nil {
		return err
	}
	if values[0] == "" {
		return nil // of another type, or gone meanwhile
	}
	old, err := parseOldTask(name, []byte(values[0]), m.o.Zone)
	if err != nil {
		m.unreadable(key, err)
		return nil
	}
	status, err := dag.ParseTaskStatus(old.status)
	if err != nil {
		m.unreadable(key, err)
		return nil
	}
	if !status.Terminal() {
		m.done.Unfinished = append(m.done.Unfinished, name+": "+status.String())
		return nil
	}
	stages, keys, ok, err := m.readStages(ctx, old)
	if err != nil || !ok {
		return err
	}
	expires := dag.Time(m.o.Now.Add(m.o.Retain).UnixMilli())
	if left > 0 {
		expires = dag.Time(m.o.Now.Add(left).UnixMilli())
	}
	change, err := adopt(old, status, stages, expires)
	if err != nil {
		m.unreadable(key, err)
		return nil
	}
	if err := m.create(ctx, change); err != nil {
		return err
	}
	return m.delete(ctx, append(keys, key))
}

// readStages reads the stages of a task, and gives their keys; false if one cannot be read.
func (m *migration) readStages(ctx context.Context, t *oldTask) (map[string]*oldStage, []string, bool, error) {
	ids := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(t.stages), m.stages[t.name]...))))
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = m.o.StagePrefix + id
	}
	if len(keys) == 0 {
		return nil, nil, true, nil
	}
	values, _, err := m.read(ctx, keys)
	if err != nil {
		return nil, nil, false, err
	}
	stages := map[string]*oldStage{}
	var kept []string
	for i, text := range values {
		if text == "" {
			continue
		}
		s, err := parseOldStage(ids[i], []byte(text), m.o.Zone)
		if err != nil {
			m.unreadable(keys[i], err)
			return nil, nil, false, nil
		}
		stages[ids[i]] = s
		kept = append(kept, keys[i])
	}
	return stages, kept, true, nil
}

// create writes the task, unless it is there.
func (m *migration) create(ctx context.Context, c store.Change) error {
	if m.o.DryRun {
		m.done.Tasks++
		m.done.Stages += len(c.Nodes) - 1
		return nil
	}
	if _, err := m.s.Header(ctx, c.Task); err == nil {
		m.done.Already++
		return nil
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := m.s.Commit(ctx, m.epoch, []store.Change{c}); err != nil {
		return err
	}
	m.done.Tasks++
	m.done.Stages += len(c.Nodes) - 1
	return nil
}

// orphans counts, and perhaps deletes, stages without a task.
func (m *migration) orphans(ctx context.Context) error {
	var keys []string
	for _, id := range m.stages[""] {
		keys = append(keys, m.o.StagePrefix+id)
	}
	values, _, err := m.read(ctx, keys)
	if err != nil {
		return err
	}
	var old []string
	for i, v := range values {
		if v != "" {
			old = append(old, keys[i])
		}
	}
	m.done.Orphans = len(old)
	return m.delete(ctx, old)
}

// delete deletes old keys, if it should.
func (m *migration) delete(ctx context.Context, keys []string) error {
	if !m.o.Delete || m.o.DryRun {
		return nil
	}
	for part := range slices.Chunk(keys, 500) {
		var deleted []*redis.IntCmd
		_, err := m.old.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range part { // one by one: on a Cluster, they are all over
				deleted = append(deleted, p.Unlink(ctx, k))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot delete old keys: %w", err)
		}
		for _, d := range deleted {
			m.done.Deleted += int(d.Val())
		}
	}
	return nil
}
