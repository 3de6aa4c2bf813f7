package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// ExportOptions restrict and describe an export. The zero value exports all.
type ExportOptions struct {
	// After is a cursor, of an export before, after which this one begins.
	After string
	// Program and Now go into the archive's first line. The zero time leaves it out.
	Program string
	Now     time.Time
	// Progress is called after each task, if set.
	Progress func(Counts)
}

// Exported is what an export did.
type Exported struct {
	Counts
	// Cursor is after what was written whole: where an export that failed can be continued.
	Cursor string
}

// exportPage is how many tasks are listed at a time.
const exportPage = 100

// Export writes the tasks of a store, newest submission first. Each is written as it is at one moment; one that is deleted
// meanwhile is left out, and one that is submitted meanwhile is not there. No lead is needed.
//
// An error leaves an archive without its end. Exporting once more with After set to the Cursor, to the same file, continues it.
func Export(ctx context.Context, s store.Store, w io.Writer, o ExportOptions) (*Exported, error) {
	out := bufio.NewWriterSize(w, 1<<20)
	e := &exporter{s: s, p: newWriter(out), done: Exported{Cursor: o.After}}
	begin := &beginLine{Version: Version, Program: o.Program, After: o.After}
	if !o.Now.IsZero() {
		begin.Made = o.Now.Format(time.RFC3339)
	}
	if o.After != "" {
		// What was written last may have been cut in the middle of a line.
		if _, err := out.WriteString("\n"); err != nil {
			return &e.done, fmt.Errorf("cannot write the archive: %w", err)
		}
	}
	if err := e.write(&line{Archive: begin}); err != nil {
		return &e.done, err
	}
	q := store.Query{Limit: exportPage, Cursor: o.After}
	for {
		page, err := s.List(ctx, q)
		if err != nil {
			return &e.done, fmt.Errorf("cannot list tasks: %w", err)
		}
		for i := range page.Headers {
			if err := e.task(ctx, page.Headers[i].Task); err != nil {
				return &e.done, err
			}
			if o.Progress != nil {
				o.Progress(e.done.Counts)
			}
		}
		if page.Next == "" {
			break
		}
		if err := e.write(&line{Cursor: &page.Next}); err != nil {
			return &e.done, err
		}
		if err := out.Flush(); err != nil {
			return &e.done, fmt.Errorf("cannot write the archive: %w", err)
		}
		q.Cursor, e.done.Cursor = page.Next, page.Next
	}
	if err := e.write(&line{End: &e.done.Counts}); err != nil {
		return &e.done, err
	}
	if err := out.Flush(); err != nil {
		return &e.done, fmt.Errorf("cannot write the archive: %w", err)
	}
	return &e.done, nil
}

type exporter struct {
	s    store.Store
	p    *writer
	done Exported
}

func (e *exporter) write(l *line) error {
	if err := e.p.write(l); err != nil {
		return fmt.Errorf("cannot write the archive: %w", err)
	}
	return nil
}

// task writes one task.
func (e *exporter) task(ctx context.Context, name string) error {
	record, err := e.s.Load(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return fmt.Errorf("cannot export task %q: %w", name, err)
	}
	if err := e.write(&line{Task: packTask(&record.Header, record.Revision, record.LastSeq)}); err != nil {
		return err
	}
	source := &sourceLine{}
	source.JSON, source.Base64 = pack(record.Source)
	if err := e.write(&line{Source: source}); err != nil {
		return err
	}
	for i := range record.Nodes {
		if err := e.write(&line{Node: packNode(&record.Nodes[i])}); err != nil {
			return err
		}
	}
	events, err := e.history(ctx, name, record.LastSeq)
	if err != nil {
		return err
	}
	nodes := len(record.Nodes)
	if err := e.write(&line{Done: &doneLine{Task: text(name), Nodes: nodes, Events: events}}); err != nil {
		return err
	}
	e.done.add(Counts{Tasks: 1, Nodes: nodes, Events: events})
	return nil
}

// history writes the history up to what the record has; what came later belongs to a later state.
func (e *exporter) history(ctx context.Context, name string, last uint64) (count int64, err error) {
	for after := uint64(0); ; {
		page, err := e.s.History(ctx, name, after, historyPage)
		if errors.Is(err, store.ErrNotFound) {
			return count, nil // deleted since; what is written is as it was
		}
		if err != nil {
			return count, fmt.Errorf("cannot export the history of task %q: %w", name, err)
		}
		for i := range page {
			if page[i].Seq > last {
				return count, nil
			}
			l := &eventLine{Seq: page[i].Seq}
			l.Body, l.BodyBase64 = pack(page[i].Body)
			if err := e.write(&line{Event: l}); err != nil {
				return count, err
			}
			count++
		}
		if len(page) < historyPage {
			return count, nil
		}
		after = page[len(page)-1].Seq
	}
}

// historyPage is how many history entries are read, or written, at a time.
const historyPage = 1000
