package kube

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Cancel deletes the attempt's Job with all that belongs to it. That it is gone is what the report of the end says. See
// executors.Executor.
func (e *Executor) Cancel(ctx context.Context, attemptID string, grace time.Duration) error {
	if err := e.alive(); err != nil {
		return err
	}
	if err := e.cancelAttempt(ctx, attemptID, grace); err != nil {
		return fmt.Errorf("cannot cancel attempt %q: %w", attemptID, err)
	}
	return nil
}

func (e *Executor) cancelAttempt(ctx context.Context, id string, grace time.Duration) error {
	giveUp := func(at *attempt) {
		if !at.cancelled {
			at.cancelled = true
			close(at.stop) // a launch that is under way gives up, or has been carried out when it is our turn
		}
	}
	return e.stopAttempt(ctx, id, giveUp, func(at *attempt, job *batchv1.Job) error {
		if job == nil {
			return nil
		}
		if e.cfg.ArchiveLogs {
			e.archiveNow(at)
		}
		if err := e.hurry(ctx, at, job, grace); err != nil {
			return err
		}
		return e.deleteJob(ctx, at.namespace, at.name, job.UID, metav1.DeletePropagationForeground)
	})
}

// stopAttempt has an attempt stopped: stop does it once it is its turn, with the Job, nil where there is nothing to stop. note is called
// before, with the executor locked. What came of it is reported.
func (e *Executor) stopAttempt(ctx context.Context, id string, note func(at *attempt), stop func(at *attempt, job *batchv1.Job) error) error {
	namespace, name := e.place(id, nil)
	e.mu.Lock()
	at := e.attempt(id, namespace, name)
	if at.id != id { // another attempt has the name, so there is nothing of this one
		e.mu.Unlock()
		return e.sayStopped(ctx, id)
	}
	at.again = true
	note(at)
	e.mu.Unlock()
	if err := e.take(ctx, at); err != nil {
		return err
	}
	defer at.release()
	defer e.news.Add(at.key)
	return stop(at, e.toDelete(at))
}

// toDelete is the Job of an attempt that is to be stopped, nil where there is nothing to stop.
func (e *Executor) toDelete(at *attempt) *batchv1.Job {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.look(at)
	at.known = true
	if o.Job == nil {
		return nil
	}
	if s, known, _ := sight(o); known && ends(s.Phase) && !s.Kept && o.over() && o.byItself() {
		return nil
	}
	return o.Job
}

// hurry tells pods of a grace period that is not the one that they were made with. They have to be told before their Job goes, which
// would give them their own. The cluster takes a shorter period again, and no longer one.
func (e *Executor) hurry(ctx context.Context, at *attempt, job *batchv1.Job, grace time.Duration) error {
	own := job.Spec.Template.Spec.TerminationGracePeriodSeconds
	seconds := max(1, wholeSeconds(grace)) // 0 would take them off the books before they have ended
	if grace <= 0 || own != nil && *own == seconds {
		return nil
	}
	_, pods, _ := e.view.look(at.key, job.UID)
	for _, pod := range pods {
		if ended(pod) {
			continue
		}
		uid := pod.UID
		err := e.insist(ctx, func(ctx context.Context) error {
			return e.client.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
				GracePeriodSeconds: &seconds, Preconditions: &metav1.Preconditions{UID: &uid},
			})
		})
		if err != nil && !goneAlready(err) {
			return fmt.Errorf("cannot delete pod %s: %w", pod.Name, err)
		}
	}
	return nil
}

// deleteJob deletes a Job, if it is still the one with that UID.
func (e *Executor) deleteJob(ctx context.Context, namespace, name string, uid types.UID, how metav1.DeletionPropagation) error {
	err := e.insist(ctx, func(ctx context.Context) error {
		return e.client.Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{
			PropagationPolicy: &how, Preconditions: &metav1.Preconditions{UID: &uid},
		})
	})
	if err != nil && !goneAlready(err) {
		return fmt.Errorf("cannot delete Job %s: %w", name, err)
	}
	return nil
}

// goneAlready reports whether an object was not there to be deleted: none, or another of the same name.
func goneAlready(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }
