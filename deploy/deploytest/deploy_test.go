//go:build cluster

package deploytest

import "testing"

// TestDeployment applies the manifests once; the parts follow each other on what runs then.
func TestDeployment(t *testing.T) {
	r := newRig(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"masters", testMasters},
		{"old plan", testOldPlan},
		{"argo plan", testArgoPlan},
		{"steering", testSteering},
		{"rights", testRights},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, r) }) {
			t.Log(r.state(t))
		}
	}
}
