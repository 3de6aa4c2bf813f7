package master_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/executors/local"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master"
)

func TestMain(m *testing.M) {
	// The test program is also what runs stages under the master.
	if local.RunShimIfAsked() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long tests wait for what must happen soon.
const patience = 60 * time.Second

// running is a master that runs.
type running struct {
	*master.Master
	stop func() error
}

// config is that of a master of its own, below a directory.
func config(tb testing.TB, dir string) master.Config {
	return master.Config{
		Listen: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), PlanDirs: []string{dir}, ResultDirs: []string{dir},
		TimeZone: "UTC", Version: "v-test", Logger: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
}

// run runs a master until the test ends, or stop is called.
func run(tb testing.TB, cfg master.Config) *running {
	tb.Helper()
	m, err := master.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	r := &running{Master: m}
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	tb.Cleanup(func() {
		if err := r.stop(); err != nil {
			tb.Errorf("the master ended with %v", err)
		}
	})
	select {
	case <-m.Ready():
	case err := <-done:
		done <- nil
		tb.Fatalf("the master did not start: %v", err)
	}
	return r
}

// connect gives clients of both services on one connection.
func (r *running) connect(tb testing.TB) (*thriftmaster.TaskServiceClient, *thriftmaster.SchedulerServiceClient) {
	tb.Helper()
	nc, err := net.DialTimeout("tcp", r.Addr().String(), patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	conf := &thrift.TConfiguration{MaxMessageSize: 1 << 30, MaxFrameSize: 1 << 30}
	p := thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(nc, conf), conf), conf)
	client := func(service string) thrift.TClient {
		return thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, service))
	}
	return thriftmaster.NewTaskServiceClient(client("TaskService")), thriftmaster.NewSchedulerServiceClient(client("SchedulerService"))
}
