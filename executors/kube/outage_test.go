//go:build cluster

package kube_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
)

// worker is a program that says that it runs, and ends well once it is told to.
func (s *site) worker(id string) executors.Attempt {
	a := s.attempt(id, "", "")
	a.Spec.Args = []string{fmt.Sprintf(`echo ran >> %[1]s/%[2]s; while [ ! -e %[1]s/go ]; do sleep 0.1; done`, s.shared, id)}
	s.prepare(a.Spec)
	return a
}

func (s *site) ran(t *testing.T, id string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.shared, id))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func (s *site) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.shared, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantRanOnce waits for the ends of workers.
func (s *site) wantRanOnce(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if r := s.end(t, id); r.Phase != dag.AttemptSucceeded {
			t.Errorf("%s ended as %+v (%+v)", id, r, r.Failure)
		}
		if got := s.ran(t, id); got != "ran\n" {
			t.Errorf("%s ran so: %q", id, got)
		}
	}
}

// A paused attempt goes on under its own name, and what somebody else suspends is not for us to resume.
func TestPause(t *testing.T) {
	s := newSite(t, nil)
	ctx := t.Context()
	a := s.worker("paused")
	if err := s.e.Launch(ctx, a); err != nil {
		t.Fatal(err)
	}
	s.sees(t, a.ID, "its running", isRunning)
	for range 2 {
		if err := s.e.Pause(ctx, a.ID, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	kept := s.sees(t, a.ID, "that it was paused", isOver)
	if kept.Phase != dag.AttemptStopped || !kept.Kept {
		t.Fatalf("it was reported as %+v (%+v)", kept, kept.Failure)
	}
	// A new master finds it paused.
	if err := s.e.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	s.e = s.open(t, s.config(kube.HelperNever))
	s.reports = nil
	s.start(t)
	if err := s.e.Recover(ctx, 2, []executors.Attempt{a}); err != nil {
		t.Fatal(err)
	}
	if r := s.sees(t, a.ID, "that it is paused", isOver); !r.Kept {
		t.Fatalf("it was reported as %+v", r)
	}
	s.reports = nil
	a.Epoch = 2
	if err := s.e.Launch(ctx, a); err != nil {
		t.Fatal(err)
	}
	s.sees(t, a.ID, "its running", isRunning)
	s.release(t)
	if r := s.end(t, a.ID); r.Phase != dag.AttemptSucceeded || r.Kept {
		t.Fatalf("it ended as %+v (%+v)", r, r.Failure)
	}
	if got := s.ran(t, a.ID); got != "ran\nran\n" {
		t.Errorf("it ran so: %q", got)
	}
	// What has ended, or never was, says so.
	s.reports = nil
	for _, id := range []string{a.ID, "never-was"} {
		if err := s.e.Pause(ctx, id, 0); err != nil {
			t.Fatal(err)
		}
		if r := s.end(t, id); r.Kept {
			t.Errorf("%s was reported as %+v", id, r)
		}
	}
}

func TestPausedCancelled(t *testing.T) {
	s := newSite(t, nil)
	a := s.worker("paused")
	if err := s.e.Launch(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	s.sees(t, a.ID, "its running", isRunning)
	if err := s.e.Pause(t.Context(), a.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	s.sees(t, a.ID, "that it was paused", func(r executors.Sighting) bool { return r.Kept })
	if err := s.e.Cancel(t.Context(), a.ID, 0); err != nil {
		t.Fatal(err)
	}
	s.sees(t, a.ID, "its end", func(r executors.Sighting) bool { return isOver(r) && !r.Kept && r.Phase == dag.AttemptStopped })
	eventually(t, "the end of its Job", func() bool {
		jobs, err := s.client.BatchV1().Jobs(s.name).List(t.Context(), metav1.ListOptions{})
		return err == nil && len(jobs.Items) == 0
	})
}

// Logs outlive pods, also of what is stopped in the middle.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, func(c *kube.Config) { c.ArchiveLogs, c.LogDir = true, dir })
	s.launch(t, "ends", "echo one; echo two", "")
	s.launch(t, "stopped", `trap 'echo bye; exit 1' TERM; echo begin; `+forever, "")
	s.end(t, "ends")
	s.sees(t, "stopped", "its running", isRunning)
	if err := s.e.Cancel(t.Context(), "stopped", 0); err != nil {
		t.Fatal(err)
	}
	if r := s.end(t, "stopped"); r.Phase != dag.AttemptStopped || r.ExitCode != 1 {
		t.Errorf("it was reported as %+v", r)
	}
	for id, want := range map[string]string{"ends": "one\ntwo\n", "stopped": "begin\nbye\n"} {
		eventually(t, "the log of "+id, func() bool {
			_, err := os.Stat(filepath.Join(dir, id+".log"))
			return err == nil
		})
		r, err := s.e.Logs(t.Context(), id, executors.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != want {
			t.Errorf("the log of %s is %q, %v", id, b, err)
		}
		_ = r.Close()
	}
	if err := s.e.Forget(t.Context(), []string{"ends", "stopped"}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A leader that has been replaced is told so, and what it launches late is ended by the one that leads.
func TestDeposed(t *testing.T) {
	s := newSite(t, nil)
	next := s.open(t, s.config(kube.HelperNever))
	if err := next.Start(t.Context(), s.sink); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Stop(context.Background()) }()
	lost := s.attempt("lost", "sleep 1000", "")
	if err := next.Recover(t.Context(), 2, []executors.Attempt{lost}); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, s.end(t, "lost"), dag.FailLost, 0, "its Job is gone")
	eventually(t, "the word of the new leader", func() bool {
		return errors.Is(s.e.Launch(t.Context(), s.attempt("late", "true", "")), executors.ErrStale)
	})
	if err := s.e.Recover(t.Context(), 1, nil); !errors.Is(err, executors.ErrStale) {
		t.Errorf("Recover gave %v", err)
	}
	// What was on its way before that.
	for _, id := range []string{"on-its-way", "lost"} {
		job := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{
				Name: id, Labels: map[string]string{"clic/instance": "clic"},
				Annotations: map[string]string{"clic/attempt-id": id, "clic/epoch": "1", "clic/container": "sh"},
			},
			Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"clic/instance": "clic"}, Annotations: map[string]string{"clic/container": "sh"}},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever,
					Containers:    []corev1.Container{{Name: "sh", Image: shellImage, Command: []string{"sleep", "1000"}}},
				},
			}},
		}
		if _, err := s.client.BatchV1().Jobs(s.name).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the end of what nobody asked for", func() bool {
		_, err := s.client.BatchV1().Jobs(s.name).Get(t.Context(), "on-its-way", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	// What was asked about may still be wanted: its launch adopts it.
	lost.Epoch = 2
	if err := next.Launch(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	s.sees(t, "lost", "its running", isRunning)
	if job, err := s.client.BatchV1().Jobs(s.name).Get(t.Context(), "lost", metav1.GetOptions{}); err != nil || job.Annotations["clic/epoch"] != "1" {
		t.Errorf("it was launched anew: %+v, %v", job.Annotations, err)
	}
}

// proxy stands between an executor and the API server, and can cut what goes through it.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     map[net.Conn]bool
	wg       sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, open: map[net.Conn]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.open[in], p.open[out] = true, true
		p.mu.Unlock()
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			p.wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_, _ = pair[0].Close(), pair[1].Close()
				p.mu.Lock()
				delete(p.open, pair[0])
				p.mu.Unlock()
			})
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

// through writes a kubeconfig that leads to the API server by way of a proxy.
func through(t *testing.T) (*proxy, string) {
	t.Helper()
	c, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	var p *proxy
	for _, cluster := range c.Clusters {
		u, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		p = newProxy(t, u.Host)
		cluster.TLSServerName, cluster.Server = u.Hostname(), "https://"+p.listener.Addr().String()
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	return p, file
}

// Connections that break at any moment, in the middle of requests and of watches, neither start anything twice nor lose anything.
func TestConnectionsCut(t *testing.T) {
	p, file := through(t)
	s := newSite(t, func(c *kube.Config) {
		c.Kubeconfig = file
		c.StartTimeout = 5 * time.Minute // a busy machine may not get a request through between two cuts for long
	})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(60 * time.Millisecond); ; {
			select {
			case <-tick.C:
				p.cut()
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	var ids []string
	var group sync.WaitGroup
	for i := range 12 {
		id := fmt.Sprintf("cut-%d", i)
		ids = append(ids, id)
		group.Go(func() {
			if err := s.e.Launch(t.Context(), s.worker(id)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	close(stop)
	<-done
	for _, id := range ids {
		s.sees(t, id, "its running", isRunning)
	}
	p.cut()
	s.release(t)
	s.wantRanOnce(t, ids...)
}

// An API server that is away is waited for: what runs is adopted again, and what is to be launched is launched.
func TestServerRestarted(t *testing.T) {
	s := newSite(t, nil)
	if err := s.e.Launch(t.Context(), s.worker("before")); err != nil {
		t.Fatal(err)
	}
	s.sees(t, "before", "its running", isRunning)
	log, err := s.e.Logs(t.Context(), "before", executors.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.component(t, "stop", "apiserver")
	launched := make(chan error, 1)
	go func() { launched <- s.e.Launch(t.Context(), s.worker("meanwhile")) }()
	s.sees(t, "meanwhile", "why it is not launched", func(r executors.Sighting) bool {
		return r.Phase == dag.AttemptPending && strings.Contains(r.Reason, "the API server does not answer")
	})
	s.component(t, "start", "apiserver")
	if err := <-launched; err != nil {
		t.Fatal(err)
	}
	s.sees(t, "meanwhile", "its running", isRunning)
	s.component(t, "restart", "apiserver")
	s.release(t)
	s.wantRanOnce(t, "before", "meanwhile")
	if rest, err := io.ReadAll(log); err != nil {
		t.Errorf("following the log over the restarts gave %q, %v", rest, err)
	}
}

func (s *site) component(t *testing.T, command, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join("..", "..", "scripts", "cluster.sh"), command, name).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot %s %s: %v\n%s", command, name, err, out)
	}
}
