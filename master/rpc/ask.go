package rpc

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// State is what a master says of how well it is.
type State struct {
	// StaleSince is since when the store takes nothing and StoreTrouble why; zero and "" while it does.
	StaleSince   time.Time
	StoreTrouble string
	// Troubles are the executors that can do nothing at the moment, by name.
	Troubles map[string]executors.Trouble
}

// maxAsked bounds an answer, in bytes.
const maxAsked = 1 << 20

// Ask asks the master at an address how it is, until the context is done.
func Ask(ctx context.Context, address string) (*State, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the master: %w", err)
	}
	defer func() { _ = socket.Close() }() // all was said
	defer context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })()
	conf := &thrift.TConfiguration{MaxMessageSize: maxAsked, MaxFrameSize: maxAsked}
	transport := thrift.NewStreamTransport(socket, socket)
	in := thrift.NewTBinaryProtocolConf(transport, conf)
	out := thrift.NewTMultiplexedProtocol(thrift.NewTBinaryProtocolConf(transport, conf), "TaskService")
	info, err := master.NewTaskServiceClient(thrift.NewTStandardClient(in, out)).GetMasterInfo(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("cannot ask the master: %w", err)
	}
	s := &State{StoreTrouble: info.StoreTrouble}
	if at := info.GetStaleSince(); at != 0 {
		s.StaleSince = time.UnixMilli(at)
	}
	for _, t := range info.Troubles {
		if s.Troubles == nil {
			s.Troubles = map[string]executors.Trouble{}
		}
		s.Troubles[t.Executor] = executors.Trouble{Reason: t.Reason, Since: time.UnixMilli(t.Since)}
	}
	return s, nil
}
