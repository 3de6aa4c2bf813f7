//go:build cluster

package clustertest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The images of the pods.
const (
	shellImage = "clic.test/shell:1"
	stageImage = "clic.test/stage:1"
)

// patience is how long the tests wait for what must happen soon.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a namespace of the cluster, for one test.
type world struct {
	testing.TB
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
}

var clusterConfig = sync.OnceValues(func() (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	c.QPS = -1
	return c, nil
})

// newWorld makes a namespace, which goes with the test.
func newWorld(t testing.TB) *world {
	t.Helper()
	config, err := clusterConfig()
	if err != nil {
		t.Fatalf("cannot reach the cluster (scripts/cluster-test.sh runs these tests inside one): %v", err)
	}
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfigAndClient(config, connections)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "master-test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("cannot make a namespace: %v", err)
	}
	w := &world{TB: t, config: config, client: client, namespace: ns.Name}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(connections.Transport) })
	t.Cleanup(w.remove)
	// Without these the first pods are refused or cannot be mounted, and tried again after a while only.
	w.eventually("what every pod of the namespace needs", func() bool {
		_, err := client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		_, err2 := client.CoreV1().ConfigMaps(ns.Name).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		return errors.Join(err, err2) == nil
	})
	return w
}

func (w *world) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := int64(0)
	gone := metav1.DeletePropagationBackground
	err := w.client.BatchV1().Jobs(w.namespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &gone}, metav1.ListOptions{})
	if err != nil {
		w.Error(err)
	}
	if err := w.client.CoreV1().Pods(w.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}); err != nil {
		w.Error(err)
	}
	if err := w.client.CoreV1().Namespaces().Delete(ctx, w.namespace, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		w.Error(err)
	}
}

// address is that of this machine as pods reach it: the one from which the API server is reached.
func (w *world) address() string {
	w.Helper()
	server, err := url.Parse(w.config.Host)
	if err != nil {
		w.Fatal(err)
	}
	c, err := net.Dial("tcp", server.Host)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.TCPAddr).IP.String()
}

// eventually waits for a condition.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			w.Fatalf("waited for %s in vain", what)
		}
	}
}

// left lists the Jobs and pods that have not ended.
func (w *world) left() (left []string) {
	w.Helper()
	jobs, err := w.client.BatchV1().Jobs(w.namespace).List(w.Context(), metav1.ListOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	for i := range jobs.Items {
		if j := &jobs.Items[i]; j.Status.Active > 0 || len(j.Status.Conditions) == 0 {
			left = append(left, "Job "+j.Name)
		}
	}
	pods, err := w.client.CoreV1().Pods(w.namespace).List(w.Context(), metav1.ListOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			left = append(left, "pod "+p.Name+" "+string(p.Status.Phase))
		}
	}
	return left
}

// lines joins what a failure shows.
func lines(all []string) string { return strings.Join(all, "\n") }
