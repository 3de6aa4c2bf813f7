package redis_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// open opens a store that ends with the test.
func open(t *testing.T, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// lead opens a store and leads.
func lead(t *testing.T, o redis.Options) (*redis.Store, uint64) {
	t.Helper()
	s := open(t, o)
	epoch, err := s.Lead(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s, epoch
}

func at(p redistest.Place) redis.Options { return redis.Options{URL: p.URL, Prefix: p.Prefix} }

func TestEvictionIsRefused(t *testing.T) {
	server := redistest.Single(t, redistest.Memory(100<<20, "allkeys-lru"))
	_, err := redis.Open(t.Context(), redis.Options{URL: server.URL()})
	if err == nil || !strings.Contains(err.Error(), "maxmemory-policy") || !strings.Contains(err.Error(), "allkeys-lru") {
		t.Errorf("error is %v", err)
	}
	var log bytes.Buffer
	server = redistest.Single(t, redistest.Memory(0, "allkeys-lru"))
	open(t, redis.Options{URL: server.URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "maxmemory-policy") || !strings.Contains(log.String(), "append-only") {
		t.Errorf("the log does not warn:\n%s", &log)
	}
}

func TestEvictionIsRefusedOnEveryNode(t *testing.T) {
	cluster := redistest.Cluster(t, 3)
	if err := cluster.Nodes[2].Admin().ConfigSet(t.Context(), "maxmemory", "100mb").Err(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Nodes[2].Admin().ConfigSet(t.Context(), "maxmemory-policy", "volatile-ttl").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := redis.Open(t.Context(), redis.Options{URL: cluster.URL()})
	if err == nil || !strings.Contains(err.Error(), cluster.Nodes[2].Addr) {
		t.Errorf("error is %v, want %s in it", err, cluster.Nodes[2].Addr)
	}
	// A single node is found to be one of a Cluster.
	if err := cluster.Nodes[2].Admin().ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	if s := open(t, redis.Options{URL: cluster.Nodes[0].URL()}); s.Health().Mode != "cluster" {
		t.Errorf("mode is %s", s.Health().Mode)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	p := servers.SinglePlace(t)
	s := open(t, at(p))
	if s.Generation() == "" {
		t.Error("no generation")
	}
	admin := servers.Single(t).Admin()
	if err := admin.HSet(t.Context(), p.Prefix+"{shared}:meta", "schema", 2).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := redis.Open(t.Context(), at(p)); !errors.Is(err, store.ErrNewer) {
		t.Errorf("error is %v", err)
	}
}

func TestOtherPrefixesAreRefused(t *testing.T) {
	p := servers.SinglePlace(t)
	open(t, at(p))
	o := at(p)
	o.TaskPrefix = p.Prefix + "other:"
	if _, err := redis.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), p.Prefix+"task:") {
		t.Errorf("error is %v", err)
	}
	o.TaskPrefix = "a{b"
	if _, err := redis.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "braces") {
		t.Errorf("error is %v", err)
	}
}

func TestExpectedGeneration(t *testing.T) {
	p := servers.SinglePlace(t)
	o := at(p)
	o.Generation = "0123"
	for range 2 {
		if _, err := redis.Open(t.Context(), o); !errors.Is(err, store.ErrRolledBack) {
			t.Errorf("error is %v", err)
		}
		o.Generation = open(t, at(p)).Generation()
		open(t, o)
		o.Generation = "4567"
	}
}

func TestLoginAndTLS(t *testing.T) {
	const word = "top hat/@:%#?"
	server := redistest.Single(t, redistest.Password(word), redistest.MutualTLS())
	_, epoch := lead(t, redis.Options{URL: server.URL()})
	if now := time.Now().UnixMilli(); epoch < uint64(now)-60_000 || epoch > uint64(now)+60_000 {
		t.Errorf("epoch %d is not about the time, %d", epoch, now)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for _, url := range []string{
		strings.Replace(server.URL(), "top", "bottom", 1),
		strings.Replace(server.URL(), "rediss://:", "rediss://nobody:", 1),
	} {
		_, err := redis.Open(t.Context(), redis.Options{URL: url, Logger: logger})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "wrong") {
			t.Errorf("error is %v", err)
		}
		for _, s := range []string{err.Error(), log.String()} {
			if strings.Contains(s, "top") || strings.Contains(s, "hat") {
				t.Errorf("the password is shown: %s", s)
			}
		}
	}
	if _, err := redis.Open(t.Context(), redis.Options{URL: "rediss://" + server.Addr}); err == nil {
		t.Error("a certificate of nobody is trusted")
	}
}

// TestRestrictedUser: a user that may do what is needed, and no more.
func TestRestrictedUser(t *testing.T) {
	server := redistest.Single(t, redistest.User("clic", "secret", "~clic:*", "&clic:*", "+@all", "-@admin", "-@dangerous", "+info"))
	var log bytes.Buffer
	s, epoch := lead(t, redis.Options{URL: server.URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "CONFIG GET") {
		t.Errorf("the log does not say that the eviction policy could not be seen:\n%s", &log)
	}
	if err := s.Commit(t.Context(), epoch, []store.Change{creation("p-aaaaaaaa", 3)}); err != nil {
		t.Error(err)
	}
	_, err := redis.Open(t.Context(), redis.Options{URL: server.URL(), Prefix: "other:"})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "access-control list") {
		t.Errorf("error is %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	for _, url := range []string{"redis://127.0.0.1:1", "redis://127.0.0.1:1?master=x", "redis://127.0.0.1:1?cluster=true"} {
		if _, err := redis.Open(t.Context(), redis.Options{URL: url}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: error is %v", url, err)
		}
	}
}

// TestForeignKey: somebody else's key is in the place of a task.
func TestForeignKey(t *testing.T) {
	p := servers.SinglePlace(t)
	s, epoch := lead(t, at(p))
	if err := servers.Single(t).Admin().Set(t.Context(), p.Prefix+"task:{p-aaaaaaaa}", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	err := s.Commit(t.Context(), epoch, []store.Change{creation("p-aaaaaaaa", 1)})
	if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), p.Prefix) {
		t.Errorf("error is %v", err)
	}
	if err := s.Commit(t.Context(), epoch, []store.Change{creation("p-bbbbbbbb", 1)}); err != nil {
		t.Errorf("another task suffers: %v", err)
	}
}
