package bolt

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/master/store"
)

const (
	defaultPage = 50
	maxPage     = 1000
)

// List intersects the lists of the index that the query names, from the newest task down, and reads the headers of what is
// left. A Cursor is the position of the last header that was given: tasks that are added later come before it.
func (s *Store) List(ctx context.Context, q store.Query) (*store.Page, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from, ok, err := start(q)
	if err != nil {
		return nil, err
	}
	if !ok {
		return &store.Page{}, nil
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	page := &store.Page{}
	err = s.db.View(func(tx *bbolt.Tx) error {
		lists := listsOf(tx, q)
		var last position
		for {
			p, ok := intersect(lists, from)
			if !ok || q.Since != 0 && p.submitted() < sortable(q.Since) {
				return nil
			}
			if len(page.Headers) == limit {
				page.Next = hex.EncodeToString(last[:])
				return nil
			}
			h, err := readHeader(taskBucket(tx, bucketHot, p.id()))
			if err != nil {
				return err
			}
			page.Headers = append(page.Headers, *h)
			last = p
			if from, ok = p.before(); !ok {
				return nil
			}
		}
	})
	if err != nil {
		return nil, s.fault("list tasks", err)
	}
	return page, nil
}

// start is the greatest position that the query allows.
func start(q store.Query) (from position, ok bool, err error) {
	from = maxPosition
	if q.Before != 0 {
		if from, ok = positionOf(q.Before, 0).before(); !ok {
			return from, false, nil
		}
	}
	if q.Cursor == "" {
		return from, true, nil
	}
	raw, err := hex.DecodeString(q.Cursor)
	if err != nil || len(raw) != positionSize {
		return from, false, fmt.Errorf("cannot list tasks: cursor %q is none of a page", q.Cursor)
	}
	p, ok := position(raw).before()
	if bytes.Compare(p[:], from[:]) < 0 {
		from = p
	}
	return from, ok, nil
}

// list gives the greatest position in it that is at or below the given one.
type list func(from position) (position, bool)

// listsOf are the lists that a task must be in.
func listsOf(tx *bbolt.Tx, q store.Query) []list {
	index := tx.Bucket(bucketIndex)
	var lists []list
	if len(q.Statuses) > 0 {
		var either []list
		for _, status := range slices.Compact(slices.Sorted(slices.Values(q.Statuses))) {
			either = append(either, prefixed(index, statusPrefix(status)))
		}
		lists = append(lists, union(either))
	}
	if q.Plan != "" {
		lists = append(lists, prefixed(index, planPrefix(q.Plan)))
	}
	for k, v := range q.Labels {
		lists = append(lists, prefixed(index, labelPrefix(k, v)))
	}
	if len(lists) == 0 {
		lists = append(lists, prefixed(index, []byte{'t'}))
	}
	return lists
}

// prefixed is the list of the entries with a prefix.
func prefixed(index *bbolt.Bucket, prefix []byte) list {
	cursor := index.Cursor()
	return func(from position) (p position, ok bool) {
		key := slices.Concat(prefix, from[:])
		k, _ := cursor.Seek(key)
		switch {
		case k == nil:
			k, _ = cursor.Last()
		case !bytes.Equal(k, key):
			k, _ = cursor.Prev()
		}
		if len(k) != len(key) || !bytes.HasPrefix(k, prefix) {
			return p, false
		}
		return position(k[len(prefix):]), true
	}
}

// union is what is in any of the lists.
func union(lists []list) list {
	return func(from position) (greatest position, found bool) {
		for _, next := range lists {
			p, ok := next(from)
			if ok && (!found || bytes.Compare(p[:], greatest[:]) > 0) {
				greatest, found = p, true
			}
		}
		return greatest, found
	}
}

// intersect gives the greatest position at or below from that is in all lists.
func intersect(lists []list, from position) (position, bool) {
	for agreed := 0; agreed < len(lists); {
		for _, next := range lists {
			p, ok := next(from)
			if !ok {
				return from, false
			}
			if p != from {
				from, agreed = p, 0
			}
			agreed++
		}
	}
	return from, true
}
