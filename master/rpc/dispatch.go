package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"
)

// method is how one call is read and answered.
type method struct {
	// read reads the arguments and gives what runs the call.
	read func(ctx context.Context, in thrift.TProtocol) (call, error)
	// waits marks a long poll: its context ends when the client goes away, and when the server begins to stop.
	waits bool
}

// call runs a call whose arguments were read. The result is the generated result type. An error becomes a
// TApplicationException, with its own code where it is one.
type call func(ctx context.Context) (thrift.TStruct, error)

// on makes a method from a function of its generated arguments type.
func on[A any, P interface {
	*A
	thrift.TStruct
}](f func(ctx context.Context, args P) (thrift.TStruct, error)) method {
	return method{read: func(ctx context.Context, in thrift.TProtocol) (call, error) {
		args := P(new(A))
		if err := args.Read(ctx, in); err != nil {
			return nil, err
		}
		return func(ctx context.Context) (thrift.TStruct, error) { return f(ctx, args) }, nil
	}}
}

// waiting marks a method as a long poll.
func waiting(m method) method {
	m.waits = true
	return m
}

// table finds methods by the name in a message: "Service:method", or the method alone where only one service has it.
type table map[string]method

// newTable merges the services' methods.
func newTable(services map[string]map[string]method) table {
	t := make(table)
	owners := make(map[string]int)
	for service, methods := range services {
		for name, m := range methods {
			t[service+thrift.MULTIPLEXED_SEPARATOR+name] = m
			t[name] = m
			owners[name]++
		}
	}
	for name, n := range owners {
		if n > 1 {
			delete(t, name)
		}
	}
	return t
}

// find gives the method and its bare name, which is what answers carry.
func (t table) find(full string) (m method, name string, err error) {
	_, name, multiplexed := strings.Cut(full, thrift.MULTIPLEXED_SEPARATOR)
	if !multiplexed {
		name = full
	}
	m, ok := t[full]
	if !ok {
		return method{}, name, thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "unknown method "+quoted(full))
	}
	return m, name, nil
}

// quoted is a name from outside, safe to show.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}

// asApplication is err as the TApplicationException that a client gets.
func asApplication(err error) thrift.TApplicationException {
	var tae thrift.TApplicationException
	if errors.As(err, &tae) {
		return tae
	}
	return thrift.NewTApplicationException(thrift.INTERNAL_ERROR, err.Error())
}
