package store

import (
	"context"
	"time"

	"github.com/clic-orchestrator/clic/dag"
)

// Shared is a Store that several masters use at once. One of them leads: it has the lease, which says who should act and runs
// out by itself, and then the epoch of Lead, which keeps everybody else from writing. The lease is for speed, the epoch for
// safety.
type Shared interface {
	Store
	// Campaign takes the lease for as long as ttl if nobody has it, renews it if m has it, and says who has it, in any case.
	// It also notes that m is there.
	Campaign(ctx context.Context, m Member, ttl time.Duration) (Lease, error)
	// Resign gives the lease up if the member has it, and lets the others know at once. It also removes the member from the
	// list.
	Resign(ctx context.Context, id string) error
	// Turns gives a channel that gets a value when the lease was taken or given up by anybody, as far as the store can tell:
	// some may be missed, and some may come for nothing. It is closed when ctx is done.
	Turns(ctx context.Context) <-chan struct{}
	// Members lists the masters that were there lately, the leader first, then by ID.
	Members(ctx context.Context) ([]Member, error)
	// Secret gives random bytes that all masters share, which are made when they are asked for first.
	Secret(ctx context.Context, name string, size int) ([]byte, error)
}

// Member is a master as the others see it.
type Member struct {
	// ID names the process; it is never used again by another.
	ID string
	// Address is where the other masters reach its Thrift services.
	Address string
	Version string
	// Host and PID are for people.
	Host string
	PID  int
	// Since is when it started, Seen when it was last there, by the store's clock.
	Since, Seen dag.Time
	// Leads is set for the one that has the lease; Epoch is then the epoch of its lead, 0 until it has taken it.
	Leads bool
	Epoch uint64
}

// Lease is who has the lease, and for how long.
type Lease struct {
	// Holder is the member that has it; its ID is that of the caller where the caller has it.
	Holder Member
	// Left is how long it is still good for, from when the store answered, if it is not renewed.
	Left time.Duration
}
