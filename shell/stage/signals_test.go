package stage_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TERM reaches every process of the program, wherever it has gone, and the program's own end is what counts.
func TestTerm(t *testing.T) {
	b := newBox(t)
	b.options["result"] = true
	b.fifo("begun")
	r := b.start(`
		setsid sh -c 'trap "echo elsewhere; exit" TERM; echo begun > begun; while :; do sleep 0.01; done' &
		trap 'echo told; wait; exit 5' TERM
		while :; do sleep 0.01; done`)
	b.hear("begun")
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := r.end()
	o.want(t, 5, "")
	if !o.Stopped || o.Outputs != nil || o.Posted || !strings.Contains(o.stdout, "told\n") || !strings.Contains(o.stdout, "elsewhere\n") {
		t.Errorf("%+v", o)
	}
}

// What does not end is killed shortly before the grace is over, so that the message can still be written.
func TestGrace(t *testing.T) {
	b := newBox(t)
	b.options["grace"] = "1s"
	b.fifo("begun")
	r := b.start(`trap "" TERM; echo begun > begun; while :; do sleep 0.01; done`)
	b.hear("begun")
	told := time.Now()
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := r.end()
	o.want(t, 137, "ended by signal 9 (killed)")
	if took := time.Since(told); took < 850*time.Millisecond || !o.Stopped || strings.Contains(o.Error, "not sent from here") {
		t.Errorf("after %v: %+v", took, o)
	}
}

// A program that was stopped (SIGSTOP) ends all the same.
func TestTermOfStopped(t *testing.T) {
	b := newBox(t)
	b.fifo("begun")
	r := b.start(`echo begun > begun; kill -STOP $$; echo continued`)
	b.hear("begun")
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if o := r.end(); o.status != 143 && o.status != 0 { // 0 where TERM came before STOP did and CONT after it
		t.Errorf("%+v", o)
	}
}

// Other signals go to the program alone, and stop nothing.
func TestOtherSignals(t *testing.T) {
	b := newBox(t)
	b.fifo("said")
	r := b.start(`
		for s in HUP USR1 USR2 QUIT WINCH ALRM ABRT RTMIN+3; do trap "echo $s > said" $s; done
		echo begun > said; while [ ! -e done ]; do sleep 0.01; done`)
	b.hear("said")
	for sig, name := range map[syscall.Signal]string{
		syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2", syscall.SIGQUIT: "QUIT", syscall.SIGWINCH: "WINCH",
		syscall.SIGALRM: "ALRM", syscall.SIGABRT: "ABRT", 37: "RTMIN+3",
	} {
		if err := r.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := b.hear("said"); got != name {
			t.Errorf("signal %v arrives as %s", sig, got)
		}
	}
	b.write("done", "")
	if o := r.end(); o.status != 0 || o.Stopped {
		t.Errorf("%+v", o)
	}
}

// The program has the usual signals, not those that the helper set for itself.
func TestUsualSignals(t *testing.T) {
	signal.Reset() // what this test ignores, its children would too
	b := newBox(t)
	const script = `grep -e SigBlk -e SigIgn /proc/$$/status | cut -f2`
	alone := exec.Command("sh", "-c", script)
	alone.Env = b.env
	inherited, err := alone.Output() // a C library's own signals are often ignored by whoever starts a test
	if err != nil {
		t.Fatal(err)
	}
	got, without := signalSets(t, b.run(script).stdout), signalSets(t, string(inherited))
	for i := range got {
		if got[i]&^without[i] != 0 {
			t.Errorf("blocked, ignored: %x, without the helper: %x", got, without)
		}
	}
	// A reader that has gone away ends the program as it would without the helper.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range []bool{false, true} {
		b.options["result"] = result
		r := b.command("sh", "-c", `while echo y; do :; done 2>/dev/null; kill -PIPE $$`)
		r.Cmd.Stdout = write
		r.begin()
		if result {
			_ = write.Close()
		} else {
			_ = read.Close()
		}
		if o := r.status(); o.status != 141 {
			t.Errorf("result %v: %+v", result, o)
		}
	}
}

// signalSets reads the sets of blocked and of ignored signals.
func signalSets(t *testing.T, lines string) (sets [2]uint64) {
	t.Helper()
	fields := strings.Fields(lines)
	if len(fields) != len(sets) {
		t.Fatalf("sets of signals: %q", lines)
	}
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sets[i] = n
	}
	return sets
}

// What the program leaves running may go on for a moment, is then stopped, and is waited for in any case.
func TestLeftBehind(t *testing.T) {
	b := newBox(t)
	b.options["result"] = true
	o := b.run(`(sleep 0.02; echo late) & echo early`)
	if o.want(t, 0, ""); o.result(t) != "early\nlate" || o.Info != "" {
		t.Errorf("%+v", o)
	}
	o = b.run(`setsid sh -c 'echo $$ > pid; exec sleep 1000' & while [ ! -s pid ]; do sleep 0.01; done; echo end`)
	if o.want(t, 0, ""); o.result(t) != "end" || o.Info != "stopped 1 process(es) that it left running" {
		t.Errorf("%+v", o)
	}
	wantGone(t, b.read("pid"))
	o = b.run(`setsid sh -c 'trap "" TERM; echo $$ > pid2; while :; do sleep 0.01; done' & while [ ! -s pid2 ]; do sleep 0.01; done; exit 3`)
	o.want(t, 3, "")
	wantGone(t, b.read("pid2"))
}

func wantGone(t *testing.T, text string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", pid, err)
	}
}
