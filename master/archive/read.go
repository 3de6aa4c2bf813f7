package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"reflect"

	"github.com/clic-orchestrator/clic/master/store"
)

// Errors of reading an archive. A LineError around them says where.
var (
	// ErrFormat: this is no archive, or a damaged one.
	ErrFormat = errors.New("not an archive as it should be")
	// ErrCut: the archive has no end: its export was interrupted, or it was copied in part. What it has was imported.
	ErrCut = errors.New("the archive ends before its end: the export was interrupted")
	// ErrTooLarge: a line or a task exceeds its limit.
	ErrTooLarge = errors.New("too large")
)

// LineError is what went wrong at a line of an archive.
type LineError struct {
	Line int
	// Task is the task that the line belongs to, "" for none.
	Task string
	Err  error
}

// Error implements error.
func (e *LineError) Error() string {
	if e.Task == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: task %q: %v", e.Line, e.Task, e.Err)
}

// Unwrap gives what went wrong.
func (e *LineError) Unwrap() error { return e.Err }

// scanner reads lines.
type scanner struct {
	r    *bufio.Reader
	most int
	// number is that of the line read last; sum is of the lines since the last one that began a task, without the last one.
	number int
	sum    hash.Hash
	raw    []byte
}

func newScanner(r io.Reader, most int) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, 1<<16), most: most, sum: sha256.New()}
}

// next gives the next line that is not empty; io.EOF after the last.
func (s *scanner) next() (*line, error) {
	_, _ = s.sum.Write(s.raw) // a hash takes everything
	for {
		if err := s.read(); err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(s.raw)) > 0 {
			break
		}
	}
	l := &line{}
	d := json.NewDecoder(bytes.NewReader(s.raw))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one object", ErrFormat)
	}
	set, v := 0, reflect.ValueOf(l).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("%w: a line has exactly one key", ErrFormat)
	}
	if l.Task != nil {
		s.sum.Reset()
	}
	return l, nil
}

// read reads a line with its newline into raw.
func (s *scanner) read() error {
	s.raw = s.raw[:0]
	s.number++
	for {
		part, err := s.r.ReadSlice('\n')
		if len(s.raw)+len(part) > s.most {
			return fmt.Errorf("%w: the line has more than %d bytes", ErrTooLarge, s.most)
		}
		s.raw = append(s.raw, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(s.raw) > 0:
			return nil // the last line may lack its newline; the checksum has it
		case err != nil:
			return err
		}
		return nil
	}
}

// checksum is that of the task's lines before the last one.
func (s *scanner) checksum() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// open is a task that is being read.
type open struct {
	line   int // where it began
	header *store.Header
	source []byte
	nodes  []store.NodeRecord
	// size is of the record, in bytes, about.
	size int
	// events are those that were not handed on yet, and eventBytes their size.
	events     []store.LogEntry
	eventBytes int
	// count, firstSeq and last are of all history entries so far; added is how many were written after the record.
	count          int64
	firstSeq, last uint64
	added          int64
	// counts is of the whole task, once it was read.
	counts Counts
	// handled says what becomes of the task. The nodes are let go of then; total is how many there were.
	handled outcome
	total   int
	what    string // how it differs
	stored  *historyReader
}

// outcome is what is done with a task.
type outcome int

const (
	undecided outcome = iota
	created           // was not there
	compared          // is there, and the same as far as was read
	completed         // is there, and a part of its history was not
	differs           // is there, and another one
)

// take checks a line of the task and keeps what it says.
func (t *open) take(l *line) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	switch {
	case l.Source != nil:
		if t.source != nil {
			return bad("a second source")
		}
		t.source = unpack(l.Source.JSON, l.Source.Base64)
		t.size += len(t.source)
	case l.Node != nil:
		if t.source == nil || t.count > 0 {
			return bad("a node comes after the source and before the history")
		}
		if int(l.Node.Index) != t.total {
			return bad("node %d after %d nodes", l.Node.Index, t.total)
		}
		n := l.Node.record()
		t.nodes = append(t.nodes, n)
		t.total++
		t.size += len(n.Spec) + len(n.State) + len(n.Stage) + 100
	case l.Event != nil:
		if t.source == nil {
			return bad("history before the source")
		}
		if l.Event.Seq <= t.last {
			return bad("history entry %d after %d", l.Event.Seq, t.last)
		}
		if t.count == 0 {
			t.firstSeq = l.Event.Seq
		}
		e := store.LogEntry{Seq: l.Event.Seq, Body: unpack(l.Event.Body, l.Event.BodyBase64)}
		t.events, t.last = append(t.events, e), e.Seq
		t.count++
	}
	return nil
}

// ends checks the last line of the task.
func (t *open) ends(d *doneLine, checksum string) error {
	switch {
	case string(d.Task) != t.header.Task:
		return fmt.Errorf("%w: the end of another task, %q", ErrFormat, d.Task)
	case t.source == nil:
		return fmt.Errorf("%w: the task has no source", ErrFormat)
	case d.Nodes != t.total || d.Events != t.count:
		return fmt.Errorf("%w: %d nodes and %d history entries, there should be %d and %d",
			ErrFormat, t.total, t.count, d.Nodes, d.Events)
	case d.SHA256 != "" && d.SHA256 != checksum:
		return fmt.Errorf("%w: its lines were changed: the checksum does not fit", ErrFormat)
	}
	return nil
}
