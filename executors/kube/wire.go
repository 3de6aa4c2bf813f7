package kube

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errWire: bytes are not the message that they should be.
var errWire = errors.New("not the expected protobuf message")

// wire reads the fields of a protobuf message one after the other, and copies nothing.
type wire struct {
	rest   []byte
	number protowire.Number
	kind   protowire.Type
	bytes  []byte // of a field of bytes
	value  uint64 // of a varint
	err    error
}

// next goes to the next field. It reports false at the end and after an error.
func (f *wire) next() bool {
	if f.err != nil || len(f.rest) == 0 {
		return false
	}
	var n int
	f.number, f.kind, n = protowire.ConsumeTag(f.rest)
	if n < 0 {
		return f.fail()
	}
	f.rest = f.rest[n:]
	switch f.kind {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(f.rest)
	default: // nothing that is read is of another kind
		n = protowire.ConsumeFieldValue(f.number, f.kind, f.rest)
	}
	if n < 0 {
		return f.fail()
	}
	f.rest = f.rest[n:]
	return true
}

func (f *wire) fail() bool {
	f.err = errWire
	return false
}

// want reports whether the field is of a kind, which is an error if it is not.
func (f *wire) want(kind protowire.Type) bool {
	if f.kind != kind {
		f.err = errWire
	}
	return f.kind == kind
}

func (f *wire) text(to *string) {
	if f.want(protowire.BytesType) {
		*to = string(f.bytes)
	}
}

// message has a field read that is a message itself.
func (f *wire) message(read func(b []byte) error) {
	if f.want(protowire.BytesType) {
		if err := read(f.bytes); err != nil {
			f.err = err
		}
	}
}

// pair is an entry of a map of strings.
func (f *wire) pair() (key, value []byte) {
	if !f.want(protowire.BytesType) {
		return nil, nil
	}
	entry := wire{rest: f.bytes}
	for entry.next() {
		switch entry.number {
		case 1:
			if entry.want(protowire.BytesType) {
				key = entry.bytes
			}
		case 2:
			if entry.want(protowire.BytesType) {
				value = entry.bytes
			}
		}
	}
	if entry.err != nil {
		f.err = entry.err
	}
	return key, value
}

// integer reads a varint that is a number, truth one that says yes or no.
func integer[T ~int32 | ~int64](f *wire, to **T) {
	if f.want(protowire.VarintType) {
		*to = new(T(f.value))
	}
}

func truth(f *wire, to **bool) {
	if f.want(protowire.VarintType) {
		*to = new(f.value != 0)
	}
}

// time reads whole seconds, as Kubernetes does.
func (f *wire) time(to *metav1.Time) {
	f.message(to.Unmarshal)
}

func (f *wire) timePointer(to **metav1.Time) {
	if *to == nil {
		*to = &metav1.Time{}
	}
	f.time(*to)
}

// magic is what objects of Kubernetes begin with in protobuf.
const magic = "k8s\x00"

// unwrap takes an object out of what it is sent in, which says what it is ("batch/v1", "Job").
func unwrap(b []byte) (version, kind string, raw []byte, err error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return "", "", nil, fmt.Errorf("%w: no object of Kubernetes", errWire)
	}
	f := wire{rest: b[len(magic):]}
	for f.next() {
		switch f.number {
		case 1:
			f.message(func(b []byte) error {
				t := wire{rest: b}
				for t.next() {
					switch t.number {
					case 1:
						t.text(&version)
					case 2:
						t.text(&kind)
					}
				}
				return t.err
			})
		case 2:
			if f.want(protowire.BytesType) {
				raw = f.bytes
			}
		case 3:
			if f.want(protowire.BytesType) && len(f.bytes) > 0 {
				return "", "", nil, fmt.Errorf("%w: its encoding is %q", errWire, f.bytes)
			}
		}
	}
	return version, kind, raw, f.err
}

// readEvent takes a frame of a watch apart: what happened ("ADDED"), and the object as it is sent.
func readEvent(frame []byte) (what string, object []byte, err error) {
	f := wire{rest: frame}
	for f.next() {
		switch f.number {
		case 1:
			f.text(&what)
		case 2:
			f.message(func(b []byte) error {
				o := wire{rest: b}
				for o.next() {
					if o.number == 1 && o.want(protowire.BytesType) {
						object = o.bytes
					}
				}
				return o.err
			})
		}
	}
	return what, object, f.err
}

// readPage takes a page of a list apart: the version of the whole, what to ask for to go on, and the items as they are sent.
func readPage(raw []byte, item func(raw []byte) error) (version, more string, err error) {
	f := wire{rest: raw}
	for f.next() {
		switch f.number {
		case 1:
			f.message(func(b []byte) error {
				m := wire{rest: b}
				for m.next() {
					switch m.number {
					case 2:
						m.text(&version)
					case 3:
						m.text(&more)
					}
				}
				return m.err
			})
		case 2:
			f.message(item)
		}
	}
	return version, more, f.err
}
