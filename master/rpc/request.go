package rpc

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/apache/thrift/lib/go/thrift"

	m "github.com/clic-orchestrator/clic/idl/gen/master"
)

// request is a call that has arrived. Its arguments are in one of two forms, each of which can be made of the other: decoded if
// this master led when they came, raw if not.
type request struct {
	// full is the name in the message ("Service:method", or the method alone), name the method's.
	full, name string
	traits
	// peer is the client's address. relayed is set where another master asks for the client.
	peer    string
	relayed bool

	method method
	args   thrift.TStruct
	raw    raw

	// uncertain is set once the call may have been carried out without an answer.
	uncertain bool
}

// newRequest begins a request with the name of its message.
func newRequest(message, peer string) *request {
	client, full, relayed := splitRelay(message)
	name := bareName(full)
	q := &request{full: full, name: name, traits: traitsOf(name), peer: peer, relayed: relayed}
	if relayed {
		// It goes into what people read: nothing but an address is taken.
		q.peer = ""
		if _, err := netip.ParseAddr(client); err == nil {
			q.peer = client
		}
	}
	return q
}

// read reads the arguments in the form that fits the turn. refused is how the call is answered at once; failed is that it cannot
// be read.
func (q *request) read(ctx context.Context, t *turn, in thrift.TProtocol, limit int) (refused, failed error) {
	switch {
	case t.leads():
		method, err := t.table.find(q.full)
		if err != nil {
			return err, in.Skip(ctx, thrift.STRUCT)
		}
		q.use(method)
		q.args, failed = method.read(ctx, in)
	case q.relayed:
		return errNotLeading, in.Skip(ctx, thrift.STRUCT)
	default:
		q.raw, failed = rawOf(ctx, in, limit)
	}
	return nil, failed
}

func (q *request) use(method method) {
	q.method = method
	q.waits = q.waits || method.waits
}

// decode makes sure of the decoded form.
func (q *request) decode(ctx context.Context, t *turn, conf *thrift.TConfiguration) error {
	method, err := t.table.find(q.full)
	if err != nil {
		return err
	}
	q.use(method)
	if q.args == nil {
		q.args, err = method.read(ctx, q.raw.protocol(conf))
		if err != nil {
			return thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, fmt.Sprintf("cannot read the arguments of %s: %v", q.name, err))
		}
	}
	return nil
}

// encode makes sure of the raw form. Fields that a newer client has sent and this master does not know are not in it where it
// has decoded them before.
func (q *request) encode(ctx context.Context) (err error) {
	if q.raw == nil {
		q.raw, err = encoded(ctx, q.args)
	}
	return err
}

// again says what happens when the call is carried out twice.
func (q *request) again(ctx context.Context) repetition {
	switch q.name {
	case "submit":
		var a m.TaskServiceSubmitArgs
		if q.look(ctx, &a) && a.Submission != nil && (a.Submission.GetRequestId() != "" || a.Submission.GetDryRun()) {
			return same
		}
		return never
	case "reportFailed":
		// Without a number or a token, it might hit the next attempt.
		var a m.SchedulerServiceReportFailedArgs
		if q.look(ctx, &a) && a.Attempt != nil && a.Attempt.Attempt == nil && a.Attempt.GetToken() == "" {
			return never
		}
	}
	return q.traits.again
}

// look decodes the arguments into v, whatever form they have.
func (q *request) look(ctx context.Context, v thrift.TStruct) bool {
	r := q.raw
	if r == nil {
		var err error
		if r, err = encoded(ctx, q.args); err != nil {
			return false
		}
	}
	return v.Read(ctx, r.protocol(unbounded())) == nil
}
