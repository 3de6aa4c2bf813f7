package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

// errLink marks that the nursery went away in the middle of a call: it is not known what became of the call, and calling
// again finds out.
var errLink = errors.New("the connection to the nursery was lost")

// link is one connection to a nursery.
type link struct {
	c    net.Conn
	news func(*nursery.Response)
	down chan struct{} // closed when nothing more comes

	write sync.Mutex

	mu    sync.Mutex
	seq   uint64
	calls map[uint64]chan nursery.Response
	dead  bool
}

// connect reaches the nursery of the data directory, and starts one if there is none.
func (e *Executor) connect(ctx context.Context) (*link, error) {
	var err error
	// A nursery may end between being found and being connected to, so it is tried again a few times.
	for range 10 {
		var c net.Conn
		if c, err = nursery.Dial(ctx, e.data); err == nil {
			return &link{c: c, news: e.inbox.put, down: make(chan struct{}), calls: map[uint64]chan nursery.Response{}}, nil
		}
		pid, err := nursery.Spawn(ctx, e.data)
		if err != nil {
			return nil, err
		}
		if pid != 0 {
			e.nurseries = append(e.nurseries, pid)
		}
	}
	return nil, fmt.Errorf("cannot connect to the nursery: %w", err)
}

// reap takes the exit statuses of nurseries that this executor has started and that have ended.
func (e *Executor) reap() {
	e.nurseries = slices.DeleteFunc(e.nurseries, func(pid int) bool {
		got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		return got == pid || err != nil
	})
}

// read takes what the nursery sends until it or close ends the connection.
func (l *link) read() {
	dec := json.NewDecoder(bufio.NewReaderSize(l.c, 32<<10))
	for {
		r := &nursery.Response{}
		if err := dec.Decode(r); err != nil {
			break
		}
		if r.Seq == 0 {
			l.news(r)
			continue
		}
		l.mu.Lock()
		answer := l.calls[r.Seq]
		delete(l.calls, r.Seq)
		l.mu.Unlock()
		if answer != nil {
			answer <- *r
		}
	}
	_ = l.c.Close()
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	close(l.down)
}

func (l *link) close() { _ = l.c.Close() }

// call sends a request and waits for its answer.
func (l *link) call(ctx context.Context, r nursery.Request) (nursery.Response, error) {
	answer := make(chan nursery.Response, 1)
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return nursery.Response{}, errLink
	}
	l.seq++
	r.Seq = l.seq
	l.calls[r.Seq] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.calls, r.Seq)
		l.mu.Unlock()
	}()
	b, err := json.Marshal(&r)
	if err != nil {
		return nursery.Response{}, err
	}
	l.write.Lock()
	_, err = l.c.Write(append(b, '\n'))
	l.write.Unlock()
	if err != nil {
		_ = l.c.Close()
		return nursery.Response{}, errLink
	}
	select {
	case got := <-answer:
		return got, nil
	case <-l.down:
		select {
		case got := <-answer:
			return got, nil
		default:
			return nursery.Response{}, errLink
		}
	case <-ctx.Done():
		return nursery.Response{}, ctx.Err()
	}
}
