package spark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/clic-orchestrator/clic/executors"
)

// driverLog reads the log of a standalone driver from the worker that runs it. Its two streams are separate files there: the error
// output comes first.
func (r *remote) driverLog(ctx context.Context, id, driver string, o executors.LogOptions) (io.ReadCloser, error) {
	worker, err := r.workerOf(ctx, driver)
	if err != nil {
		return nil, err
	}
	streams := []string{"stderr", "stdout"}
	switch {
	case o.Stdout && !o.Stderr:
		streams = streams[1:]
	case o.Stderr && !o.Stdout:
		streams = streams[:1]
	}
	pr, pw := io.Pipe()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, executors.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.ctx, cancel)
	r.work.Go(func() {
		defer stop()
		defer cancel()
		pw.CloseWithError(r.copyLog(ctx, pw, id, worker, driver, streams, o.Follow))
	})
	r.mu.Unlock()
	var log io.ReadCloser = &cancelling{pr, cancel}
	if o.TailLines > 0 {
		if log, err = tail(log, o.TailLines); err != nil {
			return nil, err
		}
	}
	return part(log, o)
}

// cancelling ends who writes when nobody reads any more.
type cancelling struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c *cancelling) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

func (r *remote) workerOf(ctx context.Context, driver string) (string, error) {
	if r.cfg.MasterUI == "" {
		return "", executors.ErrNoLogs
	}
	drivers, workers, err := r.master.state(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot find the log of %s: %w", driver, err)
	}
	for _, d := range drivers {
		if d.ID != driver {
			continue
		}
		for _, w := range workers {
			if w.ID == d.Worker {
				return w.Page, nil
			}
		}
	}
	return "", executors.ErrNoLogs
}

// copyLog copies streams, one after the other, or with follow what is new of each until the driver has ended.
func (r *remote) copyLog(ctx context.Context, to io.Writer, id, worker, driver string, streams []string, follow bool) error {
	at := make([]int64, len(streams))
	for {
		r.mu.Lock()
		_, runs := r.live[id]
		r.mu.Unlock()
		for i, stream := range streams {
			for {
				b, total, err := r.master.chunk(ctx, worker, driver, stream, at[i])
				if err != nil {
					return err
				}
				at[i] += int64(len(b))
				if _, err := to.Write(b); err != nil {
					return err
				}
				if len(b) == 0 || at[i] >= total {
					break
				}
			}
		}
		if !follow || !runs {
			return nil
		}
		if !sleep(ctx, r.cfg.Poll) {
			return ctx.Err()
		}
	}
}

// tail keeps the last lines of a log.
func tail(log io.ReadCloser, lines int) (io.ReadCloser, error) {
	end := newRing(maxRing)
	_, err := io.Copy(end, log)
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, fmt.Errorf("cannot read the log: %w", err)
	}
	b, err := io.ReadAll(end.reader())
	if err != nil {
		return nil, err
	}
	from := len(b)
	for n := 0; from > 0 && n <= lines; n++ {
		if from = bytes.LastIndexByte(b[:from], '\n'); from < 0 {
			from = 0
			break
		}
		if n == lines {
			from++
		}
	}
	return io.NopCloser(bytes.NewReader(b[from:])), nil
}
