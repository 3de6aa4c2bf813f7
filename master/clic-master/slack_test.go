package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// asSleeper makes the test program one that sleeps coarsely, and says so.
const asSleeper = "CLIC_TEST_AS_SLEEPER"

func sleeper() {
	sleepCoarsely()
	quicken() // which is being done, but nobody waits for it
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		name = []byte(err.Error())
	}
	var mu sync.Mutex
	slacks := map[string]bool{}
	threads, _ := runtime.ThreadCreateProfile(nil)
	onEach(threads, func() {
		mu.Lock()
		defer mu.Unlock()
		slacks[timerSlack().String()] = true
	})
	fmt.Fprint(os.Stdout, slacks, " ", os.Getpid(), " ", os.Args[1:], " ", string(name))
}

// All threads sleep coarsely, in the process that was started, which is called what it was.
func TestSleepCoarsely(t *testing.T) {
	t.Setenv(asSleeper, "1")
	p := start(t, "a", "b c")
	said, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("map[%v:true] %d [a b c] clic-master.tes\n", slack, p.cmd.Process.Pid); said != want {
		t.Errorf("it says %q, want %q", said, want)
	}
	if code, stderr := p.exit(t); code != 0 || strings.TrimSpace(stderr) != "" {
		t.Errorf("it ended with %d: %s", code, stderr)
	}
}

// So does a program without C, in which one thread sleeps more coarsely.
func TestSleepCoarselyWithoutC(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds this program once more")
	}
	program := filepath.Join(t.TempDir(), "clic-master.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build it: %v\n%s", err, out)
	}
	for range 10 {
		test := exec.CommandContext(t.Context(), program, "-test.run=^TestSleepCoarsely$")
		if out, err := test.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
