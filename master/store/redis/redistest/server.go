package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a Redis server that runs, is paused, or is away for a while. Its address stays the same.
type Server struct {
	// Addr is host and port.
	Addr string
	// Dir holds the configuration and the data (in data/) of the server.
	Dir string
	// Certs are the certificates of a server with TLS, else nil.
	Certs *Certs

	opts options
	args []string // after the configuration file

	mu     sync.Mutex
	proc   *process
	admin  *redis.Client
	closed bool
}

// Single starts a server that ends with the test.
func Single(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s, err := Start(tb.Context(), tb.TempDir(), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server in dir, which must be there. The caller closes it; it also ends with the process.
func Start(ctx context.Context, dir string, opts ...Option) (*Server, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o.start(ctx, dir)
}

// start tries ports until one is free.
func (o options) start(ctx context.Context, dir string) (*Server, error) {
	s := &Server{Dir: dir, opts: o, args: o.args}
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		return nil, err
	}
	if err := o.certify(dir); err != nil {
		return nil, err
	}
	s.Certs = o.certs
	for range 20 {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		s.Addr = net.JoinHostPort(loopback, strconv.Itoa(port))
		if err := s.configure(ctx, port); err != nil {
			return nil, err
		}
		if err := s.Start(ctx); !errors.Is(err, errPort) {
			if err != nil {
				s.Close()
				return nil, err
			}
			return s, nil
		}
	}
	return nil, fmt.Errorf("cannot start a Redis server: %w", errPort)
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }
func (s *Server) conf() string { return filepath.Join(s.Dir, "redis.conf") }

// configure writes the configuration file. A server rewrites it later, so this is done once.
func (s *Server) configure(ctx context.Context, port int) error {
	lines := []string{"bind " + loopback, "dir " + s.data(), "daemonize no", "tcp-backlog 128", `save ""`}
	if s.Certs == nil {
		lines = append(lines, fmt.Sprint("port ", port))
	} else {
		lines = append(lines, "port 0", fmt.Sprint("tls-port ", port), "tls-replication yes", "tls-cluster yes",
			"tls-ca-cert-file "+s.Certs.CA, "tls-cert-file "+s.Certs.Cert, "tls-key-file "+s.Certs.Key)
	}
	if s.opts.cluster {
		bus, err := freePort(ctx)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprint("cluster-port ", bus))
	}
	lines = append(lines, s.opts.lines...)
	return os.WriteFile(s.conf(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// Start starts a server that was stopped or killed, with what is in its directory, and waits until it answers. A server that
// runs is left as it is.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("cannot start a server that was closed")
	}
	if s.proc != nil && !ended(s.proc) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := spawn(ctx, s.Dir, s.conf(), s.args...)
	if err != nil {
		return err
	}
	s.proc = p
	if s.admin == nil {
		s.admin = redis.NewClient(s.clientOptions())
	}
	if err := s.admin.Ping(ctx).Err(); err != nil {
		p.kill()
		return fmt.Errorf("server at %s does not answer: %w", s.Addr, err)
	}
	return nil
}

func ended(p *process) bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// Running says whether the server's process is there, be it paused.
func (s *Server) Running() bool {
	p := s.process()
	return p != nil && !ended(p)
}

// PID is the process id of the server, as it was started last.
func (s *Server) PID() int { return s.process().cmd.Process.Pid }

// Log is the end of what the server said.
func (s *Server) Log() string { return s.process().log() }

// Stop ends the server in order: what it keeps on disk is there when it is started again.
func (s *Server) Stop() error { return s.process().stop() }

// Kill ends the server at once. What it has written to its append-only file is kept by the operating system.
func (s *Server) Kill() { s.process().kill() }

// Pause stops the server's process; its connections stay, and nothing is answered.
func (s *Server) Pause() { s.process().signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.process().signal(syscall.SIGCONT) }

// Restart is Stop and Start.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Crash is Kill and Start.
func (s *Server) Crash(ctx context.Context) error {
	s.Kill()
	return s.Start(ctx)
}

// Snapshot is what a server had on disk at some time.
type Snapshot struct{ dir string }

// Snapshot copies the server's data as it is on disk now, as if the machine had lost its power after this moment. Only a server
// with an append-only file has all that it answered on disk.
func (s *Server) Snapshot() (Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := os.MkdirTemp(s.Dir, "snapshot-")
	if err != nil {
		return Snapshot{}, err
	}
	if !ended(s.proc) {
		s.proc.signal(syscall.SIGSTOP)
		defer s.proc.signal(syscall.SIGCONT)
	}
	return Snapshot{dir: dir}, copyTree(s.data(), dir)
}

// RestartFrom kills the server and starts it with the data of an earlier time: what was acknowledged since is lost.
func (s *Server) RestartFrom(ctx context.Context, snapshot Snapshot) error {
	return s.restartWith(ctx, func() error { return copyTree(snapshot.dir, s.data()) })
}

// RestartEmpty kills the server and starts it without any data. In a Cluster the node keeps its place.
func (s *Server) RestartEmpty(ctx context.Context) error {
	return s.restartWith(ctx, func() error { return os.MkdirAll(s.data(), 0o700) })
}

func (s *Server) restartWith(ctx context.Context, fill func() error) error {
	s.Kill()
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close ends the server for good. Idempotent.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.admin != nil {
		_ = s.admin.Close() // the server goes anyway
		s.admin = nil
	}
	if s.proc != nil {
		s.proc.kill()
	}
}

// Admin is a client that may do everything; it ends with the server. It is nil once the server is closed.
func (s *Server) Admin() *redis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admin
}

func (s *Server) clientOptions() *redis.Options {
	o := &redis.Options{
		Addr: s.Addr, Username: s.opts.adminUser, Password: s.opts.password, DisableIdentity: true,
		// A server that was just started may still be loading, and one that was paused has connections that do not answer.
		MaxRetries: 10, MinRetryBackoff: 5 * time.Millisecond, MaxRetryBackoff: 200 * time.Millisecond,
	}
	if s.Certs != nil {
		o.TLSConfig = s.Certs.config()
	}
	return o
}

// URL is how the store is told to use this server: redis:// or rediss://, with what is needed to log in, database 0.
func (s *Server) URL() string { return s.urlOf(s.Addr) }

// URLVia is the URL by way of a proxy. The certificates of a server with TLS are good for it.
func (s *Server) URLVia(p *Proxy) string { return s.urlOf(p.Addr) }

func (s *Server) urlOf(hosts string) string {
	u := url.URL{Scheme: "redis", Host: hosts, Path: "/0", User: s.opts.userinfo()}
	if s.Certs != nil {
		u.Scheme = "rediss"
		u.RawQuery = s.Certs.query(s.opts.mutual)
	}
	return u.String()
}

// config is what a client needs to trust the server, and to show who it is.
func (c *Certs) config() *tls.Config { return c.client.Clone() }
