package containers

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
	"github.com/clic-orchestrator/clic/master/store/storetest"
)

// defaultImages are the oldest version that the store takes, and a current one.
const defaultImages = "redis:6.2-alpine redis:7.4-alpine"

// open opens the store at a place of redistest.
func open(place string) (store.Store, error) {
	p, err := redistest.ParsePlace(place)
	if err != nil {
		return nil, err
	}
	return redis.Open(context.Background(), redis.Options{URL: p.URL, Prefix: p.Prefix})
}

func TestMain(m *testing.M) { storetest.Main(m, storetest.Backend{Open: open}) }

// TestRedis runs the suite for each image.
func TestRedis(t *testing.T) {
	needDocker(t)
	images := os.Getenv("CLIC_REDIS_IMAGES")
	if images == "" {
		images = defaultImages
	}
	for image := range strings.FieldsSeq(images) {
		t.Run(image, func(t *testing.T) {
			url := start(t, image)
			var places atomic.Int64
			backend := storetest.Backend{
				Place: func(testing.TB) string { // the container goes, and all that is in it
					return redistest.Place{URL: url, Prefix: fmt.Sprintf("p%d:", places.Add(1))}.String()
				},
				Open: open,
			}
			t.Run("Store", func(t *testing.T) { storetest.Run(t, backend) })
			t.Run("Shared", func(t *testing.T) { storetest.RunShared(t, backend) })
		})
	}
}

// needDocker fails where no engine answers, and says what is missing.
func needDocker(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err == nil {
		defer func() { _ = provider.Close() }()
		err = provider.Health(ctx)
	}
	if err != nil {
		t.Fatalf("no Docker engine answers: %v\n"+
			"These tests need one: start it, or set DOCKER_HOST to where it listens. Without one, `make test` runs the same suite on "+
			"the redis-server of this machine.", err)
	}
}

// start runs a Redis server in a container that goes with the test, and gives its URL.
func start(t *testing.T, image string) string {
	t.Helper()
	const port = "6379/tcp"
	c, err := testcontainers.GenericContainer(t.Context(), testcontainers.GenericContainerRequest{
		Started: true,
		ContainerRequest: testcontainers.ContainerRequest{
			Image:        image,
			ExposedPorts: []string{port},
			Cmd:          []string{"redis-server", "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--protected-mode", "no"},
			WaitingFor:   wait.ForLog("Ready to accept connections").WithStartupTimeout(time.Minute),
		},
	})
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatalf("cannot run %s in a container: %v", image, err)
	}
	host, err := c.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := c.MappedPort(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	return "redis://" + net.JoinHostPort(host, mapped.Port())
}
