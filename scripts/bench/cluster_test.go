//go:build cluster

package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestEveryClusterRigWorks takes every figure that needs a cluster, at its smallest size.
func TestEveryClusterRigWorks(t *testing.T) {
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"-cluster", "-quick", "-dir", t.TempDir()}, &out, &errs); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	for _, figure := range []string{"real-running", "real-next", "simulated-next", "requests-writes", "tasks-ratio", "dag-5000-cpu", "dag-evenness"} {
		if !strings.Contains(out.String(), "\nkube/"+figure+" ") {
			t.Errorf("no figure kube/%s in\n%s", figure, out.String())
		}
	}
}
