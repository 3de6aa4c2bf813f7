package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// testConcurrent has several writers, each with a task of its own, and readers that look at all of them meanwhile.
func testConcurrent(s *suite) {
	t := s.t
	const writers, rounds, nodes = 6, 40, 5
	f := s.start()
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() { write(t, f, taskName("p", w), rounds, nodes) })
	}
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for w := range 2 {
		readers.Go(func() {
			for i := w; ctx.Err() == nil; i++ {
				if r, err := f.s.Load(t.Context(), taskName("p", i%writers)); err == nil {
					whole(t, r)
				} else if !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
				if _, err := f.s.List(t.Context(), store.Query{Plan: "p"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	stop()
	readers.Wait()
	for w := range writers {
		r := f.load(taskName("p", w))
		if whole(t, r) != rounds {
			t.Errorf("%s ends at %s, want %d", r.Header.Task, r.Header.Body, rounds)
		}
	}
}

// write makes a task and changes all of it in each round: header, nodes and history say the number of the round.
func write(t tb, f *fixture, task string, rounds, nodes int) {
	for n := range rounds + 1 {
		if err := f.s.Commit(t.Context(), f.epoch, []store.Change{round(task, n, nodes)}); err != nil {
			t.Errorf("%s, round %d: %v", task, n, err)
			return
		}
	}
}

// round is the n-th change of a task; the one with number 0 makes it.
func round(task string, n, nodes int) store.Change {
	h := header(task, 1)
	h.Body = []byte(strconv.Itoa(n))
	if n == 0 {
		c := creation(h, 0)
		for i := range nodes {
			c.Nodes = append(c.Nodes, node(task, i, "0"))
		}
		return c
	}
	c := store.Change{Task: task, Header: h, Log: []store.LogEntry{{Seq: uint64(n) + 1, Body: h.Body}}}
	for i := range nodes {
		c.Nodes = append(c.Nodes, state(i, strconv.Itoa(n)))
	}
	return c
}

// whole checks that a record is that of one round, and gives its number.
func whole(t tb, r *store.Record) int {
	for _, n := range r.Nodes {
		if string(n.State) != string(r.Header.Body) {
			t.Errorf("%s: node %d is of round %s, the header of %s", r.Header.Task, n.Index, n.State, r.Header.Body)
		}
	}
	n, err := strconv.Atoi(string(r.Header.Body))
	if err != nil || r.LastSeq != uint64(n)+1 {
		t.Errorf("%s: header of round %s, history up to %d", r.Header.Task, r.Header.Body, r.LastSeq)
	}
	return n
}

func testContext(s *suite) {
	t := s.t
	f := s.start()
	h := header("p-aaaaaaaa", 1)
	f.commit(creation(h, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Lead":    func() error { _, err := f.s.Lead(ctx, "x"); return err },
		"Commit":  func() error { return f.s.Commit(ctx, f.epoch, []store.Change{{Delete: true, Task: h.Task}}) },
		"Load":    func() error { _, err := f.s.Load(ctx, h.Task); return err },
		"Header":  func() error { _, err := f.s.Header(ctx, h.Task); return err },
		"List":    func() error { _, err := f.s.List(ctx, store.Query{}); return err },
		"Resolve": func() error { _, err := f.s.Resolve(ctx, store.Key{Suffix: "aaaaaaaa"}); return err },
		"History": func() error { _, err := f.s.History(ctx, h.Task, 0, 0); return err },
		"Expire":  func() error { _, err := f.s.Expire(ctx, f.epoch, 1, 0); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s succeeds though its context has ended", name)
		}
	}
	f.load(h.Task)
	f.commit(store.Change{Task: h.Task, Header: header(h.Task, 1)})
}

func testClose(s *suite) {
	t := s.t
	f := s.start()
	f.commit(creation(header("p-aaaaaaaa", 1), 1))
	for range 3 {
		if err := f.s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	wantErr(t, f.s.Commit(t.Context(), f.epoch, []store.Change{creation(header("p-bbbbbbbb", 1), 1)}), store.ErrUnavailable)
	_, err := f.s.Load(t.Context(), "p-aaaaaaaa")
	wantErr(t, err, store.ErrUnavailable)
	_, err = f.s.List(t.Context(), store.Query{})
	wantErr(t, err, store.ErrUnavailable)
	_, err = f.s.Lead(t.Context(), "x")
	wantErr(t, err, store.ErrUnavailable)
}

func testReopen(s *suite) {
	t := s.t
	place := s.Place(t)
	f := s.startAt(place)
	all := gallery(f)
	h := all[7]
	f.commit(store.Change{Task: h.Task, Nodes: []store.NodeRecord{node(h.Task, 1, "RUNNING")}, Log: []store.LogEntry{{Seq: 2}}})
	want := f.load(h.Task)
	log := f.history(h.Task)
	first := f.epoch
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}

	f = s.startAt(place)
	if f.epoch <= first {
		t.Errorf("epoch %d after %d of the time before", f.epoch, first)
	}
	diff(t, "record", want, f.load(h.Task))
	diff(t, "history", log, f.history(h.Task))
	f.checkList("list", store.Query{}, all)
	f.checkList("list by plan", store.Query{Plan: h.Plan}, all)
	wantErr(t, f.s.Commit(t.Context(), first, []store.Change{{Delete: true, Task: h.Task}}), store.ErrFenced)
	f.commit(store.Change{Delete: true, Task: h.Task})
	f.gone(h.Task)
}

func testExclusive(s *suite) {
	t := s.t
	if !s.Exclusive {
		return // testShared is for those that are not
	}
	place := s.Place(t)
	f := s.startAt(place)
	second, err := s.Open(place)
	if err == nil {
		_ = second.Close()
	}
	wantErr(t, err, store.ErrLocked)
	if err != nil && !strings.Contains(err.Error(), place) {
		t.Errorf("the message does not say what is locked: %v", err)
	}
	f.commit(creation(header("p-aaaaaaaa", 1), 1))
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	s.startAt(place).load("p-aaaaaaaa")
}

func testShared(s *suite) {
	t := s.t
	if s.Exclusive {
		return // testExclusive is for those that are
	}
	place := s.Place(t)
	one := s.startAt(place)
	one.commit(creation(header("p-aaaaaaaa", 1), 1))
	two := s.startAt(place)
	if two.epoch <= one.epoch {
		t.Fatalf("epoch %d after %d", two.epoch, one.epoch)
	}
	one.commitFails(store.ErrFenced, creation(header("p-bbbbbbbb", 1), 1))
	two.load("p-aaaaaaaa")
	two.commit(creation(header("p-bbbbbbbb", 1), 1))
	one.load("p-bbbbbbbb") // reading needs no lead
}

// childPlace is the environment variable that makes a test binary the writer of testCrash.
const childPlace = "CLIC_STORETEST_PLACE"

// Main is the TestMain of an implementation's tests. It runs the tests, or is the process that testCrash kills.
func Main(m *testing.M, b Backend) {
	if place := os.Getenv(childPlace); place != "" {
		fmt.Fprintln(os.Stderr, "cannot write:", writeUntilKilled(b, place, os.Stdout))
		return
	}
	m.Run()
}

const (
	crashWriters = 4
	crashNodes   = 20
)

// writeUntilKilled commits round after round for several tasks, and says on out what was acknowledged.
func writeUntilKilled(b Backend, place string, out io.Writer) error {
	ctx := context.Background()
	s, err := b.Open(place)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	epoch, err := s.Lead(ctx, "writer")
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range crashWriters {
		go func() {
			task := taskName("p", w)
			n := 0
			if h, err := s.Header(ctx, task); err == nil {
				n, _ = strconv.Atoi(string(h.Body))
				n++
			}
			for ; ; n++ {
				if err := s.Commit(ctx, epoch, []store.Change{round(task, n, crashNodes)}); err != nil {
					failed <- err
					return
				}
				fmt.Fprintf(out, "%d %d\n", w, n)
			}
		}()
	}
	return <-failed
}

// testCrash kills a process that writes, and looks for what it was told is written.
func testCrash(s *suite) {
	t := s.t
	place := s.Place(t)
	acked := [crashWriters]int{}
	for life := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childPlace+"="+place)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var w, round int
			if _, err := fmt.Sscan(lines.Text(), &w, &round); err == nil {
				acked[w] = max(acked[w], round)
			}
			if n == 50+150*life {
				if err := child.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
		if err := child.Wait(); err == nil || child.ProcessState.Exited() {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		s.survived(place, acked)
	}
}

// survived checks that every task is whole and at least at the round that was acknowledged.
func (s *suite) survived(place string, acked [crashWriters]int) {
	t := s.t
	t.Helper()
	f := s.startAt(place)
	for w, want := range acked {
		r := f.load(taskName("p", w))
		n := whole(t, r)
		if n < want {
			t.Errorf("%s is at round %d, %d was acknowledged", r.Header.Task, n, want)
		}
		if len(r.Nodes) != crashNodes {
			t.Errorf("%s has %d nodes, want %d", r.Header.Task, len(r.Nodes), crashNodes)
		}
		for i, e := range f.history(r.Header.Task) {
			if e.Seq != uint64(i)+1 {
				t.Errorf("%s: entry %d has Seq %d", r.Header.Task, i, e.Seq)
			}
		}
	}
	f.checkList("list", store.Query{Statuses: []dag.TaskStatus{dag.TaskRunning}}, f.listAll(store.Query{}))
	if err := f.s.Close(); err != nil {
		t.Error(err)
	}
}
