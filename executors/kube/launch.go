package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clic-orchestrator/clic/executors"
)

// Launch creates the attempt's Job. It waits for as long as the API server does not answer or says that it has too much to do, and for
// Config.StartTimeout where it refuses the Job (a quota, say). See executors.Executor.
func (e *Executor) Launch(ctx context.Context, a executors.Attempt) error {
	if err := e.alive(); err != nil {
		return err
	}
	if err := e.launch(ctx, a); err != nil {
		if errors.Is(err, executors.ErrNever) {
			return fmt.Errorf("attempt %q %w", a.ID, err)
		}
		return fmt.Errorf("cannot launch attempt %q: %w", a.ID, err)
	}
	return nil
}

func (e *Executor) launch(ctx context.Context, a executors.Attempt) error {
	if a.ID == "" || a.Spec == nil {
		return fmt.Errorf("%w: it has no id or no description", executors.ErrNever)
	}
	job, err := buildJob(&e.cfg, a)
	if err != nil {
		return err
	}
	if err := e.enter(ctx, a.Epoch); err != nil {
		return err
	}
	e.mu.Lock()
	at := e.attempt(a.ID, job.Namespace, job.Name)
	at.launching++
	e.mu.Unlock()
	defer e.launched(at)
	if at.id != a.ID {
		return fmt.Errorf("%w: its Job would have the name of that of attempt %q", executors.ErrNever, at.id)
	}
	if err := e.take(ctx, at); err != nil {
		return err
	}
	defer at.release()
	there := e.view.job(at.key)
	if there == nil || e.discarded(there) {
		there, err = e.create(ctx, at, job, a.Epoch)
	}
	if err != nil || there == nil {
		return err
	}
	if err := e.adopt(ctx, at, there); err != nil {
		return err
	}
	e.mu.Lock()
	at.again = true
	e.mu.Unlock()
	return nil
}

// launched notes that a launch is over. What there is of the attempt is reported, and if there is nothing it is not watched.
func (e *Executor) launched(at *attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at.launching--
	if at.launching == 0 {
		at.waits = ""
		if !at.known && !at.cancelled && e.attempts[at.key] == at {
			delete(e.attempts, at.key)
		}
	}
	e.news.Add(at.key)
}

// errStopped: the attempt was to be stopped before it was launched.
var errStopped = errors.New("it was stopped before it was created")

// create creates the Job, and gives it back if it existed already. Nil, nil is never returned.
func (e *Executor) create(ctx context.Context, at *attempt, job *batchv1.Job, epoch uint64) (*batchv1.Job, error) {
	began := time.Now()
	unknown := false // whether a request may have been carried out whose answer did not arrive
	for n := 0; ; n++ {
		if now := e.epochs.seen.Load(); epoch < now {
			return e.ifCreated(ctx, at, unknown, stale(epoch, now))
		}
		made, err := e.createOnce(ctx, at, job)
		switch f := fateOf(err); {
		case f == fateDone:
			e.made(at, made)
			return nil, nil //nolint:nilnil // there is nothing to adopt
		case errors.Is(err, errStopped):
			return e.ifCreated(ctx, at, unknown, err)
		case apierrors.IsAlreadyExists(err):
			there, err := e.existing(ctx, at)
			if err != nil || there != nil {
				return there, err
			}
		case f == fateWrong:
			return e.ifCreated(ctx, at, unknown, fmt.Errorf("%w: %w", executors.ErrNever, err))
		case f == fateOther, f != fateUnavailable && time.Since(began) > e.cfg.StartTimeout:
			return e.ifCreated(ctx, at, unknown, err)
		default:
			unknown = unknown || f == fateUnknown
			e.launchWaits(at, f, err)
		}
		if err := e.beforeAgain(ctx, at, pauseAfter(err, n)); err != nil {
			return e.ifCreated(ctx, at, unknown, err)
		}
	}
}

// createOnce sends the request, once there is room.
func (e *Executor) createOnce(ctx context.Context, at *attempt, job *batchv1.Job) (*batchv1.Job, error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-at.stop:
		return nil, errStopped
	case <-ctx.Done():
		return nil, errStopped
	case <-e.ctx.Done():
		return nil, errStopped
	}
	select {
	case <-at.stop:
		return nil, errStopped
	default:
	}
	// A request that was sent is waited for whatever ctx says: it cannot be taken back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return e.post(ctx, job)
}

// post creates a Job. What it gives has only what is needed of it: the rest of the answer is what was sent.
func (e *Executor) post(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	var kind string
	answer := e.client.Batch.Post().UseProtobufAsDefault().Namespace(job.Namespace).Resource("jobs").
		Body(job).Do(ctx).ContentType(&kind)
	if err := answer.Error(); err != nil {
		return nil, err
	}
	if body, err := answer.Raw(); err == nil && strings.HasPrefix(kind, typeProtobuf) {
		if _, _, raw, err := unwrap(body); err == nil {
			if made, err := readJob(raw); err == nil {
				made.Labels = job.Labels
				return made, nil
			}
		}
	}
	made := &batchv1.Job{}
	return made, answer.Into(made)
}

// ifCreated decides where a launch has failed: if an earlier request has created the Job all the same, it has not.
func (e *Executor) ifCreated(ctx context.Context, at *attempt, unknown bool, err error) (*batchv1.Job, error) {
	if stopped := e.stopped(ctx); stopped != nil && errors.Is(err, errStopped) {
		err = stopped
	}
	if !unknown {
		return nil, err
	}
	there, problem := e.existing(context.WithoutCancel(ctx), at)
	if problem != nil {
		return nil, errors.Join(err, problem)
	}
	if there == nil {
		return nil, err
	}
	return there, nil
}

// existing reads the Job that is there. nil if there is none, or none that will stay.
func (e *Executor) existing(ctx context.Context, at *attempt) (*batchv1.Job, error) {
	var job *batchv1.Job
	err := e.insist(ctx, func(ctx context.Context) (err error) {
		job, err = e.client.Jobs(at.namespace).Get(ctx, at.name, metav1.GetOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, fmt.Errorf("cannot read Job %s: %w", at.key, err)
	case e.discarded(job):
		return nil, nil //nolint:nilnil // it is on its way out, and was never this attempt to anybody
	}
	return job, nil
}

// discarded reports whether a Job is one that nobody had asked for, and that we delete.
func (e *Executor) discarded(job *batchv1.Job) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.orphans[keyOf(job.Namespace, job.Name)] == string(job.UID)
}

// adopt takes a Job that exists for the attempt's, and lets it go on if it was paused.
func (e *Executor) adopt(ctx context.Context, at *attempt, job *batchv1.Job) error {
	if id := job.Annotations[annotationAttempt]; id != at.id {
		return fmt.Errorf("%w: there is a Job %s already, which is not this attempt's", executors.ErrNever, at.key)
	}
	e.made(at, job)
	return e.resume(ctx, at, job)
}

// made takes note of the attempt's Job.
func (e *Executor) made(at *attempt, job *batchv1.Job) {
	e.mu.Lock()
	if at.uid != job.UID {
		at.gone = nil
	}
	at.uid, at.known = job.UID, true
	e.mu.Unlock()
	if job.Labels[labelInstance] == e.cfg.Instance { // as those that are watched
		e.view.putJob(job)
	}
}

// launchWaits says what a launch waits for.
func (e *Executor) launchWaits(at *attempt, f fate, err error) {
	reason := line("the API server does not answer: " + err.Error())
	switch {
	case apierrors.IsTooManyRequests(err):
		reason = "the API server has too much to do"
	case f == fateRefused:
		reason = refusal(err.Error())
	}
	e.mu.Lock()
	at.waits = reason
	e.mu.Unlock()
	e.news.Add(at.key)
}

// beforeAgain waits before a request is repeated.
func (e *Executor) beforeAgain(ctx context.Context, at *attempt, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-at.stop:
		return errStopped
	case <-ctx.Done():
		return errStopped
	case <-e.ctx.Done():
		return errStopped
	}
}
