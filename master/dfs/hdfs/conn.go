package hdfs

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"time"
)

// readBuffer is how much is read at once of a connection to a datanode. Bytes are handed on in small pieces, which would be as many calls
// of the system.
const readBuffer = 128 << 10

// A conn is a connection of the library, with bounds of its own: each read and write has to end within the timeout, and after one that
// did not, or failed otherwise, the connection is closed. The deadlines that the library sets are not needed.
type conn struct {
	session *session
	under   net.Conn
	timeout time.Duration
	tap     *tap          // of connections to namenodes
	buffer  *bufio.Reader // of connections to datanodes, from the first read on

	mu     sync.Mutex
	failed error
}

func newConn(s *session, under net.Conn) *conn { return &conn{session: s, under: under} }

// fail closes the connection for a reason, the first of which counts.
func (c *conn) fail(why error) {
	c.mu.Lock()
	first := c.failed == nil
	if first {
		c.failed = why
	}
	c.mu.Unlock()
	if first {
		c.session.note(c, why)
		c.under.Close()
	}
}

func (c *conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// Read is net.Conn's.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.failure(); err != nil {
		return 0, err
	}
	var n int
	var err error
	if c.tap != nil {
		n, err = c.receive(p)
		c.tap.read(p[:n])
	} else {
		if c.buffer == nil {
			c.buffer = bufio.NewReaderSize(reader(c.receive), readBuffer)
		}
		n, err = c.buffer.Read(p)
	}
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", c.under.RemoteAddr(), err))
		return n, c.failure()
	}
	return n, nil
}

// reader is an io.Reader that is a function.
type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// receive reads from the network within the timeout.
func (c *conn) receive(p []byte) (int, error) {
	if err := c.under.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.under.Read(p)
}

// Write is net.Conn's. What is written to a datanode after the connection failed goes nowhere, without an error: the library ends the
// goroutines of a write only where it could write all of it. It finds the error when it reads the acknowledgements.
func (c *conn) Write(p []byte) (int, error) {
	failed := c.failure()
	if failed == nil {
		failed = c.send(p)
	}
	if failed != nil && c.tap != nil {
		return 0, failed
	}
	return len(p), nil
}

func (c *conn) send(p []byte) error {
	if err := c.under.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		c.fail(err)
		return err
	}
	if c.tap != nil {
		p = c.tap.write(p)
	}
	if _, err := c.under.Write(p); err != nil {
		c.fail(fmt.Errorf("%s: %w", c.under.RemoteAddr(), err))
		return c.failure()
	}
	return nil
}

// Close is net.Conn's.
func (c *conn) Close() error {
	c.fail(errClosed)
	return nil
}

// LocalAddr is net.Conn's.
func (c *conn) LocalAddr() net.Addr { return c.under.LocalAddr() }

// RemoteAddr is net.Conn's.
func (c *conn) RemoteAddr() net.Addr { return c.under.RemoteAddr() }

// SetDeadline is net.Conn's. It does nothing, as the next two.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is net.Conn's.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is net.Conn's.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
