package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/rpc"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
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
	cfg      Config
	log      *slog.Logger
	lock     *os.File
	store    store.Store
	engine   *engine.Engine
	server   *rpc.Server
	listener net.Listener
	ready    chan struct{}

	mu      sync.Mutex
	started bool
	closed  bool
}

// New makes a master: it opens the data directory and the port, and does nothing else before Run. Zero fields of the
// configuration get their defaults. Errors wrap ErrInUse where another master is in the way; the message says what to do.
func New(cfg Config) (*Master, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot use this configuration: %w", err)
	}
	m := &Master{cfg: cfg, log: cfg.Logger, ready: make(chan struct{})}
	for _, step := range []func() error{m.lockData, m.openStore, m.listen, m.build} {
		if err := step(); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// lockData makes sure that this is the only master of the data directory.
func (m *Master) lockData() error {
	dir := m.cfg.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	lock, err := lockSoon(filepath.Join(dir, lockName), dir)
	if errors.Is(err, ErrInUse) {
		who := "another clic-master"
		if p, ok := readPresence(dir); ok {
			who += " (" + p.String() + ")"
		}
		return fmt.Errorf("data directory %s is %w by %s: stop that one, use it as it is, or choose another directory with --data-dir",
			dir, ErrInUse, who)
	}
	if err != nil {
		return fmt.Errorf("cannot lock the data directory: %w", err)
	}
	m.lock = lock
	return nil
}

// openStore opens the store.
func (m *Master) openStore() error {
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
	lc := m.cfg.Local
	lc.DataDir, lc.Logger = m.cfg.DataDir, m.log
	stages, err := local.New(lc)
	if err != nil {
		return fmt.Errorf("cannot make the local executor: %w", err)
	}
	key, err := tokenKey(m.cfg.DataDir)
	if err != nil {
		return err
	}
	reader, err := results.New(results.Config{Roots: m.cfg.ResultDirs})
	if err != nil {
		return fmt.Errorf("cannot make the reader of results: %w", err)
	}
	host, port, err := m.cfg.callback(m.Addr())
	if err != nil {
		return err
	}
	m.engine, err = engine.New(engine.Config{
		Store:      m.store,
		Executors:  map[string]executors.Executor{executorLocal: stages},
		Route:      m.cfg.route,
		MasterHost: host, MasterPort: port,
		Slots:     m.cfg.Slots,
		Limits:    m.cfg.PlanLimits,
		Retain:    m.cfg.Retain,
		Callbacks: m.cfg.Callbacks,
		TokenKey:  key,
		ReadFile:  files{"plan file", append(slices.Clone(m.cfg.PlanDirs), m.cfg.ResultDirs...), maxPlanFile}.read,
		Log:       m.log,
	})
	if err != nil {
		return err
	}
	if m.cfg.NoListen {
		return nil
	}
	zone, err := m.cfg.location()
	if err != nil {
		return err
	}
	m.server, err = rpc.NewServer(rpc.NewService(rpc.Config{
		Engine:   m.engine,
		Results:  reader,
		ReadPlan: files{"plan", m.cfg.PlanDirs, int64(m.cfg.Limits.MessageBytes)}.read,
		Location: zone,
		Version:  m.cfg.Version, Address: m.Addr().String(), Store: m.cfg.storeName(),
		Started: time.Now(),
	}), m.cfg.Limits, m.log)
	return err
}

// Addr is where the master listens, nil if it does not.
func (m *Master) Addr() net.Addr {
	if m.listener == nil {
		return nil
	}
	return m.listener.Addr()
}

// API is the engine, for use in the same process. It takes calls once the master is Ready.
func (m *Master) API() engine.API { return m.engine }

// Ready is closed once the master serves.
func (m *Master) Ready() <-chan struct{} { return m.ready }

// Run starts everything, serves until ctx is done, and stops everything in reverse order: calls that are under way are
// answered for as long as Config.StopTimeout allows. Stages run on. It returns nil after a stop that was asked for, and an
// error that wraps ErrReplaced when another master took over. Run may be called once.
func (m *Master) Run(ctx context.Context) (err error) {
	m.mu.Lock()
	if m.started || m.closed {
		m.mu.Unlock()
		return errors.New("cannot run a master twice")
	}
	m.started = true
	m.mu.Unlock()
	defer func() { err = errors.Join(err, m.Close()) }()

	if err := m.engine.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it was up
		}
		return fmt.Errorf("cannot start: %w", err)
	}
	if m.server != nil {
		if err := m.server.Serve(m.listener); err != nil {
			return errors.Join(err, m.stop())
		}
	}
	if err := m.announce(m.cfg.DataDir); err != nil {
		return errors.Join(err, m.stop())
	}
	defer withdraw(m.cfg.DataDir)
	close(m.ready)
	for _, note := range m.cfg.Notes {
		m.log.Warn(note)
	}

	select {
	case <-ctx.Done():
		m.log.Info("stopping", "timeout", m.cfg.StopTimeout)
		return m.stop()
	case <-m.engine.Lost():
		return errors.Join(ErrReplaced, m.stop())
	}
}

// stop ends what Run has started, in reverse order.
func (m *Master) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.StopTimeout)
	defer cancel()
	if m.server != nil {
		if err := m.server.Stop(ctx); err != nil {
			// Clients were cut off, which they have to live with; nothing is lost.
			m.log.Warn("calls were cut off", "error", err)
		}
	}
	if err := m.engine.Stop(ctx); err != nil {
		return fmt.Errorf("cannot stop in order: %w", err)
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
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.lock != nil {
		// Closing lets go of the lock.
		errs = append(errs, m.lock.Close())
	}
	return errors.Join(errs...)
}
