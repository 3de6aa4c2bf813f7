package archive

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/clic-orchestrator/clic/master/store"
)

// difference says in which way a task of an archive is another one than that of the store, "" if in none. Histories are
// compared as they are read.
func difference(t *open, stored *store.Record) string {
	a, b := t.header, &stored.Header
	switch {
	case a.Plan != b.Plan || a.Submitted != b.Submitted:
		return fmt.Sprintf("it is of plan %q, submitted at %d, the one that is there of plan %q, at %d", a.Plan, a.Submitted, b.Plan, b.Submitted)
	case a.Status != b.Status:
		return fmt.Sprintf("its status is %s, that of the one that is there %s", a.Status, b.Status)
	case !bytes.Equal(a.Body, b.Body), a.Ended != b.Ended, a.Expires != b.Expires, !maps.Equal(a.Labels, b.Labels), a.Request != b.Request:
		return "its header is another one"
	case !bytes.Equal(t.source, stored.Source):
		return "its plan is another one"
	case len(t.nodes) != len(stored.Nodes):
		return fmt.Sprintf("it has %d nodes, the one that is there %d", len(t.nodes), len(stored.Nodes))
	}
	for i := range t.nodes {
		n, s := &t.nodes[i], &stored.Nodes[i]
		if n.Stage != s.Stage || !bytes.Equal(n.Spec, s.Spec) || !bytes.Equal(n.State, s.State) {
			return fmt.Sprintf("its node %d (%s) is another one", i, n.Stage)
		}
	}
	return ""
}

func (t *open) differ(what string) { t.handled, t.what = differs, what }

// compare compares history entries with what is stored, and gives those that come after it. A store may have dropped the
// oldest entries; so may the one that was exported.
func (t *open) compare(ctx context.Context, events []store.LogEntry) (left []store.LogEntry, err error) {
	for i := range events {
		e := &events[i]
		for {
			s, err := t.stored.peek(ctx)
			if err != nil {
				return nil, err
			}
			if s == nil && t.stored.last < e.Seq {
				return events[i:], nil
			}
			if s != nil && s.Seq < t.firstSeq {
				t.stored.pop()
				continue
			}
			if s == nil || s.Seq > e.Seq && t.stored.seen || s.Seq < e.Seq || s.Seq == e.Seq && !bytes.Equal(s.Body, e.Body) {
				t.differ(fmt.Sprintf("its history is another one at entry %d", e.Seq))
				return nil, nil
			}
			if s.Seq == e.Seq {
				t.stored.pop()
				t.stored.seen = true
			}
			break
		}
	}
	return nil, nil
}

// historyReader reads a stored history page by page.
type historyReader struct {
	s    store.Store
	task string
	page []store.LogEntry
	last uint64 // the newest that was read
	end  bool
	// seen is set once an entry was found in both histories: from there on, none may be missing.
	seen bool
}

// peek gives the next entry, nil after the last.
func (h *historyReader) peek(ctx context.Context) (*store.LogEntry, error) {
	if len(h.page) == 0 && !h.end {
		page, err := h.s.History(ctx, h.task, h.last, historyPage)
		if err != nil {
			return nil, err
		}
		h.page, h.end = page, len(page) < historyPage
		if len(page) > 0 {
			h.last = page[len(page)-1].Seq
		}
	}
	if len(h.page) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return &h.page[0], nil
}

func (h *historyReader) pop() { h.page = h.page[1:] }
