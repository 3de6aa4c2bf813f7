package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// viewTask runs a read transaction with the buckets of a task.
func (s *Store) viewTask(ctx context.Context, task string, f func(hot, cold *bbolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		id, ok := lookup(tx, task)
		if !ok {
			return store.ErrNotFound
		}
		hot, cold := taskBucket(tx, bucketHot, id), taskBucket(tx, bucketCold, id)
		if hot == nil || cold == nil {
			return errCorrupt
		}
		return f(hot, cold)
	})
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("task %q: %w", task, store.ErrNotFound)
	}
	if err != nil {
		return s.fault(fmt.Sprintf("read task %q", task), err)
	}
	return nil
}

// Load reads a task in one transaction.
func (s *Store) Load(ctx context.Context, task string) (*store.Record, error) {
	record := &store.Record{}
	err := s.viewTask(ctx, task, func(hot, cold *bbolt.Bucket) error {
		header, err := readHeader(hot)
		if err != nil {
			return err
		}
		counts, err := readCounters(hot)
		if err != nil {
			return err
		}
		record.Header = *header
		record.LastSeq = counts.lastSeq
		record.Source = pieces(cold, kindSource, pieceSize)
		record.Nodes, err = readNodes(hot, cold, counts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return record, nil
}

// Header reads a task's header.
func (s *Store) Header(ctx context.Context, task string) (header *store.Header, err error) {
	err = s.viewTask(ctx, task, func(hot, _ *bbolt.Bucket) (err error) {
		header, err = readHeader(hot)
		return err
	})
	return header, err
}

// History reads a page of a task's history.
func (s *Store) History(ctx context.Context, task string, after uint64, limit int) (log []store.LogEntry, err error) {
	if limit <= 0 {
		limit = defaultHistory
	}
	err = s.viewTask(ctx, task, func(hot, _ *bbolt.Bucket) (err error) {
		log, err = readHistory(hot, after, limit)
		return err
	})
	return log, err
}

// Resolve looks a suffix or a request key up. Where several tasks have the suffix it gives the oldest.
func (s *Store) Resolve(ctx context.Context, k store.Key) (task string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	prefix, what := suffixPrefix(k.Suffix), "suffix "+k.Suffix
	if k.Request != "" {
		prefix, what = requestPrefix(k.Request), "request "+k.Request
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		id, ok := owner(tx, prefix)
		if !ok {
			return store.ErrNotFound
		}
		header, err := readHeader(taskBucket(tx, bucketHot, id))
		if err == nil {
			task = header.Task
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", fmt.Errorf("task with %s: %w", what, store.ErrNotFound)
	}
	if err != nil {
		return "", s.fault("resolve "+what, err)
	}
	return task, nil
}

// Due walks the index of expiries.
func (s *Store) Due(ctx context.Context, now dag.Time, limit int) (tasks []string, next dag.Time, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if limit <= 0 {
		limit = 1000
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketIndex).Cursor()
		for k, _ := cursor.Seek([]byte{'e'}); len(k) > 9 && k[0] == 'e'; k, _ = cursor.Next() {
			header, err := readHeader(taskBucket(tx, bucketHot, number(k[9:])))
			if err != nil {
				return err
			}
			if header.Expires > now {
				next = header.Expires
				return nil
			}
			if len(tasks) == limit {
				return nil
			}
			tasks = append(tasks, header.Task)
		}
		return nil
	})
	if err != nil {
		return nil, 0, s.fault("look for what expires", err)
	}
	return tasks, next, nil
}

// expireAtOnce is how many tasks a transaction of Expire deletes, so that commits need not wait for long.
const expireAtOnce = 50

// Expire deletes in several transactions. The names that it gives with an error are deleted all the same.
func (s *Store) Expire(ctx context.Context, epoch uint64, now dag.Time, limit int) ([]string, error) {
	var deleted []string
	if limit <= 0 {
		limit = 1000
	}
	for more := true; more && len(deleted) < limit; {
		if err := ctx.Err(); err != nil {
			return deleted, err
		}
		var names []string
		err := s.db.Update(func(tx *bbolt.Tx) (err error) {
			if err := fenced(tx, epoch); err != nil {
				return err
			}
			names, more, err = expire(tx, now, min(expireAtOnce, limit-len(deleted)))
			if err == nil && len(names) == 0 {
				return errNothing
			}
			return err
		})
		switch {
		case errors.Is(err, errNothing):
			return deleted, nil
		case errors.Is(err, store.ErrFenced):
			return deleted, err
		case err != nil:
			return deleted, s.fault("expire tasks", err)
		}
		deleted = append(deleted, names...)
	}
	return deleted, nil
}

// expire deletes up to limit tasks that are due; more says that there may be others.
func expire(tx *bbolt.Tx, now dag.Time, limit int) (names []string, more bool, err error) {
	// The cursor must not see the deletions, so the ids are gathered first.
	var ids []uint64
	end := string(expiryPrefix(now))
	cursor := tx.Bucket(bucketIndex).Cursor()
	for k, _ := cursor.Seek([]byte{'e'}); len(k) > 9 && k[0] == 'e' && string(k[:9]) <= end; k, _ = cursor.Next() {
		if len(ids) == limit {
			more = true
			break
		}
		ids = append(ids, number(k[9:]))
	}
	for _, id := range ids {
		header, err := readHeader(taskBucket(tx, bucketHot, id))
		if err != nil {
			return nil, false, err
		}
		if err := remove(tx, header.Task, id); err != nil {
			return nil, false, err
		}
		names = append(names, header.Task)
	}
	return names, more, nil
}
