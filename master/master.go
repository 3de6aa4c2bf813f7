package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/master/console"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/logstore"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/rpc"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// Errors that callers branch on.
var (
	// ErrInUse: another master has the data directory, or another program the port.
	ErrInUse = errors.New("in use")
	// ErrReplaced: another master has taken the lead while this one ran.
	ErrReplaced = errors.New("another master has taken the lead")
)

// maxPlanFile bounds the files in which the stages of the CLIC form say where their results are.
const maxPlanFile = 4 << 20

// Master is a whole master. Make one with New, and then either Run or Close it.
type Master struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File
	// store keeps the tasks; shared is the same store where several masters can use it, nil where it serves one only.
	store  store.Store
	shared store.Shared
	remote *redis.Store
	// member is this master as the others see it.
	member   store.Member
	started  time.Time
	server   *rpc.Server
	console  *console.Server
	listener net.Listener
	ready    chan struct{}
	once     sync.Once

	// What every term needs.
	tokenKey     []byte
	files        *filesystems
	reader       *results.Reader
	uploads      *uploading // nil where nothing is taken
	cleaning     *cleaning
	logs         map[string]*logstore.Store // archives of logs in a file system of others, by executor
	zone         *time.Location
	callbackHost string
	callbackPort int

	reign *reign
	term  atomic.Pointer[term]
	known atomic.Pointer[[]store.Member] // the members, as they were last listed

	mu     sync.Mutex
	ran    bool
	closed bool
}

// New makes a master: it opens the data directory, the store and the port, and does nothing else before Run. Zero fields of
// the configuration get their defaults. Errors wrap ErrInUse where another master is in the way; the message says what to do.
func New(cfg Config) (*Master, error) {
	cfg = cfg.WithDefaults()
	if err := errors.Join(cfg.Validate(), cfg.Makers.missing(cfg.usedExecutors(), cfg.onCluster)); err != nil {
		return nil, fmt.Errorf("cannot use this configuration: %w", err)
	}
	m := &Master{cfg: cfg, log: cfg.Logger, ready: make(chan struct{}), started: time.Now()}
	for _, step := range []func() error{m.lockData, m.openStore, m.listen, m.build} {
		if err := step(); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// lockData makes sure that this is the only master of the data directory, or that all of them share a store.
func (m *Master) lockData() error {
	dir := m.cfg.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	lock, err := lockSoon(filepath.Join(dir, lockName), dir, m.cfg.storeIsShared())
	if errors.Is(err, ErrInUse) {
		who := "another clic-master"
		if p, ok := readPresence(dir); ok {
			who += " (" + p.String() + ")"
		}
		hint := "stop that one, use it as it is, or choose another directory with --data-dir"
		if !m.cfg.storeIsShared() {
			hint += " (several masters can share a directory only if they share a Redis: --store redis://HOST:PORT/0)"
		}
		return fmt.Errorf("data directory %s is %w by %s: %s", dir, ErrInUse, who, hint)
	}
	if err != nil {
		return fmt.Errorf("cannot lock the data directory: %w", err)
	}
	m.lock = lock
	return nil
}

// openStore opens the store.
func (m *Master) openStore() error {
	if m.cfg.storeIsShared() {
		s, err := m.cfg.openRemembered(context.Background())
		if err != nil {
			return err
		}
		m.store, m.shared, m.remote = s, s, s
		return nil
	}
	dir, err := m.cfg.storeDir()
	if err != nil {
		return err
	}
	s, err := bolt.Open(dir)
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("the store in %s is %w by another process: stop that one, or choose another store with --store", dir, ErrInUse)
	}
	if err != nil {
		return err
	}
	m.store = s
	return nil
}

// listen opens the port. Clients may connect from now on; they are served from Run on.
func (m *Master) listen() error {
	if m.cfg.NoListen {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", m.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %s is %w by another program, perhaps another clic-master: stop that one, or choose another port with --listen HOST:PORT",
			m.cfg.Listen, ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", m.cfg.Listen, err)
	}
	m.listener = l
	return nil
}

// build makes what runs and what serves.
func (m *Master) build() error {
	var err error
	if m.callbackHost, m.callbackPort, err = m.cfg.callback(m.Addr()); err != nil {
		return err
	}
	if m.zone, err = m.cfg.location(); err != nil {
		return err
	}
	if err := m.openFiles(); err != nil {
		return err
	}
	if m.member, err = m.self(); err != nil {
		return err
	}
	if m.shared != nil {
		m.tokenKey, err = m.shared.Secret(context.Background(), "token", tokenKeySize)
	} else {
		m.tokenKey, err = tokenKey(m.cfg.DataDir)
	}
	if err != nil {
		return err
	}
	if !m.cfg.NoListen {
		if m.server, err = rpc.NewServer(m.cfg.Limits, m.log); err != nil {
			return err
		}
	}
	if m.cfg.HTTP != "" {
		if m.console, err = m.newConsole(); err != nil {
			return err
		}
	}
	if m.shared != nil {
		m.server.Describe(rpc.NewService(m.about()))
		// The executors of a term are made when it begins. That they cannot be made is better said at once.
		all, err := m.makeExecutors()
		err = errors.Join(err, m.stopExecutors(all))
		if err != nil {
			return err
		}
		m.reign, err = newReign(m)
		return err
	}
	t, err := m.newTerm()
	if err != nil {
		return err
	}
	m.term.Store(t)
	return nil
}

// Addr is where the master listens, nil if it does not.
func (m *Master) Addr() net.Addr {
	if m.listener == nil {
		return nil
	}
	return m.listener.Addr()
}

// ConsoleAddr is where the master serves HTTP, nil if it does not.
func (m *Master) ConsoleAddr() net.Addr {
	if m.console == nil {
		return nil
	}
	return m.console.Addr()
}

// API is the engine, for use in the same process, of a master that has its store alone; else nil. It takes calls once the
// master is Ready.
func (m *Master) API() engine.API {
	if t := m.term.Load(); t != nil && m.shared == nil {
		return t.engine
	}
	return nil
}

// Ready is closed once the master serves: by itself, or through the master that leads.
func (m *Master) Ready() <-chan struct{} { return m.ready }

func (m *Master) isReady() {
	m.once.Do(func() {
		close(m.ready)
		for _, note := range m.cfg.Notes {
			m.log.Warn(note)
		}
	})
}

// Run starts everything, serves until ctx is done, and stops everything in reverse order: calls that are under way are
// answered for as long as Config.StopTimeout allows. Stages run on. It returns nil after a stop that was asked for, and an
// error that wraps ErrReplaced when another master took over a store that serves one only. Run may be called once.
func (m *Master) Run(ctx context.Context) (err error) {
	m.mu.Lock()
	if m.ran || m.closed {
		m.mu.Unlock()
		return errors.New("cannot run a master twice")
	}
	m.ran = true
	m.mu.Unlock()
	defer func() { err = errors.Join(err, m.Close()) }()

	if m.console != nil {
		m.console.Start()
		defer func() { err = errors.Join(err, m.stopConsole()) }()
	}
	if m.uploads != nil {
		m.uploads.start()
	}
	m.startLogs()
	m.cleaning.start()
	if m.shared != nil {
		return m.runShared(ctx)
	}
	return m.runAlone(ctx)
}

// runShared runs a master of several.
func (m *Master) runShared(ctx context.Context) error {
	if err := m.server.Serve(m.listener); err != nil {
		return err
	}
	err := m.reign.run(ctx)
	return errors.Join(err, m.stopServer())
}

// runAlone runs a master that has its store alone.
func (m *Master) runAlone(ctx context.Context) error {
	t := m.term.Load()
	if err := t.engine.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it was up
		}
		return fmt.Errorf("cannot start: %w", err)
	}
	stop := func() error { return errors.Join(m.stopServer(), t.stop(m.cfg.StopTimeout)) }
	if m.server != nil {
		m.server.Lead(t.service)
		if err := m.server.Serve(m.listener); err != nil {
			return errors.Join(err, stop())
		}
	}
	if err := m.announce(m.cfg.DataDir); err != nil {
		return errors.Join(err, stop())
	}
	defer withdraw(m.cfg.DataDir)
	m.isReady()

	select {
	case <-ctx.Done():
		m.log.Info("stopping", "timeout", m.cfg.StopTimeout)
		return stop()
	case <-t.engine.Lost():
		return errors.Join(ErrReplaced, stop())
	}
}

// stopServer answers what is under way, and serves nobody any more.
func (m *Master) stopServer() error {
	if m.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.StopTimeout)
	defer cancel()
	if err := m.server.Stop(ctx); err != nil {
		// Clients were cut off, which they have to live with; nothing is lost.
		m.log.Warn("calls were cut off", "error", err)
	}
	return nil
}

// Close gives back what New has taken. It is for a master that is not run; Run does it by itself. Idempotent.
func (m *Master) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	var errs []error
	if m.listener != nil {
		if err := m.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if m.uploads != nil {
		m.uploads.close()
	}
	if m.cleaning != nil {
		m.cleaning.close()
	}
	errs = append(errs, m.closeLogs())
	if m.files != nil {
		errs = append(errs, m.files.Close())
	}
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.lock != nil {
		// Closing lets go of the lock.
		errs = append(errs, m.lock.Close())
	}
	return errors.Join(errs...)
}
