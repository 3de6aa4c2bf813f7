package engine

import (
	"container/list"
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/clic-orchestrator/clic/dag/plan"
)

// The bounds of what is kept of plans that were read, in bytes of their texts: of one, and of all together. What was read takes some ten
// times as much.
const (
	maxDocument  = 128 << 10
	maxDocuments = 1 << 20
)

// documents keeps plans that were read: most are submitted again and again, with other parameters or none, and after a restart the
// unfinished tasks of one plan are all compiled from the same text.
type documents struct {
	mu    sync.Mutex
	known map[documentKey]*list.Element
	order list.List // of *document, the one that was asked for last first
	size  int
}

// documentKey tells texts from each other. Diagnostics name the file.
type documentKey struct {
	file string
	text [sha256.Size]byte
}

type document struct {
	key         documentKey
	size        int
	doc         *plan.Document
	diagnostics plan.Diagnostics
}

// parse is plan.Parse. The Document may be in use elsewhere, which it allows; the diagnostics are the caller's own.
func (d *documents) parse(file string, text []byte) (*plan.Document, plan.Diagnostics) {
	if len(text) > maxDocument {
		return plan.Parse(file, text)
	}
	key := documentKey{file: file, text: sha256.Sum256(text)}
	if found := d.find(key); found != nil {
		return found.doc, slices.Clone(found.diagnostics)
	}
	doc, ds := plan.Parse(file, text)
	if doc != nil {
		d.keep(&document{key: key, size: len(text) + len(file), doc: doc, diagnostics: slices.Clone(ds)})
	}
	return doc, ds
}

func (d *documents) find(key documentKey) *document {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.known[key]
	if e == nil {
		return nil
	}
	d.order.MoveToFront(e)
	return e.Value.(*document) //nolint:forcetypeassert // there is nothing else in it
}

// keep adds one, and forgets those that nobody has asked for the longest where they become too many.
func (d *documents) keep(x *document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[x.key] != nil {
		return // somebody else has read it meanwhile
	}
	if d.known == nil {
		d.known = map[documentKey]*list.Element{}
	}
	d.known[x.key] = d.order.PushFront(x)
	d.size += x.size
	for d.size > maxDocuments {
		oldest := d.order.Remove(d.order.Back()).(*document) //nolint:forcetypeassert // as above
		delete(d.known, oldest.key)
		d.size -= oldest.size
	}
}
