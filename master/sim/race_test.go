//go:build race

package sim

// raced is set where the race detector makes everything slow.
const raced = true
