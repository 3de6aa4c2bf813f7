package nursery

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A program does not inherit that the nursery sleeps coarsely, and the nursery goes on doing so.
func TestFinely(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack := func() int {
		ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	before := slack()
	for _, ns := range []int{10_000, 1_000_000} {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		cat := exec.CommandContext(t.Context(), "cat", "/proc/self/timerslack_ns")
		cat.Stdout, cat.Stderr = &out, os.Stderr
		if err := finely(cat.Start); err != nil {
			t.Fatal(err)
		}
		if err := cat.Wait(); err != nil {
			t.Fatal(err)
		}
		if want := itoa(min(ns, usualSlack)); strings.TrimSpace(out.String()) != want {
			t.Errorf("the program of one with %d ns has %q, want %s", ns, out.String(), want)
		}
		if after := slack(); after != ns {
			t.Errorf("the thread has %d ns, and had %d", after, ns)
		}
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}
