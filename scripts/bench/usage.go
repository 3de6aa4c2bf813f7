package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuSoFar is the processor time that the master has used so far, to the nanosecond: what /proc says is in hundredths of a second.
func (p *masterProcess) cpuSoFar() (time.Duration, error) {
	// As clock_getcpuclockid has it: the clock of a whole process.
	const scheduler = 2
	clock := int32(^p.cmd.Process.Pid)<<3 | scheduler
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("cannot read the processor time of clic-master: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// resident is how much memory the master has, and the most that it had since forgetPeak, in bytes.
func (p *masterProcess) resident() (now, peak float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			peak = kib * 1024
		}
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			now = kib * 1024
		}
	}
	return now, peak, err
}

// forgetPeak begins anew with the peak of the master's memory.
func (p *masterProcess) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}
