//go:build sparkcluster

package spark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
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

// namespace makes one for a test, in which Spark has the rights that the manifests give and no more.
func namespace(t *testing.T) string {
	t.Helper()
	return namespaceWith(t, "spark", "spark-submit")
}

// namespaceWith makes one with what some of deploy/kubernetes describe.
func namespaceWith(t *testing.T, manifests ...string) string {
	t.Helper()
	name := "spark-test-" + strings.ToLower(strings.Trim(newID(t.Name()), "-"))
	name = strings.NewReplacer("/", "-", "_", "-").Replace(name)
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() { kubectl(t, "delete", "namespace", name, "--wait=false", "--grace-period=0", "--force") })
	dir := t.TempDir()
	text := "namespace: " + name + "\nresources:\n"
	for _, m := range manifests {
		path, err := filepath.Abs("../../deploy/kubernetes/" + m)
		if err == nil {
			path, err = filepath.Rel(dir, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		text += "- " + path + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// In the manifests, masters are in a namespace of their own.
	objects := strings.ReplaceAll(kubectl(t, "kustomize", "--load-restrictor=LoadRestrictionsNone", dir), "namespace: argo\n", "namespace: "+name+"\n")
	kubectlIn(t, objects, "apply", "-f", "-")
	return name
}

// open makes an executor of applications in a namespace; each call gives another one over the same world.
func open(t *testing.T, ns string, mode spark.Mode) executors.Executor {
	t.Helper()
	return openWith(t, ns, mode, kube.Config{})
}

// openWith is open with more of a configuration: the image of the stage helper, and where logs are kept.
func openWith(t *testing.T, ns string, mode spark.Mode, more kube.Config) executors.Executor {
	t.Helper()
	base, err := kube.New(kube.Config{
		StageImage: more.StageImage, ArchiveLogs: more.ArchiveLogs, Archive: more.Archive,
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
		Mode: mode, Image: "clic.test/spark:4.3.0", PullPolicy: "Never", ServiceAccount: "spark", Namespace: ns, Instance: instance(ns),
		SparkVersion: "4.3.0", Archive: more.Archive, Poll: time.Second, Grace: 5 * time.Second, StartTimeout: 15 * time.Second, Logger: logger(t),
		// The user of spark-submit is that of the executors, in mode cluster, whatever the driver's environment says.
		Env: map[string]string{"JDK_JAVA_OPTIONS": small, "HADOOP_USER_NAME": "root"},
		Conf: map[string]string{
			"spark.kubernetes.executor.request.cores": "50m", "spark.kubernetes.driver.request.cores": "50m",
			"spark.kubernetes.driverEnv.JDK_JAVA_OPTIONS": small, "spark.ui.prometheus.enabled": "false",
			// Spark's 10 s are not much on a machine that is busy with drivers.
			"spark.kubernetes.driver.connectionTimeout": "60000", "spark.kubernetes.submission.connectionTimeout": "60000",
		},
	}, base, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// instance is that of the executors in a namespace.
func instance(ns string) string { return "t-" + ns[len(ns)-8:] }

func TestNative(t *testing.T)  { testKube(t, spark.Native) }
func TestClient(t *testing.T)  { testKube(t, spark.Client) }
func TestCluster(t *testing.T) { testKube(t, spark.Cluster) }

// testKube runs one application of each kind, some at the same time.
func testKube(t *testing.T, mode spark.Mode) {
	ns := namespace(t)
	x := open(t, ns, mode)
	w := started(t, x)
	recovered(t, x, 1)
	all(t, x, w, []outcome{
		{"jvm", jvm(inImage, "pi", "2"), 0, 0, "pi is about"},
		{"python", python(inImage, "pi", "2"), 0, 0, "pi is about"},
		{"fail", jvm(inImage, "fail"), dag.FailExit, 1, "asked to fail"},
		{"exit", python(inImage, "exit", "3"), dag.FailExit, 3, "exit code 3"},
		{"heap", jvm(inImage, "oom"), dag.FailOOM, 1, "OutOfMemoryError"},
		// The heap fits into the container, and what a JVM has beside it does not.
		{"memory", jvm(inImage, "oom").with(app{"driver": app{"memory": "512m", "overhead": "1m"}}), dag.FailOOM, 137, "killed it for want of memory"},
		{"class", jvm(inImage).with(app{"mainClass": "demo.Nope"}), dag.FailExit, 101, "wrong class: there is no class demo.Nope"},
		{"file", python("local:///nope"), dag.FailExit, 2, "missing file: /nope/app.py"},
		{"image", jvm(inImage).with(app{"image": "clic.test/none:1"}), dag.FailLaunch, 0, "image"},
	})
	for _, c := range []struct {
		name string
		args []string // of the application's stages
		run  func(t *testing.T, id string)
	}{
		{"cancel", []string{"100", "2", "500"}, func(t *testing.T, id string) {
			if s := w.busy(id); !strings.Contains(s.Progress.Message, "jobs done") || !strings.Contains(s.Info, "application spark-") {
				t.Errorf("progress %+v, info %q", s.Progress, s.Info)
			}
			itsExecutors := executorsOf(t, ns, id)
			cancelled(t, x, w, id)
			kubectl(t, "-n", ns, "wait", "--for=delete", "pod", "-l", itsExecutors, "--timeout=60s")
		}},
		{"driver deleted", []string{"100", "2", "500"}, func(t *testing.T, id string) {
			w.busy(id)
			kubectl(t, "-n", ns, "delete", "pod", driverPod(t, ns, id), "--grace-period=1", "--wait=false")
			w.failed(id, dag.FailLost, -1, "somebody else deleted")
		}},
		{"driver killed", []string{"100", "2", "500"}, func(t *testing.T, id string) {
			w.busy(id)
			signal, exit := "KILL", 137
			if mode == spark.Client { // it is the first process of its container, which nobody inside can kill
				signal, exit = "TERM", 143
			}
			kubectl(t, "-n", ns, "exec", driverPod(t, ns, id), "--", "sh", "-c", "kill -"+signal+" $(pidof java)")
			w.failed(id, dag.FailExit, exit, fmt.Sprintf("exit code %d", exit))
		}},
		{"executor killed", []string{"20", "2", "500"}, func(t *testing.T, id string) {
			w.busy(id)
			victim := strings.TrimSpace(kubectl(t, "-n", ns, "get", "pods", "-l", executorsOf(t, ns, id), "-o", "jsonpath={.items[0].metadata.name}"))
			kubectl(t, "-n", ns, "exec", victim, "--", "sh", "-c", "kill -9 $(pidof java)")
			w.succeeded(id)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id := newID(strings.ReplaceAll(c.name, " ", "-"))
			launch(t, x, attempt(t, id, jvm(inImage, append([]string{"stages"}, c.args...)...), 1))
			c.run(t, id)
		})
	}
	t.Run("no resources", func(t *testing.T) {
		t.Parallel()
		id := newID("large")
		launch(t, x, attempt(t, id, jvm(inImage, "pi", "2").with(app{"executor": app{"memory": "900g", "instances": 1}}), 1))
		w.until(id, "what it waits for", func(s *executors.Sighting) bool {
			return s.Progress != nil && strings.Contains(s.Progress.Message, "waits for executors: ") && strings.Contains(s.Progress.Message, "Insufficient memory")
		})
		cancelled(t, x, w, id)
	})
}

// all runs applications to their ends, some at the same time.
func all(t *testing.T, x executors.Executor, w *watcher, outcomes []outcome) {
	for _, e := range outcomes {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			e.ends(t, x, w)
		})
	}
}

// cancelled cancels an attempt, and waits for its end.
func cancelled(t *testing.T, x executors.Executor, w *watcher, id string) {
	t.Helper()
	if err := x.Cancel(t.Context(), id, time.Second); err != nil {
		t.Fatal(err)
	}
	if s := w.end(id); s.Phase != dag.AttemptStopped {
		t.Errorf("got %+v", s)
	}
}

// The driver's log is kept when its pod is gone, also where the pod goes because the attempt is cancelled, until the attempt is forgotten.
func TestArchivedLogs(t *testing.T) {
	for _, mode := range []spark.Mode{spark.Native, spark.Cluster} {
		t.Run(string(mode), func(t *testing.T) { testArchivedLogs(t, mode) })
	}
}

func testArchivedLogs(t *testing.T, mode spark.Mode) {
	ns, dir := namespace(t), t.TempDir()
	x := openWith(t, ns, mode, kube.Config{ArchiveLogs: true, Archive: kubeconf.LogDir(dir)})
	w := started(t, x)
	recovered(t, x, 1)
	// kept waits until so many logs are there, beside those of whoever submits.
	kept := func(n int) {
		t.Helper()
		for {
			logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
			if err != nil {
				t.Fatal(err)
			}
			if mode == spark.Cluster {
				logs = slices.DeleteFunc(logs, func(log string) bool { return !strings.HasSuffix(log, "-driver.log") })
			}
			if len(logs) == n {
				return
			}
			select {
			case <-t.Context().Done():
				t.Fatalf("the logs are %q", logs)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	done, stopped := newID("done"), newID("stopped")
	launch(t, x, attempt(t, done, jvm(inImage, "pi", "2"), 1))
	w.succeeded(done)
	kept(1)
	// since is how much of a log was written after a time, by the pod or, when that is gone, by when the log was kept.
	since := func(at time.Time) int {
		t.Helper()
		log, err := x.Logs(t.Context(), done, executors.LogOptions{Since: at})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(log)
		if err = errors.Join(err, log.Close()); err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	sinceHours := func() {
		t.Helper()
		if all, none := since(time.Now().Add(-time.Hour)), since(time.Now().Add(time.Hour)); all == 0 || none != 0 {
			t.Errorf("since an hour ago there are %d bytes, since in an hour %d", all, none)
		}
	}
	sinceHours()
	launch(t, x, attempt(t, stopped, jvm(inImage, "stages", "100", "2", "500"), 1))
	w.busy(stopped)
	cancelled(t, x, w, stopped)
	kept(2)
	kubectl(t, "-n", ns, "delete", "jobs,pods", "--all", "--grace-period=1")
	logged(t, x, done, "pi is about")
	logged(t, x, stopped, "job 1 of 100")
	sinceHours()
	log, err := x.Logs(t.Context(), done, executors.LogOptions{TailLines: 1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(log)
	if err = errors.Join(err, log.Close()); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("the last line is %q, %v", b, err)
	}
	if err := x.Forget(t.Context(), []string{done, stopped}); err != nil {
		t.Error(err)
	}
	kept(0)
	if _, err := x.Logs(t.Context(), done, executors.LogOptions{}); !errors.Is(err, executors.ErrNoLogs) {
		t.Errorf("afterwards: %v", err)
	}
}

// driverPod is the name of the driver of an attempt that runs.
func driverPod(t *testing.T, ns, id string) string {
	t.Helper()
	names := driver(t, ns, id, "{.items[*].metadata.name}")
	if len(names) != 1 {
		t.Fatalf("the drivers are %q", names)
	}
	return names[0]
}

// executorsOf is the selector of the executors of an attempt that runs.
func executorsOf(t *testing.T, ns, id string) string {
	t.Helper()
	ids := driver(t, ns, id, "{.items[*].metadata.labels.spark-app-selector}")
	if len(ids) != 1 {
		t.Fatalf("the applications are %q", ids)
	}
	return "spark-role=executor,spark-app-selector=" + ids[0]
}

// driver asks for something of the driver of an attempt that runs. Applications are called as their attempts unless they say otherwise.
func driver(t *testing.T, ns, id, path string) []string {
	t.Helper()
	return strings.Fields(kubectl(t, "-n", ns, "get", "pods", "-l", "spark-role=driver,spark-app-name="+id, "--field-selector=status.phase=Running", "-o", "jsonpath="+path))
}
