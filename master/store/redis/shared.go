package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// lately is how long a member is listed after it was there last.
const lately = 10 * time.Second

// card is what is kept of a member.
type card struct {
	ID      string   `json:"id"`
	Address string   `json:"address"`
	Version string   `json:"version"`
	Host    string   `json:"host"`
	PID     int      `json:"pid"`
	Since   dag.Time `json:"since"`
}

func (c *card) member() store.Member {
	return store.Member{ID: c.ID, Address: c.Address, Version: c.Version, Host: c.Host, PID: c.PID, Since: c.Since}
}

// Campaign takes the lease for as long as ttl if nobody has it, or renews it. What it gives was so when the server answered.
func (s *Store) Campaign(ctx context.Context, m store.Member, ttl time.Duration) (store.Lease, error) {
	if err := s.ready(ctx); err != nil {
		return store.Lease{}, err
	}
	lease, err := s.campaign(ctx, m, ttl)
	if err != nil {
		return store.Lease{}, fmt.Errorf("cannot campaign: %w", s.fault(err))
	}
	return lease, nil
}

func (s *Store) campaign(ctx context.Context, m store.Member, ttl time.Duration) (lease store.Lease, err error) {
	if m.ID == "" || ttl < time.Millisecond {
		return lease, errors.New("a member needs an id, and a lease 1 ms at least")
	}
	text, err := json.Marshal(card{ID: m.ID, Address: m.Address, Version: m.Version, Host: m.Host, PID: m.PID, Since: m.Since})
	if err != nil {
		return lease, err
	}
	s.lease.Store(ttl.Milliseconds())
	keys := []string{s.keys.meta(), s.keys.lease(), s.keys.members(), s.keys.fenceKey(s.keys.sharedSlot())}
	v, err := s.eval(ctx, &s.scripts.campaign, keys,
		s.generation, m.ID, text, ttl.Milliseconds(), lately.Milliseconds(), s.keys.turns(), m.Epoch).Slice()
	if err != nil {
		return lease, err
	}
	a := answer{rest: v}
	if len(v) == 2 && a.text(0) == "settling" {
		s.fresh.Store(true)
		s.nudge()
		return lease, errSettling
	}
	if len(v) == 2 && a.text(0) == "generation" {
		return lease, s.otherGeneration(a.text(1))
	}
	var c card
	if len(v) != 5 || json.Unmarshal([]byte(a.text(1)), &c) != nil {
		return lease, fmt.Errorf("%w: the lease is %q", errDamaged, v)
	}
	left, _ := v[2].(int64)
	now, _ := v[4].(int64)
	lease.Holder, lease.Left = c.member(), max(0, time.Duration(left)*time.Millisecond)
	lease.Holder.Leads = true
	lease.Holder.Epoch, _ = strconv.ParseUint(a.text(3), 10, 64)
	if c.ID == m.ID {
		lease.Holder.Seen = dag.Time(now)
	}
	return lease, nil
}

// eval runs a script by way of the reader, which repeats by itself.
func (s *Store) eval(ctx context.Context, script *script, keys []string, args ...any) *redis.Cmd {
	name, _ := script.sha.(string)
	cmd := s.reader.EvalSha(ctx, name, keys, args...)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		return s.reader.Eval(ctx, script.text, keys, args...)
	}
	return cmd
}

// otherGeneration is for a server that holds something else than it did. The committer is told.
func (s *Store) otherGeneration(found string) error {
	s.fresh.Store(true)
	s.nudge()
	return fmt.Errorf("%w: generation %s is expected, it is %q", store.ErrRolledBack, s.generation, found)
}

// Resign gives the lease up and forgets the member.
func (s *Store) Resign(ctx context.Context, id string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	err := s.eval(ctx, &s.scripts.resign, []string{s.keys.lease(), s.keys.members()}, id, s.keys.turns()).Err()
	if err != nil {
		return fmt.Errorf("cannot resign: %w", s.fault(err))
	}
	return nil
}

// Turns gives a channel with a value for each turn that was heard of; when the connection was lost meanwhile, it gives one, too.
func (s *Store) Turns(ctx context.Context) <-chan struct{} {
	turns := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		close(turns)
		return turns
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		defer close(turns)
		s.listen(ctx, turns)
	}()
	return turns
}

// listen passes on what comes on the channel, until ctx or the store ends.
func (s *Store) listen(ctx context.Context, turns chan<- struct{}) {
	sub := s.reader.Subscribe(ctx, s.keys.turns())
	defer func() { _ = sub.Close() }()
	heard := sub.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stopped:
			return
		case _, ok := <-heard:
			if !ok {
				return
			}
			select {
			case turns <- struct{}{}:
			default: // one is enough
			}
		}
	}
}

// Members lists who was there in the last ten seconds.
func (s *Store) Members(ctx context.Context) ([]store.Member, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	keys := []string{s.keys.meta(), s.keys.lease(), s.keys.members()}
	v, err := s.eval(ctx, &s.scripts.members, keys).Slice()
	if err != nil {
		return nil, fmt.Errorf("cannot list members: %w", s.fault(err))
	}
	const first = 4
	if len(v) < first {
		return nil, fmt.Errorf("cannot list members: %w", errDamaged)
	}
	a := answer{rest: v}
	now, _ := v[0].(int64)
	holder, leader, epoch := a.text(1), a.text(2), a.text(3)
	var members []store.Member
	for i := first; i+1 < len(v); i += 2 {
		stamp, text, _ := strings.Cut(a.text(i+1), " ")
		seen, err := strconv.ParseInt(stamp, 10, 64)
		var c card
		if err != nil || json.Unmarshal([]byte(text), &c) != nil {
			return nil, fmt.Errorf("cannot list members: %w: member %q", errDamaged, a.text(i))
		}
		if now-seen > lately.Milliseconds() {
			continue
		}
		m := c.member()
		m.Seen, m.Leads = dag.Time(seen), m.ID == holder
		if m.Leads && m.ID == leader {
			m.Epoch, _ = strconv.ParseUint(epoch, 10, 64)
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b store.Member) int {
		if a.Leads != b.Leads {
			if a.Leads {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return members, nil
}

// Secret gives random bytes that are made when they are asked for first.
func (s *Store) Secret(ctx context.Context, name string, size int) ([]byte, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	made := make([]byte, size)
	_, _ = rand.Read(made) // never fails
	pipe := s.reader.Pipeline()
	pipe.HSetNX(ctx, s.keys.secrets(), name, made)
	got := pipe.HGet(ctx, s.keys.secrets(), name)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("cannot read secret %q: %w", name, s.fault(err))
	}
	if len(got.Val()) != size {
		return nil, fmt.Errorf("cannot read secret %q: %w: it has %d bytes, not %d", name, errDamaged, len(got.Val()), size)
	}
	return []byte(got.Val()), nil
}
