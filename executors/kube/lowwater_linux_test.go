package kube

import (
	"bufio"
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What comes over a connection that is held is there, but not announced until it is released.
func TestHold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	c := &bufferedConn{Conn: near, in: bufio.NewReader(near)}
	raw, err := near.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// state is how many bytes have come, and whether a poller would say so.
	state := func() (there int, announced bool) {
		if err := raw.Control(func(fd uintptr) {
			var err error
			if there, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ); err != nil {
				t.Fatal(err)
			}
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			if err != nil {
				t.Fatal(err)
			}
			announced = n > 0
		}); err != nil {
			t.Fatal(err)
		}
		return there, announced
	}
	c.hold()
	if _, err := far.Write([]byte("news")); err != nil {
		t.Fatal(err)
	}
	for {
		there, announced := state()
		if announced {
			t.Fatalf("%d bytes are announced on a connection that is held", there)
		}
		if there == len("news") {
			break
		}
		runtime.Gosched()
	}
	c.release()
	if _, announced := state(); !announced {
		t.Error("what came is not announced after the release")
	}
	got := make([]byte, 4)
	if _, err := c.Read(got); err != nil || string(got) != "news" {
		t.Errorf("%q was read, %v", got, err)
	}
}
