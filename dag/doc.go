// Package dag is the pure core of clic: what a submitted task is, what can happen to its stages, and what follows from it.
//
// A [Run] is the life of one task. It holds nodes: stages, which an executor runs, and groups (dag, steps, step group,
// fan-out, retry), whose status is a function of what is in them. [Run.Step] takes one [Event] and changes the run;
// [Run.Pending] says, from the state alone, what the world still has to do: launches, cancels and timers.
//
// The contract with whoever drives a run:
//
//   - Step has no clock, no randomness and does no I/O. Time comes in on the event.
//   - Persist the nodes that a [Delta] names before acting on any [Effect] or answering the caller.
//   - Effects are not queued anywhere. They follow from statuses, so after a crash it is enough to load the run, ask for
//     Pending, and let the executors report what they see.
//   - An event about an attempt that is no longer the current one changes nothing and is no error.
//   - One goroutine at a time uses a Run.
//
// The package imports the standard library only.
package dag
