package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// submission is what came of one or several submissions at once. Times are those until the last of them had got so far.
type submission struct {
	created, running, ended, told time.Duration
	// cpuCreated is the processor time of whoever submitted until the pods were created, cpu until all was over, for each of them.
	cpuCreated, cpu time.Duration
	memory          float64 // in bytes, of the largest process
	load            string
}

// native has the master run applications that are submitted at once, to their end unless they are held.
func (s *sparkWorld) native(n int, held, toEnd bool) (r submission, err error) {
	plan, err := sparkPlan(held)
	if err != nil {
		return r, err
	}
	d, err := s.c.watchDrivers()
	if err != nil {
		return r, err
	}
	defer d.stop()
	r.load = load()
	before, err := s.p.cpuSoFar()
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithCancelCause(s.b.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	tasks := make([]string, n)
	began := time.Now()
	for i := range n {
		wg.Go(func() {
			answer, err := s.p.client.Submit(ctx, &thriftmaster.Submission{Plan: plan})
			if err != nil {
				cancel(fmt.Errorf("cannot submit: %w", err))
				return
			}
			tasks[i] = answer.TaskName
		})
	}
	if err := r.follow(ctx, d, n, began, toEnd, func() error {
		after, err := s.p.cpuSoFar()
		r.cpuCreated = (after - before) / time.Duration(n)
		return err
	}); err != nil {
		return r, err
	}
	wg.Wait()
	for _, task := range tasks {
		if toEnd {
			err = s.b.completed(s.p, task)
		} else {
			err = s.p.client.CancelTask(s.b.ctx, task, "", false, "bench")
		}
		if err != nil {
			return r, err
		}
	}
	r.told = time.Since(began)
	after, err := s.p.cpuSoFar()
	r.cpu = (after - before) / time.Duration(n)
	return r, err
}

// follow notes when the drivers have got how far.
func (r *submission) follow(ctx context.Context, d *drivers, n int, began time.Time, toEnd bool, whenCreated func() error) error {
	last, err := d.last(ctx, n, "created", driverCreated)
	if err != nil {
		return err
	}
	r.created = last.Sub(began)
	if err := whenCreated(); err != nil || !toEnd {
		return err
	}
	if last, err = d.last(ctx, n, "running", driverRunning); err != nil {
		return err
	}
	r.running = last.Sub(began)
	if last, err = d.last(ctx, n, "over", driverEnded); err != nil {
		return err
	}
	r.ended = last.Sub(began)
	return nil
}

// byHand runs spark-submit in cluster mode as often at once. It ends when it has submitted.
func (s *sparkWorld) byHand(n int, held, toEnd bool, env ...string) (r submission, err error) {
	d, err := s.c.watchDrivers()
	if err != nil {
		return r, err
	}
	defer d.stop()
	r.load = load()
	ctx, cancel := context.WithCancelCause(s.b.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	var mu sync.Mutex
	began := time.Now()
	for i := range n {
		wg.Go(func() {
			cpu, memory, err := s.submit(ctx, fmt.Sprintf("by-hand-%d", i), held, n > 1, env)
			if err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			r.cpu += cpu / time.Duration(n)
			r.memory = max(r.memory, memory)
		})
	}
	if err := r.follow(ctx, d, n, began, toEnd, func() error { return nil }); err != nil {
		return r, err
	}
	wg.Wait()
	return r, context.Cause(ctx)
}

// submit runs spark-submit once, and gives what it cost.
func (s *sparkWorld) submit(ctx context.Context, name string, held, patient bool, env []string) (cpu time.Duration, memory float64, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.home, "bin", "spark-submit"), s.submitArguments(name, held, patient)...)
	cmd.Env = s.submitEnv(env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("spark-submit: %w\n%s", err, lastLines(out.String(), 10))
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = float64(usage.Maxrss) * 1024
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory, nil
}

// lastLines are the last lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
