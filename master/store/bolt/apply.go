package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/clic-orchestrator/clic/master/store"
)

// valid checks what can be checked of a change without the store.
func valid(c *store.Change) error {
	switch {
	case c.Task == "":
		return errors.New("cannot write a change without a task")
	case c.Delete:
		return nil
	case c.Create && (c.Header == nil || c.Source == nil):
		return fmt.Errorf("cannot create task %q without header and source", c.Task)
	case c.Header != nil && c.Header.Task != c.Task:
		return fmt.Errorf("cannot write the header of task %q to task %q", c.Header.Task, c.Task)
	}
	for i := range c.Nodes {
		if c.Nodes[i].Index < 0 {
			return fmt.Errorf("cannot write node %d of task %q: its index is negative", c.Nodes[i].Index, c.Task)
		}
	}
	return nil
}

// checker finds out whether a batch may be written, before anything of it is. It follows what the batch itself does to names
// and request keys.
type checker struct {
	tx       *bbolt.Tx
	tasks    map[string]*standing
	requests map[string]bool
}

// standing is what is known of a name at some place of a batch.
type standing struct {
	exists   bool
	creation fingerprint
	request  string
	// stored is what the store has of it where the request is to be read from there.
	stored *bbolt.Bucket
}

// check gives ErrExists or ErrNotFound.
func check(tx *bbolt.Tx, r *request) error {
	c := &checker{tx: tx, tasks: map[string]*standing{}, requests: map[string]bool{}}
	for i := range r.batch {
		if err := c.change(r, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) change(r *request, i int) error {
	ch := &r.batch[i]
	task, err := c.task(ch.Task)
	switch {
	case err != nil:
		return err
	case ch.Delete:
		if task.stored != nil {
			header, err := readHeader(task.stored)
			if err != nil {
				return err
			}
			task.request = header.Request
		}
		if task.request != "" {
			c.requests[task.request] = false
		}
		*task = standing{}
	case ch.Create && task.exists:
		if task.creation != r.prints[i] {
			return fmt.Errorf("cannot create task %q: %w", ch.Task, store.ErrExists)
		}
	case ch.Create:
		if key := ch.Header.Request; key != "" {
			if c.taken(key) {
				return fmt.Errorf("cannot create task %q: request %q: %w", ch.Task, key, store.ErrExists)
			}
			c.requests[key] = true
		}
		*task = standing{exists: true, creation: r.prints[i], request: ch.Header.Request}
	case !task.exists && !deletedLater(r.batch[i+1:], ch.Task):
		return fmt.Errorf("cannot change task %q: %w", ch.Task, store.ErrNotFound)
	}
	return nil
}

// deletedLater reports whether the rest of a batch deletes the task: then the batch is being repeated, and a change of a task
// that is gone is no error.
func deletedLater(rest []store.Change, task string) bool {
	for i := range rest {
		if rest[i].Delete && rest[i].Task == task {
			return true
		}
	}
	return false
}

func (c *checker) task(name string) (*standing, error) {
	if t := c.tasks[name]; t != nil {
		return t, nil
	}
	t := &standing{}
	c.tasks[name] = t
	id, ok := lookup(c.tx, name)
	if !ok {
		return t, nil
	}
	hot := taskBucket(c.tx, bucketHot, id)
	counts, err := readCounters(hot)
	if err != nil {
		return nil, err
	}
	*t = standing{exists: true, creation: counts.creation, stored: hot}
	return t, nil
}

func (c *checker) taken(request string) bool {
	if taken, ok := c.requests[request]; ok {
		return taken
	}
	_, ok := owner(c.tx, requestPrefix(request))
	return ok
}

// apply writes a change that was checked.
func apply(tx *bbolt.Tx, ch *store.Change, creation fingerprint) error {
	id, ok := lookup(tx, ch.Task)
	switch {
	case ch.Delete && ok:
		return remove(tx, ch.Task, id)
	case ch.Delete, !ch.Create && !ok, ch.Create && ok:
		return nil // nothing is left to do: it was done before, or is undone by the rest of the batch
	case ch.Create:
		return create(tx, ch, creation)
	}
	hot, cold := taskBucket(tx, bucketHot, id), taskBucket(tx, bucketCold, id)
	if hot == nil || cold == nil {
		return errCorrupt
	}
	counts, err := readCounters(hot)
	if err != nil {
		return err
	}
	return write(tx, id, hot, cold, counts, ch)
}

// create makes a task.
func create(tx *bbolt.Tx, ch *store.Change, creation fingerprint) error {
	names := tx.Bucket(bucketNames)
	id, err := names.NextSequence()
	if err != nil {
		return err
	}
	if err := names.Put(nameKey(ch.Task), idKey(id)); err != nil {
		return err
	}
	var buckets [2]*bbolt.Bucket
	for i, name := range [][]byte{bucketHot, bucketCold} {
		top := tx.Bucket(name)
		top.FillPercent = fillPercent // ids grow
		if buckets[i], err = top.CreateBucket(idKey(id)); err != nil {
			return err
		}
		buckets[i].FillPercent = fillPercent
	}
	hot, cold := buckets[0], buckets[1]
	if _, err := putPieces(cold, kindSource, 0, ch.Source); err != nil {
		return err
	}
	return write(tx, id, hot, cold, &counters{creation: creation}, ch)
}

// write writes header, nodes and history of a change.
func write(tx *bbolt.Tx, id uint64, hot, cold *bbolt.Bucket, counts *counters, ch *store.Change) error {
	ended := false
	if ch.Header != nil {
		var old *store.Header
		var err error
		if counts.headerPieces > 0 {
			if old, err = readHeader(hot); err != nil {
				return err
			}
		}
		if err := reindex(tx, id, old, ch.Header); err != nil {
			return err
		}
		if counts.headerPieces, err = putHeader(hot, counts.headerPieces, ch.Header); err != nil {
			return err
		}
		ended = ch.Header.Status.Terminal() && old != nil && !old.Status.Terminal()
	}
	if err := writeNodes(hot, cold, counts, ch.Nodes, ended); err != nil {
		return err
	}
	if err := writeHistory(hot, counts, ch.Log); err != nil {
		return err
	}
	return counts.put(hot)
}

// writeNodes appends node records to the two logs of a task.
func writeNodes(hot, cold *bbolt.Bucket, counts *counters, nodes []store.NodeRecord, ended bool) error {
	var specs, states []byte
	var freshSpecs, freshStates int
	known := counts.nodes
	for i := range nodes {
		n := &nodes[i]
		index := uint64(n.Index)
		counts.nodes = max(counts.nodes, index+1)
		if n.Spec != nil {
			start := len(specs)
			specs = binary.AppendUvarint(specs, index)
			specs = appendBytes(specs, n.Stage)
			specs = appendBytes(specs, n.Spec)
			if index >= known {
				freshSpecs += len(specs) - start
			}
		}
		if n.State != nil {
			start := len(states)
			states = binary.AppendUvarint(states, index)
			states = appendBytes(states, n.State)
			if index >= known {
				freshStates += len(states) - start
			}
		}
	}
	if err := counts.specs.append(cold, kindSpecs, specs, freshSpecs); err != nil {
		return err
	}
	if err := counts.states.append(hot, kindStates, states, freshStates); err != nil {
		return err
	}
	if err := counts.specs.compact(cold, kindSpecs, counts.nodes, ended); err != nil {
		return err
	}
	return counts.states.compact(hot, kindStates, counts.nodes, ended)
}

// remove deletes a task whole.
func remove(tx *bbolt.Tx, task string, id uint64) error {
	header, err := readHeader(taskBucket(tx, bucketHot, id))
	if err != nil {
		return err
	}
	if err := reindex(tx, id, header, nil); err != nil {
		return err
	}
	if err := tx.Bucket(bucketHot).DeleteBucket(idKey(id)); err != nil {
		return err
	}
	if err := tx.Bucket(bucketCold).DeleteBucket(idKey(id)); err != nil {
		return err
	}
	return tx.Bucket(bucketNames).Delete(nameKey(task))
}
