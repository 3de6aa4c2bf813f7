package redistest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// TestMain runs the tests, or is the process that TestEndsWithItsProcess kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("REDISTEST_CHILD"); dir != "" {
		s, err := redistest.Start(context.Background(), dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Fprintln(os.Stdout, s.PID())
		select {}
	}
	defer pool.Close()
	m.Run()
}

var pool redistest.Pool

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// client gives one connection that never tries twice.
func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	must(t, err)
	o.MaxRetries, o.PoolSize, o.DisableIdentity, o.ContextTimeoutEnabled = -1, 1, true, true
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// get is the value of a key at a server, "" if there is none.
func get(t *testing.T, s *redistest.Server, key string) string {
	t.Helper()
	v, err := s.Admin().Get(t.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return v
}

func set(t *testing.T, s *redistest.Server, key, value string) {
	t.Helper()
	must(t, s.Admin().Set(t.Context(), key, value, 0).Err())
}

func TestSingleKeepsWhatItShould(t *testing.T) {
	for _, c := range []struct {
		appendOnly       string
		stopped, crashed string
	}{{"no", "", ""}, {"everysec", "1", "2"}, {"always", "1", "2"}} {
		t.Run(c.appendOnly, func(t *testing.T) {
			s := redistest.Single(t, redistest.AppendOnly(c.appendOnly))
			set(t, s, "k", "1")
			must(t, s.Restart(t.Context()))
			if got := get(t, s, "k"); got != c.stopped {
				t.Errorf("after a stop: %q, want %q", got, c.stopped)
			}
			set(t, s, "k", "2")
			must(t, s.Crash(t.Context()))
			if got := get(t, s, "k"); got != c.crashed {
				t.Errorf("after a crash: %q, want %q", got, c.crashed)
			}
		})
	}
}

func TestGoingBack(t *testing.T) {
	s := redistest.Single(t, redistest.AppendOnly("everysec"))
	set(t, s, "k", "old")
	snapshot, err := s.Snapshot()
	must(t, err)
	set(t, s, "k", "new")
	must(t, s.RestartFrom(t.Context(), snapshot))
	if got := get(t, s, "k"); got != "old" {
		t.Errorf("with earlier data: %q", got)
	}
	must(t, s.RestartEmpty(t.Context()))
	if got := get(t, s, "k"); got != "" {
		t.Errorf("without data: %q", got)
	}
}

func TestPause(t *testing.T) {
	s := redistest.Single(t)
	c := client(t, s.URL())
	must(t, c.Ping(t.Context()).Err())
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume()
	must(t, s.Admin().Ping(t.Context()).Err())
	s.Pause()
	must(t, s.Stop())
	if s.Running() {
		t.Error("a stopped server runs")
	}
}

func TestWhoMayLogIn(t *testing.T) {
	t.Run("password", func(t *testing.T) {
		s := redistest.Single(t, redistest.Password(`a "b" c@:/`))
		must(t, client(t, s.URL()).Set(t.Context(), "k", "v", 0).Err())
		if err := client(t, "redis://"+s.Addr).Ping(t.Context()).Err(); err == nil {
			t.Error("nobody asks for the password")
		}
	})
	t.Run("user", func(t *testing.T) {
		s := redistest.Single(t, redistest.User("clic", "secret", "~clic:*", "&clic:*", "+@all", "-config"))
		c := client(t, s.URL())
		must(t, c.Set(t.Context(), "clic:k", "v", 0).Err())
		for what, err := range map[string]error{
			"another key": c.Set(t.Context(), "k", "v", 0).Err(), "CONFIG": c.ConfigGet(t.Context(), "*").Err(),
		} {
			if err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("%s: error is %v", what, err)
			}
		}
	})
}

func TestTLS(t *testing.T) {
	for name, opt := range map[string]redistest.Option{"server": redistest.TLS(), "mutual": redistest.MutualTLS()} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Single(t, opt)
			set(t, s, "k", "v")
			proxy := redistest.NewProxy(t, s.Addr)
			for _, address := range []string{s.URL(), s.URLVia(proxy)} {
				u, err := url.Parse(address)
				must(t, err)
				conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
				ca, err := os.ReadFile(u.Query().Get("ca"))
				must(t, err)
				conf.RootCAs.AppendCertsFromPEM(ca)
				if file := u.Query().Get("cert"); file != "" {
					pair, err := tls.LoadX509KeyPair(file, u.Query().Get("key"))
					must(t, err)
					conf.Certificates = []tls.Certificate{pair}
				}
				c := redis.NewClient(&redis.Options{Addr: u.Host, TLSConfig: conf, DisableIdentity: true})
				t.Cleanup(func() { _ = c.Close() })
				must(t, c.Get(t.Context(), "k").Err())
			}
		})
	}
}

func TestMemory(t *testing.T) {
	s := redistest.Single(t, redistest.Memory(10<<20, "allkeys-lru"))
	got, err := s.Admin().ConfigGet(t.Context(), "maxmemory*").Result()
	must(t, err)
	if got["maxmemory"] != strconv.Itoa(10<<20) || got["maxmemory-policy"] != "allkeys-lru" {
		t.Errorf("configuration is %v", got)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	_, err := redistest.Start(t.Context(), t.TempDir(), redistest.Config("no-such-setting 1"))
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("error is %v", err)
	}
}

func TestCluster(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []redistest.Option
	}{
		{"plain", []redistest.Option{redistest.AppendOnly("always")}},
		{"proxied", []redistest.Option{redistest.AppendOnly("always"), redistest.Proxied(), redistest.Password("secret")}},
		{"TLS", []redistest.Option{redistest.AppendOnly("always"), redistest.TLS()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster := redistest.Cluster(t, 3, c.opts...)
			all := cluster.Client()
			t.Cleanup(func() { _ = all.Close() })
			for i := range 50 {
				must(t, all.Set(t.Context(), fmt.Sprintf("{k%d}", i), i, 0).Err())
			}
			owner, err := cluster.Owner(t.Context(), "{k7}")
			must(t, err)
			if got := get(t, owner, "{k7}"); got != "7" {
				t.Errorf("the owner has %q", got)
			}
			for i, p := range cluster.Proxies {
				if p.Stats().Forwarded[redistest.Requests] == 0 {
					t.Errorf("nothing went through the proxy of node %d", i)
				}
			}
			must(t, owner.Crash(t.Context()))
			must(t, cluster.Await(t.Context()))
			must(t, all.Get(t.Context(), "{k7}").Err())
			must(t, owner.RestartEmpty(t.Context()))
			must(t, cluster.Await(t.Context()))
			if err := all.Get(t.Context(), "{k7}").Err(); !errors.Is(err, redis.Nil) {
				t.Errorf("error is %v, want nothing there", err)
			}
		})
	}
}

func TestSentinel(t *testing.T) {
	for name, opts := range map[string][]redistest.Option{
		"one":   {redistest.AppendOnly("everysec"), redistest.Password("secret")},
		"three": {redistest.AppendOnly("everysec"), redistest.Sentinels(3)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Sentinel(t, opts...)
			first, err := s.Master(t.Context())
			must(t, err)
			set(t, first, "k", "v")
			must(t, first.Admin().Wait(t.Context(), 1, 5*time.Second).Err())
			must(t, s.FailOver(t.Context()))
			second, err := s.Master(t.Context())
			must(t, err)
			if second == first || get(t, second, "k") != "v" {
				t.Errorf("the master after the fail-over is %s, with %q", second.Addr, get(t, second, "k"))
			}
			second.Kill()
			must(t, s.AwaitMaster(t.Context(), first))
			must(t, second.Start(t.Context()))
			must(t, s.Await(t.Context()))
		})
	}
}

func TestPool(t *testing.T) {
	var first redistest.Place
	t.Run("first", func(t *testing.T) {
		first = pool.SinglePlace(t)
		set(t, pool.Single(t), first.Prefix+"k", "v")
		back, err := redistest.ParsePlace(first.String())
		if err != nil || back != first {
			t.Errorf("read back as %v, %v", back, err)
		}
	})
	second := pool.SinglePlace(t)
	if second.Prefix == first.Prefix || second.URL != first.URL {
		t.Errorf("places %v and %v", first, second)
	}
	if got := get(t, pool.Single(t), first.Prefix+"k"); got != "" {
		t.Error("the first place was not cleared")
	}
	if _, err := redistest.ParsePlace("nothing"); err == nil {
		t.Error("a place that is none is read")
	}
}

// TestEndsWithItsProcess kills a process that has started a server.
func TestEndsWithItsProcess(t *testing.T) {
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), "REDISTEST_CHILD="+t.TempDir())
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	must(t, child.Process.Kill())
	_ = child.Wait() // was killed
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		if gone(pid) {
			return
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the server runs on")
		}
	}
}

// gone says whether a process has ended, be it that nobody has waited for it yet.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
