package executortest

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func (b *bench) cancel(id string, grace time.Duration) {
	b.Helper()
	if err := b.e.Cancel(b.Context(), id, grace); err != nil {
		b.Fatalf("Cancel %s: %v", id, err)
	}
}

// pids waits for processes that programs have named in files.
func (b *bench) pids(names ...string) []int {
	b.Helper()
	pids := make([]int, len(names))
	for i, name := range names {
		var err error
		if pids[i], err = strconv.Atoi(b.read(name)); err != nil {
			b.Fatal(err)
		}
	}
	return pids
}

func (b *bench) wantGone(pids []int) {
	b.Helper()
	for _, pid := range pids {
		if b.s.Alive(pid) {
			b.Errorf("process %d still runs", pid)
		}
	}
}

// family is a script with a child, a child in another process group, and a grandchild in a session of its own whose
// parents have ended. Each says who it is.
const family = `say() { echo $1 > "$S/$2.new"; mv "$S/$2.new" "$S/$2"; }
sleep 1000 & say $! child
set -m; sleep 1000 & say $! group; set +m
(setsid sh -c 'echo $$ > "$S/session.new"; mv "$S/session.new" "$S/session"; exec sleep 1000' >/dev/null 2>&1 &)
`

func testCancelWithChildren(b *bench) {
	b.launch(b.attempt("family", family+sayPID+"wait; sleep 1000"))
	pids := b.pids("pid", "child", "group", "session")
	b.cancel("family", 0)
	s := b.end("family")
	b.wantPhase(s, dag.AttemptStopped, 143)
	b.wantGone(pids)
	// Idempotent, also when it is over.
	b.cancel("family", 0)
}

func testCancelUnknown(b *bench) {
	b.cancel("unknown", 0)
	if s := b.end("unknown"); s.Phase != dag.AttemptStopped {
		b.Errorf("reported %+v, want stopped", s)
	}
}

// What has ended by itself before it could be stopped keeps its end.
func testCancelEnded(b *bench) {
	b.wantFailure(b.run("ended", "exit 5"), dag.FailExit, 5)
	ends := b.saw.count("ended", over)
	b.cancel("ended", 0)
	b.until("another report of the end", func() bool { return b.saw.count("ended", over) > ends })
	for _, s := range b.saw.of("ended") {
		if over(s) {
			b.wantFailure(s, dag.FailExit, 5)
		}
	}
}

func testCancelByForce(b *bench) {
	b.launch(b.attempt("deaf", `trap '' TERM; sleep 1000 & echo $! > "$S/child"; `+sayPID+`while :; do sleep 0.05; done`))
	pids := b.pids("pid", "child")
	if !b.s.Traits.FirstGrace {
		b.cancel("deaf", time.Hour)
	}
	// Asked again, the shorter grace holds.
	b.cancel("deaf", 50*time.Millisecond)
	s := b.end("deaf")
	b.wantPhase(s, dag.AttemptStopped, 137)
	b.wantGone(pids)
}

// A program that was stopped by a signal cannot end before it goes on.
func testCancelStopped(b *bench) {
	b.launch(b.attempt("stopped", sayPID+`kill -STOP $$; sleep 1000`))
	pids := b.pids("pid")
	grace, status := time.Minute, 143
	if b.s.Traits.KillsFrozen {
		grace, status = time.Second, 137
	}
	b.cancel("stopped", grace)
	b.wantPhase(b.end("stopped"), dag.AttemptStopped, status)
	b.wantGone(pids)
}

// What a program leaves running when it ends is stopped, whatever it has done to hide.
func testLeftBehind(b *bench) {
	s := b.run("left", family+`trap '' TERM
sleep 1000 & say $! deaf
(env -i "$(command -v setsid)" sh -c 'exec sleep 1000' >/dev/null 2>&1 &)
exit 0`)
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	b.wantGone(b.pids("child", "group", "session", "deaf"))
}

func testStopIdempotent(b *bench) {
	b.launch(b.attempt("runs", sayPID+awaitGo+`exit 6`))
	pids := b.pids("pid")
	for range 3 {
		if err := b.e.Stop(b.Context()); err != nil {
			b.Fatalf("Stop: %v", err)
		}
	}
	if err := b.e.Launch(b.Context(), b.attempt("late", "true")); !errors.Is(err, executors.ErrClosed) {
		b.Errorf("Launch after Stop gave %v, want ErrClosed", err)
	}
	if err := b.e.Cancel(b.Context(), "runs", 0); !errors.Is(err, executors.ErrClosed) {
		b.Errorf("Cancel after Stop gave %v, want ErrClosed", err)
	}
	if err := b.e.Start(b.Context(), func(context.Context, executors.Sighting) error { return nil }); !errors.Is(err, executors.ErrClosed) {
		b.Errorf("Start after Stop gave %v, want ErrClosed", err)
	}
	if !b.s.Alive(pids[0]) {
		b.Error("stopping the executor stopped the attempt")
	}
	// One that never was started can be stopped too.
	stop(b.T, b.s.Open(b.T))
	b.restart()
	b.recover("runs")
	b.write("go", "go")
	b.wantFailure(b.end("runs"), dag.FailExit, 6)
}
