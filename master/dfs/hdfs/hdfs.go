// Package hdfs is HDFS by its own protocols as a file system of package dfs, over github.com/colinmarc/hdfs. What that library does not
// do by itself is done here:
//
//   - Bytes that fail their checksum are never delivered (pieces.Read says how), and no call waits longer than its context or the
//     configured bounds (conn): a connection that was late is closed, so that no answer is taken for that of another call.
//   - A library's client is used by one call or one open file at a time (session): a call that hangs holds up no other one.
//   - Calls that may be repeated are, for longer than a namenode takes to restart or fail over (FS.call).
//   - Nothing is overwritten by a rename: the request says so itself (tap).
//   - Files are written beside their place and moved there when they are complete; what fits into memory is written anew when a
//     datanode is lost on the way (writer).
package hdfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	lib "github.com/colinmarc/hdfs/v2"
	krb "github.com/jcmturner/gokrb5/v8/client"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
)

const (
	// maxSessions bounds the connections to the namenodes: as many calls and open files can be at once, more wait.
	maxSessions = 64
	// maxIdle of them are kept for the next calls, each for idleTime.
	maxIdle  = 8
	idleTime = 20 * time.Second
)

// FS is an HDFS. Use New.
type FS struct {
	config   hadoop.Config
	kerberos *krb.Client // nil without Kerberos
	slots    chan struct{}

	mu        sync.Mutex
	closed    bool
	sessions  map[*session]bool
	idle      []*session // the one used last is at the end
	namenodes []string   // the one that answered last comes first
	defaults  *lib.ServerDefaults
}

var _ dfs.FS = (*FS)(nil)

// New makes the file system of a configuration, which takes its defaults here. Nothing is connected to yet, but with Kerberos: files that
// it needs are read, and a wrong one is an error.
func New(config hadoop.Config) (*FS, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot use the HDFS %q: %w", config.Name, err)
	}
	f := &FS{
		config:    config,
		slots:     make(chan struct{}, maxSessions),
		sessions:  map[*session]bool{},
		namenodes: slices.Clone(config.Namenodes),
	}
	if config.Kerberos.Enabled() {
		var err error
		if f.kerberos, err = newKerberos(config.Kerberos); err != nil {
			return nil, fmt.Errorf("cannot use the HDFS %q: %w", config.Name, err)
		}
	}
	return f, nil
}

// Close is dfs.FS's.
func (f *FS) Close() error {
	f.mu.Lock()
	f.closed = true
	sessions := f.sessions
	f.sessions, f.idle = map[*session]bool{}, nil
	f.mu.Unlock()
	for s := range sessions {
		s.end(errClosed)
	}
	if f.kerberos != nil {
		f.kerberos.Destroy()
	}
	return nil
}

// call makes a call of the library with a session of its own. While the file system is not available it is made again, if it may be:
// because repeat says so, or because the namenode has not done it.
func (f *FS) call(ctx context.Context, repeat bool, do func(*session) error) error {
	return f.persist(ctx, func() (bool, error) {
		err := f.once(ctx, do)
		return repeat || errors.Is(err, errNotDone), err
	})
}

// persist tries something as long as it fails because the file system is not available, and says that it may be tried again, until
// RetryFor has passed.
func (f *FS) persist(ctx context.Context, try func() (again bool, err error)) error {
	until := time.Now().Add(f.config.RetryFor)
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		again, err := try()
		if !again || !errors.Is(err, dfs.ErrUnavailable) || errors.Is(err, errClosed) || time.Now().Add(wait).After(until) {
			return err
		}
		if !pause(ctx, wait) {
			return unavailable(ctx.Err())
		}
	}
}

const (
	firstWait   = 50 * time.Millisecond
	longestWait = time.Second
)

// pause waits, and says whether the context still holds.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *FS) once(ctx context.Context, do func(*session) error) error {
	s, err := f.acquire(ctx)
	if err != nil {
		return err
	}
	unbind := s.bind(ctx)
	err = s.explain(ctx, do(s))
	unbind()
	if errors.Is(err, dfs.ErrUnavailable) {
		// The library would not ask a namenode again for a while that it has had no answer from.
		s.kill(errClosed)
	}
	f.release(s)
	return err
}

// acquire gives a session that nobody else uses until it is released.
func (f *FS) acquire(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	if err := f.takeSlot(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		<-f.slots
		return nil, unavailable(errClosed)
	}
	if n := len(f.idle); n > 0 {
		s := f.idle[n-1]
		f.idle = f.idle[:n-1]
		f.mu.Unlock()
		s.timer.Stop()
		if s.healthy() {
			return s, nil
		}
		f.discard(s)
		f.mu.Lock()
	}
	s := newSession(f, slices.Clone(f.namenodes))
	f.sessions[s] = true
	f.mu.Unlock()

	unbind := s.bind(ctx)
	err := s.connect()
	unbind()
	if err != nil {
		err = s.explain(ctx, err)
		f.release(s)
		return nil, err
	}
	return s, nil
}

// takeSlot waits until there may be one more session.
func (f *FS) takeSlot(ctx context.Context) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(f.config.RetryFor)
	defer timer.Stop()
	why := fmt.Errorf("all %d connections are in use", maxSessions)
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		why = fmt.Errorf("%w: %w", why, ctx.Err())
	}
	return notDone{unavailable(why)}
}

// release takes a session back, for others if it is in order.
func (f *FS) release(s *session) {
	defer func() { <-f.slots }()
	good := s.healthy()
	f.mu.Lock()
	f.prefer(s, good)
	if !good || f.closed || len(f.idle) == maxIdle {
		f.mu.Unlock()
		f.discard(s)
		return
	}
	s.timer = time.AfterFunc(idleTime, func() { f.expire(s) })
	f.idle = append(f.idle, s)
	f.mu.Unlock()
}

// prefer puts a namenode that answered first, and one that did not last.
func (f *FS) prefer(s *session, good bool) {
	address := s.address()
	i := slices.Index(f.namenodes, address)
	if i < 0 || len(f.namenodes) == 1 {
		return
	}
	f.namenodes = slices.Delete(f.namenodes, i, i+1)
	if good {
		f.namenodes = slices.Insert(f.namenodes, 0, address)
	} else {
		f.namenodes = append(f.namenodes, address)
	}
}

func (f *FS) discard(s *session) {
	s.end(errClosed)
	f.mu.Lock()
	delete(f.sessions, s)
	f.mu.Unlock()
}

// expire ends a session that nobody has used for a while.
func (f *FS) expire(s *session) {
	f.mu.Lock()
	i := slices.Index(f.idle, s)
	if i >= 0 {
		f.idle = slices.Delete(f.idle, i, i+1)
	}
	f.mu.Unlock()
	if i >= 0 {
		f.discard(s)
	}
}
