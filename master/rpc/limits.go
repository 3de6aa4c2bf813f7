package rpc

import (
	"fmt"
	"math"
	"time"
)

// Limits bound what clients can take from the server. Zero fields stand for DefaultLimits.
type Limits struct {
	// Connections is the number of clients at once. One more is accepted and closed at once.
	Connections int
	// MessageBytes bounds one call and one answer; a plan of that size can be submitted.
	MessageBytes int
	// HeavyBytes is the size from which a call is heavy, and HeavyCalls how many of those are read at once; others wait
	// for their turn. It is what bounds the memory that calls take.
	HeavyBytes, HeavyCalls int
	// Elements bounds one list or map of a call.
	Elements int
	// Idle is how long a connection may stay without a call.
	Idle time.Duration
	// Receive is how long a call may take to arrive after its first byte, and Send an answer to be taken; both grow by a
	// second for every RateBytes.
	Receive, Send time.Duration
	// RateBytes is the slowest pace of large calls and answers, in bytes per second.
	RateBytes int
	// Handle is how long a call may run. It is longer than MaxWait.
	Handle time.Duration
	// Leaderless is how long a call waits while no master leads, or none answers. Reports of stages wait as long as Handle
	// allows: a program may die of an error.
	Leaderless time.Duration
}

// MaxWait is the longest wait of a long poll (watch, readLog).
const MaxWait = time.Minute

// DefaultLimits are the limits where the configuration says nothing.
var DefaultLimits = Limits{
	Connections:  10_000,
	MessageBytes: 64 << 20,
	HeavyBytes:   256 << 10,
	HeavyCalls:   8,
	Elements:     100_000,
	Idle:         5 * time.Minute,
	Receive:      30 * time.Second,
	Send:         30 * time.Second,
	RateBytes:    256 << 10,
	Handle:       MaxWait + 15*time.Second,
	Leaderless:   15 * time.Second,
}

// WithDefaults is a copy in which zero fields have their defaults.
func (l Limits) WithDefaults() Limits {
	d := DefaultLimits
	for _, f := range []struct {
		value    *int
		standard int
	}{
		{&l.Connections, d.Connections},
		{&l.MessageBytes, d.MessageBytes},
		{&l.HeavyBytes, d.HeavyBytes},
		{&l.HeavyCalls, d.HeavyCalls},
		{&l.Elements, d.Elements},
		{&l.RateBytes, d.RateBytes},
	} {
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	for _, f := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&l.Idle, d.Idle},
		{&l.Receive, d.Receive},
		{&l.Send, d.Send},
		{&l.Handle, d.Handle},
		{&l.Leaderless, d.Leaderless},
	} {
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	return l
}

// Validate reports the first limit that makes no sense.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"connections", l.Connections, math.MaxInt32},
		{"message size", l.MessageBytes, 1 << 30},
		{"size of a heavy call", l.HeavyBytes, 1 << 30},
		{"number of heavy calls", l.HeavyCalls, math.MaxInt32},
		{"elements of a list", l.Elements, math.MaxInt32},
		{"pace", l.RateBytes, math.MaxInt32},
		{"idle time", int(l.Idle), math.MaxInt},
		{"time to receive", int(l.Receive), math.MaxInt},
		{"time to send", int(l.Send), math.MaxInt},
		{"time to handle", int(l.Handle), math.MaxInt},
		{"time to wait for a leader", int(l.Leaderless), math.MaxInt},
	} {
		if f.value <= 0 || f.value > f.most {
			return fmt.Errorf("limit of %s is out of range: %d", f.name, f.value)
		}
	}
	return nil
}

// allowance is how long size bytes may take beyond the time that any message has.
func (l *Limits) allowance(size int) time.Duration {
	return time.Duration(size/l.RateBytes) * time.Second
}
