//go:build cgo

package main

// keeperSlack is no other than that of the rest: with C, a thread of the runtime that cannot be told apart from the keeper starts others.
const keeperSlack = slack
