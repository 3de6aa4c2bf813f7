// Package lead says which of several masters leads: who has the lease of a store.Shared.
//
// Machine is the rule, without goroutines, clocks or stores: it is told the time and the answers of the store, and says
// when to campaign and what has changed. Runner is the goroutine around it.
//
// The lease only says who should act. It rests on clocks that run equally fast, and one that believes in a lease that is
// over can do no harm: the store and the executors refuse what is done in an epoch that is over. So the lease decides how
// fast somebody else goes on, and the epoch that nobody goes on twice.
//
// A leader may act for as long as it is sure of its lease: from when it sent the request that renewed it, by its own
// clock, for the lease's length. When that time is over it stays the leader in name, and goes on as soon as the store says
// that it has the lease still; it has lost the lead when the store says that somebody else has it, or when one of its
// writes was refused because of its epoch.
package lead
