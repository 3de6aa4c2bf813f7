package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// testFaults drives a store through faults as an engine does: the very same batch again until its outcome is known, and once
// that is given up, or refused, what the store has is read anew. At the end, everything that was acknowledged is there exactly
// once, in order, and of what was given up each Change whole or nothing.
func testFaults(s *suite) {
	t := s.t
	f := s.start()
	f.commit(creation(header("probe-aaaaaaaa", 1), 0))
	counts := f.load("probe-aaaaaaaa").Revision > 0
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		r := &faultRun{
			rt: rt, inner: f.s, counts: counts, plan: fmt.Sprintf("run%d", runs), tasks: map[string]*faultTask{},
			// A run starts without faults, so that the shortest example that fails has none but those that it takes.
			faulty: Faulty(f.s, Faults{
				Roll: func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "roll") }, Late: counts,
			}),
		}
		r.lead()
		rt.Repeat(map[string]func(*rapid.T){
			"commit":  func(rt *rapid.T) { r.rt = rt; r.commit() },
			"commit2": func(rt *rapid.T) { r.rt = rt; r.commit() },
			"read":    func(rt *rapid.T) { r.rt = rt; r.readOne() },
			"lead":    func(rt *rapid.T) { r.rt = rt; r.lead() },
			"expire":  func(rt *rapid.T) { r.rt = rt; r.expire() },
		})
		r.rt = rt
		r.end()
	})
}

type faultRun struct {
	rt     *rapid.T
	faulty *FaultyStore
	inner  store.Store
	counts bool // the store counts revisions
	plan   string
	epoch  uint64
	made   int
	tasks  map[string]*faultTask
}

// faultTask is what is known of a task.
type faultTask struct {
	modelTask
	// there: the task exists, for all that is known.
	there    bool
	revision uint64
	// maybe are Changes that were given up and may still arrive.
	maybe []store.Change
	// doubtful: a creation or a deletion was given up, so nothing new is done to the task.
	doubtful bool
	// stray: another copy of the creation may still arrive. Were the task deleted, that would bring it back: nothing in a
	// creation says what it follows. Stores see to it that nothing of their own comes late; here, the driver does.
	stray bool
}

// patience is how long a call may take; only the faults that say nothing use it up.
const faultPatience = time.Millisecond

// again repeats a call until its outcome is known, or so many times.
func (r *faultRun) again(times int, call func(context.Context) error) (err error) {
	for range times {
		ctx, cancel := context.WithTimeout(r.rt.Context(), faultPatience)
		err = call(ctx)
		cancel()
		if !unknown(err) {
			return err
		}
	}
	return err
}

// unknown says whether the outcome of a call is.
func unknown(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// surely is how many tries are enough by all that chance allows; past it, rapid draws the worst case only.
const surely = 200

func (r *faultRun) sure(call func(context.Context) error) error {
	err := r.again(surely, call)
	if unknown(err) {
		r.faulty.Calm()
		err = call(r.rt.Context())
	}
	return err
}

func (r *faultRun) must(err error) {
	r.rt.Helper()
	if err != nil {
		r.rt.Fatal(err)
	}
}

// lead takes the lead. Whatever an earlier epoch has sent and not heard of counts for nothing from now on.
func (r *faultRun) lead() {
	r.must(r.sure(func(ctx context.Context) error {
		epoch, err := r.faulty.Lead(ctx, "faults")
		if err == nil && epoch <= r.epoch {
			r.rt.Fatalf("epoch %d after %d", epoch, r.epoch)
		}
		r.epoch = epoch
		return err
	}))
	for _, name := range slices.Sorted(maps.Keys(r.tasks)) {
		r.reload(name)
		t := r.tasks[name]
		t.maybe, t.doubtful, t.stray = nil, false, false
	}
}

// usable are the tasks to which something may be done.
func (r *faultRun) usable() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.tasks)) {
		if t := r.tasks[name]; t.there && !t.doubtful {
			names = append(names, name)
		}
	}
	return names
}

// batch draws Changes of different tasks.
func (r *faultRun) batch() []store.Change {
	var batch []store.Change
	for _, name := range r.usable() {
		switch what := rapid.IntRange(0, 9).Draw(r.rt, "what"); {
		case what < 4:
			batch = append(batch, r.change(name))
		case what == 4 && !r.tasks[name].stray:
			batch = append(batch, store.Change{Task: name, Delete: true})
		}
	}
	if len(batch) == 0 || rapid.IntRange(0, 3).Draw(r.rt, "create") == 0 {
		r.made++
		name := taskName(r.plan, r.made)
		h := header(name, dag.Time(r.made))
		h.Request = rapid.SampledFrom([]string{"", "request of " + name}).Draw(r.rt, "request")
		batch = append(batch, creation(h, rapid.IntRange(0, 3).Draw(r.rt, "nodes")))
		r.tasks[name] = &faultTask{}
	}
	return batch
}

// change draws a Change that follows what is known of the task; no two are the same.
func (r *faultRun) change(name string) store.Change {
	t := r.tasks[name]
	r.made++
	seq := t.record.LastSeq + 1
	c := store.Change{Task: name, Log: []store.LogEntry{{Seq: seq, Body: fmt.Appendf(nil, "change %d", r.made)}}}
	if r.counts {
		c.Base = t.revision
	}
	if count := len(t.record.Nodes); count > 0 && rapid.Bool().Draw(r.rt, "state") {
		i := rapid.IntRange(0, count-1).Draw(r.rt, "node")
		c.Nodes = []store.NodeRecord{state(i, fmt.Sprintf("CHANGE %d", r.made))}
	}
	if rapid.IntRange(0, 3).Draw(r.rt, "new header") == 0 {
		h := ended(&t.record.Header, 5, dag.Time(rapid.SampledFrom([]int{0, 10, 20}).Draw(r.rt, "expires")))
		h.Body = fmt.Appendf(nil, "header %d", r.made)
		c.Header = h
	}
	return c
}

// commit writes a batch as an engine does.
func (r *faultRun) commit() {
	batch := r.batch()
	tries := rapid.IntRange(1, 5).Draw(r.rt, "tries")
	write := func(part []store.Change) error {
		first := true
		return r.again(tries, func(ctx context.Context) error {
			for i := range part {
				r.tasks[part[i].Task].stray = r.tasks[part[i].Task].stray || part[i].Create && !first && r.counts
			}
			first = false
			return r.faulty.Commit(ctx, r.epoch, part)
		})
	}
	err := write(batch)
	if err == nil || unknown(err) {
		r.settle(batch, err)
		return
	}
	// Refused as a whole: the others are not to suffer.
	for i := range batch {
		r.settle(batch[i:i+1], write(batch[i:i+1]))
	}
}

// settle takes in what became of a batch.
func (r *faultRun) settle(batch []store.Change, err error) {
	conflict := r.counts && len(batch) == 1 && errors.Is(err, store.ErrConflict)
	if err != nil && !conflict && !unknown(err) {
		r.rt.Fatalf("cannot commit: %v", err)
	}
	for i := range batch {
		t := r.tasks[batch[i].Task]
		if err == nil {
			t.follow(&batch[i])
			continue
		}
		if !conflict {
			t.maybe = append(t.maybe, batch[i])
		}
		r.reload(batch[i].Task)
		if !r.counts {
			t.maybe = nil // nothing comes late
		} else if batch[i].Create && !t.there || batch[i].Delete && t.there {
			t.doubtful, t.stray = true, true
		}
	}
}

// follow does to what is known what a Change does.
func (t *faultTask) follow(c *store.Change) {
	m := model{tasks: map[string]*modelTask{}}
	if t.there {
		m.tasks[c.Task] = &t.modelTask
	}
	m.apply([]store.Change{*c})
	if c.Delete {
		*t = faultTask{}
		return
	}
	t.modelTask, t.there = *m.tasks[c.Task], true
	t.revision++
	t.maybe = slices.DeleteFunc(t.maybe, func(old store.Change) bool { return old.Base < t.revision })
}

// stored reads a task, with its history, as it was at one time. nil: it is not there.
func (r *faultRun) stored(name string) *faultTask {
	for {
		var record, again *store.Record
		var log []store.LogEntry
		load := func(to **store.Record) error {
			return r.sure(func(ctx context.Context) (err error) {
				*to, err = r.faulty.Load(ctx, name)
				return err
			})
		}
		err := load(&record)
		if err == nil {
			err = r.sure(func(ctx context.Context) (err error) {
				log, err = r.faulty.History(ctx, name, 0, 0)
				return err
			})
		}
		if err == nil {
			err = load(&again)
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		r.must(err)
		if record.Revision == again.Revision {
			return &faultTask{modelTask: modelTask{record: *record, log: log}, there: true, revision: record.Revision}
		}
	}
}

// reload reads a task and checks that it is what is known, but for at most one Change that was given up.
func (r *faultRun) reload(name string) {
	t, got := r.tasks[name], r.stored(name)
	if t.same(got, r.counts) {
		return
	}
	for _, c := range t.maybe {
		if c.Create == t.there || c.Base != 0 && c.Base != t.revision {
			continue
		}
		next := &faultTask{modelTask: t.modelTask, there: t.there, revision: t.revision, stray: t.stray || c.Create}
		next.record.Nodes = slices.Clone(next.record.Nodes)
		next.follow(&c)
		if next.same(got, r.counts) {
			next.maybe = slices.DeleteFunc(t.maybe, func(old store.Change) bool { return old.Base < next.revision })
			*t = *next
			return
		}
	}
	if got == nil {
		got = &faultTask{}
	}
	r.rt.Fatalf("%s at revision %d (stored %d) is neither what was acknowledged nor that and one of %d given up (-known +stored):\n%s\n%s",
		name, t.revision, got.revision, len(t.maybe), difference(&t.record, &got.record), difference(t.log, got.log))
}

// same compares what is known with what is stored.
func (t *faultTask) same(got *faultTask, counts bool) bool {
	if got == nil || !t.there {
		return got == nil && !t.there
	}
	return equal(&t.record, &got.record) && equal(t.log, got.log) && (!counts || t.revision == got.revision)
}

func (r *faultRun) readOne() {
	if len(r.tasks) == 0 {
		return
	}
	r.reload(rapid.SampledFrom(slices.Sorted(maps.Keys(r.tasks))).Draw(r.rt, "task"))
}

// expire deletes what is due. It leads anew before, so that nothing is under way that changes what is due.
func (r *faultRun) expire() {
	r.lead()
	const now = 15
	r.must(r.sure(func(ctx context.Context) error {
		_, err := r.faulty.Expire(ctx, r.epoch, now, 0) // of several tries, each may have deleted some
		return err
	}))
	for _, name := range r.usable() {
		if h := &r.tasks[name].record.Header; h.Status.Terminal() && h.Expires > 0 && h.Expires <= now {
			*r.tasks[name] = faultTask{}
		}
		r.reload(name)
	}
}

// end lets everything arrive that is late, and compares all there is.
func (r *faultRun) end() {
	r.faulty.Calm()
	var want []store.Header
	for _, name := range slices.Sorted(maps.Keys(r.tasks)) {
		r.reload(name)
		if t := r.tasks[name]; t.there {
			want = append(want, t.record.Header)
		}
	}
	f := &fixture{t: r.rt, s: r.inner, epoch: r.epoch}
	f.checkList("list", store.Query{Plan: r.plan}, want)
	for _, h := range want {
		if got, err := r.inner.Resolve(r.rt.Context(), store.Key{Suffix: h.Task[len(h.Task)-8:]}); err != nil || got == "" {
			r.rt.Fatalf("resolve %s: %q, %v", h.Task, got, err)
		}
		if h.Request == "" {
			continue
		}
		if got, err := r.inner.Resolve(r.rt.Context(), store.Key{Request: h.Request}); err != nil || got != h.Task {
			r.rt.Fatalf("resolve %q: %q, %v", h.Request, got, err)
		}
	}
}
