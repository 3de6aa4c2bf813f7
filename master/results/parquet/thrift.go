package parquet

import "io"

// The types of Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
const (
	typeTrue   = 1
	typeFalse  = 2
	typeByte   = 3
	typeI16    = 4
	typeI32    = 5
	typeI64    = 6
	typeDouble = 7
	typeBinary = 8
	typeList   = 9
	typeSet    = 10
	typeMap    = 11
	typeStruct = 12
)

// maxNesting is how deep structs and lists may lie in each other; Parquet's own need seven.
const maxNesting = 32

// compact reads Thrift's compact protocol. The first error stays: from then on all methods give zeros.
type compact struct {
	in    *input
	err   error
	depth int
}

func (c *compact) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *compact) byte() byte {
	b := c.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (c *compact) bytes(n int) []byte {
	if c.err != nil {
		return nil
	}
	b, err := c.in.take(n)
	if err != nil {
		c.fail(err)
		return nil
	}
	return b
}

func (c *compact) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b := c.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	c.fail(damaged("a number has more than 64 bits"))
	return 0
}

func (c *compact) zigzag() int64 { return unzigzag(c.uvarint()) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// int reads an integer field of whatever width.
func (c *compact) int(typ byte) int64 {
	switch typ {
	case typeByte:
		return int64(int8(c.byte()))
	case typeI16, typeI32, typeI64:
		return c.zigzag()
	}
	c.fail(damaged("its metadata has a field of another type than expected"))
	return 0
}

// int32 reads an integer that must not be negative and fits in 32 bits.
func (c *compact) int32(typ byte) int {
	v := c.int(typ)
	if v < 0 || v > 1<<31-1 {
		c.fail(damaged("its metadata has a length or a number that is out of range"))
		return 0
	}
	return int(v)
}

// binary reads a string of at most most bytes.
func (c *compact) binary(typ byte, most int) []byte {
	if typ != typeBinary {
		c.fail(damaged("its metadata has a field of another type than expected"))
		return nil
	}
	n := c.uvarint()
	if n > uint64(most) || int64(n) > c.in.left() {
		c.fail(damaged("its metadata has a string that is too long"))
		return nil
	}
	return c.bytes(int(n))
}

// fields goes through the fields of a struct. f says whether it has read the field's value; what it has not read is passed over.
func (c *compact) fields(f func(id int, typ byte) bool) {
	if c.depth++; c.depth > maxNesting {
		c.fail(damaged("its metadata is nested too deeply"))
	}
	defer func() { c.depth-- }()
	for id := 0; c.err == nil; {
		typ := c.field(&id)
		if c.err != nil || typ == 0 {
			return
		}
		if !f(id, typ) {
			c.pass(typ, true)
		}
	}
}

// field reads the head of a struct's next field, and moves id on to it. The type 0 ends the struct.
func (c *compact) field(id *int) (typ byte) {
	head := c.byte()
	if typ = head & 0x0f; typ == 0 {
		return 0
	}
	if delta := int(head >> 4); delta > 0 {
		*id += delta
	} else {
		*id = int(int16(c.zigzag()))
	}
	return typ
}

// structure is fields for a value that must be a struct.
func (c *compact) structure(typ byte, f func(id int, typ byte) bool) bool {
	if typ != typeStruct {
		c.fail(damaged("its metadata has a field of another type than expected"))
		return true
	}
	c.fields(f)
	return true
}

// list reads the head of a list.
func (c *compact) list(typ byte) (n int, elem byte) {
	if typ != typeList && typ != typeSet {
		c.fail(damaged("its metadata has a field of another type than expected"))
		return 0, 0
	}
	head := c.byte()
	size := uint64(head >> 4)
	if size == 15 {
		size = c.uvarint()
	}
	// Every element has at least one byte.
	if c.err == nil && size > uint64(max(0, c.in.left())) {
		c.fail(damaged("its metadata has a list that is longer than the file"))
	}
	if c.err != nil {
		return 0, 0
	}
	return int(size), head & 0x0f
}

// pass goes over a value. A truth value as a field has no bytes of its own; in a list it has one.
func (c *compact) pass(typ byte, field bool) {
	switch typ {
	case typeTrue, typeFalse:
		if !field {
			c.byte()
		}
	case typeByte:
		c.byte()
	case typeI16, typeI32, typeI64:
		c.uvarint()
	case typeDouble:
		c.bytes(8)
	case typeBinary:
		c.passBytes(c.uvarint())
	case typeList, typeSet:
		n, elem := c.list(typ)
		c.passAll(n, elem)
	case typeMap:
		n := c.uvarint()
		if n == 0 || c.err != nil {
			return
		}
		types := c.byte()
		for ; n > 0 && c.err == nil; n-- {
			c.passAll(1, types>>4)
			c.passAll(1, types&0x0f)
		}
	case typeStruct:
		c.fields(func(int, byte) bool { return false })
	default:
		c.fail(damaged("its metadata has a value of no known type"))
	}
}

func (c *compact) passAll(n int, elem byte) {
	if c.depth++; c.depth > maxNesting {
		c.fail(damaged("its metadata is nested too deeply"))
	}
	for ; n > 0 && c.err == nil; n-- {
		c.pass(elem, false)
	}
	c.depth--
}

func (c *compact) passBytes(n uint64) {
	if c.err != nil {
		return
	}
	if n > uint64(max(0, c.in.left())) {
		c.fail(io.ErrUnexpectedEOF)
		return
	}
	if err := c.in.skip(int64(n)); err != nil {
		c.fail(err)
	}
}
