package hdfs

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	lib "github.com/colinmarc/hdfs/v2"
)

// errClosed is why a session ends that nothing is wrong with.
var errClosed = errors.New("the connection was closed")

// A session is a client of the library and all its connections, used by one call or one open file at a time: the library's clients lock
// while they wait for the namenode, and share what they do not lock. Each renews the leases of what it writes by itself, once a second, and
// so finds out by itself that its connection is gone.
type session struct {
	fs      *FS
	options lib.ClientOptions
	dialing context.Context // ends with the session
	stop    context.CancelFunc
	tap     tap
	timer   *time.Timer // while it is idle

	mu       sync.Mutex
	client   *lib.Client
	ended    error
	conns    map[*conn]bool
	namenode string // the address dialled last
	broken   error  // what went wrong last on a connection to a namenode
	lost     error  // … to a datanode, since the last forget
}

func newSession(f *FS, namenodes []string) *session {
	s := &session{fs: f, conns: map[*conn]bool{}}
	s.dialing, s.stop = context.WithCancel(context.Background())
	c := f.config
	s.options = lib.ClientOptions{
		Addresses:           namenodes,
		User:                c.User,
		UseDatanodeHostname: c.DatanodeHostnames,
		NamenodeDialFunc: func(_ context.Context, network, address string) (net.Conn, error) {
			return s.dial(network, address, true)
		},
		DatanodeDialFunc: func(_ context.Context, network, address string) (net.Conn, error) {
			return s.dial(network, address, false)
		},
		KerberosClient:               f.kerberos,
		KerberosServicePrincipleName: c.Kerberos.Service,
		DataTransferProtection:       c.Protection,
	}
	return s
}

// connect makes the library's client, with a connection to the first namenode that takes one.
func (s *session) connect() error {
	client, err := lib.NewClient(s.options)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		_ = client.Close() // its connections are closed already
		return s.ended
	}
	s.client = client
	return nil
}

// bind has the session end with the context, until the function that it gives is called.
func (s *session) bind(ctx context.Context) (unbind func()) {
	s.tap.begin()
	s.forget()
	stop := context.AfterFunc(ctx, func() { s.kill(ctx.Err()) })
	return func() { stop() }
}

// kill closes all connections and lets no new ones be made.
func (s *session) kill(why error) {
	s.mu.Lock()
	if s.ended == nil {
		s.ended = why
	}
	conns := s.conns
	s.conns = map[*conn]bool{}
	s.mu.Unlock()
	s.stop()
	for c := range conns {
		c.fail(why)
	}
}

// end kills the session and ends the library's client, once.
func (s *session) end(why error) {
	s.kill(why)
	s.mu.Lock()
	client := s.client
	s.client = nil
	s.mu.Unlock()
	if client != nil {
		_ = client.Close() // its connections are closed already
	}
}

// healthy says whether the session can be used for another call.
func (s *session) healthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client != nil && s.ended == nil && s.broken == nil
}

// address gives the namenode that was dialled last.
func (s *session) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.namenode
}

// forget forgets what went wrong with datanodes, and lostDatanode gives what has since.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = nil
}

func (s *session) lostDatanode() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// closeData closes the connections to datanodes. The library leaves some of them open when it goes on to the next one.
func (s *session) closeData() {
	s.mu.Lock()
	var conns []*conn
	for c := range s.conns {
		if c.tap == nil {
			conns = append(conns, c)
		}
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.fail(errClosed)
	}
}

func (s *session) dial(network, address string, namenode bool) (net.Conn, error) {
	dialer := net.Dialer{Timeout: s.fs.config.ConnectTimeout}
	under, err := dialer.DialContext(s.dialing, network, address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if namenode {
		s.namenode = address
	}
	if err != nil {
		if !namenode {
			s.lost = err
		}
		return nil, err
	}
	if s.ended != nil {
		under.Close()
		return nil, s.ended
	}
	c := newConn(s, under)
	if namenode {
		c.tap, c.timeout = &s.tap, s.fs.config.CallTimeout
		s.tap.connected()
		// The library dials again where it has given up the connection before.
		s.broken = nil
	} else {
		c.timeout = s.fs.config.DataTimeout
	}
	s.conns[c] = true
	return c, nil
}

// note records that a connection failed.
func (s *session) note(c *conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.ended != nil || errors.Is(err, errClosed) {
		return
	}
	if c.tap != nil {
		s.broken = err
	} else {
		s.lost = err
	}
}
