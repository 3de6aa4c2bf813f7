package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/master/store"
)

// pieceSize is the size at which a value is cut: two of them and their keys fit a page.
const pieceSize = 1900

// fillPercent is how full pages are left when they are split. Almost everything is appended, so almost full.
const fillPercent = 0.95

// What is in the buckets of a task; the letter starts the key.
const (
	kindHeader   = 'h'
	kindCounters = 'i'
	kindHistory  = 'l'
	kindStates   = 's'
	kindSource   = 'c'
	kindSpecs    = 'p'
)

// idKey is the name of a task's buckets.
func idKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// taskBucket is one of the two buckets of a task; nil where there is no such task.
func taskBucket(tx *bbolt.Tx, top []byte, id uint64) *bbolt.Bucket {
	b := tx.Bucket(top).Bucket(idKey(id))
	if b != nil {
		b.FillPercent = fillPercent
	}
	return b
}

// lookup gives a task's id.
func lookup(tx *bbolt.Tx, task string) (id uint64, ok bool) {
	v := tx.Bucket(bucketNames).Get(nameKey(task))
	return number(v), v != nil
}

// numbered is the key of a part of something.
func numbered(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

// putPieces cuts a value into pieces and numbers them from n on. It gives the next free number.
func putPieces(b *bbolt.Bucket, kind byte, n uint64, value []byte) (uint64, error) {
	for len(value) > 0 {
		size := min(len(value), pieceSize)
		if err := b.Put(numbered(kind, n), value[:size:size]); err != nil {
			return n, err
		}
		value = value[size:]
		n++
	}
	return n, nil
}

// dropPieces deletes the pieces of a kind with numbers in [from, to).
func dropPieces(b *bbolt.Bucket, kind byte, from, to uint64) error {
	for ; from < to; from++ {
		if err := b.Delete(numbered(kind, from)); err != nil {
			return err
		}
	}
	return nil
}

// pieces puts together all pieces of a kind. The result is a copy.
func pieces(b *bbolt.Bucket, kind byte, size int) []byte {
	var whole []byte
	cursor := b.Cursor()
	for k, v := cursor.Seek([]byte{kind}); len(k) > 0 && k[0] == kind; k, v = cursor.Next() {
		if whole == nil && len(v) == pieceSize { // there may be more
			whole = make([]byte, 0, max(size, 2*pieceSize))
		}
		whole = append(whole, v...)
	}
	return whole
}

// putHeader replaces the header. headerPieces is how many pieces the old one has; the new number is returned.
func putHeader(hot *bbolt.Bucket, headerPieces uint64, h *store.Header) (uint64, error) {
	n, err := putPieces(hot, kindHeader, 0, appendHeader(nil, h))
	if err != nil {
		return n, err
	}
	return n, dropPieces(hot, kindHeader, n, headerPieces)
}

func readHeader(hot *bbolt.Bucket) (*store.Header, error) {
	if hot == nil {
		return nil, errCorrupt
	}
	return decodeHeader(pieces(hot, kindHeader, pieceSize))
}

// counters are what is remembered of a task beside its contents.
type counters struct {
	// creation is the fingerprint of the Create that made the task.
	creation fingerprint
	// headerPieces is the number of pieces of the header; lastSeq the Seq of the newest history entry.
	headerPieces uint64
	lastSeq      uint64
	// nodes is one more than the highest index of a node.
	nodes         uint64
	specs, states extent
}

// extent describes a log of node records.
type extent struct {
	// The pieces are numbered in [first, next). total are their bytes.
	first, next uint64
	total       uint64
	// live are about the bytes that would be left if only the newest record of each node were kept.
	live uint64
}

func (c *counters) put(hot *bbolt.Bucket) error {
	b := append(make([]byte, 0, 96), c.creation[:]...)
	for _, n := range []uint64{
		c.headerPieces, c.lastSeq, c.nodes,
		c.specs.first, c.specs.next, c.specs.total, c.specs.live,
		c.states.first, c.states.next, c.states.total, c.states.live,
	} {
		b = binary.AppendUvarint(b, n)
	}
	return hot.Put([]byte{kindCounters}, b)
}

func readCounters(hot *bbolt.Bucket) (*counters, error) {
	if hot == nil {
		return nil, errCorrupt
	}
	r := &reader{b: hot.Get([]byte{kindCounters})}
	c := &counters{}
	if len(r.b) < len(c.creation) {
		return nil, errCorrupt
	}
	r.b = r.b[copy(c.creation[:], r.b):]
	for _, n := range []*uint64{
		&c.headerPieces, &c.lastSeq, &c.nodes,
		&c.specs.first, &c.specs.next, &c.specs.total, &c.specs.live,
		&c.states.first, &c.states.next, &c.states.total, &c.states.live,
	} {
		*n = r.uint()
	}
	if r.bad {
		return nil, errCorrupt
	}
	return c, nil
}

// slack is what a log may grow to before it is looked at at all, and garbage how many times the live bytes it may be then.
const (
	slack   = 256 << 10
	garbage = 4
)

// append writes records at the end of a log. fresh is how many bytes of them are of nodes that had none before.
func (x *extent) append(b *bbolt.Bucket, kind byte, records []byte, fresh int) (err error) {
	x.next, err = putPieces(b, kind, x.next, records)
	x.total += uint64(len(records))
	x.live += uint64(fresh)
	return err
}

// compact rewrites the log with the newest record of each node, if the larger part of it is outdated; ended says that the
// task has ended, so that nothing more is to be expected.
func (x *extent) compact(b *bbolt.Bucket, kind byte, nodes uint64, ended bool) error {
	worth := x.total > slack+garbage*x.live || ended && x.total > x.live+x.live/2
	if !worth {
		return nil
	}
	whole := pieces(b, kind, int(x.total))
	newest := make([][]byte, nodes)
	if err := eachRecord(kind, whole, func(index uint64, _ string, _, record []byte) error {
		if index >= nodes {
			return errCorrupt
		}
		newest[index] = record
		return nil
	}); err != nil {
		return err
	}
	if err := dropPieces(b, kind, x.first, x.next); err != nil {
		return err
	}
	x.first = x.next
	x.total, x.live = 0, 0
	kept := bytes.Join(newest, nil)
	return x.append(b, kind, kept, len(kept))
}

// eachRecord goes through the records of a log in the order in which they were written. record is all of one, body what the
// caller of the store gave; stage is "" but for specs.
func eachRecord(kind byte, log []byte, f func(index uint64, stage string, body, record []byte) error) error {
	r := &reader{b: log}
	for len(r.b) > 0 {
		before := r.b
		index := r.uint()
		var stage string
		if kind == kindSpecs {
			stage = r.string()
		}
		body := r.bytes()
		if r.bad {
			return errCorrupt
		}
		if err := f(index, stage, body, before[:len(before)-len(r.b)]); err != nil {
			return err
		}
	}
	return nil
}

// readNodes reads all nodes of a task.
func readNodes(hot, cold *bbolt.Bucket, c *counters) ([]store.NodeRecord, error) {
	nodes := make([]store.NodeRecord, c.nodes)
	err := eachRecord(kindSpecs, pieces(cold, kindSpecs, int(c.specs.total)), func(i uint64, stage string, body, _ []byte) error {
		if i >= c.nodes {
			return errCorrupt
		}
		nodes[i].Index, nodes[i].Stage, nodes[i].Spec = int32(i), stage, body
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachRecord(kindStates, pieces(hot, kindStates, int(c.states.total)), func(i uint64, _ string, body, _ []byte) error {
		if i >= c.nodes {
			return errCorrupt
		}
		nodes[i].State = body
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		if nodes[i].Spec == nil {
			return nil, fmt.Errorf("%w: node %d is missing", errCorrupt, i)
		}
	}
	return nodes, nil
}
