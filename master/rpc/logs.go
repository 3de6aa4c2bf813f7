package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

const (
	// logBytes is how much of a log an answer holds unless the caller says, and maxLogBytes the most.
	logBytes    = 64 << 10
	maxLogBytes = 4 << 20
)

// positioned is a log reader that knows where in the log it began, which only the executor knows of a read from the end.
type positioned interface {
	// Offset is the offset of the first byte that is read.
	Offset() int64
}

// ReadLog reads a part of the log of an attempt.
func (s *Service) ReadLog(ctx context.Context, r *master.LogRequest) (*master.LogChunk, error) {
	if r == nil || r.StageId == "" {
		return nil, missing("request.stageId")
	}
	limit, err := within("limit", int(r.GetLimit()), logBytes, maxLogBytes)
	if err != nil {
		return nil, err
	}
	o, err := logOptions(r, limit)
	if err != nil {
		return nil, err
	}
	asked := int32(-1)
	if r.Attempt != nil {
		asked = max(*r.Attempt, -1)
	}
	// Whether more can come is asked before reading, so that what is written in between is not missed.
	v, err := s.engine.Stage(ctx, r.StageId)
	if err != nil {
		return nil, err
	}
	ended := func(attempt int32) bool {
		return attempt < v.Attempt || !v.Live && !v.Kept && (v.Launched != 0 || v.Status.Terminal())
	}
	chunk, err := s.readLog(ctx, r.StageId, asked, o)
	switch {
	case errors.Is(err, executors.ErrNoLogs) && v.Kind == dag.KindStage && !ended(max(asked, v.Attempt)):
		// Not launched yet: there may be more.
		chunk = &master.LogChunk{Data: []byte{}, NextOffset: max(o.Offset, 0), Attempt: max(asked, v.Attempt)}
	case err != nil:
		return nil, err
	}
	chunk.Done = ended(chunk.Attempt) && len(chunk.Data) < limit
	if len(chunk.Data) > 0 || chunk.Done || r.GetWaitMillis() <= 0 {
		return chunk, nil
	}
	return s.followLog(ctx, r, asked, o, chunk)
}

func logOptions(r *master.LogRequest, limit int) (executors.LogOptions, error) {
	o := executors.LogOptions{Offset: r.GetOffset(), Limit: int64(limit), TailLines: int(r.GetTailLines())}
	if o.TailLines < 0 {
		return o, &argumentError{field: "tailLines", message: "must not be negative"}
	}
	if since := r.GetSince(); since > 0 {
		o.Since = time.UnixMilli(since)
	}
	switch r.GetStream() {
	case "":
	case "stdout":
		o.Stdout = true
	case "stderr":
		o.Stderr = true
	default:
		return o, &argumentError{field: "stream", message: "unknown stream " + quoted(r.GetStream()), hint: "stdout, stderr, or nothing for both"}
	}
	return o, nil
}

// readLog reads what there is.
func (s *Service) readLog(ctx context.Context, stageID string, attempt int32, o executors.LogOptions) (*master.LogChunk, error) {
	log, attempt, err := s.engine.Logs(ctx, stageID, attempt, o)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	begin := max(o.Offset, 0)
	if p, ok := log.(positioned); ok {
		begin = p.Offset()
	}
	data, err := io.ReadAll(io.LimitReader(log, o.Limit))
	if err != nil {
		return nil, err
	}
	return &master.LogChunk{Data: data, NextOffset: begin + int64(len(data)), Attempt: attempt}, nil
}

// followLog waits for more of the log. chunk is the answer if nothing comes.
func (s *Service) followLog(ctx context.Context, r *master.LogRequest, asked int32, o executors.LogOptions, chunk *master.LogChunk) (*master.LogChunk, error) {
	ctx, cancel := context.WithTimeout(ctx, wait(r.GetWaitMillis()))
	defer cancel()
	o.Offset, o.TailLines, o.Follow = chunk.NextOffset, 0, true
	log, attempt, err := s.awaitLog(ctx, r.StageId, asked, o)
	if err != nil {
		if ctx.Err() != nil {
			return chunk, nil
		}
		return nil, err
	}
	// Closing ends a Read that waits.
	closed := context.AfterFunc(ctx, func() { _ = log.Close() })
	defer func() {
		if closed() {
			_ = log.Close()
		}
	}()
	buf := make([]byte, min(o.Limit, logBytes))
	n, err := log.Read(buf)
	chunk.Data, chunk.Attempt = buf[:n], attempt
	chunk.NextOffset += int64(n)
	if ctx.Err() != nil {
		return chunk, nil
	}
	chunk.Done = errors.Is(err, io.EOF)
	if err != nil && !chunk.Done {
		return nil, err
	}
	return chunk, nil
}

// logPoll is how often a stage is looked at that has no log yet.
const logPoll = 200 * time.Millisecond

// awaitLog opens a log, and waits until there is one.
func (s *Service) awaitLog(ctx context.Context, stageID string, asked int32, o executors.LogOptions) (io.ReadCloser, int32, error) {
	for {
		log, attempt, err := s.engine.Logs(ctx, stageID, asked, o)
		if !errors.Is(err, executors.ErrNoLogs) {
			return log, attempt, err
		}
		select {
		case <-time.After(logPoll):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}
