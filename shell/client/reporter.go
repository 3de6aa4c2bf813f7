package client

import (
	"context"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// Reporter reports about an attempt of a stage to a master: the newer calls of the SchedulerService, which a stage's own
// program may use. Every report can be repeated: the second one changes nothing, and is answered with Accepted false where
// there was nothing left to change. Errors are those of a Client.
type Reporter struct {
	client  *Client
	attempt *master.AttemptRef
}

// NewReporter makes a reporter for an attempt. No connection is made before the first report.
func NewReporter(config Config, attempt master.AttemptRef) *Reporter {
	c := New(config)
	c.service = schedulerService
	return &Reporter{client: c, attempt: &attempt}
}

// Close closes the kept connections; see Client.Close.
func (r *Reporter) Close() error { return r.client.Close() }

// Rest closes the kept connections until the next report: thousands of stages that each report now and then should not
// each keep a connection to the master.
func (r *Reporter) Rest() {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	r.client.dropIdle()
}

// calls gives a generated client for one call; see Client.calls.
func (r *Reporter) calls() *master.SchedulerServiceClient {
	return master.NewSchedulerServiceClient(r.client)
}

// Started says that the program has begun; info describes it for people.
func (r *Reporter) Started(ctx context.Context, info map[string]string) (*master.ReportAnswer, error) {
	return r.calls().ReportStarted(ctx, r.attempt, info)
}

// Prepared says that the program's output can be read, so that dependents may start.
func (r *Reporter) Prepared(ctx context.Context) (*master.ReportAnswer, error) {
	return r.calls().ReportPrepared(ctx, r.attempt)
}

// Completed says that the program's work is done.
func (r *Reporter) Completed(ctx context.Context, outputs *master.StageOutputs) (*master.ReportAnswer, error) {
	return r.calls().ReportCompleted(ctx, r.attempt, outputs)
}

// Failed says that the program's work failed. The master then stops what still runs of the attempt.
func (r *Reporter) Failed(ctx context.Context, reason string, exitCode int32) (*master.ReportAnswer, error) {
	return r.calls().ReportFailed(ctx, r.attempt, reason, exitCode)
}

// Heartbeat says that the program is alive, and asks whether it should stop.
func (r *Reporter) Heartbeat(ctx context.Context) (*master.ReportAnswer, error) {
	return r.calls().Heartbeat(ctx, r.attempt)
}

// Progress says how far the program is; the units are its own.
func (r *Reporter) Progress(ctx context.Context, done, total int64, message string) (*master.ReportAnswer, error) {
	return r.calls().ReportProgress(ctx, r.attempt, done, total, message)
}
