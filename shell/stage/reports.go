package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
)

// callTimeout bounds one try of a report: a master that was stopped in its tracks still accepts connections.
const callTimeout = 20 * time.Second

// The pauses between two tries of a report.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// reports talks to the master about one attempt.
type reports struct {
	to *client.Reporter
}

// post is one report.
type post func(context.Context) (*master.ReportAnswer, error)

// errNoMaster says that nothing in the environment names a master or a stage.
var errNoMaster = errors.New("this is no stage of a master: " + executors.EnvMaster + " and " + executors.EnvStage + " are not set")

// newReports finds attempt and master in the environment.
func newReports(p *Process) (*reports, error) {
	address, stage := p.getenv(executors.EnvMaster), p.getenv(executors.EnvStage)
	if address == "" || stage == "" {
		return nil, errNoMaster
	}
	ref := master.AttemptRef{StageId: stage}
	if text := p.getenv(executors.EnvAttempt); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s is %q, and should be the number of an attempt", executors.EnvAttempt, text)
		}
		ref.Attempt = new(int32(n))
	}
	if token := p.getenv(executors.EnvToken); token != "" {
		ref.Token = &token
	}
	// Repeating is done here, by other rules than a person's commands have: a master that is not there yet is waited for too.
	c := client.Config{Address: address, Source: executors.EnvMaster, CallTimeout: callTimeout, Patience: 1, MaxMessage: 1 << 20}
	return &reports{to: client.NewReporter(c, ref)}, nil
}

// once tries a report.
func (r *reports) once(ctx context.Context, what post) (*master.ReportAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := what(ctx)
	r.to.Rest()
	if err == nil && answer == nil {
		err = errors.New("the master's answer is empty")
	}
	return answer, err
}

// persist tries a report until it is answered, or refused for good, or ctx is done. The error is that of the last try.
func (r *reports) persist(ctx context.Context, what post) (*master.ReportAnswer, error) {
	pause := firstPause
	var last error
	for {
		answer, err := r.once(ctx, what)
		if err == nil || final(err) {
			return answer, err
		}
		if ctx.Err() == nil || last == nil {
			last = err // what came of being interrupted says nothing
		}
		wait := pause/2 + rand.N(pause) // thousands may wait for the same master
		if e, ok := errors.AsType[*base.ClicError](err); ok {
			wait = max(wait, min(time.Duration(e.GetRetryAfterMillis())*time.Millisecond, longestPause))
		}
		select {
		case <-ctx.Done():
			return nil, last
		case <-time.After(wait):
		}
		pause = min(2*pause, longestPause)
	}
}

// final tells an answer that repeating does not change from a master that is not there, or cannot serve now.
func final(err error) bool {
	if e, ok := errors.AsType[*base.ClicError](err); ok {
		switch e.Code {
		case base.ErrorCode_UNKNOWN, base.ErrorCode_UNAVAILABLE, base.ErrorCode_NOT_READY, base.ErrorCode_INTERNAL:
			return false
		}
		return true
	}
	app, ok := errors.AsType[thrift.TApplicationException](err)
	return ok && app.TypeId() == thrift.UNKNOWN_METHOD // a master of the old kind
}

// live posts the start (unless the program does that itself) and then heartbeats, until ctx is done or the master does not
// want to hear of the attempt. stop is called when the master wants the program stopped. The error is what kept the start or
// all later reports from the master.
func (r *reports) live(ctx context.Context, o *Options, stop func()) (err error) {
	defer func() {
		// Whatever is wrong with the reports, the program goes on.
		if p := recover(); p != nil {
			err = fmt.Errorf("reporting failed: %v", p)
		}
	}()
	note := func(answer *master.ReportAnswer) {
		if answer.CancelRequested {
			stop()
		}
	}
	if !o.Callbacks {
		answer, err := r.persist(ctx, func(ctx context.Context) (*master.ReportAnswer, error) { return r.to.Started(ctx, nil) })
		if err != nil {
			return err
		}
		note(answer)
	}
	if o.Heartbeat <= 0 {
		return nil
	}
	beat := time.NewTicker(time.Duration(o.Heartbeat))
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
		switch answer, err := r.once(ctx, r.to.Heartbeat); {
		case err == nil:
			note(answer)
		case final(err):
			return err
		}
	}
}

// completed posts the end of the program's work with its outputs.
func (r *reports) completed(ctx context.Context, out *outputs) (*master.ReportAnswer, error) {
	var o *master.StageOutputs
	if out != nil {
		o = &master.StageOutputs{Result_: out.Result, Parameters: out.Parameters}
	}
	return r.persist(ctx, func(ctx context.Context) (*master.ReportAnswer, error) { return r.to.Completed(ctx, o) })
}
