package executortest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// needsOutputs is a test for executors that take outputs back. The others have to refuse such a stage before it runs.
func needsOutputs(test func(b *bench)) func(b *bench) {
	return func(b *bench) {
		if !b.s.Traits.NoOutputs {
			test(b)
			return
		}
		for id, want := range map[string]func(*dag.StageSpec){
			"result": func(s *dag.StageSpec) { s.CaptureResult = true },
			"file":   func(s *dag.StageSpec) { s.OutputFiles = []dag.OutputFile{{Name: "p", Path: b.path("o")}} },
		} {
			a := b.attempt(id, "true")
			want(a.Spec)
			if err := b.e.Launch(b.Context(), a); !errors.Is(err, executors.ErrNever) {
				b.Errorf("%s: Launch gave %v, want ErrNever", id, err)
			}
		}
	}
}

func (b *bench) capture(id, script string) executors.Sighting {
	b.Helper()
	a := b.attempt(id, script)
	a.Spec.CaptureResult = true
	b.launch(a)
	return b.end(id)
}

// room is n, or as many bytes as come back.
func (b *bench) room(n int) int {
	if most := b.s.Traits.OutputRoom; most > 0 {
		return min(n, most)
	}
	return n
}

// The result is the standard output without exactly one line end.
func testResult(b *bench) {
	for id, c := range map[string]struct{ script, want string }{
		"blank": {`printf '  l1\nl2 \n\n\n'`, "  l1\nl2 \n\n"},
		"none":  {`true`, ""},
		"line":  {`echo`, ""},
		"plain": {`printf x; echo not this >&2`, "x"},
		"bytes": {`printf 'a\377b\n'`, "a\uFFFDb"},
		"large": {fmt.Sprintf(`head -c %d /dev/zero | tr '\0' y`, b.room(1000000)), strings.Repeat("y", b.room(1000000))},
	} {
		s := b.capture(id, c.script)
		b.wantPhase(s, dag.AttemptSucceeded, 0)
		switch {
		case s.Outputs == nil || s.Outputs.Result == nil:
			b.Errorf("%s: no result", id)
		case *s.Outputs.Result != c.want:
			b.Errorf("%s: the result is %.100q (%d bytes), want %.100q", id, *s.Outputs.Result, len(*s.Outputs.Result), c.want)
		}
	}
}

func testResultTooLarge(b *bench) {
	s := b.capture("huge", `head -c 3000000 /dev/zero | tr '\0' y`)
	b.wantFailure(s, dag.FailOutput, 0)
	if !strings.Contains(s.Failure.Message, "3000000") {
		b.Errorf("the message does not say how large it is: %q", s.Failure.Message)
	}
}

// files launches a script with output parameters p1, p2, … from files.
func (b *bench) files(id, script string, files ...dag.OutputFile) executors.Sighting {
	b.Helper()
	a := b.attempt(id, script)
	a.Spec.OutputFiles = files
	b.launch(a)
	return b.end(id)
}

func testOutputFiles(b *bench) {
	fallback := "fallback"
	s := b.files("out", `echo one > "$S/o1"; printf 'two\n\n' > "$S/o2"; : > "$S/o4"; echo here > rel`,
		dag.OutputFile{Name: "p1", Path: b.path("o1"), Default: &fallback},
		dag.OutputFile{Name: "p2", Path: b.path("o2")},
		dag.OutputFile{Name: "p3", Path: b.path("o3"), Default: &fallback},
		dag.OutputFile{Name: "p4", Path: b.path("o4"), Default: &fallback},
		dag.OutputFile{Name: "p5", Path: "rel"},
	)
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	want := map[string]string{"p1": "one", "p2": "two\n", "p3": "fallback", "p4": "", "p5": "here"}
	if s.Outputs == nil || !maps.Equal(s.Outputs.Params, want) {
		b.Errorf("outputs are %+v, want %v", s.Outputs, want)
	}
}

func testOutputMissing(b *bench) {
	s := b.files("missing", `echo one > "$S/o1"`,
		dag.OutputFile{Name: "p1", Path: b.path("o1")}, dag.OutputFile{Name: "p2", Path: b.path("none")})
	b.wantFailure(s, dag.FailOutput, 0)
	if !s.Failure.Errored || !strings.Contains(s.Failure.Message, "no such file") {
		b.Errorf("the failure is %+v, want an error that says that there is no such file", s.Failure)
	}
}

// A program that fails may have written outputs all the same.
func testOutputOfFailed(b *bench) {
	s := b.files("failed", `echo one > "$S/o1"; exit 3`,
		dag.OutputFile{Name: "p1", Path: b.path("o1")}, dag.OutputFile{Name: "p2", Path: b.path("none")})
	b.wantFailure(s, dag.FailExit, 3)
	if s.Outputs == nil || s.Outputs.Params["p1"] != "one" {
		b.Errorf("outputs are %+v, want p1", s.Outputs)
	}
}

// A file that an earlier run left in the same place is not this one's output.
func testOutputStale(b *bench) {
	b.write("old", "from an earlier run")
	// The attempt has to begin at a later time. A file's may be as coarse as a tick of the system (10 ms at most), or finer, as Linux
	// has it of files that somebody looks at: later is by more than a tick.
	b.until("the file system's clock to go on", func() bool {
		b.write("now", "now")
		return changed(b, "now").Sub(changed(b, "old")) > 20*time.Millisecond
	})
	s := b.files("stale", "true", dag.OutputFile{Name: "p", Path: b.path("old")})
	b.wantFailure(s, dag.FailOutput, 0)
	if !strings.Contains(s.Failure.Message, "earlier run") {
		b.Errorf("the message does not say that the file is old: %q", s.Failure.Message)
	}
	fallback := "fallback"
	s = b.files("stale-default", "true", dag.OutputFile{Name: "p", Path: b.path("old"), Default: &fallback})
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	if s.Outputs == nil || s.Outputs.Params["p"] != "fallback" {
		b.Errorf("outputs are %+v, want the default", s.Outputs)
	}
}

func testOutputTooLarge(b *bench) {
	s := b.files("large", `head -c 300000 /dev/zero > "$S/o"`, dag.OutputFile{Name: "p", Path: b.path("o")})
	b.wantFailure(s, dag.FailOutput, 0)
	s = b.files("fifo", `mkfifo "$S/fifo"`, dag.OutputFile{Name: "p", Path: b.path("fifo")})
	b.wantFailure(s, dag.FailOutput, 0)
}

func changed(b *bench, name string) time.Time {
	b.Helper()
	info, err := os.Stat(b.path(name))
	if err != nil {
		b.Fatal(err)
	}
	return info.ModTime()
}

// Attempts at the same time that write the same file, as the instances of a loop do, each get what they wrote themselves.
func testOutputSameFile(b *bench) {
	const n = 8
	file := b.path("out")
	if b.s.Traits.Private != "" {
		file = filepath.Join(b.s.Traits.Private, "out")
	}
	for i := range n {
		a := b.attempt(fmt.Sprintf("same-%d", i), fmt.Sprintf(`echo %d > %s; sleep 0.01; exit $(($(cat %s) - %d))`, i, file, file, i))
		a.Spec.OutputFiles = []dag.OutputFile{{Name: "p", Path: file}}
		b.launch(a)
	}
	for i := range n {
		s := b.end(fmt.Sprintf("same-%d", i))
		b.wantPhase(s, dag.AttemptSucceeded, 0)
		if s.Outputs == nil || s.Outputs.Params["p"] != fmt.Sprint(i) {
			b.Errorf("%s: outputs are %+v", s.AttemptID, s.Outputs)
		}
	}
}
