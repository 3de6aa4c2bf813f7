package redis_test

import (
	"context"
	"flag"
	"log/slog"
	"testing"

	client "github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
	"github.com/clic-orchestrator/clic/master/store/storetest"
)

// servers are shared by all tests that do not break them.
var servers redistest.Pool

func openPlace(place string) (store.Store, error) {
	p, err := redistest.ParsePlace(place)
	if err != nil {
		return nil, err
	}
	return redis.Open(context.Background(), redis.Options{URL: p.URL, Prefix: p.Prefix})
}

func backend(place func(testing.TB) redistest.Place) storetest.Backend {
	return storetest.Backend{
		Place: func(tb testing.TB) string { tb.Helper(); return place(tb).String() },
		Open:  openPlace,
	}
}

// places are the three ways to run Redis.
var places = map[string]func(testing.TB) redistest.Place{
	"single": servers.SinglePlace, "cluster": servers.ClusterPlace, "sentinel": servers.SentinelPlace,
}

func TestMain(m *testing.M) {
	defer servers.Close()
	redis.LogClient(slog.New(slog.DiscardHandler))
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("25") // the suite runs three times
	}
	storetest.Main(m, backend(servers.SinglePlace))
}

func TestSingle(t *testing.T)   { storetest.Run(t, backend(servers.SinglePlace)) }
func TestCluster(t *testing.T)  { storetest.Run(t, backend(servers.ClusterPlace)) }
func TestSentinel(t *testing.T) { storetest.Run(t, backend(servers.SentinelPlace)) }

func z(member string) client.Z { return client.Z{Member: member} }

func BenchmarkSingle(b *testing.B)  { storetest.Benchmark(b, backend(servers.SinglePlace)) }
func BenchmarkCluster(b *testing.B) { storetest.Benchmark(b, backend(servers.ClusterPlace)) }

// forget has all servers forget their scripts.
func forget(t *testing.T, url string) {
	t.Helper()
	target, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range target.Addrs {
		c := client.NewClient(&client.Options{Addr: addr})
		if err := c.ScriptFlush(t.Context()).Err(); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	}
}
