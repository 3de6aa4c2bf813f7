package executortest

import (
	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func (b *bench) recover(ids ...string) {
	b.Helper()
	attempts := make([]executors.Attempt, len(ids))
	for i, id := range ids {
		attempts[i] = b.attempt(id, "exit 99")
	}
	if err := b.e.Recover(b.Context(), 1, attempts); err != nil {
		b.Fatalf("Recover: %v", err)
	}
}

func testAdoptAfterRestart(b *bench) {
	a := b.attempt("adopt", `echo ran >> "$S/ran"; `+sayPID+awaitGo+`echo result; exit 0`)
	a.Spec.CaptureResult = !b.s.Traits.NoOutputs
	b.launch(a)
	first := b.sees(a.ID, "its running", running)
	b.pids("pid")
	b.restart()
	b.recover(a.ID)
	again := b.sees(a.ID, "its running", running)
	if !again.Started.Equal(first.Started) {
		b.Errorf("it started at %v before the restart, at %v after it", first.Started, again.Started)
	}
	b.write("go", "go")
	s := b.end(a.ID)
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	if a.Spec.CaptureResult && (s.Outputs == nil || s.Outputs.Result == nil || *s.Outputs.Result != "result") {
		b.Errorf("outputs are %+v", s.Outputs)
	}
	if got := b.read("ran"); got != "ran" {
		b.Errorf("it ran more than once: %q", got)
	}
}

func testEndedUnwatched(b *bench) {
	b.launch(b.attempt("alone", sayPID+awaitGo+`exit 9`))
	pids := b.pids("pid")
	stop(b.T, b.e)
	b.write("go", "go")
	b.until("the end of the process", func() bool { return !b.s.Alive(pids[0]) })
	b.start()
	b.recover("alone")
	b.wantFailure(b.end("alone"), dag.FailExit, 9)
	// Launching it again, as a leader does that does not know, changes nothing.
	b.restart()
	b.launch(b.attempt("alone", "exit 99"))
	b.wantFailure(b.end("alone"), dag.FailExit, 9)
}

func testRecoverLost(b *bench) {
	b.recover("never-was")
	b.wantFailure(b.end("never-was"), dag.FailLost, 0)
	// It is gone for good only for those who ask: launching it starts it.
	b.restart()
	b.launch(b.attempt("never-was", "exit 3"))
	b.wantFailure(b.end("never-was"), dag.FailExit, 3)
}

// What runs and is in nobody's list belongs to tasks that are gone.
func testOrphans(b *bench) {
	b.launch(b.attempt("orphan", sayPID+`sleep 1000`))
	b.launch(b.attempt("wanted", `echo $$ > "$S/wanted.new"; mv "$S/wanted.new" "$S/wanted"; `+awaitGo+`exit 2`))
	orphan, wanted := b.pids("pid"), b.pids("wanted")
	b.restart()
	b.recover("wanted")
	b.until("the end of the orphan", func() bool { return !b.s.Alive(orphan[0]) })
	if !b.s.Alive(wanted[0]) {
		b.Error("an attempt of the list was stopped")
	}
	b.write("go", "go")
	b.wantFailure(b.end("wanted"), dag.FailExit, 2)
}

// A master that is killed takes nothing along: what runs is adopted, and what ended meanwhile is known.
func testHostKilled(b *bench) {
	host := startHost(b.T, b.s.HostEnv)
	host.launch(b.T, b.attempt("runs", sayPID+`echo ran >> "$S/ran"; `+awaitGo+`echo late; exit 8`))
	host.launch(b.T, b.attempt("ends", `echo $$ > "$S/ends.new"; mv "$S/ends.new" "$S/ends"; while [ ! -e "$S/end" ]; do sleep 0.02; done; exit 11`))
	b.pids("pid")
	ends := b.pids("ends")
	host.kill()
	b.write("end", "end")
	b.until("the end of the process", func() bool { return !b.s.Alive(ends[0]) })
	b.restart()
	b.recover("runs", "ends")
	b.wantFailure(b.end("ends"), dag.FailExit, 11)
	b.sees("runs", "its running", running)
	b.write("go", "go")
	b.wantFailure(b.end("runs"), dag.FailExit, 8)
	if got := b.log("runs", executors.LogOptions{}); got != "late\n" {
		b.Errorf("the log is %q", got)
	}
	if got := b.read("ran"); got != "ran" {
		b.Errorf("it ran more than once: %q", got)
	}
}
