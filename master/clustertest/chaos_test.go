//go:build cluster

package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
)

const (
	chaosStages = 200
	// apiRestarts is how often the API server is restarted during the run.
	apiRestarts = 2
	// stuck is how long the run may stand still, whatever happens to it.
	stuck     = 4 * time.Minute
	chaosLast = 30 * time.Minute
)

// chaos is a run under which everything but the stages themselves is struck.
type chaos struct {
	*world
	rand    *rand.Rand
	plan    plan
	journal *journal
	seats   []*seat
	front   *client.Client // knows both masters
	task    string

	leaders, followers, starting, cuts, holds, restarts int
	api                                                 sync.WaitGroup
}

func TestChaos(t *testing.T) {
	kills := 5
	if s := os.Getenv("CLIC_CLUSTER_CHAOS_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("CLIC_CLUSTER_CHAOS_ROUNDS is %q, not a number of kills", s)
		}
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d: %d stages, %d kills", seed, chaosStages, kills)
	w := newWorld(t)
	c := &chaos{world: w, rand: rand.New(rand.NewPCG(seed, 0)), journal: newJournal(w), seats: newSeats(w, 2)}
	c.plan = makePlan(chaosStages, c.journal.dir)
	c.front = newClient(w, c.seats[0].address+","+c.seats[1].address)
	for _, s := range c.seats {
		s.start()
	}
	c.submit()
	began := time.Now()
	c.storm(kills)
	c.api.Wait()
	c.await()
	took := time.Since(began)
	sum := c.judge()
	for _, s := range c.seats {
		s.stop()
		for _, line := range s.complaints("panic", "DATA RACE") {
			t.Errorf("a master logged: %s", line)
		}
	}
	t.Logf("kills:    %d with SIGKILL (leader %d, follower %d, of these while it started %d)", kills, c.leaders, c.followers, c.starting)
	t.Logf("faults:   API server restarted %d times; connections to it cut %d times, held %d times", c.restarts, c.cuts, c.holds)
	t.Logf("attempts: %d of %d stages, in %d pods; started twice %d, lost %d, unknown to the masters %d, out of order %d",
		sum.attempts, sum.stages, sum.pods, sum.twice, sum.lost, sum.unknown, sum.misordered)
	t.Logf("jobs:     %d are there, %d of them run on", sum.jobs, sum.running)
	t.Logf("time:     %.0f s", took.Seconds())
}

// submit gives the plan to whoever leads first.
func (c *chaos) submit() {
	c.Helper()
	c.eventually("a leader", func() bool {
		return slices.ContainsFunc(c.seats, func(s *seat) bool { return s.leads(c.Context()) })
	})
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	a, err := c.front.Submit(ctx, &thriftmaster.Submission{Plan: c.plan.yaml, RequestId: new("chaos")})
	if err != nil {
		c.Fatal(err)
	}
	c.task = a.TaskName
}

// storm strikes again and again while the run goes on. The kills are spread over the attempts of the run.
func (c *chaos) storm(kills int) {
	c.Helper()
	attempts := 0
	for _, w := range c.plan.works {
		attempts += w.width * int(1+w.attempt)
	}
	for k := range kills {
		for r := range apiRestarts {
			if k == (r+1)*kills/(apiRestarts+1) {
				c.restartAPI()
			}
		}
		// One in four comes soon after the last, when masters are just starting.
		if k > 0 && c.rand.IntN(4) == 0 {
			c.pause(time.Duration(c.rand.IntN(1500)) * time.Millisecond)
		} else {
			c.progress((2*k + 1) * attempts / (2*kills + 1))
		}
		c.strike()
	}
}

// progress waits until so many attempts have ended.
func (c *chaos) progress(ends int) {
	c.Helper()
	last, since := -1, time.Now()
	for {
		n := c.journal.ends()
		if n >= ends {
			return
		}
		if n > last {
			last, since = n, time.Now()
		}
		if time.Since(since) > stuck {
			c.Fatalf("after %d attempts nothing goes on:\n%s", n, c.unended())
		}
		c.pause(50 * time.Millisecond)
	}
}

// strike kills a master and starts it again, and may cut or hold the connections of the masters to the API server.
func (c *chaos) strike() {
	c.Helper()
	victim := c.seats[c.rand.IntN(len(c.seats))]
	leads := false
	for _, s := range c.seats {
		if s.leads(c.Context()) && c.rand.IntN(4) > 0 { // most of the time the one that leads
			victim, leads = s, true
		}
	}
	for _, s := range c.seats {
		switch c.rand.IntN(6) {
		case 0, 1, 2:
			s.proxy.Cut()
			c.cuts++
		case 3:
			s.proxy.Hold()
			c.holds++
		}
	}
	switch {
	case leads:
		c.leaders++
	default:
		c.followers++
		if !victim.leads(c.Context()) {
			c.starting++
		}
	}
	victim.life.kill()
	c.pause(time.Duration(c.rand.IntN(1000)) * time.Millisecond) // as long as who starts it again needs to notice
	victim.start()
	for _, s := range c.seats {
		s.proxy.Release()
	}
}

// pause lets things go on for so long, as long as the test may.
func (c *chaos) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.Context().Done():
	}
}

// restartAPI restarts the API server, while everything else goes on.
func (c *chaos) restartAPI() {
	if os.Getenv("CLIC_TEST_KUBECONFIG") != "" {
		return // that cluster is not ours; the connections to its API server are cut all the same
	}
	c.restarts++
	c.api.Go(func() {
		out, err := exec.CommandContext(c.Context(), "../../scripts/cluster.sh", "restart", "kube-apiserver").CombinedOutput()
		if err != nil {
			c.Errorf("cannot restart the API server: %v\n%s", err, out)
		}
	})
}

// await waits for the end of the task.
func (c *chaos) await() {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), chaosLast)
	defer cancel()
	since := time.Now()
	var cursor int64
	for {
		page, err := c.front.Watch(ctx, c.task, cursor, 1000, 1000)
		if err == nil && page.Done {
			return
		}
		if err == nil && len(page.Events) > 0 {
			cursor, since = page.Cursor, time.Now()
		}
		if ctx.Err() != nil || time.Since(since) > stuck {
			c.Fatalf("the task does not end (%v); left are:\n%s", err, c.unended())
		}
	}
}

// unended says what has not ended, and why.
func (c *chaos) unended() string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	page, err := c.front.ListStages(ctx, &thriftmaster.StageQuery{TaskName: c.task, Explain: new(true), Limit: new(int32(10_000))})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, v := range page.Stages {
		if v.Ended == 0 {
			fmt.Fprintf(&b, "%s %s attempt %d: %s\n", v.StageId, v.State, v.Attempt, v.GetExplanation().GetText())
		}
	}
	return b.String() + lines(c.left())
}

// jobsThere counts the Jobs, and those of them that have not ended.
func (c *chaos) jobsThere() (all, running int) {
	c.Helper()
	c.eventually("all Jobs to end", func() bool { return len(c.left()) == 0 })
	list, err := c.client.BatchV1().Jobs(c.namespace).List(c.Context(), metav1.ListOptions{})
	if err != nil {
		c.Fatal(err)
	}
	for i := range list.Items {
		if list.Items[i].Status.Active > 0 {
			running++
		}
	}
	return len(list.Items), running
}
