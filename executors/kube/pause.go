package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotationPaused marks Jobs that were suspended by Pause, with the time, and no others: somebody else may suspend Jobs as well, a
// queue for instance, and then it is not for us to let them go on.
const annotationPaused = "clic/paused"

// Pause suspends the attempt's Job, by which the cluster takes its pods away and keeps the Job. See executors.Pauser.
func (e *Executor) Pause(ctx context.Context, attemptID string, grace time.Duration) error {
	if err := e.alive(); err != nil {
		return err
	}
	if err := e.pauseAttempt(ctx, attemptID, grace); err != nil {
		return fmt.Errorf("cannot pause attempt %q: %w", attemptID, err)
	}
	return nil
}

func (e *Executor) pauseAttempt(ctx context.Context, id string, grace time.Duration) error {
	return e.stopAttempt(ctx, id, func(*attempt) {}, func(at *attempt, job *batchv1.Job) error {
		if job == nil {
			e.mu.Lock()
			if at.uid == "" { // there never was one, or not for long: it is stopped
				at.cancelled = true
			}
			e.mu.Unlock()
			return nil
		}
		if !(suspended(job) && job.Annotations[annotationPaused] != "") {
			err := e.suspend(ctx, at, true)
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return e.hurry(ctx, at, job, grace)
	})
}

// resume lets a Job go on that Pause has suspended.
func (e *Executor) resume(ctx context.Context, at *attempt, job *batchv1.Job) error {
	if job.Annotations[annotationPaused] == "" {
		return nil
	}
	if err := e.suspend(ctx, at, false); err != nil {
		return fmt.Errorf("cannot let it go on: %w", err)
	}
	return nil
}

// suspend writes Job.spec.suspend. A request to suspend names the version of the Job that it was decided on, so that one which arrives
// late does not suspend what was told to go on meanwhile; the request to go on changes that version.
func (e *Executor) suspend(ctx context.Context, at *attempt, yes bool) error {
	api := e.client.Jobs(at.namespace)
	for n := 0; ; n++ {
		var after *batchv1.Job
		err := e.insist(ctx, func(ctx context.Context) error {
			before, err := api.Get(ctx, at.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if before.UID != at.uid {
				return apierrors.NewNotFound(batchv1.Resource("jobs"), at.name)
			}
			if suspended(before) == yes && (before.Annotations[annotationPaused] != "") == yes || finished(before) {
				after = before
				return nil
			}
			patch, err := suspendPatch(before, yes)
			if err != nil {
				return err
			}
			after, err = api.Patch(ctx, at.name, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
		if err == nil {
			e.view.putJob(after)
			return nil
		}
		if !apierrors.IsConflict(err) {
			return err
		}
		if !e.sleep(ctx, pauseAfter(nil, n)) {
			return e.stopped(ctx)
		}
	}
}

func suspendPatch(job *batchv1.Job, yes bool) ([]byte, error) {
	var mark any // null removes it
	if yes {
		mark = time.Now().UTC().Format(time.RFC3339)
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{
			"uid": job.UID, "resourceVersion": job.ResourceVersion, "annotations": map[string]any{annotationPaused: mark},
		},
		"spec": map[string]any{"suspend": yes},
	})
}
