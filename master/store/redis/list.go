package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

const (
	defaultPage = 50
	maxPage     = 1000
	// slack is how many members are read beyond a page: some may be left over from headers that have changed.
	slack = 10
	// maxStep is the most members that are looked at in one go.
	maxStep = 4000
)

// List walks the smallest of the indexes that the query names, from the newest task down, leaves out what is not in the others,
// and compares what is left with the headers. A Cursor is the last member that was given: tasks that are added later come before
// it.
func (s *Store) List(ctx context.Context, q store.Query) (*store.Page, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if _, ok := taskOfMember(q.Cursor); q.Cursor != "" && !ok {
		return nil, fmt.Errorf("cannot list tasks: cursor %q is none of a page", q.Cursor)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	page, err := s.list(ctx, &q, min(limit, maxPage))
	if err != nil {
		return nil, s.readError("list tasks", err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, q *store.Query, limit int) (*store.Page, error) {
	walked, others, err := s.choose(ctx, s.filters(q))
	if err != nil {
		return nil, err
	}
	w := walk{s: s, keys: walked, from: top(q), to: "-"}
	if q.Since > 0 {
		w.to = "[" + stamp(q.Since)
	}
	page := &store.Page{}
	var last string
	for step := limit + slack; ; step = min(2*step, maxStep) {
		members, end, err := w.next(ctx, step)
		if err != nil {
			return nil, err
		}
		if members, err = s.within(ctx, members, others); err != nil {
			return nil, err
		}
		// Most members match, so not all headers need be read for a page.
		for len(members) > 0 {
			n := min(len(members), limit+slack)
			found, err := s.headersOf(ctx, members[:n], q)
			if err != nil {
				return nil, err
			}
			for i, h := range found {
				if h == nil {
					continue
				}
				if len(page.Headers) == limit {
					page.Next = last
					return page, nil
				}
				page.Headers = append(page.Headers, *h)
				last = members[i]
			}
			members = members[n:]
		}
		if end {
			return page, nil
		}
	}
}

// top is where a walk begins, in the form of Redis.
func top(q *store.Query) string {
	from := "+"
	if q.Before > 0 {
		from = "(" + stamp(q.Before)
	}
	if q.Cursor != "" && (q.Before <= 0 || q.Cursor < stamp(q.Before)) {
		from = "(" + q.Cursor
	}
	return from
}

// filter is one condition of a query: a task is in one of these indexes.
type filter []string

func (s *Store) filters(q *store.Query) []filter {
	var all []filter
	if len(q.Statuses) > 0 {
		var f filter
		for _, status := range slices.Compact(slices.Sorted(slices.Values(q.Statuses))) {
			f = append(f, s.keys.status(status))
		}
		// All of them are no condition.
		if len(f) < len(dag.TaskStatuses()) {
			all = append(all, f)
		}
	}
	if q.Plan != "" {
		all = append(all, filter{s.keys.plan(q.Plan)})
	}
	for k, v := range q.Labels {
		all = append(all, filter{s.keys.label(k, v)})
	}
	if len(all) == 0 {
		all = append(all, filter{s.keys.all()})
	}
	return all
}

// choose finds the filter with the fewest members.
func (s *Store) choose(ctx context.Context, all []filter) (smallest filter, others []filter, err error) {
	if len(all) == 1 {
		return all[0], nil, nil
	}
	pipe := s.reader.Pipeline()
	sizes := make([][]*redis.IntCmd, len(all))
	for i, f := range all {
		for _, key := range f {
			sizes[i] = append(sizes[i], pipe.ZCard(ctx, key))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, nil, err
	}
	best, least := 0, int64(-1)
	for i := range all {
		var n int64
		for _, cmd := range sizes[i] {
			n += cmd.Val()
		}
		if least < 0 || n < least {
			best, least = i, n
		}
	}
	return all[best], slices.Delete(slices.Clone(all), best, best+1), nil
}

// walk goes through the union of indexes, from the greatest member down.
type walk struct {
	s        *Store
	keys     filter
	from, to string
}

// next gives about n members, in order; end says that there are no others.
func (w *walk) next(ctx context.Context, n int) (members []string, end bool, err error) {
	pipe := w.s.reader.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(w.keys))
	for i, key := range w.keys {
		cmds[i] = pipe.ZRangeArgs(ctx, redis.ZRangeArgs{Key: key, Start: w.from, Stop: w.to, ByLex: true, Rev: true, Count: int64(n)})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, err
	}
	// Below the highest of the lists' ends, another list may have members that were not read.
	floor, end := "", true
	for _, cmd := range cmds {
		list := cmd.Val()
		members = append(members, list...)
		if len(list) == n {
			floor, end = max(floor, list[n-1]), false
		}
	}
	slices.SortFunc(members, func(a, b string) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	members = slices.Compact(members)
	if !end {
		at := slices.IndexFunc(members, func(m string) bool { return m < floor })
		if at >= 0 {
			members = members[:at]
		}
		w.from = "(" + floor
	}
	return members, end, nil
}

// within leaves out the members that are not in all the filters.
func (s *Store) within(ctx context.Context, members []string, others []filter) ([]string, error) {
	if len(members) == 0 || len(others) == 0 {
		return members, nil
	}
	pipe := s.reader.Pipeline()
	cmds := make([][]*redis.SliceCmd, len(others))
	for i, f := range others {
		for _, key := range f {
			args := make([]any, 0, 2+len(members))
			args = append(args, "zmscore", key)
			for k := range members {
				args = append(args, &members[k])
			}
			cmd := redis.NewSliceCmd(ctx, args...)
			_ = pipe.Process(ctx, cmd) // queues
			cmds[i] = append(cmds[i], cmd)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	kept := members[:0:0]
	for k, m := range members {
		in := true
		for i := range others {
			in = in && slices.ContainsFunc(cmds[i], func(c *redis.SliceCmd) bool { return k < len(c.Val()) && c.Val()[k] != nil })
		}
		if in {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// headersOf reads the headers of members; nil where one does not match after all.
func (s *Store) headersOf(ctx context.Context, members []string, q *store.Query) ([]*store.Header, error) {
	pipe := s.reader.Pipeline()
	cmds := make([]*redis.SliceCmd, len(members))
	for i, m := range members {
		if task, ok := taskOfMember(m); ok {
			cmds[i] = pipe.HMGet(ctx, s.keys.taskKey(task), headerFields...)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	found := make([]*store.Header, len(members))
	for i, m := range members {
		if cmds[i] == nil {
			continue
		}
		task, _ := taskOfMember(m)
		h, ok, err := decodeHeader(task, cmds[i].Val())
		if err != nil {
			return nil, err
		}
		if ok && member(h.Submitted, h.Task) == m && matches(q, h) {
			found[i] = h
		}
	}
	return found, nil
}

// matches is what a query asks of a header.
func matches(q *store.Query, h *store.Header) bool {
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, h.Status) || q.Plan != "" && q.Plan != h.Plan {
		return false
	}
	for k, v := range q.Labels {
		if got, ok := h.Labels[k]; !ok || got != v {
			return false
		}
	}
	return (q.Since == 0 || h.Submitted >= q.Since) && (q.Before == 0 || h.Submitted < q.Before)
}
