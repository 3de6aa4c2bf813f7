// Package redis keeps tasks in Redis: a single server, one that Sentinels watch, or a Redis Cluster. It is the store of several
// masters, of which one leads. Redis 6.2 or newer is needed.
//
// # Keys
//
// Everything can be read with redis-cli. T is a task's name; the braces make a Cluster keep a task's keys together.
//
//	clic:task:{T}          hash: name, plan, status, submitted, ended, expires (ms since 1970), labels (JSON), request, body
//	                       (the task as JSON), nodes (how many), seq (of the newest event), revision, batch, epoch, creation
//	clic:stage:{T}:N       hash: id, status, spec, state of the N-th node
//	clic:plan:{T}          text: the plan as it was submitted
//	clic:events:{T}        stream: the history, an entry "<seq>-0" with the field event for each; capped
//	clic:epoch             text: "<epoch>.<session>", the fence; on a Cluster one for each slot, clic:epoch:{…}
//	clic:mark              text: "<epoch>.<number>", how far the leader has come; on a Cluster one for some slots, clic:mark:{…}
//	clic:{shared}:meta     hash: schema, generation, epoch, leader, led (seconds), and the prefixes of tasks and stages
//	clic:{shared}:lease    hash: id, member (JSON); ends by itself
//	clic:{shared}:members  hash: id → when it was there last, and what is known of it (JSON)
//	clic:{shared}:secrets  hash: name → random bytes
//	clic:{shared}:slots    bits: on a Cluster, the slots that tasks were ever written in
//	clic:{shared}:turns    channel: somebody took the lease or gave it up
//
// The indexes are sorted sets. Their members are "<time of submission>:<task>", all with score 0, so that their order is that
// of the text, or as below:
//
//	clic:{shared}:all, …:status:S, …:plan:P, …:label:K=V
//	clic:{shared}:expires         the task, with the time when it may be deleted as score
//	clic:{shared}:suffix          "<last eight letters>:<task>"
//	clic:{shared}:request:R       text: the task that was made for this request
//	clic:{shared}:garbage         hash: tasks that are being made or deleted in parts → number of nodes
//
// # Writing
//
// Every change of a task is one Lua script (folder lua), which reads the fence first: it is applied whole or not at all, and only
// for who leads. One goroutine sends all of them; see flush.go. An update says which revision it follows, and who it is, so that
// sending it again is safe; see update.lua. What comes so late that it was given up long ago is refused by its session; see fence.lua.
//
// The indexes are never relied on; see index.go. What was acknowledged in the last seconds can be put back; see redo.go.
//
// How durable an acknowledged write is, is the administrator's choice: appendfsync, min-replicas-to-write. Without an append-only
// file, Redis loses everything when it is restarted.
package redis

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// Store is a store.Shared in Redis.
type Store struct {
	opts    Options
	target  *Target
	log     *slog.Logger
	keys    keys
	scripts *scripts
	meter   *meter
	// history is the cap of a task's history as scripts take it.
	history any
	seed    maphash.Seed

	cluster             bool
	writer, reader      redis.UniversalClient
	version, generation string

	// queue holds the requests that the committer has not taken yet.
	mu     sync.Mutex
	queue  []*request
	closed bool
	wake   chan struct{}
	// parts is held by whoever does something in parts.
	parts chan struct{}
	// fresh is set when there is a new connection.
	fresh atomic.Bool
	// known are the servers' processes that may be written to, nil for any.
	known atomic.Pointer[map[string]bool]
	// lease is the length of a lease in ms, 0 before anybody has campaigned for one.
	lease atomic.Int64

	work    sync.WaitGroup
	stopped chan struct{}
	cancel  context.CancelFunc

	// All below is the committer's alone.

	// epoch is whose changes are written; led says that it was given by this Store.
	epoch uint64
	led   bool
	// firstToken is the fence of slots that have nothing of their own in tokens. sessions are the numbers in those, and raises the slots
	// whose fence is to be raised before anything else is sent there.
	firstToken any
	sessions   map[uint16]uint64
	tokens     map[uint16]any
	raises     map[uint16]bool
	// used has the slots of which it is noted that something is written there in this term, or was in an earlier one.
	used []bool

	index indexer
	redo  redoLog
	// suspect says that the server is to be looked at, reload that it has forgotten the scripts.
	suspect, reload bool
	// gap says that something is missing there, or may well be.
	gap bool
	// hold is until when nothing new is written, since the server was restarted. deposed is the last epoch that must not be written
	// with any more, because this Store was away when the server was.
	hold    time.Time
	deposed uint64
	// failed is why the last round came to nothing, broken why nothing will ever come to anything.
	failed, broken error
	// stalls counts rounds that came to nothing without a reason.
	stalls int
}

var _ store.Shared = (*Store)(nil)

// Open connects to Redis and checks it: its version, that it keeps what is written to it, and that its data is of this program. It
// gives up when ctx ends. Errors: store.ErrUnavailable, store.ErrNewer, store.ErrRolledBack where Options.Generation is another.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	target, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, target: target, log: o.Logger, meter: &meter{}, history: "", seed: maphash.MakeSeed(),
		keys: keys{task: o.TaskPrefix, stage: o.StagePrefix, prefix: o.Prefix},
		wake: make(chan struct{}, 1), parts: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	if o.History > 0 {
		s.history = strconv.Itoa(o.History)
	}
	if s.scripts, err = newScripts(); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// ready says why nothing can be asked for: the call is over, or the store is closed.
func (s *Store) ready(ctx context.Context) error {
	select {
	case <-s.stopped:
		return errClosed
	default:
		return ctx.Err()
	}
}

// start connects, checks, and starts the committer.
func (s *Store) start(ctx context.Context) (err error) {
	s.cluster = s.target.Cluster
	if !s.cluster && s.target.Master == "" && len(s.target.Addrs) == 1 {
		if s.cluster, err = s.probe(ctx); err != nil {
			return s.cannotOpen(err)
		}
	}
	switch {
	case s.cluster && s.target.DB != 0:
		return s.cannotOpen(errors.New("a Redis Cluster has database 0 only"))
	case !s.cluster && s.target.Master == "" && len(s.target.Addrs) > 1:
		return s.cannotOpen(errors.New("there are several hosts: say cluster=true, or master=NAME for Sentinels"))
	case s.cluster:
		s.keys.tags = slotTags()
	}
	if err := s.connect(); err != nil {
		return s.cannotOpen(err)
	}
	if err := s.inspect(ctx); err != nil {
		return errors.Join(s.cannotOpen(err), s.disconnect())
	}
	s.setEpoch(0)
	s.index.reset()
	s.redo.reset()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.work.Add(1)
	go s.runCommitter(run)
	return nil
}

func (s *Store) disconnect() error { return errors.Join(s.writer.Close(), s.reader.Close()) }

// Close ends the store. What is under way fails with store.ErrUnavailable, as everything does afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		s.work.Wait()
		return nil
	}
	close(s.stopped)
	s.cancel()
	err := s.disconnect()
	s.work.Wait()
	return err
}
