package stage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// capture passes the program's standard output on and keeps a copy.
type capture struct {
	limit int64
	read  *os.File
	write int // the program's end of the pipe
	kept  []byte
	size  int64
	done  chan struct{}
}

// newCapture makes the pipe. The program's end is an ordinary blocking one.
func newCapture(limit int64) (*capture, error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make a pipe for the standard output: %w", err)
	}
	if err := syscall.SetNonblock(p[0], true); err != nil {
		return nil, errors.Join(err, syscall.Close(p[0]), syscall.Close(p[1]))
	}
	return &capture{limit: limit, read: os.NewFile(uintptr(p[0]), "stdout"), write: p[1], done: make(chan struct{})}, nil
}

// begun closes the helper's copy of the program's end, so that the end of the output shows.
func (c *capture) begun() { _ = syscall.Close(c.write) }

// pump passes the output on to the helper's own standard output, until nobody can write any more. Where that takes nothing any
// more, the program gets the same error as without the helper.
func (c *capture) pump() {
	defer close(c.done)
	defer c.read.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.read.Read(buf)
		if n > 0 {
			if keep := min(int64(n), c.limit+1-int64(len(c.kept))); keep > 0 {
				c.kept = append(c.kept, buf[:keep]...)
			}
			c.size += int64(n)
			if _, werr := os.Stdout.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// giveUp ends the pump soon: a process that escaped every search may hold the pipe open for ever.
func (c *capture) giveUp() { _ = c.read.SetReadDeadline(time.Now()) }

// result is the standard output without exactly one line end. It comes after the pump's end.
func (c *capture) result() (string, error) {
	if c.size > c.limit {
		return "", fmt.Errorf("the standard output is the stage's result, and its %d bytes are more than the %d that a result may have", c.size, c.limit)
	}
	return text(c.kept), nil
}

// text is what is taken over of a file or stream: valid UTF-8, without exactly one line end.
func text(b []byte) string {
	return strings.ToValidUTF8(strings.TrimSuffix(string(b), "\n"), string(utf8.RuneError))
}
