package storetest

import (
	"fmt"
	"slices"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

func testHistory(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	c := creation(h, 1)
	c.Log = nil
	f.commit(c)
	diff(t, "empty history", []store.LogEntry(nil), f.history(h.Task))
	if last := f.load(h.Task).LastSeq; last != 0 {
		t.Errorf("LastSeq is %d, want 0", last)
	}
	// Entries come alone, in small groups and in large ones; their numbers have gaps.
	var all []store.LogEntry
	seq := uint64(0)
	for _, size := range []int{1, 1, 300, 2, 1, 1500, 1, 700} {
		var group []store.LogEntry
		for range size {
			seq += 1 + seq%3
			group = append(group, store.LogEntry{Seq: seq, Body: fmt.Appendf(nil, "entry %d of a history", seq)})
		}
		f.commit(store.Change{Task: h.Task, Log: group})
		all = append(all, group...)
	}
	if last := f.load(h.Task).LastSeq; last != seq {
		t.Errorf("LastSeq is %d, want %d", last, seq)
	}
	for _, limit := range []int{1000, 999, 64, 7} {
		diff(t, fmt.Sprintf("history in pages of %d", limit), all, f.historyFrom(h.Task, 0, limit))
	}
	page, err := f.s.History(t.Context(), h.Task, 0, 0)
	if err != nil || len(page) != 1000 {
		t.Errorf("a page without limit has %d entries, want 1000; %v", len(page), err)
	}
	for i := 0; i < len(all); i += 37 {
		for _, after := range []uint64{all[i].Seq - 1, all[i].Seq} {
			want := i
			if after == all[i].Seq {
				want++
			}
			page, err := f.s.History(t.Context(), h.Task, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, fmt.Sprintf("history after %d", after), all[want:min(want+2, len(all))], page)
		}
	}
	for _, after := range []uint64{seq, seq + 1, ^uint64(0)} {
		page, err := f.s.History(t.Context(), h.Task, after, 10)
		if err != nil || len(page) != 0 {
			t.Errorf("history after %d: %d entries, %v", after, len(page), err)
		}
	}
	_, err = f.s.History(t.Context(), "p-bbbbbbbb", 0, 10)
	wantErr(t, err, store.ErrNotFound)
}

func testResolve(s *suite) {
	t := s.t
	f := s.start()
	one, two := header("p-abcdefgh", 1), header("some-plan-bcdefghi", 2)
	one.Request = "request"
	two.Request = "request-2"
	f.commit(creation(one, 1), creation(two, 1))
	for _, c := range []struct {
		key  store.Key
		want string
	}{
		{store.Key{Suffix: "abcdefgh"}, one.Task},
		{store.Key{Suffix: "bcdefghi"}, two.Task},
		{store.Key{Request: "request"}, one.Task},
		{store.Key{Request: "request-2"}, two.Task},
		{store.Key{Suffix: "abcdefg"}, ""},
		{store.Key{Suffix: "request"}, ""},
		{store.Key{Suffix: "-abcdefgh"}, ""},
		{store.Key{Request: "abcdefgh"}, ""},
		{store.Key{Request: "reques"}, ""},
		{store.Key{Request: "request-"}, ""},
		{store.Key{}, ""},
	} {
		got, err := f.s.Resolve(t.Context(), c.key)
		if c.want == "" {
			wantErr(t, err, store.ErrNotFound)
		} else if err != nil || got != c.want {
			t.Errorf("resolve %+v: %q, %v, want %q", c.key, got, err, c.want)
		}
	}
	f.commit(store.Change{Delete: true, Task: one.Task})
	for _, k := range []store.Key{{Suffix: "abcdefgh"}, {Request: "request"}} {
		_, err := f.s.Resolve(t.Context(), k)
		wantErr(t, err, store.ErrNotFound)
	}
	three := header("p-cdefghij", 3)
	three.Request = "request"
	f.commit(creation(three, 1)) // the key is free again
}

func testSharedSuffix(s *suite) {
	t := s.t
	f := s.start()
	f.commit(creation(header("p-abcdefgh", 1), 1), creation(header("q-abcdefgh", 2), 1))
	got, err := f.s.Resolve(t.Context(), store.Key{Suffix: "abcdefgh"})
	if err != nil || got != "p-abcdefgh" && got != "q-abcdefgh" {
		t.Fatalf("resolve: %q, %v", got, err)
	}
	f.commit(store.Change{Delete: true, Task: got})
	other, err := f.s.Resolve(t.Context(), store.Key{Suffix: "abcdefgh"})
	if err != nil || other == got {
		t.Errorf("resolve after %s was deleted: %q, %v", got, other, err)
	}
}

func testDelete(s *suite) {
	t := s.t
	f := s.start()
	h, other := header("p-aaaaaaaa", 1), header("p-bbbbbbbb", 1)
	h.Labels, h.Request = map[string]string{"team": "a"}, "one"
	f.commit(creation(h, 30), creation(other, 2))
	f.commit(store.Change{Task: h.Task, Log: []store.LogEntry{{Seq: 2}, {Seq: 3}}})
	f.commit(store.Change{Delete: true, Task: h.Task, Header: header(h.Task, 9), Nodes: []store.NodeRecord{state(99, "ignored")}})
	f.gone(h.Task)
	diff(t, "list by label", []string(nil), names(f.listAll(store.Query{Labels: h.Labels})))
	f.commit(store.Change{Delete: true, Task: h.Task})
	diff(t, "the other task", creation(other, 2).Nodes, f.load(other.Task).Nodes)

	// A task of the same name is a new one: nothing of the old comes back.
	again := header(h.Task, 5)
	f.commit(creation(again, 1))
	r := f.load(h.Task)
	diff(t, "new task", &store.Record{Header: *again, Source: creation(again, 1).Source, Nodes: creation(again, 1).Nodes, LastSeq: 1}, r)
	diff(t, "new history", creation(again, 1).Log, f.history(h.Task))
}

func testExpire(s *suite) {
	t := s.t
	f := s.start()
	headers := []*store.Header{
		ended(header("p-dueaaaaa", 1), 50, 99),
		ended(header("p-duebbbbb", 2), 50, 100),
		ended(header("p-notyetaa", 3), 50, 101),
		ended(header("p-neverexp", 4), 50, 0),
		header("p-runningx", 5),
		ended(header("p-retryxxx", 6), 50, 99),
		ended(header("p-extended", 7), 50, 99),
	}
	headers[1].Status = dag.TaskFailed
	headers[1].Labels, headers[1].Request = map[string]string{"team": "a"}, "one"
	headers[4].Expires = 10 // a task that runs is kept, whatever it says
	for _, h := range headers {
		f.commit(creation(h, 3))
	}
	// One is retried, another is to be kept for longer.
	running := header("p-retryxxx", 6)
	f.commit(
		store.Change{Task: running.Task, Header: running},
		store.Change{Task: "p-extended", Header: ended(header("p-extended", 7), 50, 500)},
	)
	some, next, err := f.s.Due(t.Context(), 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(some)
	diff(t, "due", []string{"p-dueaaaaa", "p-duebbbbb"}, some)
	if next != 101 {
		t.Errorf("the next is due at %d, want 101", next)
	}
	if some, next, err := f.s.Due(t.Context(), 100, 1); err != nil || len(some) != 1 || next != 0 {
		t.Errorf("due with a limit of 1: %v, %d, %v", some, next, err)
	}
	deleted, err := f.s.Expire(t.Context(), f.epoch, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "deleted", map[string]bool{"p-dueaaaaa": true, "p-duebbbbb": true}, set(deleted))
	f.gone("p-dueaaaaa")
	f.gone("p-duebbbbb")
	_, err = f.s.Resolve(t.Context(), store.Key{Request: "one"})
	wantErr(t, err, store.ErrNotFound)
	_, err = f.s.Resolve(t.Context(), store.Key{Suffix: "duebbbbb"})
	wantErr(t, err, store.ErrNotFound)
	diff(t, "list by label", []string(nil), names(f.listAll(store.Query{Labels: headers[1].Labels})))
	diff(t, "what is left", []string{"p-extended", "p-retryxxx", "p-runningx", "p-neverexp", "p-notyetaa"}, names(f.listAll(store.Query{})))
	if deleted, err := f.s.Expire(t.Context(), f.epoch, 100, 0); err != nil || len(deleted) > 0 {
		t.Errorf("a second time: %v, %v", deleted, err)
	}
	if some, next, err := f.s.Due(t.Context(), 100, 0); err != nil || len(some) > 0 || next != 101 {
		t.Errorf("due afterwards: %v, %d, %v", some, next, err)
	}
	if some, next, err := f.s.Due(t.Context(), 1000, 0); err != nil || len(some) != 2 || next != 0 {
		t.Errorf("due later: %v, %d, %v", some, next, err)
	}
}

func testExpireLimit(s *suite) {
	t := s.t
	const count = 130
	f := s.start()
	var batch []store.Change
	want := map[string]bool{}
	for i := range count {
		h := ended(header(taskName("p", i), dag.Time(i+1)), 2, dag.Time(1000-i))
		want[h.Task] = true
		batch = append(batch, creation(h, 1))
	}
	f.commit(batch...)
	got := map[string]bool{}
	for _, c := range []struct{ limit, want int }{{1, 1}, {60, 60}, {60, 60}, {60, 9}, {60, 0}} {
		deleted, err := f.s.Expire(t.Context(), f.epoch, 2000, c.limit)
		if err != nil || len(deleted) != c.want {
			t.Fatalf("%d deleted with a limit of %d, want %d; %v", len(deleted), c.limit, c.want, err)
		}
		for _, name := range deleted {
			got[name] = true
		}
	}
	diff(t, "deleted", want, got)
}

func set(names []string) map[string]bool {
	s := map[string]bool{}
	for _, n := range names {
		s[n] = true
	}
	return s
}
