package engine

import (
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
)

// durations remembers how long the stages of a plan took, by template, for estimates of what is left: a moving average
// per plan and template, in memory only.
type durations struct {
	mu   sync.Mutex
	mean map[durationKey]float64
}

type durationKey struct{ plan, template string }

const (
	// maxDurations bounds the table. A full one is started anew: what is in use comes back with the next runs.
	maxDurations = 20_000
	// durationWeight is the share of the newest sample in the average.
	durationWeight = 0.3
)

func (d *durations) add(plan, template string, took dag.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mean == nil || len(d.mean) >= maxDurations {
		d.mean = map[durationKey]float64{}
	}
	k := durationKey{plan, template}
	old, ok := d.mean[k]
	if !ok {
		old = float64(took)
	}
	d.mean[k] = old + durationWeight*(float64(took)-old)
}

// known gives the averages of a plan's templates.
func (d *durations) known(plan string) func(template string) (dag.Duration, bool) {
	return func(template string) (dag.Duration, bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		v, ok := d.mean[durationKey{plan, template}]
		return dag.Duration(v), ok
	}
}

// measure remembers how long a stage took.
func (s *shard) measure(t *task, e *dag.Entry) {
	if e.Node < 0 || e.To != completedName || int(e.Node) >= t.run.Len() {
		return
	}
	n := t.run.Node(e.Node)
	if n.Spec.Kind == dag.KindStage && n.Started > 0 && n.Ended >= n.Started {
		s.e.durations.add(t.run.Task().Plan, n.Spec.Template, dag.Duration(n.Ended-n.Started))
	}
}

var completedName = dag.Completed.String()

// millis is the core's time of a clock's; the zero time is 0.
func millis(t time.Time) dag.Time {
	if t.IsZero() {
		return 0
	}
	return dag.Time(t.UnixMilli())
}
