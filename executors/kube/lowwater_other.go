//go:build !linux

package kube

// setLowWater does nothing: only Linux is known to heed it while it polls.
func setLowWater(uintptr, int) {}
