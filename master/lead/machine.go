package lead

import (
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// Role is what a master is to the others.
type Role uint8

const (
	// Follower: somebody else leads, or nobody that this master knows of.
	Follower Role = iota
	// Leader: this master has the lease, or had it when the store was last asked.
	Leader
	// Resigned: this master does not campaign any more.
	Resigned
)

// String is the role's name for people.
func (r Role) String() string { return [...]string{"follower", "leader", "resigned"}[r%3] }

// State is who leads, as far as a master knows.
type State struct {
	Role Role
	// Term numbers the times that this master became the leader, from 1. It stays that of the last after it ended.
	Term uint64
	// Leader has the lease; its ID is "" while nobody is known to have it.
	Leader store.Member
	// Until is how long a leader may act, and for a follower when the lease that it knows of runs out at the latest.
	Until time.Time
	// Err is why the last campaign failed, nil where it did not. There is no Change for it.
	Err error
}

// Trusted reports whether this master leads and may act at now.
func (s State) Trusted(now time.Time) bool { return s.Role == Leader && now.Before(s.Until) }

// Kind says what a Change is about.
type Kind uint8

const (
	// BecameLeader: a new term of this master begins. It has no epoch yet.
	BecameLeader Kind = iota + 1
	// Renewed: the leader may act until State.Until now.
	Renewed
	// LostLead: the term is over.
	LostLead
	// LeaderChanged: a follower learned that somebody else leads, or has taken its epoch, or that nobody leads that it
	// knows of.
	LeaderChanged
)

// String is the kind's name for people.
func (k Kind) String() string {
	return [...]string{"?", "became leader", "renewed", "lost lead", "leader changed"}[k%5]
}

// Change is something that a master has to know about the lead.
type Change struct {
	Kind Kind
	// State is how it is now.
	State State
	// Lapsed is set with Renewed where the lease may have been over for a while: somebody else may have led meanwhile, so
	// that the leader has to look whether its epoch is still the newest before it relies on what it has in memory.
	Lapsed bool
}

// Answer is what a campaign came to.
type Answer struct {
	// Sent is when it was sent: the time that Tick was called with.
	Sent  time.Time
	Lease store.Lease
	Err   error
}

// Machine is the rule of who leads. It has no clock: times are handed in, from one clock that never goes back. It is not
// safe for concurrent use.
type Machine struct {
	cfg   Config
	self  store.Member
	state State
	next  time.Time // when to campaign
	sent  time.Time // when the last campaign was sent
	busy  bool      // it has not been answered
	hurry bool      // another is to follow at once
	heard time.Time // when the newest campaign was sent that was answered
}

// New makes a machine, for cfg with its defaults. It campaigns at once.
func New(cfg Config, self store.Member) *Machine {
	self.Leads, self.Epoch = false, 0
	return &Machine{cfg: cfg.WithDefaults(), self: self}
}

// State says who leads.
func (m *Machine) State() State { return m.state }

// Self is the member to campaign as.
func (m *Machine) Self() store.Member { return m.self }

// Due is when Tick has to be called next at the latest; the zero time is at once. Never is far in the future.
func (m *Machine) Due() time.Time {
	if m.state.Role == Resigned {
		return m.sent.Add(never)
	}
	due := m.next
	if m.busy {
		due = m.sent.Add(never)
	}
	if m.knows() && m.state.Until.Before(due) {
		due = m.state.Until
	}
	return due
}

// never is longer than any master runs.
const never = 100 * 365 * 24 * time.Hour

// knows reports whether a follower knows who leads.
func (m *Machine) knows() bool { return m.state.Role == Follower && m.state.Leader.ID != "" }

// Tick says whether to campaign now. If so the caller does, and gives the answer to Answered; there is one campaign at a
// time.
func (m *Machine) Tick(now time.Time) (campaign bool, changes []Change) {
	if m.knows() && !now.Before(m.state.Until) {
		m.state.Leader = store.Member{}
		changes = append(changes, m.change(LeaderChanged))
	}
	if m.busy || m.state.Role == Resigned || now.Before(m.next) {
		return false, changes
	}
	m.busy, m.sent, m.hurry = true, now, false
	return true, changes
}

// Answered takes what a campaign came to. jitter in [0,1) spreads what several masters do.
func (m *Machine) Answered(now time.Time, a Answer, jitter float64) []Change {
	if a.Sent.Equal(m.sent) {
		m.busy = false
	}
	if m.state.Role == Resigned || a.Sent.Before(m.heard) {
		return nil // it came late, after the answer to a later one
	}
	if m.state.Err = a.Err; a.Err != nil {
		m.later(now, m.pause(), jitter)
		return nil
	}
	m.heard = a.Sent
	var changes []Change
	if a.Lease.Holder.ID == m.self.ID {
		changes = m.won(now, a)
	} else {
		changes = m.follow(now, a, jitter)
	}
	if m.hurry {
		m.soon(now)
	}
	return changes
}

// pause is the time between a campaign that failed and the next.
func (m *Machine) pause() time.Duration {
	if m.state.Role == Leader {
		return m.cfg.Again
	}
	return m.cfg.Retry
}

// won deals with the news that this master has the lease.
func (m *Machine) won(now time.Time, a Answer) []Change {
	until := a.Sent.Add(min(m.cfg.TTL, a.Lease.Left) - m.cfg.Margin)
	m.next = a.Sent.Add(m.cfg.Renew)
	kind, lapsed := Renewed, false
	switch {
	case m.state.Role == Leader:
		lapsed = !now.Before(m.state.Until)
		if until.Before(m.state.Until) {
			until = m.state.Until
		}
	case !now.Before(until):
		m.next = now // it took too long: it may be over already
		return nil
	default:
		kind = BecameLeader
		m.state.Role = Leader
		m.state.Term++
		m.self.Leads = true
	}
	m.state.Leader, m.state.Until = m.self, until
	c := m.change(kind)
	c.Lapsed = lapsed
	return []Change{c}
}

// follow deals with the news that somebody else has the lease.
func (m *Machine) follow(now time.Time, a Answer, jitter float64) []Change {
	changes := m.lost()
	old, holder := m.state.Leader, a.Lease.Holder
	m.state.Leader, m.state.Until = holder, now.Add(a.Lease.Left)
	m.later(a.Sent, m.cfg.Retry, jitter)
	// Where the lease ends earlier this one is there in time, whatever the answer's way took.
	if over := a.Sent.Add(a.Lease.Left); holder.ID != "" && over.Before(m.next) {
		m.next = over.Add(time.Duration(jitter * float64(m.cfg.Again/4)))
	}
	if gap := now.Add(m.cfg.Again / 4); m.next.Before(gap) {
		m.next = gap
	}
	if old.ID != holder.ID || old.Epoch != holder.Epoch || old.Address != holder.Address {
		changes = append(changes, m.change(LeaderChanged))
	}
	return changes
}

// lost ends the term, if there is one.
func (m *Machine) lost() []Change {
	if m.state.Role != Leader {
		return nil
	}
	m.self.Leads, m.self.Epoch = false, 0
	m.state.Role, m.state.Leader, m.state.Until = Follower, store.Member{}, time.Time{}
	return []Change{m.change(LostLead)}
}

// Turn takes the news that the lease was taken or given up by anybody.
func (m *Machine) Turn(now time.Time) { m.soon(now) }

// Led notes the epoch that the leader has taken in its term, which the others are told soon.
func (m *Machine) Led(now time.Time, term, epoch uint64) {
	if m.state.Role == Leader && m.state.Term == term {
		m.self.Epoch = epoch
		m.state.Leader = m.self
		m.soon(now)
	}
}

// Fenced takes the news that the epoch of a term is over, or that the term cannot go on for another reason. If this master
// has the lease all the same, the next campaign begins another term.
func (m *Machine) Fenced(now time.Time, term uint64) []Change {
	if m.state.Role != Leader || m.state.Term != term {
		return nil
	}
	m.soon(now)
	return m.lost()
}

// Resign ends the campaign for good.
func (m *Machine) Resign() []Change {
	changes := m.lost()
	m.state.Role, m.state.Leader, m.state.Until = Resigned, store.Member{}, time.Time{}
	for i := range changes {
		changes[i].State = m.state
	}
	return changes
}

func (m *Machine) change(k Kind) Change { return Change{Kind: k, State: m.state} }

// later sets the next campaign to between three and five quarters of d after from.
func (m *Machine) later(from time.Time, d time.Duration, jitter float64) {
	m.next = from.Add(time.Duration(float64(d) * (0.75 + jitter/2)))
}

// soon brings the next campaign forward, but for a short while after the last.
func (m *Machine) soon(now time.Time) {
	m.hurry = m.busy
	at := m.sent.Add(m.cfg.Again / 4)
	if at.Before(now) {
		at = now
	}
	if at.Before(m.next) {
		m.next = at
	}
}
