package chaos

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// asStage is the argument by which the test program is asked to be the program of a stage.
const asStage = "--chaos-stage"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asStage {
		if err := stageMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// stageMain is a stage that reports by itself, as the old programs do: started, prepared, completed, each over a connection
// of its own. In between it takes its time, so that what reads its data runs while it goes on.
func stageMain(args []string) error {
	var stage, host, port, dir string
	f := flag.NewFlagSet(asStage, flag.ContinueOnError)
	f.StringVar(&stage, "stageId", "", "")
	f.StringVar(&host, "masterHost", "", "")
	f.StringVar(&port, "masterPort", "", "")
	f.StringVar(&dir, "dagPath", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	attempt := os.Getenv("CLIC_ATTEMPT")
	if err := appendLine(filepath.Join(dir, "starts", stage), fmt.Sprintln(stage, attempt, os.Getpid())); err != nil {
		return err
	}
	address := net.JoinHostPort(host, port)
	for _, call := range []func(context.Context, *thriftmaster.SchedulerServiceClient) error{
		func(ctx context.Context, c *thriftmaster.SchedulerServiceClient) error {
			_, err := c.PostStageStarted(ctx, stage, nil)
			return err
		},
		func(ctx context.Context, c *thriftmaster.SchedulerServiceClient) error {
			_, err := c.PostDataPrepared(ctx, stage)
			return err
		},
		func(ctx context.Context, c *thriftmaster.SchedulerServiceClient) error {
			_, err := c.PostStageCompleted(ctx, stage, nil)
			return err
		},
	} {
		if err := insist(address, call); err != nil {
			return err
		}
		time.Sleep(30 * time.Millisecond)
	}
	return appendLine(filepath.Join(dir, "ends", stage), fmt.Sprintln(stage, attempt, 0))
}

// insist calls the master until it answers.
func insist(address string, call func(context.Context, *thriftmaster.SchedulerServiceClient) error) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var c *wire
		if c, err = dial(address); err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err = call(ctx, thriftmaster.NewSchedulerServiceClient(c.service("SchedulerService")))
		cancel()
		c.close()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("the master does not answer: %w", err)
}

// appendLine appends in one write, so that lines of several processes never mix.
func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// wire is a connection to a master: a plain socket with Thrift's binary protocol, as the old clients have.
type wire struct {
	nc    net.Conn
	proto thrift.TProtocol
}

func dial(address string) (*wire, error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	conf := &thrift.TConfiguration{MaxMessageSize: 1 << 30, SocketTimeout: patience}
	t := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(nc, conf), 4096)
	return &wire{nc, thrift.NewTBinaryProtocolConf(t, conf)}, nil
}

func (w *wire) service(name string) thrift.TClient {
	return thrift.NewTStandardClient(w.proto, thrift.NewTMultiplexedProtocol(w.proto, name))
}

func (w *wire) close() { _ = w.nc.Close() }
