package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"maps"
	"slices"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// errCorrupt is what the file says where its own encoding is broken.
var errCorrupt = errors.New("data is corrupt")

// appendBytes appends a length and the bytes.
func appendBytes[T ~string | ~[]byte](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// reader takes values off the front of b. The first that is cut short sets bad, and all later ones are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes is a part of the reader's own slice.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.bytes()) }

// appendHeader encodes a header. Labels are in order, so that equal headers have equal bytes.
func appendHeader(b []byte, h *store.Header) []byte {
	b = appendBytes(b, h.Task)
	b = appendBytes(b, h.Plan)
	b = append(b, byte(h.Status))
	for _, t := range []dag.Time{h.Submitted, h.Ended, h.Expires} {
		b = binary.AppendVarint(b, int64(t))
	}
	b = binary.AppendUvarint(b, uint64(len(h.Labels)))
	for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
		b = appendBytes(b, k)
		b = appendBytes(b, h.Labels[k])
	}
	b = appendBytes(b, h.Request)
	return appendBytes(b, h.Body)
}

// decodeHeader is the inverse of appendHeader. The Body is a part of b.
func decodeHeader(b []byte) (*store.Header, error) {
	r := &reader{b: b}
	h := &store.Header{Task: r.string(), Plan: r.string()}
	if len(r.b) == 0 {
		return nil, errCorrupt
	}
	h.Status, r.b = dag.TaskStatus(r.b[0]), r.b[1:]
	h.Submitted, h.Ended, h.Expires = dag.Time(r.int()), dag.Time(r.int()), dag.Time(r.int())
	n := r.uint()
	if n > uint64(len(r.b)) {
		return nil, errCorrupt
	}
	if n > 0 {
		h.Labels = make(map[string]string, n)
	}
	for range n {
		k := r.string()
		h.Labels[k] = r.string()
	}
	h.Request = r.string()
	h.Body = r.bytes()
	if r.bad || len(r.b) > 0 {
		return nil, errCorrupt
	}
	return h, nil
}

// fingerprint tells one Create from another.
type fingerprint [16]byte

// fingerprintOf hashes all that a Create says.
func fingerprintOf(c *store.Change) fingerprint {
	sum := sha256.New()
	hashBytes(sum, appendHeader(nil, c.Header))
	hashBytes(sum, c.Source)
	var n [8]byte
	for i := range c.Nodes {
		node := &c.Nodes[i]
		binary.BigEndian.PutUint64(n[:], uint64(uint32(node.Index)))
		sum.Write(n[:])
		hashBytes(sum, []byte(node.Stage))
		hashBytes(sum, node.Spec)
		hashBytes(sum, node.State)
	}
	for _, e := range c.Log {
		binary.BigEndian.PutUint64(n[:], e.Seq)
		sum.Write(n[:])
		hashBytes(sum, e.Body)
	}
	return fingerprint(sum.Sum(nil)[:len(fingerprint{})])
}

func hashBytes(h hash.Hash, b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	h.Write(n[:])
	h.Write(b)
}
