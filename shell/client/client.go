// Package client talks to a master over Thrift. It is what every command of the shell uses, and can be used by other Go
// programs as well.
//
// A Client has one method per call of the TaskService in idl/master.thrift. Beneath the generated code it
// implements the Thrift library's TClient: connections are made when needed and kept for the next call, each call is
// bounded in time and size, a cancelled context ends a call at once, and calls that may be repeated are repeated when the
// connection breaks. Errors are a *base.ClicError where the master answered with one, an *UnreachableError where no
// connection could be made, a *LostError where it broke and the call was not (or could not be) repeated, a
// *TimeoutError where the answer did not come in time, the context's own error where it was cancelled, and else the Thrift
// library's TApplicationException.
package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// service is the name of the TaskService in the master's multiplexer.
const service = "TaskService"

// Config says how to reach a master. The zero value of every field but Address is replaced by WithDefaults.
type Config struct {
	// Address is the master's host:port.
	Address string
	// Source says where the address came from, for messages; may be "".
	Source string
	// ConnectTimeout bounds making a connection. Default: 5 s.
	ConnectTimeout time.Duration
	// CallTimeout bounds a call whose context has no deadline. Default: 60 s.
	CallTimeout time.Duration
	// MaxMessage bounds the bytes of one answer. Default: 256 MiB.
	MaxMessage int32
	// Attempts is how often a call that may be repeated is sent in all. Default: 4. It is about broken connections only:
	// the first connection of all is tried once, so that a master that does not run is told at once.
	Attempts int
	// Backoff is the pause before the first repetition, doubled for each later one. Default: 100 ms.
	Backoff time.Duration
	// Dial replaces net.Dialer.DialContext, for tests and tunnels.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// WithDefaults returns a copy in which every field is set.
func (c Config) WithDefaults() Config {
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = 60 * time.Second
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = 256 << 20
	}
	if c.Attempts <= 0 {
		c.Attempts = 4
	}
	if c.Backoff <= 0 {
		c.Backoff = 100 * time.Millisecond
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c
}

// maxIdle is how many connections are kept for later calls.
const maxIdle = 4

// Client calls a master. All methods may be called from several goroutines.
type Client struct {
	config Config

	mu        sync.Mutex
	idle      []*conn
	connected bool // a connection was made at least once
	closed    bool
}

// New makes a client. No connection is made before the first call.
func New(config Config) *Client {
	return &Client{config: config.WithDefaults()}
}

// Address is the master's host:port.
func (c *Client) Address() string { return c.config.Address }

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

// repeatable are the calls that change nothing, or the same when they come twice. A submission is among them only
// where it carries a request id.
func repeatable(method string, args thrift.TStruct) bool {
	switch method {
	case "listAllTask", "getTaskInfo", "getStageInfo", "getStageIdOfTask", "getStageResult",
		"getTask", "listTasks", "getStage", "listStages", "explain", "getPlan", "planRetry",
		"watch", "readLog", "getResult", "previewResult", "getMasterInfo":
		return true
	case "submit":
		a, ok := args.(*master.TaskServiceSubmitArgs)
		return ok && (a.Submission.GetRequestId() != "" || a.Submission.GetDryRun())
	}
	return false
}

// Call implements thrift.TClient for the generated client.
func (c *Client) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.CallTimeout)
		defer cancel()
	}
	again := repeatable(method, args)
	attempts := 1
	if again {
		attempts = c.config.Attempts
	}
	pause := c.config.Backoff
	for n := 1; ; n++ {
		err := c.once(ctx, method, args, result, again)
		if err == nil {
			return thrift.ResponseMeta{}, nil
		}
		if ctx.Err() != nil {
			return thrift.ResponseMeta{}, c.ended(ctx, method, again)
		}
		if n >= attempts || !c.worthRepeating(err) {
			return thrift.ResponseMeta{}, err
		}
		select {
		case <-ctx.Done():
			return thrift.ResponseMeta{}, c.ended(ctx, method, again)
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// worthRepeating tells a broken connection from an answer. A master that could not be reached from the start is not
// waited for.
func (c *Client) worthRepeating(err error) bool {
	if _, ok := errors.AsType[*LostError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*UnreachableError](err); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.connected
	}
	return false
}

// ended is the error of a call whose context is done.
func (c *Client) ended(ctx context.Context, method string, repeatable bool) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &TimeoutError{Address: c.config.Address, Method: method, Uncertain: !repeatable}
	}
	return ctx.Err()
}

// once sends a call and reads its answer. A call that must not be sent twice gets a new connection, because a kept one
// may have been closed by the master meanwhile, which shows only after the call was written.
func (c *Client) once(ctx context.Context, method string, args, result thrift.TStruct, again bool) error {
	k, err := c.take(ctx, !again)
	if err != nil {
		return err
	}
	err = k.call(ctx, method, args, result)
	if err == nil || isAnswer(err) {
		c.put(k)
		return err
	}
	k.close()
	if sizeErr := k.tooLarge(); sizeErr != nil {
		return sizeErr
	}
	return &LostError{Address: c.config.Address, Method: method, Uncertain: !again, Err: err}
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

func (c *Client) take(ctx context.Context, fresh bool) (*conn, error) {
	if !fresh {
		c.mu.Lock()
		if n := len(c.idle); n > 0 {
			k := c.idle[n-1]
			c.idle = c.idle[:n-1]
			c.mu.Unlock()
			return k, nil
		}
		c.mu.Unlock()
	}
	dialing, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	socket, err := c.config.Dial(dialing, "tcp", c.config.Address)
	if err != nil {
		return nil, &UnreachableError{Address: c.config.Address, Source: c.config.Source, Err: err}
	}
	c.mu.Lock()
	c.connected = true
	c.mu.Unlock()
	return newConn(socket, c.config.MaxMessage), nil
}

func (c *Client) put(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || k.spoiled || len(c.idle) >= maxIdle {
		k.close()
		return
	}
	c.idle = append(c.idle, k)
}

// Code is the master's error code in err, or base.ErrorCode_UNKNOWN where the master did not answer with a ClicError.
func Code(err error) base.ErrorCode {
	if e, ok := errors.AsType[*base.ClicError](err); ok {
		return e.Code
	}
	return base.ErrorCode_UNKNOWN
}
