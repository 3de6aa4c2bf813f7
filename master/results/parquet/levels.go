package parquet

import (
	"encoding/binary"
	"math/bits"
)

// widthOf is how many bits numbers up to most need.
func widthOf(most int) int { return bits.Len(uint(most)) }

// hybrid gives numbers out of the encoding that mixes runs and bit-packed groups. With a width of 0 all are 0.
type hybrid struct {
	b     []byte
	width int
	// run is how many numbers are left of the current run; packed holds them where they are packed, else all are value.
	run    uint64
	value  uint32
	packed []byte
	bit    uint64
}

var errShort = damaged("a page has fewer values than it says")

// next gives the next number.
func (h *hybrid) next() (uint32, error) {
	if h.width == 0 {
		return 0, nil
	}
	for h.run == 0 {
		if err := h.start(); err != nil {
			return 0, err
		}
	}
	h.run--
	if h.packed == nil {
		return h.value, nil
	}
	v := unpack(h.packed, h.bit, h.width)
	h.bit += uint64(h.width)
	return uint32(v), nil
}

// start reads the head of a run.
func (h *hybrid) start() error {
	head, n := binary.Uvarint(h.b)
	if n <= 0 {
		return errShort
	}
	h.b = h.b[n:]
	if head&1 == 0 {
		size := (h.width + 7) / 8
		if len(h.b) < size {
			return errShort
		}
		var value [4]byte
		copy(value[:], h.b[:size])
		h.run, h.packed, h.value = head>>1, nil, binary.LittleEndian.Uint32(value[:])
		h.b = h.b[size:]
		return nil
	}
	groups := min(head>>1, uint64(len(h.b))) // the last group may be cut off
	size := min(groups*uint64(h.width), uint64(len(h.b)))
	h.packed, h.b, h.bit = h.b[:size:size], h.b[size:], 0
	h.run = min(groups*8, size*8/uint64(h.width))
	if h.run == 0 {
		return errShort
	}
	return nil
}

// unpack gives the width bits that begin at a bit of b, least significant first. Bits beyond the end are 0.
func unpack(b []byte, bit uint64, width int) uint64 {
	var v uint64
	at := bit / 8
	shift := int(bit % 8)
	for got := -shift; got < width; got += 8 {
		if at >= uint64(len(b)) {
			break
		}
		if x := uint64(b[at]); got < 0 {
			v |= x >> -got
		} else {
			v |= x << got
		}
		at++
	}
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}

// levels gives the repetition or definition level of each value of a page.
type levels interface{ next() (uint32, error) }

// oldLevels are levels in the encoding BIT_PACKED, which begins with the most significant bit.
type oldLevels struct {
	b     []byte
	bit   int
	width int
}

func (o *oldLevels) next() (uint32, error) {
	if o.bit+o.width > 8*len(o.b) {
		return 0, errShort
	}
	var v uint32
	for range o.width {
		v = v<<1 | uint32(o.b[o.bit/8]>>(7-o.bit%8)&1)
		o.bit++
	}
	return v, nil
}

// deltas gives numbers in the encoding DELTA_BINARY_PACKED.
type deltas struct {
	b []byte
	// perBlock and perMini are how many numbers a block and each of its small blocks have.
	perBlock, minis, perMini int
	// left is how many numbers are to come.
	left  uint64
	value int64
	first bool
	// min is the block's smallest delta, widths are those of its small blocks that are to come.
	min    int64
	widths []byte
	packed []byte
	bit    uint64
	width  int
	run    int
}

// newDeltas reads the head.
func newDeltas(b []byte) (*deltas, error) {
	var head [4]uint64
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errShort
		}
		head[i], b = v, b[n:]
	}
	if head[0] == 0 || head[0] > 1<<20 || head[1] == 0 || head[1] > head[0]/8 || head[0]%head[1] != 0 || head[0]/head[1]%8 != 0 {
		return nil, damaged("a page has blocks of %d values in %d parts", head[0], head[1])
	}
	d := &deltas{b: b, perBlock: int(head[0]), minis: int(head[1]), left: head[2], value: unzigzag(head[3]), first: true}
	d.perMini = d.perBlock / d.minis
	return d, nil
}

func (d *deltas) next() (int64, error) {
	if d.left == 0 {
		return 0, errShort
	}
	d.left--
	if d.first {
		d.first = false
		return d.value, nil
	}
	if d.run == 0 {
		if err := d.start(); err != nil {
			return 0, err
		}
	}
	d.run--
	delta := unpack(d.packed, d.bit, d.width)
	d.bit += uint64(d.width)
	d.value += d.min + int64(delta)
	return d.value, nil
}

// start goes to the next small block.
func (d *deltas) start() error {
	if len(d.widths) == 0 {
		v, n := binary.Uvarint(d.b)
		if n <= 0 || len(d.b) < n+d.minis {
			return errShort
		}
		d.min = unzigzag(v)
		d.widths, d.b = d.b[n:n+d.minis], d.b[n+d.minis:]
	}
	d.width = int(d.widths[0])
	d.widths = d.widths[1:]
	if d.width > 64 {
		return damaged("a page has numbers of %d bits", d.width)
	}
	size := min(d.perMini/8*d.width, len(d.b)) // the last one may be cut off
	d.packed, d.b, d.bit, d.run = d.b[:size], d.b[size:], 0, d.perMini
	return nil
}

// rest gives what follows the numbers, which d no longer gives afterwards.
func (d *deltas) rest() ([]byte, error) {
	if d.left == 0 {
		return d.b, nil
	}
	for left := d.left - 1; left > 0; {
		if err := d.start(); err != nil {
			return nil, err
		}
		left -= min(left, uint64(d.perMini))
	}
	return d.b, nil
}
