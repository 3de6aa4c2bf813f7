package lead_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
)

// master is a runner under test.
type master struct {
	*lead.Runner
	log
	stop context.CancelFunc
	done chan error
}

func start(t *testing.T, s store.Shared, id string) *master {
	t.Helper()
	m := &master{done: make(chan error, 1)}
	var err error
	if m.Runner, err = lead.NewRunner(lead.Config{}, store.Member{ID: id, Address: id + ":7777"}, s, m.on); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	m.stop = stop
	go func() { m.done <- m.Run(ctx) }()
	return m
}

// after lets d pass, and everything happen that is due.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (m *master) expect(t *testing.T, role lead.Role, leader string, want ...lead.Kind) {
	t.Helper()
	if s := m.State(); s.Role != role || s.Leader.ID != leader {
		t.Errorf("it is %s of %q, want %s of %q", s.Role, s.Leader.ID, role, leader)
	}
	if diff := cmp.Diff(want, m.kinds()); diff != "" {
		t.Error(diff)
	}
}

func TestRunners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a := start(t, s, "a")
		after(time.Millisecond)
		a.expect(t, lead.Leader, "a", lead.BecameLeader)
		b := start(t, s, "b")
		after(time.Millisecond)
		b.expect(t, lead.Follower, "a", lead.LeaderChanged)

		a.Led(1, 42)
		after(time.Second)
		if e := b.State().Leader.Epoch; e != 42 {
			t.Errorf("the follower knows of epoch %d", e)
		}
		b.expect(t, lead.Follower, "a", lead.LeaderChanged)

		// Nothing happens for long, and a is trusted all the time.
		for range 100 {
			after(100 * time.Millisecond)
			if !a.State().Trusted(time.Now()) {
				t.Fatal("the leader is not trusted")
			}
		}
		a.expect(t, lead.Leader, "a")

		// One that is stopped hands over at once.
		a.stop()
		if err := <-a.done; err != nil {
			t.Error(err)
		}
		after(100 * time.Millisecond)
		a.expect(t, lead.Resigned, "", lead.LostLead)
		b.expect(t, lead.Leader, "b", lead.BecameLeader)
		a.Fenced(1) // too late for anybody to care
		b.stop()
		if err := <-b.done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunnerTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a := start(t, s, "a")
		after(time.Millisecond)
		b := start(t, s, "b")
		after(900 * time.Millisecond)
		b.kinds()
		// a does not reach the store any more, and b neither for a while.
		s.set(func(s *shared) { s.down = errDown })
		a.stop()
		if err := <-a.done; err == nil {
			t.Error("a could give the lease up")
		}
		began := time.Now()
		s.set(func(s *shared) { s.down = nil })
		for b.State().Role != lead.Leader {
			after(10 * time.Millisecond)
			if time.Since(began) > 2100*time.Millisecond {
				t.Fatal("b does not take over")
			}
		}
		b.stop()
		if err := <-b.done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunnerWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a := start(t, s, "a")
		after(time.Millisecond)
		a.expect(t, lead.Leader, "a", lead.BecameLeader)
		s.set(func(s *shared) { s.hang = true })
		after(5 * time.Second)
		if st := a.State(); st.Trusted(time.Now()) || st.Role != lead.Leader || st.Err == nil {
			t.Errorf("without the store: %+v", st)
		}
		s.set(func(s *shared) { s.hang = false })
		after(time.Second)
		if st := a.State(); !st.Trusted(time.Now()) || st.Term != 1 || st.Err != nil {
			t.Errorf("with the store: %+v", st)
		}
		a.expect(t, lead.Leader, "a")
		a.Fenced(1)
		after(time.Second)
		a.expect(t, lead.Leader, "a", lead.LostLead, lead.BecameLeader)
		if st := a.State(); st.Term != 2 {
			t.Errorf("it is term %d", st.Term)
		}
		s.set(func(s *shared) { s.hang = true; s.down = errDown })
		after(time.Second)
		a.stop()
		if err := <-a.done; err == nil {
			t.Error("the lease was given up without the store")
		}
	})
}
