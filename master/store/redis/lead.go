package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// Lead gives a new epoch, and raises the fence everywhere: when it returns, whatever an earlier leader could write has been
// written. It is refused with store.ErrFenced while somebody else than holder has the lease.
func (s *Store) Lead(ctx context.Context, holder string) (uint64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	var epoch uint64
	err := s.ask(&request{ctx: ctx, alone: func(ctx context.Context) (err error) {
		epoch, err = s.lead(ctx, holder)
		return err
	}})
	if err != nil {
		return 0, fmt.Errorf("cannot lead: %w", s.fault(err))
	}
	return epoch, nil
}

// lead is run by the committer.
func (s *Store) lead(ctx context.Context, holder string) (uint64, error) {
	s.known.Store(nil)
	runs, err := s.runs(ctx)
	if err != nil {
		return 0, err
	}
	least := uint64(1)
	s.hold = time.Time{}
	for {
		epoch, err := s.nextEpoch(ctx, holder, least)
		if err != nil {
			return 0, err
		}
		// From here on the old term is over for this Store, too, whatever comes of the new one.
		s.setEpoch(epoch)
		s.led = true
		s.index.reset()
		s.redo.reset()
		higher, err := s.shutOut(ctx)
		if err != nil {
			s.led = false
			return 0, err
		}
		if higher == "" {
			break
		}
		// The counter was behind: a part of a Cluster has lost it, or somebody was faster.
		old, _ := parseToken(higher)
		least = old + 1
	}
	if err := s.rewriteMarks(ctx); err != nil {
		s.led = false
		return 0, err
	}
	s.redo.runs, s.suspect, s.gap = runs, false, false
	s.known.Store(&runs)
	return s.epoch, nil
}

// shutOut raises the fences of all slots where anything was ever written. On a Cluster these are noted, since raising 16,384 takes a
// while: nothing is written in a slot before its bit is set, for which the fence of what is shared must not be raised yet.
func (s *Store) shutOut(ctx context.Context) (higher string, err error) {
	shared := []uint16{s.keys.sharedSlot()}
	if higher, err = s.raiseSlots(ctx, shared); err != nil || higher != "" || !s.cluster {
		return higher, err
	}
	bits, err := s.writer.Get(ctx, s.keys.used()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	use := s.keys.marks()
	for i := range bits {
		for bit := range 8 {
			if bits[i]&(0x80>>bit) != 0 {
				use = append(use, uint16(8*i+bit))
			}
		}
	}
	if higher, err = s.raiseSlots(ctx, use); err == nil {
		for _, slot := range use {
			s.used[slot] = true
		}
	}
	return higher, err
}

// unused is what is known of slots at first. Without a Cluster there is one only, which needs no note.
func (s *Store) unused() []bool {
	if s.cluster {
		return make([]bool, slots)
	}
	return []bool{true}
}

// nextEpoch runs lead.lua.
func (s *Store) nextEpoch(ctx context.Context, holder string, least uint64) (uint64, error) {
	keys := []string{s.keys.meta(), s.keys.lease(), s.keys.fenceKey(s.keys.sharedSlot())}
	v, err := s.writer.EvalSha(ctx, s.scripts.lead.sha.(string), keys, s.generation, holder, least).Result()
	if err != nil {
		if outcomeOf(err) == refused {
			s.trouble(ctx, err)
		}
		return 0, err
	}
	switch v := v.(type) {
	case int64:
		return uint64(v), nil
	case []any:
		a := answer{rest: v}
		switch a.text(0) {
		case "settling":
			return 0, errSettling
		case "leased":
			return 0, fmt.Errorf("%q has the lease: %w", a.text(1), store.ErrFenced)
		}
		s.breakOff(a.text(1))
		return 0, s.broken
	}
	return 0, errors.New("script has answered what it never does")
}
