// Package executortest is the suite that every executor passes. A new executor's test is a call of Run with what the suite
// has to know of it; see executors/local for one.
//
// The programs that the suite runs are small shell scripts. They talk to the suite through files in a directory that both
// see, so nothing depends on how long anything takes.
package executortest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// Subject is an executor under test and its world. Each test of the suite gets a fresh one.
type Subject struct {
	// Open makes an executor. Each call gives another one over the same world (data directory, namespace), as a restarted
	// master would have it.
	Open func(t *testing.T) executors.Executor
	// Shared is a directory that the suite and the programs see under the same path.
	Shared string
	// Prepare completes the description of a stage, with an image for instance. May be nil.
	Prepare func(*dag.StageSpec)
	// PutSecret and PutConfig make a value known to the executor.
	PutSecret, PutConfig func(t *testing.T, name, key, value string)
	// Kept are directories in which no secret may be found. May be empty.
	Kept []string
	// Alive reports whether a process that a program has named by its number still runs.
	Alive func(pid int) bool
	// HostEnv are variables by which the TestMain of the running test binary, started anew, knows that it has to call Serve
	// with an executor over the same world, on its standard input and output.
	HostEnv []string
	// LogLimit is how many bytes are kept of one stream. 0: the executor keeps what it can.
	LogLimit int64
	// Traits are what is otherwise than with processes of this machine.
	Traits Traits
}

// Traits are what an executor does otherwise than one that starts processes on this machine, because its world does. The suite tests
// each as it is declared. The zero value is such a process.
type Traits struct {
	// Patience is how long anything may take. A test that passes never waits that long. Default one minute.
	Patience time.Duration
	// Many is how many attempts its world can start at the same time. Default 200.
	Many int
	// Images: a program runs in an image, so it begins in that image's directory, which need not be empty, and a stage that names no
	// image cannot be launched.
	Images bool
	// Private is a directory that each attempt has for itself, under the same path. "" is none.
	Private string
	// NotFound is the exit status of a command that does not exist. Default 64.
	NotFound int
	// LateSettings: secrets and configuration entries are looked up after the launch, and text only. Where one is missing the attempt
	// fails with dag.FailLaunch, and the message names what is missing.
	LateSettings bool
	// NoOutputs: results and output parameters cannot be taken back, so a stage that asks for them cannot be launched.
	NoOutputs bool
	// OutputRoom is how many bytes of results and parameters come back by way of the executor alone. Default: any number.
	OutputRoom int
	// NoUsage: what an attempt has used is not known.
	NoUsage bool
	// OneStream: standard output and error are one log, whichever is asked for.
	OneStream bool
	// FirstGrace: the grace of a cancel holds, whatever is asked for while it runs.
	FirstGrace bool
	// KillsFrozen: a program that a signal has stopped is not continued, so it ends by force when its grace is over.
	KillsFrozen bool
}

func (s *Subject) patience() time.Duration {
	if s.Traits.Patience > 0 {
		return s.Traits.Patience
	}
	return time.Minute
}

// Run runs the suite. open is called once for each test.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*bench)
	}{
		{"Success", testSuccess},
		{"ExitCodes", testExitCodes},
		{"CommandNotFound", testCommandNotFound},
		{"CannotBeLaunched", testCannotBeLaunched},
		{"ShellLine", testShellLine},
		{"Script", testScript},
		{"Environment", testEnvironment},
		{"References", testReferences},
		{"Secrets", testSecrets},
		{"SecretMissing", testSecretMissing},
		{"FreshWorkDir", testFreshWorkDir},
		{"LaunchTwice", testLaunchTwice},
		{"LaunchTwiceAtOnce", testLaunchTwiceAtOnce},
		{"StaleEpoch", testStaleEpoch},
		{"StaleRecover", testStaleRecover},
		{"ManyAtOnce", testManyAtOnce},
		{"CancelWithChildren", testCancelWithChildren},
		{"CancelUnknown", testCancelUnknown},
		{"CancelEnded", testCancelEnded},
		{"CancelByForce", testCancelByForce},
		{"CancelStopped", testCancelStopped},
		{"LeftBehind", testLeftBehind},
		{"AdoptAfterRestart", testAdoptAfterRestart},
		{"EndedUnwatched", testEndedUnwatched},
		{"RecoverLost", testRecoverLost},
		{"Orphans", testOrphans},
		{"HostKilled", testHostKilled},
		{"Result", needsOutputs(testResult)},
		{"ResultTooLarge", needsOutputs(testResultTooLarge)},
		{"OutputFiles", needsOutputs(testOutputFiles)},
		{"OutputMissing", needsOutputs(testOutputMissing)},
		{"OutputOfFailed", needsOutputs(testOutputOfFailed)},
		{"OutputStale", needsOutputs(testOutputStale)},
		{"OutputSameFile", needsOutputs(testOutputSameFile)},
		{"OutputTooLarge", needsOutputs(testOutputTooLarge)},
		{"Logs", testLogs},
		{"LogsFollow", testLogsFollow},
		{"LogsFollowCancelled", testLogsFollowCancelled},
		{"LogsFlood", testLogsFlood},
		{"NoLogs", testNoLogs},
		{"Forget", testForget},
		{"StopIdempotent", testStopIdempotent},
		{"Usage", testUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{T: t, s: open(t)}
			b.start()
			c.run(b)
		})
	}
}

// bench is one test's executor, and what it reported.
type bench struct {
	*testing.T
	s   *Subject
	e   executors.Executor
	saw *recorder
}

// start opens an executor, and stops it when the test is over.
func (b *bench) start() {
	b.Helper()
	e := b.s.Open(b.T)
	b.e, b.saw = e, newRecorder()
	if err := e.Start(b.Context(), b.saw.sink); err != nil {
		b.Fatalf("Start: %v", err)
	}
	b.Cleanup(func() { stop(b.T, e) })
}

// restart stops the executor and opens another.
func (b *bench) restart() {
	b.Helper()
	stop(b.T, b.e)
	b.start()
}

func stop(t *testing.T, e executors.Executor) {
	t.Helper()
	if err := e.Stop(t.Context()); err != nil && t.Context().Err() == nil {
		t.Errorf("Stop: %v", err)
	}
	// In a clean-up the test's context is over; Stop is idempotent, so this only waits.
	if err := e.Stop(background()); err != nil {
		t.Errorf("Stop again: %v", err)
	}
}

// attempt describes a shell script as an attempt. $S is the shared directory. What executors replace in arguments they leave alone.
func (b *bench) attempt(id, script string) executors.Attempt {
	spec := &dag.StageSpec{
		StageID: id, Task: "task", Template: "sh", Platform: "sh",
		Command: []string{"sh", "-c"}, Args: []string{strings.ReplaceAll(script, "$", "$$")},
		Env: []dag.EnvVar{{Name: "S", Value: b.s.Shared}},
	}
	if b.s.Prepare != nil {
		b.s.Prepare(spec)
	}
	return executors.Attempt{ID: id, Task: "task", Stage: id, Epoch: 1, Spec: spec}
}

func (b *bench) launch(a executors.Attempt) {
	b.Helper()
	if err := b.e.Launch(b.Context(), a); err != nil {
		b.Fatalf("Launch %s: %v", a.ID, err)
	}
}

// run launches a script and waits for its end.
func (b *bench) run(id, script string) executors.Sighting {
	b.Helper()
	b.launch(b.attempt(id, script))
	return b.end(id)
}

// end waits for the report of an attempt's end.
func (b *bench) end(id string) executors.Sighting {
	b.Helper()
	return b.sees(id, "its end", over)
}

func over(s executors.Sighting) bool {
	return s.Phase == dag.AttemptSucceeded || s.Phase == dag.AttemptFailed || s.Phase == dag.AttemptStopped
}

func running(s executors.Sighting) bool { return s.Phase == dag.AttemptRunning }

func (b *bench) sees(id, what string, is func(executors.Sighting) bool) executors.Sighting {
	b.Helper()
	s, ok := b.saw.wait(id, is, b.s.patience())
	if !ok {
		b.Fatalf("attempt %s: %s was not reported; reported were %+v", id, what, b.saw.of(id))
	}
	return s
}

// wantPhase checks how an attempt ended.
func (b *bench) wantPhase(s executors.Sighting, phase dag.AttemptPhase, exit int) {
	b.Helper()
	if s.Phase != phase || s.ExitCode != exit {
		b.Fatalf("attempt %s ended in phase %d with exit code %d (%+v), want phase %d, exit code %d",
			s.AttemptID, s.Phase, s.ExitCode, s.Failure, phase, exit)
	}
}

// wantFailure checks in what way an attempt failed.
func (b *bench) wantFailure(s executors.Sighting, kind dag.FailureKind, exit int) {
	b.Helper()
	b.wantPhase(s, dag.AttemptFailed, exit)
	if s.Failure == nil || s.Failure.Kind != kind || s.Failure.ExitCode != exit || s.Failure.Message == "" {
		b.Fatalf("attempt %s failed with %+v, want kind %v, exit code %d and a message", s.AttemptID, s.Failure, kind, exit)
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.s.Shared, name) }

// write makes a file appear, whole, for programs that wait for it.
func (b *bench) write(name, content string) {
	b.Helper()
	if err := os.WriteFile(b.path(name+".new"), []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(b.path(name+".new"), b.path(name)); err != nil {
		b.Fatal(err)
	}
}

// read waits until a program has made a file, and gives its content without the last line end.
func (b *bench) read(name string) string {
	b.Helper()
	var content []byte
	b.until("the file "+name, func() bool {
		var err error
		content, err = os.ReadFile(b.path(name))
		return err == nil && len(content) > 0
	})
	return strings.TrimSuffix(string(content), "\n")
}

// until waits for something that gives no signal of its own.
func (b *bench) until(what string, is func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(b.s.patience())
	for !is() {
		select {
		case <-tick.C:
		case <-timeout:
			b.Fatalf("waited for %s in vain", what)
		}
	}
}

// Scripts: wait for a file, and say something in one that appears whole.
const (
	awaitGo = `while [ ! -e "$S/go" ]; do sleep 0.02; done; `
	sayPID  = `echo $$ > "$S/pid.new"; mv "$S/pid.new" "$S/pid"; `
)
