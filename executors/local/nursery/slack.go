package nursery

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// usualSlack is by how many nanoseconds the kernel may wake up a thread too late that sleeps, if nobody has told it otherwise.
const usualSlack = 50_000

// finely has the programs that start starts sleep as they are used to: they inherit the slack, and that of a master is larger.
func finely(start func() error) error {
	runtime.LockOSThread() // whose slack it is
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && slack > usualSlack && unix.Prctl(unix.PR_SET_TIMERSLACK, usualSlack, 0, 0, 0) == nil {
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) }()
	}
	return start()
}
