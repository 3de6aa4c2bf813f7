package spark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

// Archive keeps logs of drivers that have ended. All methods may be called from several goroutines.
type Archive interface {
	// Put takes a log, to its end. A name that has a log already keeps one of the two.
	Put(ctx context.Context, name string, log io.Reader) error
	// Stat is when the log of a name was written. fs.ErrNotExist where there is none.
	Stat(ctx context.Context, name string) (time.Time, error)
	// Open reads the log of a name from an offset in bytes. fs.ErrNotExist where there is none.
	Open(ctx context.Context, name string, from int64) (io.ReadCloser, error)
	// Remove removes the log of a name. One that does not exist is no error.
	Remove(name string) error
}

// Logs are the driver's, from its pod or, when that is gone, from the archive, and those of whoever submits where there is neither. See
// executors.Executor.
func (d *drivers) Logs(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error) {
	d.mu.Lock()
	a := executors.Attempt{ID: attemptID}
	if dr := d.all[attemptID]; dr != nil {
		a = dr.attempt
	}
	d.mu.Unlock()
	pod, err := d.find(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of attempt %q: %w", attemptID, err)
	}
	if pod != nil {
		log, err := d.pods.Log(ctx, pod.Namespace, pod.Name, o)
		if err == nil {
			return part(log, o)
		}
		if !errors.Is(err, ErrNoPod) {
			return nil, err
		}
	}
	log, err := d.archived(ctx, attemptID, o)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return log, err
	case pod != nil:
		return nil, executors.ErrNoLogs
	}
	return d.base.Logs(ctx, attemptID, o)
}

// archived is the log of a driver that was kept; fs.ErrNotExist where none was.
func (d *drivers) archived(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error) {
	if d.cfg.Archive == nil {
		return nil, fs.ErrNotExist
	}
	name := driverName(attemptID)
	if !o.Since.IsZero() {
		// It does not say when its lines were written.
		if written, err := d.cfg.Archive.Stat(ctx, name); err != nil {
			return nil, err
		} else if written.Before(o.Since) {
			return io.NopCloser(strings.NewReader("")), nil
		}
	}
	log, err := d.cfg.Archive.Open(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	if o.TailLines > 0 {
		if log, err = tail(log, o.TailLines); err != nil {
			return nil, err
		}
	}
	return part(log, o)
}

// How often it is tried to keep a log, and how long between two tries.
const (
	keepTries = 5
	keepAgain = 3 * time.Second
)

// keep has the log of a driver kept, once: one that has ended, or with follow one that is about to be stopped, whose pod may be gone as
// soon as it has ended.
func (d *drivers) keep(id string, dr *driver, pod *Pod, follow bool) {
	d.mu.Lock()
	first := d.cfg.Archive != nil && !dr.kept && (pod.Running || pod.End != nil)
	dr.kept = dr.kept || first
	d.mu.Unlock()
	if !first {
		return
	}
	d.spawn(func() {
		var err error
		for range keepTries {
			if err = d.keepNow(id, pod, follow); err == nil || !sleep(d.ctx, keepAgain) {
				return
			}
		}
		d.cfg.Logger.Warn("cannot keep the log of a driver", "attempt", id, "pod", pod.Name, "error", err)
	})
}

func (d *drivers) keepNow(id string, pod *Pod, follow bool) error {
	log, err := d.pods.Log(d.ctx, pod.Namespace, pod.Name, executors.LogOptions{Follow: follow})
	if errors.Is(err, ErrNoPod) || errors.Is(err, executors.ErrNoLogs) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // only read from
	return d.cfg.Archive.Put(d.ctx, driverName(id), log)
}
