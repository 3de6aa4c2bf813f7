package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is what a console is made of.
type Config struct {
	// Listen is the host:port to listen on. Required.
	Listen string
	// Status says how the master is. It should answer within the time of its context, which is short, and may be called at any
	// time from several goroutines. Required.
	Status func(ctx context.Context) Status
	// Figures gives the counters; it may be called like Status. Required.
	Figures func() Figures
	// Log gets what goes wrong. Required.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// The bounds of what clients can take.
const (
	// askTime is how long the master may think about its status.
	askTime = 2 * time.Second
	// maxConnections is how many clients there may be at once; others wait to be accepted.
	maxConnections = 64
	maxHeader      = 16 << 10
	receiveTime    = 5 * time.Second
	answerTime     = 15 * time.Second
	idleTime       = time.Minute
)

// Server is the console. Make one with New.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server

	mu      sync.Mutex
	started bool
	done    chan struct{} // closed when nothing is served any more
}

// New opens the port, and does nothing else before Start. Clients may connect from now on.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Status == nil, cfg.Figures == nil, cfg.Log == nil:
		return nil, errors.New("cannot make a console without a status, figures and a logger")
	case cfg.Now == nil:
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, done: make(chan struct{})}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collector{cfg.Status, cfg.Figures, cfg.Now, s.panicked},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("cannot make a console: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", s.health)
	mux.HandleFunc("/readyz", s.ready)
	mux.HandleFunc("/status", s.status)
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: complaints{cfg.Log}, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: answerTime - time.Second,
	}))
	s.http = &http.Server{
		Handler:           s.guard(mux),
		ReadHeaderTimeout: receiveTime, ReadTimeout: receiveTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // clients that break off, mostly
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for HTTP on %s: %w", cfg.Listen, err)
	}
	s.listener = l
	return s, nil
}

// Addr is where the console listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Start begins to serve. Idempotent.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	s.started = true
	go func() {
		defer close(s.done)
		if err := s.http.Serve(newLimited(s.listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log.Error("the console has ended", "error", err)
		}
	}()
}

// Stop ends the console: requests that are under way are answered for as long as ctx allows. Idempotent.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	started := s.started
	if !started {
		s.started = true
		close(s.done)
	}
	s.mu.Unlock()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("cannot stop the console in order: %w", err), s.http.Close())
	}
	if closing := s.listener.Close(); closing != nil && !errors.Is(closing, net.ErrClosed) {
		err = errors.Join(err, closing)
	}
	<-s.done
	return err
}

// guard lets nothing but reading through, and ends no more than the request when something panics.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served", http.StatusMethodNotAllowed)
			return
		}
		defer func() {
			if v := recover(); v != nil {
				s.panicked(r.URL.Path, v)
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// panicked logs a panic. Whoever asked learns that there was one, the log the rest.
func (s *Server) panicked(what string, v any) {
	s.cfg.Log.Error("panic in the console", "in", what, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}

// health says that the process lives.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, map[string]bool{"healthy": true})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready  bool   `json:"ready"`
	Role   string `json:"role"`
	Leader string `json:"leader"`
	Reason string `json:"reason,omitempty"`
	// Degraded says what does not work, although calls are answered.
	Degraded []string `json:"degraded,omitempty"`
}

// ready says whether calls are answered.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	st := s.ask(r)
	code := http.StatusOK
	if !st.Ready {
		code = http.StatusServiceUnavailable
	}
	s.answer(w, code, readiness{Ready: st.Ready, Role: st.Role, Leader: st.Leader, Reason: st.Reason, Degraded: degraded(st)})
}

// degraded lists the executors that can do nothing.
func degraded(st Status) []string {
	var list []string
	for _, x := range st.Executors {
		if x.Trouble != "" {
			list = append(list, fmt.Sprintf("executor %q: %s", x.Name, x.Trouble))
		}
	}
	return list
}

// status says how the master is.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	st := s.ask(r)
	if st.Members == nil {
		st.Members = []Member{}
	}
	if st.Executors == nil {
		st.Executors = []Executor{}
	}
	if !st.Started.IsZero() {
		st.UptimeSeconds = int64(s.cfg.Now().Sub(st.Started).Seconds())
	}
	s.answer(w, http.StatusOK, st)
}

func (s *Server) ask(r *http.Request) Status {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	return s.cfg.Status(ctx)
}

func (s *Server) answer(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.cfg.Log.Error("cannot answer a request", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n')) // a client that has gone away needs no answer
}

// complaints are the errors of gathering metrics.
type complaints struct{ log *slog.Logger }

// Println logs.
func (c complaints) Println(v ...any) {
	c.log.Warn("cannot give all metrics", "error", fmt.Sprint(v...))
}

// limited accepts no more clients than it has places; others wait.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener, n int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits for a place, and then for a client.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close closes the listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// placed is a client that has a place.
type placed struct {
	net.Conn
	leave func()
}

// Close gives the place to somebody else.
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
