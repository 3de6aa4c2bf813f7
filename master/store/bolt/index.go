package bolt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// The entries of the index bucket, each with an empty value: a letter, what is looked for, and a position or an id.
//
//	't'                 position   every task
//	's' status          position   by status
//	'p' plan            position   by plan
//	'l' label, value    position   by label
//	'e' expiry          id         ended tasks that are to be deleted
//	'r' request         id         by request key
//	'x' suffix          id         by the end of the name
//
// A position is a submission time and an id, so that every list is in the same order, and lists can be intersected.

// positionSize is the size of a position in bytes.
const positionSize = 16

// position is a submission time and a task's id, in the order of bytes.
type position [positionSize]byte

// maxPosition is past every position that a task has.
var maxPosition = position(bytes.Repeat([]byte{0xff}, positionSize))

// sortable encodes a time so that the order of bytes is the order of times, negative ones too.
func sortable(t dag.Time) uint64 { return uint64(t) ^ 1<<63 }

func positionOf(submitted dag.Time, id uint64) position {
	var p position
	binary.BigEndian.PutUint64(p[:8], sortable(submitted))
	binary.BigEndian.PutUint64(p[8:], id)
	return p
}

func (p position) id() uint64        { return binary.BigEndian.Uint64(p[8:]) }
func (p position) submitted() uint64 { return binary.BigEndian.Uint64(p[:8]) }

// before gives the greatest position that is less than p; ok is false where there is none.
func (p position) before() (_ position, ok bool) {
	for i := positionSize - 1; i >= 0; i-- {
		p[i]--
		if p[i] != 0xff {
			return p, true
		}
	}
	return p, false
}

// maxTerm is the longest term that is spelled out in a key; bbolt bounds keys.
const maxTerm = 200

// appendTerm appends a text to a key, such that no term is the beginning of another. A long one is replaced by its hash.
func appendTerm(b []byte, s string) []byte {
	if len(s) <= maxTerm {
		b = append(b, byte(len(s)))
		return append(b, s...)
	}
	sum := sha256.Sum256([]byte(s))
	return append(append(b, 0xff), sum[:]...)
}

func nameKey(task string) []byte { return appendTerm(nil, task) }

func statusPrefix(s dag.TaskStatus) []byte { return []byte{'s', byte(s)} }
func planPrefix(plan string) []byte        { return appendTerm([]byte{'p'}, plan) }
func labelPrefix(k, v string) []byte       { return appendTerm(appendTerm([]byte{'l'}, k), v) }
func requestPrefix(request string) []byte  { return appendTerm([]byte{'r'}, request) }
func suffixPrefix(suffix string) []byte    { return appendTerm([]byte{'x'}, suffix) }
func expiryPrefix(t dag.Time) []byte {
	return binary.BigEndian.AppendUint64([]byte{'e'}, sortable(t))
}

// suffixLen is the number of random letters at the end of a task's name.
const suffixLen = 8

// suffixOf is the end of a task's name.
func suffixOf(task string) string { return task[max(0, len(task)-suffixLen):] }

// entries are the keys in the index that belong to a header.
func entries(h *store.Header, id uint64) map[string]struct{} {
	p := positionOf(h.Submitted, id)
	n := p[8:]
	keys := map[string]struct{}{}
	add := func(prefix, rest []byte) { keys[string(append(prefix, rest...))] = struct{}{} }
	add([]byte{'t'}, p[:])
	add(statusPrefix(h.Status), p[:])
	add(planPrefix(h.Plan), p[:])
	for k, v := range h.Labels {
		add(labelPrefix(k, v), p[:])
	}
	if h.Expires > 0 && h.Status.Terminal() {
		add(expiryPrefix(h.Expires), n)
	}
	if h.Request != "" {
		add(requestPrefix(h.Request), n)
	}
	add(suffixPrefix(suffixOf(h.Task)), n)
	return keys
}

// sameEntries reports whether two headers of a task have the same entries, as almost all that follow each other have.
func sameEntries(a, b *store.Header) bool {
	if a.Status != b.Status || a.Submitted != b.Submitted || a.Expires != b.Expires || a.Plan != b.Plan ||
		a.Request != b.Request || len(a.Labels) != len(b.Labels) {
		return false
	}
	for k, v := range a.Labels {
		if w, ok := b.Labels[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// reindex replaces the entries of a task's old header by those of its new one. Either may be nil.
func reindex(tx *bbolt.Tx, id uint64, old, now *store.Header) error {
	if old != nil && now != nil && sameEntries(old, now) {
		return nil
	}
	index := tx.Bucket(bucketIndex)
	stale := map[string]struct{}{}
	if old != nil {
		stale = entries(old, id)
	}
	if now != nil {
		for k := range entries(now, id) {
			if _, ok := stale[k]; ok {
				delete(stale, k)
				continue
			}
			if err := index.Put([]byte(k), nil); err != nil {
				return err
			}
		}
	}
	for k := range stale {
		if err := index.Delete([]byte(k)); err != nil {
			return err
		}
	}
	return nil
}

// owner gives the id at the end of the first index entry with that prefix.
func owner(tx *bbolt.Tx, prefix []byte) (id uint64, ok bool) {
	k, _ := tx.Bucket(bucketIndex).Cursor().Seek(prefix)
	if !bytes.HasPrefix(k, prefix) {
		return 0, false
	}
	return number(k[len(prefix):]), true
}
