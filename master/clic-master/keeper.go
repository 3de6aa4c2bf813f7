//go:build !cgo

package main

import "time"

// keeperSlack is the slack of the thread with which Go's runtime looks after the others: it sees to it that no goroutine, and no call of
// the kernel, keeps the others from a processor. For as long as nothing happens it sleeps for 10 ms by itself; it may do so always.
const keeperSlack = 10 * time.Millisecond
