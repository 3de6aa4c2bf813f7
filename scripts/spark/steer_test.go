//go:build sparkcluster

package spark

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/spark"
)

// A master that is started again finds its driver; launching again begins none, whoever submitted it having gone.
func TestNativeAdopts(t *testing.T)  { testAdopts(t, spark.Native) }
func TestClusterAdopts(t *testing.T) { testAdopts(t, spark.Cluster) }

func testAdopts(t *testing.T, mode spark.Mode) {
	t.Parallel()
	ns, id := namespace(t), newID("adopted")
	a := attempt(t, id, jvm(inImage, "stages", "30", "2", "500"), 1)
	first := open(t, ns, mode)
	w := started(t, first)
	recovered(t, first, 1)
	launch(t, first, a)
	w.busy(id)
	before := driverPod(t, ns, id)
	stop(t, first)
	if mode == spark.Cluster { // the submitter is lost
		kubectl(t, "-n", ns, "delete", "jobs", "--all", "--cascade=foreground")
	}
	second := open(t, ns, mode)
	w = started(t, second)
	a.Epoch = 2
	recovered(t, second, 2, a)
	w.busy(id)
	launch(t, second, a)
	if after := driverPod(t, ns, id); after != before {
		t.Errorf("the driver is %s, and was %s", after, before)
	}
	w.succeeded(id)
	logged(t, second, id, "job 30 of 30")
	if got := apps(t, ns); len(got) != 1 {
		t.Errorf("the applications are %q", got)
	}
}

// apps are the applications that had drivers in a namespace.
func apps(t *testing.T, ns string) []string {
	t.Helper()
	return strings.Fields(kubectl(t, "-n", ns, "get", "pods", "-l", "spark-role=driver", "-o", "jsonpath={.items[*].metadata.labels.spark-app-selector}"))
}

// An account that lacks a right makes the submission fail half-way: the driver is there already, and is deleted again.
func TestClusterForbidden(t *testing.T) {
	t.Parallel()
	ns, id := namespaceWith(t, "spark"), newID("forbidden")
	x := open(t, ns, spark.Cluster)
	w := started(t, x)
	recovered(t, x, 1)
	launch(t, x, attempt(t, id, jvm(inImage, "pi", "2"), 1))
	w.failed(id, dag.FailExit, 1, "is forbidden")
}

// With the stage helper in the driver's pod, what the program prints is the stage's result.
func TestNativeResult(t *testing.T) {
	t.Parallel()
	ns, id := namespace(t), newID("result")
	x := openWith(t, ns, spark.Native, kube.Config{StageImage: "clic.test/stage:1"})
	w := started(t, x)
	recovered(t, x, 1)
	a := attempt(t, id, python(inImage, "pi", "2"), 1)
	a.Spec.CaptureResult = true
	launch(t, x, a)
	w.succeeded(id)
	if s := w.end(id); s.Outputs == nil || s.Outputs.Result == nil || !strings.Contains(*s.Outputs.Result, "pi is about") {
		t.Errorf("the outputs are %+v", s.Outputs)
	}
}

// A paused application begins anew when it goes on, in the same attempt.
func TestNativePause(t *testing.T) {
	t.Parallel()
	ns, id := namespace(t), newID("pause")
	x := open(t, ns, spark.Native)
	w := started(t, x)
	recovered(t, x, 1)
	a := attempt(t, id, jvm(inImage, "stages", "4", "2", "500"), 1)
	launch(t, x, a)
	w.runs(id)
	if err := x.(executors.Pauser).Pause(t.Context(), id, time.Second); err != nil {
		t.Fatal(err)
	}
	w.until(id, "its pause", func(s *executors.Sighting) bool { return s.Phase == dag.AttemptStopped && s.Kept })
	launch(t, x, a)
	w.until(id, "its success", func(s *executors.Sighting) bool { return s.Phase == dag.AttemptSucceeded })
	logged(t, x, id, "job 4 of 4")
}

// Launches of the same attempt by several masters at once make one driver.
func TestClusterOnce(t *testing.T) {
	t.Parallel()
	ns, id := namespace(t), newID("once")
	a := attempt(t, id, jvm(inImage, "pi", "2"), 1)
	var wg sync.WaitGroup
	var w *watcher
	for range 2 {
		x := open(t, ns, spark.Cluster)
		w = started(t, x)
		recovered(t, x, 1, a)
		wg.Go(func() { launch(t, x, a) })
	}
	wg.Wait()
	w.until(id, "its success", func(s *executors.Sighting) bool { return s.Phase == dag.AttemptSucceeded })
	if got := apps(t, ns); len(got) != 1 {
		t.Errorf("the applications are %q", got)
	}
}

// Drivers that nobody asks for any more are deleted.
func TestClusterOrphans(t *testing.T) {
	t.Parallel()
	ns, id := namespace(t), newID("orphan")
	x := open(t, ns, spark.Cluster)
	w := started(t, x)
	recovered(t, x, 1)
	launch(t, x, attempt(t, id, jvm(inImage, "stages", "100", "2", "500"), 1))
	w.runs(id)
	pod := driverPod(t, ns, id)
	stop(t, x)
	second := open(t, ns, spark.Cluster)
	started(t, second)
	recovered(t, second, 2)
	kubectl(t, "-n", ns, "wait", "--for=delete", "pod/"+pod, "--timeout=60s")
}

const halfMade = `{apiVersion: v1, kind: Pod, metadata: {name: half, annotations: {clic/attempt-id: %q, clic/epoch: "1"},
  labels: {spark-role: driver, clic/spark-instance: %q, clic/spark-attempt: %q}},
 spec: {containers: [{name: spark-kubernetes-driver, image: "clic.test/pause:1", volumeMounts: [{name: conf, mountPath: /conf}]}],
  volumes: [{name: conf, configMap: {name: never-made}}]}}`

// Whoever submitted a driver was killed in the middle: the driver's pod waits for a ConfigMap that nobody makes.
func TestClusterHalfMade(t *testing.T) {
	t.Parallel()
	ns, id := namespace(t), newID("half")
	digest := sha256.Sum256([]byte(id))
	pod := fmt.Sprintf(halfMade, id, instance(ns), hex.EncodeToString(digest[:16]))
	kubectlIn(t, pod, "-n", ns, "apply", "-f", "-")
	kubectl(t, "-n", ns, "wait", "--for=condition=PodScheduled", "pod/half", "--timeout=60s")
	x := open(t, ns, spark.Cluster)
	w := started(t, x)
	recovered(t, x, 2, attempt(t, id, jvm(inImage, "pi", "2"), 1))
	w.failed(id, dag.FailLaunch, 0, "spark-submit was ended")
	kubectl(t, "-n", ns, "wait", "--for=delete", "pod/half", "--timeout=60s")
}
