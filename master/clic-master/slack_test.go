package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// asSleeper makes the test program one that sleeps coarsely, and says so.
const asSleeper = "CLIC_TEST_AS_SLEEPER"

func sleeper() {
	sleepCoarsely()
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		name = []byte(err.Error())
	}
	told := make(chan string)
	go func() {
		runtime.LockOSThread() // one of its own
		told <- fmt.Sprint(timerSlack(), " ", os.Getpid(), " ", os.Args[1:], " ", string(name))
	}()
	fmt.Fprint(os.Stdout, <-told)
}

// All threads sleep coarsely, in the process that was started, which is called what it was.
func TestSleepCoarsely(t *testing.T) {
	t.Setenv(asSleeper, "1")
	p := start(t, "a", "b c")
	said, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%v %d [a b c] clic-master.tes\n", slack, p.cmd.Process.Pid); said != want {
		t.Errorf("it says %q, want %q", said, want)
	}
	if code, stderr := p.exit(t); code != 0 || strings.TrimSpace(stderr) != "" {
		t.Errorf("it ended with %d: %s", code, stderr)
	}
}
