package redis_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// creation makes a task with some nodes.
func creation(task string, nodes int) store.Change {
	c := store.Change{
		Create: true, Task: task, Source: []byte("plan"),
		Header: &store.Header{Task: task, Plan: "p", Status: dag.TaskRunning, Submitted: 1_700_000_000_000, Body: []byte(`{"name":"p"}`)},
		Log:    []store.LogEntry{{Seq: 1, Body: []byte("submitted")}},
	}
	for i := range nodes {
		c.Nodes = append(c.Nodes, store.NodeRecord{
			Index: int32(i), Stage: fmt.Sprintf("%s-sh-%d", task, i), Spec: []byte("spec"), State: []byte("state"), Status: "WAITING",
		})
	}
	return c
}

func commit(t *testing.T, s *redis.Store, epoch uint64, batch ...store.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), epoch, batch); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, s *redis.Store, task string) *store.Record {
	t.Helper()
	r, err := s.Load(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReadable: what a person sees who looks with redis-cli.
func TestReadable(t *testing.T) {
	p := servers.SinglePlace(t)
	s, epoch := lead(t, at(p))
	c := creation("p-aaaaaaaa", 2)
	c.Header.Labels, c.Header.Request = map[string]string{"team": "a"}, "once"
	commit(t, s, epoch, c)
	commit(t, s, epoch, store.Change{
		Task: c.Task, Base: 1, Nodes: []store.NodeRecord{{Index: 1, State: []byte("new"), Status: "RUNNING"}},
		Log: []store.LogEntry{{Seq: 2, Body: []byte("started")}},
	})
	admin := servers.Single(t).Admin()
	task := admin.HGetAll(t.Context(), p.Prefix+"task:{p-aaaaaaaa}").Val()
	if len(task["creation"]) != 32 || task["batch"] == "" {
		t.Errorf("the task is %v", task)
	}
	delete(task, "creation")
	delete(task, "batch")
	want := map[string]string{
		"name": "p-aaaaaaaa", "plan": "p", "status": "RUNNING", "submitted": "1700000000000", "ended": "0", "expires": "0",
		"labels": `{"team":"a"}`, "request": "once", "body": `{"name":"p"}`, "nodes": "2", "seq": "2", "revision": "2",
		"epoch": fmt.Sprint(epoch),
	}
	if diff := cmp.Diff(want, task); diff != "" {
		t.Errorf("the task (-want +got):\n%s", diff)
	}
	want = map[string]string{"id": "p-aaaaaaaa-sh-1", "status": "RUNNING", "spec": "spec", "state": "new"}
	if diff := cmp.Diff(want, admin.HGetAll(t.Context(), p.Prefix+"stage:{p-aaaaaaaa}:1").Val()); diff != "" {
		t.Errorf("the stage (-want +got):\n%s", diff)
	}
	events := admin.XRange(t.Context(), p.Prefix+"events:{p-aaaaaaaa}", "-", "+").Val()
	if len(events) != 2 || events[1].ID != "2-0" || events[1].Values["event"] != "started" {
		t.Errorf("the events are %v", events)
	}
	if plan := admin.Get(t.Context(), p.Prefix+"plan:{p-aaaaaaaa}").Val(); plan != "plan" {
		t.Errorf("the plan is %q", plan)
	}
}

// keysOf lists the keys of a place.
func keysOf(t *testing.T, prefix string) []string {
	t.Helper()
	keys, err := servers.Single(t).Admin().Keys(t.Context(), prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// TestNothingIsLeft of tasks that are deleted or expire, small ones and such as are made and deleted in parts.
func TestNothingIsLeft(t *testing.T) {
	p := servers.SinglePlace(t)
	s, epoch := lead(t, at(p))
	commit(t, s, epoch)
	before := keysOf(t, p.Prefix)
	var batch []store.Change
	for i, nodes := range []int{0, 3, 499, 500, 501, 4200} {
		c := creation(fmt.Sprintf("p-aaaaaaa%d", i), nodes)
		c.Header.Labels, c.Header.Request = map[string]string{"team": "a"}, fmt.Sprint("r", i)
		c.Header.Expires = 5
		batch = append(batch, c)
	}
	commit(t, s, epoch, batch...)
	for i := range batch {
		h := *batch[i].Header
		h.Status = dag.TaskCompleted
		// A node that comes later, too.
		commit(t, s, epoch, store.Change{Task: h.Task, Header: &h, Nodes: []store.NodeRecord{
			{Index: int32(len(batch[i].Nodes)), Stage: "x", Spec: []byte("x")},
		}})
	}
	for i, c := range batch {
		if got := len(load(t, s, c.Task).Nodes); got != len(c.Nodes)+1 {
			t.Errorf("task %d has %d nodes, want %d", i, got, len(c.Nodes)+1)
		}
		if i%2 == 0 {
			commit(t, s, epoch, store.Change{Delete: true, Task: c.Task})
		}
	}
	gone, err := s.Expire(t.Context(), epoch, 10, 0)
	if err != nil || len(gone) != 3 {
		t.Errorf("expired: %v, %v", gone, err)
	}
	commit(t, s, epoch) // what tidies up has been sent before this
	if diff := cmp.Diff(before, keysOf(t, p.Prefix)); diff != "" {
		t.Errorf("something is left (-before +after):\n%s", diff)
	}
}

// TestTwoLeaders: one has just been superseded and goes on writing; nothing of it is taken.
func TestTwoLeaders(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			old, epoch := lead(t, at(p))
			const writers = 4
			var tasks []string
			for i := range writers {
				tasks = append(tasks, fmt.Sprintf("p-aaaaaaa%d", i))
				commit(t, old, epoch, creation(tasks[i], 1))
			}
			acked := make([]uint64, writers)
			var work sync.WaitGroup
			begun := make(chan struct{}, writers*1000)
			for i, task := range tasks {
				work.Go(func() {
					for n := uint64(1); ; n++ {
						c := store.Change{Task: task, Base: n, Log: []store.LogEntry{{Seq: n + 1, Body: []byte("old")}}}
						if err := old.Commit(t.Context(), epoch, []store.Change{c}); err != nil {
							if !errors.Is(err, store.ErrFenced) {
								t.Errorf("error is %v", err)
							}
							return
						}
						acked[i] = n + 1
						select {
						case begun <- struct{}{}:
						default:
						}
					}
				})
			}
			for range 50 {
				<-begun
			}
			now, next := lead(t, at(p))
			before := map[string]uint64{}
			for _, task := range tasks {
				before[task] = load(t, now, task).Revision
			}
			for _, task := range tasks {
				commit(t, now, next, store.Change{Task: task, Base: before[task], Log: []store.LogEntry{{Seq: 1_000_000, Body: []byte("new")}}})
			}
			work.Wait()
			for i, task := range tasks {
				if before[task] < acked[i] {
					t.Errorf("%s: revision %d was acknowledged, and the new leader saw %d", task, acked[i], before[task])
				}
				if r := load(t, now, task); r.Revision != before[task]+1 || r.LastSeq != 1_000_000 {
					t.Errorf("%s: revision %d after %d, last entry %d", task, r.Revision, before[task], r.LastSeq)
				}
			}
			if err := old.Commit(t.Context(), epoch, []store.Change{{Delete: true, Task: tasks[0]}, creation("p-bbbbbbbb", 1)}); !errors.Is(err, store.ErrFenced) {
				t.Errorf("error is %v", err)
			}
			if err := old.Commit(t.Context(), next+100, []store.Change{creation("p-bbbbbbbb", 1)}); !errors.Is(err, store.ErrFenced) {
				t.Errorf("an epoch that nobody led: error is %v", err)
			}
			load(t, now, tasks[0])
		})
	}
}

// TestHistoryIsCapped: old entries go, about as many as there may be stay, and what is left is in order.
func TestHistoryIsCapped(t *testing.T) {
	o := at(servers.SinglePlace(t))
	o.History = 200
	s, epoch := lead(t, o)
	commit(t, s, epoch, creation("p-aaaaaaaa", 0))
	for n := uint64(2); n <= 2000; n += 100 {
		c := store.Change{Task: "p-aaaaaaaa"}
		for i := range uint64(100) {
			c.Log = append(c.Log, store.LogEntry{Seq: n + i, Body: []byte("x")})
		}
		commit(t, s, epoch, c)
	}
	log, err := s.History(t.Context(), "p-aaaaaaaa", 0, 0)
	if err != nil || len(log) < 200 || len(log) > 400 || log[len(log)-1].Seq != 2001 {
		t.Errorf("%d entries, %v", len(log), err)
	}
}

// TestListCost: what a page of 50 out of many costs in commands.
func TestListCost(t *testing.T) {
	s, epoch := lead(t, at(servers.SinglePlace(t)))
	var batch []store.Change
	for i := range 5000 {
		c := creation(fmt.Sprintf("p-%08d", i), 0)
		c.Header.Plan = fmt.Sprint("plan", i%20)
		c.Header.Submitted += dag.Time(i)
		c.Header.Labels = map[string]string{"team": fmt.Sprint(i % 7)}
		if i%50 != 0 {
			c.Header.Status = dag.TaskCompleted
		}
		batch = append(batch, c)
	}
	commit(t, s, epoch, batch...)
	for name, c := range map[string]struct {
		q    store.Query
		most uint64
	}{
		"newest": {store.Query{}, 62},
		"plan":   {store.Query{Plan: "plan3"}, 62},
		"status": {store.Query{Statuses: []dag.TaskStatus{dag.TaskRunning, dag.TaskNew}}, 63},
		"all of them": {store.Query{
			Plan: "plan3", Statuses: []dag.TaskStatus{dag.TaskCompleted}, Labels: map[string]string{"team": "4"},
		}, 75},
	} {
		before := s.Health().Commands
		page, err := s.List(t.Context(), c.q)
		if cost := s.Health().Commands - before; err != nil || cost > c.most {
			t.Errorf("%s: %d tasks cost %d commands, want at most %d; %v", name, len(page.Headers), cost, c.most, err)
		}
	}
	before := s.Health()
	const n = 20
	for i := range n {
		commit(t, s, epoch, store.Change{Task: "p-00000000", Base: 1 + uint64(i), Header: batch[0].Header, Log: []store.LogEntry{{Seq: uint64(2 + i)}}})
	}
	// But for a mark now and then, a commit that changes nothing in the indexes is one command.
	if cost := s.Health().Commands - before.Commands; cost > n+5 {
		t.Errorf("%d commits cost %d commands", n, cost)
	}
}

func TestRebuildIndex(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			s, epoch := lead(t, at(p))
			var batch []store.Change
			for i := range 600 {
				c := creation(fmt.Sprintf("p-%08d", i), 0)
				c.Header.Labels, c.Header.Request = map[string]string{"team": fmt.Sprint(i % 7)}, fmt.Sprint("r", i)
				batch = append(batch, c)
			}
			commit(t, s, epoch, batch...)
			commit(t, s, epoch)
			report, err := s.RebuildIndex(t.Context(), epoch, nil)
			if err != nil || report.Tasks != 600 || report.Added != 0 || report.Removed != 0 || len(report.Damaged) > 0 {
				t.Errorf("nothing was wrong: %+v, %v", report, err)
			}
			admin := servers.Single(t).Admin()
			if name == "single" {
				// Some entries go, and some are of nobody.
				all := p.Prefix + "{shared}:all"
				gone := admin.ZRange(t.Context(), all, 0, 99).Val()
				for _, m := range gone {
					admin.ZRem(t.Context(), all, m)
				}
				admin.ZAdd(t.Context(), p.Prefix+"{shared}:plan:q", z("000000000000001:p-nobodyxx"), z("damaged"))
				admin.Set(t.Context(), p.Prefix+"{shared}:request:x", "p-00000001", 0)
				admin.HSet(t.Context(), p.Prefix+"task:{p-00000003}", "status", "PERHAPS")
				told := 0
				report, err := s.RebuildIndex(t.Context(), epoch, func(done int) { told = done })
				// Of the damaged task, the entries for all, status, plan, label and suffix go.
				if err != nil || report.Tasks != 599 || told != 599 || report.Added != 99 || len(report.Damaged) != 1 || report.Removed < 6 {
					t.Errorf("told of %d: %+v, %v", told, report, err)
				}
			}
			page, err := s.List(t.Context(), store.Query{Limit: 1000})
			want := map[string]int{"single": 599, "cluster": 600, "sentinel": 600}
			if err != nil || len(page.Headers) != want[name] {
				t.Errorf("%d tasks, %v", len(page.Headers), err)
			}
			if _, err := s.RebuildIndex(t.Context(), epoch-1, nil); !errors.Is(err, store.ErrFenced) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestGarbage: a leader that died in the middle of a large task has left nodes; they go.
func TestGarbage(t *testing.T) {
	p := servers.SinglePlace(t)
	s, epoch := lead(t, at(p))
	commit(t, s, epoch)
	before := keysOf(t, p.Prefix)
	admin := servers.Single(t).Admin()
	for _, task := range []string{"p-aaaaaaaa", "p-bbbbbbbb"} {
		for i := range 700 {
			admin.HSet(t.Context(), fmt.Sprintf("%sstage:{%s}:%d", p.Prefix, task, i), "id", "x", "spec", "old", "state", "old")
		}
		admin.HSet(t.Context(), p.Prefix+"{shared}:garbage", task, 700)
	}
	// One of the names is used again, by a task of fewer nodes.
	c := creation("p-bbbbbbbb", 2)
	c.Nodes[1].State = nil
	commit(t, s, epoch, c)
	if diff := cmp.Diff(c.Nodes[1], load(t, s, c.Task).Nodes[1], cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Status" }, cmp.Ignore())); diff != "" {
		t.Errorf("the new task (-want +got):\n%s", diff)
	}
	commit(t, s, epoch, store.Change{Delete: true, Task: c.Task})
	if _, err := s.Expire(t.Context(), epoch, 10, 0); err != nil {
		t.Error(err)
	}
	commit(t, s, epoch)
	if diff := cmp.Diff(before, keysOf(t, p.Prefix)); diff != "" {
		t.Errorf("something is left (-before +after):\n%s", diff)
	}
}

// TestOddNames: names and labels that mean something to Redis, or are no text.
func TestOddNames(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			s, epoch := lead(t, at(place(t)))
			labels := map[string]string{"{a}": "}", "\xff": "\x00", "": "="}
			var want []string
			for _, task := range []string{"a}b", "{}", "}{x}", "%7B", "a:b c\n", "\xff\xfe"} {
				c := creation(task, 2)
				c.Header.Labels, c.Header.Request = labels, task
				commit(t, s, epoch, c)
				want = append(want, task)
				r := load(t, s, task)
				if diff := cmp.Diff(*c.Header, r.Header); diff != "" || len(r.Nodes) != 2 {
					t.Errorf("%q (-want +got):\n%s", task, diff)
				}
				if got, err := s.Resolve(t.Context(), store.Key{Request: task}); err != nil || got != task {
					t.Errorf("request %q: %q, %v", task, got, err)
				}
			}
			for k, v := range maps.All(labels) {
				page, err := s.List(t.Context(), store.Query{Labels: map[string]string{k: v}})
				if err != nil || len(page.Headers) != len(want) {
					t.Errorf("label %q: %d tasks, %v", k, len(page.Headers), err)
				}
			}
			if report, err := s.RebuildIndex(t.Context(), epoch, nil); err != nil || report.Tasks != len(want) || report.Removed+report.Added != 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}
