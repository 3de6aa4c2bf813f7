package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// Errors of a connection that end it.
var (
	errTooSlow = errors.New("call waited too long for its turn")
	errClosing = errors.New("server is stopping")
	errGone    = errors.New("client has gone away")
)

// wire is the connection as Thrift's protocols see it. It bounds the bytes and the time of each call. All methods but
// watchGone's goroutine belong to the goroutine that serves the connection.
type wire struct {
	nc     net.Conn
	limits *Limits
	// heavy is shared by all connections; a call of more than HeavyBytes takes a place until its answer is sent.
	heavy    chan struct{}
	hasHeavy bool
	// onFirst is told of the first byte of a call, and may refuse it.
	onFirst func() error
	begun   bool
	// received counts the bytes of the current call.
	received int
	deadline time.Time
	extended time.Duration

	// failed is why nothing more can be read. Thrift's errors do not always wrap it.
	failed error

	// early is a byte that was read while the connection was watched.
	early    [1]byte
	hasEarly bool
}

var _ thrift.TTransport = (*wire)(nil)

// nextCall makes ready for a call: its time begins with its first byte.
func (w *wire) nextCall() error {
	w.endCall()
	return w.nc.SetReadDeadline(time.Now().Add(w.limits.Idle))
}

// endCall gives back what the call took.
func (w *wire) endCall() {
	if w.hasHeavy {
		<-w.heavy
		w.hasHeavy = false
	}
	w.begun, w.received, w.extended = false, 0, 0
}

// Read reads what there is of the current call.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.read(p)
	if err != nil {
		w.failed = err
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if w.received >= w.limits.MessageBytes {
		return 0, ErrTooLarge
	}
	if len(p) > w.limits.MessageBytes-w.received {
		p = p[:w.limits.MessageBytes-w.received]
	}
	if err := w.admit(); err != nil {
		return 0, err
	}
	var n int
	var err error
	if w.hasEarly {
		p[0], n, w.hasEarly = w.early[0], 1, false
	} else {
		n, err = w.nc.Read(p)
	}
	if n > 0 && !w.begun {
		if err := w.first(); err != nil {
			return 0, err
		}
	}
	w.received += n
	return n, err
}

// first begins the time that the call has to arrive.
func (w *wire) first() error {
	if err := w.onFirst(); err != nil {
		return err
	}
	w.begun = true
	w.deadline = time.Now().Add(w.limits.Receive)
	return w.nc.SetReadDeadline(w.deadline)
}

// admit lets a call that grows large wait for its turn, and gives it the time that its size allows.
func (w *wire) admit() error {
	if w.received < w.limits.HeavyBytes || !w.begun {
		return nil
	}
	if !w.hasHeavy {
		timer := time.NewTimer(time.Until(w.deadline))
		defer timer.Stop()
		select {
		case w.heavy <- struct{}{}:
			w.hasHeavy = true
		case <-timer.C:
			return errTooSlow
		}
		// The wait was ours, not the client's.
		w.deadline = time.Now().Add(w.limits.Receive)
		w.extended = -1
	}
	if more := w.limits.allowance(w.received); more != w.extended {
		w.extended = more
		return w.nc.SetReadDeadline(w.deadline.Add(more))
	}
	return nil
}

// Write sends p whole, or fails when the client does not take it in time.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.nc.SetWriteDeadline(time.Now().Add(w.limits.Send + w.limits.allowance(len(p)))); err != nil {
		return 0, err
	}
	return w.nc.Write(p)
}

// watchGone calls gone when the client closes its side while a call is being handled. The function that it returns ends
// the watch and must be called before the next Read.
func (w *wire) watchGone(gone func()) (stop func()) {
	if w.hasEarly || w.nc.SetReadDeadline(time.Time{}) != nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err := w.nc.Read(w.early[:])
		w.hasEarly = n == 1
		if err != nil {
			gone()
		}
	}()
	return func() {
		// A deadline in the past is how a blocked Read is ended; nextCall sets the next one.
		_ = w.nc.SetReadDeadline(time.Unix(1, 0))
		<-done
	}
}

// The bounds of linger.
const (
	lingerTime  = 5 * time.Second
	lingerBytes = 1 << 30
)

// linger ends the sending side and lets the client finish what it is sending. A connection that is closed under a client
// that sends is reset, and the client never sees the answer that was sent before.
func (w *wire) linger() {
	half, ok := w.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || w.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	// Why it ends does not matter.
	_, _ = io.CopyN(io.Discard, w.nc, lingerBytes)
}

// Flush does nothing: Write sends.
func (w *wire) Flush(context.Context) error { return nil }

// Open does nothing: the connection is there.
func (w *wire) Open() error { return nil }

// IsOpen reports true; a closed connection shows in Read and Write.
func (w *wire) IsOpen() bool { return true }

// RemainingBytes is unknown on a socket.
func (w *wire) RemainingBytes() uint64 { return thrift.UnknownRemainingBytes }

// Close closes the connection.
func (w *wire) Close() error { return w.nc.Close() }

// ended reports whether err is a client's ordinary way to end a connection: closing it, or staying away.
func ended(err error) bool {
	var ne net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errClosing) ||
		errors.As(err, &ne) && ne.Timeout()
}
