package chaos

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/shell/client"
)

// errand is a call that changes something, and what is known of its outcome.
type errand struct {
	verb string // as the history says it
	who  string // nobody else has this name
	root string // the stage that it is about, "" for the task
	sent bool   // it reached a master
	verdict
}

// verdict is what the caller knows of the outcome.
type verdict int

const (
	unknown verdict = iota
	done            // it was answered that it is done
	refused         // it was answered that it was not done, or never reached a master
)

// verdictOf is what an answer says. Errors that no fault explains are given back.
func verdictOf(err error) (verdict, error) {
	if err == nil {
		return done, nil
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return refused, nil
	}
	e, ok := errors.AsType[*base.ClicError](err)
	if !ok {
		return unknown, nil // a connection broke, or the time was over
	}
	switch e.Code {
	case base.ErrorCode_UNAVAILABLE:
		return unknown, nil
	case base.ErrorCode_REFUSED:
		if e.RetryAfterMillis != nil {
			return unknown, nil // it was repeated on its way, and may have been done the first time
		}
		return refused, nil
	}
	return unknown, err
}

// census counts what clients have lived through.
type census struct {
	calls, dones, refusals, unknowns atomic.Int64
	// reads are calls that may be repeated; disturbed are those of them that failed all the same.
	reads, disturbed atomic.Int64
}

func (c *census) count(v verdict) {
	c.calls.Add(1)
	switch v {
	case done:
		c.dones.Add(1)
	case refused:
		c.refusals.Add(1)
	default:
		c.unknowns.Add(1)
	}
}

// countRead counts a call that may be repeated.
func (c *census) countRead(err error) {
	c.reads.Add(1)
	if err != nil {
		c.disturbed.Add(1)
	}
}

// settle compares what callers were told with what the history says: what was done is there once, what was refused is not
// there, and nobody is there who did not call.
func settle(errands []*errand, h *history) (wrong []string) {
	bad := func(e *errand, is string) {
		wrong = append(wrong, call(e.verb, e.who)+" (about "+e.root+") "+is)
	}
	left := map[string]int{}
	for key, n := range h.calls {
		left[key] = n
	}
	for _, e := range errands {
		key := call(e.verb, e.who)
		n := left[key]
		delete(left, key)
		switch {
		case n > 1:
			bad(e, "was carried out more than once")
		case n == 0 && e.verdict == done:
			bad(e, "was acknowledged, and is not in the history")
		case n == 1 && e.verdict == refused:
			bad(e, "was refused, and is in the history")
		}
	}
	for key := range left {
		wrong = append(wrong, key+" is in the history, and nobody has called")
	}
	return wrong
}

func TestVerdicts(t *testing.T) {
	now := int64(0)
	for _, c := range []struct {
		err  error
		want verdict
		odd  bool
	}{
		{nil, done, false},
		{&client.UnreachableError{Err: errors.New("nobody there")}, refused, false},
		{&client.LostError{Err: errors.New("reset")}, unknown, false},
		{&client.TimeoutError{}, unknown, false},
		{&base.ClicError{Code: base.ErrorCode_REFUSED}, refused, false},
		{&base.ClicError{Code: base.ErrorCode_REFUSED, RetryAfterMillis: &now}, unknown, false},
		{&base.ClicError{Code: base.ErrorCode_UNAVAILABLE}, unknown, false},
		{&base.ClicError{Code: base.ErrorCode_INTERNAL}, unknown, true},
		{&base.ClicError{Code: base.ErrorCode_NOT_FOUND}, unknown, true},
	} {
		if got, odd := verdictOf(c.err); got != c.want || (odd != nil) != c.odd {
			t.Errorf("%v is %v, %v", c.err, got, odd)
		}
	}
}
