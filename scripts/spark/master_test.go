//go:build sparkcluster

package spark

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/clic-orchestrator/clic/executors/spark"
	"github.com/clic-orchestrator/clic/executors/spark/pods"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
)

// nodeAddress is that of the machine on which the tests run, as pods reach it.
const nodeAddress = "10.244.0.1"

// master is a clic-master that has the rights of the manifests, and can be killed.
type master struct {
	*testing.T
	ns, dir string
	args    []string
	client  *client.Client
	cmd     *exec.Cmd
	gone    chan struct{} // closed when it has ended
}

const masterYAML = `executors: {"*": kube}
kube: {kubeconfig: %s, namespace: %s, pvc: "-", grace: 5s}
spark:
  mode: %s
  image: clic.test/spark:4.3.0
  pull-policy: Never
  service-account: spark
  version: 4.3.0
  event-log-dir: %s
  poll: 1s
  grace: 5s
  env: {JDK_JAVA_OPTIONS: %q, HADOOP_USER_NAME: root}
  conf:
    spark.kubernetes.executor.request.cores: 50m
    spark.kubernetes.driver.request.cores: 50m
    spark.kubernetes.driver.connectionTimeout: 60000
    spark.kubernetes.submission.connectionTimeout: 60000
    spark.kubernetes.driverEnv.JDK_JAVA_OPTIONS: %q
    spark.kubernetes.driverEnv.HADOOP_USER_NAME: root
    spark.executorEnv.HADOOP_USER_NAME: root
`

// newMaster starts a master in a namespace. Event logs are left in a directory of HDFS.
func newMaster(t *testing.T, ns string, mode spark.Mode, store, events string) *master {
	t.Helper()
	hdfs(t, "-mkdir", "-p", events)
	m := &master{T: t, ns: ns, dir: t.TempDir()}
	config := filepath.Join(m.dir, "master.yaml")
	uri := strings.TrimSuffix(getenv(t, "CLIC_HDFS_URI"), "/") + events
	text := fmt.Sprintf(masterYAML, m.kubeconfig(), ns, mode, uri, small, small)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freePort(t)
	m.args = []string{"--listen", address, "--data-dir", filepath.Join(m.dir, "data"), "--config", config, "--log-level", "debug"}
	if store != "" {
		m.args = append(m.args, "--store", store)
	}
	m.client = client.New(client.Config{Address: address})
	t.Cleanup(func() { _ = m.client.Close() })
	t.Cleanup(m.showLog)
	m.start()
	return m
}

// kubeconfig writes one for the account of the masters.
func (m *master) kubeconfig() string {
	m.Helper()
	c, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		m.Fatal(err)
	}
	token := strings.TrimSpace(kubectl(m.T, "-n", m.ns, "create", "token", "clic-master", "--duration=2h"))
	for name := range c.AuthInfos {
		c.AuthInfos[name] = &api.AuthInfo{Token: token}
	}
	file := filepath.Join(m.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		m.Fatal(err)
	}
	return file
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", nodeAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (m *master) log() string { return filepath.Join(m.dir, "log") }

// start starts the process, and waits until it leads.
func (m *master) start() {
	m.Helper()
	log, err := os.OpenFile(m.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd, gone := exec.Command(getenv(m.T, "CLIC_SPARK_TEST_MASTER"), m.args...), make(chan struct{})
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.dir}
	cmd.Stdout, cmd.Stderr = io.Discard, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // with the test, even if that is killed
	begun := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // whose end would be the death of the parent
		defer runtime.UnlockOSThread()
		defer close(gone)
		err := cmd.Start()
		begun <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		m.Fatal(err)
	}
	m.cmd, m.gone = cmd, gone
	m.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
	})
	m.until("it leads", func() bool {
		ctx, cancel := context.WithTimeout(m.Context(), time.Second)
		defer cancel()
		info, err := m.client.GetMasterInfo(ctx)
		return err == nil && (info.Role == "leader" || info.Role == "single")
	})
}

// again kills the master, and starts it again.
func (m *master) again() {
	m.Helper()
	_ = m.cmd.Process.Kill()
	<-m.gone
	m.start()
}

// until waits for a condition.
func (m *master) until(what string, is func() bool) {
	m.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			m.Fatalf("it did not come that %s", what)
		}
	}
}

const planHead = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: apps-}
spec:
  entrypoint: main
  templates:
`

// submit submits a plan of applications that run beside each other, and gives its task.
func (m *master) submit(suspended bool, all ...app) string {
	m.Helper()
	var templates, tasks strings.Builder
	for i, a := range all {
		description, err := json.Marshal(a)
		if err != nil {
			m.Fatal(err)
		}
		fmt.Fprintf(&templates, "  - {name: app%d, plugin: {spark: %s}}\n", i, description)
		fmt.Fprintf(&tasks, "      - {name: app%d, template: app%d}\n", i, i)
	}
	text := planHead + templates.String() + "  - name: main\n    dag:\n      tasks:\n" + tasks.String()
	answer, err := m.client.Submit(m.Context(), &thriftmaster.Submission{Plan: text, Suspended: &suspended})
	if err != nil {
		m.Fatalf("%v\n%s", err, text)
	}
	return answer.TaskName
}

// stages are those of a task; none while the master does not answer.
func (m *master) stages(task string) []*thriftmaster.StageInfo {
	explain := true
	page, err := m.client.ListStages(m.Context(), &thriftmaster.StageQuery{TaskName: task, Explain: &explain})
	if err != nil {
		return nil
	}
	return page.Stages
}

// untilAll waits until a condition holds of all stages of a task.
func (m *master) untilAll(task, what string, is func(s *thriftmaster.StageInfo) bool) []*thriftmaster.StageInfo {
	m.Helper()
	var all []*thriftmaster.StageInfo
	m.until("all stages "+what, func() bool {
		all = m.stages(task)
		return len(all) > 0 && !slices.ContainsFunc(all, func(s *thriftmaster.StageInfo) bool { return !is(s) })
	})
	return all
}

// busy waits until all applications of a task work, and their progress is told.
func (m *master) busy(task string) {
	m.Helper()
	m.untilAll(task, "work", func(s *thriftmaster.StageInfo) bool {
		return s.ProgressDone != nil && *s.ProgressDone > 0 && s.ProgressMessage != nil && strings.Contains(*s.ProgressMessage, "jobs done")
	})
}

// completed waits for the end of a task, which has to be good, of one attempt each.
func (m *master) completed(task string) []*thriftmaster.StageInfo {
	m.Helper()
	all := m.untilAll(task, "end", func(s *thriftmaster.StageInfo) bool { return s.Ended > 0 })
	for _, s := range all {
		if s.State != thriftmaster.StageState_COMPLETED || s.Attempt > 1 || s.Retries > 0 {
			m.Errorf("%s is %v, attempt %d, retries %d: %s", s.StageId, s.State, s.Attempt, s.Retries, s.Message)
		}
	}
	return all
}

// logOf is the log of a stage.
func (m *master) logOf(stage string) string {
	m.Helper()
	var log strings.Builder
	for offset := int64(0); ; {
		part, err := m.client.ReadLog(m.Context(), &thriftmaster.LogRequest{StageId: stage, Offset: &offset})
		if err != nil {
			m.Fatalf("the log of %s: %v", stage, err)
		}
		log.Write(part.Data)
		if len(part.Data) == 0 {
			return log.String()
		}
		offset = part.NextOffset
	}
}

// refused looks for what the cluster did not let the master do.
func (m *master) refused() {
	m.Helper()
	b, err := os.ReadFile(m.log())
	if err != nil {
		m.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(strings.ToLower(line), "forbidden") {
			m.Errorf("the master was refused something: %s", line)
		}
	}
}

func (m *master) showLog() {
	if b, err := os.ReadFile(m.log()); err == nil && m.Failed() {
		m.Logf("the end of the master's log:\n%s", b[max(0, len(b)-8000):])
	}
}

// census counts drivers: all that there ever were in a namespace.
type census struct {
	mu   sync.Mutex
	seen map[string]spark.Pod // by UID
}

// countDrivers begins to count, until the test ends.
func countDrivers(t *testing.T, ns string) *census {
	t.Helper()
	cluster, err := pods.New(os.Getenv("KUBECONFIG"), "")
	if err != nil {
		t.Fatal(err)
	}
	c := &census{seen: map[string]spark.Pod{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = cluster.Watch(ctx, ns, "spark-role=driver", func(p spark.Pod, _ bool) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.seen[p.UID] = p
			})
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		cluster.Close()
	})
	return c
}

// drivers are the ids of the applications that they were of, one for each driver.
func (c *census) drivers() (apps []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.seen {
		apps = append(apps, p.Labels["spark-app-selector"])
	}
	slices.Sort(apps)
	return apps
}
