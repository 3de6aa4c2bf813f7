package bolt

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/master/store"
)

// defaultHistory is how many entries History gives unless told.
const defaultHistory = 1000

// History is kept in groups of about pieceSize, so that a page of it reads little more than itself. A group holds whole
// entries and is keyed by the Seq of its first; one that is larger than a piece, a single large entry, has several parts.

// groupKey is the key of a part of a group.
func groupKey(first uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(numbered(kindHistory, first), part)
}

// writeHistory appends the entries that are not there yet.
func writeHistory(hot *bbolt.Bucket, counts *counters, log []store.LogEntry) error {
	var group []byte
	var first uint64
	flush := func() error {
		for part := uint32(0); len(group) > 0; part++ {
			size := min(len(group), pieceSize)
			if err := hot.Put(groupKey(first, part), group[:size:size]); err != nil {
				return err
			}
			group = group[size:]
		}
		group = nil
		return nil
	}
	for _, e := range log {
		if e.Seq <= counts.lastSeq {
			continue
		}
		counts.lastSeq = e.Seq
		if len(group) > 0 && len(group)+len(e.Body) > pieceSize {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(group) == 0 {
			first = e.Seq
		}
		group = binary.AppendUvarint(group, e.Seq)
		group = appendBytes(group, e.Body)
	}
	return flush()
}

// readHistory reads at most limit entries with a Seq above after.
func readHistory(hot *bbolt.Bucket, after uint64, limit int) ([]store.LogEntry, error) {
	cursor := hot.Cursor()
	k, v := cursor.Seek(groupKey(lastGroup(cursor, after), 0))
	var entries []store.LogEntry
	for len(entries) < limit && len(k) > 0 && k[0] == kindHistory {
		first := string(k[:9])
		group := slices.Clone(v)
		for k, v = cursor.Next(); len(k) > 0 && k[0] == kindHistory && string(k[:9]) == first; k, v = cursor.Next() {
			group = append(group, v...)
		}
		r := &reader{b: group}
		for len(r.b) > 0 && len(entries) < limit {
			e := store.LogEntry{Seq: r.uint(), Body: r.bytes()}
			if r.bad {
				return nil, errCorrupt
			}
			if e.Seq > after {
				entries = append(entries, e)
			}
		}
	}
	return entries, nil
}

// lastGroup is the first Seq of the last group that may hold the entry after the given one.
func lastGroup(cursor *bbolt.Cursor, after uint64) uint64 {
	if after == 0 || after == ^uint64(0) {
		return after
	}
	k, _ := cursor.Seek(groupKey(after+1, 0))
	if len(k) >= 9 && k[0] == kindHistory && number(k[1:9]) == after+1 {
		return after + 1
	}
	if k == nil {
		k, _ = cursor.Last()
	} else {
		k, _ = cursor.Prev()
	}
	if len(k) < 9 || k[0] != kindHistory {
		return 0
	}
	return number(k[1:9])
}
