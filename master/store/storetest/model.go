package storetest

import (
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// model is what a store should hold, in the simplest way.
type model struct {
	tasks map[string]*modelTask
	epoch uint64
	// clock makes submission times that hardly ever repeat; made numbers the creations, so that no two are the same.
	clock dag.Time
	made  int
}

type modelTask struct {
	record store.Record
	log    []store.LogEntry
}

// requestOwner is the task that a request key belongs to.
func (m *model) requestOwner(request string) string {
	for name, t := range m.tasks {
		if request != "" && t.record.Header.Request == request {
			return name
		}
	}
	return ""
}

// refuses reports whether a batch of new changes conflicts with what is there.
func (m *model) refuses(batch []store.Change) bool {
	for i := range batch {
		c := &batch[i]
		if c.Create && (m.tasks[c.Task] != nil || m.requestOwner(c.Header.Request) != "") {
			return true
		}
	}
	return false
}

func (m *model) apply(batch []store.Change) {
	for _, c := range clone(batch) {
		if c.Delete {
			delete(m.tasks, c.Task)
			continue
		}
		t := m.tasks[c.Task]
		if t == nil {
			t = &modelTask{record: store.Record{Source: c.Source}}
			m.tasks[c.Task] = t
		}
		if c.Header != nil {
			t.record.Header = *c.Header
		}
		for _, n := range c.Nodes {
			if int(n.Index) == len(t.record.Nodes) {
				t.record.Nodes = append(t.record.Nodes, store.NodeRecord{Index: n.Index, Stage: n.Stage})
			}
			old := &t.record.Nodes[n.Index]
			if n.Spec != nil {
				old.Spec, old.Stage = n.Spec, n.Stage
			}
			if n.State != nil {
				old.State = n.State
			}
		}
		for _, e := range c.Log {
			t.log = append(t.log, e)
			t.record.LastSeq = e.Seq
		}
	}
}

// testModel does random things to a store and to the model, and compares them.
func testModel(s *suite) {
	t := s.t
	rapid.Check(t, func(rt *rapid.T) {
		place := s.Place(t)
		opened, err := s.Open(place)
		if err != nil {
			rt.Fatal(err)
		}
		r := &modelRun{rt: rt, s: opened, m: &model{tasks: map[string]*modelTask{}, clock: 1000}}
		defer func() { _ = r.s.Close() }()
		r.lead()
		rt.Repeat(map[string]func(*rapid.T){
			"commit":  func(rt *rapid.T) { r.rt = rt; r.commit() },
			"commit2": func(rt *rapid.T) { r.rt = rt; r.commit() },
			"stale":   func(rt *rapid.T) { r.rt = rt; r.stale() },
			"base":    func(rt *rapid.T) { r.rt = rt; r.conflict() },
			"expire":  func(rt *rapid.T) { r.rt = rt; r.expire() },
			"list":    func(rt *rapid.T) { r.rt = rt; r.list() },
			"reopen":  func(rt *rapid.T) { r.rt = rt; r.reopen(s.Backend, place) },
			"":        func(rt *rapid.T) { r.rt = rt; r.compare() },
		})
	})
}

type modelRun struct {
	rt *rapid.T
	s  store.Store
	m  *model
}

func (r *modelRun) must(err error) {
	r.rt.Helper()
	if err != nil {
		r.rt.Fatal(err)
	}
}

func (r *modelRun) diff(what string, want, got any) {
	r.rt.Helper()
	if !equal(want, got) {
		r.rt.Fatalf("%s (-want +got):\n%s", what, difference(want, got))
	}
}

func (r *modelRun) lead() {
	epoch, err := r.s.Lead(r.rt.Context(), "model")
	r.must(err)
	if epoch <= r.m.epoch {
		r.rt.Fatalf("epoch %d after %d", epoch, r.m.epoch)
	}
	r.m.epoch = epoch
}

func (r *modelRun) reopen(b Backend, place string) {
	r.must(r.s.Close())
	s, err := b.Open(place)
	r.must(err)
	r.s = s
	r.lead()
}

// batch draws changes of different tasks.
func (r *modelRun) batch() []store.Change {
	tasks := rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 1, 3, rapid.ID[int]).Draw(r.rt, "tasks")
	requests := map[string]bool{}
	var batch []store.Change
	for _, i := range tasks {
		name := taskName("p", i)
		t := r.m.tasks[name]
		what := rapid.SampledFrom([]string{"change", "change", "change", "delete", "create"}).Draw(r.rt, "what")
		switch {
		case t == nil && what == "change", what == "create":
			c := r.create(name)
			if requests[c.Header.Request] {
				c.Header.Request = ""
			}
			requests[c.Header.Request] = true
			batch = append(batch, c)
		case what == "delete":
			if t != nil && requests[t.record.Header.Request] {
				continue // one batch would free a key and take it, and could not be repeated
			}
			if t != nil {
				requests[t.record.Header.Request] = true
			}
			batch = append(batch, store.Change{Delete: true, Task: name})
		default:
			batch = append(batch, r.change(name, t))
		}
	}
	return batch
}

func (r *modelRun) create(name string) store.Change {
	r.m.clock += dag.Time(rapid.IntRange(0, 2).Draw(r.rt, "later"))
	r.m.made++
	h := header(name, r.m.clock)
	h.Plan = rapid.SampledFrom([]string{"p", "q"}).Draw(r.rt, "plan")
	h.Request = rapid.SampledFrom([]string{"", "", "one", "two"}).Draw(r.rt, "request")
	h.Body = fmt.Appendf(nil, "creation %d", r.m.made)
	r.header(h)
	return creation(h, rapid.IntRange(0, 3).Draw(r.rt, "nodes"))
}

// header draws the fields that change in a task's life.
func (r *modelRun) header(h *store.Header) {
	h.Status = rapid.SampledFrom(dag.TaskStatuses()).Draw(r.rt, "status")
	h.Ended = 0
	if h.Status.Terminal() {
		h.Ended = r.m.clock
	}
	h.Expires = dag.Time(rapid.SampledFrom([]int{0, 10, 20, 30}).Draw(r.rt, "expires"))
	h.Labels = rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"", "1", "2"}), 0, 2).Draw(r.rt, "labels")
}

func (r *modelRun) change(name string, t *modelTask) store.Change {
	c := store.Change{Task: name}
	if rapid.Bool().Draw(r.rt, "with base") {
		c.Base = r.revision(name)
	}
	if rapid.Bool().Draw(r.rt, "new header") {
		h := t.record.Header
		r.header(&h)
		c.Header = &h
	}
	count := len(t.record.Nodes)
	for range rapid.IntRange(0, 4).Draw(r.rt, "states") {
		i := rapid.IntRange(0, count).Draw(r.rt, "node")
		text := rapid.StringN(1, 30, 100).Draw(r.rt, "state")
		if i == count {
			c.Nodes = append(c.Nodes, node(name, i, text))
			count++
		} else {
			c.Nodes = append(c.Nodes, state(i, text))
		}
	}
	seq := t.record.LastSeq
	for range rapid.IntRange(0, 3).Draw(r.rt, "entries") {
		seq += rapid.Uint64Range(1, 3).Draw(r.rt, "gap")
		c.Log = append(c.Log, store.LogEntry{Seq: seq, Body: fmt.Appendf(nil, "entry %d", seq)})
	}
	return c
}

// commit commits a batch, and perhaps the same once more.
func (r *modelRun) commit() {
	batch := r.batch()
	err := r.s.Commit(r.rt.Context(), r.m.epoch, clone(batch))
	if r.m.refuses(batch) {
		wantErr(r.rt, err, store.ErrExists)
		return
	}
	r.must(err)
	r.m.apply(batch)
	if rapid.IntRange(0, 3).Draw(r.rt, "repeat") == 0 {
		r.must(r.s.Commit(r.rt.Context(), r.m.epoch, clone(batch)))
	}
}

// revision is that of a task in the store, 0 if that does not count.
func (r *modelRun) revision(name string) uint64 {
	record, err := r.s.Load(r.rt.Context(), name)
	r.must(err)
	return record.Revision
}

// conflict commits a change that follows one of long ago.
func (r *modelRun) conflict() {
	for _, name := range slices.Sorted(maps.Keys(r.m.tasks)) {
		revision := r.revision(name)
		if revision < 2 {
			continue
		}
		c := r.change(name, r.m.tasks[name])
		r.m.made++
		h := r.m.tasks[name].record.Header
		h.Body = fmt.Appendf(nil, "conflict %d", r.m.made) // no Change was ever the same
		c.Header = &h
		c.Base = rapid.Uint64Range(1, revision-1).Draw(r.rt, "base")
		wantErr(r.rt, r.s.Commit(r.rt.Context(), r.m.epoch, []store.Change{c}), store.ErrConflict)
		return
	}
}

// stale commits with an epoch of the past.
func (r *modelRun) stale() {
	if r.m.epoch == 1 || rapid.Bool().Draw(r.rt, "lead") {
		r.lead()
	}
	epoch := rapid.Uint64Range(0, r.m.epoch-1).Draw(r.rt, "epoch")
	wantErr(r.rt, r.s.Commit(r.rt.Context(), epoch, r.batch()), store.ErrFenced)
}

func (r *modelRun) expire() {
	now := dag.Time(rapid.SampledFrom([]int{5, 10, 25, 50}).Draw(r.rt, "now"))
	limit := rapid.IntRange(0, 3).Draw(r.rt, "limit")
	deleted, err := r.s.Expire(r.rt.Context(), r.m.epoch, now, limit)
	r.must(err)
	due := 0
	for _, t := range r.m.tasks {
		if h := &t.record.Header; h.Status.Terminal() && h.Expires > 0 && h.Expires <= now {
			due++
		}
	}
	if limit > 0 {
		due = min(due, limit)
	}
	if len(deleted) != due {
		r.rt.Fatalf("%d tasks expired, want %d", len(deleted), due)
	}
	for _, name := range deleted {
		h := &r.m.tasks[name].record.Header
		if !h.Status.Terminal() || h.Expires == 0 || h.Expires > now {
			r.rt.Fatalf("expired at %d: %+v", now, h)
		}
		delete(r.m.tasks, name)
	}
}

func (r *modelRun) list() {
	q := store.Query{
		Statuses: rapid.SliceOfN(rapid.SampledFrom(dag.TaskStatuses()), 0, 3).Draw(r.rt, "statuses"),
		Plan:     rapid.SampledFrom([]string{"", "p", "q"}).Draw(r.rt, "plan"),
		Labels:   rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"", "1"}), 0, 2).Draw(r.rt, "labels"),
		Since:    dag.Time(rapid.SampledFrom([]int{0, 1000, 1005}).Draw(r.rt, "since")),
		Before:   dag.Time(rapid.SampledFrom([]int{0, 1000, 1005, 1010}).Draw(r.rt, "before")),
		Limit:    rapid.IntRange(1, 4).Draw(r.rt, "limit"),
	}
	f := &fixture{t: r.rt, s: r.s, epoch: r.m.epoch}
	f.checkList(fmt.Sprintf("%+v", q), q, r.m.headers())
}

func (m *model) headers() []store.Header {
	var all []store.Header
	for _, name := range slices.Sorted(maps.Keys(m.tasks)) {
		all = append(all, m.tasks[name].record.Header)
	}
	return all
}

// compare reads everything.
func (r *modelRun) compare() {
	f := &fixture{t: r.rt, s: r.s, epoch: r.m.epoch}
	f.checkList("list", store.Query{}, r.m.headers())
	for i := range 5 {
		name := taskName("p", i)
		t := r.m.tasks[name]
		suffix, err := r.s.Resolve(r.rt.Context(), store.Key{Suffix: name[len(name)-8:]})
		if t == nil {
			wantErr(r.rt, err, store.ErrNotFound)
			_, err := r.s.Load(r.rt.Context(), name)
			wantErr(r.rt, err, store.ErrNotFound)
			continue
		}
		r.must(err)
		r.diff("resolved suffix", name, suffix)
		r.diff("record", &t.record, f.load(name))
		r.diff("history", t.log, f.historyFrom(name, 0, 2))
	}
	for _, request := range []string{"one", "two"} {
		got, err := r.s.Resolve(r.rt.Context(), store.Key{Request: request})
		if want := r.m.requestOwner(request); want != "" {
			r.must(err)
			r.diff("resolved request", want, got)
		} else {
			wantErr(r.rt, err, store.ErrNotFound)
		}
	}
}
