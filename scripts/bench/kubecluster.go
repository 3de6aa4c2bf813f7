package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// simulatedNode is the label of nodes that run nothing, and the key of their taint.
const simulatedNode = "clic.test/simulated"

// parallel is how many Jobs are created at once: by the executor unless it is told otherwise, and by the bare loop.
const parallel = 32

// cluster is the one that KUBECONFIG tells of, with a namespace of this program's own.
type cluster struct {
	ctx       context.Context //nolint:containedctx // that of the program; it marks the requests as the bench's own
	api       kubernetes.Interface
	namespace string
	requests  *requests
}

// withCluster gives use a cluster. Afterwards nothing of the program's is left in it.
func (b *bench) withCluster(use func(*cluster) error) (err error) {
	if os.Getenv(clientcmd.RecommendedConfigPathEnvVar) == "" {
		return errors.New("KUBECONFIG does not say in which cluster: scripts/bench.sh brings one up")
	}
	c := &cluster{ctx: context.WithValue(b.ctx, ownRequest{}, true), requests: countRequests()}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return fmt.Errorf("cannot tell which cluster: %w", err)
	}
	config.QPS, config.UserAgent = -1, "clic-bench"
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	if c.api, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("cannot make a client of the cluster: %w", err)
	}
	ns, err := c.api.CoreV1().Namespaces().Create(c.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "clic-bench-"}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot make a namespace: %w", err)
	}
	c.namespace = ns.Name
	defer func() {
		// Also when the program is to end: what runs in it would run on.
		c.ctx = context.WithoutCancel(c.ctx)
		err = errors.Join(err, c.clear(), c.api.CoreV1().Namespaces().Delete(c.ctx, c.namespace, metav1.DeleteOptions{}))
	}()
	// Pods are refused before their namespace has its service account.
	if err := c.until("the service account of the namespace", func() (bool, error) {
		_, err := c.api.CoreV1().ServiceAccounts(c.namespace).Get(c.ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	}); err != nil {
		return err
	}
	return use(c)
}

// simulated makes sure that there are nodes that only simulate pods, and says how many.
func (c *cluster) simulated() (int, error) {
	nodes, err := c.api.CoreV1().Nodes().List(c.ctx, metav1.ListOptions{LabelSelector: simulatedNode + "=true"})
	if err != nil {
		return 0, fmt.Errorf("cannot list the nodes: %w", err)
	}
	if len(nodes.Items) == 0 {
		return 0, errors.New("the cluster has no simulated nodes: scripts/cluster.sh up --simulated 4")
	}
	return len(nodes.Items), nil
}

// patience is how long the cluster may make no progress at all.
const patience = 5 * time.Minute

// until asks until the answer is yes.
func (c *cluster) until(what string, yes func() (bool, error)) error {
	end := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := yes()
		switch {
		case err != nil:
			return fmt.Errorf("cannot wait for %s: %w", what, err)
		case ok:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%s: not within %v", what, patience)
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}

// clear deletes all Jobs and pods, so that the next measurement finds the cluster as this one did. A server that is busy gives up on
// deletions of thousands, and has got further each time.
func (c *cluster) clear() error {
	jobs, pods := c.api.BatchV1().Jobs(c.namespace), c.api.CoreV1().Pods(c.namespace)
	now := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground), GracePeriodSeconds: new(int64(0))}
	some := metav1.ListOptions{Limit: 1}
	var last error
	err := c.until("the deletion of the Jobs", func() (bool, error) {
		j, err := jobs.List(c.ctx, some)
		if err != nil {
			last = err
			return false, c.ctx.Err()
		}
		if len(j.Items) > 0 {
			last = jobs.DeleteCollection(c.ctx, now, metav1.ListOptions{})
			return false, c.ctx.Err()
		}
		p, err := pods.List(c.ctx, some)
		if err == nil && len(p.Items) > 0 {
			err = pods.DeleteCollection(c.ctx, now, metav1.ListOptions{})
		}
		last = err
		return err == nil && len(p.Items) == 0, c.ctx.Err()
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// sample gives one of the Jobs that there are, as it was before the cluster added to it, and as one of nobody's.
func (c *cluster) sample() (*batchv1.Job, error) {
	all, err := c.api.BatchV1().Jobs(c.namespace).List(c.ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("cannot list Jobs: %w", err)
	}
	if len(all.Items) == 0 {
		return nil, errors.New("there is no Job to make others like it")
	}
	job := &all.Items[0]
	own := func(labels map[string]string) map[string]string {
		maps.DeleteFunc(labels, func(name, _ string) bool {
			return strings.HasPrefix(name, "batch.kubernetes.io/") || name == "controller-uid" || name == "job-name"
		})
		if _, ok := labels[instanceLabel]; ok {
			labels[instanceLabel] = "nobody"
		}
		return labels
	}
	like := &batchv1.Job{Spec: job.Spec, ObjectMeta: metav1.ObjectMeta{Labels: own(job.Labels), Annotations: job.Annotations}}
	like.Spec.Selector = nil
	like.Spec.Template.Labels = own(like.Spec.Template.Labels)
	return like, nil
}

// percentile gives the value below which p of 100 are.
func percentile[T cmp.Ordered](values []T, p int) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
