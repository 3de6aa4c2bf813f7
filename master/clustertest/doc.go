// Package clustertest holds no code, only tests of whole masters that run their stages as Jobs of a real Kubernetes. They have the build
// tag cluster; scripts/cluster-test.sh runs them, after prepare.sh has made the image of the helper in the pods.
//
// TestProbes runs the plans of dag/plan/testdata/probes and compares them, node by node, with what Argo Workflows made of the same.
//
// TestChaos kills two masters on one Redis again and again under a plan of 200 stages, restarts the API server, and cuts the masters'
// connections to it. Each pod appends its attempt and its own uid to one file, which no master ever sees: no attempt may have been
// started twice, none may be lost, every stage ends as planned and after what it depends on, and nothing of it runs on.
// CLIC_CLUSTER_CHAOS_ROUNDS=30 is how often a master is killed (5).
package clustertest
