package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
)

// fate is what people do to a task besides holding its stages.
type fate int

const (
	leftAlone   fate = iota // so that it must end as its plan says
	stagesCut               // stages are cancelled, and stopped to run again; what failed is retried
	cancelled               // the whole task is cancelled at some time, and retried
	numberFates = iota
)

// job is a task that people submit and then do things to, one person at a time.
type job struct {
	testing.TB
	census *census
	fate   fate
	plan   plan
	// request is the idempotency key of the submission.
	request string

	mu     sync.Mutex
	task   string // "" until the submission was acknowledged
	finale string // the id of the last stage; it is held until the end where the task is left alone
	// held are the roots of the holds that are known to be in force, with who put them there.
	held    map[string]string
	errands []*errand
	cuts    int // stages that people have tried to cancel, or the task
	retries int
	ended   bool  // as far as it was looked at
	seen    int64 // the event that was seen last
}

// callTime bounds a call. It is longer than a master waits for a leader.
const callTime = 30 * time.Second

// submit submits the job through any master, until it is acknowledged; people leave it alone meanwhile.
func (j *job) submit(ctx context.Context, anyone func() *client.Client) bool {
	s := &thriftmaster.Submission{Plan: j.plan.yaml, RequestId: &j.request, Labels: map[string]string{"request": j.request}}
	for end := time.Now().Add(5 * patience); ; time.Sleep(10 * time.Millisecond) {
		a, err := anyone().Submit(ctx, s)
		j.census.countRead(err)
		if err == nil {
			j.task = a.TaskName
			return true
		}
		if _, odd := verdictOf(err); odd != nil || time.Now().After(end) || ctx.Err() != nil {
			j.Errorf("cannot submit %s: %v", j.request, err)
			return false
		}
	}
}

// open begins a task that is left alone by holding its last stage, until the end.
func (j *job) open(ctx context.Context, anyone func() *client.Client) {
	for end := time.Now().Add(patience); j.finale == ""; time.Sleep(10 * time.Millisecond) {
		all, err := listStages(ctx, anyone(), j.task)
		j.census.countRead(err)
		if time.Now().After(end) {
			j.Errorf("cannot list the stages of %s: %v", j.task, err)
			return
		}
		for _, v := range all {
			if v.Name == j.plan.finale {
				j.finale = v.StageId
			}
		}
	}
	j.suspend(ctx, anyone(), j.finale, thriftmaster.HoldMode_HOLD)
}

// again submits it once more, which must give the same task.
func (j *job) again(ctx context.Context, c *client.Client) {
	a, err := c.Submit(ctx, &thriftmaster.Submission{Plan: j.plan.yaml, RequestId: &j.request})
	j.census.countRead(err)
	if err == nil && (a.Created || a.TaskName != j.task) {
		j.Errorf("submission %s is task %s, and submitted again %s (created: %t)", j.request, j.task, a.TaskName, a.Created)
	}
}

// errand makes a call that changes something, and takes note of its outcome.
func (j *job) errand(ctx context.Context, verb, root string, do func(ctx context.Context, who string) error) *errand {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	e := &errand{verb: verb, root: root, who: fmt.Sprintf("%s-%d", j.request, len(j.errands))}
	j.errands = append(j.errands, e)
	var odd error
	err := do(ctx, e.who)
	if e.verdict, odd = verdictOf(err); odd != nil {
		j.Errorf("%s %s of %s: %v", verb, root, j.task, odd)
	}
	_, unreached := errors.AsType[*client.UnreachableError](err)
	e.sent = !unreached
	j.census.count(e.verdict)
	return e
}

func (j *job) suspend(ctx context.Context, c *client.Client, root string, mode thriftmaster.HoldMode) {
	e := j.errand(ctx, saidSuspend, root, func(ctx context.Context, who string) error {
		_, err := c.Suspend(ctx, root, mode, "", 0, who)
		return err
	})
	if e.verdict == done {
		j.held[root] = e.who
	}
}

func (j *job) resume(ctx context.Context, anyone func() *client.Client, root string) {
	e := j.errand(ctx, saidContinue, root, func(ctx context.Context, who string) error { return anyone().Resume(ctx, root, who) })
	switch {
	case e.verdict == done:
		delete(j.held, root)
	case e.verdict == refused && e.sent:
		// Somebody's call of unknown outcome may have done it, or the task may have ended.
		if j.look(ctx, anyone); j.held[root] != "" && !j.ended {
			j.Errorf("%s is suspended by %s, and cannot be continued", root, j.held[root])
		}
	}
}

// overtaken reports whether the hold of a root may have been taken back by a call whose outcome is not known.
func (j *job) overtaken(root string) bool {
	return slices.ContainsFunc(j.errands, func(e *errand) bool {
		return e.verdict == unknown && e.verb == saidContinue && e.root == root
	})
}

// look compares the holds that are in force with those that must be, and learns from it what became of calls whose outcome
// is not known.
func (j *job) look(ctx context.Context, anyone func() *client.Client) *thriftmaster.TaskInfo {
	v := j.read(ctx, anyone)
	if v == nil {
		return nil
	}
	j.ended = terminal(v.State.String())
	there := map[string]string{}
	for _, h := range v.Holds {
		there[h.RootStageId] = h.Who
		if j.held[h.RootStageId] == h.Who {
			continue
		}
		i := slices.IndexFunc(j.errands, func(e *errand) bool { return e.verb == saidSuspend && e.who == h.Who })
		if i < 0 || j.errands[i].verdict == refused {
			j.Errorf("%s is suspended by %s, who was told otherwise", h.RootStageId, h.Who)
		}
		j.held[h.RootStageId] = h.Who
	}
	for root, who := range j.held {
		if there[root] == who {
			continue
		}
		if !j.overtaken(root) {
			j.Errorf("%s was suspended by %s, and is not any more", root, who)
		}
		delete(j.held, root)
	}
	return v
}

// read reads the task as it is saved, from any master.
func (j *job) read(ctx context.Context, anyone func() *client.Client) *thriftmaster.TaskInfo {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		bounded, cancel := context.WithTimeout(ctx, callTime)
		v, err := anyone().GetTask(bounded, j.task)
		cancel()
		j.census.countRead(err)
		if err == nil && v.StaleSince == nil {
			return v
		}
		if _, odd := verdictOf(err); odd != nil || time.Now().After(end) || ctx.Err() != nil {
			j.Errorf("cannot read task %s of the acknowledged submission %s: %v", j.task, j.request, err)
			return nil
		}
	}
}

// over reports whether nobody has anything more to do with the task.
func (j *job) over() bool { return j.task == "" || j.ended && (j.fate == leftAlone || j.retries >= 4) }

// act is something that a person does.
func (j *job) act(ctx context.Context, r *rand.Rand, anyone func() *client.Client) {
	others := j.others()
	switch n := r.IntN(100); {
	case n < 4:
		j.again(ctx, anyone())
	case n < 10 || j.ended:
		if v := j.look(ctx, anyone); v != nil && j.ended && !j.over() {
			j.retry(ctx, anyone())
		}
	case n < 15 && j.fate == cancelled && j.cuts < 2:
		j.cuts++
		j.errand(ctx, saidCancel, "", func(ctx context.Context, who string) error {
			return anyone().CancelTask(ctx, j.task, "", false, who)
		})
	case len(others) > 0 && r.IntN(6) < len(others):
		j.resume(ctx, anyone, others[r.IntN(len(others))])
	default:
		j.interfere(ctx, r, anyone)
	}
}

// interfere suspends a stage, or cancels one.
func (j *job) interfere(ctx context.Context, r *rand.Rand, anyone func() *client.Client) {
	all, err := listStages(ctx, anyone(), j.task)
	j.census.countRead(err)
	if err != nil {
		return
	}
	var waiting, running []string
	for _, v := range all {
		switch name := taskName(v); v.State {
		case thriftmaster.StageState_WAITING, thriftmaster.StageState_RETRYING:
			// What ends without having run loses its holds.
			if w := j.plan.works[name]; w.state == "COMPLETED" || w.state == "FAILED" {
				waiting = append(waiting, v.StageId)
			}
		case thriftmaster.StageState_RUNNING, thriftmaster.StageState_PREPARED:
			if v.Kind == thriftmaster.NodeKind_STAGE {
				running = append(running, v.StageId)
			}
		}
	}
	cut := j.fate == stagesCut && j.cuts < 10 && r.IntN(2) == 0
	switch {
	case cut && len(running) > 0:
		j.cuts++
		root := running[r.IntN(len(running))]
		if r.IntN(2) == 0 {
			j.suspend(ctx, anyone(), root, thriftmaster.HoldMode_REQUEUE)
			return
		}
		j.errand(ctx, saidCancel, root, func(ctx context.Context, who string) error { return anyone().CancelStage(ctx, root, "", who) })
	case len(running) > 0 && r.IntN(8) == 0:
		j.suspend(ctx, anyone(), running[r.IntN(len(running))], thriftmaster.HoldMode_DRAIN)
	case len(waiting) > 0:
		j.suspend(ctx, anyone(), waiting[r.IntN(len(waiting))], thriftmaster.HoldMode_HOLD)
	case len(running) == 0:
		j.look(ctx, anyone) // it may have ended
	}
}

func (j *job) retry(ctx context.Context, c *client.Client) {
	j.retries++
	e := j.errand(ctx, saidRetry, "", func(ctx context.Context, who string) error {
		_, err := c.RetryTask(ctx, j.task, nil, who)
		return err
	})
	j.ended = e.verdict == refused
}

// others are the roots of holds that are not kept until the end.
func (j *job) others() []string {
	var roots []string
	for root := range j.held {
		if root != j.finale {
			roots = append(roots, root)
		}
	}
	slices.SortFunc(roots, cmp.Compare)
	return roots
}

// finish takes all holds back, and waits for the end of the task.
func (j *job) finish(ctx context.Context, anyone func() *client.Client) {
	for end := time.Now().Add(5 * patience); ; {
		v := j.look(ctx, anyone)
		switch {
		case v == nil, j.ended && (j.fate == leftAlone || j.retries > 0 || v.State == thriftmaster.TaskState_COMPLETED):
			return
		case j.ended:
			j.retry(ctx, anyone())
			continue
		}
		for _, h := range v.Holds {
			j.resume(ctx, anyone, h.RootStageId)
		}
		page, err := anyone().Watch(ctx, j.task, j.seen, 1000, 1000)
		if j.census.countRead(err); err == nil {
			j.seen = page.Cursor
		}
		if time.Now().After(end) {
			j.Errorf("task %s does not end; left are:\n%s", j.task, strings.Join(j.left(ctx, anyone()), "\n"))
			return
		}
	}
}

// left lists what has not ended, and why.
func (j *job) left(ctx context.Context, c *client.Client) []string {
	page, err := c.ListStages(ctx, &thriftmaster.StageQuery{TaskName: j.task, Groups: new(true), Explain: new(true), Limit: new(int32(10_000))})
	if err != nil {
		return []string{err.Error()}
	}
	return unended(page.Stages)
}
