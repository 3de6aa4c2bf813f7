package nursery

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// conn is a connected master.
type conn struct {
	n *nursery
	c net.Conn

	mu     sync.Mutex
	queue  []Response
	closed bool
	wake   chan struct{}
	gone   chan struct{}
}

// read serves requests until the master is gone.
func (c *conn) read() {
	defer c.leave()
	dec := json.NewDecoder(bufio.NewReaderSize(c.c, 16<<10))
	for {
		var r Request
		if err := dec.Decode(&r); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.ECONNRESET) {
				c.n.log.Warn("a master is gone", "error", err)
			}
			return
		}
		c.n.mu.Lock()
		c.n.pending++
		c.n.mu.Unlock()
		c.n.work.Go(func() { c.serve(&r) })
	}
}

// hungUp reports whether the master has closed its end, which read may not have come to yet.
func (c *conn) hungUp() bool {
	u, ok := c.c.(*net.UnixConn)
	if !ok {
		return false
	}
	rc, err := u.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = rc.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		_, err := unix.Poll(fds, 0)
		gone = err == nil && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
	})
	return err != nil || gone
}

// leave forgets the connection; its attempts run on, unless they are private.
func (c *conn) leave() {
	n := c.n
	n.mu.Lock()
	delete(n.conns, c)
	for _, a := range n.attempts {
		delete(a.watchers, c)
	}
	n.endIfIdle()
	n.mu.Unlock()
	c.mu.Lock()
	c.closed, c.queue = true, nil
	c.mu.Unlock()
	close(c.gone)
	_ = c.c.Close()
}

func (c *conn) serve(r *Request) {
	answer := Response{}
	var started *attempt
	switch {
	case r.Launch != nil:
		c.n.launches <- struct{}{}
		answer, started = c.n.launch(c, r.Launch)
		<-c.n.launches
	case r.Cancel != nil:
		c.n.cancel(c, r.Cancel)
	case r.Watch != nil:
		answer = c.n.watch(c, r.Watch)
	default:
		c.n.forget(r.Forget)
	}
	answer.Seq = r.Seq
	c.push(answer)
	c.n.mu.Lock()
	c.n.pending--
	c.n.endIfIdle()
	c.n.mu.Unlock()
	if started != nil {
		c.n.live(started) // here, because a goroutine that has run for a while is cheaper than another one
	}
}

// push queues a response. It never blocks: a master that does not read must not hold up the reaping of its attempts. The
// queue holds a few responses per attempt at most.
func (c *conn) push(r Response) {
	c.mu.Lock()
	if !c.closed {
		c.queue = append(c.queue, r)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) write() {
	w := bufio.NewWriterSize(c.c, 16<<10)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for {
		select {
		case <-c.wake:
		case <-c.gone:
			return
		}
		for {
			c.mu.Lock()
			batch := c.queue
			c.queue = nil
			c.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for i := range batch {
				if err := enc.Encode(&batch[i]); err != nil {
					_ = c.c.Close() // the reader notices
					return
				}
			}
		}
		if err := w.Flush(); err != nil {
			_ = c.c.Close()
			return
		}
	}
}
