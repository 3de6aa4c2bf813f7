package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// observed is when the last of the Jobs was created, and when the last pod ended, as a watch saw it.
type observed struct{ created, ended time.Time }

// observe watches until n Jobs were created and n pods have succeeded, and tells of every end (ended may be nil). It watches when it
// returns; wait gives what it saw.
func (c *cluster) observe(n int, ended func(*corev1.Pod)) (wait func(context.Context) (observed, error), stop func(), err error) {
	ctx, cancel := context.WithCancel(c.ctx)
	var seen observed
	var work sync.WaitGroup
	progress := make(chan struct{}, 1)
	var counts [2]atomic.Int64
	follow := func(i int, at *time.Time, start func(context.Context) (*follower, error)) error {
		f, err := start(ctx)
		if err != nil {
			return err
		}
		work.Go(func() {
			for counts[i].Load() < int64(n) && f.next() {
				if pod, ok := f.object.(*corev1.Pod); ok && ended != nil {
					ended(pod)
				}
				if counts[i].Add(1) == int64(n) {
					*at = time.Now()
				}
				select {
				case progress <- struct{}{}:
				default:
				}
			}
			f.stop()
		})
		return nil
	}
	stop = func() { cancel(); work.Wait() }
	err = follow(0, &seen.created, c.newJobs)
	if err == nil {
		err = follow(1, &seen.ended, c.newEnds)
	}
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("cannot watch the cluster: %w", err)
	}
	wait = func(ctx context.Context) (observed, error) {
		for counts[0].Load()+counts[1].Load() < 2*int64(n) {
			select {
			case <-progress:
			case <-time.After(patience):
				return seen, fmt.Errorf("no progress for %v: %d Jobs were created and %d pods have succeeded of %d", patience, counts[0].Load(), counts[1].Load(), n)
			case <-ctx.Done():
				return seen, context.Cause(ctx)
			}
		}
		work.Wait()
		return seen, nil
	}
	return wait, stop, nil
}

// bare creates n Jobs like the one given and waits for their ends, and does nothing else. Parallel loops create them: all as fast as
// they can or, with a width, as a DAG of so many chains has it, each when a watch has shown the end of the one before it.
func (c *cluster) bare(like *batchv1.Job, n, width int) (r lap, err error) {
	before := ownCPU()
	r.load = load()
	next := make(chan int, n) // numbers of Jobs that may be created
	if width == 0 {
		width = n
	}
	wait, stop, err := c.observe(n, func(pod *corev1.Pod) {
		var k int
		if _, err := fmt.Sscanf(pod.Labels[batchv1.JobNameLabel], "bare-%d", &k); err == nil && k+width < n {
			next <- k + width
		}
	})
	if err != nil {
		return r, err
	}
	defer stop()
	ctx, cancel := context.WithCancelCause(c.ctx)
	began := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	for range parallel {
		wg.Go(func() {
			if err := c.createBare(ctx, like, next); err != nil {
				cancel(err)
			}
		})
	}
	for k := range min(width, n) {
		next <- k
	}
	seen, err := wait(ctx)
	r.created, r.ended, r.cpu = seen.created.Sub(began), seen.ended.Sub(began), ownCPU()-before
	return r, err
}

// createBare creates Jobs by their numbers until ctx is done.
func (c *cluster) createBare(ctx context.Context, like *batchv1.Job, numbers <-chan int) error {
	for {
		select {
		case k := <-numbers:
			job := like.DeepCopy()
			job.Name = fmt.Sprintf("bare-%d", k)
			if _, err := c.api.BatchV1().Jobs(c.namespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("cannot create a Job: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// ownCPU is the processor time that this program has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
