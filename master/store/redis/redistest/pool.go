package redistest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Pool has servers that the tests of a package share, to save the time of starting them. The zero value is ready; a server
// starts when it is asked for first. TestMain closes the pool after all tests.
type Pool struct {
	mu       sync.Mutex
	dir      string
	places   int
	single   *Server
	cluster  *ClusterSet
	sentinel *SentinelSet
}

// Place is a server and a prefix for keys that no other place has. Its String is the other way round of ParsePlace, for stores
// that are told one string.
type Place struct {
	URL, Prefix string
}

// String is the URL, a space, and the prefix.
func (p Place) String() string { return p.URL + " " + p.Prefix }

// ParsePlace reads what String gave.
func ParsePlace(s string) (Place, error) {
	url, prefix, ok := strings.Cut(s, " ")
	if !ok {
		return Place{}, fmt.Errorf("cannot read %q as a place", s)
	}
	return Place{URL: url, Prefix: prefix}, nil
}

// Single is the pool's single server. It keeps an append-only file, always in step.
func (p *Pool) Single(tb testing.TB) *Server {
	tb.Helper()
	s, err := get(p, &p.single, "single", func(dir string) (*Server, error) {
		return Start(context.Background(), dir, AppendOnly("always"))
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Cluster is the pool's Cluster of three nodes.
func (p *Pool) Cluster(tb testing.TB) *ClusterSet {
	tb.Helper()
	c, err := get(p, &p.cluster, "cluster", func(dir string) (*ClusterSet, error) {
		return StartCluster(context.Background(), dir, 3)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Sentinel is the pool's set with one Sentinel.
func (p *Pool) Sentinel(tb testing.TB) *SentinelSet {
	tb.Helper()
	s, err := get(p, &p.sentinel, "sentinel", func(dir string) (*SentinelSet, error) {
		return StartSentinel(context.Background(), dir)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// get starts a member of the pool if it is not there.
func get[T any](p *Pool, member **T, name string, start func(dir string) (*T, error)) (*T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *member != nil {
		return *member, nil
	}
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "redistest-")
		if err != nil {
			return nil, err
		}
		p.dir = dir
	}
	dir, err := os.MkdirTemp(p.dir, name+"-")
	if err != nil {
		return nil, err
	}
	started, err := start(dir)
	if err != nil {
		return nil, err
	}
	*member = started
	return started, nil
}

// SinglePlace is a new place on the single server. What is in a place is deleted when the test ends.
func (p *Pool) SinglePlace(tb testing.TB) Place {
	tb.Helper()
	s := p.Single(tb)
	return p.place(tb, s.URL(), s)
}

// ClusterPlace is a place on the Cluster.
func (p *Pool) ClusterPlace(tb testing.TB) Place {
	tb.Helper()
	c := p.Cluster(tb)
	return p.place(tb, c.URL(), c.Nodes...)
}

// SentinelPlace is a place on the set with a Sentinel.
func (p *Pool) SentinelPlace(tb testing.TB) Place {
	tb.Helper()
	s := p.Sentinel(tb)
	return p.place(tb, s.URL(), s.Servers[:]...)
}

func (p *Pool) place(tb testing.TB, url string, servers ...*Server) Place {
	tb.Helper()
	p.mu.Lock()
	p.places++
	prefix := fmt.Sprintf("p%d.%d:", os.Getpid(), p.places)
	p.mu.Unlock()
	tb.Cleanup(func() {
		for _, s := range servers {
			// The test's own context has ended.
			if err := s.Clear(context.WithoutCancel(tb.Context()), prefix); err != nil {
				tb.Errorf("cannot clear %s: %v", s.Addr, err)
			}
		}
	})
	return Place{URL: url, Prefix: prefix}
}

// Clear deletes every key of a server that begins with a prefix, which has no special characters. A replica is left to its master.
func (s *Server) Clear(ctx context.Context, prefix string) error {
	admin := s.Admin()
	if admin == nil {
		return nil // it has gone, with all that it had
	}
	for it := admin.Scan(ctx, 0, prefix+"*", 10_000).Iterator(); ; {
		var keys []string
		for len(keys) < 1000 && it.Next(ctx) {
			keys = append(keys, it.Val())
		}
		if err := it.Err(); err != nil {
			return err
		}
		if len(keys) == 0 {
			return nil
		}
		_, err := admin.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, k := range keys {
				pipe.Unlink(ctx, k)
			}
			return nil
		})
		if err != nil && !strings.HasPrefix(err.Error(), "READONLY") {
			return err
		}
	}
}

// Close ends the pool's servers and removes their files.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.single != nil {
		p.single.Close()
	}
	if p.cluster != nil {
		p.cluster.Close()
	}
	if p.sentinel != nil {
		p.sentinel.Close()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir) // in the way of nobody
	}
}
