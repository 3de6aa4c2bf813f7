package main

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how much later than asked for the kernel may wake up a thread of this program that sleeps. No wait of the master's own is so
// short that it would matter. The thread with which Go's runtime looks after the others has keeperSlack: it sleeps for 20 µs at a time for
// as long as any of them does something or waits for the disk, which was a fifth of the processor time of a busy master.
const slack = time.Millisecond

// sleepCoarsely gives the threads of this program their slack. A thread has it from the one that started it, and the keeper is there
// before main is: so the program is executed once more, with its arguments and under the same pid, unless it has the keeper's slack
// already. Where that cannot be done it sleeps as before.
func sleepCoarsely() {
	before := timerSlack()
	executed := before == keeperSlack
	if executed {
		_ = setTimerSlack(slack)
	}
	// The first to lock a thread starts one that starts others, with the slack of this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if executed {
		quicken()
		// It is called after the file that was executed, which is "exe".
		_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
		return
	}
	if before < 0 || setTimerSlack(keeperSlack) != nil || timerSlack() != keeperSlack {
		return // it would be executed again and again
	}
	// Not by its path, where there may be another version by now.
	_ = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	_ = setTimerSlack(before)
}

// quicken gives slack to the threads that were started before main, but for the keeper. One that looks for work may just sleep for a few
// µs, which is as long for it as for the keeper; and one that waits for a timer is woken up by those of the others.
func quicken() {
	for range 3 {
		<-time.After(keeperSlack)
		threads, _ := runtime.ThreadCreateProfile(nil)
		onEach(threads-3, func() { // there are this one, the keeper, and the one that starts others
			_ = setTimerSlack(slack)
			<-time.After(time.Microsecond)
		})
	}
}

// onEach has a function called by so many threads at the same time. If there are no more, none is left out.
func onEach(threads int, f func()) {
	var each sync.WaitGroup
	all := make(chan struct{})
	for range threads {
		each.Add(1)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			f()
			each.Done()
			<-all
		}()
	}
	each.Wait()
	close(all)
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
