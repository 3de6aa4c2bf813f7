package kube

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// attempt is what the executor knows of an attempt that it watches, beside what is in the view.
type attempt struct {
	id, key         string
	namespace, name string
	// turn is held by whoever writes to the attempt's Job.
	turn chan struct{}

	// What follows is guarded by Executor.mu.

	// uid is that of its Job, as far as there was one.
	uid types.UID
	// known is set once there is or was a Job, or there is none for sure. Before that, nothing is said of it.
	known bool
	// launching counts the launches under way. waits is what they wait for, and since when.
	launching int
	waits     string
	// cancelled: it was asked to stop. stop is closed then.
	cancelled bool
	stop      chan struct{}
	// doomed is why it has to end: it is being deleted, and failed so once it is gone.
	doomed *dag.Failure
	// troubled is since when it is known that its pod cannot start.
	troubled time.Time
	// gone is the last that was seen of its latest pod.
	gone *corev1.Pod
	// said is the last report, and again that it is to be repeated even if nothing is new.
	said  executors.Sighting
	again bool
	// archived is set once its log was kept.
	archived bool
}

// attempt gives what is known of an attempt, which is watched from now on. The lock is held.
func (e *Executor) attempt(id, namespace, name string) *attempt {
	key := keyOf(namespace, name)
	at := e.attempts[key]
	if at == nil {
		at = &attempt{
			id: id, key: key, namespace: namespace, name: name,
			turn: make(chan struct{}, 1), stop: make(chan struct{}),
		}
		if job := e.view.job(key); job != nil && job.Annotations[annotationAttempt] == id {
			at.uid, at.known = job.UID, true
		}
		e.attempts[key] = at
	}
	return at
}

// underWay is how many attempts are watched.
func (e *Executor) underWay() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.attempts)
}

// place is where an attempt's Job is, or would be. options may be nil.
func (e *Executor) place(id string, options map[string]string) (namespace, name string) {
	name = jobName(id)
	if key, ok := e.view.find(id); ok {
		if job := e.view.job(key); job != nil {
			return job.Namespace, job.Name
		}
	}
	if ns, err := e.cfg.namespaceOf(executors.Attempt{Options: options}); err == nil && options != nil {
		return ns, name
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ns := range e.cfg.namespaces() {
		if at := e.attempts[keyOf(ns, name)]; at != nil && at.id == id {
			return ns, name
		}
	}
	return e.cfg.Namespace, name
}

// take waits for the attempt's turn.
func (e *Executor) take(ctx context.Context, at *attempt) error {
	select {
	case at.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.ctx.Done():
		return executors.ErrClosed
	}
}

func (at *attempt) release() { <-at.turn }

// look is an observation of an attempt. The lock is held.
func (e *Executor) look(at *attempt) observation {
	job, pods, events := e.view.look(at.key, at.uid)
	if job != nil && job.Annotations[annotationAttempt] != at.id {
		job, pods = nil, nil
	}
	if job != nil {
		if at.uid != job.UID {
			at.uid, at.gone = job.UID, nil
		}
		at.known = true
	}
	return observation{
		Job: job, Pods: pods, Gone: at.gone, Events: events, Now: time.Now(), StartTimeout: e.cfg.StartTimeout, Troubled: at.troubled,
	}
}
