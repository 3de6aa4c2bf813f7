package main

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how much later than asked for the kernel may wake up a thread of this program that sleeps. No wait of the master's own is that
// short. But the thread with which Go's runtime looks after the others sleeps for 20 µs at a time, for as long as any of them does
// something or waits for the disk: that alone was a fifth of the processor time of a busy master, most of which is now saved.
const slack = time.Millisecond

// sleepCoarsely gives all threads of this program that slack. A thread has it from the one that started it, and the runtime's own are there
// before main is: so the program is executed once more, with its arguments and under the same pid, unless it has the slack already. Where
// that cannot be done it sleeps as before.
func sleepCoarsely() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := timerSlack()
	if before == slack {
		// It is called after the file that was executed, which is "exe".
		_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
		return
	}
	if before < 0 || setTimerSlack(slack) != nil || timerSlack() != slack {
		return // it would be executed again and again
	}
	// Not by its path, where there may be another version by now.
	_ = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	_ = setTimerSlack(before)
}

// timerSlack is that of this thread; negative where the kernel does not say.
func timerSlack() time.Duration {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return -1
	}
	return time.Duration(ns)
}

func setTimerSlack(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0)
}
