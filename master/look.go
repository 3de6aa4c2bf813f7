package master

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/rpc"
)

// Status is who serves a store, as the store itself tells.
type Status struct {
	// Store is its URL, without a password; StoreKind describes it for people.
	Store     string `json:"store"`
	StoreKind string `json:"storeKind"`
	// Leader is the address of the master that leads, "" if none does; Epoch is that of its lead.
	Leader string `json:"leader"`
	Epoch  uint64 `json:"epoch"`
	// Masters are all that were heard of lately, the leader first.
	Masters []MasterStatus `json:"masters"`
	// Troubles are what the leader says of itself: that its store takes nothing, or executors that can do nothing; or that it does not
	// answer.
	Troubles []Trouble `json:"troubles,omitempty"`
}

// Trouble is something that does not work.
type Trouble struct {
	// Of is "store", "executor NAME" or "leader".
	Of     string    `json:"of"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
}

// lookPatience is how long the leader may take to say how it is.
const lookPatience = 3 * time.Second

// askLeader asks the leader how it is, as far as it can be reached.
func (s *Status) askLeader(ctx context.Context) {
	if _, _, err := splitAddress(s.Leader); err != nil {
		return // nobody leads, or nobody listens
	}
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	state, err := rpc.Ask(ctx, s.Leader)
	if err != nil {
		s.Troubles = append(s.Troubles, Trouble{Of: "leader", Reason: err.Error()})
		return
	}
	if !state.StaleSince.IsZero() || state.StoreTrouble != "" {
		s.Troubles = append(s.Troubles, Trouble{Of: "store", Reason: cmp.Or(state.StoreTrouble, "it takes nothing"), Since: state.StaleSince})
	}
	for _, name := range slices.Sorted(maps.Keys(state.Troubles)) {
		t := state.Troubles[name]
		s.Troubles = append(s.Troubles, Trouble{Of: "executor " + name, Reason: t.Reason, Since: t.Since})
	}
}

// MasterStatus is one of the masters.
type MasterStatus struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	Address string `json:"address"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
	// UpMillis is how long ago it started, SilentMillis how long ago it was heard of last.
	UpMillis     int64 `json:"upMillis"`
	SilentMillis int64 `json:"silentMillis"`
}

// Look asks the store of a configuration who leads and who follows, and the leader how it is.
func Look(ctx context.Context, cfg Config) (*Status, error) {
	s, err := look(ctx, cfg)
	if err == nil {
		s.askLeader(ctx)
	}
	return s, err
}

func look(ctx context.Context, cfg Config) (s *Status, err error) {
	cfg = cfg.WithDefaults()
	s = &Status{Store: cfg.storeName(), StoreKind: "a file, for one master"}
	if !cfg.storeIsShared() {
		err := s.lookAlone(cfg.DataDir)
		return s, err
	}
	store, err := cfg.OpenRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	members, err := store.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list the masters: %w", err)
	}
	h := store.Health()
	s.StoreKind = fmt.Sprintf("Redis %s, %s", h.Version, h.Mode)
	now := dag.Time(time.Now().UnixMilli())
	for _, m := range members {
		one := MasterStatus{
			ID: m.ID, Role: roleFollower, Address: m.Address, Host: m.Host, PID: m.PID, Version: m.Version,
			UpMillis: int64(now - m.Since), SilentMillis: max(0, int64(now-m.Seen)),
		}
		if m.Leads {
			one.Role, s.Leader, s.Epoch = roleLeader, m.Address, m.Epoch
		}
		s.Masters = append(s.Masters, one)
	}
	return s, nil
}

// lookAlone tells the master of a data directory by its lock and by what it has left there.
func (s *Status) lookAlone(dir string) error {
	lock, err := lockFile(filepath.Join(dir, lockName), false)
	if err == nil {
		return lock.Close()
	}
	if !errors.Is(err, ErrInUse) {
		return fmt.Errorf("cannot look at data directory %s: %w", dir, err)
	}
	p, ok := readPresence(dir)
	if !ok {
		s.Leader = "not known" // it is just starting or stopping
		return nil
	}
	s.Leader = p.Address
	s.Masters = []MasterStatus{{
		Role: roleSingle, Address: p.Address, PID: p.PID, Version: p.Version, UpMillis: time.Since(p.Started).Milliseconds(),
	}}
	return nil
}
