// Package kubernetes holds no code: its tests (build tag "cluster") show that the cluster of scripts/cluster.sh is a real one, with
// what other tests rely on: Jobs, services, names, restarts, simulated nodes.
package kubernetes
