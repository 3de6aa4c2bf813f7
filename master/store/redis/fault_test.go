package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// safeBuffer is a log that is written and read at once.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *safeBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !is(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// TestLostAnswers: the server has done what it was asked for, and the answer never came. Each change is applied once all the same.
func TestLostAnswers(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s, epoch := lead(t, redis.Options{URL: server.URLVia(proxy)})
	lose := func() { proxy.Lose(redistest.Loss{Direction: redistest.Answers, Count: 1, Match: "evalsha"}) }

	lose()
	c := creation("p-aaaaaaaa", 3)
	c.Header.Request = "once"
	commit(t, s, epoch, c)
	if r := load(t, s, c.Task); r.Revision != 1 {
		t.Errorf("revision %d after the creation", r.Revision)
	}
	for n := range uint64(20) {
		lose()
		commit(t, s, epoch, store.Change{Task: c.Task, Base: n + 1, Log: []store.LogEntry{{Seq: n + 2, Body: []byte("x")}}})
	}
	if r := load(t, s, c.Task); r.Revision != 21 || r.LastSeq != 21 {
		t.Errorf("revision %d, last entry %d", r.Revision, r.LastSeq)
	}
	lose()
	big := creation("p-bbbbbbbb", 1700)
	commit(t, s, epoch, big)
	lose()
	commit(t, s, epoch, store.Change{Delete: true, Task: c.Task}, creation("p-cccccccc", 1))
	lose()
	commit(t, s, epoch, store.Change{Delete: true, Task: big.Task})
	lose()
	if next, err := s.Lead(t.Context(), "test"); err != nil || next <= epoch {
		t.Errorf("epoch %d after %d, %v", next, epoch, err)
	}
	page, err := s.List(t.Context(), store.Query{})
	if err != nil || len(page.Headers) != 1 || page.Headers[0].Task != "p-cccccccc" {
		t.Errorf("%v, %v", page, err)
	}
}

// TestLostRequests: the connection goes before the request has reached the server.
func TestLostRequests(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s, epoch := lead(t, redis.Options{URL: server.URLVia(proxy)})
	for i := range 10 {
		proxy.Lose(redistest.Loss{Direction: redistest.Requests, Count: 1, Match: "evalsha"})
		commit(t, s, epoch, creation(fmt.Sprintf("p-aaaaaaa%d", i), 1))
	}
	if h := s.Health(); !h.Reachable {
		t.Errorf("health is %+v", h)
	}
}

// TestAway: a server that does not answer is told as such, and what was given up late does no harm.
func TestAway(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	url := server.URLVia(proxy) + "?timeout=200ms&dial-timeout=200ms"
	s, epoch := lead(t, redis.Options{URL: url, Patience: 100 * time.Millisecond})
	c := creation("p-aaaaaaaa", 1)
	commit(t, s, epoch, c)

	proxy.Hold(redistest.Requests)
	lost := store.Change{Task: c.Task, Base: 1, Log: []store.LogEntry{{Seq: 2, Body: []byte("given up")}}}
	if err := s.Commit(t.Context(), epoch, []store.Change{lost}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
	late := creation("p-bbbbbbbb", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Commit(ctx, epoch, []store.Change{late}); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if h := s.Health(); h.Reachable || h.LastError == "" {
		t.Errorf("health is %+v", h)
	}
	// Everything that was sent arrives now, as well as what is new.
	proxy.Release()
	eventually(t, "the server answers", func() bool { _, err := s.Header(t.Context(), c.Task); return err == nil })
	r := load(t, s, c.Task)
	next := store.Change{Task: c.Task, Base: r.Revision, Log: []store.LogEntry{{Seq: 9, Body: []byte("new")}}}
	if err := s.Commit(t.Context(), epoch, []store.Change{next}); err != nil && !errors.Is(err, store.ErrConflict) {
		t.Errorf("error is %v", err)
	}
	commit(t, s, epoch, store.Change{Delete: true, Task: late.Task})
	if h := s.Health(); !h.Reachable {
		t.Errorf("health is %+v", h)
	}
}

// TestPause: a server that stands still for longer than the timeouts is waited for, and nothing is applied twice.
func TestPause(t *testing.T) {
	server := redistest.Single(t)
	s, epoch := lead(t, redis.Options{URL: server.URL() + "?timeout=100ms", Patience: 10 * time.Second})
	c := creation("p-aaaaaaaa", 1)
	commit(t, s, epoch, c)
	server.Pause()
	done := make(chan error)
	for n := range uint64(3) {
		go func() {
			done <- s.Commit(t.Context(), epoch, []store.Change{creation(fmt.Sprintf("p-bbbbbbb%d", n), 1)})
		}()
	}
	eventually(t, "it is noticed", func() bool { return !s.Health().Reachable })
	server.Resume()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// history is what a task should be after n changes.
func checkHistory(t *testing.T, s *redis.Store, task string, n int) {
	t.Helper()
	log, err := s.History(t.Context(), task, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range log {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("%s: entry %d has Seq %d", task, i, e.Seq)
		}
	}
	if r := load(t, s, task); len(log) != n || r.Revision != uint64(n) {
		t.Errorf("%s has revision %d and %d entries, want %d", task, r.Revision, len(log), n)
	}
}

// TestLastSecondIsPutBack: a server comes back without what it acknowledged last. It is sent again, by itself if nobody writes.
func TestLastSecondIsPutBack(t *testing.T) {
	var log safeBuffer
	server := redistest.Single(t, redistest.AppendOnly("always"))
	s, epoch := lead(t, redis.Options{URL: server.URL(), Logger: log.logger()})
	grow := func(task string, from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			h := *creation(task, 1).Header
			h.Status = dag.TaskStatuses()[n%3]
			commit(t, s, epoch, store.Change{
				Task: task, Base: uint64(n), Header: &h, Log: []store.LogEntry{{Seq: uint64(n) + 1}},
				Nodes: []store.NodeRecord{{Index: 0, State: fmt.Append(nil, n), Status: "x"}},
			})
		}
	}
	for i := range 3 {
		commit(t, s, epoch, creation(fmt.Sprintf("p-aaaaaaa%d", i), 1))
		grow(fmt.Sprintf("p-aaaaaaa%d", i), 1, 5)
	}
	snapshot, err := server.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	grow("p-aaaaaaa0", 5, 10)
	commit(t, s, epoch, store.Change{Delete: true, Task: "p-aaaaaaa1"})
	commit(t, s, epoch, creation("p-bbbbbbbb", 1), creation("p-cccccccc", 1200))
	grow("p-bbbbbbbb", 1, 4)
	if err := server.RestartFrom(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	// Nobody writes: a look is enough.
	eventually(t, "it is put back", func() bool {
		_, _ = s.Campaign(t.Context(), store.Member{ID: "test"}, time.Second)
		return s.Health().Healed == 1
	})
	checkHistory(t, s, "p-aaaaaaa0", 10)
	checkHistory(t, s, "p-aaaaaaa2", 5)
	checkHistory(t, s, "p-bbbbbbbb", 4)
	if got := string(load(t, s, "p-bbbbbbbb").Nodes[0].State); got != "3" {
		t.Errorf("the node has state %s", got)
	}
	if got := len(load(t, s, "p-cccccccc").Nodes); got != 1200 {
		t.Errorf("%d nodes", got)
	}
	if _, err := s.Load(t.Context(), "p-aaaaaaa1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was deleted is back: %v", err)
	}
	if page, err := s.List(t.Context(), store.Query{}); err != nil || len(page.Headers) != 4 {
		t.Errorf("%d tasks, %v", len(page.Headers), err)
	}
	grow("p-aaaaaaa0", 10, 12)
	checkHistory(t, s, "p-aaaaaaa0", 12)
	if !strings.Contains(log.String(), "sent again") || s.Health().Losses > 0 {
		t.Errorf("health %+v, log:\n%s", s.Health(), log.String())
	}
}

// TestWritersGoOn: the same, again and again, under writers that go on; nothing that was acknowledged is missing in the end.
func TestWritersGoOn(t *testing.T) {
	server := redistest.Single(t, redistest.AppendOnly("always"))
	s, epoch := lead(t, redis.Options{URL: server.URL(), Patience: 20 * time.Second})
	const writers = 4
	var acked [writers]int
	stop := make(chan struct{})
	steps := make(chan struct{}, 10_000)
	var work sync.WaitGroup
	for w := range writers {
		task := fmt.Sprintf("p-aaaaaaa%d", w)
		commit(t, s, epoch, creation(task, 1))
		work.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					acked[w] = n
					return
				default:
				}
				c := store.Change{Task: task, Base: uint64(n), Log: []store.LogEntry{{Seq: uint64(n) + 1}}}
				if err := s.Commit(t.Context(), epoch, []store.Change{c}); err != nil {
					t.Errorf("%s at %d: %v", task, n, err)
					acked[w] = n
					return
				}
				select {
				case steps <- struct{}{}:
				default:
				}
			}
		})
	}
	ended := make(chan struct{})
	await := func(n int) {
		for range n {
			select {
			case <-steps:
			case <-ended: // all writers have failed
				return
			}
		}
	}
	go func() { work.Wait(); close(ended) }()
	for range 3 {
		await(100)
		snapshot, err := server.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for len(steps) > 0 {
			<-steps
		}
		await(100)
		if err := server.RestartFrom(t.Context(), snapshot); err != nil {
			t.Fatal(err)
		}
	}
	await(50)
	close(stop)
	work.Wait()
	for w := range writers {
		r := load(t, s, fmt.Sprintf("p-aaaaaaa%d", w))
		if r.Revision != uint64(acked[w]) || r.LastSeq != uint64(acked[w]) {
			t.Errorf("writer %d: %d was acknowledged, revision %d, last entry %d", w, acked[w], r.Revision, r.LastSeq)
		}
	}
	if h := s.Health(); h.Losses > 0 {
		t.Errorf("health is %+v", h)
	}
}

// TestLostForGood: what the server has lost is older than what is kept. It is said aloud, and the tasks that have gone back are
// not written to as if nothing were.
func TestLostForGood(t *testing.T) {
	var log safeBuffer
	server := redistest.Single(t, redistest.AppendOnly("always"))
	s, epoch := lead(t, redis.Options{URL: server.URL(), Logger: log.logger(), Redo: time.Millisecond})
	commit(t, s, epoch, creation("p-aaaaaaaa", 1), creation("p-bbbbbbbb", 1))
	snapshot, err := server.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(1)
	admin := server.Admin()
	marked := func() string { return admin.Get(t.Context(), "clic:mark").Val() }
	first := marked()
	// Until two marks later, when the first of these are forgotten.
	for second := ""; second == "" || marked() == second; n++ {
		commit(t, s, epoch, store.Change{Task: "p-aaaaaaaa", Base: n, Log: []store.LogEntry{{Seq: n + 1}}})
		if now := marked(); second == "" && now != first {
			second = now
		}
	}
	if err := server.RestartFrom(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	err = s.Commit(t.Context(), epoch, []store.Change{{Task: "p-aaaaaaaa", Base: n, Log: []store.LogEntry{{Seq: n + 1}}}})
	if !errors.Is(err, store.ErrRolledBack) {
		t.Errorf("error is %v", err)
	}
	if s.Health().Losses == 0 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("health %+v, log:\n%s", s.Health(), log.String())
	}
	// The other task is as it was, and the first goes on from what is left of it.
	commit(t, s, epoch, store.Change{Task: "p-bbbbbbbb", Base: 1})
	r := load(t, s, "p-aaaaaaaa")
	commit(t, s, epoch, store.Change{Task: "p-aaaaaaaa", Base: r.Revision})
}

// TestEmptyServer: a server that comes back without anything is not taken for the same.
func TestEmptyServer(t *testing.T) {
	var log safeBuffer
	server := redistest.Single(t)
	s, epoch := lead(t, redis.Options{URL: server.URL(), Logger: log.logger()})
	follower := open(t, redis.Options{URL: server.URL(), Logger: log.logger()})
	commit(t, s, epoch, creation("p-aaaaaaaa", 1))
	if err := server.RestartEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []store.Change{creation("p-bbbbbbbb", 1), {Task: "p-aaaaaaaa", Base: 1}, {Delete: true, Task: "p-aaaaaaaa"}} {
		if err := s.Commit(t.Context(), epoch, []store.Change{c}); !errors.Is(err, store.ErrRolledBack) {
			t.Errorf("error is %v", err)
		}
	}
	for _, one := range []*redis.Store{s, follower} {
		if _, err := one.Campaign(t.Context(), store.Member{ID: "test"}, time.Second); !errors.Is(err, store.ErrRolledBack) {
			t.Errorf("error is %v", err)
		}
		if _, err := one.Lead(t.Context(), "test"); !errors.Is(err, store.ErrRolledBack) {
			t.Errorf("error is %v", err)
		}
	}
	if !strings.Contains(log.String(), "level=ERROR") || s.Health().Losses == 0 {
		t.Errorf("health %+v, log:\n%s", s.Health(), log.String())
	}
	if keys := server.Admin().Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("something was written: %v", keys)
	}
}

// TestPromotedReplica: the replica that takes over has not heard of the last writes.
func TestPromotedReplica(t *testing.T) {
	set := redistest.Sentinel(t)
	s, epoch := lead(t, redis.Options{URL: set.URL() + "&timeout=500ms", Patience: 20 * time.Second})
	commit(t, s, epoch, creation("p-aaaaaaaa", 1))
	master, err := set.Master(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replica := set.Other(master)
	eventually(t, "the replica has it", func() bool {
		return replica.Admin().Exists(t.Context(), "clic:task:{p-aaaaaaaa}").Val() == 1
	})
	replica.Pause()
	for n := uint64(1); n < 20; n++ {
		commit(t, s, epoch, store.Change{Task: "p-aaaaaaaa", Base: n, Log: []store.LogEntry{{Seq: n + 1}}})
	}
	master.Pause() // the replica is not told any more
	replica.Resume()
	master.Kill()
	if err := set.AwaitMaster(t.Context(), replica); err != nil {
		t.Fatal(err)
	}
	commit(t, s, epoch, store.Change{Task: "p-aaaaaaaa", Base: 20, Log: []store.LogEntry{{Seq: 21}}})
	checkHistory(t, s, "p-aaaaaaaa", 21)
}

// TestNodeOfCluster: one node of a Cluster goes and comes back; the tasks that are on it are waited for. Then it comes back without
// its data, which is put back if all of it is kept, and else said aloud.
func TestNodeOfCluster(t *testing.T) {
	var log safeBuffer
	cluster := redistest.Cluster(t, 3, redistest.AppendOnly("always"), redistest.Config("cluster-require-full-coverage no"))
	s, epoch := lead(t, redis.Options{URL: cluster.URL() + "&timeout=500ms", Patience: 20 * time.Second, Logger: log.logger()})
	var tasks []string
	for i := range 20 {
		tasks = append(tasks, fmt.Sprintf("p-aaaaaa%02d", i))
		commit(t, s, epoch, creation(tasks[i], 2))
	}
	shared, err := cluster.Owner(t.Context(), "clic:{shared}:meta")
	if err != nil {
		t.Fatal(err)
	}
	node := cluster.Nodes[0]
	if node == shared {
		node = cluster.Nodes[1]
	}
	snapshot, err := node.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	grow := func(n int) {
		t.Helper()
		for _, task := range tasks {
			commit(t, s, epoch, store.Change{Task: task, Base: uint64(n), Log: []store.LogEntry{{Seq: uint64(n) + 1}}})
		}
	}
	grow(1)
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	grow(2)
	if err := node.RestartFrom(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	grow(3)
	for _, task := range tasks {
		checkHistory(t, s, task, 4)
	}
	if h := s.Health(); h.Healed == 0 || h.Losses > 0 {
		t.Errorf("health %+v, log:\n%s", h, log.String())
	}
	if err := node.RestartEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, task := range tasks {
		err := s.Commit(t.Context(), epoch, []store.Change{{Task: task, Base: 4, Log: []store.LogEntry{{Seq: 5}}}})
		if errors.Is(err, store.ErrRolledBack) {
			lost++
		} else if err != nil {
			t.Errorf("error is %v", err)
		}
	}
	if h := s.Health(); lost > 0 && (h.Losses == 0 || !strings.Contains(log.String(), "level=ERROR")) {
		t.Errorf("%d of %d tasks are gone; health %+v, log:\n%s", lost, len(tasks), h, log.String())
	}
	for _, task := range tasks {
		if lost == 0 { // all of it was recent enough to be put back
			checkHistory(t, s, task, 5)
		}
	}
	commit(t, s, epoch, creation("p-bbbbbbbb", 1))
}

// TestOutOfMemory: what the server refuses for want of memory is not half written.
func TestOutOfMemory(t *testing.T) {
	server := redistest.Single(t)
	s, epoch := lead(t, redis.Options{URL: server.URL(), Patience: 50 * time.Millisecond})
	commit(t, s, epoch, creation("p-aaaaaaaa", 2))
	limit := func(to string) {
		t.Helper()
		if err := server.Admin().ConfigSet(t.Context(), "maxmemory", to).Err(); err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	before := load(t, s, "p-aaaaaaaa")
	next := store.Change{Task: "p-aaaaaaaa", Base: 1, Nodes: []store.NodeRecord{{Index: 0, State: []byte("x")}}, Log: []store.LogEntry{{Seq: 2}}}
	for _, c := range []store.Change{next, creation("p-bbbbbbbb", 1)} {
		err := s.Commit(t.Context(), epoch, []store.Change{c})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "maxmemory") {
			t.Errorf("error is %v", err)
		}
	}
	if r := load(t, s, "p-aaaaaaaa"); r.Revision != before.Revision || string(r.Nodes[0].State) != "state" {
		t.Errorf("it was changed: %+v", r)
	}
	limit("0")
	commit(t, s, epoch, next)
}

// TestScriptsAreForgotten: somebody has the server forget all scripts.
func TestScriptsAreForgotten(t *testing.T) {
	for _, url := range []string{redistest.Single(t).URL(), redistest.Cluster(t, 3).URL()} {
		s, epoch := lead(t, redis.Options{URL: url})
		commit(t, s, epoch, creation("p-aaaaaaaa", 1))
		forget(t, url)
		commit(t, s, epoch, store.Change{Task: "p-aaaaaaaa", Base: 1, Log: []store.LogEntry{{Seq: 2}}})
		forget(t, url)
		if _, err := s.Campaign(t.Context(), store.Member{ID: "a"}, time.Second); err != nil {
			t.Error(err)
		}
		forget(t, url)
		if _, err := s.Lead(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
}
