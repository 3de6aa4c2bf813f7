package stage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/stage"
)

func wantCalls(t *testing.T, s *scheduler, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.made(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// awaiting is a script's wait for a file that the test makes.
const awaiting = `while [ ! -e go ]; do sleep 0.01; done; `

func TestReports(t *testing.T) {
	s := serve(t, "", nil)
	b := newBox(t)
	b.stageOf(s.address())
	b.options["heartbeat"], b.options["result"] = "100ms", true
	r := b.start(awaiting + `clic-stage prepared && clic-stage progress 1 2 "half way" && echo done`)
	s.await("started", 1)
	s.await("heartbeat", 2)
	b.write("go", "")
	o := r.end()
	o.want(t, 0, "")
	if !o.Posted || o.result(t) != "done" || o.stderr != "" || s.outputs.GetResult_() != "done" || o.Info != "" {
		t.Errorf("%+v; outputs %v", o, s.outputs)
	}
	wantCalls(t, s, "started s-1/2/secret", "prepared s-1/2/secret", "progress s-1/2/secret 1/2 half way", "completed s-1/2/secret")
}

// What did not end well is left to the executor to tell, which knows more of it.
func TestFailureIsNotPosted(t *testing.T) {
	s := serve(t, "", nil)
	b := newBox(t)
	b.stageOf(s.address())
	b.outputs(stage.Output{Name: "p", Path: "none"})
	for i, script := range []string{"exit 3", "kill -9 $$", "true"} {
		r := b.start(awaiting + "rm go; " + script)
		s.await("started", i+1)
		b.write("go", "")
		if o := r.end(); o.Posted || o.Error == "" && o.status == 0 {
			t.Errorf("%+v", o)
		}
	}
	wantCalls(t, s, "started s-1/2/secret", "started s-1/2/secret", "started s-1/2/secret")
}

// Where the termination message cannot be written, the master is told what the exit status does not say.
func TestNoTerminationLog(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		status int
		call   string
	}{
		"own words": {`clic-stage error "no disk"; exit 3`, 3, "failed s-1/2/secret 3 main: Error (exit code 3): no disk"},
		"output":    {"true", 0, `failed s-1/2/secret 0 wait: Error (exit code 64): output parameter "p": open none: no such file or directory`},
		"plain":     {"exit 3", 3, ""},
		"well":      {"echo 1 > none", 0, "completed s-1/2/secret"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "", nil)
			b := newBox(t)
			b.stageOf(s.address())
			b.outputs(stage.Output{Name: "p", Path: "none"})
			r := b.command("sh", "-c", awaiting+test.script)
			b.removeLog()
			r.begin()
			s.await("started", 1)
			b.write("go", "")
			if o := r.status(); o.status != test.status || o.stdout != "" || o.stderr != "" {
				t.Errorf("%+v", o)
			}
			want := []string{"started s-1/2/secret"}
			if test.call != "" {
				want = append(want, test.call)
			}
			wantCalls(t, s, want...)
		})
	}
}

// The master wants the program to stop.
func TestCancelRequested(t *testing.T) {
	for _, at := range []string{"started", "heartbeat"} {
		t.Run(at, func(t *testing.T) {
			s := serve(t, "", func(call string, n int) (*master.ReportAnswer, error) {
				return &master.ReportAnswer{CancelRequested: call == at}, nil
			})
			b := newBox(t)
			b.stageOf(s.address())
			b.options["heartbeat"], b.options["grace"] = "100ms", "1s"
			o := b.run(`trap "echo told" TERM; while :; do sleep 0.01; done`)
			o.want(t, 137, "ended by signal 9")
			if !o.Stopped || o.Posted || !strings.HasPrefix(o.stdout, "told\n") || strings.Count(o.stdout, "told") != 1 {
				t.Errorf("%+v", o)
			}
		})
	}
}

// A master that is away changes nothing but, for a moment, when the container ends.
func TestUnreachable(t *testing.T) {
	t.Parallel() // it waits
	b := newBox(t)
	b.stageOf(freePort(t))
	b.options["result"] = true
	o := b.run(`echo hi; clic-stage prepared --patience 300ms; echo $?; clic-stage progress 1 2; echo $?`)
	o.want(t, 0, "")
	if o.Posted || o.result(t) != "hi\n69\n0" || !strings.Contains(o.Info, "the master was not told: no master answers at 127.0.0.1:") {
		t.Errorf("%+v", o)
	}
	if !strings.Contains(o.stderr, "does not know that the data is prepared: no master answers") {
		t.Errorf("error output %q", o.stderr)
	}
	began := time.Now()
	if o := b.run(`exit 3`); o.status != 3 || time.Since(began) > 5*time.Second {
		t.Errorf("a failure waits for the master: %+v", o)
	}
}

// A master that accepts connections and does not answer, as one that was stopped in its tracks, holds up nothing.
func TestHangingMaster(t *testing.T) {
	hung := make(chan struct{})
	s := serve(t, "", func(string, int) (*master.ReportAnswer, error) {
		<-hung
		return nil, unavailable()
	})
	t.Cleanup(func() { close(hung) })
	b := newBox(t)
	b.stageOf(s.address())
	r := b.start(awaiting + "exit 3")
	s.await("started", 1)
	b.write("go", "")
	if o := r.end(); o.status != 3 || o.Posted || o.Info != "" {
		t.Errorf("%+v", o)
	}
}

// A token that is not the attempt's, or a stage that is not known: the reports end, the program goes on.
func TestDenied(t *testing.T) {
	s := serve(t, "", func(string, int) (*master.ReportAnswer, error) { return nil, denied() })
	b := newBox(t)
	b.stageOf(s.address())
	b.options["heartbeat"] = "100ms"
	o := b.run(`clic-stage prepared; echo $?; clic-stage progress 1 2; echo $?; sleep 0.3; echo on`)
	o.want(t, 0, "")
	if o.Posted || o.stdout != "77\n77\non\n" || !strings.Contains(o.Info, "the token is not that of the attempt") {
		t.Errorf("%+v", o)
	}
	wantCalls(t, s, "started s-1/2/secret", "prepared s-1/2/secret", "progress s-1/2/secret 1/2", "completed s-1/2/secret")
	for _, call := range s.calls {
		if strings.HasPrefix(call, "heartbeat") {
			t.Error("a heartbeat after the refusal of the start")
		}
	}
}

// Outputs that do not fit into the message are posted until somebody takes them: here by the next master.
func TestLargeOutputs(t *testing.T) {
	address := freePort(t)
	b := newBox(t)
	b.stageOf(address)
	b.options["result"] = true
	b.outputs(stage.Output{Name: "p", Path: "o"})
	b.fifo("begun")
	r := b.start(`head -c 1000000 /dev/zero | tr '\0' y; head -c 200000 /dev/zero | tr '\0' z > o; echo begun > begun`)
	b.hear("begun")
	busy := serve(t, address, func(string, int) (*master.ReportAnswer, error) { return nil, unavailable() })
	busy.await("completed", 2)
	busy.stop()
	s := serve(t, address, nil)
	o := r.end()
	o.want(t, 0, "")
	if !o.Posted || o.Outputs != nil || len(o.stdout) != 1000000 {
		t.Errorf("%+v", o.word)
	}
	if len(s.outputs.GetResult_()) != 1000000 || len(s.outputs.GetParameters()["p"]) != 200000 {
		t.Errorf("%d bytes, %d parameters", len(s.outputs.GetResult_()), len(s.outputs.GetParameters()))
	}
}

// If nobody takes them, the stage has failed, and the message says why.
func TestLargeOutputsLost(t *testing.T) {
	const script = `head -c 5000 /dev/zero | tr '\0' y`
	b := newBox(t)
	b.options["result"], b.options["patience"] = true, "400ms"
	b.stageOf(freePort(t))
	b.run(script).want(t, 0, "5000 bytes, do not fit into the termination message of 4096 and could not be sent to the master: no master answers at")
	s := serve(t, "", func(call string, _ int) (*master.ReportAnswer, error) {
		if call == "completed" {
			return nil, denied()
		}
		return nil, nil
	})
	b.stageOf(s.address())
	b.options["patience"] = "10m"
	b.run(script).want(t, 0, "could not be sent to the master: ")
	// TERM ends the patience in time.
	b.stageOf(freePort(t))
	b.options["grace"] = "1s"
	b.fifo("begun")
	r := b.start(script + `; echo begun > begun`)
	b.hear("begun")
	awaitText(b, `"error":"","posted":false`) // the message that it leaves before it posts
	if err := r.Process.Signal(term); err != nil {
		t.Fatal(err)
	}
	r.end().want(t, 0, "could not be sent to the master: no master answers at")
}

// A program that reports for itself is only watched.
func TestCallbacks(t *testing.T) {
	s := serve(t, "", nil)
	b := newBox(t)
	b.stageOf(s.address())
	b.options["callbacks"], b.options["heartbeat"] = true, "100ms"
	r := b.start(awaiting)
	s.await("heartbeat", 2)
	b.write("go", "")
	if o := r.end(); o.status != 0 || o.Posted || o.Error != "" {
		t.Errorf("%+v", o)
	}
	wantCalls(t, s)
	b.options["result"] = true
	b.run(`head -c 5000 /dev/zero | tr '\0' y`).want(t, 0, "nothing else takes them back: the program reports its completion itself")
	wantCalls(t, s)
}

// Killed itself, the helper leaves no half of a message.
func TestKilled(t *testing.T) {
	s := serve(t, "", nil)
	b := newBox(t)
	b.stageOf(s.address())
	r := b.command("sh", "-c", "while :; do sleep 0.01; done")
	inContainer(r)
	r.begin()
	s.await("started", 1)
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if o := r.status(); o.status != -1 || b.read("termination-log") != "" {
		t.Errorf("%+v, %q", o, b.read("termination-log"))
	}
	wantCalls(t, s, "started s-1/2/secret")
}

func TestCommands(t *testing.T) {
	b := newBox(t)
	b.outputs(stage.Output{Name: "p", Path: "o", Default: new("")})
	for script, want := range map[string]string{
		"clic-stage output q 1":                          "64 clic-stage: the stage's template declares no output parameter \"q\"\nIt declares p.",
		"clic-stage output":                              "64 clic-stage: usage: clic-stage output NAME [VALUE|-]",
		"head -c 262145 /dev/zero | clic-stage output p": "65 clic-stage: the value has more than the 262144 bytes that it may have",
		"head -c 262144 /dev/zero | clic-stage output p": "0 ",
		"clic-stage error":                               "64 clic-stage: usage: clic-stage error MESSAGE|-",
		"clic-stage progress 1 x":                        "64 clic-stage: DONE and TOTAL are numbers from 0 on; usage: clic-stage progress DONE TOTAL [MESSAGE]",
		"clic-stage prepared now":                        "64 clic-stage: usage: clic-stage prepared [--patience DURATION]",
		"clic-stage prepared":                            "78 clic-stage: this is no stage of a master: CLIC_MASTER and CLIC_STAGE_ID are not set",
		"CLIC_STAGE_DIR= clic-stage error":               "64 clic-stage: usage: clic-stage error MESSAGE|-",
		"CLIC_STAGE_DIR= clic-stage error x": "78 clic-stage: no helper runs this program (CLIC_STAGE_DIR is not set), " +
			"so there is nobody to take this back",
		"clic-stage":         "64 clic-stage: no command; clic-stage --help lists them",
		"clic-stage fly":     "64 clic-stage: unknown command \"fly\"; clic-stage --help lists them",
		"clic-stage run --":  "64 clic-stage: usage: clic-stage run [--] COMMAND [ARG...]",
		"clic-stage install": "64 clic-stage: usage: clic-stage install DIR",
		"CLIC_ATTEMPT=x CLIC_STAGE_ID=s CLIC_MASTER=127.0.0.1:1 clic-stage prepared": `78 clic-stage: ` + executors.EnvAttempt + ` is "x", and should be the number of an attempt`,
		"clic-stage version >&2": "0 clic-stage v1.2.3",
	} {
		o := b.run(script + "; echo $?")
		if got := strings.TrimSpace(o.stdout) + " " + strings.TrimSuffix(o.stderr, "\n"); got != want {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
	if o := b.run("clic-stage --help"); o.stdout != stage.Help {
		t.Errorf("help: %s", o.stdout)
	}
}
