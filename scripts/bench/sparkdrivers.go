package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// driver is when a watch has shown what of a driver's pod.
type driver struct {
	created, running, ended time.Time
	phase                   corev1.PodPhase
}

// drivers watches the pods of Spark's drivers, whoever makes them.
type drivers struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	seen map[string]*driver
	news chan struct{}
}

// watchDrivers watches the drivers that are made from now on. stop ends that.
func (c *cluster) watchDrivers() (*drivers, error) {
	api := c.api.CoreV1().Pods(c.namespace)
	ctx, cancel := context.WithCancel(c.ctx)
	now, err := api.List(ctx, metav1.ListOptions{Limit: 1})
	var f *follower
	if err == nil {
		f, err = follow(ctx, now.ResourceVersion, func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = "spark-role=driver"
			return api.Watch(ctx, o)
		})
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("cannot watch the drivers: %w", err)
	}
	d := &drivers{cancel: cancel, done: make(chan struct{}), seen: map[string]*driver{}, news: make(chan struct{})}
	go func() {
		defer close(d.done)
		for e := range f.w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok && e.Type != watch.Deleted {
				d.note(pod, time.Now())
			}
		}
	}()
	return d, nil
}

func (d *drivers) stop() {
	d.cancel()
	<-d.done
}

func (d *drivers) note(pod *corev1.Pod, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.seen[pod.Name]
	if x == nil {
		x = &driver{created: now}
		d.seen[pod.Name] = x
	}
	x.phase = pod.Status.Phase
	switch x.phase {
	case corev1.PodSucceeded, corev1.PodFailed:
		if x.ended.IsZero() {
			x.ended = now
		}
		fallthrough // a busy node may tell of a pod only when it has ended
	case corev1.PodRunning:
		if x.running.IsZero() {
			x.running = now
		}
	}
	close(d.news)
	d.news = make(chan struct{})
}

// last waits until something was true of n drivers, and gives when it was of the last of them.
func (d *drivers) last(ctx context.Context, n int, what string, of func(*driver) time.Time) (time.Time, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		d.mu.Lock()
		var count int
		var last time.Time
		for name, x := range d.seen {
			if x.phase == corev1.PodFailed {
				d.mu.Unlock()
				return last, fmt.Errorf("the driver %s has failed", name)
			}
			if at := of(x); !at.IsZero() {
				count++
				if at.After(last) {
					last = at
				}
			}
		}
		news := d.news
		d.mu.Unlock()
		if count >= n {
			return last, nil
		}
		select {
		case <-news:
		case <-limit.C:
			return last, fmt.Errorf("%d of %d drivers are %s after %v", count, n, what, patience)
		case <-ctx.Done():
			return last, context.Cause(ctx)
		}
	}
}

func driverCreated(x *driver) time.Time { return x.created }
func driverRunning(x *driver) time.Time { return x.running }
func driverEnded(x *driver) time.Time   { return x.ended }
