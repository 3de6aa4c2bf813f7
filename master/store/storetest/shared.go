package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// RunShared checks what a store.Shared does beyond a store.Store. The backend opens stores that are one, several at a place.
func RunShared(t *testing.T, b Backend) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(s *suite)
	}{
		{"LeaseTakenRefusedRenewed", testLease},
		{"LeaseRunsOut", testLeaseRunsOut},
		{"Resign", testResign},
		{"Turns", testTurns},
		{"TurnsEnd", testTurnsEnd},
		{"Members", testMembers},
		{"LeadNeedsTheLease", testLeadNeedsLease},
		{"TwoLeaders", testTwoLeaders},
		{"Race", testLeaseRace},
		{"Secret", testSecret},
		{"ContextEnded", testSharedContext},
		{"Close", testSharedClose},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(&suite{Backend: b, t: t}) })
	}
}

const (
	// long is a lease that does not run out within a test, short one that does.
	long  = time.Hour
	short = 150 * time.Millisecond
	// soon is how long a test waits for what must happen.
	soon = 20 * time.Second
)

// master is one of several that share a place.
type master struct {
	t    tb
	s    store.Shared
	self store.Member
}

// masters opens a place several times.
func (s *suite) masters(count int) []*master {
	s.t.Helper()
	return s.mastersAt(s.Place(s.t), count)
}

func (s *suite) mastersAt(place string, count int) []*master {
	s.t.Helper()
	var all []*master
	for i := range count {
		shared, ok := open(s.t, s.Backend, place).(store.Shared)
		if !ok {
			s.t.Fatalf("%T is no store.Shared", shared)
		}
		all = append(all, &master{t: s.t, s: shared, self: store.Member{
			ID: fmt.Sprintf("master-%c", 'a'+i), Address: fmt.Sprintf("127.0.0.1:%d", 7000+i), Version: "v1 \"x\"",
			Host: "host", PID: 100 + i, Since: dag.Time(1_700_000_000_000 + i),
		}})
	}
	return all
}

func (m *master) campaign(ttl time.Duration) store.Lease {
	m.t.Helper()
	lease, err := m.s.Campaign(m.t.Context(), m.self, ttl)
	if err != nil {
		m.t.Fatalf("campaign: %v", err)
	}
	if lease.Left > ttl && lease.Holder.ID == m.self.ID || lease.Left < 0 {
		m.t.Errorf("%s left of a lease of %s", lease.Left, ttl)
	}
	return lease
}

// has checks who has the lease.
func (m *master) has(ttl time.Duration, want *master) store.Lease {
	m.t.Helper()
	lease := m.campaign(ttl)
	if lease.Holder.ID != want.self.ID || lease.Holder.Address != want.self.Address {
		m.t.Fatalf("%s is told that %+v has the lease, want %s", m.self.ID, lease.Holder, want.self.ID)
	}
	return lease
}

func (m *master) resign() {
	m.t.Helper()
	if err := m.s.Resign(m.t.Context(), m.self.ID); err != nil {
		m.t.Fatalf("resign: %v", err)
	}
}

func (m *master) lead() uint64 {
	m.t.Helper()
	epoch, err := m.s.Lead(m.t.Context(), m.self.ID)
	if err != nil {
		m.t.Fatalf("lead: %v", err)
	}
	return epoch
}

func testLease(s *suite) {
	m := s.masters(3)
	if lease := m[0].has(long, m[0]); lease.Left < long-soon {
		s.t.Errorf("only %s left of a fresh lease of %s", lease.Left, long)
	}
	for _, other := range m[1:] {
		// What the others would have taken does not shorten it.
		if lease := other.has(short, m[0]); lease.Left < long-soon {
			s.t.Errorf("%s sees only %s left", other.self.ID, lease.Left)
		}
	}
	if lease := m[0].has(2*long, m[0]); lease.Left < 2*long-soon {
		s.t.Errorf("only %s left of a lease that was renewed for %s", lease.Left, 2*long)
	}
	m[1].has(long, m[0])
}

// testLeaseRunsOut has a second master wait for its turn: it comes, and not while the lease was good.
func testLeaseRunsOut(s *suite) {
	m := s.masters(2)
	begin := time.Now()
	m[0].has(short, m[0])
	for deadline := begin.Add(soon); ; {
		lease := m[1].campaign(long)
		if lease.Holder.ID == m[1].self.ID {
			break
		}
		if lease.Left > short {
			s.t.Fatalf("%s left of a lease of %s", lease.Left, short)
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the lease does not run out")
		}
		<-time.After(max(lease.Left, time.Millisecond))
	}
	if after := time.Since(begin); after < short {
		s.t.Errorf("a lease of %s was taken over after %s", short, after)
	}
	m[0].has(long, m[1]) // the one that was late
	m[1].has(short, m[1])
}

func testResign(s *suite) {
	m := s.masters(2)
	m[0].has(long, m[0])
	m[1].resign() // has nothing to give up
	m[1].has(long, m[0])
	m[0].resign()
	m[0].resign()
	m[1].has(long, m[1])
	m[0].has(long, m[1])
	if err := m[0].s.Resign(s.t.Context(), "nobody"); err != nil {
		s.t.Errorf("resign of somebody unknown: %v", err)
	}
	m[0].has(long, m[1])
}

// testTurns: whoever listens hears that the lease was given up, and can take it at once. The first turns may be missed, while
// the listening begins.
func testTurns(s *suite) {
	m := s.masters(2)
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	turns := m[1].s.Turns(ctx)
	heard := func() bool {
		m[0].has(long, m[0])
		m[0].resign()
		select {
		case _, ok := <-turns:
			if !ok {
				s.t.Fatal("the channel is closed")
			}
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	}
	deadline := time.Now().Add(soon)
	for !heard() {
		if time.Now().After(deadline) {
			s.t.Fatal("no turn is heard of")
		}
	}
	m[1].has(long, m[1])
	// One that does not listen for a while does not hold up the others.
	for range 200 {
		m[1].resign()
		m[1].has(long, m[1])
	}
	for range 3 {
		select {
		case <-turns:
		case <-time.After(100 * time.Millisecond):
		}
	}
	m[1].resign()
	select {
	case <-turns:
	case <-time.After(soon):
		s.t.Error("no turn is heard of after many")
	}
}

func testTurnsEnd(s *suite) {
	m := s.masters(1)
	ctx, stop := context.WithCancel(s.t.Context())
	turns := m[0].s.Turns(ctx)
	m[0].has(long, m[0])
	stop()
	timeout := time.After(soon)
	for {
		select {
		case _, ok := <-turns:
			if !ok {
				return
			}
		case <-timeout:
			s.t.Fatal("the channel is not closed")
		}
	}
}

func testMembers(s *suite) {
	t := s.t
	m := s.masters(3)
	members := func(by *master) []store.Member {
		t.Helper()
		all, err := by.s.Members(t.Context())
		if err != nil {
			t.Fatalf("members: %v", err)
		}
		return all
	}
	if all := members(m[0]); len(all) > 0 {
		t.Errorf("members before anybody came: %+v", all)
	}
	m[1].has(long, m[1])
	m[2].has(long, m[1])
	m[0].has(long, m[1])
	epoch := m[1].lead()
	m[1].self.Epoch = epoch
	m[1].has(long, m[1])
	for _, by := range m {
		want := []store.Member{m[1].self, m[0].self, m[2].self}
		want[0].Leads, want[0].Epoch = true, epoch
		got := members(by)
		for _, one := range got {
			if one.Seen < 1_700_000_000_000 {
				t.Errorf("%s was seen at %d", one.ID, one.Seen)
			}
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Member{}, "Seen")); d != "" {
			t.Errorf("members, as %s sees them (-want +got):\n%s", by.self.ID, d)
		}
	}
	before := members(m[0])[2].Seen
	m[2].self.Version = "v2"
	for deadline := time.Now().Add(soon); ; {
		m[2].has(long, m[1])
		if last := members(m[0])[2]; last.Seen > before && last.Version == "v2" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a member is not noted again")
		}
	}
	m[2].resign()
	m[1].resign()
	m[1].self.Leads = false
	if d := cmp.Diff([]string{m[0].self.ID}, ids(members(m[1]))); d != "" {
		t.Errorf("members after two resigned (-want +got):\n%s", d)
	}
}

func ids(members []store.Member) []string {
	var all []string
	for _, m := range members {
		all = append(all, m.ID)
	}
	return all
}

// testLeadNeedsLease: who has no lease does not shut out the one that has it.
func testLeadNeedsLease(s *suite) {
	m := s.masters(2)
	m[0].has(long, m[0])
	epoch := m[0].lead()
	if _, err := m[1].s.Lead(s.t.Context(), m[1].self.ID); err == nil {
		s.t.Error("somebody without the lease leads")
	}
	leader := &fixture{t: s.t, s: m[0].s, epoch: epoch}
	leader.commit(creation(header("p-aaaaaaaa", 1), 1))
	m[0].resign()
	m[1].has(long, m[1])
	if next := m[1].lead(); next <= epoch {
		s.t.Errorf("epoch %d after %d", next, epoch)
	}
	leader.commitFails(store.ErrFenced, creation(header("p-bbbbbbbb", 1), 1))
}

// testTwoLeaders has a leader that was away too long come back: it finds itself shut out, wherever it writes.
func testTwoLeaders(s *suite) {
	m := s.masters(2)
	m[0].has(short, m[0])
	old := &fixture{t: s.t, s: m[0].s, epoch: m[0].lead()}
	var created []store.Change
	for i := range 60 { // of a store of several parts, some in each
		created = append(created, creation(header(taskName("p", i), 1), 1))
	}
	old.commit(created...)
	deadline := time.After(soon)
	for m[1].campaign(long).Holder.ID != m[1].self.ID {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			s.t.Fatal("the lease does not run out")
		}
	}
	young := &fixture{t: s.t, s: m[1].s, epoch: m[1].lead()}
	for i := range created {
		c := store.Change{Task: created[i].Task, Nodes: []store.NodeRecord{state(0, "STALE")}}
		old.commitFails(store.ErrFenced, c)
		old.commitFails(store.ErrFenced, store.Change{Task: created[i].Task, Delete: true})
		young.commit(store.Change{Task: created[i].Task, Nodes: []store.NodeRecord{state(0, "FRESH")}})
		if got := old.load(created[i].Task).Nodes[0].State; !bytes.Equal(got, []byte("FRESH")) {
			s.t.Errorf("%s is %s", created[i].Task, got)
		}
	}
	old.commitFails(store.ErrFenced)
	_, err := old.s.Expire(s.t.Context(), old.epoch, 1<<50, 0)
	wantErr(s.t, err, store.ErrFenced)
	m[0].has(long, m[1])
}

// testLeaseRace has many want the lease at the same time: one gets it, and all are told the same.
func testLeaseRace(s *suite) {
	m := s.masters(6)
	for range 5 {
		holders := make([]string, len(m))
		var work sync.WaitGroup
		for i := range m {
			work.Go(func() {
				lease, err := m[i].s.Campaign(s.t.Context(), m[i].self, long)
				if err != nil {
					s.t.Error(err)
				}
				holders[i] = lease.Holder.ID
			})
		}
		work.Wait()
		for i := range m {
			if holders[i] != holders[0] {
				s.t.Fatalf("the masters are told that these have the lease: %v", holders)
			}
		}
		for _, one := range m {
			if one.self.ID == holders[0] {
				one.resign()
			}
		}
	}
}

func testSecret(s *suite) {
	t := s.t
	place := s.Place(t)
	m := s.mastersAt(place, 4)
	secret := func(by *master, name string, size int) []byte {
		t.Helper()
		got, err := by.s.Secret(t.Context(), name, size)
		if err != nil || len(got) != size {
			t.Fatalf("secret %q: %d bytes, want %d; %v", name, len(got), size, err)
		}
		return got
	}
	first := make([][]byte, len(m))
	var work sync.WaitGroup
	for i := range m {
		work.Go(func() {
			var err error
			if first[i], err = m[i].s.Secret(t.Context(), "token", 32); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	for i := range m {
		if len(first[i]) != 32 || !bytes.Equal(first[i], first[0]) {
			t.Errorf("master %d is told another secret, or one of %d bytes", i, len(first[i]))
		}
	}
	other := secret(m[1], "other", 64)
	if bytes.Contains(other, first[0]) || bytes.Equal(first[0], make([]byte, 32)) {
		t.Error("the secrets are not random")
	}
	late := s.mastersAt(place, 1)[0]
	late.has(long, late)
	late.lead()
	if !bytes.Equal(secret(late, "token", 32), first[0]) || !bytes.Equal(secret(late, "other", 64), other) {
		t.Error("a secret has changed")
	}
}

func testSharedContext(s *suite) {
	m := s.masters(1)[0]
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	for name, call := range m.calls(ctx) {
		if err := call(); err == nil {
			s.t.Errorf("%s succeeds though its context has ended", name)
		}
	}
	m.has(long, m)
}

func testSharedClose(s *suite) {
	m := s.masters(2)
	m[0].has(long, m[0])
	if err := m[0].s.Close(); err != nil {
		s.t.Fatal(err)
	}
	for name, call := range m[0].calls(s.t.Context()) {
		if wantErr(s.t, call(), store.ErrUnavailable); s.t.Failed() {
			s.t.Fatalf("after Close, in %s", name)
		}
	}
	m[1].has(long, m[0]) // Close is no Resign
}

// calls are all calls of a store.Shared that can fail.
func (m *master) calls(ctx context.Context) map[string]func() error {
	return map[string]func() error{
		"Campaign": func() error { _, err := m.s.Campaign(ctx, m.self, long); return err },
		"Resign":   func() error { return m.s.Resign(ctx, m.self.ID) },
		"Members":  func() error { _, err := m.s.Members(ctx); return err },
		"Secret":   func() error { _, err := m.s.Secret(ctx, "token", 32); return err },
	}
}
