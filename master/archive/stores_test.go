package archive_test

import (
	"testing"

	"github.com/clic-orchestrator/clic/master/store/bolt"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

var servers redistest.Pool

func TestMain(m *testing.M) {
	defer servers.Close()
	m.Run()
}

// kinds are the stores that archives go between.
var kinds = map[string]func(t testing.TB) led{
	"bolt": func(t testing.TB) led {
		t.Helper()
		s, err := bolt.Open(t.TempDir())
		return lead(t, s, err)
	},
	"redis": func(t testing.TB) led {
		t.Helper()
		place := servers.SinglePlace(t)
		s, err := redis.Open(t.Context(), redis.Options{URL: place.URL, Prefix: place.Prefix})
		return lead(t, s, err)
	},
}
