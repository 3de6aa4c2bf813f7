package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
	"github.com/clic-orchestrator/clic/shell/client"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// realm is a site with several masters, one Redis, and one address before the masters.
type realm struct {
	*site
	redis    *redistest.Server
	masters  []*lord
	balancer *balancer
	front    *client.Client // by way of the balancer
}

// lord is one of the masters of a realm, over all of its lives.
type lord struct {
	*seat
	proxy  *redistest.Proxy // between it and Redis
	client *client.Client

	mu     sync.Mutex
	life   *life
	up     bool
	paused bool
}

// redisPassword is what all masters of a realm log in with.
const redisPassword = "chaos-4711"

// newRealm starts a Redis and so many masters, with further lines of configuration.
func newRealm(t testing.TB, masters int, config ...string) *realm {
	t.Helper()
	r := &realm{site: newSite(t)}
	r.redis = redistest.Single(t, redistest.AppendOnly("everysec"), redistest.Password(redisPassword))
	t.Cleanup(r.showRedis)
	file := filepath.Join(r.dir, "master.yaml")
	var addresses []string
	for i := range masters {
		proxy := redistest.NewProxy(t, r.redis.Addr)
		m := &lord{proxy: proxy}
		m.seat = r.seat(fmt.Sprint("master", i), "--store", r.redis.URLVia(proxy), "--config", file, "--log-format", "text")
		addresses = append(addresses, m.address)
		m.client = newClient(t, m.address)
		r.masters = append(r.masters, m)
	}
	r.balancer = newBalancer(t, addresses...)
	r.front = newClient(t, r.balancer.address)
	config = append(config, "advertise: "+r.balancer.address, "")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range r.masters {
		m.begin()
	}
	for _, m := range r.masters {
		m.awaitReady()
	}
	return r
}

func newClient(t testing.TB, address string) *client.Client {
	t.Helper()
	c := client.New(client.Config{Address: address})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// anyone gives a client of some master, as people have one. More often than not it is the one of the common address.
func (r *realm) anyone() *client.Client {
	if i := rand.IntN(2 * len(r.masters)); i < len(r.masters) {
		return r.masters[i].client
	}
	return r.front
}

// begin begins another life.
func (m *lord) begin() {
	m.Helper()
	l := m.start()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life, m.up, m.paused = l, true, false
}

// now is the life that the master has now.
func (m *lord) now() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life
}

// well reports whether the master could answer.
func (m *lord) well() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up && !m.paused
}

func (m *lord) set(up, paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up, m.paused = up, paused
}

// awaitReady waits until the master serves, by itself or through the one that leads.
func (m *lord) awaitReady() {
	m.Helper()
	l := m.now()
	select {
	case <-l.ready:
	case <-l.gone:
		m.Fatalf("%s ended instead of starting: %v", m.name, l.err)
	case <-time.After(patience):
		m.Fatalf("%s does not become ready", m.name)
	}
}

// kill ends the master at once.
func (m *lord) kill() {
	m.set(false, false)
	m.now().kill()
}

// retire ends the master as a person would.
func (m *lord) retire() {
	m.Helper()
	m.set(false, false)
	m.now().stop()
}

// pause stops the process where it is; resume lets it go on.
func (m *lord) pause() {
	m.set(true, true)
	m.signal(syscall.SIGSTOP)
}

func (m *lord) resume() {
	m.signal(syscall.SIGCONT)
	m.set(true, false)
}

func (m *lord) signal(sig syscall.Signal) {
	m.Helper()
	if err := m.now().cmd.Process.Signal(sig); err != nil {
		m.Errorf("cannot signal %s: %v", m.name, err)
	}
}

// info asks the master itself how it stands.
func (m *lord) info(ctx context.Context) (*thriftmaster.MasterInfo, error) {
	if !m.well() {
		return nil, errors.New("it is away")
	}
	c, err := dial(m.address, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return thriftmaster.NewTaskServiceClient(c.service("TaskService")).GetMasterInfo(ctx)
}

// leads reports whether the master says that it leads, and in which epoch.
func (m *lord) leads(ctx context.Context) (epoch int64, ok bool) {
	info, err := m.info(ctx)
	if err != nil || info.Role != "leader" || info.Epoch == 0 {
		return 0, false
	}
	return info.Epoch, true
}

// leader is the master that leads, nil if none says that it does; if several do, it is the one of the latest epoch.
func (r *realm) leader() (leader *lord, latest int64) {
	for _, m := range r.masters {
		if epoch, ok := m.leads(r.Context()); ok && epoch > latest {
			leader, latest = m, epoch
		}
	}
	return leader, latest
}

// awaitLeader waits for a master that leads, in a later epoch than after.
func (r *realm) awaitLeader(after int64) (*lord, int64) {
	r.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if m, epoch := r.leader(); epoch > after {
			return m, epoch
		}
	}
	for _, m := range r.masters {
		info, err := m.info(r.Context())
		r.Logf("%s: %v, %v", m.name, info, err)
	}
	r.Fatalf("no master takes the lead after epoch %d", after)
	return nil, 0
}

// awaitPeace waits until every master runs, and agrees with the others on who leads.
func (r *realm) awaitPeace() {
	r.Helper()
	var why string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if why = r.unrest(); why == "" {
			return
		}
	}
	r.Fatalf("the masters do not come to rest: %s", why)
}

// unrest says why the masters are not at rest.
func (r *realm) unrest() string {
	leaders := map[string]bool{}
	leads := 0
	for _, m := range r.masters {
		info, err := m.info(r.Context())
		if err != nil {
			return fmt.Sprintf("%s: %v", m.name, err)
		}
		if info.StaleSince != nil {
			return fmt.Sprintf("%s cannot reach its store: %s", m.name, info.StoreTrouble)
		}
		if info.Role == "leader" {
			leads++
		}
		leaders[info.Leader] = true
	}
	if leads != 1 || len(leaders) != 1 {
		return fmt.Sprintf("%d lead, of %v", leads, leaders)
	}
	return ""
}

// others are the masters but one.
func (r *realm) others(but *lord) []*lord {
	var others []*lord
	for _, m := range r.masters {
		if m != but {
			others = append(others, m)
		}
	}
	return others
}

// end stops all masters, and expects that nothing is left of them.
func (r *realm) end() (orphans []string) {
	r.Helper()
	orphans = r.vanish(func() []string { return stages(r.processes()) })
	for _, m := range r.masters {
		m.retire()
	}
	orphans = append(orphans, r.vanish(r.processes)...)
	for _, p := range orphans {
		r.Errorf("this process is left: %s", p)
	}
	return orphans
}

// showRedis shows what Redis has of the tasks that have not ended, after a failure.
func (r *realm) showRedis() {
	admin := r.redis.Admin()
	if !r.Failed() || !r.redis.Running() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // the test's own has ended
	defer cancel()
	for it := admin.Scan(ctx, 0, "clic:task:*", 1000).Iterator(); it.Next(ctx); {
		v := admin.HMGet(ctx, it.Val(), "status", "epoch", "revision", "seq", "batch").Val()
		if v[0] != "COMPLETED" {
			last := admin.XRevRangeN(ctx, "clic:events:"+strings.TrimPrefix(it.Val(), "clic:task:"), "+", "-", 5).Val()
			r.Logf("%s: status, epoch, revision, seq, batch %v; last events %v", it.Val(), v, last)
		}
	}
}
