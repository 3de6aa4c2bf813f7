//go:build cluster

package clustertest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
	"github.com/clic-orchestrator/clic/shell/client"
)

// seat is the place of a master, where its lives follow one another: a port, and a proxy of its own before the API server.
type seat struct {
	*world
	program, dir, address string
	args                  []string
	proxy                 *redistest.Proxy
	client                *client.Client
	life                  *life
}

// life is one process of a master.
type life struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended, for err
	err  error
}

// buildMaster builds the clic-master that is to be killed, of the same parts as this test.
func buildMaster(w *world) string {
	w.Helper()
	file := filepath.Join(w.TempDir(), "clic-master")
	cmd := exec.CommandContext(w.Context(), "go", "build", "-buildvcs=false", "-o", file, "../clic-master")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("cannot build clic-master: %v\n%s", err, out)
	}
	return file
}

// newSeats makes places for so many masters on one Redis.
func newSeats(w *world, n int) []*seat {
	w.Helper()
	redis := redistest.Single(w, redistest.AppendOnly("always"))
	program, address := buildMaster(w), w.address()
	var seats []*seat
	for i := range n {
		s := &seat{world: w, program: program, dir: filepath.Join(w.TempDir(), fmt.Sprint("master", i)), address: freePort(w, address)}
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			w.Fatal(err)
		}
		s.proxy = redistest.NewProxy(w, strings.TrimPrefix(w.config.Host, "https://"))
		config := filepath.Join(s.dir, "master.yaml")
		text := fmt.Sprintf(masterYAML, podsAtOnce, s.kubeconfig(), w.namespace, w.namespace, stageImage)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
		s.args = []string{"--listen", s.address, "--data-dir", filepath.Join(s.dir, "data"), "--store", redis.URL(), "--config", config, "--log-level", "debug"}
		s.client = newClient(w, s.address)
		w.Cleanup(s.showLog)
		seats = append(seats, s)
	}
	return seats
}

const masterYAML = `executors: {"*": kube}
slots: {executor: {kube: %d}}
kube:
  kubeconfig: %s
  namespace: %s
  instance: %s
  pvc: "-"
  stage-image: %s
  heartbeat: 2s
  grace: 5s
`

// kubeconfig writes one that leads by way of the proxy.
func (s *seat) kubeconfig() string {
	s.Helper()
	c, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		s.Fatal(err)
	}
	server, err := url.Parse(s.config.Host)
	if err != nil {
		s.Fatal(err)
	}
	for _, cluster := range c.Clusters {
		cluster.Server, cluster.TLSServerName = "https://"+s.proxy.Addr, server.Hostname()
	}
	file := filepath.Join(s.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		s.Fatal(err)
	}
	return file
}

func freePort(w *world, host string) string {
	w.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		w.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newClient(w *world, address string) *client.Client {
	w.Helper()
	c := client.New(client.Config{Address: address})
	w.Cleanup(func() {
		if err := c.Close(); err != nil {
			w.Error(err)
		}
	})
	return c
}

func (s *seat) log() string { return filepath.Join(s.dir, "log") }

// start starts a master and does not wait for anything.
func (s *seat) start() {
	s.Helper()
	log, err := os.OpenFile(s.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	l := &life{cmd: exec.Command(s.program, s.args...), gone: make(chan struct{})}
	l.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	l.cmd.Stdout, l.cmd.Stderr = io.Discard, log
	// A master ends with the test, even if that is killed.
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go l.run(started)
	if err := <-started; err != nil {
		s.Fatal(err)
	}
	s.life = l
	s.Cleanup(l.kill)
}

// run is the life of the process. The kernel takes the end of the thread that made a child for the death of its parent, so this one is
// kept until the child has ended.
func (l *life) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := l.cmd.Start()
	started <- err
	if err == nil {
		l.err = l.cmd.Wait()
	}
	close(l.gone)
}

// kill ends the master at once. Idempotent.
func (l *life) kill() {
	_ = l.cmd.Process.Kill() // it may have ended
	<-l.gone
}

// stop ends the master as a person would, and expects it to end well.
func (s *seat) stop() {
	s.Helper()
	if err := s.life.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.Error(err)
	}
	select {
	case <-s.life.gone:
	case <-time.After(patience):
		s.Fatal("the master does not stop")
	}
	if s.life.err != nil {
		s.Errorf("the master ended with %v", s.life.err)
	}
}

// leads reports whether the master says that it leads.
func (s *seat) leads(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := s.client.GetMasterInfo(ctx)
	return err == nil && info.Role == "leader" && info.Epoch > 0
}

// complaints are lines of the log that should not be there.
func (s *seat) complaints(words ...string) (found []string) {
	s.Helper()
	b, err := os.ReadFile(s.log())
	if err != nil {
		s.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		for _, word := range words {
			if strings.Contains(lines.Text(), word) {
				found = append(found, lines.Text())
			}
		}
	}
	return found
}

// showLog shows the end of a master's log after a failure. CLIC_CLUSTER_LOGS=DIRECTORY keeps all of it.
func (s *seat) showLog() {
	b, err := os.ReadFile(s.log())
	if err != nil {
		return // it was never started
	}
	if dir := os.Getenv("CLIC_CLUSTER_LOGS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(s.dir)+".log"), b, 0o600); err != nil {
			s.Error(err)
		}
	}
	if s.Failed() {
		s.Logf("the end of %s:\n%s", s.log(), b[max(0, len(b)-8000):])
	}
}
