package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// lap is one run of many stages, by a master or by the bare loop.
type lap struct {
	// submitted, created and ended are how long it took until all tasks were, until all Jobs were there, and until all was over.
	submitted, created, ended time.Duration
	cpu                       time.Duration
	memory, program           float64 // bytes, at its peak; what of it are pages of files, the program's nearly all of them
	load                      string  // of the machine, before it
}

// contest is a load that a master and the bare loop carry in turn.
type contest struct {
	name, what     string
	tasks, stages  int  // stages of each task
	width          int  // chains of a DAG
	alone          bool // without the loop that keeps no order
	ours           []lap
	bare, followed []lap
}

func (x *contest) total() int { return x.tasks * x.stages }

// kubeTasks measures how many tasks of one stage per second a master gets through on simulated nodes, and what it needs for that.
func kubeTasks(b *bench) error {
	return b.contests(b.pick(2, 1), &contest{name: "tasks", what: "tasks of one stage", tasks: b.pick(2000, 60), stages: 1})
}

// kubeDAG measures the same for the stages of one large DAG, and whether a larger one is slower.
func kubeDAG(b *bench) error {
	width := b.pick(250, 20)
	what := fmt.Sprintf("stages of a DAG, %d beside each other", width)
	small := &contest{name: "dag-1000", what: what, tasks: 1, stages: b.pick(1000, 60), width: width}
	large := &contest{name: "dag-5000", what: what, tasks: 1, stages: b.pick(5000, 120), width: width, alone: true}
	if err := b.contests(1, small, large); err != nil {
		return err
	}
	b.tell("kube/dag-evenness", large.perSecond(large.ours, ended)/small.perSecond(small.ours, ended), "times", "at least 1",
		fmt.Sprintf("the rate of the DAG of %d stages by that of %d, which take turns", large.stages, small.stages))
	b.tell("kube/dag-evenness-chained", large.perSecond(large.followed, ended)/small.perSecond(small.followed, ended), "times", "",
		"the same of the loop that creates a Job when it sees the end of the one before it: what the cluster itself makes of more Jobs")
	b.tell("kube/dag-evenness-cpu", small.perStage(small.ours)/large.perStage(large.ours), "times", "at least 1",
		"the master's processor time by stages, of the small one by the large one")
	return nil
}

// contests has a master and the bare loops carry every load in turn: what else the machine does, and what the cluster keeps of earlier
// runs, is for or against all of them alike.
func (b *bench) contests(rounds int, all ...*contest) error {
	return b.withCluster(func(c *cluster) error {
		nodes, err := c.simulated()
		if err != nil {
			return err
		}
		var like *batchv1.Job
		for range rounds {
			for _, x := range all {
				if like, err = b.contest(c, x, like); err != nil {
					return err
				}
			}
		}
		for _, x := range all {
			b.tellContest("kube/"+x.name, fmt.Sprintf("%d simulated nodes, %d %s, clic-master a process of its own with bolt (fsync)", nodes, x.total(), x.what), x)
		}
		return nil
	})
}

// contest has all carry a load once. The master goes first where there is no Job yet to make others like, and else last.
func (b *bench) contest(c *cluster, x *contest, like *batchv1.Job) (*batchv1.Job, error) {
	turns := []func() error{
		func() error {
			r, err := b.masterRun(c, x)
			x.ours = append(x.ours, r)
			if err == nil {
				like, err = c.sample()
			}
			b.tellLap("clic", x, r)
			return err
		},
	}
	if !x.alone {
		turns = append(turns, func() error {
			r, err := c.bare(like, x.total(), 0)
			x.bare = append(x.bare, r)
			b.tellLap("the bare loop", x, r)
			return err
		})
	}
	if x.width > 0 {
		turns = append(turns, func() error {
			r, err := c.bare(like, x.total(), x.width)
			x.followed = append(x.followed, r)
			b.tellLap("the chained loop", x, r)
			return err
		})
	}
	if like != nil {
		slices.Reverse(turns)
	}
	for _, turn := range turns {
		if err := errors.Join(turn(), c.clear()); err != nil {
			return nil, err
		}
	}
	return like, nil
}

// tellLap prints what a single run came to: a contest takes minutes.
func (b *bench) tellLap(who string, x *contest, r lap) {
	fmt.Fprintf(b.out, "# %s, %d %s: created after %.1f s, ended after %.1f s, %.1f s of processors\n",
		who, x.total(), x.what, r.created.Seconds(), r.ended.Seconds(), r.cpu.Seconds())
}

func created(r lap) time.Duration { return r.created }
func ended(r lap) time.Duration   { return r.ended }

// perSecond is the median rate of stages.
func (x *contest) perSecond(runs []lap, until func(lap) time.Duration) float64 {
	return float64(x.total()) / mid(runs, func(r lap) float64 { return until(r).Seconds() })
}

// perStage is the median processor time in milliseconds.
func (x *contest) perStage(runs []lap) float64 {
	return mid(runs, func(r lap) float64 { return r.cpu.Seconds() }) * 1000 / float64(x.total())
}

// mid is the middle of something that runs have: of two the mean.
func mid(runs []lap, of func(lap) float64) float64 {
	var all []float64
	for _, r := range runs {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// tellContest prints what came of it. The Jobs of a DAG come one after the other, so that only the end counts there.
func (b *bench) tellContest(name, what string, x *contest) {
	loop := fmt.Sprintf("a loop that only creates %d such Jobs, %d at a time, and waits for their ends, in turn with it", x.total(), parallel)
	compare := func(name, until string, of func(lap) time.Duration) {
		b.tell(name, x.perSecond(x.ours, of), "stages/s", "", fmt.Sprintf("%s, from the first submit %s; median of %d, load %s", what, until, len(x.ours), loads(x.ours)))
		if x.alone {
			return
		}
		b.tell(name+"-bare", x.perSecond(x.bare, of), "Jobs/s", "", fmt.Sprintf("%s, %s; load %s", loop, until, loads(x.bare)))
		b.tell(name+"-ratio", x.perSecond(x.ours, of)/x.perSecond(x.bare, of), "of bare", "at least 0.9", "of the two above")
	}
	if x.width == 0 {
		compare(name+"-created", "until all Jobs were created", created)
	}
	compare(name, "until all had ended", ended)
	if x.width > 0 {
		b.tell(name+"-chained", x.perSecond(x.followed, ended), "Jobs/s", "",
			"such a loop that creates each Job when it sees the end of the one before it in its chain; load "+loads(x.followed))
		b.tell(name+"-chained-ratio", x.perSecond(x.ours, ended)/x.perSecond(x.followed, ended), "of chained", "",
			"clic by that: what it adds to what the order of the stages itself costs")
	} else {
		b.tell(name+"-submitted", mid(x.ours, func(r lap) float64 { return r.submitted.Seconds() }), "s", "",
			fmt.Sprintf("until the last submit was answered, %d clients", submitters))
	}
	b.tell(name+"-cpu", x.perStage(x.ours), "s/1000 stages", "under 1.5", "user and system time of the master, from its start to its end, by 1,000 stages")
	if !x.alone {
		b.tell(name+"-cpu-bare", x.perStage(x.bare), "s/1000 Jobs", "", "the same of the bare loop with a watch of Jobs and one of ended pods, which is less than what a master has to see")
	}
	memory := mid(x.ours, func(r lap) float64 { return r.memory / (1 << 20) })
	program := mid(x.ours, func(r lap) float64 { return r.program / (1 << 20) })
	b.tell(name+"-memory", memory*1000/float64(x.total()), "MiB/1000 stages", "under 80",
		fmt.Sprintf("the master's peak resident memory by 1,000 stages; in all %.0f MiB, of which %.0f are pages of its program file", memory, program))
}

// loads are what the machine had to do before each run.
func loads(runs []lap) string {
	var all []string
	for _, r := range runs {
		now, _, _ := strings.Cut(r.load, " ")
		all = append(all, now)
	}
	return strings.Join(all, ", ")
}

// masterRun has a new master carry a load. Its Jobs are there afterwards.
func (b *bench) masterRun(c *cluster, x *contest) (r lap, err error) {
	r.load = load()
	p, err := b.startMaster(c)
	if err != nil {
		return r, err
	}
	began := time.Now()
	submitted, seen, err := b.submitAll(c, p, x.tasks, kubePlan(x.stages, max(x.width, 1)), x.total())
	r.submitted, r.created, r.ended = submitted.Sub(began), seen.created.Sub(began), time.Since(began)
	stopped := p.stop()
	r.cpu, r.memory, r.program = p.cpu, p.peak, p.program
	if err := errors.Join(err, stopped); err != nil {
		return r, fmt.Errorf("%w\n%s", err, p.errors())
	}
	return r, nil
}

// submitters is how many clients submit beside each other.
const submitters = 16

// submitAll submits the tasks, and waits until the master has seen the end of all. It says when the last was submitted.
func (b *bench) submitAll(c *cluster, p *masterProcess, tasks int, yaml string, stages int) (submitted time.Time, seen observed, err error) {
	wait, stop, err := c.observe(stages, nil)
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
	if seen, err = wait(b.ctx); err != nil {
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
