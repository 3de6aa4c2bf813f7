package storetest

import (
	"fmt"
	"slices"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

func testListOrder(s *suite) {
	t := s.t
	f := s.start()
	diff(t, "an empty list", []string(nil), names(f.listAll(store.Query{})))
	var batch []store.Change
	for i, submitted := range []dag.Time{500, 100, 300, 1_700_000_000_000, 2, 256, 255} {
		batch = append(batch, creation(header(taskName("p", i), submitted), 1))
	}
	f.commit(batch...)
	var got []dag.Time
	for _, h := range f.listAll(store.Query{Limit: 2}) {
		got = append(got, h.Submitted)
	}
	diff(t, "submissions", []dag.Time{1_700_000_000_000, 500, 300, 256, 255, 100, 2}, got)
}

// gallery commits 240 tasks in every combination of plan, status, labels and three of each; tasks come in threes of the same
// submission time.
func gallery(f *fixture) []store.Header {
	plans := []string{"wordcount", "word", "wordcount2", "etl"}
	labels := []map[string]string{
		nil, {"team": "a"}, {"team": "b"}, {"team": "a", "tier": "1"}, {"team": "", "a": "team"},
	}
	var all []store.Header
	var batch []store.Change
	for i := range 240 {
		h := header(taskName(plans[i%4], i), dag.Time(1000+i/3))
		h.Status = dag.TaskStatuses()[i/4%6]
		if h.Status.Terminal() {
			h.Ended = 9000
		}
		h.Labels = labels[i/24%5]
		all = append(all, *h)
		batch = append(batch, creation(h, 1))
	}
	f.commit(batch...)
	return all
}

// matches says what the contract says of a Query.
func matches(q store.Query, h *store.Header) bool {
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

// checkList compares a list, all pages of it, with what it should be.
func (f *fixture) checkList(what string, q store.Query, all []store.Header) {
	f.t.Helper()
	want := map[string]store.Header{}
	for i := range all {
		if matches(q, &all[i]) {
			want[all[i].Task] = all[i]
		}
	}
	got := map[string]store.Header{}
	last := dag.Time(0)
	for i, h := range f.listAll(q) {
		if i > 0 && h.Submitted > last {
			f.t.Errorf("%s: %s was submitted at %d, after the one before it, at %d", what, h.Task, h.Submitted, last)
		}
		last = h.Submitted
		if _, ok := got[h.Task]; ok {
			f.t.Errorf("%s: %s comes twice", what, h.Task)
		}
		got[h.Task] = h
	}
	diff(f.t, what, want, got)
}

func testListFilters(s *suite) {
	f := s.start()
	all := gallery(f)
	f.epoch = f.lead()
	queries := []store.Query{
		{},
		{Statuses: []dag.TaskStatus{dag.TaskRunning}},
		{Statuses: []dag.TaskStatus{dag.TaskNew}},
		{Statuses: []dag.TaskStatus{dag.TaskFailed, dag.TaskNew, dag.TaskFailed}},
		{Statuses: dag.TaskStatuses()},
		{Plan: "word"},
		{Plan: "wordcount"},
		{Plan: "nosuch"},
		{Labels: map[string]string{"team": "a"}},
		{Labels: map[string]string{"team": ""}},
		{Labels: map[string]string{"a": "team"}},
		{Labels: map[string]string{"team": "a", "tier": "1"}},
		{Labels: map[string]string{"team": "b", "tier": "1"}},
		{Plan: "etl", Statuses: []dag.TaskStatus{dag.TaskCompleted, dag.TaskSuspended}, Labels: map[string]string{"team": "a"}},
		{Since: 1010},
		{Before: 1010},
		{Since: 1010, Before: 1011},
		{Since: 1010, Before: 1010},
		{Since: 5000},
		{Before: 5},
		{Since: 1003, Before: 1070, Plan: "word", Statuses: []dag.TaskStatus{dag.TaskRunning, dag.TaskFailed}},
		{Since: 1003, Before: 1070, Labels: map[string]string{"team": "b"}},
	}
	for _, q := range queries {
		for _, limit := range []int{0, 1, 3, 7, 1000} {
			q.Limit = limit
			f.checkList(fmt.Sprintf("%+v", q), q, all)
		}
	}
}

func testListFollows(s *suite) {
	f := s.start()
	h := header("p-aaaaaaaa", 10)
	h.Status = dag.TaskNew
	h.Labels = map[string]string{"team": "a"}
	f.commit(creation(h, 1))
	moved := *h
	steps := []func(){
		func() { moved.Status = dag.TaskRunning },
		func() { moved.Body = []byte("another body") },
		func() { moved.Labels = map[string]string{"team": "b"} },
		func() { moved.Labels = map[string]string{"team": "b", "new": "1"} },
		func() { moved.Status, moved.Ended = dag.TaskFailed, 30 },
		func() { moved.Labels = nil },
		func() { moved.Status, moved.Ended = dag.TaskRunning, 0 },
	}
	for i, step := range steps {
		step()
		now := moved
		f.commit(store.Change{Task: h.Task, Header: &now})
		for _, q := range []store.Query{
			{},
			{Plan: "p"},
			{Labels: map[string]string{"team": "a"}},
			{Labels: map[string]string{"team": "b"}},
			{Labels: map[string]string{"new": "1"}},
			{Statuses: []dag.TaskStatus{dag.TaskNew}},
			{Statuses: []dag.TaskStatus{dag.TaskRunning}},
			{Statuses: []dag.TaskStatus{dag.TaskFailed}},
		} {
			f.checkList(fmt.Sprintf("step %d, %+v", i, q), q, []store.Header{now})
		}
	}
}

// testListStable reads a list in pages while tasks come and go: those that were there and stayed are each seen once.
func testListStable(s *suite) {
	t := s.t
	f := s.start()
	all := gallery(f)
	for _, filter := range []store.Query{{}, {Plan: "etl"}, {Statuses: []dag.TaskStatus{dag.TaskRunning, dag.TaskNew}}} {
		q := filter
		q.Limit = 7
		deleted := map[string]bool{}
		seen := map[string]int{}
		for page := 0; ; page++ {
			p, err := f.s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range p.Headers {
				seen[h.Task]++
			}
			if p.Next == "" {
				break
			}
			q.Cursor = p.Next
			// The task at the cursor goes; new ones come, as new as any.
			last := p.Headers[len(p.Headers)-1].Task
			deleted[last] = true
			f.commit(
				store.Change{Delete: true, Task: last},
				creation(header(taskName("etl", 1000+page), dag.Time(2000+page)), 1),
			)
		}
		var left []store.Header
		for _, h := range all {
			n := seen[h.Task]
			switch {
			case !matches(filter, &h) && n != 0:
				t.Errorf("%+v: %s was given and does not match", filter, h.Task)
			case matches(filter, &h) && n != 1:
				t.Errorf("%+v: %s was given %d times", filter, h.Task, n)
			}
			if !deleted[h.Task] {
				left = append(left, h)
			}
		}
		all = left
		for i := range 1000 {
			f.commit(store.Change{Delete: true, Task: taskName("etl", 1000+i)})
			if i > len(seen) {
				break
			}
		}
	}
}

func testListLimits(s *suite) {
	t := s.t
	const count = 1100
	f := s.start()
	var batch []store.Change
	for i := range count {
		batch = append(batch, creation(header(taskName("p", i), dag.Time(1+i/5)), 0))
	}
	f.commit(batch...)
	for _, c := range []struct{ limit, want int }{{0, 50}, {1, 1}, {999, 999}, {1000, 1000}, {1001, 1000}, {100_000, 1000}} {
		page, err := f.s.List(t.Context(), store.Query{Limit: c.limit})
		if err != nil || len(page.Headers) != c.want || page.Next == "" {
			t.Fatalf("limit %d: %d headers, next %q, %v", c.limit, len(page.Headers), page.Next, err)
		}
		rest, err := f.s.List(t.Context(), store.Query{Limit: 1000, Cursor: page.Next})
		if err != nil || len(rest.Headers) != min(1000, count-c.want) {
			t.Errorf("after %d: %d headers, %v", c.want, len(rest.Headers), err)
		}
	}
	if _, err := f.s.List(t.Context(), store.Query{Cursor: "no cursor"}); err == nil {
		t.Error("a cursor that is none is taken")
	}
}
