//go:build cluster

package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// lookFor makes the test binary a program inside of a pod: it asks the servers that the variable names, over HTTP.
const lookFor = "CLUSTER_TEST_LOOK_FOR"

func TestMain(m *testing.M) {
	if names := os.Getenv(lookFor); names != "" {
		os.Exit(look(os.Stdout, strings.Fields(names)))
	}
	os.Exit(m.Run())
}

// look prints the answer of each URL, or why there was none.
func look(w io.Writer, urls []string) int {
	client := http.Client{Timeout: 10 * time.Second}
	for _, url := range urls {
		response, err := client.Get(url)
		if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) {
			_, _ = fmt.Fprintln(w, url, unknown.Err)
			continue
		}
		if err != nil {
			_, _ = fmt.Fprintln(w, url, err)
			continue
		}
		body, _ := io.ReadAll(response.Body) // what there is of it is compared
		_ = response.Body.Close()
		_, _ = fmt.Fprintln(w, url, response.Status, strings.TrimSpace(string(body)))
	}
	return 0
}

// kubectl runs it on the cluster and gives what it printed.
func kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	output, err := tryKubectl(t.Context(), input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return output
}

func tryKubectl(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	return string(output), err
}

// namespace makes one for the test and removes it afterwards.
func namespace(t *testing.T) string {
	t.Helper()
	name := "rig-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	kubectl(t, "", "create", "namespace", name)
	t.Cleanup(func() {
		// The test's own context is over.
		if output, err := tryKubectl(context.Background(), "", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Errorf("cannot remove namespace %s: %v: %s", name, err, output)
		}
	})
	kubectl(t, "", "-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
	return name
}

// job is a Job of one pod; extra is put into the pod's specification, containers are given whole.
func job(name, annotations, extra, container string) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: %s}
    spec:
      restartPolicy: Never
      %s
      containers:
      - %s
`, name, annotations, extra, container)
}

func TestJobs(t *testing.T) {
	space := namespace(t)
	for name, test := range map[string]struct {
		container string
		condition string
		log       string
	}{
		"good": {
			container: `{name: main, image: "clic.test/shell:1", command: [sh, -c, "echo $(id -u) $(seq 3 | wc -l)"], ` +
				`securityContext: {runAsUser: 1234}}`,
			condition: "Complete", log: "1234 3\n",
		},
		"bad": {
			container: `{name: main, image: "clic.test/shell:1", command: [sh, -c, "echo oh; exit 3"]}`,
			condition: "Failed", log: "oh\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			kubectl(t, job(name, "{}", "", test.container), "-n", space, "apply", "-f", "-")
			kubectl(t, "", "-n", space, "wait", "--for=condition="+test.condition, "job/"+name, "--timeout=60s")
			if log := kubectl(t, "", "-n", space, "logs", "job/"+name); log != test.log {
				t.Errorf("it logged %q, want %q", log, test.log)
			}
		})
	}
}

// A pod finds other pods by the names of services, with and without an address of their own, and this test's own server too.
func TestNames(t *testing.T) {
	space := namespace(t)
	// The address of the node is the one that pods know us by.
	listener, err := net.Listen("tcp", "10.244.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "test") }),
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	program := filepath.Join(os.Getenv("CLIC_CLUSTER_SHARED"), space)
	if err := copyFile(program, "/proc/self/exe"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(program) })
	kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: main, image: "clic.test/shell:1", readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1},
     command: [sh, -c, "mkdir /srv && echo pod > /srv/index.html && exec httpd -f -p 8080 -h /srv"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: clic-test}
spec: {ports: [{port: 7777}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: clic-test, labels: {kubernetes.io/service-name: clic-test}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.1]}]
ports: [{port: %d}]
`, listener.Addr().(*net.TCPAddr).Port), "-n", space, "apply", "-f", "-")
	kubectl(t, "", "-n", space, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")

	urls := []string{
		"http://web/", "http://web." + space + "/", "http://web-headless:8080/", "http://clic-test:7777/", "http://example.com/",
	}
	container := fmt.Sprintf(`{name: main, image: "clic.test/shell:1", command: [/shared/%s], `+
		`env: [{name: %s, value: "%s"}], volumeMounts: [{name: shared, mountPath: /shared}]}`, space, lookFor, strings.Join(urls, " "))
	volumes := fmt.Sprintf(`volumes: [{name: shared, hostPath: {path: %q}}]`, os.Getenv("CLIC_CLUSTER_SHARED"))
	kubectl(t, job("look", "{}", volumes, container), "-n", space, "apply", "-f", "-")
	kubectl(t, "", "-n", space, "wait", "--for=condition=Complete", "job/look", "--timeout=60s")
	log := kubectl(t, "", "-n", space, "logs", "job/look")
	answers := []string{"200 OK pod", "200 OK pod", "200 OK pod", "200 OK test", "no such host"}
	for n, url := range urls {
		if want := url + " " + answers[n] + "\n"; !strings.Contains(log, want) {
			t.Errorf("want %q in:\n%s", want, log)
		}
	}
	// Commands of exec find the same names.
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "web."+space); err != nil {
		t.Error(err)
	}
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}

// What was there before is there after a restart of the API server, and things go on.
func TestRestart(t *testing.T) {
	space := namespace(t)
	kubectl(t, "", "-n", space, "create", "configmap", "before")
	restart := exec.CommandContext(t.Context(), "../cluster.sh", "restart", "apiserver")
	if output, err := restart.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	kubectl(t, "", "-n", space, "get", "configmap", "before")
	kubectl(t, job("after", "{}", "", `{name: main, image: "clic.test/shell:1", command: ["true"]}`), "-n", space, "apply", "-f", "-")
	kubectl(t, "", "-n", space, "wait", "--for=condition=Complete", "job/after", "--timeout=90s")
}

func TestSimulated(t *testing.T) {
	up := exec.CommandContext(t.Context(), "../cluster.sh", "status")
	output, err := up.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if !bytes.Contains(output, []byte("simulated nodes")) {
		t.Fatal("no simulated nodes: CLIC_SIMULATED=2 scripts/cluster-test.sh ./scripts/kubernetes adds them")
	}
	space := namespace(t)
	const there = `nodeSelector: {clic.test/simulated: "true"}
      tolerations: [{key: clic.test/simulated, operator: Exists}]`
	const container = `{name: main, image: "no.such/image:1"}`
	for name, test := range map[string]struct {
		annotations string
		condition   string
		terminated  string
		least       time.Duration
	}{
		"good": {annotations: "{}", condition: "Complete", terminated: "0 Completed"},
		"long": {annotations: `{clic.test/run-time: "2s"}`, condition: "Complete", terminated: "0 Completed", least: 2 * time.Second},
		"bad":  {annotations: `{clic.test/exit-code: "3"}`, condition: "Failed", terminated: "3 Error"},
		"memory": {
			annotations: `{clic.test/exit-code: "137", clic.test/reason: OOMKilled}`, condition: "Failed", terminated: "137 OOMKilled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			kubectl(t, job(name, test.annotations, there, container), "-n", space, "apply", "-f", "-")
			kubectl(t, "", "-n", space, "wait", "--for=condition="+test.condition, "job/"+name, "--timeout=60s")
			if took := time.Since(begin); took < test.least {
				t.Errorf("it was over after %v, want %v at least", took, test.least)
			}
			const state = "{.items[0].status.containerStatuses[0].state.terminated"
			got := kubectl(t, "", "-n", space, "get", "pod", "-l", "job-name="+name, "-o", "jsonpath="+state+".exitCode} "+state+".reason}")
			if got != test.terminated {
				t.Errorf("the container ended with %q, want %q", got, test.terminated)
			}
		})
	}
	t.Run("deleted", func(t *testing.T) {
		kubectl(t, job("deleted", `{clic.test/run-time: "1h"}`, there, container), "-n", space, "apply", "-f", "-")
		kubectl(t, "", "-n", space, "wait", "--for=jsonpath={.status.ready}=1", "job/deleted", "--timeout=60s")
		kubectl(t, "", "-n", space, "delete", "job/deleted", "--cascade=foreground", "--timeout=60s")
	})
}
