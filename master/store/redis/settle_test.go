package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// holds asks for the lease until it is answered, and gives who has it.
func holds(t *testing.T, s *redis.Store, m store.Member) store.Lease {
	t.Helper()
	var lease store.Lease
	eventually(t, "the lease of "+m.ID, func() (ok bool) {
		var err error
		lease, err = s.Campaign(t.Context(), m, leaseLength)
		return err == nil
	})
	return lease
}

const leaseLength = 300 * time.Millisecond

// TestSettling: a server comes back without the lease and the epoch of who leads. Nobody else gets the lease before the leader has
// put back what it knows, and one that led earlier and was away meanwhile writes nothing.
func TestSettling(t *testing.T) {
	server := redistest.Single(t, redistest.AppendOnly("always"))
	a, _ := lead(t, redis.Options{URL: server.URL()})
	if l := holds(t, a, store.Member{ID: "a"}); l.Holder.ID != "a" {
		t.Fatalf("the lease is %+v", l)
	}
	old, err := a.Lead(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, a, old, creation("p-aaaaaaaa", 1))
	snapshot, err := server.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, redis.Options{URL: server.URL()})
	eventually(t, "b has the lease", func() bool { return holds(t, b, store.Member{ID: "b"}).Holder.ID == "b" })
	epoch, err := b.Lead(t.Context(), "b")
	if err != nil || epoch <= old {
		t.Fatalf("epoch %d after %d, %v", epoch, old, err)
	}
	commit(t, b, epoch, store.Change{Task: "p-aaaaaaaa", Base: 1, Log: []store.LogEntry{{Seq: 2}}})
	if err := server.RestartFrom(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}

	// The lease that is there is a's, and the fence, too: as if b had never been.
	if _, err := a.Campaign(t.Context(), store.Member{ID: "a", Epoch: old}, leaseLength); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a campaigns right after the restart: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), leaseLength/4)
	defer cancel()
	if _, err := a.Lead(soon, "a"); err == nil {
		t.Error("a leads right after the restart")
	}
	eventually(t, "b has put it back", func() bool {
		_, _ = b.Campaign(t.Context(), store.Member{ID: "b", Epoch: epoch}, leaseLength)
		return b.Health().Healed == 1
	})
	if l := holds(t, b, store.Member{ID: "b", Epoch: epoch}); l.Holder.ID != "b" {
		t.Errorf("the lease is %+v", l)
	}
	err = a.Commit(t.Context(), old, []store.Change{{Task: "p-aaaaaaaa", Base: 1, Log: []store.LogEntry{{Seq: 2}}}})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("a writes with its old epoch: %v", err)
	}
	checkHistory(t, b, "p-aaaaaaaa", 2)
	commit(t, b, epoch, store.Change{Task: "p-aaaaaaaa", Base: 2, Log: []store.LogEntry{{Seq: 3}}})
	checkHistory(t, b, "p-aaaaaaaa", 3)
}

// TestTooLateToSettle: who was away when the server was restarted, and comes back after others could go on, has lost its lead.
func TestTooLateToSettle(t *testing.T) {
	server := redistest.Single(t, redistest.AppendOnly("always"))
	proxy := redistest.NewProxy(t, server.Addr)
	a, _ := lead(t, redis.Options{URL: "redis://" + proxy.Addr + "/0?timeout=200ms"})
	holds(t, a, store.Member{ID: "a"})
	epoch, err := a.Lead(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, a, epoch, creation("p-aaaaaaaa", 1))
	proxy.Refuse(true)
	proxy.Cut()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, redis.Options{URL: server.URL()})
	eventually(t, "b has the lease", func() bool { return holds(t, b, store.Member{ID: "b"}).Holder.ID == "b" })
	proxy.Refuse(false)
	err = a.Commit(t.Context(), epoch, []store.Change{{Task: "p-aaaaaaaa", Base: 1, Log: []store.LogEntry{{Seq: 2}}}})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("a writes though it was away: %v", err)
	}
	checkHistory(t, b, "p-aaaaaaaa", 1)
}
