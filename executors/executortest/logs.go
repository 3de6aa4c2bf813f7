package executortest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func (b *bench) open(id string, o executors.LogOptions) io.ReadCloser {
	b.Helper()
	r, err := b.e.Logs(b.Context(), id, o)
	if err != nil {
		b.Fatalf("Logs %s: %v", id, err)
	}
	b.Cleanup(func() { _ = r.Close() })
	return r
}

func (b *bench) log(id string, o executors.LogOptions) string {
	b.Helper()
	content, err := io.ReadAll(b.open(id, o))
	if err != nil {
		b.Fatalf("reading the log of %s: %v", id, err)
	}
	return string(content)
}

func testLogs(b *bench) {
	// The pauses keep the streams apart for whoever reads them.
	b.wantPhase(b.run("log", `echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; printf four`), dag.AttemptSucceeded, 0)
	const all = "one\ntwo\nthree\nfour"
	out, diagnostics, line := "one\nthree\nfour", "two\n", "two\n"
	if b.s.Traits.OneStream {
		out, diagnostics, line = all, all, "four"
	}
	for _, c := range []struct {
		name string
		o    executors.LogOptions
		want string
	}{
		{"all", executors.LogOptions{}, all},
		{"both", executors.LogOptions{Stdout: true, Stderr: true}, all},
		{"stdout", executors.LogOptions{Stdout: true}, out},
		{"stderr", executors.LogOptions{Stderr: true}, diagnostics},
		{"offset", executors.LogOptions{Offset: 5}, all[5:]},
		{"limit", executors.LogOptions{Limit: 6}, all[:6]},
		{"range", executors.LogOptions{Offset: 3, Limit: 8}, all[3:11]},
		{"from the end", executors.LogOptions{Offset: -6}, all[len(all)-6:]},
		{"more than all from the end", executors.LogOptions{Offset: -600}, all},
		{"behind the end", executors.LogOptions{Offset: 600}, ""},
		{"last line", executors.LogOptions{TailLines: 1}, "four"},
		{"last lines", executors.LogOptions{TailLines: 3}, "two\nthree\nfour"},
		{"more lines than there are", executors.LogOptions{TailLines: 30}, all},
		{"last lines, limited", executors.LogOptions{TailLines: 2, Limit: 4}, "thre"},
		{"last line of one stream", executors.LogOptions{TailLines: 1, Stderr: true}, line},
		{"followed", executors.LogOptions{Follow: true}, all},
		{"followed from an offset", executors.LogOptions{Follow: true, Offset: 9, Limit: 4}, all[9:13]},
		{"last line, followed", executors.LogOptions{Follow: true, TailLines: 1}, "four"},
		{"since long ago", executors.LogOptions{Since: time.Now().Add(-time.Hour)}, all},
		{"range since long ago", executors.LogOptions{Since: time.Now().Add(-time.Hour), Offset: 3, Limit: 8}, all[3:11]},
		{"since later", executors.LogOptions{Since: time.Now().Add(time.Hour)}, ""},
		{"since later, followed", executors.LogOptions{Since: time.Now().Add(time.Hour), Follow: true}, ""},
	} {
		if got := b.log("log", c.o); got != c.want {
			b.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	b.wantPhase(b.run("silent", "true"), dag.AttemptSucceeded, 0)
	for _, follow := range []bool{false, true} {
		if got := b.log("silent", executors.LogOptions{Follow: follow}); got != "" {
			b.Errorf("the log of a silent program is %q", got)
		}
	}
}

func testLogsFollow(b *bench) {
	b.launch(b.attempt("follow", `echo first; `+awaitGo+`echo second >&2; while [ ! -e "$S/end" ]; do sleep 0.02; done; echo third`))
	b.sees("follow", "its running", running)
	r := bufio.NewReader(b.open("follow", executors.LogOptions{Follow: true, Offset: 2}))
	expect := func(want string) {
		b.Helper()
		if got, err := r.ReadString('\n'); err != nil || got != want {
			b.Fatalf("read %q, %v, want %q", got, err, want)
		}
	}
	expect("rst\n")
	b.write("go", "go")
	expect("second\n")
	b.write("end", "end")
	expect("third\n")
	if got, err := r.ReadString('\n'); !errors.Is(err, io.EOF) {
		b.Errorf("after the end: %q, %v, want io.EOF", got, err)
	}
}

// A follower that gives up, or whose executor is stopped, is woken.
func testLogsFollowCancelled(b *bench) {
	b.launch(b.attempt("quiet", sayPID+`sleep 1000`))
	b.pids("pid")
	b.sees("quiet", "its running", running)
	wake := func(r io.ReadCloser, by func()) error {
		errs := make(chan error)
		go func() {
			_, err := r.Read(make([]byte, 10))
			errs <- err
		}()
		by()
		return <-errs
	}
	ctx, cancel := context.WithCancel(b.Context())
	r, err := b.e.Logs(ctx, "quiet", executors.LogOptions{Follow: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := wake(r, cancel); !errors.Is(err, context.Canceled) {
		b.Errorf("a follower whose context is done got %v", err)
	}
	_ = r.Close()
	r = b.open("quiet", executors.LogOptions{Follow: true})
	if err := wake(r, func() { _ = r.Close() }); err == nil {
		b.Error("a follower that was closed got no error")
	}
	r = b.open("quiet", executors.LogOptions{Follow: true})
	if err := wake(r, func() { stop(b.T, b.e) }); err == nil {
		b.Error("a follower of an executor that was stopped got no error")
	}
	b.restart()
	b.cancel("quiet", 0)
	b.end("quiet")
}

// A flood neither blocks the program nor fills the disk; its beginning and its end stay.
func testLogsFlood(b *bench) {
	b.wantPhase(b.run("flood", `echo begin; yes flood | head -c 20000000; echo; echo end; echo error >&2`), dag.AttemptSucceeded, 0)
	if b.s.LogLimit == 0 {
		b.unlimitedFlood()
		return
	}
	log := b.log("flood", executors.LogOptions{Stdout: true})
	if !strings.HasPrefix(log, "begin\nflood\n") || !strings.HasSuffix(log, "end\n") {
		b.Errorf("the log begins with %.20q and ends with %q", log, log[max(0, len(log)-20):])
	}
	if !strings.Contains(log, "dropped") {
		b.Error("the log does not say that something is missing")
	}
	if n := int64(len(log)); n > b.s.LogLimit+200 || n < b.s.LogLimit/2 {
		b.Errorf("%d bytes were kept, with a limit of %d", n, b.s.LogLimit)
	}
	if got := b.log("flood", executors.LogOptions{TailLines: 1, Stdout: true}); got != "end\n" {
		b.Errorf("the last line is %q", got)
	}
	if got := b.log("flood", executors.LogOptions{Stderr: true}); got != "error\n" {
		b.Errorf("the other stream is %q", got)
	}
}

// unlimitedFlood checks what an executor has whose logs are kept by something else: how much of a flood that is, it does not decide. A
// container runtime that puts a log aside while it is written loses pieces of it there, the last lines too. So all that can be asked for
// is the program's words, whole or broken off, and no more than it said.
func (b *bench) unlimitedFlood() {
	b.Helper()
	log := b.log("flood", executors.LogOptions{Stdout: true})
	if len(log) > 20_000_100 {
		b.Errorf("%d bytes are more than the program wrote", len(log))
	}
	if i := strings.IndexFunc(log, func(r rune) bool { return !strings.ContainsRune("begin\nflood\nend\nerror\n", r) }); i >= 0 {
		b.Errorf("byte %d of %d begins %.40q", i, len(log), log[i:])
	}
}

func testNoLogs(b *bench) {
	for _, o := range []executors.LogOptions{{}, {Follow: true}} {
		if _, err := b.e.Logs(b.Context(), "unknown", o); !errors.Is(err, executors.ErrNoLogs) {
			b.Errorf("Logs of an unknown attempt gave %v, want ErrNoLogs", err)
		}
	}
}

func testForget(b *bench) {
	b.wantPhase(b.run("gone", `echo ran >> "$S/ran"; mkdir -p a/b; touch a/b/c; chmod 0555 a/b`), dag.AttemptSucceeded, 0)
	b.launch(b.attempt("runs", sayPID+awaitGo+`echo kept`))
	b.pids("pid")
	for range 2 { // unknown ids are no error
		if err := b.e.Forget(b.Context(), []string{"gone", "runs", "unknown"}); err != nil {
			b.Fatalf("Forget: %v", err)
		}
	}
	if _, err := b.e.Logs(b.Context(), "gone", executors.LogOptions{}); !errors.Is(err, executors.ErrNoLogs) {
		b.Errorf("Logs of a forgotten attempt gave %v, want ErrNoLogs", err)
	}
	b.write("go", "go")
	b.wantPhase(b.end("runs"), dag.AttemptSucceeded, 0)
	if got := b.log("runs", executors.LogOptions{}); got != "kept\n" {
		b.Errorf("the log of an attempt that ran is %q", got)
	}
	b.launch(b.attempt("gone", `echo ran >> "$S/ran"`))
	b.until("the second run", func() bool { return b.read("ran") == "ran\nran" })
}
