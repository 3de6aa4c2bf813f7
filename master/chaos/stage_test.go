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

	"github.com/clic-orchestrator/clic/idl/gen/base"
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
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if programDir != "" {
			_ = os.RemoveAll(programDir)
		}
		os.Exit(code)
	}))
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
	note := func(verb byte, word any) error {
		return appendLine(filepath.Join(dir, journalName), fmt.Sprintf("%c %s %s %v\n", verb, stage, attempt, word))
	}
	if err := note(markStart, os.Getpid()); err != nil {
		return err
	}
	type scheduler = *thriftmaster.SchedulerServiceClient
	address := net.JoinHostPort(host, port)
	for i, call := range []func(context.Context, scheduler) (*base.ServiceBaseResult_, error){
		func(ctx context.Context, c scheduler) (*base.ServiceBaseResult_, error) {
			return c.PostStageStarted(ctx, stage, nil)
		},
		func(ctx context.Context, c scheduler) (*base.ServiceBaseResult_, error) {
			return c.PostDataPrepared(ctx, stage)
		},
		func(ctx context.Context, c scheduler) (*base.ServiceBaseResult_, error) {
			return c.PostStageCompleted(ctx, stage, nil)
		},
	} {
		// What reads the data may start as soon as the master knows, so this comes first.
		if i == 1 {
			if err := note(markPrepared, ""); err != nil {
				return err
			}
		}
		repeated, err := insist(address, call)
		if err != nil {
			return err
		}
		if repeated > 0 {
			if err := note(markRepeated, repeated); err != nil {
				return err
			}
		}
		time.Sleep(30 * time.Millisecond) // its work
	}
	return note(markEnd, 0)
}

// insist calls the master until it has taken the report, and says how often that was in vain.
func insist(address string, call func(context.Context, *thriftmaster.SchedulerServiceClient) (*base.ServiceBaseResult_, error)) (repeated int, err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = report(address, call); err == nil {
			return repeated, nil
		}
		repeated++
	}
	return repeated, fmt.Errorf("the master does not answer: %w", err)
}

// report makes one call over a connection of its own.
func report(address string, call func(context.Context, *thriftmaster.SchedulerServiceClient) (*base.ServiceBaseResult_, error)) error {
	c, err := dial(address, patience)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := call(ctx, thriftmaster.NewSchedulerServiceClient(c.service("SchedulerService")))
	if err == nil && r.ResultCode != base.ResultCode_SUCCESS {
		err = fmt.Errorf("%s: %s", r.ResultCode, r.Message)
	}
	return err
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

// dial connects to a master; every step of a call over the connection may take as long as timeout.
func dial(address string, timeout time.Duration) (*wire, error) {
	nc, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	conf := &thrift.TConfiguration{MaxMessageSize: 1 << 30, SocketTimeout: timeout}
	t := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(nc, conf), 4096)
	return &wire{nc, thrift.NewTBinaryProtocolConf(t, conf)}, nil
}

func (w *wire) service(name string) thrift.TClient {
	return thrift.NewTStandardClient(w.proto, thrift.NewTMultiplexedProtocol(w.proto, name))
}

func (w *wire) close() { _ = w.nc.Close() }
