package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codecs, as numbered in parquet.thrift.
const (
	codecNone   = 0
	codecSnappy = 1
	codecGzip   = 2
	codecLZO    = 3
	codecBrotli = 4
	codecLZ4    = 5
	codecZstd   = 6
	codecLZ4Raw = 7
)

// unpack decompresses a page that has size bytes afterwards.
func (c *column) unpack(b []byte, size int) ([]byte, error) {
	if c.codec == codecNone {
		return b, nil
	}
	if size > c.most || size < 0 {
		return nil, unsupported("column %q has a page of %d bytes, more than the %d that are read", c.leaf.name, size, c.most)
	}
	if err := c.work.charge(int64(size)); err != nil {
		return nil, err
	}
	if size == 0 && len(b) == 0 {
		return nil, nil
	}
	out, err := unpackPage(c.codec, b, size)
	if errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, damaged("a page of column %q cannot be decompressed: %v", c.leaf.name, err)
	}
	if len(out) != size {
		return nil, damaged("a page of column %q has %d bytes, and should have %d", c.leaf.name, len(out), size)
	}
	return out, nil
}

func unpackPage(codec int, b []byte, size int) ([]byte, error) {
	switch codec {
	case codecSnappy:
		if n, err := snappy.DecodedLen(b); err != nil || n != size {
			return nil, errors.Join(errors.New("wrong length"), err)
		}
		return snappy.Decode(make([]byte, size), b)
	case codecGzip:
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return readAll(r, size)
	case codecZstd:
		// Spark's frames announce windows of megabytes whatever they hold. Unpacked at once, a frame needs no window of its own.
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return r.DecodeAll(b, make([]byte, 0, size))
	case codecLZ4Raw:
		return unpackLZ4(b, size)
	case codecLZ4:
		if out, err := unpackHadoopLZ4(b, size); err == nil {
			return out, nil
		}
		return unpackLZ4(b, size)
	case codecLZO:
		return nil, unsupported("it is compressed with LZO")
	case codecBrotli:
		return nil, unsupported("it is compressed with Brotli")
	}
	return nil, unsupported("it is compressed in an unknown way (number %d)", codec)
}

// readAll reads at most one byte more than size.
func readAll(r io.Reader, size int) ([]byte, error) {
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, err
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("wrong length"), err)
	}
	return out, nil
}

func unpackLZ4(b []byte, size int) ([]byte, error) {
	out := make([]byte, size)
	n, err := lz4.UncompressBlock(b, out)
	return out[:max(0, n)], err
}

// unpackHadoopLZ4 unpacks what Hadoop's codec wrote, which parquet.thrift calls LZ4: blocks with their lengths before them.
func unpackHadoopLZ4(b []byte, size int) ([]byte, error) {
	out := make([]byte, 0, size)
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, io.ErrUnexpectedEOF
		}
		unpacked, packed := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		b = b[8:]
		if uint64(packed) > uint64(len(b)) || uint64(unpacked) > uint64(size-len(out)) {
			return nil, io.ErrUnexpectedEOF
		}
		n, err := lz4.UncompressBlock(b[:packed], out[len(out):len(out)+int(unpacked)])
		if err != nil || n != int(unpacked) {
			return nil, errors.Join(io.ErrUnexpectedEOF, err)
		}
		out, b = out[:len(out)+n], b[packed:]
	}
	return out, nil
}
