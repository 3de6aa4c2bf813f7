package results

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// packedExtensions are the extensions of names by which compression is told from format.
var packedExtensions = []string{".gz", ".zst", ".zstd", ".snappy", ".sz", ".lz4", ".bz2", ".deflate"}

const (
	// magicSize is how much is needed to tell by what a file is compressed.
	magicSize = 16
	// maxBlock bounds a compressed block, and what it has unpacked. Hadoop writes 256 KiB, Spark 32 KiB.
	maxBlock = 8 << 20
	// maxWindow bounds what a zstd stream refers back to, which is kept in memory. Compressors use more only if told.
	maxWindow = 32 << 20
)

// opener begins to unpack. release, which may be nil, gives up what the unpacking holds.
type opener func(in *bufio.Reader) (content io.Reader, release func(), err error)

// unpacker tells from its beginning, and where that says nothing from its name, by what a file is compressed; nil where it is not.
func unpacker(name string, magic []byte) opener {
	starts := func(s string) bool { return bytes.HasPrefix(magic, []byte(s)) }
	switch {
	case starts("\x1f\x8b\x08"):
		return func(in *bufio.Reader) (io.Reader, func(), error) {
			r, err := gzip.NewReader(in)
			return r, nil, err
		}
	case starts("\x28\xb5\x2f\xfd"), len(magic) > 4 && magic[0]&0xf0 == 0x50 && string(magic[1:4]) == "\x2a\x4d\x18":
		return openZstd
	case starts("\xff\x06\x00\x00sNaPpY"):
		return func(in *bufio.Reader) (io.Reader, func(), error) { return snappy.NewReader(in), nil, nil }
	case starts("\x82SNAPPY\x00"):
		return func(in *bufio.Reader) (io.Reader, func(), error) {
			_, err := in.Discard(16) // the magic and two numbers of versions
			return &blocks{in: in, unpack: unpackSnappy}, nil, err
		}
	case starts("\x04\x22\x4d\x18"):
		return func(in *bufio.Reader) (io.Reader, func(), error) { return lz4.NewReader(in), nil, nil }
	case starts("BZh"):
		return func(in *bufio.Reader) (io.Reader, func(), error) { return bzip2.NewReader(in), nil, nil }
	case !hadoopBlocks(magic):
	case strings.EqualFold(path.Ext(name), ".snappy"):
		return func(in *bufio.Reader) (io.Reader, func(), error) {
			return &blocks{in: in, grouped: true, unpack: unpackSnappy}, nil, nil
		}
	case strings.EqualFold(path.Ext(name), ".lz4"):
		return func(in *bufio.Reader) (io.Reader, func(), error) {
			return &blocks{in: in, grouped: true, unpack: unpackLZ4}, nil, nil
		}
	}
	if strings.EqualFold(path.Ext(name), ".deflate") && len(magic) > 1 && magic[0]&0x0f == 8 && binary.BigEndian.Uint16(magic)%31 == 0 {
		return func(in *bufio.Reader) (io.Reader, func(), error) {
			r, err := zlib.NewReader(in)
			return r, nil, err
		}
	}
	return nil
}

func openZstd(in *bufio.Reader) (io.Reader, func(), error) {
	r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, err
	}
	return r, r.Close, nil
}

// hadoopBlocks says whether a file without a magic can be what Hadoop's codecs write: two lengths, the first of a group of blocks
// unpacked, the second of its first block.
func hadoopBlocks(magic []byte) bool {
	if len(magic) < 9 {
		return false
	}
	group, block := binary.BigEndian.Uint32(magic), binary.BigEndian.Uint32(magic[4:])
	return group > 0 && group <= 1<<30 && block > 0 && block <= maxBlock
}

// blocks reads compressed blocks with their lengths before them, as Hadoop's BlockCompressorStream writes them (grouped: before a
// group of blocks stands how long it is unpacked), and snappy-java's SnappyOutputStream, which Spark uses.
type blocks struct {
	in      *bufio.Reader
	grouped bool
	// unpack unpacks a block into at most most bytes.
	unpack func(block []byte, most int) ([]byte, error)
	// group is how much of the group is still to come, block what was unpacked and not yet given.
	group int
	block []byte
}

var errBlock = errors.New("a compressed block has an impossible length")

func (b *blocks) Read(p []byte) (int, error) {
	for len(b.block) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.block)
	b.block = b.block[n:]
	return n, nil
}

func (b *blocks) next() error {
	for b.grouped && b.group == 0 {
		n, err := b.length()
		if err != nil {
			return err
		}
		b.group = n
	}
	n, err := b.length()
	if err != nil {
		if b.grouped && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if n > maxBlock {
		return errBlock
	}
	packed, err := take(b.in, n)
	if err != nil {
		return err
	}
	most := maxBlock
	if b.grouped {
		most = min(most, b.group)
	}
	if b.block, err = b.unpack(packed, most); err != nil {
		return err
	}
	if len(b.block) > most || b.grouped && len(b.block) == 0 {
		return errBlock
	}
	b.group -= min(b.group, len(b.block))
	return nil
}

// take reads n bytes. It allocates as they come, since the length may be anything.
func take(in io.Reader, n int) ([]byte, error) {
	var b bytes.Buffer
	if got, err := io.CopyN(&b, in, int64(n)); err != nil {
		if errors.Is(err, io.EOF) && got < int64(n) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b.Bytes(), nil
}

func (b *blocks) length() (int, error) {
	var n [4]byte
	if _, err := io.ReadFull(b.in, n[:]); err != nil {
		return 0, err
	}
	v := binary.BigEndian.Uint32(n[:])
	if v > 1<<30 {
		return 0, errBlock
	}
	return int(v), nil
}

func unpackSnappy(block []byte, most int) ([]byte, error) {
	if n, err := snappy.DecodedLen(block); err != nil || n > most {
		return nil, errors.Join(errBlock, err)
	}
	return snappy.Decode(nil, block)
}

func unpackLZ4(block []byte, most int) ([]byte, error) {
	out := make([]byte, most)
	n, err := lz4.UncompressBlock(block, out)
	return out[:max(0, n)], err
}

// unpacked is what an unpacker gives. Its errors are told apart: those of reading the file stay what they are, all else means that
// the file is damaged.
type unpacked struct {
	content io.Reader
	in      *budget
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.content.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.in.blame(err)
	}
	return n, err
}

// damage makes an error one that wraps ErrDamaged.
func damage(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }
