package rpc

import (
	"context"
	"errors"
	"time"
)

// turn is who answers calls for a while. It does not change: another turn takes its place.
type turn struct {
	// table is set where this master leads.
	table table
	// leader is the address of another master that leads, or "". last is then the one that led last, if it is known, and since
	// when the turn began.
	leader string
	last   string
	since  time.Time
	// over is closed when another turn has begun.
	over chan struct{}
	// replaced ends when another leader is known. That none is known does not end it: the last one may well be there.
	replaced context.Context //nolint:containedctx // it is an event, in the form that timers and callbacks take
	replace  context.CancelFunc
}

func (t *turn) leads() bool { return t.table != nil }

// errReplaced is why a relayed call is ended when another master leads.
var errReplaced = errors.New("another master leads now")

// Lead makes this master the one that answers, by the service, which must have an engine. It may be called again with another
// service.
func (s *Server) Lead(service *Service) {
	s.begin(&turn{table: newTable(service.methods())})
}

// Follow relays calls to the leader at the address (host:port). Saying so again changes nothing.
func (s *Server) Follow(leader string) {
	if leader == "" {
		s.Nobody()
		return
	}
	s.begin(&turn{leader: leader})
}

// lastResort is how long nobody has to have led, as far as this master knows, until the last leader is asked again. It is longer
// than another master needs to take over: then they all have lost the store, and the last leader may still tell what it knew.
const lastResort = 3 * time.Second

// Nobody lets calls wait until it is known who leads: for Limits.Leaderless, and reports of stages for as long as any call may
// take. Then they are answered that they may be repeated later. After a while, calls that may be repeated go to the last leader: that
// it is not known to lead any more does not mean that it is gone. What it may do is decided by the store.
func (s *Server) Nobody() { s.begin(&turn{}) }

// Describe says what getMasterInfo tells of this master while another one leads, or none. The service needs no engine. Without
// it that call is relayed like any other.
func (s *Server) Describe(self *Service) { s.self.Store(self) }

// begin starts a turn and wakes those who waited for it.
func (s *Server) begin(t *turn) {
	t.over = make(chan struct{})
	s.turning.Lock()
	defer s.turning.Unlock()
	last := s.turn.Load()
	if last != nil && !t.leads() && !last.leads() && t.leader == last.leader {
		return
	}
	known := t.leads() || t.leader != ""
	t.since = time.Now()
	if !known {
		t.last = s.lastLeader
	}
	switch {
	case last == nil:
		t.replaced, t.replace = context.WithCancel(s.base)
	case t.leads() || known && t.leader != s.lastLeader:
		// What is under way at another master is not waited for any longer. Own calls end with their engine.
		last.replace()
		t.replaced, t.replace = context.WithCancel(s.base)
	default:
		t.replaced, t.replace = last.replaced, last.replace
	}
	if known {
		s.lastLeader = t.leader
		s.links.keepOnly(t.leader)
	}
	s.turn.Store(t)
	if last != nil {
		close(last.over)
	}
}

// Leader says who answers: this master (self), another one at the address, or nobody that is known ("").
func (s *Server) Leader() (self bool, address string) {
	t := s.turn.Load()
	return t.leads(), t.leader
}
