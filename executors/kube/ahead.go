package kube

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// The cluster has no offsets: whoever wants a log from a place on gets all that stands before it as well. Logs are asked for in parts,
// each of which begins where the last one has ended, so what was opened for a part is kept for the next.
const (
	// parkedFor is how long that is; longer than clients wait for more.
	parkedFor = time.Minute
	// parkedLogs is how many there can be.
	parkedLogs = 32
	// aheadParts, of aheadPart bytes each, are read before somebody wants them.
	aheadParts = 4
	aheadPart  = 32 << 10
)

// logKind says which of a pod's logs something is.
type logKind struct {
	pod    types.UID
	follow bool
	since  int64 // in seconds, as the cluster takes it
}

// ahead reads a log from its beginning, ahead of who takes it. It has one owner at a time.
type ahead struct {
	kind   logKind
	parts  chan []byte
	cancel context.CancelFunc
	// err is why nothing comes after the parts; to be read once they are closed.
	err error

	rest []byte // of the part that is being taken
	pos  int64
	over bool
}

// startAhead takes over body, which ends with ctx. start runs what is to run.
func startAhead(ctx context.Context, cancel context.CancelFunc, kind logKind, body io.ReadCloser, start func(func()) bool) (*ahead, error) {
	a := &ahead{kind: kind, parts: make(chan []byte, aheadParts), cancel: cancel}
	if !start(func() { a.pump(ctx, body) }) {
		cancel()
		return nil, errors.Join(os.ErrClosed, body.Close())
	}
	return a, nil
}

func (a *ahead) pump(ctx context.Context, body io.ReadCloser) {
	defer close(a.parts)
	defer func() { _ = body.Close() }()
	for {
		part := make([]byte, aheadPart)
		n, err := body.Read(part)
		if n > 0 {
			select {
			case a.parts <- part[:n]:
			case <-ctx.Done():
				a.err = ctx.Err()
				return
			}
		}
		if err != nil {
			a.err = err
			return
		}
	}
}

// read takes what there is, and waits for it. What ctx ends can be taken later.
func (a *ahead) read(ctx context.Context, b []byte) (int, error) {
	for len(a.rest) == 0 {
		select {
		case part, ok := <-a.parts:
			if !ok {
				a.over = true
				return 0, a.err
			}
			a.rest = part
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	a.pos += int64(n)
	return n, nil
}

// skip goes on to a place. Behind the end there is nothing, which is no error.
func (a *ahead) skip(ctx context.Context, to int64) error {
	scratch := make([]byte, aheadPart)
	for a.pos < to {
		if _, err := a.read(ctx, scratch[:min(int64(len(scratch)), to-a.pos)]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
	return nil
}

// parking keeps what was opened for a part of a log.
type parking struct {
	mu   sync.Mutex
	list []*parked // the oldest first
}

type parked struct {
	*ahead
	expires *time.Timer
}

// take gives what was kept of a log at a place, or nil.
func (p *parking) take(kind logKind, at int64) *ahead {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range p.list {
		if x.kind == kind && x.pos == at {
			p.remove(i)
			return x.ahead
		}
	}
	return nil
}

func (p *parking) remove(i int) {
	p.list[i].expires.Stop()
	p.list = append(p.list[:i], p.list[i+1:]...)
}

// keep keeps a log for who goes on where it stands.
func (p *parking) keep(a *ahead) {
	if a.over || a.pos == 0 { // to open it again costs nothing more
		a.cancel()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) == parkedLogs {
		p.list[0].cancel()
		p.remove(0)
	}
	x := &parked{ahead: a}
	x.expires = time.AfterFunc(parkedFor, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, y := range p.list {
			if x == y {
				x.cancel()
				p.remove(i)
				return
			}
		}
	})
	p.list = append(p.list, x)
}

// clear ends all that is kept.
func (p *parking) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.list) > 0 {
		p.list[0].cancel()
		p.remove(0)
	}
}

// part is what somebody reads of a log. Close leaves the rest for who comes next; it may be called while Read waits.
type part struct {
	log    *ahead
	lot    *parking
	ctx    context.Context //nolint:containedctx // of the reader, whose Read has none
	cancel context.CancelFunc

	// old: the log was opened for another part, so that its end may not be the end any more.
	old bool

	mu              sync.Mutex
	reading, closed bool
}

func newPart(ctx context.Context, log *ahead, lot *parking, old bool) *part {
	p := &part{log: log, lot: lot, old: old}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

func (p *part) Read(b []byte) (int, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, os.ErrClosed
	}
	p.reading = true
	p.mu.Unlock()
	n, err := p.log.read(p.ctx, b)
	p.mu.Lock()
	p.reading = false
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.lot.keep(p.log)
	}
	return n, err
}

func (p *part) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.cancel()
	if !p.reading { // else the Read does it when it has ended
		p.lot.keep(p.log)
	}
	return nil
}
