package redistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// behind gives a server, a proxy before it, and a client that goes through it.
func behind(t *testing.T) (*redistest.Server, *redistest.Proxy, *redis.Client) {
	t.Helper()
	s := redistest.Single(t)
	p := redistest.NewProxy(t, s.Addr)
	c := client(t, s.URLVia(p))
	must(t, c.Set(t.Context(), "k", "0", 0).Err())
	return s, p, c
}

// within is a context for a call that should get no answer.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, p *redistest.Proxy, wanted func(redistest.Stats) bool) {
	t.Helper()
	must(t, p.Await(within(t, 20*time.Second), wanted))
}

// eventually waits until the server has a value: what was sent arrives, but nobody is told when.
func eventually(t *testing.T, s *redistest.Server, key, want string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); get(t, s, key) != want; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %q, want %q", key, get(t, s, key), want)
		}
	}
}

func TestDropAnswers(t *testing.T) {
	s, p, c := behind(t)
	p.DropAnswers(2)
	for range 2 {
		if err := c.Incr(t.Context(), "k").Err(); err == nil {
			t.Fatal("the answer came")
		}
	}
	// The connection of the second call was new, and its greeting was lost instead, so that call did not get to the server.
	must(t, c.Incr(t.Context(), "k").Err())
	if got := get(t, s, "k"); got != "2" {
		t.Errorf("counted to %s, want 2", got)
	}
	if lost := p.Stats().Lost[redistest.Answers]; lost != 2 {
		t.Errorf("%d answers lost, want 2", lost)
	}
}

// TestLoseAnswersOf loses the answers to one command only, and everything in the same pipeline is still executed.
func TestLoseAnswersOf(t *testing.T) {
	for _, silent := range []bool{false, true} {
		s, p, c := behind(t)
		p.Lose(redistest.Loss{Direction: redistest.Answers, Count: 2, Match: "INCR", Silent: silent})
		for range 2 {
			ctx := t.Context()
			if silent {
				ctx = within(t, time.Second)
			}
			_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for range 5000 {
					pipe.Incr(t.Context(), "k")
				}
				return nil
			})
			if err == nil {
				t.Error("the answers came")
			}
		}
		must(t, c.Get(t.Context(), "k").Err())
		eventually(t, s, "k", "10000")
		must(t, c.Incr(t.Context(), "k").Err())
	}
}

func TestLoseRequests(t *testing.T) {
	s, p, c := behind(t)
	p.Lose(redistest.Loss{Direction: redistest.Requests, Count: 1, Match: "incr"})
	if err := c.Incr(t.Context(), "k").Err(); err == nil {
		t.Error("an answer came")
	}
	must(t, c.Incr(t.Context(), "k").Err())
	if got := get(t, s, "k"); got != "1" {
		t.Errorf("counted to %s, want 1", got)
	}
}

func TestHold(t *testing.T) {
	s, p, c := behind(t)
	t.Run("requests, late", func(t *testing.T) {
		p.Hold(redistest.Requests)
		if err := c.Incr(within(t, 50*time.Millisecond), "k").Err(); err == nil {
			t.Fatal("an answer came")
		}
		await(t, p, func(s redistest.Stats) bool { return s.Waiting[redistest.Requests] == 1 })
		if got := get(t, s, "k"); got != "0" {
			t.Errorf("%s got through", got)
		}
		p.Release()
		eventually(t, s, "k", "1")
		must(t, c.Ping(t.Context()).Err())
	})
	t.Run("answers", func(t *testing.T) {
		p.Hold(redistest.Answers)
		done := make(chan error, 1)
		go func() { done <- c.Incr(t.Context(), "k").Err() }()
		await(t, p, func(s redistest.Stats) bool { return s.Waiting[redistest.Answers] == 1 })
		eventually(t, s, "k", "2")
		p.Release(redistest.Answers)
		must(t, <-done)
	})
	t.Run("new connections", func(t *testing.T) {
		p.Hold()
		p.Cut()
		if err := c.Ping(within(t, 50*time.Millisecond)).Err(); err == nil {
			t.Error("an answer came")
		}
		p.Release()
		must(t, c.Ping(t.Context()).Err())
	})
}

func TestCut(t *testing.T) {
	s, p, c := behind(t)
	call := func() <-chan error {
		done := make(chan error, 1)
		go func() { done <- c.Incr(t.Context(), "k").Err() }()
		await(t, p, func(s redistest.Stats) bool { return s.Waiting[redistest.Requests] == 1 })
		return done
	}
	p.Hold(redistest.Requests)
	done := call()
	p.Cut()
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
	p.Release()
	await(t, p, func(s redistest.Stats) bool { return s.Connections == 0 })
	if got := get(t, s, "k"); got != "0" {
		t.Errorf("%s: what was held went on though its connection was cut", got)
	}
	must(t, c.Ping(t.Context()).Err())

	p.Hold(redistest.Requests)
	done = call()
	p.CutClients()
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
	p.Release()
	eventually(t, s, "k", "1")
}

func TestDelay(t *testing.T) {
	_, p, c := behind(t)
	for _, d := range []redistest.Direction{redistest.Requests, redistest.Answers} {
		p.Delay(d, 40*time.Millisecond)
		begin := time.Now()
		must(t, c.Ping(t.Context()).Err())
		if took := time.Since(begin); took < 40*time.Millisecond {
			t.Errorf("direction %d: only %s", d, took)
		}
		p.Clear()
	}
}

func TestRefuseAndTarget(t *testing.T) {
	s, p, c := behind(t)
	p.Refuse(true)
	must(t, c.Ping(t.Context()).Err()) // an open connection stays
	p.Cut()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("an answer came")
	}
	p.Refuse(false)
	must(t, c.Ping(t.Context()).Err())
	other := redistest.Single(t)
	set(t, other, "k", "the other's")
	p.Target(other.Addr)
	p.Cut()
	// The first call may find the connection that was cut.
	_ = c.Ping(t.Context()).Err()
	if got := c.Get(t.Context(), "k").Val(); got != "the other's" {
		t.Errorf("got %q", got)
	}
	s.Kill()
	p.Target(s.Addr)
	p.Cut()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("a dead server answers")
	}
}

func TestCloseEndsConnections(t *testing.T) {
	s := redistest.Single(t)
	p, err := redistest.StartProxy(t.Context(), s.Addr)
	must(t, err)
	c := client(t, s.URLVia(p))
	must(t, c.Ping(t.Context()).Err())
	p.Hold()
	done := make(chan error, 1)
	go func() { done <- c.Ping(t.Context()).Err() }()
	await(t, p, func(s redistest.Stats) bool { return s.Waiting[redistest.Requests] == 1 })
	p.Close()
	p.Close()
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
	if n := p.Stats().Connections; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
