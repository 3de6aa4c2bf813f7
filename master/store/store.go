// Package store is the contract for where the state of tasks is kept. Package storetest is the conformance and benchmark
// suite that every implementation passes; bolt (a single file) and redis implement it.
//
// Records are opaque bytes to a store, but for the few fields of a Header that it indexes: the codec is package dag's.
package store

import (
	"context"
	"errors"

	"github.com/clic-orchestrator/clic/dag"
)

// Errors that callers branch on.
var (
	// ErrNotFound: there is no such task.
	ErrNotFound = errors.New("not found")
	// ErrFenced: somebody with a higher epoch leads now. Nothing of the batch was written.
	ErrFenced = errors.New("another master leads")
	// ErrExists: a task of that name, or of that request key, exists already. Nothing of the batch was written.
	ErrExists = errors.New("exists already")
	// ErrUnavailable: the store cannot be reached now. The outcome of a Commit that returns it is unknown.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrLocked: another process has the store, and it can serve one only.
	ErrLocked = errors.New("store is in use by another process")
	// ErrNewer: the data was written by a newer version of the program.
	ErrNewer = errors.New("data is of a newer version")
	// ErrConflict: the task was changed by another Change than the Base of this one says. Nothing of this Change was written.
	ErrConflict = errors.New("task was changed meanwhile")
	// ErrRolledBack: the store came back without something that it had acknowledged, and what is missing cannot be put back.
	ErrRolledBack = errors.New("store has lost what it had acknowledged")
)

// Store keeps tasks. All methods may be called from several goroutines.
type Store interface {
	// Lead makes the caller the leader: it returns an epoch higher than any before, and from then on every Commit with a
	// lower epoch fails with ErrFenced. Repeating it gives a yet higher epoch. An epoch is never lower than the time in
	// milliseconds, so that one that a store has lost is not given again, and those of two stores can be compared.
	Lead(ctx context.Context, holder string) (epoch uint64, err error)
	// Commit writes a batch. Each Change is applied whole or not at all; after a nil error all are durable, in order.
	// On ErrFenced and ErrExists nothing of the whole batch was written (a store of several parts may have written some of it
	// on ErrFenced while the new leader's Lead is still under way). Repeating a batch whose outcome is unknown is safe
	// when it is the very same: applying a Change twice is the same as once (Log entries are identified by their Seq). An empty
	// batch only checks the epoch.
	Commit(ctx context.Context, epoch uint64, batch []Change) error
	// Load reads a task whole. ErrNotFound.
	Load(ctx context.Context, task string) (*Record, error)
	// Header reads a task's header only. ErrNotFound.
	Header(ctx context.Context, task string) (*Header, error)
	// List gives a page of headers, newest submission first.
	List(ctx context.Context, q Query) (*Page, error)
	// Resolve gives the name of the task that a suffix (the eight letters at the end of its name) or a request key
	// belongs to. ErrNotFound.
	Resolve(ctx context.Context, k Key) (string, error)
	// History reads a task's log entries with Seq > after, at most limit (0: 1000), in order. ErrNotFound.
	History(ctx context.Context, task string, after uint64, limit int) ([]LogEntry, error)
	// Due names what Expire would delete now, in its order, at most limit (0: 1000), and says when the first of the other ended
	// tasks may be deleted: 0 if none of them ever, or if there may be more that are due.
	Due(ctx context.Context, now dag.Time, limit int) (tasks []string, next dag.Time, err error)
	// Expire deletes every ended task whose Header.Expires is at or before now, at most limit (0: 1000), whole: record,
	// nodes, history, indexes. It gives their names. Fenced like Commit.
	Expire(ctx context.Context, epoch uint64, now dag.Time, limit int) ([]string, error)
	// Close releases the store. Idempotent.
	Close() error
}

// Header is what a store knows of a task: the indexed fields and the encoded dag.Task.
type Header struct {
	Task      string
	Plan      string
	Status    dag.TaskStatus
	Submitted dag.Time
	Ended     dag.Time
	// Expires is when the task may be deleted; 0 is never.
	Expires dag.Time
	Labels  map[string]string
	// Request is the idempotency key of the submission, or "".
	Request string
	// Body is the dag.Task as package dag encodes it.
	Body []byte
}

// Change is what happened to one task.
type Change struct {
	// Create makes a new task: Header and Source must be set. ErrExists if the task or its Request exists (unless the
	// stored task was made by this very Change).
	Create bool
	// Base is the task's revision that this Change follows: ErrConflict if the stored one is higher (unless it is higher by one,
	// and by this very Change), ErrRolledBack if it is lower. 0 does not check, as creations and deletions do not. So a
	// Change that was given up, but arrives late all the same, cannot be mixed up with those after it.
	Base uint64
	// Delete removes the task whole; all other fields but Task are ignored. Deleting an unknown task is no error.
	Delete bool
	Task   string
	// Header replaces the header if not nil.
	Header *Header
	// Source is the plan as it was submitted, with what is needed to compile it again. Written once, at creation.
	Source []byte
	// Nodes are the node records that are new or changed.
	Nodes []NodeRecord
	// Log are history entries to append. Their Seq are ascending and higher than any before.
	Log []LogEntry
}

// NodeRecord is one node. A nil Spec or State leaves that part as it is.
type NodeRecord struct {
	Index int32
	// Stage is the node's id. A store may index it; it is set at least whenever Spec is.
	Stage string
	Spec  []byte
	State []byte
	// Status is the status in State, for people who look into the store with other programs. A store may leave it out.
	Status string
}

// LogEntry is a line of a task's history.
type LogEntry struct {
	Seq  uint64
	Body []byte
}

// Record is a whole task.
type Record struct {
	Header Header
	Source []byte
	// Nodes are all nodes, ascending by Index, without gaps.
	Nodes []NodeRecord
	// LastSeq is the Seq of the newest history entry, 0 if there is none.
	LastSeq uint64
	// Revision counts the task's Changes, from 1 for its creation. 0 where the store does not count.
	Revision uint64
}

// Key is what Resolve looks for: exactly one field is set.
type Key struct {
	Suffix, Request string
}

// Query restricts a List. Zero fields do not restrict.
type Query struct {
	// Statuses: any of these. Plan: this plan's name (lower case). Labels: all of these, with these values.
	Statuses []dag.TaskStatus
	Plan     string
	Labels   map[string]string
	// Since and Before bound the submission time: Since <= Submitted < Before.
	Since, Before dag.Time
	// Cursor continues where a Page ended; "" starts. Limit is the page's size; 0 is 50, the most is 1000.
	Cursor string
	Limit  int
}

// Page is a part of a list.
type Page struct {
	Headers []Header
	// Next continues the list; "" at its end.
	Next string
}
