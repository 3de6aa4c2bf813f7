package redis_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

func campaign(t *testing.T, s *redis.Store, id string, ttl time.Duration) store.Lease {
	t.Helper()
	l, err := s.Campaign(t.Context(), store.Member{ID: id, Address: id + ":7777", Version: "1.0", Host: "h", PID: 7, Since: 5}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			a, b := open(t, at(p)), open(t, at(p))
			const long = time.Minute
			if l := campaign(t, a, "a", long); l.Holder.ID != "a" || !l.Holder.Leads || l.Holder.Epoch != 0 || l.Left > long || l.Left < long/2 {
				t.Errorf("the first: %+v", l)
			}
			if l := campaign(t, b, "b", time.Hour); l.Holder.ID != "a" || l.Holder.Address != "a:7777" || l.Left > long {
				t.Errorf("the second: %+v", l)
			}
			if _, err := b.Lead(t.Context(), "b"); !errors.Is(err, store.ErrFenced) {
				t.Errorf("leading without the lease: %v", err)
			}
			epoch, err := a.Lead(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if l := campaign(t, b, "b", long); l.Holder.ID != "a" || l.Holder.Epoch != epoch {
				t.Errorf("when it leads: %+v", l)
			}
			members, err := b.Members(t.Context())
			want := []store.Member{
				{ID: "a", Address: "a:7777", Version: "1.0", Host: "h", PID: 7, Since: 5, Leads: true, Epoch: epoch},
				{ID: "b", Address: "b:7777", Version: "1.0", Host: "h", PID: 7, Since: 5},
			}
			if diff := cmp.Diff(want, members, cmpopts.IgnoreFields(store.Member{}, "Seen")); diff != "" || err != nil || members[0].Seen == 0 {
				t.Errorf("members (-want +got):\n%s\n%v", diff, err)
			}
			if err := b.Resign(t.Context(), "b"); err != nil {
				t.Error(err)
			}
			if l := campaign(t, a, "a", long); l.Holder.ID != "a" || l.Holder.Seen == 0 {
				t.Errorf("after the other resigned: %+v", l)
			}
			if err := a.Resign(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			if l := campaign(t, b, "b", long); l.Holder.ID != "b" || l.Holder.Epoch != 0 {
				t.Errorf("after it resigned: %+v", l)
			}
			if next, err := b.Lead(t.Context(), "b"); err != nil || next <= epoch {
				t.Errorf("epoch %d after %d, %v", next, epoch, err)
			}
			if members, err := b.Members(t.Context()); err != nil || len(members) != 1 || members[0].ID != "b" {
				t.Errorf("members: %+v, %v", members, err)
			}
		})
	}
}

func TestLeaseRunsOut(t *testing.T) {
	p := servers.SinglePlace(t)
	a, b := open(t, at(p)), open(t, at(p))
	campaign(t, a, "a", 50*time.Millisecond)
	turns := 0
	eventually(t, "it has run out", func() bool {
		turns++
		return campaign(t, b, "b", time.Minute).Holder.ID == "b"
	})
	if turns == 1 {
		t.Error("it was never held")
	}
	if l := campaign(t, a, "a", time.Minute); l.Holder.ID != "b" {
		t.Errorf("it is taken away: %+v", l)
	}
}

func TestTurns(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			a, b := open(t, at(p)), open(t, at(p))
			ctx, cancel := context.WithCancel(t.Context())
			turns := b.Turns(ctx)
			await := func(what string) {
				t.Helper()
				select {
				case _, ok := <-turns:
					if !ok {
						t.Fatalf("%s: the channel is closed", what)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s: nothing is heard", what)
				}
			}
			await("the subscription")
			campaign(t, a, "a", time.Minute)
			await("taken")
			if err := a.Resign(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			await("given up")
			cancel()
			for range turns { // until it is closed
			}
			// Closing the store closes them, too.
			turns = b.Turns(t.Context())
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			for range turns { // until it is closed
			}
			if _, ok := <-b.Turns(t.Context()); ok {
				t.Error("a closed store has turns")
			}
		})
	}
}

// TestTurnsAgain: they are heard of again after the server was away.
func TestTurnsAgain(t *testing.T) {
	server := redistest.Single(t, redistest.AppendOnly("always"))
	a := open(t, redis.Options{URL: server.URL()})
	turns := a.Turns(t.Context())
	<-turns
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-turns
	campaign(t, a, "a", time.Minute)
	<-turns
}

func TestSecret(t *testing.T) {
	p := servers.SinglePlace(t)
	a, b := open(t, at(p)), open(t, at(p))
	one, err := a.Secret(t.Context(), "tokens", 32)
	if err != nil || len(one) != 32 || bytes.Equal(one, make([]byte, 32)) {
		t.Fatalf("%x, %v", one, err)
	}
	if two, err := b.Secret(t.Context(), "tokens", 32); err != nil || !bytes.Equal(one, two) {
		t.Errorf("%x, %v, want %x", two, err, one)
	}
	if other, err := b.Secret(t.Context(), "other", 32); err != nil || bytes.Equal(one, other) {
		t.Errorf("%x, %v", other, err)
	}
	if _, err := b.Secret(t.Context(), "tokens", 16); err == nil {
		t.Error("another size is given")
	}
}
