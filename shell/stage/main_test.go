package stage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/shell/stage"
)

// helperName is the name under which the test program is the helper.
const helperName = "clic-stage"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == helperName {
		os.Exit(stage.Main(&stage.Process{
			Version: "v1.2.3", Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}, os.Args[1:]))
	}
	if local.RunShimIfAsked() {
		return
	}
	os.Exit(m.Run())
}

// patience is how long tests wait for what must happen soon.
const patience = 60 * time.Second

// box is what stands for a container: the helper, installed as in a pod, a termination log, and an environment.
type box struct {
	*testing.T
	dir, helper, log string
	options          map[string]any
	env              []string
}

func newBox(t *testing.T) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{T: t, dir: dir, log: filepath.Join(dir, "termination-log")}
	b.helper = install(t, filepath.Join(dir, "clic"))
	b.write("termination-log", "")
	b.options = map[string]any{"terminationLog": b.log, "heartbeat": "0s"}
	b.env = []string{"PATH=" + os.Getenv("PATH"), "BOX=" + dir}
	return b
}

// install has the test program install itself, as the init container does.
func install(t *testing.T, dir string, env ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "install", dir)
	cmd.Args[0] = helperName
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot install: %v\n%s", err, out)
	}
	return filepath.Join(dir, helperName)
}

func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

func (b *box) write(name, text string) {
	b.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o666); err != nil {
		b.Fatal(err)
	}
}

func (b *box) read(name string) string {
	b.Helper()
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// outputs asks for output parameters.
func (b *box) outputs(files ...stage.Output) { b.options["outputs"] = files }

// word is the helper's termination message.
type word struct {
	V       int
	Exit    int
	Signal  string
	Error   string
	Posted  bool
	Stopped bool
	Info    string
	Started int64
	Usage   *struct{ CPU, RSS int64 }
	Outputs *struct {
		Result     *string
		Parameters map[string]string
	}
}

// outcome is how a run ended.
type outcome struct {
	word
	status         int
	stdout, stderr string
}

// running is a run under way.
type running struct {
	*box
	*exec.Cmd
	out, err bytes.Buffer
}

// command prepares a run of a command under the helper.
func (b *box) command(argv ...string) *running {
	b.Helper()
	text, err := json.Marshal(b.options)
	if err != nil {
		b.Fatal(err)
	}
	b.write("termination-log", "")
	r := &running{box: b}
	r.Cmd = exec.Command(b.helper, append([]string{"run", "--"}, argv...)...)
	r.Dir, r.Stdout, r.Stderr = b.dir, &r.out, &r.err
	r.WaitDelay = 10 * time.Second // what escapes does not hold the test up
	r.Env = append(slices.Clone(b.env), stage.EnvOptions+"="+string(text))
	return r
}

// start starts a shell script under the helper; it is killed at the test's end if it still runs.
func (b *box) start(script string) *running {
	b.Helper()
	return b.command("sh", "-c", script).begin()
}

func (r *running) begin() *running {
	r.Helper()
	if err := r.Cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if r.ProcessState == nil {
			_ = r.Process.Signal(term) // which reaches the program too
			_ = r.Cmd.Wait()
		}
	})
	return r
}

// run runs a shell script to its end.
func (b *box) run(script string) outcome {
	b.Helper()
	return b.start(script).end()
}

// end waits for the end of a run.
func (r *running) end() outcome {
	r.Helper()
	o := r.status()
	text := r.read("termination-log")
	if !strings.HasPrefix(text, `{"v":1,`) || len(text) > 4096 {
		r.Fatalf("the termination message has %d bytes: %.300s", len(text), text)
	}
	if err := json.Unmarshal([]byte(text), &o.word); err != nil {
		r.Fatalf("the termination message: %v: %s", err, text)
	}
	return o
}

// status waits for the end of a run that may leave no message.
func (r *running) status() outcome {
	r.Helper()
	late := time.AfterFunc(patience, func() { _ = r.Process.Signal(term) })
	err := r.Cmd.Wait()
	if !late.Stop() {
		r.Fatalf("it does not end; so far it has printed %q %q", r.out.String(), r.err.String())
	}
	o := outcome{stdout: r.out.String(), stderr: r.err.String()}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		o.status = e.ExitCode()
	} else if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		r.Fatal(err)
	}
	return o
}

// fifo makes a named pipe, by which a program tells the test something, or the other way round.
func (b *box) fifo(name string) {
	b.Helper()
	if err := syscall.Mkfifo(b.path(name), 0o666); err != nil {
		b.Fatal(err)
	}
}

// hear waits for what a program writes to a named pipe.
func (b *box) hear(name string) string {
	b.Helper()
	f, err := os.OpenFile(b.path(name), os.O_RDWR, 0) // so that the opening does not wait
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
		b.Fatal(err)
	}
	var text []byte
	for buf := make([]byte, 1); ; {
		if _, err := io.ReadFull(f, buf); err != nil {
			b.Fatalf("nothing is heard at %s: %v", name, err)
		}
		if buf[0] == '\n' {
			return string(text)
		}
		text = append(text, buf[0])
	}
}

func (o outcome) want(t *testing.T, status int, part string) {
	t.Helper()
	if o.status != status || o.Exit != status {
		t.Errorf("exit status %d, and %d in the message; want %d", o.status, o.Exit, status)
	}
	if part == "" && o.Error != "" || !strings.Contains(o.Error, part) {
		t.Errorf("error %q, want %q", o.Error, part)
	}
}

// result is the result in the message.
func (o outcome) result(t *testing.T) string {
	t.Helper()
	if o.Outputs == nil || o.Outputs.Result == nil {
		t.Fatal("there is no result")
	}
	return *o.Outputs.Result
}

const term = syscall.SIGTERM

// awaitText waits until the termination message has a text.
func awaitText(b *box, part string) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !strings.Contains(b.read("termination-log"), part); {
		select {
		case <-tick.C:
		case <-late:
			b.Fatalf("the termination message is %q", b.read("termination-log"))
		}
	}
}
