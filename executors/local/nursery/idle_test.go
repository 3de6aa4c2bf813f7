package nursery

import (
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// homeEnv makes the test binary a nursery that looks often; its value is the data directory.
const homeEnv = "NURSERY_TEST_HOME"

func TestMain(m *testing.M) {
	if dir := os.Getenv(homeEnv); dir != "" {
		if err := loseHome(dir); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

// loseHome is a nursery without a master, with an attempt that would run for long, whose directory is removed.
func loseHome(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	n := newNursery(dir, slog.New(slog.DiscardHandler))
	n.look, n.expecting = time.Millisecond, false
	var err error
	if n.listener, err = net.Listen("unix", socketName()); err != nil {
		return err
	}
	n.inherit()
	n.pending++ // as while the request is served
	answer, a := n.launch(nil, &Launch{
		ID: "a", Path: "/bin/sleep", Argv: []string{"sleep", "1000"},
		Want: Want{LogLimit: 1 << 10, Grace: time.Minute, Linger: time.Millisecond},
	})
	n.pending--
	if answer.Error != "" {
		panic(answer.Error)
	}
	n.work.Go(func() { n.live(a) })
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	n.run()
	return nil
}

// A nursery that nobody is connected to notices by itself that its directory is gone, and ends with its attempts.
func TestLooksAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), homeEnv+"="+dir)
	// The sleeping program would hold the pipe of the output open, if it were left.
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestHomeless(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, step := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"there", func() error { return nil }, false},
		{"moved to a strange name", func() error { return os.Rename(dir, dir+" (deleted)") }, false},
		{"removed", func() error { return os.Remove(dir + " (deleted)") }, true},
		{"made again", func() error { return os.Mkdir(dir+" (deleted)", 0o700) }, true},
		{"made under the name that the kernel gives", func() error { return os.Mkdir(dir+" (deleted) (deleted)", 0o700) }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := homeless(); got != step.want {
			t.Errorf("%s: %v", step.name, got)
		}
	}
}

// The peak of what a process has forked from is not its own, and a real peak is.
func TestOwnPeak(t *testing.T) {
	n := &nursery{}
	if floor := peakOf("self"); floor < 1<<20 {
		t.Fatalf("this process's peak is %d bytes", floor)
	}
	for _, c := range []struct {
		script string
		least  int64
	}{{":", 0}, {"dd if=/dev/zero of=/dev/null bs=300M count=1 2>/dev/null", 250 << 20}} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", c.script)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		a := &attempt{floor: peakOf("self")}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			t.Fatal("no usage")
		}
		got := n.ownPeak(a, usage.Maxrss<<10)
		if got < c.least || c.least == 0 && got > 10<<20 {
			t.Errorf("%s: peak %d of %d, above %d", c.script, got, usage.Maxrss<<10, a.floor)
		}
		if short := n.ownPeak(&attempt{}, usage.Maxrss<<10); short != got {
			t.Errorf("%s: peak %d, and %d where it was announced", c.script, short, got)
		}
	}
	if got := peakOf(strings.Repeat("9", 9)); got != 0 {
		t.Errorf("no process has a peak of %d", got)
	}
}
