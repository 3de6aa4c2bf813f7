package parquet

import (
	"encoding/binary"
	"io"
)

const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
	// tailSize is how much is read of the end of a file at first. The whole metadata of most files fits in.
	tailSize = 16 << 10
	// footerPiece is how much is read at once of metadata that is longer.
	footerPiece = 64 << 10
)

// metadata is the part of a file's FileMetaData that comes before the row groups, and the way to those.
type metadata struct {
	rows int64
	// elements is the schema as it stands in the file: a tree, depth first.
	elements []element
	// groups is how many row groups are still to be read by next.
	groups int
	c      *compact
}

// element is a SchemaElement.
type element struct {
	physical  int
	width     int
	repeated  int
	name      string
	children  int
	converted int
	scale     int
	logical   logical
}

// logical is a LogicalType: the number of its kind (0 is none), and what some kinds say besides.
type logical struct {
	kind int
	// scale is that of a decimal.
	scale int
	// unit is 1 for milliseconds, 2 for microseconds, 3 for nanoseconds; utc says that a time is one of the world, not of some zone.
	unit int
	utc  bool
	// unsigned and bits are those of an integer.
	unsigned bool
	bits     int
}

// group is a RowGroup.
type group struct {
	rows   int64
	chunks []chunk
}

// chunk is a column's part of a row group.
type chunk struct {
	physical int
	codec    int
	values   int64
	// off and end are where its pages stand in the file.
	off, end  int64
	encrypted bool
	elsewhere bool
}

func (f *File) open(size int64) error {
	if size < int64(2*len(magic)+4) {
		return damaged("it has only %d bytes", size)
	}
	tail := make([]byte, min(size, tailSize))
	if err := f.work.charge(int64(len(tail))); err != nil {
		return err
	}
	if n, err := f.in.ReadAt(tail, size-int64(len(tail))); n < len(tail) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	switch end := string(tail[len(tail)-4:]); end {
	case magic:
	case magicEncrypted:
		return unsupported("it is encrypted")
	default:
		return damaged("it does not end with %q: it was cut off, or is still being written", magic)
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if length == 0 || length > size-int64(2*len(magic)+4) {
		return damaged("its metadata is said to have %d bytes, of %d in the file", length, size)
	}
	end := size - 8
	in := &input{r: f.in, work: f.work, off: end - length, end: end, piece: footerPiece}
	if int64(len(tail)) >= length+8 {
		in.buf, in.off = tail[int64(len(tail))-8-length:len(tail)-8], end
	}
	f.dataEnd = end - length
	meta, err := readMetadata(in)
	if err != nil {
		return err
	}
	f.meta = meta
	return f.schema()
}

// readMetadata reads up to the row groups. Their list comes after the schema and the number of rows in all files: Thrift writes
// fields in the order of their numbers.
func readMetadata(in *input) (*metadata, error) {
	c := &compact{in: in}
	m := &metadata{rows: -1, c: c}
	id := 0
	for c.err == nil {
		typ := c.field(&id)
		switch {
		case c.err != nil || typ == 0:
			return nil, orDamaged(c.err, "its metadata has no row groups")
		case id == 2:
			n, elem := c.list(typ)
			for ; n > 0 && c.err == nil; n-- {
				m.elements = append(m.elements, readElement(c, elem))
			}
		case id == 3:
			m.rows = c.int(typ)
		case id == 4:
			if m.groups, typ = c.list(typ); m.groups > 0 && typ != typeStruct {
				c.fail(damaged("its row groups are no structs"))
			}
			if c.err == nil && (m.rows < 0 || len(m.elements) == 0) {
				c.fail(damaged("its metadata has no schema, or no valid number of rows"))
			}
			return m, c.err
		default:
			c.pass(typ, true)
		}
	}
	return nil, c.err
}

func orDamaged(err error, text string) error {
	if err == nil {
		err = damaged("%s", text)
	}
	return err
}

func readElement(c *compact, typ byte) element {
	e := element{physical: -1, converted: -1}
	if err := c.in.work.charge(100); err != nil { // what an element takes in memory
		c.fail(err)
	}
	c.structure(typ, func(id int, typ byte) bool {
		switch id {
		case 1:
			e.physical = c.int32(typ)
		case 2:
			e.width = c.int32(typ)
		case 3:
			e.repeated = c.int32(typ)
		case 4:
			e.name = string(c.binary(typ, 64<<10))
		case 5:
			e.children = c.int32(typ)
		case 6:
			e.converted = c.int32(typ)
		case 7:
			e.scale = int(c.int(typ))
		case 10:
			return c.structure(typ, func(id int, typ byte) bool {
				e.logical.kind = id
				return c.structure(typ, e.logical.read(c))
			})
		default:
			return false
		}
		return true
	})
	return e
}

// read gives what reads the struct of a logical type.
func (l *logical) read(c *compact) func(id int, typ byte) bool {
	return func(id int, typ byte) bool {
		switch {
		case l.kind == logicalDecimal && id == 1:
			l.scale = int(c.int(typ))
		case (l.kind == logicalTime || l.kind == logicalTimestamp) && id == 1:
			l.utc = typ == typeTrue
		case (l.kind == logicalTime || l.kind == logicalTimestamp) && id == 2:
			return c.structure(typ, func(id int, _ byte) bool {
				l.unit = id
				return false
			})
		case l.kind == logicalInteger && id == 1:
			l.bits = int(c.int(typ))
		case l.kind == logicalInteger && id == 2:
			l.unsigned = typ == typeFalse
		default:
			return false
		}
		return true
	}
}

// next reads the next row group; io.EOF says that there is none.
func (f *File) next() (*group, error) {
	m := f.meta
	if m.groups == 0 {
		return nil, io.EOF
	}
	m.groups--
	g := &group{rows: -1}
	c := m.c
	c.structure(typeStruct, func(id int, typ byte) bool {
		switch id {
		case 1:
			n, elem := c.list(typ)
			if c.err == nil && n != len(f.leaves) {
				c.fail(damaged("a row group has %d columns, the schema %d", n, len(f.leaves)))
			}
			for ; n > 0 && c.err == nil; n-- {
				g.chunks = append(g.chunks, readChunk(c, elem))
			}
		case 3:
			g.rows = c.int(typ)
		default:
			return false
		}
		return true
	})
	if c.err == nil && (g.rows < 0 || len(g.chunks) != len(f.leaves)) {
		c.fail(damaged("a row group has no columns, or no valid number of rows"))
	}
	if c.err != nil {
		return nil, c.err
	}
	return g, nil
}

func readChunk(c *compact, typ byte) chunk {
	var k chunk
	k.physical = -1
	var data, dict, size int64
	if err := c.in.work.charge(100); err != nil {
		c.fail(err)
	}
	c.structure(typ, func(id int, typ byte) bool {
		switch id {
		case 1:
			k.elsewhere = len(c.binary(typ, 64<<10)) > 0
		case 3:
			return c.structure(typ, func(id int, typ byte) bool {
				switch id {
				case 1:
					k.physical = c.int32(typ)
				case 4:
					k.codec = c.int32(typ)
				case 5:
					k.values = c.int(typ)
				case 7:
					size = c.int(typ)
				case 9:
					data = c.int(typ)
				case 11:
					dict = c.int(typ)
				default:
					return false
				}
				return true
			})
		case 8:
			k.encrypted = true
			return false
		default:
			return false
		}
		return true
	})
	k.off = data
	if dict > 0 && dict < data { // some writers give 0 where there is none
		k.off = dict
	}
	if k.off < 0 || size < 0 || k.off > 1<<62 || size > 1<<62 {
		c.fail(damaged("a column is said to stand outside of the file"))
	}
	k.end = k.off + size
	return k
}
