//go:build cluster

package kube_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
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

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/executortest"
	"github.com/clic-orchestrator/clic/executors/kube"
)

// These tests run in the cluster of scripts/cluster.sh: scripts/cluster-test.sh executors/kube.

const (
	shellImage = "clic.test/shell:1"
	stageImage = "clic.test/stage:1"

	// hostEnv makes the test binary the other process of the suite; its value is the configuration.
	hostEnv = "KUBE_TEST_HOST"
)

func TestMain(m *testing.M) {
	if s := os.Getenv(hostEnv); s != "" {
		if err := serve(s); err != nil {
			panic(err)
		}
		return
	}
	flag.Parse()
	status := m.Run()
	closeClient()
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

func serve(config string) error {
	var c kube.Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	e, err := kube.New(c)
	if err != nil {
		return err
	}
	return executortest.Serve(e, os.Stdin, os.Stdout)
}

// world is a namespace of the cluster, for one test.
type world struct {
	t      *testing.T
	client kubernetes.Interface
	name   string
	shared string
}

type access struct {
	kubernetes.Interface
	http *http.Client
}

var clusterClient = sync.OnceValues(func() (*access, error) {
	c, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	c.QPS = -1
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfigAndClient(c, h)
	return &access{client, h}, err
})

func closeClient() {
	if c, err := clusterClient(); err == nil {
		utilnet.CloseIdleConnectionsFor(c.http.Transport)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	client, err := clusterClient()
	if err != nil {
		t.Fatalf("cannot reach the cluster: %v", err)
	}
	w := &world{t: t, client: client}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kube-test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("cannot make a namespace: %v", err)
	}
	w.name = ns.Name
	t.Cleanup(func() {
		now := int64(0)
		_ = client.CoreV1().Pods(w.name).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
		if err := client.CoreV1().Namespaces().Delete(context.Background(), w.name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	// Without it the first pods are refused, and tried again after a while only.
	eventually(t, "the namespace's service account", func() bool {
		_, err := client.CoreV1().ServiceAccounts(w.name).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	// Where pods see it too.
	w.shared, err = os.MkdirTemp(os.Getenv("CLIC_CLUSTER_SHARED"), "kube-test-") //nolint:usetesting // t.TempDir is elsewhere
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.shared, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(w.shared) })
	return w
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func (w *world) config(helper string) kube.Config {
	return kube.Config{
		Kubeconfig: os.Getenv("KUBECONFIG"), Namespace: w.name, PVC: kube.NoClaim, StageImage: stageImage, StageHelper: helper,
		StartTimeout: 10 * time.Second, Grace: 5 * time.Second,
	}
}

func (w *world) open(t *testing.T, c kube.Config) *kube.Executor {
	t.Helper()
	c.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := kube.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// prepare gives a stage an image, and the directory that it shares with the test. With the node's process ids, the test can tell
// whether a process runs.
func (w *world) prepare(s *dag.StageSpec) {
	s.Image = shellImage
	patch := fmt.Sprintf(`{"hostPID": true,
		"volumes": [{"name": "shared", "hostPath": {"path": %q}}],
		"containers": [{"name": "main", "volumeMounts": [{"name": "shared", "mountPath": %[1]q}]}]}`, w.shared)
	template, err := json.Marshal(map[string]string{"podSpecPatch": patch})
	if err != nil {
		w.t.Fatal(err)
	}
	s.TemplateJSON = template
}

func (w *world) putSecret(t *testing.T, name, key, value string) {
	t.Helper()
	_, err := w.client.CoreV1().Secrets(w.name).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{key: []byte(value)},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func (w *world) putConfig(t *testing.T, name, key, value string) {
	t.Helper()
	_, err := w.client.CoreV1().ConfigMaps(w.name).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{key: value},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// alive looks for a process that has the number pid on the node, which may see other numbers than we do.
func alive(pid int) bool {
	status, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return false
	}
	for _, file := range status {
		if b, err := os.ReadFile(file); err == nil && hasPID(b, pid) {
			return true
		}
	}
	return false
}

// hasPID reads a process's status: whether it runs, is in the cluster's process namespace, and has that number there.
func hasPID(status []byte, pid int) bool {
	zombie, match := false, false
	for s := bufio.NewScanner(bytes.NewReader(status)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		fields := strings.Fields(value)
		switch {
		case len(fields) == 0:
		case name == "State":
			zombie = fields[0] == "Z" || fields[0] == "X"
		case name == "NSpid":
			match = len(fields) == 2 && fields[1] == strconv.Itoa(pid)
		}
	}
	return match && !zombie
}

func (w *world) subject(t *testing.T, helper string) *executortest.Subject {
	t.Helper()
	c := w.config(helper)
	host, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return &executortest.Subject{
		Open:      func(t *testing.T) executors.Executor { t.Helper(); return w.open(t, c) },
		Shared:    w.shared,
		Prepare:   w.prepare,
		PutSecret: w.putSecret,
		PutConfig: w.putConfig,
		Alive:     alive,
		HostEnv:   []string{hostEnv + "=" + string(host)},
		Traits: executortest.Traits{
			// A node of two processors that is asked for 200 pods at once gives up on some of them.
			Patience: 4 * time.Minute, Many: 40, Images: true, Private: "/tmp", LateSettings: true, OneStream: true, FirstGrace: true,
		},
	}
}

// The suite, with nothing of ours in the pods.
func TestConformanceBare(t *testing.T) {
	t.Setenv("EXECUTORTEST_LEAK", "the master's own")
	executortest.Run(t, func(t *testing.T) *executortest.Subject {
		t.Helper()
		s := newWorld(t).subject(t, kube.HelperNever)
		s.Traits.NotFound, s.Traits.NoOutputs, s.Traits.NoUsage, s.Traits.KillsFrozen = 128, true, true, true
		return s
	})
}

// The suite, with the helper in every pod.
func TestConformance(t *testing.T) {
	t.Setenv("EXECUTORTEST_LEAK", "the master's own")
	executortest.Run(t, func(t *testing.T) *executortest.Subject {
		t.Helper()
		s := newWorld(t).subject(t, kube.HelperAlways)
		s.Traits.OutputRoom = 2000
		return s
	})
}
