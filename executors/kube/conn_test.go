package kube

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connected gives both ends of a connection. The near one is read at a pace.
func connected(t *testing.T, p *pace) (near *conn, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dial(&net.Dialer{}, p)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return c.(*conn), other.(*net.TCPConn)
}

// said is what a Read gave.
type said struct {
	text string
	err  error
}

func reading(c *conn) <-chan said {
	answer := make(chan said, 1)
	go func() {
		p := make([]byte, 100)
		n, err := c.Read(p)
		answer <- said{string(p[:n]), err}
	}()
	return answer
}

// awaitLow waits until a connection is held, or is not any more.
func awaitLow(t *testing.T, c *conn, want int) {
	t.Helper()
	for is := 0; is != want; runtime.Gosched() {
		if err := c.raw.Control(func(fd uintptr) {
			var err error
			if is, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT); err != nil {
				t.Fatal(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func say(t *testing.T, c net.Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t *testing.T, answer <-chan said, want string) {
	t.Helper()
	if got := <-answer; got.text != want || got.err != nil {
		t.Errorf("%q was read, %v; want %q", got.text, got.err, want)
	}
}

// What comes during a pause is read together. After one in which nothing came the next wakes the reader up.
func TestConnAtAPace(t *testing.T) {
	near, far := connected(t, &pace{pause: time.Second})
	say(t, far, "first")
	expect(t, reading(near), "first")
	together := reading(near)
	awaitLow(t, near, low)
	say(t, far, "sec", "ond")
	expect(t, together, "second")

	alone := reading(near)
	awaitLow(t, near, 1)
	say(t, far, "third")
	expect(t, alone, "third")
}

// A connection without a pace, or with some to spare, is read as it comes.
func TestConnAtOnce(t *testing.T) {
	for _, p := range []*pace{nil, {pause: time.Hour, spare: 3}} {
		near, far := connected(t, p)
		for _, text := range []string{"a", "b", "c"} {
			answer := reading(near)
			say(t, far, text)
			expect(t, answer, text)
		}
	}
}

// A paced connection ends as others do.
func TestConnEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(near *conn, far *net.TCPConn) error
		want error
	}{
		"closed there": {func(_ *conn, far *net.TCPConn) error { return far.Close() }, io.EOF},
		"closed here":  {func(near *conn, _ *net.TCPConn) error { return near.Close() }, net.ErrClosed},
		"reset":        {func(_ *conn, far *net.TCPConn) error { return errors.Join(far.SetLinger(0), far.Close()) }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := connected(t, &pace{pause: 50 * time.Millisecond})
			say(t, far, "all")
			expect(t, reading(near), "all")
			answer := reading(near)
			awaitLow(t, near, low)
			if err := tc.end(near, far); err != nil {
				t.Fatal(err)
			}
			if got := <-answer; got.text != "" || !errors.Is(got.err, tc.want) {
				t.Errorf("%q was read, %v; want %v", got.text, got.err, tc.want)
			}
		})
	}
}

// More than fits into a buffer is read whole while a connection is held, and what is held comes too.
func TestConnMuch(t *testing.T) {
	near, far := connected(t, &pace{pause: 20 * time.Millisecond})
	const size = 8 << 20
	wrote := make(chan error, 1)
	go func() {
		_, err := far.Write(make([]byte, size))
		wrote <- errors.Join(err, far.Close())
	}()
	if n, err := io.Copy(io.Discard, near); n != size || err != nil {
		t.Errorf("%d bytes were read, %v; want %d", n, err, size)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
