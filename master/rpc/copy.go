package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
)

// Copying of Thrift values without knowing their types: every protocol tells the type of each value, so a struct can be carried
// from one protocol to another whole, with fields that this program has never heard of.

// maxDepth bounds structs and containers within each other, as Thrift's own Skip does.
const maxDepth = thrift.DEFAULT_RECURSION_DEPTH

var (
	errTooDeep  = thrift.NewTProtocolExceptionWithType(thrift.DEPTH_LIMIT, errors.New("values are nested too deeply"))
	errTooLong  = thrift.NewTProtocolExceptionWithType(thrift.SIZE_LIMIT, errors.New("size exceeded: the call grows too large in the binary protocol"))
	errBadValue = errors.New("value of an unknown type")
)

// copier copies from one protocol to another. Sizes of strings and containers are bounded by the protocol that is read.
type copier struct {
	in, out thrift.TProtocol
	// full reports that the output is as large as it may be; nil is never.
	full func() bool
}

// copyStruct copies one struct.
func (c copier) copyStruct(ctx context.Context, depth int) error {
	if depth <= 0 {
		return errTooDeep
	}
	if _, err := c.in.ReadStructBegin(ctx); err != nil {
		return err
	}
	if err := c.out.WriteStructBegin(ctx, ""); err != nil {
		return err
	}
	for {
		_, kind, id, err := c.in.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if kind == thrift.STOP {
			break
		}
		if err := c.copyField(ctx, kind, id, depth); err != nil {
			return err
		}
	}
	if err := c.in.ReadStructEnd(ctx); err != nil {
		return err
	}
	if err := c.out.WriteFieldStop(ctx); err != nil {
		return err
	}
	return c.out.WriteStructEnd(ctx)
}

func (c copier) copyField(ctx context.Context, kind thrift.TType, id int16, depth int) error {
	if err := c.out.WriteFieldBegin(ctx, "", kind, id); err != nil {
		return err
	}
	if err := c.copyValue(ctx, kind, depth-1); err != nil {
		return err
	}
	if err := c.in.ReadFieldEnd(ctx); err != nil {
		return err
	}
	return c.out.WriteFieldEnd(ctx)
}

// copyValue copies one value of the type.
func (c copier) copyValue(ctx context.Context, kind thrift.TType, depth int) error {
	if c.full != nil && c.full() {
		return errTooLong
	}
	switch kind {
	case thrift.STRUCT:
		return c.copyStruct(ctx, depth)
	case thrift.MAP:
		return c.copyMap(ctx, depth)
	case thrift.LIST:
		return c.copyElements(ctx, depth, sequence{
			c.in.ReadListBegin, c.in.ReadListEnd, c.out.WriteListBegin, c.out.WriteListEnd,
		})
	case thrift.SET:
		return c.copyElements(ctx, depth, sequence{
			c.in.ReadSetBegin, c.in.ReadSetEnd, c.out.WriteSetBegin, c.out.WriteSetEnd,
		})
	}
	return c.copyScalar(ctx, kind)
}

func (c copier) copyScalar(ctx context.Context, kind thrift.TType) error {
	switch kind {
	case thrift.BOOL:
		return pass(ctx, c.in.ReadBool, c.out.WriteBool)
	case thrift.BYTE:
		return pass(ctx, c.in.ReadByte, c.out.WriteByte)
	case thrift.I16:
		return pass(ctx, c.in.ReadI16, c.out.WriteI16)
	case thrift.I32:
		return pass(ctx, c.in.ReadI32, c.out.WriteI32)
	case thrift.I64:
		return pass(ctx, c.in.ReadI64, c.out.WriteI64)
	case thrift.DOUBLE:
		return pass(ctx, c.in.ReadDouble, c.out.WriteDouble)
	case thrift.STRING:
		// Strings and binary values look the same on the wire.
		return pass(ctx, c.in.ReadBinary, c.out.WriteBinary)
	case thrift.UUID:
		return pass(ctx, c.in.ReadUUID, c.out.WriteUUID)
	}
	return thrift.NewTProtocolExceptionWithType(thrift.INVALID_DATA, fmt.Errorf("%w %d", errBadValue, kind))
}

func pass[T any](ctx context.Context, read func(context.Context) (T, error), write func(context.Context, T) error) error {
	v, err := read(ctx)
	if err != nil {
		return err
	}
	return write(ctx, v)
}

func (c copier) copyMap(ctx context.Context, depth int) error {
	if depth <= 0 {
		return errTooDeep
	}
	key, value, n, err := c.in.ReadMapBegin(ctx)
	if err != nil {
		return err
	}
	if err := c.out.WriteMapBegin(ctx, key, value, n); err != nil {
		return err
	}
	for range n {
		if err := c.copyValue(ctx, key, depth-1); err != nil {
			return err
		}
		if err := c.copyValue(ctx, value, depth-1); err != nil {
			return err
		}
	}
	if err := c.in.ReadMapEnd(ctx); err != nil {
		return err
	}
	return c.out.WriteMapEnd(ctx)
}

// sequence is how a list or a set is read and written.
type sequence struct {
	readBegin  func(context.Context) (thrift.TType, int, error)
	readEnd    func(context.Context) error
	writeBegin func(context.Context, thrift.TType, int) error
	writeEnd   func(context.Context) error
}

func (c copier) copyElements(ctx context.Context, depth int, s sequence) error {
	if depth <= 0 {
		return errTooDeep
	}
	kind, n, err := s.readBegin(ctx)
	if err != nil {
		return err
	}
	if err := s.writeBegin(ctx, kind, n); err != nil {
		return err
	}
	for range n {
		if err := c.copyValue(ctx, kind, depth-1); err != nil {
			return err
		}
	}
	if err := s.readEnd(ctx); err != nil {
		return err
	}
	return s.writeEnd(ctx)
}

// raw is a struct in the binary protocol.
type raw []byte

// rawOf reads a struct from a protocol. It is an error of Thrift's where it gets larger than limit bytes.
func rawOf(ctx context.Context, in thrift.TProtocol, limit int) (raw, error) {
	buf := thrift.NewTMemoryBuffer()
	c := copier{in: in, out: thrift.NewTBinaryProtocolConf(buf, unbounded()), full: func() bool { return buf.Len() > limit }}
	if err := c.copyStruct(ctx, maxDepth); err != nil {
		return nil, err
	}
	if buf.Len() > limit {
		return nil, errTooLong
	}
	return buf.Bytes(), nil
}

// encoded is a generated struct as raw.
func encoded(ctx context.Context, v writable) (raw, error) {
	buf := thrift.NewTMemoryBuffer()
	if err := v.Write(ctx, thrift.NewTBinaryProtocolConf(buf, unbounded())); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// protocol reads the struct. conf bounds its strings and containers.
func (r raw) protocol(conf *thrift.TConfiguration) thrift.TProtocol {
	return thrift.NewTBinaryProtocolConf(&thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(r)}, conf)
}

// Write writes the struct to any protocol.
func (r raw) Write(ctx context.Context, out thrift.TProtocol) error {
	if err := (copier{in: r.protocol(unbounded()), out: out}).copyStruct(ctx, maxDepth); err != nil {
		// Part of it was written: that must not be taken for an answer that is too large, of which nothing was.
		return fmt.Errorf("cannot pass on an answer: %v", err) //nolint:errorlint // see above
	}
	return nil
}

// unbounded is the configuration for what is in memory already: its size is the bound.
func unbounded() *thrift.TConfiguration {
	return &thrift.TConfiguration{MaxMessageSize: 1<<31 - 1, MaxFrameSize: 1<<31 - 1}
}
