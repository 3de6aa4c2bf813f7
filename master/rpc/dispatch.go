package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
)

// method is how one call is read and answered.
type method struct {
	// read reads the arguments.
	read func(ctx context.Context, in thrift.TProtocol) (thrift.TStruct, error)
	// run runs a call with arguments that read has read. The result is the generated result type. An error becomes a
	// TApplicationException, with its own code where it is one; but a *declaredError is in the result already.
	run func(ctx context.Context, args thrift.TStruct) (thrift.TStruct, error)
	// waits marks a long poll, whatever its traits say.
	waits bool
}

// declaredError goes with a result that tells the client of the error.
type declaredError struct{ cause error }

func (e *declaredError) Error() string { return e.cause.Error() }

// declared is an error that is in the result already; nil for nil.
func declared(err error) error {
	if err == nil {
		return nil
	}
	return &declaredError{err}
}

// on makes a method from a function of its generated arguments type.
func on[A any, P interface {
	*A
	thrift.TStruct
}](f func(ctx context.Context, args P) (thrift.TStruct, error)) method {
	return method{
		read: func(ctx context.Context, in thrift.TProtocol) (thrift.TStruct, error) {
			args := P(new(A))
			return args, args.Read(ctx, in)
		},
		run: func(ctx context.Context, args thrift.TStruct) (thrift.TStruct, error) {
			own, ok := args.(P)
			if !ok {
				return nil, fmt.Errorf("arguments of type %T", args)
			}
			return f(ctx, own)
		},
	}
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

// find gives the method.
func (t table) find(full string) (method, error) {
	m, ok := t[full]
	if !ok {
		return method{}, thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "unknown method "+quoted(full))
	}
	return m, nil
}

// bareName is a method's name without its service. It is what answers carry.
func bareName(full string) string {
	_, name, multiplexed := strings.Cut(full, thrift.MULTIPLEXED_SEPARATOR)
	if !multiplexed {
		return full
	}
	return name
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
	var late interface{ Timeout() bool }
	if codeOf(err) == base.ErrorCode_UNAVAILABLE && !errors.As(err, &late) && !errors.Is(err, context.Canceled) {
		return thrift.NewTApplicationException(exceptionUnavailable, err.Error())
	}
	return thrift.NewTApplicationException(thrift.INTERNAL_ERROR, err.Error())
}
