package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/master/engine"
)

// The image and the program of all stages. Simulated nodes run neither.
const (
	stageImage   = "clic.test/shell:1"
	stageProgram = "sleep 2"
)

// step is what happened to one stage, and when.
type step struct {
	mu sync.Mutex
	// launched is when Executor.Launch was called, sent and answered when its Job was asked for and was there, running and ended
	// when the executor reported that, and seen when a watch of our own saw its pod's end.
	launched, sent, answered, running, ended, seen time.Time
}

func (s *step) note(at *time.Time, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.IsZero() {
		*at = t
	}
}

func (s *step) request(sent, answered time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.answered = sent, answered
}

// learned is when the stage's end was known to this process.
func (s *step) learned() time.Time {
	if s.seen.IsZero() || s.ended.Before(s.seen) {
		return s.ended
	}
	return s.seen
}

// stopwatch is an executor that notes what happens when.
type stopwatch struct {
	executors.Executor

	reports atomic.Int64

	mu    sync.Mutex
	steps map[string]*step // by attempt
	names map[string]*step // by the stage's name in the plan
}

func newStopwatch(x executors.Executor) *stopwatch {
	return &stopwatch{Executor: x, steps: map[string]*step{}, names: map[string]*step{}}
}

func (w *stopwatch) step(attempt string) *step {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.steps[attempt]
	if s == nil {
		s = &step{}
		w.steps[attempt] = s
	}
	return s
}

// Start notes what the executor reports.
func (w *stopwatch) Start(ctx context.Context, sink executors.Sink) error {
	return w.Executor.Start(ctx, func(ctx context.Context, seen executors.Sighting) error {
		now := time.Now()
		w.reports.Add(1)
		s := w.step(seen.AttemptID)
		switch seen.Phase {
		case dag.AttemptRunning:
			s.note(&s.running, now)
		case dag.AttemptSucceeded:
			s.note(&s.ended, now)
		}
		return sink(ctx, seen)
	})
}

// Launch notes when it was called. The requests that it makes find the step in their context.
func (w *stopwatch) Launch(ctx context.Context, a executors.Attempt) error {
	s := w.step(a.ID)
	s.note(&s.launched, time.Now())
	w.mu.Lock()
	w.names[a.Spec.Inputs["name"]] = s
	w.mu.Unlock()
	return w.Executor.Launch(context.WithValue(ctx, stepOf{}, s), a)
}

// kubeConfig is the executor's configuration.
func (c *cluster) kubeConfig(simulated bool) kube.Config {
	k := kube.Config{Namespace: c.namespace, Instance: "bench"}
	if simulated {
		k.NodeSelector = map[string]string{simulatedNode: "true"}
		k.Tolerations = []corev1.Toleration{{Key: simulatedNode, Operator: corev1.TolerationOpExists}}
	}
	return k
}

// timing is what came of a run: what happened to the stages, by their names in the plan, and how often the executor reported and the
// engine wrote.
type timing struct {
	steps            map[string]*step
	reports, commits float64
	late             []float64 // how late this process woke up meanwhile, in ms: the machine's own share of every delay
}

// timed runs a DAG of stages by an engine in this process.
func (b *bench) timed(c *cluster, k kube.Config, stages, width int) (*timing, error) {
	x, err := kube.New(k)
	if err != nil {
		return nil, err
	}
	w := newStopwatch(x)
	ctx, cancel := context.WithCancel(c.ctx)
	ends, err := c.newEnds(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("cannot watch the cluster: %w", err)
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for ends.next() {
			if pod, ok := ends.object.(*corev1.Pod); ok {
				s := w.step(pod.Annotations[attemptAnnotation])
				s.note(&s.seen, time.Now())
			}
		}
		ends.stop()
	})
	result := &timing{steps: w.names}
	watching.Go(func() { result.late = lateness(ctx) })
	err = b.withEngine(w, func(e *engine.Engine) error {
		c.requests.take()
		before := e.Stats().Commits
		a, err := e.Submit(b.ctx, engine.Submission{YAML: []byte(kubePlan(stages, width))})
		if err != nil {
			return err
		}
		err = b.untilDone(e, a.Task)
		result.reports, result.commits = float64(w.reports.Load()), float64(e.Stats().Commits-before)
		return err
	})
	cancel()
	watching.Wait()
	if n := len(w.names); err == nil && n != stages {
		err = fmt.Errorf("%d stages were launched of %d", n, stages)
	}
	return result, err
}

// kubePlan is like argoPlan; every stage knows its own name.
func kubePlan(stages, width int) string {
	var p strings.Builder
	p.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: bench-\nspec:\n  entrypoint: main\n  templates:\n")
	p.WriteString("  - name: main\n    dag:\n      tasks:\n")
	for i := range stages {
		fmt.Fprintf(&p, "      - name: s%d\n        template: work\n", i)
		if i >= width {
			fmt.Fprintf(&p, "        dependencies: [s%d]\n", i-width)
		}
		fmt.Fprintf(&p, "        arguments:\n          parameters:\n          - name: name\n            value: s%d\n", i)
	}
	program := strings.Fields(stageProgram)
	fmt.Fprintf(&p, "  - name: work\n    inputs:\n      parameters:\n      - name: name\n    container:\n      image: %s\n      command: [%s]\n      args: [%q]\n",
		stageImage, program[0], program[1])
	return p.String()
}

// delays are the times from a parent's end to its child's launch and Job, for all stages that have a parent.
func delays(steps map[string]*step, width int) (launched, sent, answered []float64) {
	for i := width; i < len(steps); i++ {
		parent, child := steps[fmt.Sprintf("s%d", i-width)], steps[fmt.Sprintf("s%d", i)]
		launched = append(launched, ms(child.launched.Sub(parent.learned())))
		sent = append(sent, ms(child.sent.Sub(parent.learned())))
		answered = append(answered, ms(child.answered.Sub(parent.learned())))
	}
	return launched, sent, answered
}

// lateness sleeps again and again until ctx is done, and gives how much longer than asked for that took.
func lateness(ctx context.Context) (late []float64) {
	const nap = 5 * time.Millisecond
	t := time.NewTimer(nap)
	defer t.Stop()
	for {
		asleep := time.Now()
		t.Reset(nap)
		select {
		case <-t.C:
			late = append(late, ms(time.Since(asleep)-nap))
		case <-ctx.Done():
			return late
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// kubeReal measures how fast stages follow each other with real pods.
func kubeReal(b *bench) error {
	width := b.pick(4, 2)
	stages := width * b.pick(25, 2)
	return b.withCluster(func(c *cluster) error {
		t, err := b.timed(c, c.kubeConfig(false), stages, width)
		if err != nil {
			return err
		}
		var running []float64
		for _, s := range t.steps {
			if !s.running.IsZero() { // a busy node may tell of a pod only when it has ended
				running = append(running, ms(s.running.Sub(s.launched)))
			}
		}
		if len(running) == 0 {
			return errors.New("no stage was seen running")
		}
		_, sent, answered := delays(t.steps, width)
		what := fmt.Sprintf("real pods, %d chains of %d %#q beside each other, engine and bolt (fsync)", width, stages/width, stageProgram)
		b.tell("kube/real-running", median(running), "ms", "", what+": from Launch until the executor reports Running, median")
		b.tell("kube/real-running-p99", percentile(running, 99), "ms", "", fmt.Sprintf("the same, p99 of %d; %d more were not seen running before they ended", len(running), stages-len(running)))
		b.tell("kube/real-next", median(sent), "ms", "", what+": from when the parent's end is known here until the child's Job is asked for, median")
		b.tell("kube/real-next-p99", percentile(sent, 99), "ms", "", "the same, p99 of "+fmt.Sprint(len(sent)))
		b.tell("kube/real-created", median(answered), "ms", "", "the same until the API server has answered, median")
		b.tell("kube/real-created-p99", percentile(answered, 99), "ms", "", "the same, p99 of "+fmt.Sprint(len(answered)))
		b.tellLateness("kube/real", t)
		return nil
	})
}

// kubeSteps measures the same on simulated nodes, under more load, and what the executor asks of the API server.
func kubeSteps(b *bench) error {
	stages, width := b.pick(1000, 50), b.pick(100, 10)
	return b.withCluster(func(c *cluster) error {
		nodes, err := c.simulated()
		if err != nil {
			return err
		}
		t, err := b.timed(c, c.kubeConfig(true), stages, width)
		if err != nil {
			return err
		}
		count := c.requests.take()
		launched, sent, answered := delays(t.steps, width)
		what := fmt.Sprintf("%d simulated nodes, %d chains of %d stages, engine and bolt (fsync)", nodes, width, stages/width)
		for _, x := range []struct {
			name, until  string
			values       []float64
			aim, aimRare string
		}{
			{"kube/simulated-launch", "until Launch is called", launched, "", ""},
			{"kube/simulated-next", "until the child's Job is asked for", sent, "under 10", "under 20"},
			{"kube/simulated-created", "until the API server has answered", answered, "", ""},
		} {
			b.tell(x.name, median(x.values), "ms", x.aim, what+": from when the parent's end is known here "+x.until+", median")
			b.tell(x.name+"-p95", percentile(x.values, 95), "ms", x.aimRare, "the same, p95 of "+fmt.Sprint(len(x.values)))
		}
		b.tellLateness("kube/simulated", t)
		b.tell("kube/simulated-reports", t.reports/float64(stages), "reports/stage", "", what+": what the executor tells the engine")
		b.tell("kube/simulated-commits", t.commits/float64(stages), "commits/stage", "", "commits of the engine meanwhile; the more there is to do, the more is in one")
		b.tellRequests(count, stages, what)
		if count["create jobs"] < stages {
			return errors.New("fewer Jobs were created than stages were launched")
		}
		return nil
	})
}

// tellLateness prints what the machine itself adds: on one that is busy with other things, each hand-over between goroutines waits so.
func (b *bench) tellLateness(name string, t *timing) {
	b.tell(name+"-late", median(t.late), "ms", "", "how late this process wakes up from a sleep meanwhile, median: a delay has several such hand-overs")
	b.tell(name+"-late-p95", percentile(t.late, 95), "ms", "", "the same, p95 of "+fmt.Sprint(len(t.late)))
}

// tellRequests prints what was asked of the API server.
func (b *bench) tellRequests(count map[string]int, stages int, what string) {
	var writes, lists int
	for _, request := range slices.SortedFunc(maps.Keys(count), func(x, y string) int { return cmp.Or(count[y]-count[x], strings.Compare(x, y)) }) {
		n := count[request]
		b.tell("kube/requests-"+strings.ReplaceAll(request, " ", "-"), float64(n)/float64(stages), "requests/stage", "", fmt.Sprintf("%s: %d", what, n))
		switch verb, _, _ := strings.Cut(request, " "); verb {
		case "list":
			lists += n
		case "get":
		default:
			writes += n
		}
	}
	b.tell("kube/requests-writes", float64(writes)/float64(stages), "requests/stage", "at most 4", "all of them that write, from submit to the end of the task")
	b.tell("kube/requests-lists", float64(lists)/float64(stages), "requests/stage", "none", "all of them that list")
}
