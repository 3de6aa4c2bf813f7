package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

// withMaster gives use a whole standalone master in this process.
func (b *bench) withMaster(cfg master.Config, use func(*master.Master) error) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	cfg.DataDir = filepath.Join(dir, "data")
	m, err := master.New(cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-m.Ready():
		err = use(m)
	case err := <-done:
		stop()
		return err
	}
	stop()
	return errors.Join(err, <-done)
}

// chain runs 100 stages one after the other.
func chain(b *bench) error { return b.local("chain", b.pick(100, 20), 1, "under 0.3", "") }

// fanOut runs 1,000 stages beside each other.
func fanOut(b *bench) error { return b.local("fanout", b.pick(1000, 100), 4, "", "under 2") }

// local runs stages that are `true` on the local executor, in chains beside each other, and the same processes under xargs. From one
// stage to the next, and between the two, nothing is shared; the rounds alternate.
func (b *bench) local(name string, stages, slots int, aim, aimRatio string) error {
	width := stages
	if slots == 1 {
		width = 1
	}
	yaml := []byte(argoPlan(stages, width))
	cfg := master.Config{NoListen: true, Slots: engine.Slots{Executor: map[string]int{"local": slots}}}
	var ours, theirs []time.Duration
	err := b.withMaster(cfg, func(m *master.Master) error {
		for round := range b.pick(7, 2) {
			began := time.Now()
			a, err := m.API().Submit(b.ctx, engine.Submission{YAML: yaml})
			if err != nil {
				return err
			}
			if err := b.untilDone(m.API(), a.Task); err != nil {
				return err
			}
			mine := time.Since(began)
			other, err := xargs(b.ctx, stages, slots)
			if err != nil {
				return err
			}
			if round > 0 { // the first warms up
				ours, theirs = append(ours, mine), append(theirs, other)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d local `true`, %d at a time, every step durable (fsync) before the next, from submit to the end of the task", stages, slots)
	other := fmt.Sprintf("the same processes by xargs -P%d -n1, nothing recorded; median of %d, in turn", slots, len(theirs))
	b.tell(name+"/clic", median(ours).Seconds(), "s", aim, what)
	b.tell(name+"/xargs", median(theirs).Seconds(), "s", "", other)
	b.tell(name+"/ratio", median(ours).Seconds()/median(theirs).Seconds(), "times xargs", aimRatio, "of the two above")
	return nil
}

// xargs is how long xargs takes for as many processes.
func xargs(ctx context.Context, n, slots int) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "xargs", fmt.Sprintf("-P%d", slots), "-n1", "true")
	cmd.Stdin = strings.NewReader(strings.Repeat("x\n", n))
	began := time.Now()
	err := cmd.Run()
	return time.Since(began), err
}

// startUp measures how long `clic version` takes, beside /bin/true.
func startUp(b *bench) error {
	program := filepath.Join(b.dir, "clic")
	build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "github.com/clic-orchestrator/clic/shell/clic")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	var ours, theirs []float64
	for range 20 {
		for _, x := range []struct {
			to   *[]float64
			args []string
		}{{&ours, []string{program, "version"}}, {&theirs, []string{"/bin/true"}}} {
			began := time.Now()
			if out, err := exec.CommandContext(b.ctx, x.args[0], x.args[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			*x.to = append(*x.to, float64(time.Since(began).Microseconds())/1000)
		}
	}
	b.tell("version/clic", median(ours), "ms", "under 15", "`clic version`, from fork to exit, median of 20, no master involved")
	b.tell("version/true", median(theirs), "ms", "", "/bin/true, in turn with it")
	return nil
}
