package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/master/console"
	"github.com/clic-orchestrator/clic/master/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var moment = time.Date(2026, 3, 5, 14, 30, 0, 0, time.UTC)

// leader is a master that leads and has lost its store ten seconds ago.
func leader() console.Status {
	return console.Status{
		Ready: true, Role: "leader", Epoch: 7, Address: "a:1", Leader: "a:1", Version: "v1", Started: moment.Add(-time.Minute),
		Members:     []console.Member{{ID: "x", Address: "a:1", Leads: true}, {ID: "y\"\n", Address: "b:1", SilentMillis: 250}},
		Store:       console.Store{Name: "redis://s/0", StaleSince: moment.Add(-10 * time.Second), Trouble: "connection refused"},
		ActiveTasks: 2, ActiveStages: 30,
		Executors: []console.Executor{{Name: "kube", Trouble: "forbidden", TroubleSince: moment.Add(-time.Second)}, {Name: "local"}},
	}
}

func serve(t *testing.T, change func(*console.Config)) string {
	t.Helper()
	cfg := console.Config{
		Listen: "127.0.0.1:0",
		Status: func(context.Context) console.Status { return leader() },
		Figures: func() console.Figures {
			return console.Figures{Engine: &engine.Stats{Events: 5, Launches: 3}, Calls: console.Calls{Calls: 9}}
		},
		Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return moment },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	s.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for range 2 {
			if err := s.Stop(ctx); err != nil {
				t.Errorf("Stop: %v", err)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, method, url string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(b), a.Header
}

func TestAnswers(t *testing.T) {
	url := serve(t, nil)
	for path, want := range map[string]string{
		"/healthz": `{"healthy": true}`,
		"/readyz":  `{"ready": true, "role": "leader", "leader": "a:1", "degraded": ["executor \"kube\": forbidden"]}`,
		"/status": `{"ready": true, "role": "leader", "epoch": 7, "address": "a:1", "leader": "a:1",
			"members": [{"id": "x", "address": "a:1", "host": "", "pid": 0, "version": "", "leads": true, "silentMillis": 0},
				{"id": "y\"\n", "address": "b:1", "host": "", "pid": 0, "version": "", "leads": false, "silentMillis": 250}],
			"store": {"name": "redis://s/0", "reachable": false, "staleSince": "2026-03-05T14:29:50Z", "trouble": "connection refused"},
			"executors": [{"name": "kube", "trouble": "forbidden", "troubleSince": "2026-03-05T14:29:59Z"}, {"name": "local"}],
			"activeTasks": 2, "activeStages": 30, "version": "v1", "started": "2026-03-05T14:29:00Z", "uptimeSeconds": 60}`,
	} {
		code, body, header := get(t, http.MethodGet, url+path)
		if code != http.StatusOK || header.Get("Content-Type") != "application/json; charset=utf-8" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, code, header)
		}
		if diff := cmp.Diff(decoded(t, want), decoded(t, body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if code, body, _ := get(t, http.MethodHead, url+path); code != http.StatusOK || body != "" {
			t.Errorf("HEAD %s: %d %q", path, code, body)
		}
	}
}

func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestNotReady(t *testing.T) {
	url := serve(t, func(c *console.Config) {
		c.Status = func(context.Context) console.Status {
			return console.Status{Role: "follower", Reason: "no master leads at the moment"}
		}
	})
	code, body, _ := get(t, http.MethodGet, url+"/readyz")
	want := `{"ready": false, "role": "follower", "leader": "", "reason": "no master leads at the moment"}`
	if diff := cmp.Diff(decoded(t, want), decoded(t, body)); code != http.StatusServiceUnavailable || diff != "" {
		t.Errorf("%d (-want +got):\n%s", code, diff)
	}
	if code, _, _ := get(t, http.MethodGet, url+"/healthz"); code != http.StatusOK {
		t.Errorf("a master that only waits is not healthy: %d", code)
	}
}

func TestMetrics(t *testing.T) {
	url := serve(t, nil)
	code, body, _ := get(t, http.MethodGet, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	for _, want := range []string{
		`clic_build_info\{version="v1"\} 1`, `clic_ready 1`, `clic_role\{role="leader"\} 1`, `clic_role\{role="follower"\} 0`, `clic_epoch 7`,
		`clic_masters 2`, `clic_master_silence_seconds\{address="b:1",id="y\\"\\n"\} 0.25`, `clic_store_reachable 0`, `clic_store_stale_seconds 10`,
		`clic_executor_up\{executor="kube"\} 0`, `clic_executor_up\{executor="local"\} 1`,
		`clic_active_tasks 2`, `clic_active_stages 30`, `clic_engine_events_total 5`, `clic_engine_launches_total 3`, `clic_rpc_calls_total 9`,
		`go_goroutines \d+`, `process_open_fds \d+`, `# TYPE clic_engine_events_total counter`, `# TYPE clic_rpc_connections gauge`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(body) {
			t.Errorf("no line %s", want)
		}
	}
	follower := serve(t, func(c *console.Config) { c.Figures = func() console.Figures { return console.Figures{} } })
	if _, body, _ := get(t, http.MethodGet, follower+"/metrics"); strings.Contains(body, "clic_engine") || !strings.Contains(body, "clic_rpc_calls_total 0") {
		t.Errorf("a master that does not lead has an engine:\n%s", body)
	}
	// What cannot be shown does not take the rest with it.
	odd := serve(t, func(c *console.Config) {
		c.Status = func(context.Context) console.Status { return console.Status{Version: "\xff"} }
	})
	if code, body, _ := get(t, http.MethodGet, odd+"/metrics"); code != http.StatusOK || !strings.Contains(body, "clic_epoch 0") {
		t.Errorf("%d %s", code, body)
	}
}

func TestRefusals(t *testing.T) {
	url := serve(t, nil)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		if code, _, header := get(t, method, url+"/status"); code != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, code)
		}
	}
	for _, path := range []string{"/", "/nothing", "/status/x", "/debug/pprof"} {
		if code, _, _ := get(t, http.MethodGet, url+path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func TestPanicEndsNothing(t *testing.T) {
	var n atomic.Int32
	url := serve(t, func(c *console.Config) {
		c.Status = func(context.Context) console.Status {
			if n.Add(1) == 1 {
				panic("secret of the house")
			}
			return leader()
		}
	})
	if code, body, _ := get(t, http.MethodGet, url+"/status"); code != http.StatusInternalServerError || strings.Contains(body, "secret") {
		t.Errorf("%d %s", code, body)
	}
	if code, _, _ := get(t, http.MethodGet, url+"/status"); code != http.StatusOK {
		t.Errorf("afterwards: %d", code)
	}
}

// A panic while metrics are gathered is in a goroutine of its own, where nothing but the collector could catch it.
func TestPanicInMetrics(t *testing.T) {
	url := serve(t, func(c *console.Config) {
		c.Status = func(context.Context) console.Status { panic("secret of the house") }
	})
	if _, body, _ := get(t, http.MethodGet, url+"/metrics"); strings.Contains(body, "secret") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("%s", body)
	}
}

func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	entered, letGo := make(chan struct{}), make(chan struct{})
	s, err := console.New(console.Config{
		Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Figures: func() console.Figures { return console.Figures{} },
		Status: func(context.Context) console.Status {
			close(entered)
			<-letGo
			return leader()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	answered := make(chan error, 1)
	go func() {
		a, err := http.Get("http://" + s.Addr().String() + "/status")
		if err == nil {
			_, err = io.ReadAll(a.Body)
			err = errors.Join(err, a.Body.Close())
		}
		answered <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	close(letGo)
	if err := errors.Join(<-answered, <-stopped); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestNew(t *testing.T) {
	if _, err := console.New(console.Config{Listen: "127.0.0.1:0"}); err == nil {
		t.Error("a console of nothing")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := console.Config{
		Listen: l.Addr().String(), Log: slog.New(slog.DiscardHandler), Figures: func() console.Figures { return console.Figures{} },
		Status: func(context.Context) console.Status { return leader() },
	}
	if _, err := console.New(cfg); err == nil || !strings.Contains(err.Error(), "cannot listen for HTTP on") {
		t.Errorf("a port that is in use: %v", err)
	}
	cfg.Listen = "127.0.0.1:0"
	s, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// Never started.
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	s.Start()
}
