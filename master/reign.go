package master

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
)

// reign is the part of a master that shares its store with others: it follows whoever leads, and leads when it is its turn.
// One goroutine, that of run, owns it.
type reign struct {
	m      *Master
	runner *lead.Runner
	news   inbox

	current *leading
	// following is the address that calls are relayed to, "" for none.
	following string
}

// inbox hands changes from the goroutine that campaigns, which must not wait, to that of the reign.
type inbox struct {
	mu      sync.Mutex
	changes []lead.Change
	wake    chan struct{}
}

func (b *inbox) put(c lead.Change) {
	b.mu.Lock()
	b.changes = append(b.changes, c)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []lead.Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.changes
	b.changes = nil
	return c
}

// leading is a term that has begun.
type leading struct {
	*term
	number  uint64
	cancel  context.CancelFunc
	started chan error // gets the outcome of the start
	serving bool
	// until is how long the lease is good for. doubt is set once it had lapsed and was renewed late, until the store has said
	// that the epoch is still in force; asking while it is being asked. sure gets the answer.
	until         time.Time
	doubt, asking bool
	sure          chan error
}

// Times of a reign.
const (
	// calm is the pause after a term that could not begin.
	calm = 500 * time.Millisecond
	// deposed is how long a term may take to stop whose lead is lost.
	deposed = 2 * time.Second
	// handover is how long a master that stops waits for the next leader, to relay the calls that it has.
	handover = 2 * time.Second
)

func newReign(m *Master) (*reign, error) {
	r := &reign{m: m, news: inbox{wake: make(chan struct{}, 1)}}
	var err error
	r.runner, err = lead.NewRunner(lead.Config{TTL: m.cfg.Lease}, m.member, m.shared, r.news.put)
	return r, err
}

// run follows and leads until ctx is done, and gives the lead to somebody else then.
func (r *reign) run(ctx context.Context) error {
	campaigning, stopCampaign := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCampaign()
	campaigned := make(chan error, 1)
	go func() { campaigned <- r.runner.Run(campaigning) }()
	for ctx.Err() == nil {
		r.turn(ctx)
	}
	// What was begun is finished while the lease is still ours; whoever leads next finds nothing half done.
	r.m.log.Info("stopping", "timeout", r.m.cfg.StopTimeout)
	r.m.server.Nobody()
	stopped := r.end(r.m.cfg.StopTimeout)
	stopCampaign()
	if err := <-campaigned; err != nil {
		r.m.log.Warn("the others will notice only when the lease runs out", "error", err)
	}
	r.relayTheRest()
	return stopped
}

// turn waits for something to happen, and deals with it.
func (r *reign) turn(ctx context.Context) {
	var (
		started, sure chan error
		lost          <-chan struct{}
	)
	if c := r.current; c != nil {
		started, sure, lost = c.started, c.sure, c.engine.Lost()
	}
	select {
	case <-ctx.Done():
	case <-r.news.wake:
		for _, c := range r.news.take() {
			r.heed(ctx, c)
		}
	case err := <-started:
		r.begun(ctx, err)
	case err := <-sure:
		r.checked(err)
	case <-lost:
		r.giveUp(ctx, store.ErrFenced)
	}
}

// heed deals with news of the lease.
func (r *reign) heed(ctx context.Context, c lead.Change) {
	switch c.Kind {
	case lead.BecameLeader:
		r.begin(ctx, c.State)
	case lead.Renewed:
		r.renewed(ctx, c)
	case lead.LostLead:
		if r.current != nil {
			r.m.log.Warn("lost the lead", "to", cmp.Or(c.State.Leader.Address, "nobody that is known yet"))
			r.current.engine.Depose(store.ErrFenced)
			r.endLost()
		}
		r.follow(c.State.Leader)
	case lead.LeaderChanged:
		r.follow(c.State.Leader)
	}
}

// follow has calls relayed to the leader, or wait for one.
func (r *reign) follow(leader store.Member) {
	switch {
	case leader.ID == "" || leader.Epoch == 0:
		// One that has just taken the lease does not serve yet.
		r.following = ""
		r.m.server.Nobody()
	case leader.Address != r.following:
		r.following = leader.Address
		r.m.log.Info("following", "leader", leader.Address, "epoch", leader.Epoch)
		r.m.server.Follow(leader.Address)
		r.m.isReady()
	}
}

// begin starts a term.
func (r *reign) begin(ctx context.Context, s lead.State) {
	r.endLost()
	r.following = ""
	r.m.server.Nobody()
	t, err := r.m.newTerm()
	if err != nil {
		r.m.log.Error("cannot lead", "error", err)
		r.retire(ctx, s.Term)
		return
	}
	starting, cancel := context.WithCancel(ctx)
	c := &leading{term: t, number: s.Term, cancel: cancel, started: make(chan error, 1), sure: make(chan error, 1)}
	t.engine.Trust(s.Until)
	r.m.term.Store(t)
	r.current = c
	go func() { c.started <- t.engine.Start(starting) }()
}

// begun serves calls once the term has started.
func (r *reign) begun(ctx context.Context, err error) {
	c := r.current
	if err != nil {
		r.giveUp(ctx, err)
		return
	}
	info := c.engine.Info(ctx)
	r.m.log.Info("leading", "epoch", info.Epoch, "tasks", info.ActiveTasks)
	c.serving = true
	r.runner.Led(c.number, info.Epoch)
	r.m.server.Lead(c.service)
	r.m.isReady()
}

// renewed lets the engine act for longer. After the lease had lapsed, somebody else may have led: then the epoch tells.
func (r *reign) renewed(ctx context.Context, c lead.Change) {
	t := r.current
	if t == nil || t.number != c.State.Term {
		return
	}
	t.until = c.State.Until
	if c.Lapsed && !t.doubt {
		r.m.log.Info("the lease was renewed late; looking whether somebody else has led meanwhile")
		t.doubt = true
	}
	switch {
	case !t.doubt:
		t.engine.Trust(t.until)
	case t.serving && !t.asking:
		t.asking = true
		go func() { t.sure <- t.engine.Confirm(ctx) }()
	}
}

// checked goes on after the epoch was found to be in force.
func (r *reign) checked(err error) {
	c := r.current
	c.asking = false
	switch {
	case err == nil:
		c.doubt = false
		c.engine.Trust(c.until)
	case errors.Is(err, store.ErrFenced):
		c.engine.Depose(err)
	default:
		r.m.log.Warn("cannot look whether somebody else has led", "error", err)
		// The next renewal asks again.
	}
}

// giveUp ends a term that could not begin, or that the store has ended.
func (r *reign) giveUp(ctx context.Context, err error) {
	number := r.current.number
	if ctx.Err() == nil {
		r.m.log.Error("cannot lead; trying again", "error", err)
	}
	r.endLost()
	r.retire(ctx, number)
}

// retire gives a term back, after a pause.
func (r *reign) retire(ctx context.Context, term uint64) {
	select {
	case <-time.After(calm):
	case <-ctx.Done():
	}
	r.runner.Fenced(term)
}

// endLost ends a term whose lead is lost. What it cannot save is not saved: somebody else goes on from what is.
func (r *reign) endLost() {
	if err := r.end(deposed); err != nil {
		r.m.log.Warn("a lost term did not end in order", "error", err)
	}
}

// end ends the current term, if there is one.
func (r *reign) end(timeout time.Duration) error {
	c := r.current
	if c == nil {
		return nil
	}
	r.current = nil
	r.m.server.Nobody()
	c.cancel()
	err := c.stop(timeout)
	r.m.term.CompareAndSwap(c.term, nil)
	return err
}

// relayTheRest has the calls that wait relayed to whoever leads next.
func (r *reign) relayTheRest() {
	ctx, cancel := context.WithTimeout(context.Background(), handover)
	defer cancel()
	turns := r.m.shared.Turns(ctx)
	look := time.NewTicker(handover / 20)
	defer look.Stop()
	for {
		members, err := r.m.shared.Members(ctx)
		if err != nil || len(members) == 0 {
			return
		}
		if l := members[0]; l.Leads && l.Epoch > 0 && l.ID != r.m.member.ID {
			r.m.server.Follow(l.Address)
			return
		}
		select {
		case <-turns:
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
