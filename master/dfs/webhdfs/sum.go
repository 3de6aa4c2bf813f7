package webhdfs

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"regexp"
	"strconv"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// usualChunk is over how many bytes HDFS has a CRC, unless a cluster is configured otherwise.
const usualChunk = 512

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summer computes HDFS's checksum of a file as it is read: the MD5 of the MD5s of all blocks, each of which is over the CRCs of the
// block's chunks.
type summer struct {
	blockSize int64
	// inBlock and inChunk are how far the current ones are; crc is that of the chunk so far, block has those of the block.
	inBlock int64
	inChunk int
	crc     uint32
	block   hash.Hash
	all     []byte
}

// newSummer sums nothing where the size of the blocks is not known.
func newSummer(blockSize int64) *summer {
	if blockSize <= 0 || blockSize%usualChunk != 0 {
		return nil
	}
	return &summer{blockSize: blockSize, block: md5.New()}
}

func (s *summer) add(p []byte) {
	if s == nil {
		return
	}
	for len(p) > 0 {
		n := min(len(p), usualChunk-s.inChunk)
		s.crc = crc32.Update(s.crc, castagnoli, p[:n])
		s.inChunk += n
		s.inBlock += int64(n)
		p = p[n:]
		if s.inChunk == usualChunk {
			s.endChunk()
		}
		if s.inBlock == s.blockSize {
			s.endBlock()
		}
	}
}

func (s *summer) endChunk() {
	s.block.Write(binary.BigEndian.AppendUint32(nil, s.crc))
	s.crc, s.inChunk = 0, 0
}

func (s *summer) endBlock() {
	if s.inChunk > 0 {
		s.endChunk()
	}
	if s.inBlock > 0 {
		s.all = s.block.Sum(s.all)
		s.block.Reset()
		s.inBlock = 0
	}
}

// sum is the checksum of all that was added. HDFS sums the buffer that the MD5s stand in and not only these: it has 32 bytes at first and
// doubles when it is full, and zeros where nothing was written.
func (s *summer) sum() []byte {
	s.endBlock()
	size := 32
	for size < len(s.all) {
		size *= 2
	}
	sum := md5.Sum(append(s.all, make([]byte, size-len(s.all))...))
	return sum[:]
}

// usual are the checksums that a summer computes.
var usual = regexp.MustCompile(`^MD5-of-\d+MD5-of-(\d+)CRC32C$`)

// fileChecksum is the protocol's FileChecksum.
type fileChecksum struct {
	Algorithm string `json:"algorithm"`
	Bytes     string `json:"bytes"`
}

// md5 gives the MD5 in a checksum of the usual kind; nil for others.
func (c *fileChecksum) md5() []byte {
	m := usual.FindStringSubmatch(c.Algorithm)
	if len(m) < 2 || m[1] != strconv.Itoa(usualChunk) {
		return nil
	}
	// The number of bytes for each CRC, the number of CRCs in a block, the MD5; and padding.
	b, err := hex.DecodeString(c.Bytes)
	if err != nil || len(b) < 12+md5.Size || binary.BigEndian.Uint32(b) != usualChunk {
		return nil
	}
	return b[12 : 12+md5.Size]
}

// check compares what was read from the beginning to the end with the checksum of the file: io.EOF, or that it differs. Where the
// service does not give one, or one of another kind, nothing is compared.
func (o *file) check() error {
	if o.sum == nil || o.status.Length == 0 {
		return io.EOF
	}
	var answer struct{ FileChecksum fileChecksum }
	err := o.fs.call(o.ctx, &request{method: http.MethodGet, op: "GETFILECHECKSUM", name: o.name}, &answer)
	want := answer.FileChecksum.md5()
	if err != nil || want == nil {
		return io.EOF // without a checksum the file ends as others do
	}
	if o.summed = bytes.Equal(want, o.sum.sum()); o.summed {
		return io.EOF
	}
	now, err := o.fs.status(o.ctx, o.name)
	if err != nil || now.FileID != o.status.FileID || now.Length != o.status.Length || now.ModificationTime != o.status.ModificationTime {
		return errChanged
	}
	return fmt.Errorf("%w: the checksum of what arrived is not that of the file", dfs.ErrCorrupt)
}
