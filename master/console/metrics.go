package console

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clic-orchestrator/clic/master/engine"
)

// Figures are the counters of a master. They may fall back to zero when another term of its lead begins, as counters of
// Prometheus may.
type Figures struct {
	// Engine is nil where this master does not lead.
	Engine *engine.Stats
	Calls  Calls
}

// Calls are the counters of the Thrift server. Its fields are those of rpc.Stats, which can be converted.
type Calls struct {
	// Connections are the clients now. Accepted, Refused (over the limit), Calls and Panics count from the start.
	Connections                      int
	Accepted, Refused, Calls, Panics int64
	// Relayed are calls that another master answered, Repeated the tries beyond the first of calls whose leader had gone. Waiting
	// are the calls that wait for a leader now.
	Relayed, Repeated, Waiting int64
}

// collector turns a master's status and figures into metrics, at the moment that they are asked for.
type collector struct {
	status  func(context.Context) Status
	figures func() Figures
	now     func() time.Time
	// panicked is told of a panic: the metrics are gathered in goroutines of their own, which nobody else watches.
	panicked func(what string, v any)
}

// Describe describes nothing: which metrics there are depends on the master's role.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives the metrics.
func (c collector) Collect(out chan<- prometheus.Metric) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked("metrics", v)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	s := sink{out}
	c.describe(s, c.status(ctx))
	f := c.figures()
	if f.Engine != nil {
		s.engine(f.Engine)
	}
	s.calls(f.Calls)
}

func (c collector) describe(s sink, st Status) {
	s.gauge("clic_build_info", "Always 1; the label is the version.", 1, "version", st.Version)
	s.gauge("clic_start_time_seconds", "When the master started, in seconds since the Unix epoch.", float64(st.Started.UnixMilli())/1000)
	s.gauge("clic_ready", "1 while calls are answered: this master leads, or follows one that does.", boolean(st.Ready))
	for _, role := range []string{"leader", "follower", "single"} {
		s.gauge("clic_role", "1 for the role that the master has.", boolean(st.Role == role), "role", role)
	}
	s.gauge("clic_epoch", "The epoch of the lead, 0 if it is not known.", float64(st.Epoch))
	s.gauge("clic_masters", "The masters that share the store, as far as this one knows.", float64(len(st.Members)))
	for _, m := range st.Members {
		s.gauge("clic_master_silence_seconds", "How long ago a master gave a sign of life.", float64(m.SilentMillis)/1000,
			"id", m.ID, "address", m.Address)
	}
	for _, x := range st.Executors {
		s.gauge("clic_executor_up", "1 while an executor can launch stages; /status says why it cannot.", boolean(x.Trouble == ""), "executor", x.Name)
	}
	s.gauge("clic_store_reachable", "1 while the store can be reached.", boolean(st.Store.Reachable))
	stale := time.Duration(0)
	if since := st.Store.StaleSince; !since.IsZero() {
		stale = max(0, c.now().Sub(since))
	}
	s.gauge("clic_store_stale_seconds", "For how long what the master says may be out of date; 0 if it is not.", stale.Seconds())
	s.gauge("clic_active_tasks", "Tasks that this master has in memory, because it leads.", float64(st.ActiveTasks))
	s.gauge("clic_active_stages", "Stages of those tasks.", float64(st.ActiveStages))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// sink makes metrics.
type sink struct{ out chan<- prometheus.Metric }

// gauge gives a value that goes up and down. labels are names and values in turn.
func (s sink) gauge(name, help string, value float64, labels ...string) {
	s.give(prometheus.GaugeValue, name, help, value, labels)
}

func (s sink) count(name, help string, value float64) {
	s.give(prometheus.CounterValue, name, help, value, nil)
}

func (s sink) give(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
	if err != nil {
		// A label that is not UTF-8, most likely: the answer says so, beside all others.
		m = prometheus.NewInvalidMetric(prometheus.NewDesc(name, help, nil, nil), err)
	}
	s.out <- m
}

func (s sink) engine(e *engine.Stats) {
	for _, c := range []struct {
		name, help string
		value      uint64
	}{
		{"clic_engine_events_total", "Events that were applied to tasks.", e.Events},
		{"clic_engine_commits_total", "Batches that the store took.", e.Commits},
		{"clic_engine_changes_total", "Changes of tasks in those batches.", e.Changes},
		{"clic_engine_commit_failures_total", "Batches that the store did not take.", e.CommitFailures},
		{"clic_engine_launches_total", "Attempts that were given to an executor.", e.Launches},
		{"clic_engine_launch_failures_total", "Attempts that an executor did not take.", e.LaunchFailures},
		{"clic_engine_cancels_total", "Attempts that an executor was asked to stop.", e.Cancels},
		{"clic_engine_reloads_total", "Active tasks that were loaded again.", e.Reloads},
		{"clic_engine_expired_tasks_total", "Tasks that were deleted for their age.", e.Expired},
		{"clic_engine_broken_tasks_total", "Tasks that cannot be run and are left alone.", e.Broken},
	} {
		s.count(c.name, c.help, float64(c.value))
	}
}

func (s sink) calls(c Calls) {
	s.gauge("clic_rpc_connections", "Thrift clients that are connected.", float64(c.Connections))
	s.gauge("clic_rpc_waiting_calls", "Calls that wait for a master to lead.", float64(c.Waiting))
	for _, c := range []struct {
		name, help string
		value      int64
	}{
		{"clic_rpc_accepted_total", "Connections that were accepted.", c.Accepted},
		{"clic_rpc_refused_total", "Connections that were refused, because there were too many.", c.Refused},
		{"clic_rpc_calls_total", "Calls.", c.Calls},
		{"clic_rpc_panics_total", "Calls that ended in a panic.", c.Panics},
		{"clic_rpc_relayed_total", "Calls that were relayed to the leading master.", c.Relayed},
		{"clic_rpc_repeated_total", "Tries beyond the first of calls whose leader had gone.", c.Repeated},
	} {
		s.count(c.name, c.help, float64(c.value))
	}
}
