package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// rate is what came of one run of many stages, and of the bare loop beside it.
type rate struct {
	stages int
	// submitted, created and ended are how long it took until all tasks were, until all Jobs were there, and until all was over.
	submitted              time.Duration
	created, ended         time.Duration
	bareCreated, bareEnded time.Duration
	cpu, bareCPU           time.Duration // of the master; of the bare loop and what watches it
	memory                 float64       // bytes
}

// kubeRate measures how many stages per second a master gets through on simulated nodes, and what it needs for that.
func kubeRate(b *bench) error {
	return b.withCluster(func(c *cluster) error {
		nodes, err := c.simulated()
		if err != nil {
			return err
		}
		width := b.pick(250, 20)
		rates := map[string]*rate{}
		for _, x := range []struct {
			name, what string
			tasks      int
			stages     int // of each
		}{
			{"tasks", "tasks of one stage", b.pick(2000, 60), 1},
			{"dag-1000", fmt.Sprintf("stages of a DAG, %d beside each other", width), 1, b.pick(1000, 60)},
			{"dag-5000", fmt.Sprintf("stages of a DAG, %d beside each other", width), 1, b.pick(5000, 120)},
		} {
			r, err := b.rate(c, x.tasks, kubePlan(x.stages, width), x.tasks*x.stages)
			if err != nil {
				return err
			}
			rates[x.name] = r
			b.tellRate("kube/"+x.name, fmt.Sprintf("%d simulated nodes, %d %s, clic-master a process of its own with bolt (fsync)", nodes, r.stages, x.what), r)
		}
		small, large := rates["dag-1000"], rates["dag-5000"]
		b.tell("kube/dag-evenness", large.perSecond(large.ended)/small.perSecond(small.ended), "times", "at least 1",
			fmt.Sprintf("the rate of the DAG of %d stages by that of %d", large.stages, small.stages))
		b.tell("kube/dag-evenness-bare", large.perSecond(large.bareEnded)/small.perSecond(small.bareEnded), "times", "",
			"the same of the bare loop: what the cluster itself makes of more Jobs")
		return nil
	})
}

func (r *rate) perSecond(took time.Duration) float64 { return float64(r.stages) / took.Seconds() }

func (b *bench) tellRate(name, what string, r *rate) {
	loop := fmt.Sprintf("a loop that only creates %d such Jobs, %d at a time, next to it", r.stages, parallel)
	for _, x := range []struct {
		name, until string
		ours, bare  time.Duration
	}{
		{name + "-created", "until all Jobs were created", r.created, r.bareCreated},
		{name, "until all had ended", r.ended, r.bareEnded},
	} {
		b.tell(x.name, r.perSecond(x.ours), "stages/s", "", what+", from the first submit "+x.until)
		b.tell(x.name+"-bare", r.perSecond(x.bare), "Jobs/s", "", loop+", "+x.until)
		b.tell(x.name+"-ratio", x.bare.Seconds()/x.ours.Seconds(), "of bare", "at least 0.9", "of the two above")
	}
	b.tell(name+"-submitted", r.submitted.Seconds(), "s", "", fmt.Sprintf("until the last submit was answered, %d clients", submitters))
	thousands := float64(r.stages) / 1000
	b.tell(name+"-cpu", r.cpu.Seconds()/thousands, "s/1000 stages", "under 1.5", "user and system time of the master, from its start to its end, by 1,000 stages")
	b.tell(name+"-cpu-bare", r.bareCPU.Seconds()/thousands, "s/1000 Jobs", "", "the same of the bare loop with a watch of Jobs and one of ended pods, which is less than what a master has to see")
	b.tell(name+"-memory", r.memory/(1<<20)/thousands, "MiB/1000 stages", "under 80",
		fmt.Sprintf("the master's peak resident memory by 1,000 stages; in all %.0f MiB", r.memory/(1<<20)))
}

// rate runs so many tasks of a plan by a master, stages Jobs in all, and then the bare loop.
func (b *bench) rate(c *cluster, tasks int, yaml string, stages int) (r *rate, err error) {
	r = &rate{stages: stages}
	p, err := b.startMaster(c)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	submitted, seen, err := b.submitAll(c, p, tasks, yaml, stages)
	r.submitted, r.created, r.ended = submitted.Sub(began), seen.created.Sub(began), time.Since(began)
	stopped := p.stop()
	r.cpu, r.memory = p.cpu, p.peak
	if err := errors.Join(err, stopped); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.errors())
	}
	like, err := c.sample()
	if err == nil {
		err = c.clear()
	}
	if err != nil {
		return nil, err
	}
	before := ownCPU()
	if r.bareCreated, r.bareEnded, err = c.bare(like, stages); err != nil {
		return nil, err
	}
	r.bareCPU = ownCPU() - before
	return r, c.clear()
}

// submitters is how many clients submit beside each other.
const submitters = 16

// submitAll submits the tasks, and waits until the master has seen the end of all. It says when the last was submitted.
func (b *bench) submitAll(c *cluster, p *masterProcess, tasks int, yaml string, stages int) (submitted time.Time, seen observed, err error) {
	wait, stop, err := c.observe(stages)
	if err != nil {
		return submitted, seen, err
	}
	defer stop()
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range min(submitters, tasks) {
		wg.Go(func() {
			for next.Add(1) <= int64(tasks) {
				if _, err := p.client.Submit(b.ctx, &thriftmaster.Submission{Plan: yaml}); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return submitted, seen, fmt.Errorf("cannot submit: %w", *err)
	}
	submitted = time.Now()
	if seen, err = wait(); err != nil {
		return submitted, seen, err
	}
	return submitted, seen, b.allEnded(c, p)
}

// allEnded waits until the master has no more task, and expects that all ended well.
func (b *bench) allEnded(c *cluster, p *masterProcess) error {
	if err := c.until("the master's last task", func() (bool, error) {
		info, err := p.client.GetMasterInfo(b.ctx)
		return err == nil && info.ActiveTasks == 0, err
	}); err != nil {
		return err
	}
	page, err := p.client.ListTasks(b.ctx, &thriftmaster.TaskQuery{
		States: []thriftmaster.TaskState{thriftmaster.TaskState_FAILED, thriftmaster.TaskState_CANCELLED},
	})
	if err == nil && len(page.Tasks) > 0 {
		err = fmt.Errorf("task %s has failed: %s", page.Tasks[0].TaskName, strings.TrimSpace(page.Tasks[0].Message))
	}
	return err
}

// ownCPU is the processor time that this program has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
