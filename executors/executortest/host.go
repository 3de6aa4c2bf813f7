package executortest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/executors"
)

// Serve is the other process of the suite: it starts the executor, launches the attempts that it reads from in, prints a
// line for each that was launched, and goes on until in ends or the process is killed.
func Serve(e executors.Executor, in io.Reader, out io.Writer) (err error) {
	ctx := context.Background()
	if err := e.Start(ctx, func(context.Context, executors.Sighting) error { return nil }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop(ctx)) }()
	dec := json.NewDecoder(in)
	for {
		var a executors.Attempt
		if err := dec.Decode(&a); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := e.Launch(ctx, a); err != nil {
			return err
		}
		if _, err := io.WriteString(out, a.ID+"\n"); err != nil {
			return err
		}
	}
}

// hostProcess is a process that calls Serve.
type hostProcess struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	once sync.Once
}

// startHost starts the running test binary anew, with variables added to its environment.
func startHost(t *testing.T, env []string) *hostProcess {
	t.Helper()
	h := &hostProcess{cmd: exec.CommandContext(background(), "/proc/self/exe")}
	h.cmd.Env = append(os.Environ(), env...)
	h.cmd.Stderr = os.Stderr
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.out = bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		t.Fatalf("cannot start another process: %v", err)
	}
	t.Cleanup(h.kill)
	return h
}

// launch has the process launch an attempt.
func (h *hostProcess) launch(t *testing.T, a executors.Attempt) {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.in.Write(append(b, '\n')); err != nil {
		t.Fatalf("cannot tell the other process what to launch: %v", err)
	}
	line, err := h.out.ReadString('\n')
	if err != nil || line != a.ID+"\n" {
		t.Fatalf("the other process did not launch %s: %q, %v", a.ID, line, err)
	}
}

// kill ends the process with SIGKILL and waits until it is gone.
func (h *hostProcess) kill() {
	h.once.Do(func() {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
}
