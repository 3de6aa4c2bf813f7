package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// ClusterSet is a Redis Cluster of masters without replicas.
type ClusterSet struct {
	Nodes []*Server
	// Proxies stand before the nodes, in the same order, if the Cluster was started Proxied.
	Proxies []*Proxy
}

const slots = 16384

// Cluster starts a Redis Cluster of n masters that ends with the test. It is ready. Needs Redis 7.0.
func Cluster(tb testing.TB, n int, opts ...Option) *ClusterSet {
	tb.Helper()
	c, err := StartCluster(tb.Context(), tb.TempDir(), n, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// StartCluster starts a Redis Cluster of n masters in dir. The caller closes it.
func StartCluster(ctx context.Context, dir string, n int, opts ...Option) (*ClusterSet, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := &ClusterSet{}
	if err := c.start(ctx, dir, n, opts); err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot start a Redis Cluster: %w", err)
	}
	return c, nil
}

func (c *ClusterSet) start(ctx context.Context, dir string, n int, opts []Option) error {
	o := options{cluster: true}
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.certify(dir); err != nil {
		return err
	}
	// The map of the Cluster is not in the directory of the data, so that a node may lose those alone.
	o.lines = append(o.lines, "cluster-enabled yes", "cluster-config-file ../nodes.conf", "cluster-node-timeout 2000")
	for i := range n {
		home := filepath.Join(dir, "node"+strconv.Itoa(i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return err
		}
		s, err := o.start(ctx, home)
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, s)
	}
	if o.proxied {
		if err := c.proxy(ctx); err != nil {
			return err
		}
	}
	if err := c.join(ctx); err != nil {
		return err
	}
	return c.Await(ctx)
}

// proxy starts the proxies and lets the nodes announce those as their own addresses.
func (c *ClusterSet) proxy(ctx context.Context) error {
	for _, s := range c.Nodes {
		p, err := StartProxy(ctx, s.Addr)
		if err != nil {
			return err
		}
		c.Proxies = append(c.Proxies, p)
		_, port, _ := net.SplitHostPort(p.Addr)
		announced := "cluster-announce-port"
		if s.Certs != nil {
			announced = "cluster-announce-tls-port"
		}
		if err := s.Admin().ConfigSet(ctx, announced, port).Err(); err != nil {
			return err
		}
		if err := s.Admin().ConfigRewrite(ctx).Err(); err != nil {
			return err
		}
	}
	return nil
}

// join gives each node its slots and makes all of them known to each other.
func (c *ClusterSet) join(ctx context.Context) error {
	for i, s := range c.Nodes {
		first, last := i*slots/len(c.Nodes), (i+1)*slots/len(c.Nodes)-1
		// Different epochs from the start: the nodes need not find out by themselves who gives way.
		if err := s.Admin().Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if err := s.Admin().ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			return err
		}
		for _, other := range c.Nodes[:i] {
			bus, err := other.Admin().ConfigGet(ctx, "cluster-port").Result()
			if err != nil {
				return err
			}
			host, port, _ := net.SplitHostPort(other.Addr)
			if err := s.Admin().Do(ctx, "CLUSTER", "MEET", host, port, bus["cluster-port"]).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Await waits until every node that runs says that the Cluster is whole.
func (c *ClusterSet) Await(ctx context.Context) error {
	for _, s := range c.Nodes {
		if !s.Running() {
			continue
		}
		err := poll(ctx, func() error {
			info, err := s.Admin().ClusterInfo(ctx).Result()
			switch {
			case err != nil:
				return err
			case !strings.Contains(info, "cluster_state:ok"), !strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", len(c.Nodes))):
				return fmt.Errorf("node %s says:\n%s", s.Addr, info)
			}
			return c.announced(ctx, s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// announced looks whether a node tells clients the addresses of the proxies, where there are any: they become known as nodes talk.
func (c *ClusterSet) announced(ctx context.Context, s *Server) error {
	// Lines of "<id> <host>:<port>@<bus port> …".
	known, err := s.Admin().ClusterNodes(ctx).Result()
	if err != nil {
		return err
	}
	for _, want := range c.Addrs() {
		if !strings.Contains(known, " "+want+"@") {
			return fmt.Errorf("node %s does not know of %s", s.Addr, want)
		}
	}
	return nil
}

// Addrs are the addresses that clients use.
func (c *ClusterSet) Addrs() []string {
	var addrs []string
	for i, s := range c.Nodes {
		if c.Proxies != nil {
			addrs = append(addrs, c.Proxies[i].Addr)
		} else {
			addrs = append(addrs, s.Addr)
		}
	}
	return addrs
}

// URL is how the store is told to use the Cluster. It names all nodes.
func (c *ClusterSet) URL() string {
	return withQuery(c.Nodes[0].urlOf(strings.Join(c.Addrs(), ",")), "cluster=true")
}

// Client gives a client of the Cluster; the caller closes it.
func (c *ClusterSet) Client() *redis.ClusterClient {
	o := c.Nodes[0].clientOptions()
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs(), Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, DisableIdentity: true,
	})
}

// Owner is the node that has a key.
func (c *ClusterSet) Owner(ctx context.Context, key string) (*Server, error) {
	slot, err := c.Nodes[0].Admin().ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return nil, err
	}
	for i, s := range c.Nodes {
		if int(slot) < (i+1)*slots/len(c.Nodes) {
			return s, nil
		}
	}
	return nil, errors.New("no node has the slot")
}

// Close ends all nodes and proxies. Idempotent.
func (c *ClusterSet) Close() {
	for _, p := range c.Proxies {
		p.Close()
	}
	for _, s := range c.Nodes {
		s.Close()
	}
}

func withQuery(url, query string) string {
	if strings.Contains(url, "?") {
		return url + "&" + query
	}
	return url + "?" + query
}

// poll asks again and again, with a little time between, until there is no error. Servers of a group find each other by
// themselves and tell nobody.
func poll(ctx context.Context, ask func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
