package spark

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

// Launch submits the application, unless there is a driver of the attempt already. See executors.Executor.
func (d *drivers) Launch(ctx context.Context, a executors.Attempt) error {
	plain, app, err := d.cfg.translate(a)
	if errors.Is(err, errProgram) {
		return d.base.Launch(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("attempt %q %w", a.ID, err)
	}
	if a.Spec.CaptureResult || len(a.Spec.OutputFiles) > 0 {
		return fmt.Errorf("attempt %q %w", a.ID, never("template %q: outputs cannot be taken from a driver that Spark makes; write them to storage, "+
			"or have applications run in mode native", a.Spec.Template))
	}
	d.mu.Lock()
	stale := a.Epoch < d.epoch
	d.mu.Unlock()
	if stale {
		return fmt.Errorf("cannot launch attempt %q: %w", a.ID, executors.ErrStale)
	}
	pod, err := d.find(ctx, a)
	if err != nil {
		return fmt.Errorf("cannot launch attempt %q: %w", a.ID, err)
	}
	d.mu.Lock()
	dr := d.all[a.ID]
	fresh := dr == nil
	if fresh {
		dr = &driver{attempt: a, run: &run{attempt: a, app: app}}
		d.all[a.ID] = dr
	}
	dr.said = "" // who launches is to hear of it
	if pod != nil {
		dr.pod, dr.gone = pod, false
	}
	d.mu.Unlock()
	if pod != nil && !pod.Taken {
		d.queue(a.ID)
		return nil
	}
	// Where the driver is about to go, whoever submitted it knows why.
	if err := d.base.Launch(ctx, plain); err != nil {
		d.mu.Lock()
		if fresh && d.all[a.ID] == dr {
			delete(d.all, a.ID)
		}
		d.mu.Unlock()
		return err
	}
	d.queue(a.ID)
	return nil
}

// Cancel stops whoever submits, and the driver. See executors.Executor.
func (d *drivers) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	if grace <= 0 {
		grace = d.cfg.Grace
	}
	d.mu.Lock()
	dr := d.all[attemptID]
	if dr == nil { // it may exist all the same: the base says what it knows, and the cluster is asked
		a := executors.Attempt{ID: attemptID}
		dr = &driver{attempt: a, run: &run{attempt: a}}
		d.all[attemptID] = dr
	}
	dr.cancelled, dr.grace = true, grace
	d.mu.Unlock()
	if err := d.base.Cancel(ctx, attemptID, grace); err != nil {
		return err
	}
	d.queue(attemptID)
	return nil
}

// Recover adopts attempts, and deletes drivers that nobody asks for. See executors.Executor.
func (d *drivers) Recover(ctx context.Context, epoch uint64, attempts []executors.Attempt) error {
	wanted := map[string]bool{}
	plain := make([]executors.Attempt, 0, len(attempts))
	d.mu.Lock()
	if epoch < d.epoch {
		d.mu.Unlock()
		return fmt.Errorf("cannot recover attempts: %w", executors.ErrStale)
	}
	d.epoch = epoch
	d.mu.Unlock()
	for _, a := range attempts {
		wanted[a.ID] = true
		p, app, err := d.cfg.translate(a)
		if errors.Is(err, errProgram) {
			plain = append(plain, a)
			continue
		}
		if err != nil {
			p, app = a, nil
		}
		plain = append(plain, p)
		d.mu.Lock()
		if d.all[a.ID] == nil {
			d.all[a.ID] = &driver{attempt: a, run: &run{attempt: a, app: app}}
		}
		d.mu.Unlock()
	}
	if err := d.base.Recover(ctx, epoch, plain); err != nil {
		return err
	}
	for id := range wanted {
		d.queue(id)
	}
	for _, namespace := range d.cfg.namespaces() {
		if err := d.deleteOrphans(ctx, namespace, epoch, wanted); err != nil {
			return fmt.Errorf("cannot recover attempts: %w", err)
		}
	}
	return nil
}

// deleteOrphans deletes the drivers in a namespace that nobody wants.
func (d *drivers) deleteOrphans(ctx context.Context, namespace string, epoch uint64, wanted map[string]bool) error {
	pods, err := d.pods.List(ctx, namespace, labelInstance+"="+d.cfg.Instance)
	if err != nil {
		return err
	}
	for i := range pods {
		p := &pods[i]
		if wanted[p.Annotations[annotationAttempt]] || p.End != nil || p.Deleting || epochOf(p) > epoch {
			continue
		}
		if err := d.pods.Delete(ctx, p.Namespace, p.Name, d.cfg.Grace); err != nil && !errors.Is(err, ErrNoPod) {
			d.cfg.Logger.Warn("cannot delete a driver that nobody asked for", "pod", p.Name, "error", err)
		}
	}
	return nil
}

func epochOf(p *Pod) uint64 {
	var n uint64
	_, _ = fmt.Sscan(p.Annotations[annotationEpoch], &n)
	return n
}

// Forget deletes drivers that have ended, and their logs. See executors.Executor.
func (d *drivers) Forget(ctx context.Context, attemptIDs []string) error {
	var errs []error
	for _, id := range attemptIDs {
		pod, err := d.find(ctx, executors.Attempt{ID: id})
		switch {
		case err != nil:
			errs = append(errs, err)
		case pod != nil && pod.End != nil:
			if err := d.pods.Delete(ctx, pod.Namespace, pod.Name, 0); err != nil && !errors.Is(err, ErrNoPod) {
				errs = append(errs, err)
			}
		}
		if d.cfg.Archive != nil {
			errs = append(errs, d.cfg.Archive.Remove(driverName(id)))
		}
	}
	return errors.Join(append(errs, d.base.Forget(ctx, attemptIDs))...)
}
