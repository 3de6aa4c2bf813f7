package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// Who answers may change while calls are under way. A call is tried with whoever leads until it is answered; when the master that
// had it is gone, it is tried again with the next one, as far as repeating it does no harm.

const (
	// firstPause is the pause between two tries with the same leader, doubled up to longestPause. News of another one end it.
	firstPause, longestPause = 20 * time.Millisecond, 500 * time.Millisecond
	// maxLost is how often a call is sent again to a leader whose connection breaks every time.
	maxLost = 3
	// parting is how long a replaced leader may take to answer a call that must not be carried out twice. It answers what it has
	// begun before it gives up the lead.
	parting = 2 * time.Second
)

// again is why a call is to be tried again, and what its answer is if that cannot be done.
type again struct {
	err  error
	last reply
	// sent is set where the call has reached a leader and the connection broke.
	sent bool
}

// attend answers a call.
func (s *Server) attend(ctx context.Context, q *request) reply {
	var deadline time.Time
	pause, lost := firstPause, 0
	for first := true; ; first = false {
		t, begun := s.turn.Load(), time.Now()
		answer, retry := s.try(ctx, t, q)
		if retry == nil {
			if q.uncertain {
				answer = settled(q, answer)
			}
			return answer
		}
		if now := time.Now(); first || now.Sub(begun) > longestPause {
			// A try that took its time was with a leader.
			deadline = now.Add(s.patience(q))
		}
		if retry.sent {
			lost++
		}
		if !first {
			s.repeated.Add(1)
		}
		if lost >= maxLost || !s.await(ctx, t, pause, deadline) {
			return retry.giveUp(ctx, q)
		}
		if s.turn.Load() != t {
			pause, lost = firstPause, 0
		} else {
			pause = min(2*pause, longestPause)
		}
	}
}

// patience is how long a call waits for a leader.
func (s *Server) patience(q *request) time.Duration {
	if q.patient {
		return s.limits.Handle
	}
	return s.limits.Leaderless
}

// try answers a call in a turn, or says why it is to be tried again.
func (s *Server) try(ctx context.Context, t *turn, q *request) (reply, *again) {
	switch {
	case t.leads():
		return s.answerHere(ctx, t, q)
	case q.relayed:
		return reply{kind: thrift.EXCEPTION, body: errNotLeading}, nil
	case q.full == methodMasterInfo, q.full == "TaskService:"+methodMasterInfo:
		if answer, ok := s.describe(ctx, t, q); ok {
			return answer, nil
		}
	}
	if t.leader != "" {
		return s.relay(ctx, t, t.leader, q)
	}
	if t.last != "" && time.Since(t.since) >= s.lastResort && q.again(ctx) != never {
		if answer, ok := s.askLast(ctx, t, q); ok {
			return answer, nil
		}
	}
	return reply{}, &again{err: errNobody}
}

// askLast asks the leader that was known last, if it is there.
func (s *Server) askLast(ctx context.Context, t *turn, q *request) (answer reply, ok bool) {
	if !q.waits && !q.patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.limits.Leaderless)
		defer cancel()
	}
	answer, retry := s.relay(ctx, t, t.last, q)
	return answer, retry == nil
}

var errNobody = errors.New("no master leads at the moment")

// answerHere runs a call in this master.
func (s *Server) answerHere(ctx context.Context, t *turn, q *request) (reply, *again) {
	if err := q.decode(ctx, t, s.conf); err != nil {
		return exception(err), nil
	}
	body, err := q.method.run(ctx, q.args)
	var declared *declaredError
	answer := result(body)
	cause := err
	if errors.As(err, &declared) {
		cause = declared.cause
	} else if err != nil {
		answer = exception(err)
	}
	if !errors.Is(cause, engine.ErrStopping) && !errors.Is(cause, store.ErrFenced) || q.again(ctx) == never {
		return answer, nil
	}
	if q.relayed {
		return reply{kind: thrift.EXCEPTION, body: errLostLead}, nil
	}
	q.uncertain = true
	return reply{}, &again{err: cause, last: answer}
}

// relay asks the leader at the address.
func (s *Server) relay(ctx context.Context, t *turn, leader string, q *request) (reply, *again) {
	if err := q.encode(ctx); err != nil {
		return exception(err), nil
	}
	repetition := q.again(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer leaving(t, repetition, cancel)()

	l, err := s.links.take(ctx, leader, repetition == never)
	if err != nil {
		return reply{}, &again{err: fmt.Errorf("cannot reach the leading master at %s: %w", leader, err)}
	}
	answer, err := l.call(ctx, relayName(q.peer, q.full), q.raw)
	s.links.give(leader, l)
	var sent *sentError
	switch {
	case errors.Is(err, ErrTooLarge) && !errors.As(err, &sent):
		return exception(thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, err.Error())), nil
	case errors.As(err, &sent):
		q.uncertain = true
		retry := &again{err: fmt.Errorf("the connection to the leading master at %s broke: %w", leader, err), sent: true}
		if repetition == never {
			return retry.giveUp(ctx, q), nil
		}
		return reply{}, retry
	case err != nil:
		return reply{}, &again{err: fmt.Errorf("cannot reach the leading master at %s: %w", leader, err)}
	}
	switch answer.ownException() {
	case exceptionNotLeading:
		return reply{}, &again{err: fmt.Errorf("the master at %s does not lead any more", leader)}
	case exceptionLostLead:
		q.uncertain = true
		return reply{}, &again{err: fmt.Errorf("the master at %s has just lost the lead", leader)}
	}
	s.relayed.Add(1)
	return answer, nil
}

// leaving ends what is under way at a leader when it is replaced: it may be dead without anybody noticing. The function that it
// returns ends the watch.
func leaving(t *turn, repetition repetition, cancel context.CancelCauseFunc) (stop func()) {
	if repetition == same {
		end := context.AfterFunc(t.replaced, func() { cancel(errReplaced) })
		return func() { end() }
	}
	over := make(chan struct{})
	end := context.AfterFunc(t.replaced, func() {
		timer := time.NewTimer(parting)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(errReplaced)
		case <-over:
		}
	})
	return func() {
		end()
		close(over)
	}
}

// await waits for another turn, and at most for the pause where somebody leads. It is false where there is nothing to wait for any
// more.
func (s *Server) await(ctx context.Context, t *turn, pause time.Duration, deadline time.Time) bool {
	left := time.Until(deadline)
	known := t.leads() || t.leader != ""
	if known {
		left = min(left, pause)
	} else if t.last != "" {
		left = min(left, max(pause, s.lastResort-time.Since(t.since)))
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case <-t.over:
		return true
	case <-timer.C:
		return ctx.Err() == nil && time.Now().Before(deadline)
	case <-ctx.Done():
	case <-s.draining.Done():
	}
	return false
}

// giveUp is the answer to a call that nobody could answer.
func (a *again) giveUp(ctx context.Context, q *request) reply {
	if a.last.body != nil {
		return a.last
	}
	text := a.err.Error()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(a.err, cause) {
		text += ": " + cause.Error()
	}
	return q.refusal(&unavailableError{text: text, uncertain: q.uncertain && q.again(ctx) != same})
}

// settled marks the answer to a call that may have been carried out before.
func settled(q *request, answer reply) reply {
	if q.traits.again != harmless || q.style != byClicError || answer.kind != thrift.REPLY {
		return answer
	}
	r, ok := answer.body.(raw)
	if !ok {
		var err error
		if r, err = encoded(context.Background(), answer.body); err != nil {
			return answer
		}
	}
	if e, is := thrownIn(r); is && refusedAgain(e.Code) {
		doubt(e)
		return result(thrown{e})
	}
	return answer
}

// thrownIn is the error in the result of a newer method, if there is one.
func thrownIn(r raw) (e *base.ClicError, is bool) {
	e = &base.ClicError{}
	failed := readThrown(r.protocol(unbounded()), e)
	return e, failed == nil
}

func readThrown(in thrift.TProtocol, e *base.ClicError) error {
	ctx := context.Background()
	if _, err := in.ReadStructBegin(ctx); err != nil {
		return err
	}
	_, kind, id, err := in.ReadFieldBegin(ctx)
	if err != nil {
		return err
	}
	if kind != thrift.STRUCT || id != 1 {
		return errBadValue
	}
	return e.Read(ctx, in)
}

// ownException is the type of an exception that masters use among themselves, 0 for any other answer.
func (r reply) ownException() int32 {
	body, ok := r.body.(raw)
	if r.kind != thrift.EXCEPTION || !ok {
		return 0
	}
	e := thrift.NewTApplicationException(0, "")
	if e.Read(context.Background(), body.protocol(unbounded())) != nil {
		return 0
	}
	switch e.TypeId() {
	case exceptionNotLeading, exceptionLostLead:
		return e.TypeId()
	}
	return 0
}
