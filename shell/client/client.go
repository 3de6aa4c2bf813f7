// Package client talks to a master over Thrift. It is what every command of the shell uses, and can be used by other Go
// programs as well.
//
// A Client has one method per call of the TaskService in idl/master.thrift. Beneath the generated code it
// implements the Thrift library's TClient: connections are made when needed and kept for the next call, each call is
// bounded in time and size, a cancelled context ends a call at once, and calls that may be repeated are repeated while the
// connection breaks or the master cannot serve them, for as long as another master may need to take over. Submissions always carry
// a request id, so that they can be repeated too. Errors are a *base.ClicError where the master answered with one, an *UnreachableError where no
// connection could be made, a *LostError where it broke and the call was not (or could not be) repeated, a
// *TimeoutError where the answer did not come in time, the context's own error where it was cancelled, and else the Thrift
// library's TApplicationException.
package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
)

// The names of the services in the master's multiplexer.
const (
	taskService      = "TaskService"
	schedulerService = "SchedulerService"
)

// Config says how to reach a master. The zero value of every field but Address is replaced by WithDefaults.
type Config struct {
	// Address is the master's host:port, or those of several masters that share a store, with commas between them. They are tried
	// in order; the one that answers is asked first from then on.
	Address string
	// Source says where the address came from, for messages; may be "".
	Source string
	// ConnectTimeout bounds making a connection. Default: 5 s; 2 s where there are several masters.
	ConnectTimeout time.Duration
	// CallTimeout bounds a call whose context has no deadline. Default: 60 s.
	CallTimeout time.Duration
	// MaxMessage bounds the bytes of one answer. Default: 256 MiB.
	MaxMessage int32
	// Patience is for how long a call that may be repeated is repeated, from its first failure: while the connection breaks, and
	// while the master says that it cannot serve it now. Default: 10 s, which is more than another master needs to take over. But
	// the first connection of all is tried once, so that a master that does not run is told at once.
	Patience time.Duration
	// TryTimeout is how long the first try of a call that may be repeated waits for an answer where there is another master to
	// ask; every later one waits longer. A master that was stopped in its tracks still accepts connections. Default: 10 s.
	TryTimeout time.Duration
	// Backoff is the pause before the first repetition, doubled for each later one up to a second. Default: 100 ms.
	Backoff time.Duration
	// OnStale is told when an answer says that the master cannot reach its store: since when. What it answers is what it knew
	// then. It is called for every such answer, before the answer is given.
	OnStale func(since time.Time)
	// Dial replaces net.Dialer.DialContext, for tests and tunnels.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// WithDefaults returns a copy in which every field is set.
func (c Config) WithDefaults() Config {
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 5 * time.Second
		if strings.Contains(c.Address, ",") {
			c.ConnectTimeout = 2 * time.Second
		}
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = 60 * time.Second
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = 256 << 20
	}
	if c.Patience <= 0 {
		c.Patience = 10 * time.Second
	}
	if c.TryTimeout <= 0 {
		c.TryTimeout = 10 * time.Second
	}
	if c.Backoff <= 0 {
		c.Backoff = 100 * time.Millisecond
	}
	if c.OnStale == nil {
		c.OnStale = func(time.Time) {}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c
}

// Client calls a master. All methods may be called from several goroutines.
type Client struct {
	config    Config
	addresses []string
	service   string

	mu        sync.Mutex
	good      int     // index of the address that is asked first
	idle      []*conn // to that address
	connected bool    // a connection was made at least once
	closed    bool
}

// New makes a client. No connection is made before the first call.
func New(config Config) *Client {
	return &Client{config: config.WithDefaults(), addresses: strings.Split(config.Address, ","), service: taskService}
}

// Address is the host:port of the master that is asked first.
func (c *Client) Address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses[c.good]
}

// Close closes the kept connections. Calls under way are not interrupted: cancel their contexts. Idempotent.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, k := range c.idle {
		k.close()
	}
	c.idle = nil
	return nil
}

// Call implements thrift.TClient for the generated client.
func (c *Client) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.CallTimeout)
		defer cancel()
	}
	again := repetitionOf(method, args)
	uncertain, err := c.persist(ctx, method, args, result, again)
	if refused := thrown(result); err == nil && refused != nil && (uncertain || refused.RetryAfterMillis != nil) {
		c.settle(ctx, method, args, result, refused)
	}
	if since := staleSince(result); since != 0 && err == nil {
		c.config.OnStale(time.UnixMilli(since))
	}
	return thrift.ResponseMeta{}, err
}

// longestPause bounds the pause between two tries.
const longestPause = time.Second

// persist sends a call until it is answered, as long as that makes sense. uncertain is set where it may have been carried out by
// a try before the one that was answered.
func (c *Client) persist(ctx context.Context, method string, args, result thrift.TStruct, again repetition) (uncertain bool, err error) {
	pause := c.config.Backoff
	var until time.Time
	for n := 1; ; n++ {
		begun := time.Now()
		err := c.once(ctx, n, method, args, result, again)
		retry := err == nil && retryable(thrown(result))
		if err == nil && !retry {
			return uncertain, nil
		}
		if err != nil && ctx.Err() != nil {
			return uncertain, c.ended(ctx, method, again != same)
		}
		if until.IsZero() {
			if !retry {
				begun = time.Now() // a master that says that it cannot serve has waited with the call itself
			}
			until = begun.Add(c.config.Patience)
		}
		late := time.Now().Add(pause).After(until)
		if again == never || late || err != nil && !c.worthRepeating(err) {
			return uncertain, err
		}
		if _, lost := errors.AsType[*LostError](err); lost || retry {
			uncertain = true
		}
		if retry {
			hint := time.Duration(thrown(result).GetRetryAfterMillis()) * time.Millisecond
			pause = max(pause, min(hint, longestPause))
		}
		c.turn()
		select {
		case <-ctx.Done():
			if err == nil {
				return uncertain, nil // the answer was that it may succeed later
			}
			return uncertain, c.ended(ctx, method, again != same)
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
		forget(result)
	}
}

// worthRepeating tells a broken connection, and a master that is not there now, from an answer. A master that could not be
// reached from the start is not waited for.
func (c *Client) worthRepeating(err error) bool {
	if _, ok := errors.AsType[*LostError](err); ok {
		return true
	}
	if app, ok := errors.AsType[thrift.TApplicationException](err); ok {
		return passing(app)
	}
	if _, ok := errors.AsType[*UnreachableError](err); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.connected
	}
	return false
}

// ended is the error of a call whose context is done.
func (c *Client) ended(ctx context.Context, method string, uncertain bool) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &TimeoutError{Address: c.Address(), Method: method, Uncertain: uncertain}
	}
	return ctx.Err()
}

// once sends a call and reads its answer. A call that must not be sent twice gets a new connection, because a kept one
// may have been closed by the master meanwhile, which shows only after the call was written.
func (c *Client) once(ctx context.Context, n int, method string, args, result thrift.TStruct, again repetition) error {
	k, err := c.take(ctx, again == never)
	if err != nil {
		return err
	}
	calling := ctx
	if len(c.addresses) > 1 && again == same {
		var cancel context.CancelFunc
		calling, cancel = context.WithTimeout(ctx, time.Duration(n)*c.config.TryTimeout+ownWait(args))
		defer cancel()
	}
	err = k.call(calling, method, args, result)
	if err == nil || isAnswer(err) {
		c.put(k)
		return err
	}
	k.close()
	if sizeErr := k.tooLarge(); sizeErr != nil {
		return sizeErr
	}
	return &LostError{Address: k.address, Method: method, Uncertain: again != same, Err: err}
}

// isAnswer reports whether the error is what the master said, so that the connection is still good.
func isAnswer(err error) bool {
	app, ok := errors.AsType[thrift.TApplicationException](err)
	if !ok {
		return false
	}
	switch app.TypeId() {
	case thrift.WRONG_METHOD_NAME, thrift.BAD_SEQUENCE_ID, thrift.INVALID_MESSAGE_TYPE_EXCEPTION:
		return false // the stream is out of step
	}
	return true
}

// Code is the master's error code in err, or base.ErrorCode_UNKNOWN where the master did not answer with a ClicError.
func Code(err error) base.ErrorCode {
	if e, ok := errors.AsType[*base.ClicError](err); ok {
		return e.Code
	}
	return base.ErrorCode_UNKNOWN
}
