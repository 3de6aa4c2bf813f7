package storetest

import (
	"bytes"
	"fmt"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

func testLead(s *suite) {
	t := s.t
	f := s.start()
	if f.epoch == 0 {
		t.Error("an epoch of 0")
	}
	for range 3 {
		if next := f.lead(); next <= f.epoch {
			t.Fatalf("epoch %d after %d", next, f.epoch)
		} else {
			f.epoch = next
		}
	}
	f.commit(creation(header("p-aaaaaaaa", 1), 1))
}

func testFenced(s *suite) {
	t := s.t
	f := s.start()
	old := f.epoch
	f.commit(creation(ended(header("p-aaaaaaaa", 1), 2, 3), 1))
	f.epoch = f.lead()
	before := f.load("p-aaaaaaaa")
	for _, epoch := range []uint64{old, 0} {
		err := f.s.Commit(t.Context(), epoch, []store.Change{
			creation(header("p-bbbbbbbb", 1), 1),
			{Task: "p-aaaaaaaa", Nodes: []store.NodeRecord{state(0, "RUNNING")}},
		})
		wantErr(t, err, store.ErrFenced)
		wantErr(t, f.s.Commit(t.Context(), epoch, nil), store.ErrFenced)
		_, err = f.s.Expire(t.Context(), epoch, 10, 0)
		wantErr(t, err, store.ErrFenced)
	}
	f.gone("p-bbbbbbbb")
	diff(t, "the other task", before, f.load("p-aaaaaaaa"))
}

// testBase is for stores that count revisions: a change follows the one that it says, or is refused.
func testBase(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	f.commit(creation(h, 2))
	if f.load(h.Task).Revision == 0 {
		f.commit(store.Change{Task: h.Task, Base: 7, Nodes: []store.NodeRecord{state(0, "RUNNING")}}) // no store that counts
		return
	}
	at := func(want uint64) {
		t.Helper()
		if got := f.load(h.Task).Revision; got != want {
			t.Errorf("revision is %d, want %d", got, want)
		}
	}
	at(1)
	first := store.Change{
		Task: h.Task, Base: 1, Nodes: []store.NodeRecord{state(0, "RUNNING")}, Log: []store.LogEntry{{Seq: 2, Body: []byte("two")}},
	}
	for range 3 { // the very same is fine, and counts once
		f.commit(clone([]store.Change{first})...)
		at(2)
	}
	other := first
	other.Nodes = []store.NodeRecord{state(0, "LAUNCHING")}
	before := f.load(h.Task)
	f.commitFails(store.ErrConflict, other)
	diff(t, "after a conflict", before, f.load(h.Task))
	at(2)

	second := store.Change{Task: h.Task, Base: 2, Header: ended(h, 5, 0)}
	f.commit(second)
	f.commit(store.Change{Task: h.Task, Nodes: []store.NodeRecord{state(1, "RUNNING")}}) // 0 is not checked
	at(4)
	for name, late := range map[string]store.Change{"first": first, "second": second} {
		before := f.load(h.Task)
		if f.commitFails(store.ErrConflict, late); t.Failed() {
			t.Fatalf("the %s change arrived late", name)
		}
		diff(t, "after a late change", before, f.load(h.Task))
	}
	f.epoch = f.lead()
	f.commit(store.Change{Task: h.Task, Base: 4, Log: []store.LogEntry{{Seq: 3, Body: []byte("three")}}})
	at(5)
	f.commit(store.Change{Task: h.Task, Delete: true})
	f.commit(creation(header(h.Task, 2), 1))
	at(1)
}

func testCreate(s *suite) {
	t := s.t
	f := s.start()
	h := &store.Header{
		Task: "p-aaaaaaaa", Plan: "p", Status: dag.TaskNew, Submitted: 1_700_000_000_123, Ended: 0, Expires: 5,
		Labels: map[string]string{"team": "a", "": "empty", "quote": `"`}, Request: "req 1",
		Body: []byte{0, 1, 2, 0xff, '\n'},
	}
	c := creation(h, 3)
	c.Source = []byte("a: \x00\xff plan")
	c.Nodes[1].State = nil
	batch := []store.Change{c}
	handed := clone(batch)
	f.commit(handed...)
	for i := range handed[0].Source { // the store must not keep the caller's memory
		handed[0].Source[i] = 'x'
	}
	handed[0].Header.Body[0] = 'x'
	handed[0].Nodes[0].Spec[0] = 'x'

	diff(t, "record", &store.Record{Header: *h, Source: c.Source, Nodes: c.Nodes, LastSeq: 1}, f.load(h.Task))
	got, err := f.s.Header(t.Context(), h.Task)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "header", h, got)
	diff(t, "list", []store.Header{*h}, f.listAll(store.Query{}))
	diff(t, "history", c.Log, f.history(h.Task))
}

func testExists(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	h.Request = "one"
	f.commit(creation(h, 1))
	before := f.load(h.Task)

	sameName := header("p-aaaaaaaa", 2)
	sameRequest := header("p-bbbbbbbb", 2)
	sameRequest.Request = "one"
	moreNodes := creation(h, 2)
	twins := [2]store.Change{creation(header("p-dddddddd", 1), 1), creation(header("p-dddddddd", 1), 2)}
	for name, conflict := range map[string][]store.Change{
		"name":              {creation(sameName, 1)},
		"request":           {creation(sameRequest, 1)},
		"other content":     {moreNodes},
		"name in the batch": twins[:],
		"after a change":    {{Task: h.Task, Nodes: []store.NodeRecord{state(0, "RUNNING")}}, creation(sameName, 1)},
	} {
		batch := append([]store.Change{creation(header("p-cccccccc", 1), 1)}, conflict...)
		err := f.s.Commit(t.Context(), f.epoch, batch)
		if wantErr(t, err, store.ErrExists); t.Failed() {
			t.Fatalf("in case %q", name)
		}
		f.gone("p-cccccccc")
		f.gone("p-dddddddd")
	}
	diff(t, "the first task", before, f.load(h.Task))
}

func testUnknownTask(s *suite) {
	f := s.start()
	f.commitFails(store.ErrNotFound, store.Change{Task: "p-aaaaaaaa", Nodes: []store.NodeRecord{node("p-aaaaaaaa", 0, "RUNNING")}})
	f.commitFails(store.ErrNotFound, store.Change{Task: "p-aaaaaaaa", Header: header("p-aaaaaaaa", 1)})
	f.gone("p-aaaaaaaa")
	f.commit(store.Change{Delete: true, Task: "p-aaaaaaaa"})
	f.commit()
}

func testUpdate(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	c := creation(h, 2)
	f.commit(c)

	f.commit(store.Change{Task: h.Task, Nodes: []store.NodeRecord{state(1, "RUNNING")}})
	want := &store.Record{Header: *h, Source: c.Source, Nodes: []store.NodeRecord{c.Nodes[0], c.Nodes[1]}, LastSeq: 1}
	want.Nodes[1].State = []byte("RUNNING")
	diff(t, "after a state", want, f.load(h.Task))

	spec := store.NodeRecord{Index: 0, Stage: c.Nodes[0].Stage, Spec: []byte("another spec")}
	f.commit(store.Change{Task: h.Task, Nodes: []store.NodeRecord{spec, node(h.Task, 2, "WAITING")}})
	want.Nodes[0].Spec = spec.Spec
	want.Nodes = append(want.Nodes, node(h.Task, 2, "WAITING"))
	diff(t, "after specs", want, f.load(h.Task))

	f.commit(store.Change{Task: h.Task, Log: []store.LogEntry{{Seq: 2, Body: []byte("two")}, {Seq: 5, Body: []byte("five")}}})
	want.LastSeq = 5
	diff(t, "after a log", want, f.load(h.Task))

	big := *h
	big.Body = bytes.Repeat([]byte("0123456789"), 3000)
	for _, next := range []*store.Header{&big, ended(h, 7, 9), h} {
		f.commit(store.Change{Task: h.Task, Header: next})
		want.Header = *next
		diff(t, "after a header", want, f.load(h.Task))
	}
}

func testOrder(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	f.commit(
		creation(h, 1),
		store.Change{Task: h.Task, Nodes: []store.NodeRecord{state(0, "LAUNCHING"), state(0, "RUNNING")}},
		store.Change{Task: h.Task, Nodes: []store.NodeRecord{node(h.Task, 1, "WAITING"), state(0, "PREPARED")}},
		store.Change{Task: h.Task, Nodes: []store.NodeRecord{state(1, "RUNNING")}, Header: ended(h, 3, 0)},
	)
	r := f.load(h.Task)
	diff(t, "nodes", []store.NodeRecord{node(h.Task, 0, "PREPARED"), node(h.Task, 1, "RUNNING")}, r.Nodes)
	diff(t, "header", *ended(h, 3, 0), r.Header)
}

func testRepeat(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	h.Request = "one"
	doomed := header("p-bbbbbbbb", 1)
	f.commit(creation(doomed, 1))
	batch := []store.Change{
		creation(h, 2),
		{
			Task: h.Task, Header: ended(h, 4, 5), Nodes: []store.NodeRecord{state(0, "COMPLETED"), node(h.Task, 2, "WAITING")},
			Log: []store.LogEntry{{Seq: 2, Body: []byte("two")}, {Seq: 3, Body: []byte("three")}},
		},
		{Task: doomed.Task, Nodes: []store.NodeRecord{state(0, "COMPLETED")}},
		{Task: doomed.Task, Delete: true},
	}
	f.commit(clone(batch)...)
	record, log := f.load(h.Task), f.history(h.Task)
	for range 2 {
		f.commit(clone(batch)...)
		diff(t, "record", record, f.load(h.Task))
		diff(t, "history", log, f.history(h.Task))
		f.gone(doomed.Task)
	}
	// A later leader repeats what an earlier one did not hear of.
	f.epoch = f.lead()
	f.commit(clone(batch)...)
	diff(t, "record", record, f.load(h.Task))
	diff(t, "list", []string{h.Task}, names(f.listAll(store.Query{})))
}

func testRepeatRecreate(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	h.Request = "one"
	f.commit(creation(h, 3), store.Change{Task: h.Task, Log: []store.LogEntry{{Seq: 9, Body: []byte("nine")}}})
	again := header("p-aaaaaaaa", 2)
	again.Request = "one"
	batch := []store.Change{{Task: h.Task, Delete: true}, creation(again, 1)}
	for range 2 {
		f.commit(clone(batch)...)
		diff(t, "record", &store.Record{
			Header: *again, Source: batch[1].Source, Nodes: batch[1].Nodes, LastSeq: 1,
		}, f.load(h.Task))
		diff(t, "history", batch[1].Log, f.history(h.Task))
	}
}

func testLarge(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	fill := func(n int, c byte) []byte { return bytes.Repeat([]byte{c, c + 1, 0}, n/3) }
	h.Body = fill(300_000, 'h')
	h.Labels = map[string]string{"long": string(fill(60_000, 'l'))}
	h.Request = string(fill(3_000, 'r'))
	c := creation(h, 2)
	c.Source = fill(2_000_000, 's')
	c.Nodes[0].Spec, c.Nodes[0].State = fill(1_000_000, 'p'), fill(1_000_000, 't')
	c.Log = append(c.Log, store.LogEntry{Seq: 2, Body: fill(1_000_000, 'b')}, store.LogEntry{Seq: 3, Body: []byte("small")})
	f.commit(c)
	c.Nodes[1].State = fill(500_000, 'u')
	f.commit(store.Change{Task: h.Task, Nodes: []store.NodeRecord{{Index: 1, State: c.Nodes[1].State}}})
	diff(t, "record", &store.Record{Header: *h, Source: c.Source, Nodes: c.Nodes, LastSeq: 3}, f.load(h.Task))
	diff(t, "history", c.Log, f.history(h.Task))
	diff(t, "list", []string{h.Task}, names(f.listAll(store.Query{Labels: h.Labels})))
	task, err := f.s.Resolve(t.Context(), store.Key{Request: h.Request})
	if err != nil || task != h.Task {
		t.Errorf("resolve: %q, %v", task, err)
	}
}

// testManyNodes writes a task of many nodes at once, then all their states in scattered order.
func testManyNodes(s *suite) {
	t := s.t
	const count, stride = 20_000, 7919 // the stride has no divisor in common with the count
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	c := creation(h, count)
	f.commit(c)
	var nodes []store.NodeRecord
	for i := range count {
		at := i * stride % count
		nodes = append(nodes, state(at, fmt.Sprintf("COMPLETED %d", at)))
		c.Nodes[at].State = nodes[i].State
	}
	for len(nodes) > 0 {
		n := min(1500, len(nodes))
		f.commit(store.Change{Task: h.Task, Nodes: nodes[:n]})
		nodes = nodes[n:]
	}
	diff(t, "record", &store.Record{Header: *h, Source: c.Source, Nodes: c.Nodes, LastSeq: 1}, f.load(h.Task))
	f.commit(store.Change{Task: h.Task, Delete: true})
	f.gone(h.Task)
}

// testManyUpdates updates few nodes so often that whatever a store gathers on the way has to be cleared up.
func testManyUpdates(s *suite) {
	t := s.t
	f := s.start()
	h, other := header("p-aaaaaaaa", 1), header("p-bbbbbbbb", 1)
	c := creation(h, 5)
	f.commit(c, creation(other, 3))
	long := bytes.Repeat([]byte("x"), 500)
	seq := uint64(1)
	for round := range 300 {
		var nodes []store.NodeRecord
		for k := range 20 {
			i := (round + k*k) % len(c.Nodes)
			c.Nodes[i].State = fmt.Appendf(nil, "%d %d %s", round, k, long)
			nodes = append(nodes, store.NodeRecord{Index: int32(i), State: c.Nodes[i].State})
		}
		if round%100 == 50 {
			n := node(h.Task, len(c.Nodes), "WAITING")
			c.Nodes = append(c.Nodes, n)
			nodes = append(nodes, n)
		}
		seq++
		f.commit(store.Change{Task: h.Task, Nodes: nodes, Log: []store.LogEntry{{Seq: seq, Body: []byte("round")}}})
	}
	done := ended(h, 10, 0)
	f.commit(store.Change{Task: h.Task, Header: done})
	diff(t, "record", &store.Record{Header: *done, Source: c.Source, Nodes: c.Nodes, LastSeq: seq}, f.load(h.Task))
	if n := len(f.history(h.Task)); n != int(seq) {
		t.Errorf("%d entries of history, want %d", n, seq)
	}
	diff(t, "the other task", creation(other, 3).Nodes, f.load(other.Task).Nodes)
}
