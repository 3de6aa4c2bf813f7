package local_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// stubborn has a program, one that ignores TERM in a session of its own, and the pids of both in files.
const stubborn = `(setsid sh -c 'trap "" TERM; echo $$ > "$S/rest"; while :; do sleep 0.1; done' >/dev/null 2>&1 &)
echo $$ > "$S/pid"; sleep 1000`

// pids reads what programs wrote down of themselves.
func (w *world) pids(names ...string) []int {
	w.Helper()
	pids := make([]int, len(names))
	for i, name := range names {
		var err error
		if pids[i], err = strconv.Atoi(w.read(name)); err != nil {
			w.Fatal(err)
		}
	}
	return pids
}

func (w *world) untilGone(pids ...int) {
	w.Helper()
	for _, pid := range pids {
		w.until("the end of a process", func() bool { return !alive(pid) })
	}
}

// graceful gives the attempt a short grace.
func graceful(a executors.Attempt) executors.Attempt {
	a.Spec.Grace = dag.Duration(100)
	return a
}

// A private master that is killed leaves nothing running: neither attempts, nor those that wait, nor the nursery.
func TestPrivateKilled(t *testing.T) {
	dir := t.TempDir()
	w := &world{T: t, c: config(dir), dir: t.TempDir()}
	checkNursery(t, w.c.DataDir)
	host := exec.CommandContext(t.Context(), "/proc/self/exe")
	host.Env = append(os.Environ(), hostEnv+"="+dir, privateEnv+"=1")
	in, err := host.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	first, second := graceful(w.attempt("first", stubborn)), w.attempt("second", `echo ran > "$S/ran"; sleep 1000`)
	file := []dag.OutputFile{{Name: "p", Path: w.dir + "/out"}}
	first.Spec.OutputFiles, second.Spec.OutputFiles = file, file
	enc, answers := json.NewEncoder(in), bufio.NewScanner(out)
	for _, a := range []executors.Attempt{first, second} {
		if err := enc.Encode(a); err != nil || !answers.Scan() || answers.Text() != a.ID {
			t.Fatalf("%s was not launched: %v, %q", a.ID, err, answers.Text())
		}
	}
	pids := append(w.pids("pid", "rest"), w.nursery())
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	w.untilGone(pids...)
}

// A private master that stops leaves nothing running either; what has ended by then is as it was.
func TestPrivateStopped(t *testing.T) {
	dir := t.TempDir()
	checkNursery(t, config(dir).DataDir)
	w := &world{T: t, c: config(dir), dir: t.TempDir(), seen: make(chan executors.Sighting, 100)}
	w.c.Private = true
	w.open()
	w.launch(w.attempt("ended", "exit 3"))
	w.end("ended")
	w.launch(graceful(w.attempt("left", stubborn)))
	pids := w.pids("pid", "rest")
	// Another nursery knows as well that they are private.
	w.next("left", dag.AttemptRunning)
	w.killNursery()
	w.next("left", dag.AttemptRunning)
	pids = append(pids, w.nursery())
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.untilGone(pids...)
	w.c.Private = false
	w.open()
	if err := w.e.Recover(t.Context(), 1, []executors.Attempt{w.attempt("ended", ""), w.attempt("left", "")}); err != nil {
		t.Fatal(err)
	}
	w.next("ended", dag.AttemptFailed)
	w.next("left", dag.AttemptStopped)
}

// A nursery whose directory was removed ends once its master is gone, with all its attempts.
func TestDirectoryRemoved(t *testing.T) {
	dir := t.TempDir()
	w := &world{T: t, c: config(dir), dir: t.TempDir(), seen: make(chan executors.Sighting, 100)}
	w.open()
	w.launch(graceful(w.attempt("left", stubborn)))
	pids := append(w.pids("pid", "rest"), w.nursery())
	if err := os.RemoveAll(w.c.DataDir); err != nil {
		t.Fatal(err)
	}
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.untilGone(pids...)
}

// The texts say once that it did not work.
func TestLaunchErrors(t *testing.T) {
	w := newWorld(t)
	a := w.attempt("never", "")
	a.Spec.Command = nil
	err := w.e.Launch(t.Context(), a)
	if !errors.Is(err, executors.ErrNever) || !strings.HasPrefix(err.Error(), `attempt "never" cannot be launched: template "sh" names no command`) {
		t.Errorf("%v", err)
	}
	if err := w.e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = w.e.Launch(t.Context(), w.attempt("late", ""))
	if !errors.Is(err, executors.ErrClosed) || err.Error() != `cannot launch attempt "late": executor is closed` {
		t.Errorf("%v", err)
	}
}
