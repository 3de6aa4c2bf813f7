package local_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
)

// world is an executor over a fresh data directory, whose reports come over a channel.
type world struct {
	*testing.T
	c    local.Config
	e    *local.Executor
	seen chan executors.Sighting
	dir  string // for the programs, as $S
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	checkNursery(t, config(dir).DataDir)
	w := &world{T: t, c: config(dir), dir: t.TempDir(), seen: make(chan executors.Sighting, 1000)}
	w.open()
	return w
}

func (w *world) open() {
	w.Helper()
	e := open(w.T, w.c)
	if err := e.Start(w.Context(), func(_ context.Context, s executors.Sighting) error { w.seen <- s; return nil }); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			w.Error(err)
		}
	})
	w.e = e
}

func (w *world) attempt(id, script string) executors.Attempt {
	return executors.Attempt{ID: id, Task: "task", Stage: id, Epoch: 1, Spec: &dag.StageSpec{
		StageID: id, Template: "sh", Command: []string{"sh", "-c"}, Args: []string{strings.ReplaceAll(script, "$", "$$")},
		Env: []dag.EnvVar{{Name: "S", Value: w.dir}},
	}}
}

func (w *world) launch(a executors.Attempt) {
	w.Helper()
	if err := w.e.Launch(w.Context(), a); err != nil {
		w.Fatal(err)
	}
}

// next waits for a report of the attempt in one of the phases.
func (w *world) next(id string, phases ...dag.AttemptPhase) executors.Sighting {
	w.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case s := <-w.seen:
			for _, p := range phases {
				if s.AttemptID == id && s.Phase == p {
					return s
				}
			}
		case <-timeout:
			w.Fatalf("no report of %s in %v", id, phases)
		}
	}
}

func (w *world) end(id string) executors.Sighting {
	w.Helper()
	return w.next(id, dag.AttemptSucceeded, dag.AttemptFailed, dag.AttemptStopped)
}

// until waits for what gives no signal.
func (w *world) until(what string, is func() bool) {
	w.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-timeout:
			w.Fatalf("waited for %s in vain", what)
		}
	}
}

func (w *world) read(name string) string {
	w.Helper()
	var b []byte
	w.until("the file "+name, func() bool {
		var err error
		b, err = os.ReadFile(filepath.Join(w.dir, name))
		return err == nil && len(b) > 0 && b[len(b)-1] == '\n'
	})
	return strings.TrimSpace(string(b))
}

func (w *world) write(name string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte("x\n"), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) log(id string, o executors.LogOptions) string {
	w.Helper()
	r, err := w.e.Logs(w.Context(), id, o)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// nursery waits for the process that serves the data directory.
func (w *world) nursery() (pid int) {
	w.Helper()
	w.until("a nursery", func() bool {
		pid = findNursery(w.c.DataDir)
		return pid != 0
	})
	return pid
}

// findNursery gives the process that serves the data directory, or 0.
func findNursery(data string) int {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil && string(b) == "clic-nursery\x00__clic-nursery\x00"+data+"\x00" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	return 0
}

// killNursery kills the nursery and waits until it is gone.
func (w *world) killNursery() {
	w.Helper()
	pid := w.nursery()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		w.Fatal(err)
	}
	w.until("the nursery's end", func() bool { return !alive(pid) })
}

// If the nursery is killed under a running master, another one takes over: the program goes on, nothing of its output is
// lost, and its end is seen. Its exit status is known where the kernel tells (Linux 6.15); elsewhere it counts as lost.
func TestNurseryKilled(t *testing.T) {
	w := newWorld(t)
	w.launch(w.attempt("survivor", `echo $$ > "$S/pid"; echo before; echo ran >> "$S/ran"
while [ ! -e "$S/killed" ]; do sleep 0.01; done
i=0; while [ $i -lt 20000 ]; do echo "between $i"; i=$((i+1)); done
echo error >&2; echo said > "$S/said"
while [ ! -e "$S/go" ]; do sleep 0.01; done; echo after; exit 7`))
	w.read("pid")
	w.next("survivor", dag.AttemptRunning)
	w.killNursery()
	w.write("killed")
	// More than a pipe holds: it gets here only if somebody reads again.
	w.read("said")
	w.next("survivor", dag.AttemptRunning)
	w.launch(w.attempt("survivor", "exit 99")) // adopts
	w.launch(w.attempt("another", "exit 3"))
	if s := w.end("another"); s.ExitCode != 3 {
		t.Errorf("another: %+v, %+v", s, s.Failure)
	}
	w.write("go")
	s := w.end("survivor")
	if s.Phase != dag.AttemptFailed || s.Failure.Kind == dag.FailExit && s.ExitCode != 7 ||
		s.Failure.Kind != dag.FailExit && s.Failure.Kind != dag.FailLost {
		t.Errorf("survivor: %+v, %+v", s, s.Failure)
	}
	t.Logf("the survivor's end: %+v", s.Failure)
	log := w.log("survivor", executors.LogOptions{Stdout: true})
	if lines := strings.Count(log, "\n"); lines != 20002 || !strings.HasPrefix(log, "before\nbetween 0\n") || !strings.HasSuffix(log, "between 19999\nafter\n") {
		t.Errorf("the log has %d lines: %.40q … %q", lines, log, log[max(0, len(log)-40):])
	}
	if got := w.log("survivor", executors.LogOptions{Stderr: true}); got != "error\n" {
		t.Errorf("the error output is %q", got)
	}
	if got := w.read("ran"); got != "ran" {
		t.Errorf("it ran more than once: %q", got)
	}
}

// A program that ends between two nurseries: how is known only if its remains are still there.
func TestNurseryKilledThenEnd(t *testing.T) {
	w := newWorld(t)
	w.launch(w.attempt("short", `echo $$ > "$S/pid"; while [ ! -e "$S/go" ]; do sleep 0.01; done; exit 0`))
	pid, err := strconv.Atoi(w.read("pid"))
	if err != nil {
		t.Fatal(err)
	}
	w.next("short", dag.AttemptRunning)
	nursery := w.nursery()
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(nursery, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.write("go")
	w.until("the end of both", func() bool { return !alive(pid) && !alive(nursery) })
	w.open()
	if err := w.e.Recover(t.Context(), 1, []executors.Attempt{w.attempt("short", "exit 99")}); err != nil {
		t.Fatal(err)
	}
	first := w.end("short")
	if first.Phase != dag.AttemptSucceeded && (first.Failure == nil || first.Failure.Kind != dag.FailLost) {
		t.Errorf("%+v, %+v, want lost, or its true end", first, first.Failure)
	}
	// That stays: launching it again must not run it a second time.
	w.launch(w.attempt("short", "exit 99"))
	if s := w.end("short"); s.Phase != first.Phase {
		t.Errorf("launched again: %+v, %+v, want what it was", s, s.Failure)
	}
}

// What an earlier nursery started can be stopped, with all that belongs to it.
func TestNurseryKilledThenCancel(t *testing.T) {
	w := newWorld(t)
	w.launch(w.attempt("family", `sleep 1000 & echo $! > "$S/child"
(setsid sh -c 'echo $$ > "$S/session"; exec sleep 1000' >/dev/null 2>&1 &)
echo $$ > "$S/pid"; wait`))
	w.launch(w.attempt("orphan", `echo $$ > "$S/orphan"; sleep 1000`))
	w.launch(w.attempt("headless", `(setsid sh -c 'echo $$ > "$S/rest"; trap "" TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 &)
echo $$ > "$S/head"; sleep 1000`))
	var pids []int
	for _, name := range []string{"pid", "child", "session", "orphan", "rest", "head"} {
		pid, err := strconv.Atoi(w.read(name))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	nursery := w.nursery()
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{nursery, pids[5]} { // the program of "headless" ends unseen, and leaves something behind
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w.until("an end", func() bool { return !alive(pid) })
	}
	w.open()
	if err := w.e.Recover(t.Context(), 1, []executors.Attempt{w.attempt("family", ""), w.attempt("headless", "")}); err != nil {
		t.Fatal(err)
	}
	if err := w.e.Cancel(t.Context(), "family", time.Minute); err != nil {
		t.Fatal(err)
	}
	headless := false
	for range 2 {
		s := <-w.seen
		for s.Phase == dag.AttemptRunning {
			s = <-w.seen
		}
		if s.AttemptID == "headless" {
			headless = s.Failure != nil && (s.Failure.Kind == dag.FailLost || s.Failure.ExitCode == 137)
		} else if s.Phase != dag.AttemptStopped {
			t.Errorf("%+v, %+v, want stopped", s, s.Failure)
		}
	}
	if !headless {
		t.Error("the attempt whose program ended unseen was not reported as lost or killed")
	}
	w.until("the end of all processes", func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return true
	})
}

// Two executors share one data directory, and so one nursery; each hears of its own attempts.
func TestTwoExecutors(t *testing.T) {
	w := newWorld(t)
	other := &world{T: t, c: w.c, dir: w.dir, seen: make(chan executors.Sighting, 100)}
	other.open()
	w.launch(w.attempt("mine", `while [ ! -e "$S/go" ]; do sleep 0.01; done; exit 2`))
	other.launch(other.attempt("yours", "exit 3"))
	if s := other.end("yours"); s.ExitCode != 3 {
		t.Errorf("%+v", s)
	}
	// What another one watches is nobody's orphan.
	if err := other.e.Recover(t.Context(), 1, nil); err != nil {
		t.Fatal(err)
	}
	w.write("go")
	if s := w.end("mine"); s.ExitCode != 2 {
		t.Errorf("%+v, %+v", s, s.Failure)
	}
	select {
	case s := <-w.seen:
		t.Errorf("heard of %+v", s)
	case s := <-other.seen:
		t.Errorf("the other heard of %+v", s)
	default:
	}
}

// Attempts that write the same output file wait for each other, and say so; one that waits can be stopped.
func TestSameOutputFile(t *testing.T) {
	w := newWorld(t)
	out := []dag.OutputFile{{Name: "p", Path: filepath.Join(w.dir, "out")}}
	launch := func(id, script string) {
		a := w.attempt(id, script)
		a.Spec.OutputFiles = out
		w.launch(a)
	}
	launch("first", `echo $$ > "$S/pid"; while [ ! -e "$S/go" ]; do sleep 0.01; done; echo one > "$S/out"`)
	w.read("pid")
	launch("second", `echo two > "$S/out"`)
	if s := w.next("second", dag.AttemptPending); !strings.Contains(s.Reason, "first") {
		t.Errorf("the reason is %q", s.Reason)
	}
	launch("third", "exit 9")
	launch("second", "exit 9") // adopts
	if err := w.e.Cancel(t.Context(), "third", 0); err != nil {
		t.Fatal(err)
	}
	w.next("third", dag.AttemptStopped)
	w.launch(w.attempt("other", "exit 4")) // has nothing to wait for
	if s := w.end("other"); s.ExitCode != 4 {
		t.Errorf("%+v, %+v", s, s.Failure)
	}
	// A master that comes later finds the line as it was.
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.open()
	if err := w.e.Recover(t.Context(), 1, []executors.Attempt{w.attempt("first", ""), w.attempt("second", "")}); err != nil {
		t.Fatal(err)
	}
	w.next("second", dag.AttemptPending)
	w.write("go")
	for id, want := range map[string]string{"first": "one", "second": "two"} {
		w.until(id, func() bool { // the order of the reports of two attempts is nobody's promise
			s := <-w.seen
			if s.AttemptID != id || s.Phase != dag.AttemptSucceeded {
				w.seen <- s
				return false
			}
			if s.Outputs == nil || s.Outputs.Params["p"] != want {
				t.Errorf("%s: outputs %+v", id, s.Outputs)
			}
			return true
		})
	}
}
