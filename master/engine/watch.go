package engine

import (
	"context"
	"fmt"

	"github.com/clic-orchestrator/clic/dag"
)

// Bounds of a page of history.
const (
	defaultEvents = 1000
	maxEvents     = 10_000
)

// Watch gives a task's history after the cursor. Where there is none yet it waits for the next commit that adds some.
func (e *Engine) Watch(ctx context.Context, name string, cursor uint64, limit int) (*EventPage, error) {
	if limit <= 0 {
		limit = defaultEvents
	}
	limit = min(limit, maxEvents)
	if err := e.ready(); err != nil {
		return nil, err
	}
	e.topics.join(name)
	defer e.topics.leave(name)
	for {
		// The order matters: what comes after the channel was taken closes it; and a status that is final was written
		// together with the history that led to it, so that history read later has all of it.
		news := e.topics.next(name)
		page, err := e.history(ctx, name, cursor, limit)
		if err != nil {
			if ctx.Err() != nil {
				return &EventPage{Cursor: cursor}, nil
			}
			return nil, err
		}
		if len(page.Events) > 0 || page.Done {
			return page, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return page, nil
		case <-e.quit:
			return nil, e.stopped()
		case <-e.lost:
			return nil, e.stopped()
		}
	}
}

func (e *Engine) history(ctx context.Context, name string, cursor uint64, limit int) (*EventPage, error) {
	h, err := e.cfg.Store.Header(ctx, name)
	if err != nil {
		return nil, readError("task", name, err)
	}
	entries, err := e.cfg.Store.History(ctx, name, cursor, limit+1)
	if err != nil {
		return nil, readError("history of task", name, err)
	}
	page := &EventPage{Cursor: cursor, Status: h.Status, Done: h.Status.Terminal() && len(entries) <= limit}
	for _, x := range entries[:min(limit, len(entries))] {
		entry, err := dag.DecodeEntry(x.Body)
		if err != nil {
			return nil, fmt.Errorf("cannot read event %d of task %q: %w", x.Seq, name, err)
		}
		page.Events = append(page.Events, Event{Seq: x.Seq, Entry: *entry})
		page.Cursor = x.Seq
	}
	return page, nil
}
