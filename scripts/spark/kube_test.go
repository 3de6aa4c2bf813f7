//go:build sparkcluster

package spark

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/spark"
	"github.com/clic-orchestrator/clic/executors/spark/pods"
)

// inImage is where the applications are in the image.
const inImage = "local:///opt/app"

// kubectl runs kubectl in the tests' namespace, and gives what it says.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return kubectlIn(t, "", args...)
}

func kubectlIn(t *testing.T, input string, args ...string) string {
	t.Helper()
	// What a test leaves is removed after its context has ended.
	cmd := exec.CommandContext(context.Background(), "kubectl", args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

const account = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: spark}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: spark}
rules:
- {apiGroups: [""], resources: [pods, services, configmaps, persistentvolumeclaims], verbs: ["*"]}
# spark-submit in cluster mode makes one too, from Spark 4.3 on.
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: spark}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: spark}
subjects: [{kind: ServiceAccount, name: spark}]
`

// namespace makes one for a test, with the account that drivers need.
func namespace(t *testing.T) string {
	t.Helper()
	name := "spark-test-" + strings.ToLower(strings.Trim(newID(t.Name()), "-"))
	name = strings.NewReplacer("/", "-", "_", "-").Replace(name)
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() { kubectl(t, "delete", "namespace", name, "--wait=false", "--grace-period=0", "--force") })
	kubectlIn(t, account, "-n", name, "apply", "-f", "-")
	return name
}

// open makes an executor of applications in a namespace; each call gives another one over the same world.
func open(t *testing.T, ns string, mode spark.Mode) executors.Executor {
	t.Helper()
	return openWith(t, ns, mode, "")
}

// openWith is open with the stage helper of an image in the pods.
func openWith(t *testing.T, ns string, mode spark.Mode, helper string) executors.Executor {
	t.Helper()
	base, err := kube.New(kube.Config{
		StageImage: helper,
		Kubeconfig: os.Getenv("KUBECONFIG"), Namespace: ns, PVC: kube.NoClaim, Instance: "spark", StartTimeout: 10 * time.Second,
		Grace: 5 * time.Second, Logger: logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := pods.New(os.Getenv("KUBECONFIG"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	x, err := spark.New(spark.Config{
		Mode: mode, Image: "clic.test/spark:4.3.0", PullPolicy: "Never", ServiceAccount: "spark", Namespace: ns, Instance: "t-" + ns[len(ns)-8:],
		SparkVersion: "4.3.0", Poll: time.Second, Grace: 5 * time.Second, StartTimeout: 15 * time.Second, Logger: logger(t),
		Env: map[string]string{"JDK_JAVA_OPTIONS": small},
		Conf: map[string]string{
			"spark.kubernetes.executor.request.cores": "50m", "spark.kubernetes.driver.request.cores": "50m",
			"spark.kubernetes.driverEnv.JDK_JAVA_OPTIONS": small, "spark.ui.prometheus.enabled": "false",
		},
	}, base, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestNative(t *testing.T)  { testKube(t, spark.Native) }
func TestClient(t *testing.T)  { testKube(t, spark.Client) }
func TestCluster(t *testing.T) { testKube(t, spark.Cluster) }

func testKube(t *testing.T, mode spark.Mode) {
	ns := namespace(t)
	x := open(t, ns, mode)
	w := started(t, x)
	recovered(t, x, 1)
	for _, e := range []outcome{
		{"jvm", jvm(inImage, "pi", "2"), 0, 0, "pi is about"},
		{"python", python(inImage, "pi", "2"), 0, 0, "pi is about"},
		{"fail", jvm(inImage, "fail"), dag.FailExit, 1, "asked to fail"},
		{"exit", python(inImage, "exit", "3"), dag.FailExit, 3, "exit code 3"},
		{"heap", jvm(inImage, "oom"), dag.FailOOM, 1, "OutOfMemoryError"},
		{"class", jvm(inImage).with(app{"mainClass": "demo.Nope"}), dag.FailExit, 101, "wrong class: there is no class demo.Nope"},
		{"file", python("local:///nope"), dag.FailExit, 2, "missing file: /nope/app.py"},
		{"image", jvm(inImage).with(app{"image": "clic.test/none:1"}), dag.FailLaunch, 0, "image"},
	} {
		t.Run(e.name, func(t *testing.T) { e.ends(t, x, w) })
	}
	t.Run("progress and cancel", func(t *testing.T) {
		id := newID("cancel")
		launch(t, x, attempt(t, id, jvm(inImage, "stages", "100", "2", "500"), 1))
		if s := w.busy(id); !strings.Contains(s.Progress.Message, "jobs done") || !strings.Contains(s.Info, "application spark-") {
			t.Errorf("progress %+v, info %q", s.Progress, s.Info)
		}
		if err := x.Cancel(t.Context(), id, time.Second); err != nil {
			t.Fatal(err)
		}
		if s := w.end(id); s.Phase != dag.AttemptStopped {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("driver killed", func(t *testing.T) {
		id := newID("killed")
		launch(t, x, attempt(t, id, jvm(inImage, "stages", "100", "2", "500"), 1))
		w.busy(id)
		kubectl(t, "-n", ns, "delete", "pod", driverPod(t, ns), "--grace-period=1", "--wait=false")
		w.failed(id, dag.FailLost, -1, "somebody else deleted")
	})
	t.Run("executor killed", func(t *testing.T) {
		id := newID("survives")
		launch(t, x, attempt(t, id, jvm(inImage, "stages", "20", "2", "500"), 1))
		w.busy(id)
		kubectl(t, "-n", ns, "delete", "pod", "-l", "spark-role=executor", "--field-selector=status.phase=Running", "--grace-period=0", "--force")
		w.succeeded(id)
	})
	t.Run("no resources", func(t *testing.T) {
		id := newID("large")
		a := jvm(inImage, "pi", "2")
		a["executor"] = app{"memory": "900g", "instances": 1}
		launch(t, x, attempt(t, id, a, 1))
		w.until(id, "what it waits for", func(s *executors.Sighting) bool {
			return s.Progress != nil && strings.Contains(s.Progress.Message, "waits for executors: ") && strings.Contains(s.Progress.Message, "Insufficient memory")
		})
		if err := x.Cancel(t.Context(), id, time.Second); err != nil {
			t.Fatal(err)
		}
		w.end(id)
	})
}

// driverPod is the name of the one driver that runs in a namespace.
func driverPod(t *testing.T, ns string) string {
	t.Helper()
	names := strings.Fields(kubectl(t, "-n", ns, "get", "pods", "-l", "spark-role=driver", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}"))
	if len(names) != 1 {
		t.Fatalf("the drivers are %q", names)
	}
	return names[0]
}

// A master that is started again finds its driver; launching again begins none, whoever submitted it having gone.
func TestNativeAdopts(t *testing.T)  { testAdopts(t, spark.Native) }
func TestClusterAdopts(t *testing.T) { testAdopts(t, spark.Cluster) }

func testAdopts(t *testing.T, mode spark.Mode) {
	ns, id := namespace(t), newID("adopted")
	a := attempt(t, id, jvm(inImage, "stages", "30", "2", "500"), 1)
	first := open(t, ns, mode)
	w := started(t, first)
	recovered(t, first, 1)
	launch(t, first, a)
	w.busy(id)
	before := driverPod(t, ns)
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
	if after := driverPod(t, ns); after != before {
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
	ns, id := namespace(t), newID("forbidden")
	kubectl(t, "-n", ns, "patch", "role", "spark", "--type=json", `-p=[{"op": "remove", "path": "/rules/1"}]`)
	x := open(t, ns, spark.Cluster)
	w := started(t, x)
	recovered(t, x, 1)
	launch(t, x, attempt(t, id, jvm(inImage, "pi", "2"), 1))
	w.failed(id, dag.FailExit, 1, "networkpolicies")
}

// With the stage helper in the driver's pod, what the program prints is the stage's result.
func TestNativeResult(t *testing.T) {
	ns, id := namespace(t), newID("result")
	x := openWith(t, ns, spark.Native, "clic.test/stage:1")
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
	ns, id := namespace(t), newID("orphan")
	x := open(t, ns, spark.Cluster)
	w := started(t, x)
	recovered(t, x, 1)
	launch(t, x, attempt(t, id, jvm(inImage, "stages", "100", "2", "500"), 1))
	w.runs(id)
	pod := driverPod(t, ns)
	stop(t, x)
	second := open(t, ns, spark.Cluster)
	started(t, second)
	recovered(t, second, 2)
	kubectl(t, "-n", ns, "wait", "--for=delete", "pod/"+pod, "--timeout=60s")
}
