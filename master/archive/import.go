package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/clic-orchestrator/clic/master/store"
)

// ImportOptions bound an import. The zero value is ready to use.
type ImportOptions struct {
	// MaxLine is the longest line that is read, in bytes; 0 is 64 MiB.
	MaxLine int
	// MaxTask is the largest task that is read, in bytes of its records, without its history; 0 is 1 GiB.
	MaxTask int
	// Check only reads the archive: nothing is written, nor compared with what is there. The store may be nil.
	Check bool
	// Progress is called after each task, if set.
	Progress func(*Imported)
}

// Imported is what an import did.
type Imported struct {
	// Counts is what was written.
	Counts
	// Identical tasks were there already. Completed ones were there without the end of their history, as an import leaves them
	// that was interrupted.
	Identical, Completed int
	// Cut are tasks that the archive has only a part of, because its export was interrupted and continued. They are not written.
	Cut int
	// Different tasks are there already, and not as they are in the archive. They were left as they are.
	Different []Difference
}

// Difference is a task of an archive that is another one in the store.
type Difference struct {
	Line int
	Task string
	What string
}

// String says it in words.
func (d Difference) String() string {
	return fmt.Sprintf("line %d: task %q: %s", d.Line, d.Task, d.What)
}

// Import writes the tasks of an archive into a store, under the epoch of the caller's lead. It may be repeated at any time,
// such as after an error: what is there already is compared and left.
//
// A task's revision counts anew. Unfinished tasks go on where they were, as soon as a master leads the store.
func Import(ctx context.Context, s store.Store, epoch uint64, r io.Reader, o ImportOptions) (*Imported, error) {
	if o.MaxLine == 0 {
		o.MaxLine = 64 << 20
	}
	if o.MaxTask == 0 {
		o.MaxTask = 1 << 30
	}
	i := &importer{s: s, epoch: epoch, o: o, in: newScanner(r, o.MaxLine), done: &Imported{}}
	err := i.run(ctx)
	// What was read whole is written, also where the rest cannot be read.
	if last := i.createAll(ctx); err == nil {
		err = last
	}
	slices.SortFunc(i.done.Different, func(a, b Difference) int { return cmp.Compare(a.Line, b.Line) })
	if err != nil {
		return i.done, fmt.Errorf("cannot import: %w", err)
	}
	return i.done, nil
}

type importer struct {
	s     store.Store
	epoch uint64
	o     ImportOptions
	in    *scanner
	done  *Imported

	begun, ended bool
	task         *open
	read         Counts // since the last beginning

	// waiting are tasks that are to be created, and size is theirs in bytes.
	waiting []*open
	size    int
}

func (i *importer) at(err error) error {
	if already := (*LineError)(nil); errors.As(err, &already) {
		return err
	}
	name := ""
	if i.task != nil {
		name = i.task.header.Task
	}
	return &LineError{Line: i.in.number, Task: name, Err: err}
}

func (i *importer) run(ctx context.Context) error {
	var torn error // a line that cannot be read; fine if the export was continued after it
	for {
		if err := ctx.Err(); err != nil {
			return i.at(err)
		}
		l, err := i.in.next()
		switch {
		case errors.Is(err, io.EOF):
			return i.over(torn)
		case torn != nil && (err != nil || l.Archive == nil):
			return torn
		case errors.Is(err, ErrFormat) && i.begun:
			torn = i.at(err)
			continue
		case err != nil:
			return i.at(err)
		}
		torn = nil
		if err := i.line(ctx, l); err != nil {
			return i.at(err)
		}
	}
}

// over says whether the archive may end here.
func (i *importer) over(torn error) error {
	switch {
	case torn != nil:
		return fmt.Errorf("%w: its last line cannot be read: %w", ErrCut, torn)
	case !i.begun:
		return i.at(fmt.Errorf("%w: it is empty", ErrFormat))
	case !i.ended:
		return i.at(ErrCut)
	}
	return nil
}

// line takes one line in.
func (i *importer) line(ctx context.Context, l *line) error {
	switch {
	case l.Archive != nil:
		return i.begin(l.Archive)
	case !i.begun:
		return fmt.Errorf("%w: it does not begin like one", ErrFormat)
	case i.ended:
		return fmt.Errorf("%w: something follows the end", ErrFormat)
	case l.Task != nil:
		if i.task != nil {
			return fmt.Errorf("%w: another task begins before this one ends", ErrFormat)
		}
		h, err := l.Task.header()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		i.task = &open{line: i.in.number, header: h, size: len(i.in.raw)}
	case l.Done != nil && i.task != nil:
		return i.end(ctx, l.Done)
	case l.Cursor != nil && i.task == nil:
	case l.End != nil && i.task == nil:
		i.ended = true
		if *l.End != i.read {
			return fmt.Errorf("%w: it should have %+v, and has %+v", ErrFormat, *l.End, i.read)
		}
	case i.task == nil || l.Cursor != nil || l.End != nil:
		return fmt.Errorf("%w: a line at the wrong place", ErrFormat)
	default:
		return i.more(ctx, l)
	}
	return nil
}

// begin takes the first line of an archive, or of the part that was appended later.
func (i *importer) begin(b *beginLine) error {
	if b.Version > Version {
		return fmt.Errorf("the archive has version %d, this program knows %d: %w", b.Version, Version, store.ErrNewer)
	}
	if b.Version < 1 {
		return fmt.Errorf("%w: version %d", ErrFormat, b.Version)
	}
	if i.ended {
		return fmt.Errorf("%w: something follows the end", ErrFormat)
	}
	if i.task != nil {
		i.done.Cut++
	}
	i.begun, i.task, i.read = true, nil, Counts{}
	return nil
}

// more takes a line that belongs to the task.
func (i *importer) more(ctx context.Context, l *line) error {
	t := i.task
	if err := t.take(l); err != nil {
		return err
	}
	if l.Event == nil {
		if t.size > i.o.MaxTask {
			return fmt.Errorf("%w: the task has more than %d bytes", ErrTooLarge, i.o.MaxTask)
		}
		return nil
	}
	if t.eventBytes += len(i.in.raw); t.eventBytes < flushSize {
		return nil
	}
	return i.writePart(ctx)
}

// end takes the last line of a task.
func (i *importer) end(ctx context.Context, d *doneLine) error {
	t := i.task
	if err := t.ends(d, i.in.checksum()); err != nil {
		return err
	}
	t.counts = Counts{Tasks: 1, Nodes: d.Nodes, Events: t.count}
	if err := i.settle(ctx); err != nil {
		return err
	}
	i.read.add(t.counts)
	i.task = nil
	if i.o.Progress != nil {
		i.o.Progress(i.done)
	}
	return nil
}
