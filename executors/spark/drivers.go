package spark

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// drivers is the executor of mode cluster: the base's pod only submits, and the driver is a pod that Spark makes. The driver decides;
// whoever submitted it may be lost, and is only listened to while there is no driver.
//
// Whatever is seen of an attempt (a sighting of the base's, a change of the driver's pod, a cancel) queues it, and a worker judges what
// is known of it then. Only the answer of the cluster itself says that there is no driver.
type drivers struct {
	*Executor

	// guarded by Executor.mu
	all   map[string]*driver
	epoch uint64
}

// driver is what is known of an attempt.
type driver struct {
	attempt executors.Attempt
	// pod is the last that was seen of the driver; nil before. gone: it is no more.
	pod  *Pod
	gone bool
	// unsure: nobody has watched it for a while.
	unsure bool
	// base is the last sighting of the base's that still counts.
	base *executors.Sighting
	// cancelled: it is to be stopped, with so much grace.
	cancelled bool
	grace     time.Duration
	// busy: a worker judges it; again: it is to be judged once more. wakes is when that will happen by itself, zero for never.
	busy, again bool
	wakes       time.Time
	// stuckSince is since when it is known that the driver cannot start; submittedAt when the base's pod had ended well.
	stuckSince, submittedAt time.Time
	// kept: somebody sees to its log being kept.
	kept bool
	// said is the last that was reported, so that it is not said twice.
	said string
	// stop ends the asking for progress.
	stop context.CancelFunc
	run  *run
}

func newDrivers(e *Executor) *drivers {
	return &drivers{Executor: e, all: map[string]*driver{}}
}

// Start starts the base, and watches drivers. See executors.Executor.
func (d *drivers) Start(ctx context.Context, sink executors.Sink) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return executors.ErrClosed
	}
	d.sink = sink
	d.mu.Unlock()
	if err := d.base.Start(ctx, d.sawBase); err != nil {
		return err
	}
	for _, namespace := range d.cfg.namespaces() {
		d.spawn(func() { d.watch(namespace) })
	}
	return nil
}

// watch watches the drivers of this installation in a namespace.
func (d *drivers) watch(namespace string) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		err := d.pods.Watch(d.ctx, namespace, labelInstance+"="+d.cfg.Instance, d.sawPod)
		if d.ctx.Err() != nil {
			return
		}
		if err != nil {
			d.cfg.Logger.Warn("cannot watch drivers", "error", err)
		}
		if time.Since(began) > 10*time.Second {
			wait = 100 * time.Millisecond
		}
		d.missed(namespace)
		if !sleep(d.ctx, wait) {
			return
		}
	}
}

func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// missed finds out what happened while nobody watched. The list that the next watch begins with says what there is, and not what is
// gone: those that were there, and are not in a list, are asked for one by one.
func (d *drivers) missed(namespace string) {
	ctx, cancel := context.WithTimeout(d.ctx, listTime)
	defer cancel()
	pods, err := d.pods.List(ctx, namespace, labelInstance+"="+d.cfg.Instance)
	there := map[string]bool{}
	for i := range pods {
		there[pods[i].Annotations[annotationAttempt]] = true
	}
	var ids []string
	d.mu.Lock()
	for id, dr := range d.all {
		elsewhere := namespace != "" && dr.attempt.Spec != nil && d.cfg.namespaceOf(dr.attempt) != namespace
		if err != nil || !there[id] && !elsewhere {
			dr.unsure = true
			ids = append(ids, id)
		}
	}
	d.mu.Unlock()
	for i := range pods {
		d.sawPod(pods[i], false)
	}
	for _, id := range ids {
		d.queue(id)
	}
}

// listTime bounds a list of all drivers.
const listTime = time.Minute

func (d *drivers) sawPod(p Pod, gone bool) {
	id := p.Annotations[annotationAttempt]
	d.mu.Lock()
	dr := d.all[id]
	if dr != nil {
		dr.pod, dr.gone = &p, gone
	}
	d.mu.Unlock()
	if dr != nil {
		d.queue(id)
	}
}

func (d *drivers) sawBase(ctx context.Context, s executors.Sighting) error {
	d.mu.Lock()
	dr := d.all[s.AttemptID]
	if dr != nil {
		dr.base = &s
	}
	d.mu.Unlock()
	if dr == nil {
		return d.sink(ctx, s)
	}
	d.queue(s.AttemptID)
	return nil
}

// queue has an attempt judged, by one goroutine at a time.
func (d *drivers) queue(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dr := d.all[id]
	if dr == nil || d.closed {
		return
	}
	if dr.busy {
		dr.again = true
		return
	}
	dr.busy = true
	d.work.Go(func() { d.judge(id, dr) })
}

// judge reports what an attempt's state is, until nothing new is known.
func (d *drivers) judge(id string, dr *driver) {
	for {
		after := d.judgeOnce(id, dr)
		d.mu.Lock()
		if !dr.again || d.all[id] != dr {
			dr.busy = false
			gone := d.all[id] != dr
			d.mu.Unlock()
			if after > 0 && !gone {
				d.wake(id, dr, after)
			}
			return
		}
		dr.again = false
		d.mu.Unlock()
	}
}

// wake has an attempt judged again after a while, unless that is about to happen sooner.
func (d *drivers) wake(id string, dr *driver, after time.Duration) {
	at := time.Now().Add(after)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || !dr.wakes.IsZero() && !at.Before(dr.wakes) {
		return
	}
	dr.wakes = at
	d.work.Go(func() {
		if !sleep(d.ctx, after) {
			return
		}
		d.mu.Lock()
		if dr.wakes.Equal(at) {
			dr.wakes = time.Time{}
		}
		d.mu.Unlock()
		d.queue(id)
	})
}

// retryAfter is when a question is repeated that the cluster did not answer.
const retryAfter = 2 * time.Second

// judgeOnce reports what is known of an attempt, and says when to look again though nothing has changed; 0 is never.
func (d *drivers) judgeOnce(id string, dr *driver) time.Duration {
	d.mu.Lock()
	pod, gone, base, cancelled := dr.pod, dr.gone, dr.base, dr.cancelled
	ask := pod == nil || gone || cancelled || dr.unsure
	dr.unsure = false
	d.mu.Unlock()
	if ask {
		// The watch may be behind.
		there, err := d.find(d.ctx, dr.attempt)
		if err != nil {
			d.mu.Lock()
			dr.unsure = true
			d.mu.Unlock()
			return retryAfter
		}
		switch {
		case there != nil:
			pod, gone = there, false
			d.mu.Lock()
			dr.pod, dr.gone = pod, false
			d.mu.Unlock()
		case pod != nil:
			gone = true
		}
	}
	if cancelled {
		return d.judgeCancelled(id, dr, pod, gone, base)
	}
	if pod != nil && (pod.Taken || gone && pod.End == nil) {
		return d.judgeTaken(id, dr, pod, base)
	}
	if pod != nil {
		if halfMade(pod, base) {
			half := *pod
			half.Stuck, half.Waiting = true, "spark-submit was ended, and may not have made all that the driver needs"
			pod = &half
		}
		return d.judgePod(id, dr, pod, gone)
	}
	return d.judgeBase(id, dr, base)
}

// halfMade reports whether a driver may wait for what nobody will make: spark-submit makes its pod first, and then what that needs.
func halfMade(pod *Pod, base *executors.Sighting) bool {
	return pod.Node != "" && !pod.Running && pod.End == nil && pod.Waiting == "" && base != nil && base.Phase == dag.AttemptFailed
}

// find asks the cluster for the driver of an attempt; nil if there is none. Of an attempt of which nothing but the id is known, the
// namespace is not known either.
func (d *drivers) find(ctx context.Context, a executors.Attempt) (*Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	namespaces := []string{d.cfg.namespaceOf(a)}
	if a.Spec == nil {
		namespaces = d.cfg.namespaces()
	}
	for _, namespace := range namespaces {
		pods, err := d.pods.List(ctx, namespace, labelAttempt+"="+digest(a.ID, 32))
		if err != nil {
			return nil, err
		}
		for i := range pods {
			if pods[i].Annotations[annotationAttempt] == a.ID {
				return &pods[i], nil
			}
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

func (d *drivers) judgePod(id string, dr *driver, pod *Pod, gone bool) time.Duration {
	s := pod.sight(gone, time.Now())
	var again time.Duration
	switch s.Phase {
	case dag.AttemptPending:
		if pod.Stuck {
			again = d.stuck(dr, pod, &s)
		}
	case dag.AttemptRunning:
		d.mu.Lock()
		s.Info = dr.run.about(s.Info, pod.Labels[labelApp], &d.cfg)
		if dr.stop == nil && d.cfg.Poll > 0 && !d.closed {
			var own context.Context
			own, dr.stop = context.WithCancel(d.ctx)
			r := dr.run
			d.work.Go(func() { d.follow(own, r) })
		}
		d.mu.Unlock()
	case dag.AttemptFailed:
		s.Failure = explain(d.ctx, d.Logs, id, s.Failure, d.signs)
		fallthrough
	case dag.AttemptSucceeded, dag.AttemptStopped:
		d.mu.Lock()
		s.Info = dr.run.about(s.Info, pod.Labels[labelApp], &d.cfg)
		d.mu.Unlock()
		if !gone {
			d.keep(id, dr, pod, false)
		}
	}
	d.say(id, dr, s)
	return again
}

// judgeTaken judges an attempt whose driver was deleted: by whoever submitted it, where the submission failed half-way (spark-submit
// makes the pod before what it needs), and otherwise by somebody else.
func (d *drivers) judgeTaken(id string, dr *driver, pod *Pod, base *executors.Sighting) time.Duration {
	switch {
	case pod.End != nil && pod.End.Exit == 0:
		return d.judgePod(id, dr, pod, true)
	case base == nil, base.Phase == dag.AttemptPending, base.Phase == dag.AttemptRunning:
		return retryAfter
	case base.Phase == dag.AttemptFailed && (base.Failure == nil || base.Failure.Kind != dag.FailLost):
		return d.judgeBase(id, dr, base)
	}
	s := pod.sight(true, time.Now())
	d.say(id, dr, s)
	return 0
}

// stuck decides on a driver whose pod cannot start: after a while it has failed.
func (d *drivers) stuck(dr *driver, pod *Pod, s *executors.Sighting) time.Duration {
	d.mu.Lock()
	if dr.stuckSince.IsZero() {
		dr.stuckSince = time.Now()
	}
	left := d.cfg.StartTimeout - time.Since(dr.stuckSince)
	d.mu.Unlock()
	if left > 0 {
		return left
	}
	s.Phase = dag.AttemptFailed
	s.Failure = dag.NewFailure(dag.FailLaunch, 0, fmt.Sprintf("the driver could not start within %v: %s", d.cfg.StartTimeout, pod.Waiting))
	ctx, cancel := context.WithTimeout(d.ctx, callTime)
	defer cancel()
	if err := d.pods.Delete(ctx, pod.Namespace, pod.Name, 0); err != nil && !errors.Is(err, ErrNoPod) {
		s.Phase = dag.AttemptPending
		return retryAfter
	}
	return 0
}

// appearance is how long a driver may take to be seen after whoever submitted it has ended well: it was made before that.
const appearance = 5 * time.Second

// judgeBase reports what is known of an attempt without a driver.
func (d *drivers) judgeBase(id string, dr *driver, base *executors.Sighting) time.Duration {
	if base == nil {
		return 0
	}
	s := *base
	switch s.Phase {
	case dag.AttemptPending:
		if s.Reason != "" {
			s.Reason = "to be submitted: " + s.Reason
		}
	case dag.AttemptRunning:
		s.Phase, s.Reason = dag.AttemptPending, "spark-submit runs, there is no driver yet"
	case dag.AttemptSucceeded:
		d.mu.Lock()
		if dr.submittedAt.IsZero() {
			dr.submittedAt = time.Now()
		}
		left := appearance - time.Since(dr.submittedAt)
		d.mu.Unlock()
		if left > 0 {
			return min(left, time.Second)
		}
		s.Phase = dag.AttemptFailed
		s.Failure = dag.NewFailure(dag.FailLost, 0, "spark-submit ended well, and there is no driver: somebody else deleted it")
	case dag.AttemptFailed:
		s.Failure = explain(d.ctx, d.base.Logs, id, s.Failure, d.signs)
		if s.Failure != nil {
			f := *s.Failure
			f.Message = "spark-submit: " + f.Message
			s.Failure = &f
		}
	case dag.AttemptStopped:
	}
	d.say(id, dr, s)
	return 0
}

// judgeCancelled stops a driver. That is done once neither it nor whoever might still make it is there.
func (d *drivers) judgeCancelled(id string, dr *driver, pod *Pod, gone bool, base *executors.Sighting) time.Duration {
	quiet := base != nil && (base.Phase == dag.AttemptStopped || base.Phase == dag.AttemptSucceeded || base.Phase == dag.AttemptFailed)
	switch {
	case pod != nil && !gone && pod.End != nil && !pod.Deleting:
		return d.judgePod(id, dr, pod, gone) // it was quicker
	case pod != nil && !gone:
		ctx, cancel := context.WithTimeout(d.ctx, callTime)
		defer cancel()
		if !pod.Deleting {
			d.keep(id, dr, pod, true)
			if err := d.pods.Delete(ctx, pod.Namespace, pod.Name, dr.grace); err != nil && !errors.Is(err, ErrNoPod) {
				return retryAfter
			}
		}
		return retryAfter // its end is seen by the watch
	case !quiet:
		return retryAfter
	}
	s := executors.Sighting{Phase: dag.AttemptStopped, At: time.Now()}
	if pod != nil && pod.End != nil {
		s.ExitCode, s.Info = pod.End.Exit, pod.info()
	}
	d.say(id, dr, s)
	return 0
}

// say reports something that was not said yet.
func (d *drivers) say(id string, dr *driver, s executors.Sighting) {
	s.AttemptID = id
	text := fmt.Sprint(s.Phase, s.Reason, s.Info, s.ExitCode)
	ends := s.Phase == dag.AttemptSucceeded || s.Phase == dag.AttemptFailed || s.Phase == dag.AttemptStopped
	d.mu.Lock()
	twice := dr.said == text
	dr.said = text
	stop := dr.stop
	d.mu.Unlock()
	if twice && !ends {
		return
	}
	if ends {
		dr.run.quiet(stop)
	}
	if err := d.sink(d.ctx, s); err != nil || !ends {
		return
	}
	d.mu.Lock()
	if d.all[id] == dr {
		delete(d.all, id)
	}
	d.mu.Unlock()
}
