package executors

import (
	"context"
	"io"
	"time"
)

// Op names a method of Executor, for Faults.
type Op string

// The operations that Faults are asked about.
const (
	OpLaunch  Op = "launch"
	OpCancel  Op = "cancel"
	OpPause   Op = "pause"
	OpRecover Op = "recover"
	OpLogs    Op = "logs"
	OpForget  Op = "forget"
)

// Faults say what goes wrong between a caller and an executor. Nil functions let everything pass. They may be called from
// several goroutines, and may block.
type Faults struct {
	// Before is asked before a call is passed on; its error is the answer, and the executor never hears of the call.
	Before func(op Op, attemptID string) error
	// After is asked once the executor has acted; its error replaces the answer, as when an answer is lost.
	After func(op Op, attemptID string) error
	// Sighting says what arrives in place of a sighting: nothing (lost), the same twice, something late.
	Sighting func(s Sighting) []Sighting
}

// Faulty is an executor that fails as f says, and otherwise is e: a Pauser if e is one. It is for tests of what uses executors. Calls
// that name no single attempt (recover, forget) are asked about with an empty id.
func Faulty(e Executor, f Faults) Executor {
	x := &faulty{next: e, faults: f}
	if p, ok := e.(Pauser); ok {
		return &faultyPauser{faulty: x, next: p}
	}
	return x
}

// faultyPauser is a faulty executor that can pause attempts.
type faultyPauser struct {
	*faulty
	next Pauser
}

func (f *faultyPauser) Pause(ctx context.Context, attemptID string, grace time.Duration) error {
	return f.do(OpPause, attemptID, func() error { return f.next.Pause(ctx, attemptID, grace) })
}

type faulty struct {
	next   Executor
	faults Faults
}

func (f *faulty) do(op Op, id string, call func() error) error {
	if f.faults.Before != nil {
		if err := f.faults.Before(op, id); err != nil {
			return err
		}
	}
	err := call()
	if f.faults.After != nil {
		if lost := f.faults.After(op, id); lost != nil {
			return lost
		}
	}
	return err
}

func (f *faulty) Start(ctx context.Context, sink Sink) error {
	if f.faults.Sighting == nil {
		return f.next.Start(ctx, sink)
	}
	return f.next.Start(ctx, func(ctx context.Context, s Sighting) error {
		for _, seen := range f.faults.Sighting(s) {
			if err := sink(ctx, seen); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *faulty) Launch(ctx context.Context, a Attempt) error {
	return f.do(OpLaunch, a.ID, func() error { return f.next.Launch(ctx, a) })
}

func (f *faulty) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	return f.do(OpCancel, attemptID, func() error { return f.next.Cancel(ctx, attemptID, grace) })
}

func (f *faulty) Recover(ctx context.Context, epoch uint64, attempts []Attempt) error {
	return f.do(OpRecover, "", func() error { return f.next.Recover(ctx, epoch, attempts) })
}

func (f *faulty) Logs(ctx context.Context, attemptID string, o LogOptions) (io.ReadCloser, error) {
	var log io.ReadCloser
	err := f.do(OpLogs, attemptID, func() (err error) {
		log, err = f.next.Logs(ctx, attemptID, o)
		return err
	})
	if err != nil && log != nil {
		_ = log.Close()
		log = nil
	}
	return log, err
}

func (f *faulty) Forget(ctx context.Context, attemptIDs []string) error {
	return f.do(OpForget, "", func() error { return f.next.Forget(ctx, attemptIDs) })
}

func (f *faulty) Stop(ctx context.Context) error { return f.next.Stop(ctx) }
