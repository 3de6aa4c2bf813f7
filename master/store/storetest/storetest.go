// Package storetest is the conformance and benchmark suite of the store contract. An implementation passes it with
//
//	func TestMain(m *testing.M)       { storetest.Main(m, backend) }
//	func TestStore(t *testing.T)      { storetest.Run(t, backend) }
//	func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, backend) }
//
// where backend says how to open a store. One that several masters share passes RunShared as well.
//
// Everything that the suite checks stands in the comments of package store; where the contract leaves something open (the order
// of tasks that were submitted in the same millisecond, which of two tasks a suffix that both have belongs to, whether revisions
// are counted), the suite accepts all of it.
//
// Faulty puts faults between a caller and any store, for the suite's own check of repeated and late commits and for tests of
// those who use a store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// Backend is an implementation under test.
type Backend struct {
	// Place makes a new and empty place for a store, such as a directory, or an address with a prefix of its own. What is
	// there is removed when the test ends.
	Place func(t testing.TB) string
	// Open opens the store at a place, in which an earlier one may have left data.
	Open func(place string) (store.Store, error)
	// Exclusive says that a place serves one store at a time, so that a second Open fails with store.ErrLocked.
	Exclusive bool
	// Written tells how many bytes were written to disk so far for the stores of this process. Optional; for benchmarks.
	Written func() int64
}

// check is one part of the suite.
type check struct {
	name string
	run  func(s *suite)
}

func checks() []check {
	return []check{
		{"Lead", testLead},
		{"FencedWritesNothing", testFenced},
		{"Create", testCreate},
		{"ExistsWritesNothing", testExists},
		{"UnknownTask", testUnknownTask},
		{"Update", testUpdate},
		{"Order", testOrder},
		{"Repeat", testRepeat},
		{"RepeatOfDeleteAndCreate", testRepeatRecreate},
		{"Base", testBase},
		{"LargeValues", testLarge},
		{"ManyNodes", testManyNodes},
		{"ManyUpdates", testManyUpdates},
		{"History", testHistory},
		{"Resolve", testResolve},
		{"SharedSuffix", testSharedSuffix},
		{"Delete", testDelete},
		{"Expire", testExpire},
		{"ExpireLimit", testExpireLimit},
		{"ListOrder", testListOrder},
		{"ListFilters", testListFilters},
		{"ListFollowsChanges", testListFollows},
		{"ListStablePaging", testListStable},
		{"ListLimits", testListLimits},
		{"Concurrent", testConcurrent},
		{"ContextEnded", testContext},
		{"Close", testClose},
		{"Reopen", testReopen},
		{"Exclusive", testExclusive},
		{"Shared", testShared},
		{"Crash", testCrash},
		{"Model", testModel},
		{"Faults", testFaults},
	}
}

// Run checks everything.
func Run(t *testing.T, b Backend) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) { c.run(&suite{Backend: b, t: t}) })
	}
}

// RunOne makes the check of a name only.
func RunOne(t *testing.T, b Backend, name string) {
	t.Helper()
	for _, c := range checks() {
		if c.name == name {
			c.run(&suite{Backend: b, t: t})
			return
		}
	}
	t.Fatalf("there is no check %q", name)
}

// tb is what *testing.T, *testing.B and *rapid.T have in common.
type tb interface {
	Helper()
	Cleanup(f func())
	Context() context.Context
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// fixture is an open store with somebody who leads it.
type fixture struct {
	t     tb
	s     store.Store
	epoch uint64
}

// suite is what each check of the suite gets.
type suite struct {
	Backend
	t *testing.T
}

// start opens a store at a new place and leads it.
func (s *suite) start() *fixture {
	s.t.Helper()
	return startAt(s.t, s.Backend, s.Place(s.t))
}

func (s *suite) startAt(place string) *fixture {
	s.t.Helper()
	return startAt(s.t, s.Backend, place)
}

func startAt(t tb, b Backend, place string) *fixture {
	t.Helper()
	f := &fixture{t: t, s: open(t, b, place)}
	f.epoch = f.lead()
	return f
}

func open(t tb, b Backend, place string) store.Store {
	t.Helper()
	s, err := b.Open(place)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func (f *fixture) lead() uint64 {
	f.t.Helper()
	epoch, err := f.s.Lead(f.t.Context(), "storetest")
	if err != nil {
		f.t.Fatalf("lead: %v", err)
	}
	return epoch
}

func (f *fixture) commit(batch ...store.Change) {
	f.t.Helper()
	if err := f.s.Commit(f.t.Context(), f.epoch, batch); err != nil {
		f.t.Fatalf("commit: %v", err)
	}
}

func (f *fixture) commitFails(want error, batch ...store.Change) {
	f.t.Helper()
	wantErr(f.t, f.s.Commit(f.t.Context(), f.epoch, batch), want)
}

func (f *fixture) load(task string) *store.Record {
	f.t.Helper()
	r, err := f.s.Load(f.t.Context(), task)
	if err != nil {
		f.t.Fatalf("load %s: %v", task, err)
	}
	return r
}

// gone checks that nothing is left of a task.
func (f *fixture) gone(task string) {
	f.t.Helper()
	ctx := f.t.Context()
	_, err := f.s.Load(ctx, task)
	wantErr(f.t, err, store.ErrNotFound)
	_, err = f.s.Header(ctx, task)
	wantErr(f.t, err, store.ErrNotFound)
	_, err = f.s.History(ctx, task, 0, 0)
	wantErr(f.t, err, store.ErrNotFound)
	for _, h := range f.listAll(store.Query{}) {
		if h.Task == task {
			f.t.Errorf("%s is still in the list", task)
		}
	}
}

func (f *fixture) history(task string) []store.LogEntry {
	f.t.Helper()
	return f.historyFrom(task, 0, 1000)
}

// historyFrom reads all pages of a history.
func (f *fixture) historyFrom(task string, after uint64, limit int) []store.LogEntry {
	f.t.Helper()
	var all []store.LogEntry
	for {
		page, err := f.s.History(f.t.Context(), task, after, limit)
		if err != nil {
			f.t.Fatalf("history of %s: %v", task, err)
		}
		if len(page) > limit {
			f.t.Fatalf("history of %s: a page of %d entries, want at most %d", task, len(page), limit)
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		after = page[len(page)-1].Seq
	}
}

// listAll follows the pages of a list to their end, and checks their sizes.
func (f *fixture) listAll(q store.Query) []store.Header {
	f.t.Helper()
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	var all []store.Header
	for {
		page, err := f.s.List(f.t.Context(), q)
		if err != nil {
			f.t.Fatalf("list: %v", err)
		}
		all = append(all, page.Headers...)
		if page.Next == "" {
			return all
		}
		if len(page.Headers) != limit {
			f.t.Fatalf("list: a page of %d, want %d on all but the last", len(page.Headers), limit)
		}
		q.Cursor = page.Next
	}
}

// names are the tasks of a list.
func names(headers []store.Header) []string {
	var all []string
	for _, h := range headers {
		all = append(all, h.Task)
	}
	return all
}

func wantErr(t tb, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func diff(t tb, what string, want, got any) {
	t.Helper()
	if !equal(want, got) {
		t.Errorf("%s (-want +got):\n%s", what, difference(want, got))
	}
}

// loosely is how the suite compares: not what a store may leave out.
var loosely = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(store.Record{}, "Revision"),
	cmpopts.IgnoreFields(store.NodeRecord{}, "Status"),
}

func difference(want, got any) string { return cmp.Diff(want, got, loosely) }

// equal compares like difference does, but does not look for what large values have in common.
func equal(want, got any) bool {
	filled := func(x, y []byte) bool { return len(x)+len(y) > 0 }
	return cmp.Equal(want, got, loosely, cmp.FilterValues(filled, cmp.Comparer(bytes.Equal)))
}

// taskName is the name of the i-th task of a plan, with a suffix of eight letters.
func taskName(plan string, i int) string {
	suffix := []byte("aaaaaaaa")
	for p := len(suffix) - 1; i > 0; p, i = p-1, i/26 {
		suffix[p] = 'a' + byte(i%26)
	}
	return plan + "-" + string(suffix)
}

// header makes the header of a running task.
func header(task string, submitted dag.Time) *store.Header {
	plan, _, _ := strings.Cut(task, "-")
	return &store.Header{
		Task: task, Plan: plan, Status: dag.TaskRunning, Submitted: submitted,
		Body: []byte(`{"name":"` + task + `"}`),
	}
}

// ended makes a header of a task that ended.
func ended(h *store.Header, at, expires dag.Time) *store.Header {
	c := *h
	c.Status, c.Ended, c.Expires = dag.TaskCompleted, at, expires
	return &c
}

// creation makes a Create with some nodes and one entry of history.
func creation(h *store.Header, nodes int) store.Change {
	c := store.Change{
		Create: true, Task: h.Task, Header: h, Source: []byte("plan of " + h.Task),
		Log: []store.LogEntry{{Seq: 1, Body: []byte("submitted")}},
	}
	for i := range nodes {
		c.Nodes = append(c.Nodes, node(h.Task, i, "WAITING"))
	}
	return c
}

func node(task string, i int, state string) store.NodeRecord {
	stage := fmt.Sprintf("%s-sh-%d", task, i)
	return store.NodeRecord{Index: int32(i), Stage: stage, Spec: []byte("spec of " + stage), State: []byte(state), Status: state}
}

// state is a change of a node's state only.
func state(i int, s string) store.NodeRecord {
	return store.NodeRecord{Index: int32(i), State: []byte(s), Status: s}
}

// clone copies a batch, so that a store that kept or changed the caller's memory is found out.
func clone(batch []store.Change) []store.Change {
	out := slices.Clone(batch)
	for i := range out {
		c := &out[i]
		if c.Header != nil {
			h := *c.Header
			h.Body = slices.Clone(h.Body)
			c.Header = &h
		}
		c.Source = slices.Clone(c.Source)
		c.Nodes = slices.Clone(c.Nodes)
		for j := range c.Nodes {
			c.Nodes[j].Spec = slices.Clone(c.Nodes[j].Spec)
			c.Nodes[j].State = slices.Clone(c.Nodes[j].State)
		}
		c.Log = slices.Clone(c.Log)
		for j := range c.Log {
			c.Log[j].Body = slices.Clone(c.Log[j].Body)
		}
	}
	return out
}
