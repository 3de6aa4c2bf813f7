package main

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// hadoopHead runs `hdfs dfs -cat PATH | head`, and notes when the lines were there. What that command does afterwards is only waited
// for, and its costs are only noted, if it shall run to its end.
func (b *bench) hadoopHead(x *heads, toEnd bool) error {
	cmd := exec.CommandContext(b.ctx, "bash", "-c", `hdfs dfs -cat "$1" | head -"$2"`, "bash", x.path, fmt.Sprint(headLines))
	// The shell has children that have children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group := func(s syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, s) }
	cmd.Cancel = func() error { return group(syscall.SIGKILL) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run Hadoop's program: %w", err)
	}
	lines := bufio.NewScanner(out)
	n := 0
	for n < headLines && lines.Scan() {
		n++
	}
	x.hadoop = append(x.hadoop, ms(time.Since(began)))
	if n < headLines {
		return errors.Join(fmt.Errorf("hdfs dfs -cat has printed %d lines: %w", n, lines.Err()), cmd.Wait())
	}
	if !toEnd {
		err := group(syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("hdfs dfs -cat: %w", err)
	}
	x.ends = append(x.ends, time.Since(began).Seconds())
	x.cpu = append(x.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		x.hadoopsMemory = max(x.hadoopsMemory, float64(usage.Maxrss)*1024) // of the largest of its processes
	}
	return nil
}
