package output_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/executors/output"
)

func TestMain(m *testing.M) {
	if local.RunShimIfAsked() { // the test program is also what runs attempts
		return
	}
	goleak.VerifyTestMain(m)
}

var errAway = errors.New("nobody answers")

// disk is a Store of plain files. It can be away, and can be told to wait.
type disk struct {
	mu      sync.Mutex
	away    int // how often it does not answer from now on
	asked   int
	entered chan struct{} // closed when a check has begun, if not nil; it then waits for its context
	lost    int           // how often the answer to Publish is lost from now on
	before  func()        // called by Publish before it does anything, if not nil
	gone    string        // the store does not answer for what is to go here
	refuse  error         // what Prepare says, if not nil
}

func (d *disk) answer() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.away > 0 {
		d.away--
		return errAway
	}
	return nil
}

func (d *disk) Prepare(_ context.Context, dir string) error {
	if d.refuse != nil {
		return d.refuse
	}
	return os.MkdirAll(dir, 0o750)
}

func (d *disk) Check(ctx context.Context, spec *dag.StageSpec, where string) error {
	if d.entered != nil {
		close(d.entered)
		<-ctx.Done()
		return ctx.Err()
	}
	if err := d.answer(); err != nil {
		return err
	}
	if info, err := os.Stat(where); err != nil || info.Size() == 0 {
		return fmt.Errorf("%s is not %s: %w", where, spec.Output.Success, output.ErrUnmet)
	}
	return nil
}

const marker = "_marker"

func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

func (d *disk) Published(_ context.Context, dir, place string) (bool, error) {
	moved := !exists(dir) || exists(dir, marker) && !exists(dir, filepath.Base(place))
	if d.gone != "" && place == d.gone {
		return false, errAway
	}
	return moved && exists(place), d.answer()
}

func (d *disk) Publish(_ context.Context, dir, place string) error {
	if d.before != nil {
		d.before()
	}
	if err := d.answer(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, marker), 0o750); err != nil {
		return err
	}
	if exists(place) {
		return fmt.Errorf("%s exists already: %w", place, output.ErrUnmet)
	}
	if err := os.Rename(filepath.Join(dir, filepath.Base(place)), place); err != nil {
		return fmt.Errorf("%w: %w", output.ErrUnmet, err)
	}
	if d.lost > 0 {
		d.lost--
		return errAway
	}
	return nil
}

func (d *disk) Discard(_ context.Context, dir string) error { return os.RemoveAll(dir) }

// bench is an executor with what it was seen to report.
type bench struct {
	*testing.T
	executors.Executor
	dir   string
	ends  chan executors.Sighting
	store *disk
	// patience and parallel are those of the executor.
	patience time.Duration
	parallel int
}

func (b *bench) open() {
	b.Helper()
	e, err := local.New(local.Config{DataDir: filepath.Join(b.dir, "data")})
	if err != nil {
		b.Fatal(err)
	}
	b.Executor = output.Checked(e, output.Config{Store: b.store, Backoff: time.Millisecond, Patience: b.patience, Parallel: b.parallel})
	b.ends = make(chan executors.Sighting, 100)
	ends := b.ends
	sink := func(_ context.Context, s executors.Sighting) error {
		if s.Phase != dag.AttemptPending && s.Phase != dag.AttemptRunning {
			ends <- s
		}
		return nil
	}
	if err := b.Start(b.Context(), sink); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) close() {
	b.Helper()
	if err := b.Stop(context.Background()); err != nil {
		b.Error(err)
	}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), store: &disk{}, patience: time.Minute}
	b.open()
	t.Cleanup(b.close)
	b.recover()
	return b
}

func (b *bench) recover(attempts ...executors.Attempt) {
	b.Helper()
	if err := b.Recover(b.Context(), 1, attempts); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) attempt(id, script string, out *dag.Output) executors.Attempt {
	return executors.Attempt{ID: id, Task: "t", Stage: id, Epoch: 1, Spec: &dag.StageSpec{
		StageID: id, Task: "t", Template: "t", Command: []string{"sh", "-c"}, Args: []string{script}, Output: out,
	}}
}

// run runs an attempt and gives its end.
func (b *bench) run(id, script string, out *dag.Output) executors.Sighting {
	b.Helper()
	if err := b.Launch(b.Context(), b.attempt(id, script, out)); err != nil {
		b.Fatal(err)
	}
	return <-b.ends
}

func (b *bench) content(path string) string {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return "none"
	}
	return string(text)
}

func TestCheck(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "out")
	out := &dag.Output{Path: path, Success: "nonempty"}
	s := b.run("none", "true", out)
	if s.Phase != dag.AttemptFailed || s.Failure.Kind != dag.FailOutput || !strings.Contains(s.Failure.Message, path+" is not nonempty") {
		t.Errorf("without an output: %+v, %v", s, s.Failure)
	}
	if s := b.run("some", `echo data > "$CLIC_OUTPUT"`, out); s.Phase != dag.AttemptSucceeded || b.content(path) != "data\n" {
		t.Errorf("with an output: %+v", s)
	}
	asked := b.store.asked
	if s := b.run("bad", "exit 3", out); s.Phase != dag.AttemptFailed || s.ExitCode != 3 || s.Failure.Kind != dag.FailExit {
		t.Errorf("the exit status of a program that failed: %+v", s)
	}
	if s := b.run("free", `test -z "$CLIC_OUTPUT"`, nil); s.Phase != dag.AttemptSucceeded || b.store.asked != asked {
		t.Errorf("of what nothing was promised: %+v", s)
	}
}

func TestPublish(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "out")
	out := &dag.Output{Path: path, Success: "nonempty", Publish: true}
	if s := b.run("s", `echo half > "$CLIC_OUTPUT"; exit 1`, out); s.Phase != dag.AttemptFailed || b.content(path) != "none" {
		t.Errorf("an attempt that failed: %+v; the output is %q", s, b.content(path))
	}
	if s := b.run("s-r1", `echo whole > "$CLIC_OUTPUT"`, out); s.Phase != dag.AttemptSucceeded || b.content(path) != "whole\n" {
		t.Errorf("the attempt after it: %+v; the output is %q", s, b.content(path))
	}
	s := b.run("other", `echo more > "$CLIC_OUTPUT"`, out)
	if s.Phase != dag.AttemptFailed || s.Failure.Kind != dag.FailOutput || b.content(path) != "whole\n" {
		t.Errorf("what somebody published before: %+v; the output is %q", s, b.content(path))
	}
	// A leader that did not hear of the end asks again, which changes nothing.
	b.close()
	b.open()
	b.recover(b.attempt("s-r1", "", out))
	if s := <-b.ends; s.Phase != dag.AttemptSucceeded || b.content(path) != "whole\n" {
		t.Errorf("asked again: %+v; the output is %q", s, b.content(path))
	}
	b.close()
	if len(b.left()) > 0 {
		t.Errorf("left behind: %q", b.left())
	}
	b.open()
}

func TestStoreAway(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "out")
	out := &dag.Output{Path: path, Success: "nonempty", Publish: true}
	b.store.away = 5
	if s := b.run("s", `echo x > "$CLIC_OUTPUT"`, out); s.Phase != dag.AttemptSucceeded || b.store.asked != 8 {
		t.Errorf("%+v, the store was asked %d times", s, b.store.asked)
	}
	b.close()
	b.store.away, b.patience = 1<<30, 50*time.Millisecond
	b.open()
	b.recover()
	s := b.run("late", `true`, &dag.Output{Path: path, Success: "nonempty"})
	if s.Phase != dag.AttemptFailed || s.Failure.Kind != dag.FailOutput || s.Failure.Message != errAway.Error() {
		t.Errorf("%+v, %v", s, s.Failure)
	}
}

// left gives the directories of attempts that are there.
func (b *bench) left() []string {
	b.Helper()
	left, err := filepath.Glob(filepath.Join(b.dir, "_clic-*"))
	if err != nil {
		b.Error(err)
	}
	return left
}

// TestPublishAnswerLost has the store publish and not say so.
func TestPublishAnswerLost(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "out")
	b.store.lost = 1
	s := b.run("s", `echo x > "$CLIC_OUTPUT"`, &dag.Output{Path: path, Success: "nonempty", Publish: true})
	if s.Phase != dag.AttemptSucceeded || b.content(path) != "x\n" || len(b.left()) > 0 {
		t.Errorf("%+v, %v; the output is %q, left behind %q", s, s.Failure, b.content(path), b.left())
	}
}

// TestPublishedByAnother has another master, which led before this one, publish the same attempt at the same time.
func TestPublishedByAnother(t *testing.T) {
	b := newBench(t)
	for name, discards := range map[string]bool{"p": true, "q": false} {
		path := filepath.Join(b.dir, name)
		b.store.before = func() {
			b.store.before = nil
			dir := output.Dir(name, path)
			if err := b.store.Publish(t.Context(), dir, path); err != nil {
				t.Error(err)
			}
			if discards {
				if err := b.store.Discard(t.Context(), dir); err != nil {
					t.Error(err)
				}
			}
		}
		s := b.run(name, `echo x > "$CLIC_OUTPUT"`, &dag.Output{Path: path, Success: "nonempty", Publish: true})
		if s.Phase != dag.AttemptSucceeded || b.content(path) != "x\n" || len(b.left()) > 0 {
			t.Errorf("%+v, %v; the output is %q, left behind %q", s, s.Failure, b.content(path), b.left())
		}
	}
}

// TestKilledWhilePublishing begins where a master was killed between the rename and all that follows it.
func TestKilledWhilePublishing(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "out")
	out := &dag.Output{Path: path, Publish: true}
	b.store.away = 1 << 30
	if err := b.Launch(t.Context(), b.attempt("s", `echo x > "$CLIC_OUTPUT"`, out)); err != nil {
		t.Fatal(err)
	}
	for dir := output.Dir("s", path); !exists(dir, "out"); { // the program writes it
		runtime.Gosched()
	}
	b.close()
	b.store.away = 0
	if err := b.store.Publish(t.Context(), output.Dir("s", path), path); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.recover(b.attempt("s", "", out))
	if s := <-b.ends; s.Phase != dag.AttemptSucceeded || len(b.left()) > 0 {
		t.Errorf("%+v, %v; left behind %q", s, s.Failure, b.left())
	}
}

// TestStoreOfOneAway has one store away, which keeps nobody waiting who is with another one.
func TestStoreOfOneAway(t *testing.T) {
	b := newBench(t)
	b.close()
	b.parallel = 1
	b.open()
	b.recover()
	away, path := filepath.Join(b.dir, "away"), filepath.Join(b.dir, "out")
	b.store.gone = away
	if err := b.Launch(t.Context(), b.attempt("a", `echo x > "$CLIC_OUTPUT"`, &dag.Output{Path: away, Publish: true})); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		out := &dag.Output{Path: path + fmt.Sprint(i), Publish: true}
		if s := b.run(fmt.Sprint(i), `echo x > "$CLIC_OUTPUT"`, out); s.Phase != dag.AttemptSucceeded {
			t.Errorf("%+v, %v", s, s.Failure)
		}
	}
}

// TestPrepare launches what has nowhere to write to: for good, or for now, which costs the stage none of its tries.
func TestPrepare(t *testing.T) {
	b := newBench(t)
	for refused, want := range map[error]error{errAway: executors.ErrAway, output.ErrUnmet: executors.ErrNever} {
		b.store.refuse = refused
		a := b.attempt("s", "true", &dag.Output{Path: filepath.Join(b.dir, "out"), Publish: true})
		if err := b.Launch(t.Context(), a); !errors.Is(err, refused) || !errors.Is(err, want) {
			t.Errorf("%v", err)
		}
	}
	b.store.refuse = nil
}

func TestPlaces(t *testing.T) {
	for place, want := range map[string]string{
		"/data/out":          "/data/_clic-a/out",
		"/data/out/":         "/data/_clic-a/out",
		"/out":               "/_clic-a/out",
		"hdfs://nn/data/a//": "hdfs://nn/data/_clic-a/a",
		"hdfs:///a/a":        "hdfs:///a/_clic-a/a",
	} {
		if got := output.Place("a", &dag.Output{Path: place, Publish: true}); got != want {
			t.Errorf("%q is written to at %q, not %q", place, got, want)
		}
	}
}

// A check that is under way keeps neither a cancel nor the end of the executor waiting.
func TestInterrupted(t *testing.T) {
	b := newBench(t)
	out := &dag.Output{Path: filepath.Join(b.dir, "out"), Success: "nonempty", Publish: true}
	b.store.entered = make(chan struct{})
	if err := b.Launch(t.Context(), b.attempt("s", "true", out)); err != nil {
		t.Fatal(err)
	}
	<-b.store.entered
	if err := b.Cancel(t.Context(), "s", 0); err != nil {
		t.Fatal(err)
	}
	if s := <-b.ends; s.Phase != dag.AttemptSucceeded && s.Phase != dag.AttemptStopped {
		t.Errorf("cancelled: %+v", s)
	}
	b.store.entered = make(chan struct{})
	if err := b.Launch(t.Context(), b.attempt("t", "true", out)); err != nil {
		t.Fatal(err)
	}
	<-b.store.entered
	b.close()
	b.store.entered = nil
	b.open()
	b.recover(b.attempt("t", "", out))
	if s := <-b.ends; s.AttemptID != "t" || s.Phase != dag.AttemptFailed {
		t.Errorf("after the executor was stopped: %+v", s)
	}
}
