package parquet

import (
	"encoding/binary"
)

// Encodings, as numbered in parquet.thrift.
const (
	encodingPlain      = 0
	encodingOldDict    = 2
	encodingRLE        = 3
	encodingBitPacked  = 4
	encodingDelta      = 5
	encodingDeltaLen   = 6
	encodingDeltaBytes = 7
	encodingDict       = 8
	encodingSplit      = 9
)

// values gives the values of a page, each in the bytes that the plain encoding has for it (without a length, a truth value as a byte).
// They stay valid until the next call.
type values interface{ next() ([]byte, error) }

// plain values of a fixed width.
type plain struct {
	b     []byte
	width int
}

func (p *plain) next() ([]byte, error) {
	if len(p.b) < p.width {
		return nil, errShort
	}
	v := p.b[:p.width]
	p.b = p.b[p.width:]
	return v, nil
}

// plainBytes are values with their lengths before them.
type plainBytes struct{ b []byte }

func (p *plainBytes) next() ([]byte, error) {
	if len(p.b) < 4 {
		return nil, errShort
	}
	n := binary.LittleEndian.Uint32(p.b)
	if uint64(n) > uint64(len(p.b)-4) {
		return nil, damaged("a value is longer than its page")
	}
	v := p.b[4 : 4+n]
	p.b = p.b[4+n:]
	return v, nil
}

// plainBits are truth values.
type plainBits struct {
	b   []byte
	bit uint64
}

func (p *plainBits) next() ([]byte, error) {
	if p.bit >= 8*uint64(len(p.b)) {
		return nil, errShort
	}
	v := unpack(p.b, p.bit, 1)
	p.bit++
	return []byte{byte(v)}, nil
}

// runBits are truth values in runs.
type runBits struct{ h hybrid }

func (r *runBits) next() ([]byte, error) {
	v, err := r.h.next()
	return []byte{byte(v)}, err
}

// looked are values that stand in the dictionary.
type looked struct {
	indexes hybrid
	dict    *dictionary
}

func (l *looked) next() ([]byte, error) {
	i, err := l.indexes.next()
	if err != nil {
		return nil, err
	}
	return l.dict.at(int(i))
}

// dictionary has the values of a chunk's dictionary page. They are looked up as far as they are needed.
type dictionary struct {
	// width is that of fixed values; where it is 0, known are the values that were looked up so far, and rest the others.
	b     []byte
	width int
	known [][]byte
	rest  plainBytes
	n     int
	work  *budget
}

func (d *dictionary) at(i int) ([]byte, error) {
	switch {
	case d == nil:
		return nil, damaged("a column refers to a dictionary that it does not have")
	case i < 0 || i >= d.n:
		return nil, damaged("a value refers to an entry beyond its dictionary")
	case d.width > 0:
		return d.b[i*d.width : (i+1)*d.width], nil
	}
	for len(d.known) <= i {
		v, err := d.rest.next()
		if err == nil {
			err = d.work.charge(24) // what it takes in memory
		}
		if err != nil {
			return nil, err
		}
		d.known = append(d.known, v)
	}
	return d.known[i], nil
}

// newDictionary makes a dictionary of a page of plain values.
func newDictionary(leaf *node, b []byte, n int, work *budget) (*dictionary, error) {
	width := leaf.fixed()
	if width == 0 && n > len(b)/4 || width > 0 && n > len(b)/width || leaf.physical == physicalBoolean {
		return nil, damaged("a dictionary is said to have %d values in %d bytes", n, len(b))
	}
	return &dictionary{b: b, width: width, rest: plainBytes{b: b}, n: n, work: work}, nil
}

// fixed is the width in bytes of a column's values, 0 where it differs.
func (n *node) fixed() int {
	switch n.physical {
	case physicalInt32, physicalFloat:
		return 4
	case physicalInt64, physicalDouble:
		return 8
	case physicalInt96:
		return 12
	case physicalFixed:
		return n.width
	}
	return 0
}

// numbers are whole numbers in the encoding DELTA_BINARY_PACKED.
type numbers struct {
	d     *deltas
	width int
	v     [8]byte
}

func (n *numbers) next() ([]byte, error) {
	v, err := n.d.next()
	binary.LittleEndian.PutUint64(n.v[:], uint64(v))
	return n.v[:n.width], err
}

// lengths are values whose lengths stand before them all.
type lengths struct {
	lens *deltas
	b    []byte
}

func (l *lengths) next() ([]byte, error) {
	n, err := l.lens.next()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(l.b)) {
		return nil, damaged("a value is longer than its page")
	}
	v := l.b[:n]
	l.b = l.b[n:]
	return v, nil
}

func newLengths(b []byte) (*lengths, error) {
	lens, err := newDeltas(b)
	if err != nil {
		return nil, err
	}
	skip := *lens
	rest, err := skip.rest()
	return &lengths{lens: lens, b: rest}, err
}

// prefixed are values that share their beginnings with their predecessors.
type prefixed struct {
	lens     *deltas
	suffixes *lengths
	last     []byte
	work     *budget
}

func newPrefixed(b []byte, work *budget) (*prefixed, error) {
	lens, err := newDeltas(b)
	if err != nil {
		return nil, err
	}
	skip := *lens
	if b, err = skip.rest(); err != nil {
		return nil, err
	}
	suffixes, err := newLengths(b)
	return &prefixed{lens: lens, suffixes: suffixes, work: work}, err
}

func (p *prefixed) next() ([]byte, error) {
	n, err := p.lens.next()
	if err != nil {
		return nil, err
	}
	suffix, err := p.suffixes.next()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(p.last)) {
		return nil, damaged("a value is said to share more with the one before than that has")
	}
	if err := p.work.charge(int64(len(suffix))); err != nil {
		return nil, err
	}
	p.last = append(p.last[:n], suffix...)
	return p.last, nil
}

// split are values of which all first bytes come first, then all second ones, and so on.
type split struct {
	b            []byte
	width, n, at int
	v            []byte
}

func (s *split) next() ([]byte, error) {
	if s.at >= s.n {
		return nil, errShort
	}
	for i := range s.v {
		s.v[i] = s.b[i*s.n+s.at]
	}
	s.at++
	return s.v, nil
}

// decode gives the values of a data page.
func (c *column) decode(encoding int, b []byte) (values, error) {
	leaf, width := c.leaf, c.leaf.fixed()
	switch {
	case len(b) == 0:
		return &plainBytes{}, nil // a page of nulls
	case encoding == encodingPlain && leaf.physical == physicalBoolean:
		return &plainBits{b: b}, nil
	case encoding == encodingPlain && leaf.physical == physicalBytes:
		return &plainBytes{b: b}, nil
	case encoding == encodingPlain:
		return &plain{b: b, width: width}, nil
	case encoding == encodingDict, encoding == encodingOldDict:
		if b[0] > 32 {
			return nil, damaged("a page refers to its dictionary with %d bits", b[0])
		}
		return &looked{indexes: hybrid{b: b[1:], width: int(b[0])}, dict: c.dict}, nil
	case encoding == encodingRLE && leaf.physical == physicalBoolean:
		b, _, err := prefixedBlock(b)
		return &runBits{h: hybrid{b: b, width: 1}}, err
	case encoding == encodingDelta && (leaf.physical == physicalInt32 || leaf.physical == physicalInt64):
		d, err := newDeltas(b)
		return &numbers{d: d, width: width}, err
	case encoding == encodingDeltaLen && leaf.physical == physicalBytes:
		return newLengths(b)
	case encoding == encodingDeltaBytes && (leaf.physical == physicalBytes || leaf.physical == physicalFixed):
		return newPrefixed(b, c.work)
	case encoding == encodingSplit && width > len(b):
		return nil, errShort // the width is what the schema says, and may be anything
	case encoding == encodingSplit && width > 0:
		return &split{b: b, width: width, n: len(b) / width, v: make([]byte, width)}, nil
	}
	return nil, unsupported("column %q is in an encoding (number %d) that is not read", leaf.name, encoding)
}

// prefixedBlock gives the bytes that a length stands before, and what follows them.
func prefixedBlock(b []byte) (block, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errShort
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, errShort
	}
	return b[4 : 4+n], b[4+n:], nil
}
