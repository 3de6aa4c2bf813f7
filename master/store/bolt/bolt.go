// Package bolt keeps tasks in a single file, clic.db, on [bbolt]. It is the store of a standalone master: one process has the
// file at a time, and a Commit has been written and fsynced when it returns.
//
// # Layout
//
// What decides the layout is what the update of one node costs. A B+tree rewrites the whole page of every key that it
// touches, so a key per node would write 4 KiB for a state of 200 bytes wherever a batch is scattered over a large task. Node
// records are therefore not updated in place: they are appended to a log per task, and the newest record of a node counts. A
// log whose larger part is outdated is rewritten. Batches of any shape then cost what they contain.
//
//	meta    schema version, epoch and holder
//	names   task name → id, a number that grows with each task
//	index   entries without values that end in (submission time, id); see index.go
//	hot     a bucket per task id, for what changes
//	          'h' header, in pieces
//	          'i' counters: see counters in task.go
//	          'l' history, by the Seq of the first entry of each piece
//	          's' log of node states, in pieces
//	cold    a bucket per task id, for what hardly ever changes
//	          'c' source, in pieces
//	          'p' log of node specs, in pieces
//
// No value is larger than pieceSize: a page of the tree holds two keys at least, so a large value would be written again with
// every change of its neighbour. A bucket per task lets go of a task's pages without reading them, so a task of 100,000 nodes is
// deleted in one short transaction.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/clic-orchestrator/clic/master/store"
)

// FileName is the name of the file in the data directory.
const FileName = "clic.db"

// schema is the version of the layout. A file with a higher one is refused.
const schema = 1

// lockWait is how long Open tries to get the file that another process has: long enough for one that is just ending.
const lockWait = 200 * time.Millisecond

// initialMap is the size of the first memory map, address space only. While the file is smaller, writers need not wait for
// readers in order to map it anew.
const initialMap = 1 << 30

var (
	bucketMeta  = []byte("meta")
	bucketNames = []byte("names")
	bucketIndex = []byte("index")
	bucketHot   = []byte("hot")
	bucketCold  = []byte("cold")

	keySchema = []byte("schema")
	keyEpoch  = []byte("epoch")
	keyHolder = []byte("holder")
)

// Store is a store.Store in a file.
type Store struct {
	db   *bbolt.DB
	file string

	// queue holds the commits that wait for a transaction; turn is held by whoever runs one. See group.go.
	mu    sync.Mutex
	queue []*request
	turn  chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the directory dir, which is made if it is missing. Errors: store.ErrLocked where another process
// has the file, store.ErrNewer where a newer version wrote it.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make data directory: %w", err)
	}
	file := filepath.Join(dir, FileName)
	_, statErr := os.Stat(file)
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType,
		// A freelist on disk would be written whole by every commit: hundreds of KiB after a large task was deleted. Without
		// it, Open looks through the tree for the pages that are free.
		NoFreelistSync:  true,
		InitialMmapSize: initialMap,
		NoStatistics:    true,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("cannot open %q: %w", file, store.ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("cannot open %q: %w", file, err)
	}
	s := &Store{db: db, file: file, turn: make(chan struct{}, 1)}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open %q: %w", file, err), db.Close())
	}
	if errors.Is(statErr, os.ErrNotExist) {
		if err := syncDir(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot make %q durable: %w", file, err), db.Close())
		}
	}
	return s, nil
}

// prepare checks the version of the file, or lays out a new one.
func (s *Store) prepare() error {
	var version uint64
	err := s.db.View(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket(bucketMeta); meta != nil {
			version = number(meta.Get(keySchema))
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case version > schema:
		return fmt.Errorf("%w: it has schema %d, this program knows %d", store.ErrNewer, version, schema)
	case version == schema:
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketNames, bucketIndex, bucketHot, bucketCold} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keySchema, binary.BigEndian.AppendUint64(nil, schema))
	})
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Path is the file.
func (s *Store) Path() string { return s.file }

// Close releases the file once the calls that are under way have ended. Later calls fail with store.ErrUnavailable.
func (s *Store) Close() error { return s.db.Close() }

// Lead raises the epoch. Only one process can have the file, so what it fences off is an earlier leader in this process.
func (s *Store) Lead(ctx context.Context, holder string) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var epoch uint64
	err := s.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		// Not lower than the time: executors remember the highest epoch, and may have heard of one from another store.
		epoch = max(number(meta.Get(keyEpoch))+1, uint64(time.Now().UnixMilli()))
		if err := meta.Put(keyHolder, []byte(holder)); err != nil {
			return err
		}
		return meta.Put(keyEpoch, binary.BigEndian.AppendUint64(nil, epoch))
	})
	if err != nil {
		return 0, s.fault("lead", err)
	}
	return epoch, nil
}

// fenced checks that the caller leads.
func fenced(tx *bbolt.Tx, epoch uint64) error {
	if current := number(tx.Bucket(bucketMeta).Get(keyEpoch)); epoch != current {
		return fmt.Errorf("cannot write with epoch %d, it is %d now: %w", epoch, current, store.ErrFenced)
	}
	return nil
}

// fault is an error of the disk or of a closed store: the contract's ErrUnavailable, with its reason. Corrupt data is none:
// it does not get better by trying again.
func (s *Store) fault(what string, err error) error {
	if errors.Is(err, errCorrupt) {
		return fmt.Errorf("cannot %s in %q: %w", what, s.file, err)
	}
	return fmt.Errorf("cannot %s in %q: %w: %w", what, s.file, store.ErrUnavailable, err)
}

// number reads a big-endian number; it is 0 where there is none.
func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
