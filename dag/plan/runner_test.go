package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
)

// haste is how much faster than the clock the tests' time goes: a program that sleeps for 8 seconds takes 8/haste.
const haste = 40

// runner drives a run with real processes. It owns the run: everything that happens comes in over events.
type runner struct {
	t      *testing.T
	run    *dag.Run
	prog   dag.Program
	dir    string
	began  time.Time
	events chan dag.Event
	wg     sync.WaitGroup
	live   map[string]*os.Process
	asked  map[dag.Effect]bool
	timers map[dag.Effect]*time.Timer
	// onRunning is called once when a program runs.
	onRunning func(r *runner, node int32)
	mu        sync.Mutex
	// stopped are the attempts to stop, whether or not their process is known yet.
	stopped map[string]bool
}

func newRunner(t *testing.T, p *dag.Plan, prog dag.Program) *runner {
	t.Helper()
	r := &runner{
		t: t, prog: prog, dir: t.TempDir(), began: time.Now(), events: make(chan dag.Event, 64),
		live: map[string]*os.Process{}, asked: map[dag.Effect]bool{}, timers: map[dag.Effect]*time.Timer{},
		stopped: map[string]bool{},
	}
	run, _, err := dag.New(p, prog, r.now())
	if err != nil {
		t.Fatal(err)
	}
	r.run = run
	// Programs sleep, but not for long.
	sleep := fmt.Sprintf("#!/bin/sh\nexec /bin/sleep $(awk \"BEGIN{print $1/%d}\")\n", haste)
	if err := os.WriteFile(filepath.Join(r.dir, "sleep"), []byte(sleep), 0o700); err != nil {
		t.Fatal(err)
	}
	return r
}

// now is the tests' time in milliseconds; it never is 0.
func (r *runner) now() dag.Time {
	return dag.Time(1_700_000_000_000 + haste*time.Since(r.began).Milliseconds())
}

// finish runs to the end.
func (r *runner) finish() {
	r.step(dag.Start{At: r.now()})
	deadline := time.After(30 * time.Second)
	for !r.run.Task().Status.Terminal() {
		if r.run.Task().Status == dag.TaskSuspended && r.run.Node(0).Status == dag.Suspended {
			r.step(dag.Continue{At: r.now(), Node: 0, Who: "test"})
		}
		select {
		case ev := <-r.events:
			r.step(ev)
		case <-deadline:
			for i := range r.run.Len() {
				r.t.Logf("%s %s", r.run.Path(int32(i)), r.run.Node(int32(i)).Status)
			}
			r.t.Fatal("the run does not end")
		}
	}
	for _, timer := range r.timers {
		timer.Stop()
	}
	done := make(chan struct{})
	go func() { r.wg.Wait(); close(done) }()
	for {
		select {
		case <-r.events:
		case <-done:
			return
		}
	}
}

func (r *runner) step(ev dag.Event) {
	if _, err := r.run.Step(ev); err != nil {
		if errors.Is(err, dag.ErrRefused) {
			return
		}
		r.t.Fatalf("%T: %v", ev, err)
	}
	for again := true; again; {
		again = false
		for _, e := range r.run.Pending() {
			again = r.act(e) || again
		}
	}
}

// act does what an effect asks for, once. It reports whether it changed the run.
func (r *runner) act(e dag.Effect) bool {
	if e.Kind == dag.EffectReady {
		if _, err := r.run.Step(dag.Grant{At: r.now(), Node: e.Node}); err != nil {
			r.t.Fatal(err)
		}
		return true
	}
	if r.asked[e] {
		return false
	}
	r.asked[e] = true
	switch e.Kind {
	case dag.EffectLaunch:
		spec, err := r.prog.Stage(r.run, e.Node)
		if err != nil {
			r.t.Fatalf("cannot make the stage: %v", err)
		}
		r.wg.Add(1)
		go r.launch(e, spec)
	case dag.EffectCancel:
		r.mu.Lock()
		r.stopped[r.key(e)] = true
		r.stop(e)
		r.mu.Unlock()
	case dag.EffectTimer:
		r.timers[e] = time.AfterFunc(time.Duration(e.At-r.now())*time.Millisecond/haste, func() {
			r.wg.Add(1)
			go func() { defer r.wg.Done(); r.events <- dag.Tick{At: max(r.now(), e.At), Node: e.Node} }()
		})
	}
	return false
}

// stop ends the process of an attempt that is to be stopped, once it is known.
func (r *runner) stop(e dag.Effect) {
	if p := r.live[r.key(e)]; p != nil && r.stopped[r.key(e)] {
		_ = syscall.Kill(-p.Pid, syscall.SIGTERM) // gone already is fine
	}
}

func (r *runner) key(e dag.Effect) string { return fmt.Sprintf("%d/%d", e.Node, e.Attempt) }

// launch runs one attempt and reports it.
func (r *runner) launch(e dag.Effect, s *dag.StageSpec) {
	defer r.wg.Done()
	command, err := r.command(e, s)
	if err != nil {
		r.events <- dag.Observed{
			At: r.now(), Node: e.Node, Attempt: e.Attempt, Phase: dag.AttemptFailed, ExitCode: 64, Failure: &dag.Failure{
				Kind: dag.FailExit, ExitCode: 64, Message: fmt.Sprintf("main: Error (exit code 64): failed to find name in PATH: %v", err),
			},
		}
		return
	}
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Start(); err != nil {
		r.events <- dag.Observed{At: r.now(), Node: e.Node, Attempt: e.Attempt, Phase: dag.AttemptFailed, Failure: dag.NewFailure(dag.FailLaunch, 0, err.Error())}
		return
	}
	r.mu.Lock()
	r.live[r.key(e)] = command.Process
	r.stop(e)
	r.mu.Unlock()
	r.events <- dag.Observed{At: r.now(), Node: e.Node, Attempt: e.Attempt, Phase: dag.AttemptRunning}
	if r.onRunning != nil {
		r.onRunning(r, e.Node)
	}
	err = command.Wait()
	r.events <- r.ended(e, s, err, out.String())
}

// command finds the program in the runner's own directory first.
func (r *runner) command(e dag.Effect, s *dag.StageSpec) (*exec.Cmd, error) {
	argv := append(append([]string{}, s.Command...), s.Args...)
	if s.Shell {
		argv = []string{"/bin/sh", "-c", s.Args[0] + " --stageId=" + s.StageID}
	}
	if s.Script != "" {
		file := filepath.Join(r.dir, strings.ReplaceAll(r.key(e), "/", "-"))
		if err := os.WriteFile(file, []byte(s.Script), 0o600); err != nil {
			return nil, err
		}
		argv = append(argv, file)
	}
	name := argv[0]
	if own := filepath.Join(r.dir, name); !strings.Contains(name, "/") {
		if _, err := os.Stat(own); err == nil {
			name = own
		}
	}
	if _, err := exec.LookPath(name); err != nil {
		return nil, fmt.Errorf("exec: %q: executable file not found in $PATH", name)
	}
	c := exec.Command(name, argv[1:]...)
	c.Env = append(os.Environ(), "PATH="+r.dir+":"+os.Getenv("PATH"))
	for _, v := range s.Env {
		c.Env = append(c.Env, v.Name+"="+v.Value)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c, nil
}

func (r *runner) ended(e dag.Effect, s *dag.StageSpec, err error, stdout string) dag.Event {
	o := dag.Observed{At: r.now(), Node: e.Node, Attempt: e.Attempt, Phase: dag.AttemptSucceeded, Outputs: &dag.Outputs{}}
	if s.CaptureResult {
		result := strings.TrimSuffix(stdout, "\n")
		o.Outputs.Result = &result
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		o.ExitCode = int32(exit.ExitCode())
		o.Phase = dag.AttemptFailed
		if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			o.ExitCode = 128 + int32(w.Signal())
			o.Phase = dag.AttemptStopped
		}
		o.Failure = dag.NewFailure(dag.FailExit, int(o.ExitCode), fmt.Sprintf("main: Error (exit code %d)", o.ExitCode))
		return o
	}
	for _, f := range s.OutputFiles {
		b, err := os.ReadFile(f.Path)
		switch {
		case err == nil:
		case f.Default != nil:
			b = []byte(*f.Default)
		default:
			o.Phase = dag.AttemptFailed
			o.Failure = dag.NewFailure(dag.FailOutput, 0,
				"wait: Error (exit code 64): open /var/run/argo/outputs/parameters"+f.Path+": no such file or directory")
			return o
		}
		if o.Outputs.Params == nil {
			o.Outputs.Params = map[string]string{}
		}
		o.Outputs.Params[f.Name] = strings.TrimSuffix(string(b), "\n")
	}
	return o
}
