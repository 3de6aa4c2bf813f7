package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/clic-orchestrator/clic/master/store"
)

const (
	// flushSize is how much is kept in memory, in bytes, before it is written: of the history of one task, or of tasks that are
	// complete. A task with less history is written in one Change, after its checksum was found good.
	flushSize = 8 << 20
	// flushTasks is how many tasks are created at once at most.
	flushTasks = 200
)

// settle does with a task that was read whole what is to be done, and counts it.
func (i *importer) settle(ctx context.Context) error {
	t := i.task
	if i.o.Check {
		i.done.add(t.counts)
		return nil
	}
	if t.handled == undecided {
		if err := i.look(ctx); err != nil {
			return err
		}
		if t.handled == undecided {
			return i.enqueue(ctx)
		}
	}
	if err := i.writeEvents(ctx); err != nil {
		return err
	}
	if t.handled == compared {
		if more, err := t.stored.peek(ctx); err != nil {
			return err
		} else if more != nil {
			t.differ("its history has gone on")
		}
	}
	i.tally(t)
	return nil
}

// tally counts what became of a task.
func (i *importer) tally(t *open) {
	switch t.handled {
	case created:
		i.done.add(t.counts)
	case compared:
		i.done.Identical++
	case completed:
		i.done.Completed++
		i.done.Events += t.added
	case differs:
		i.done.Different = append(i.done.Different, Difference{Line: t.line, Task: t.header.Task, What: t.what})
	}
}

// writePart makes room while a task is still being read.
func (i *importer) writePart(ctx context.Context) error {
	t := i.task
	if i.o.Check {
		t.events, t.eventBytes = nil, 0
		return nil
	}
	if t.handled == undecided {
		if err := i.look(ctx); err != nil {
			return err
		}
		if t.handled == undecided {
			return i.createOne(ctx, t)
		}
	}
	return i.writeEvents(ctx)
}

// look finds out whether the task is there. If it is, the nodes are compared and let go of.
func (i *importer) look(ctx context.Context) error {
	t := i.task
	for _, w := range i.waiting {
		if w.header.Task == t.header.Task {
			if err := i.createAll(ctx); err != nil {
				return err
			}
			break
		}
	}
	stored, err := i.s.Load(ctx, t.header.Task)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	t.stored = &historyReader{s: i.s, task: t.header.Task}
	t.handled = compared
	if what := difference(t, stored); what != "" {
		t.differ(what)
	}
	t.nodes = nil
	return nil
}

// enqueue lets a task wait until there are enough to be created at once.
func (i *importer) enqueue(ctx context.Context) error {
	i.waiting = append(i.waiting, i.task)
	if i.size += i.task.size + i.task.eventBytes; i.size < flushSize && len(i.waiting) < flushTasks {
		return nil
	}
	return i.createAll(ctx)
}

// creation is the Change that makes the task, with the history that is kept.
func (t *open) creation() store.Change {
	return store.Change{Create: true, Task: t.header.Task, Header: t.header, Source: t.source, Nodes: t.nodes, Log: t.events}
}

// createAll creates the tasks that wait. If one of them cannot be, none is, and they are created one by one.
func (i *importer) createAll(ctx context.Context) error {
	waiting := i.waiting
	i.waiting, i.size = nil, 0
	if len(waiting) == 0 {
		return nil
	}
	batch := make([]store.Change, len(waiting))
	for k, t := range waiting {
		batch[k] = t.creation()
	}
	err := i.s.Commit(ctx, i.epoch, batch)
	if err != nil && !errors.Is(err, store.ErrExists) {
		return &LineError{Line: waiting[0].line, Task: waiting[0].header.Task, Err: err}
	}
	for _, t := range waiting {
		if err == nil {
			t.handled = created
		} else if err := i.createOne(ctx, t); err != nil {
			return err
		}
		i.tally(t)
	}
	return nil
}

// createOne creates a task, and lets go of what was written.
func (i *importer) createOne(ctx context.Context, t *open) error {
	err := i.s.Commit(ctx, i.epoch, []store.Change{t.creation()})
	switch {
	case err == nil:
		t.handled = created
	case errors.Is(err, store.ErrExists):
		owner, _ := i.s.Resolve(ctx, store.Key{Request: t.header.Request})
		t.differ(fmt.Sprintf("its request key %q belongs to task %q", t.header.Request, owner))
	default:
		return &LineError{Line: t.line, Task: t.header.Task, Err: err}
	}
	t.nodes, t.events, t.eventBytes = nil, nil, 0
	return nil
}

// writeEvents compares the history that is kept with what is there, or appends it.
func (i *importer) writeEvents(ctx context.Context) error {
	t := i.task
	events := t.events
	t.events, t.eventBytes = nil, 0
	if t.handled == compared {
		left, err := t.compare(ctx, events)
		if err != nil || len(left) == 0 {
			return err
		}
		t.handled, events = completed, left
	}
	if t.handled == differs {
		return nil
	}
	for len(events) > 0 {
		n := min(len(events), historyPage)
		c := store.Change{Task: t.header.Task, Log: events[:n]}
		if err := i.s.Commit(ctx, i.epoch, []store.Change{c}); err != nil {
			return err
		}
		t.added += int64(n)
		events = events[n:]
	}
	return nil
}
