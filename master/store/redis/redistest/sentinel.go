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

	"github.com/redis/go-redis/v9"
)

// MasterName is what the Sentinels call the master that they watch.
const MasterName = "clic"

// SentinelSet is a master and its replica, with Sentinels that make the replica the master when the master is gone.
type SentinelSet struct {
	// Servers are the one that was the master at first, and the replica.
	Servers [2]*Server
	// Watchers are the Sentinels.
	Watchers []*Server
}

// Sentinel starts a master, a replica, and Sentinels that end with the test. All know of each other.
func Sentinel(tb testing.TB, opts ...Option) *SentinelSet {
	tb.Helper()
	s, err := StartSentinel(tb.Context(), tb.TempDir(), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// StartSentinel starts the same in dir. The caller closes it.
func StartSentinel(ctx context.Context, dir string, opts ...Option) (*SentinelSet, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := &SentinelSet{}
	if err := s.start(ctx, dir, opts); err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot start Redis with Sentinels: %w", err)
	}
	return s, nil
}

func (s *SentinelSet) start(ctx context.Context, dir string, opts []Option) error {
	o := options{sentinels: 1}
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.certify(dir); err != nil {
		return err
	}
	master, err := s.launch(ctx, o, filepath.Join(dir, "server0"), "repl-diskless-sync-delay 0")
	if err != nil {
		return err
	}
	s.Servers[0] = master
	host, port, _ := net.SplitHostPort(master.Addr)
	replica, err := s.launch(ctx, o, filepath.Join(dir, "server1"), "repl-diskless-sync-delay 0", "replicaof "+host+" "+port)
	if err != nil {
		return err
	}
	s.Servers[1] = replica
	// Sentinels look for replicas when they connect, and then every ten seconds only.
	if err := s.awaitReplica(ctx, replica); err != nil {
		return err
	}
	for i := range o.sentinels {
		w := options{
			args: []string{"--sentinel"}, tls: o.tls, mutual: o.mutual, certs: o.certs,
			lines: []string{
				fmt.Sprintf("sentinel monitor %s %s %s %d", MasterName, host, port, o.sentinels/2+1),
				"sentinel down-after-milliseconds " + MasterName + " 500",
				"sentinel failover-timeout " + MasterName + " 3000",
			},
		}
		if o.tls {
			w.lines = append(w.lines, "tls-auth-clients no")
		}
		if o.password != "" {
			w.lines = append(w.lines, "sentinel auth-pass "+MasterName+" "+quote(o.password))
		}
		watcher, err := s.launch(ctx, w, filepath.Join(dir, "sentinel"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		s.Watchers = append(s.Watchers, watcher)
		hurry(ctx, watcher)
	}
	return s.Await(ctx)
}

// hurry has a Sentinel look at servers and greet others five times a second, instead of every ten and two seconds. Before Redis 7.0
// it cannot be told, and takes its time.
func hurry(ctx context.Context, watcher *Server) {
	for _, period := range []string{"info-period", "ask-period", "publish-period", "ping-period"} {
		_ = watcher.Admin().Do(ctx, "SENTINEL", "DEBUG", period, 200).Err()
	}
}

func (s *SentinelSet) launch(ctx context.Context, o options, dir string, lines ...string) (*Server, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	o.lines = append(lines, o.lines...)
	return o.start(ctx, dir)
}

func (s *SentinelSet) awaitReplica(ctx context.Context, replica *Server) error {
	return poll(ctx, func() error {
		info, err := replica.Admin().Info(ctx, "replication").Result()
		if err == nil && !(strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")) {
			err = fmt.Errorf("replica %s says:\n%s", replica.Addr, info)
		}
		return err
	})
}

// Await waits until all Sentinels that run agree on a master that answers as such, and know its replica and each other.
func (s *SentinelSet) Await(ctx context.Context) error {
	return poll(ctx, func() error {
		for _, w := range s.Watchers {
			if !w.Running() {
				continue
			}
			m, err := s.watches(ctx, w)
			switch {
			case err != nil:
				return err
			case m["flags"] != "master", m["num-slaves"] != "1", m["num-other-sentinels"] != strconv.Itoa(len(s.Watchers)-1):
				return fmt.Errorf("sentinel %s says %v", w.Addr, m)
			}
		}
		_, err := s.Master(ctx)
		return err
	})
}

// watches is what a Sentinel knows of the master.
func (s *SentinelSet) watches(ctx context.Context, w *Server) (map[string]string, error) {
	cmd := redis.NewMapStringStringCmd(ctx, "SENTINEL", "MASTER", MasterName)
	_ = w.Admin().Process(ctx, cmd) // cmd has the error
	return cmd.Result()
}

// Master is the server that is the master now, by its own word and that of the Sentinels.
func (s *SentinelSet) Master(ctx context.Context) (*Server, error) {
	var found *Server
	for _, w := range s.Watchers {
		if !w.Running() {
			continue
		}
		addr, err := w.Admin().Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName).StringSlice()
		if err != nil || len(addr) != 2 {
			return nil, fmt.Errorf("sentinel %s knows no master: %v, %w", w.Addr, addr, err)
		}
		for _, one := range s.Servers {
			if one.Addr != net.JoinHostPort(addr[0], addr[1]) {
				continue
			}
			if found != nil && found != one {
				return nil, errors.New("the Sentinels do not agree on a master")
			}
			found = one
		}
	}
	if found == nil || !found.Running() {
		return nil, errors.New("no master runs")
	}
	info, err := found.Admin().Info(ctx, "replication").Result()
	if err != nil || !strings.Contains(info, "role:master") {
		return nil, fmt.Errorf("%s is no master: %w", found.Addr, err)
	}
	return found, nil
}

// Other is the server that s is not.
func (s *SentinelSet) Other(one *Server) *Server {
	if one == s.Servers[0] {
		return s.Servers[1]
	}
	return s.Servers[0]
}

// FailOver makes the replica the master, in order, and waits until it is and the other one follows it.
func (s *SentinelSet) FailOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	old, err := s.Master(ctx)
	if err != nil {
		return err
	}
	// A Sentinel refuses until it has heard enough of the replica, and while the last fail-over is under way.
	err = poll(ctx, func() error {
		return s.Watchers[0].Admin().Do(ctx, "SENTINEL", "FAILOVER", MasterName).Err()
	})
	if err != nil {
		return fmt.Errorf("cannot fail over: %w", err)
	}
	if err := s.AwaitMaster(ctx, s.Other(old)); err != nil {
		return err
	}
	return s.awaitReplica(ctx, old)
}

// AwaitMaster waits until a server is the master, such as after the other one was killed or paused.
func (s *SentinelSet) AwaitMaster(ctx context.Context, want *Server) error {
	return poll(ctx, func() error {
		if now, err := s.Master(ctx); err != nil || now != want {
			return fmt.Errorf("%s is not the master yet: %w", want.Addr, err)
		}
		return nil
	})
}

// URL is how the store is told to use the set: it names the Sentinels.
func (s *SentinelSet) URL() string {
	var addrs []string
	for _, w := range s.Watchers {
		addrs = append(addrs, w.Addr)
	}
	return withQuery(s.Servers[0].urlOf(strings.Join(addrs, ",")), "master="+MasterName)
}

// Close ends all servers. Idempotent.
func (s *SentinelSet) Close() {
	for _, w := range append(s.Watchers, s.Servers[:]...) {
		if w != nil {
			w.Close()
		}
	}
}
