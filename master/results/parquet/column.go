package parquet

import (
	"errors"
	"hash/crc32"
	"io"
)

// Kinds of pages.
const (
	pageData       = 0
	pageIndex      = 1
	pageDictionary = 2
	pageDataV2     = 3
)

// pagePiece is how much of a column is read at once where pages are small.
const pagePiece = 16 << 10

// page is the head of a page.
type page struct {
	kind, unpacked, packed int
	crc                    uint32
	hasCRC                 bool
	values                 int
	encoding               int
	defEncoding            int
	repEncoding            int
	// defLen and repLen are the lengths of the levels in pages of the second version; plain says that such a page is not compressed.
	defLen, repLen int
	plain          bool
}

// column reads a leaf's part of a row group, value by value.
type column struct {
	leaf *node
	in   *input
	work *budget
	// most bounds a page.
	most  int
	codec int
	dict  *dictionary
	// left is how many values the chunk has still, inPage the page; nulls count.
	left, inPage int64
	rep, def     levels
	values       values
	// held is a value that was read and not given.
	held    triple
	holding bool
}

// triple is a value with its levels. Raw is nil where there is no value; it is valid until the next call.
type triple struct {
	rep, def int
	raw      []byte
}

// column opens a leaf's part of a row group.
func (f *File) column(leaf *node, k *chunk) (*column, error) {
	switch {
	case k.encrypted:
		return nil, unsupported("column %q is encrypted", leaf.name)
	case k.elsewhere:
		return nil, unsupported("column %q stands in another file", leaf.name)
	case k.physical != leaf.physical:
		return nil, damaged("column %q is of another type than the schema says", leaf.name)
	case k.values < 0:
		return nil, damaged("column %q has a negative number of values", leaf.name)
	case k.values > 0 && (k.off < int64(len(magic)) || k.end > f.dataEnd):
		return nil, damaged("column %q is said to stand outside of the file", leaf.name)
	}
	return &column{
		leaf: leaf, work: f.work, most: f.lim.Page, codec: k.codec, left: k.values,
		in: &input{r: f.in, work: f.work, off: k.off, end: k.end, piece: pagePiece},
	}, nil
}

// next gives the next value; io.EOF says that there is none.
func (c *column) next() (triple, error) {
	if c.holding {
		c.holding = false
		return c.held, nil
	}
	for c.inPage == 0 {
		if c.left <= 0 {
			return triple{}, io.EOF
		}
		if err := c.page(); err != nil {
			return triple{}, err
		}
	}
	if err := c.work.charge(1); err != nil {
		return triple{}, err
	}
	c.inPage--
	c.left--
	rep, err := c.rep.next()
	if err != nil {
		return triple{}, err
	}
	def, err := c.def.next()
	if err != nil {
		return triple{}, err
	}
	t := triple{rep: int(rep), def: int(def)}
	if t.rep > c.leaf.rep || t.def > c.leaf.def {
		return triple{}, damaged("column %q has a level that its schema does not have", c.leaf.name)
	}
	if t.def == c.leaf.def {
		if t.raw, err = c.values.next(); err != nil {
			return triple{}, err
		}
	}
	return t, nil
}

// hold gives a value back: next gives it again.
func (c *column) hold(t triple) { c.held, c.holding = t, true }

// page reads the next page.
func (c *column) page() error {
	p, err := c.head()
	if err != nil {
		return err
	}
	b, err := c.in.take(p.packed)
	if err != nil {
		return err
	}
	if p.hasCRC && crc32.ChecksumIEEE(b) != p.crc {
		return damaged("a page of column %q has another checksum than it should have", c.leaf.name)
	}
	switch p.kind {
	case pageDictionary:
		if b, err = c.unpack(b, p.unpacked); err != nil {
			return err
		}
		if p.encoding != encodingPlain && p.encoding != encodingOldDict {
			return unsupported("column %q has a dictionary in an encoding (number %d) that is not read", c.leaf.name, p.encoding)
		}
		c.dict, err = newDictionary(c.leaf, b, p.values, c.work)
		return err
	case pageData:
		if b, err = c.unpack(b, p.unpacked); err != nil {
			return err
		}
		return c.first(p, b)
	case pageDataV2:
		return c.second(p, b)
	}
	return nil // an index
}

// head reads the head of a page.
func (c *column) head() (*page, error) {
	if c.in.left() <= 0 {
		return nil, damaged("column %q has fewer values than it says", c.leaf.name)
	}
	p := &page{kind: -1, packed: -1, values: -1}
	t := &compact{in: c.in}
	t.fields(func(id int, typ byte) bool {
		switch id {
		case 1:
			p.kind = t.int32(typ)
		case 2:
			p.unpacked = t.int32(typ)
		case 3:
			p.packed = t.int32(typ)
		case 4:
			p.crc, p.hasCRC = uint32(t.int(typ)), true
		case 5:
			return t.structure(typ, p.dataHead(t))
		case 7:
			return t.structure(typ, p.dictionaryHead(t))
		case 8:
			p.plain = false
			return t.structure(typ, p.dataHeadV2(t))
		default:
			return false
		}
		return true
	})
	switch {
	case t.err != nil:
		return nil, t.err
	case p.packed < 0 || int64(p.packed) > c.in.left():
		return nil, damaged("a page of column %q goes beyond its column", c.leaf.name)
	case p.kind < 0 || p.kind > pageDataV2 || p.kind != pageIndex && p.values < 0:
		return nil, damaged("column %q has a page of no known kind", c.leaf.name)
	case p.packed > c.most || p.unpacked > c.most:
		return nil, unsupported("column %q has a page of %d bytes, more than the %d that are read", c.leaf.name, max(p.packed, p.unpacked), c.most)
	}
	return p, nil
}

func (p *page) dataHead(t *compact) func(id int, typ byte) bool {
	return func(id int, typ byte) bool {
		switch id {
		case 1:
			p.values = t.int32(typ)
		case 2:
			p.encoding = t.int32(typ)
		case 3:
			p.defEncoding = t.int32(typ)
		case 4:
			p.repEncoding = t.int32(typ)
		default:
			return false
		}
		return true
	}
}

// dictionaryHead reads the head of a dictionary: its first two fields are those of a page of data.
func (p *page) dictionaryHead(t *compact) func(id int, typ byte) bool {
	data := p.dataHead(t)
	return func(id int, typ byte) bool { return id <= 2 && data(id, typ) }
}

func (p *page) dataHeadV2(t *compact) func(id int, typ byte) bool {
	return func(id int, typ byte) bool {
		switch id {
		case 1:
			p.values = t.int32(typ)
		case 4:
			p.encoding = t.int32(typ)
		case 5:
			p.defLen = t.int32(typ)
		case 6:
			p.repLen = t.int32(typ)
		case 7:
			p.plain = typ == typeFalse
		default:
			return false
		}
		return true
	}
}

// begin makes the values of a page the next ones.
func (c *column) begin(p *page, rep, def levels, b []byte) (err error) {
	if int64(p.values) > c.left {
		return damaged("column %q has more values than it says", c.leaf.name)
	}
	c.inPage, c.rep, c.def = int64(p.values), rep, def
	c.values, err = c.decode(p.encoding, b)
	return err
}

// first reads the levels of a data page of the first version.
func (c *column) first(p *page, b []byte) error {
	rep, b, err := pageLevels(b, c.leaf.rep, p.repEncoding, p.values)
	if err != nil {
		return err
	}
	def, b, err := pageLevels(b, c.leaf.def, p.defEncoding, p.values)
	if err != nil {
		return err
	}
	return c.begin(p, rep, def, b)
}

// pageLevels gives the levels that b begins with, and what follows them.
func pageLevels(b []byte, most, encoding, values int) (levels, []byte, error) {
	width := widthOf(most)
	switch {
	case width == 0:
		return &hybrid{}, b, nil
	case encoding == encodingRLE:
		block, rest, err := prefixedBlock(b)
		return &hybrid{b: block, width: width}, rest, err
	case encoding == encodingBitPacked:
		size := (values*width + 7) / 8
		if size > len(b) {
			return nil, nil, errShort
		}
		return &oldLevels{b: b[:size], width: width}, b[size:], nil
	}
	return nil, nil, unsupported("levels are in an encoding (number %d) that is not read", encoding)
}

// second reads the levels of a data page of the second version, which are not compressed.
func (c *column) second(p *page, b []byte) error {
	if p.repLen > len(b) || p.defLen > len(b)-p.repLen || p.repLen+p.defLen > p.unpacked {
		return damaged("a page of column %q has longer levels than it has bytes", c.leaf.name)
	}
	rep := &hybrid{b: b[:p.repLen], width: widthOf(c.leaf.rep)}
	def := &hybrid{b: b[p.repLen:][:p.defLen], width: widthOf(c.leaf.def)}
	b = b[p.repLen+p.defLen:]
	if !p.plain {
		var err error
		if b, err = c.unpack(b, p.unpacked-p.repLen-p.defLen); err != nil {
			return err
		}
	}
	return c.begin(p, rep, def, b)
}

// record appends to into the values of the next row, at most most of them, and says whether there were more. At the end of the chunk err
// is io.EOF. Values are copied.
func (c *column) record(into []triple, most int) (_ []triple, cut bool, err error) {
	t, err := c.next()
	if err != nil {
		return into, false, err
	}
	if t.rep != 0 {
		return into, false, damaged("column %q begins in the middle of a row", c.leaf.name)
	}
	if t, err = c.keep(t); err != nil {
		return into, false, err
	}
	if into = append(into, t); c.leaf.rep == 0 {
		return into, false, nil
	}
	for n := 1; ; n++ {
		t, err = c.next()
		switch {
		case errors.Is(err, io.EOF):
			return into, cut, nil
		case err != nil:
			return into, cut, err
		case t.rep == 0:
			c.hold(t)
			return into, cut, nil
		case n >= most:
			cut = true
		default:
			if t, err = c.keep(t); err != nil {
				return into, cut, err
			}
			into = append(into, t)
		}
	}
}

// keep copies a value where it would not outlive the next one.
func (c *column) keep(t triple) (triple, error) {
	switch c.values.(type) {
	case *numbers, *prefixed, *split:
		if err := c.work.charge(int64(len(t.raw))); err != nil {
			return t, err
		}
		t.raw = append(make([]byte, 0, len(t.raw)), t.raw...)
	}
	return t, nil
}
