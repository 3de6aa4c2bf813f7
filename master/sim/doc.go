// Package sim runs whole masters in one goroutine, under a clock that it makes up, from a seed: it breaks everything
// between them that can break, and looks after every step whether a promise was broken.
//
// What is real: the leadership (lead.Machine), the shards with their commits, the dispatcher, recovery (engine.Manual), the
// core and the plans. What is a model: the store, with the semantics of the Redis one (a fence per epoch, a revision per
// task, batches whose outcome is unknown, a lease, restarts that lose the last second and are healed); the executors, whose
// attempts outlive masters; the programs of stages; the clients; the network between all of them; and the glue that in a
// real master is goroutines.
//
// A seed decides all: the plan, the delays, the faults (crashes between any two steps, pauses from which a leader wakes up
// too late, partitions, losses, doublings, delays of seconds, restarts of the store). The same seed gives the same run,
// whose steps are hashed, so that a failing one can be looked at again with a trace.
//
// The promises are checked where the truth is: in the store, when a change is applied to it, and in the executors, when an
// attempt begins. See checker.
//
// Mutants are faults of the glue or the models, planted by hand. Each has to be found soon: they test the test.
package sim
