// Package deploytest applies deploy/kubernetes to a real cluster and uses what runs then as people do: with the shell from outside
// and from a pod, with plans of the old form whose programs are of the old system, and with the rights that the manifests give and
// no more. Its tests have the build tag cluster; scripts/cluster-test.sh runs them, after prepare.sh has made the images.
package deploytest
