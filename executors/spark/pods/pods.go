// Package pods reads and deletes the pods of Spark applications in a Kubernetes cluster. It implements spark.Pods; what it says of a
// pod is a pure function of the pod.
package pods

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kubeapi"
	"github.com/clic-orchestrator/clic/executors/spark"
)

// Cluster is a Kubernetes cluster. It implements spark.Pods.
type Cluster struct{ client *kubeapi.Client }

var _ spark.Pods = (*Cluster)(nil)

// New makes access to a cluster, which kubeconfig and context say as in kubeapi.Access. It does not talk to the cluster yet.
func New(kubeconfig, context string) (*Cluster, error) {
	r, err := kubeapi.Access(kubeconfig, context)
	if err != nil {
		return nil, err
	}
	r.UserAgent, r.QPS = "clic", -1
	client, err := kubeapi.New(r)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the cluster: %w", err)
	}
	return &Cluster{client}, nil
}

// Close closes connections that are not in use.
func (c *Cluster) Close() { c.client.Close() }

// List gives the pods that a selector finds. See spark.Pods.
func (c *Cluster) List(ctx context.Context, namespace, selector string) ([]spark.Pod, error) {
	all, err := c.client.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("cannot list pods: %w", err)
	}
	pods := make([]spark.Pod, 0, len(all.Items))
	for i := range all.Items {
		pods = append(pods, view(&all.Items[i]))
	}
	return pods, nil
}

// watchTime is how long one watch lasts at most, in seconds; everything is listed again after that.
const watchTime = 10 * 60

// Watch reports pods and their changes. See spark.Pods.
func (c *Cluster) Watch(ctx context.Context, namespace, selector string, each func(p spark.Pod, gone bool)) error {
	o := metav1.ListOptions{LabelSelector: selector}
	all, err := c.client.Pods(namespace).List(ctx, o)
	if err != nil {
		return fmt.Errorf("cannot list pods: %w", err)
	}
	for i := range all.Items {
		each(view(&all.Items[i]), false)
	}
	limit := int64(watchTime)
	o.ResourceVersion, o.TimeoutSeconds = all.ResourceVersion, &limit
	w, err := c.client.Pods(namespace).Watch(ctx, o)
	if err != nil {
		return fmt.Errorf("cannot watch pods: %w", err)
	}
	defer w.Stop()
	for ev := range w.ResultChan() {
		switch pod, ok := ev.Object.(*corev1.Pod); {
		case ok:
			each(view(pod), ev.Type == watch.Deleted)
		case ev.Type == watch.Error:
			return fmt.Errorf("cannot watch pods: %w", apierrors.FromObject(ev.Object))
		}
	}
	return ctx.Err()
}

// Proxy reads from a server in a pod. See spark.Pods.
func (c *Cluster) Proxy(ctx context.Context, namespace, pod string, port int, path string) ([]byte, error) {
	body, err := c.client.PodProxy(namespace, pod, port, path).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask pod %s/%s: %w", namespace, pod, err)
	}
	defer func() { _ = body.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of pod %s/%s: %w", namespace, pod, err)
	}
	return b, nil
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// Delete deletes a pod. See spark.Pods.
func (c *Cluster) Delete(ctx context.Context, namespace, pod string, grace time.Duration) error {
	seconds := int64((grace + time.Second - 1) / time.Second)
	err := c.client.Pods(namespace).Delete(ctx, pod, metav1.DeleteOptions{GracePeriodSeconds: &seconds})
	switch {
	case apierrors.IsNotFound(err):
		return spark.ErrNoPod
	case err != nil:
		return fmt.Errorf("cannot delete pod %s/%s: %w", namespace, pod, err)
	}
	return nil
}

// Log reads a pod's log. See spark.Pods.
func (c *Cluster) Log(ctx context.Context, namespace, pod string, o executors.LogOptions) (io.ReadCloser, error) {
	lo := &corev1.PodLogOptions{Follow: o.Follow}
	if o.TailLines > 0 {
		n := int64(o.TailLines)
		lo.TailLines = &n
	}
	if !o.Since.IsZero() {
		since := metav1.NewTime(o.Since)
		lo.SinceTime = &since
	}
	log, err := c.client.PodLog(namespace, pod, lo).Stream(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, spark.ErrNoPod
	case apierrors.IsBadRequest(err): // its container has not been started yet
		return nil, executors.ErrNoLogs
	case err != nil:
		return nil, fmt.Errorf("cannot read the log of pod %s/%s: %w", namespace, pod, err)
	}
	return log, nil
}
