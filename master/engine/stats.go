package engine

import "sync/atomic"

// Stats are counters since the start, for benchmarks and metrics.
type Stats struct {
	// Events is the number of events that were applied to runs; Commits the number of commits that the store took, with
	// Changes tasks' changes in all; CommitFailures those it did not take.
	Events, Commits, Changes, CommitFailures uint64
	// Launches and Cancels are calls to executors; LaunchFailures those launches that returned an error.
	Launches, LaunchFailures, Cancels uint64
	// Reloads is how often an active run was dropped and loaded again. Expired is the number of tasks deleted for age.
	Reloads, Expired uint64
	// Broken is the number of tasks that cannot be loaded or whose run failed, and which are left alone.
	Broken uint64
}

type counters struct {
	events, commits, changes, commitFailures atomic.Uint64
	launches, launchFailures, cancels        atomic.Uint64
	reloads, expired, broken                 atomic.Uint64
}

// Stats gives the counters as they stand.
func (e *Engine) Stats() Stats {
	c := &e.count
	return Stats{
		Events: c.events.Load(), Commits: c.commits.Load(), Changes: c.changes.Load(), CommitFailures: c.commitFailures.Load(),
		Launches: c.launches.Load(), LaunchFailures: c.launchFailures.Load(), Cancels: c.cancels.Load(),
		Reloads: c.reloads.Load(), Expired: c.expired.Load(), Broken: c.broken.Load(),
	}
}
