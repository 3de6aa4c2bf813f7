package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// Recover adopts attempts. See executors.Executor.
func (e *Executor) Recover(ctx context.Context, epoch uint64, attempts []executors.Attempt) error {
	if err := e.alive(); err != nil {
		return err
	}
	if err := e.enter(ctx, epoch); err != nil {
		return fmt.Errorf("cannot recover attempts: %w", err)
	}
	wanted := make(map[string]bool, len(attempts))
	for _, a := range attempts {
		namespace, name := e.place(a.ID, a.Options)
		wanted[keyOf(namespace, name)] = true
		e.mu.Lock()
		at := e.attempt(a.ID, namespace, name)
		at.known, at.again = true, true
		e.mu.Unlock()
	}
	// After the epoch is known to all: what appears from now on that nobody asked for has an older one.
	orphans := map[string]string{}
	e.view.each(func(key string, job *batchv1.Job) {
		if !wanted[key] && !finished(job) && epochOf(job) <= epoch {
			orphans[key] = string(job.UID)
		}
	})
	e.mu.Lock()
	e.own = max(e.own, epoch)
	for key := range wanted {
		e.spared[key] = true
	}
	for key, uid := range orphans {
		if e.attempts[key] == nil {
			e.orphans[key], e.lingering[key] = uid, time.Now().Add(e.cfg.Grace)
		}
	}
	e.mu.Unlock()
	for key := range wanted {
		e.news.Add(key)
	}
	for key := range orphans {
		e.news.Add(key)
	}
	return nil
}

// sayStopped reports that there is nothing of an attempt.
func (e *Executor) sayStopped(ctx context.Context, id string) error {
	return e.sink(ctx, executors.Sighting{
		AttemptID: id, Phase: dag.AttemptStopped, At: time.Now(), Info: "nothing was running",
	})
}

// Forget deletes the Jobs of attempts that have ended, and what was kept of their logs. See executors.Executor.
func (e *Executor) Forget(ctx context.Context, attemptIDs []string) error {
	if err := e.alive(); err != nil {
		return err
	}
	var (
		mu   sync.Mutex
		errs []error
		wg   sync.WaitGroup
		next = make(chan string)
	)
	for range min(e.cfg.Parallel, len(attemptIDs)) {
		wg.Go(func() {
			for id := range next {
				if err := e.forget(ctx, id); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, id := range attemptIDs {
		next <- id
	}
	close(next)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot forget attempts: %w", err)
	}
	return nil
}

func (e *Executor) forget(ctx context.Context, id string) error {
	if key, ok := e.view.find(id); ok {
		job, pods, events := e.view.look(key, "")
		if job == nil {
			return nil
		}
		o := observation{Job: job, Pods: pods, Events: events, Now: time.Now()}
		if s, known, _ := sight(o); !known || !ends(s.Phase) || s.Kept {
			return nil // it runs
		}
		if err := e.deleteJob(ctx, job.Namespace, job.Name, job.UID, metav1.DeletePropagationBackground); err != nil {
			return err
		}
		e.view.dropJob(job)
	}
	namespace, name := e.place(id, nil)
	e.mu.Lock()
	at := e.attempts[keyOf(namespace, name)]
	busy := at != nil && at.id == id && (at.launching > 0 || at.known && at.uid != "" && !at.cancelled)
	e.mu.Unlock()
	if busy {
		return nil // about to run, or its end was not reported yet
	}
	if e.logs == nil {
		return nil
	}
	return e.logs.Remove(archiveName(id))
}
