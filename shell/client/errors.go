package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// UnreachableError says that no connection to the master could be made: nothing was sent.
type UnreachableError struct {
	Address string
	// Source is where the address came from, or "".
	Source string
	Err    error
}

// Error names the address, its source and the system's reason.
func (e *UnreachableError) Error() string {
	from := ""
	if e.Source != "" {
		from = " (address from " + e.Source + ")"
	}
	return fmt.Sprintf("no master answers at %s%s: %s", e.Address, from, e.reason())
}

// reason is the system's reason without the address, which stands in front already.
func (e *UnreachableError) reason() string {
	if dns, ok := errors.AsType[*net.DNSError](e.Err); ok {
		return dns.Err
	}
	if errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.Is(e.Err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if errno, ok := errors.AsType[syscall.Errno](e.Err); ok {
		return errno.Error()
	}
	return e.Err.Error()
}

// Unwrap gives the system's error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// LostError says that the connection broke while a call was under way.
type LostError struct {
	Address, Method string
	// Uncertain is set where the call changes something and may or may not have been carried out.
	Uncertain bool
	Err       error
}

// Error names the address, and whether the call may have been carried out.
func (e *LostError) Error() string {
	s := fmt.Sprintf("the connection to the master at %s broke: %v", e.Address, e.Err)
	if e.Uncertain {
		s += "; whether it carried out the request is unknown"
	}
	return s
}

// Unwrap gives the cause.
func (e *LostError) Unwrap() error { return e.Err }

// TimeoutError says that no answer came in time.
type TimeoutError struct {
	Address, Method string
	// Uncertain is set where the call changes something and may or may not have been carried out.
	Uncertain bool
}

// Error names the address, and whether the call may have been carried out.
func (e *TimeoutError) Error() string {
	s := fmt.Sprintf("the master at %s did not answer in time", e.Address)
	if e.Uncertain {
		s += "; whether it carried out the request is unknown"
	}
	return s
}

// Timeout makes it a timeout in the sense of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// Millis converts a time of the wire (milliseconds since the Unix epoch, 0 for "not yet"); the zero Time for 0.
func Millis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
