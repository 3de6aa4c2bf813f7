//go:build cluster

package kube_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// What ends before its program has begun has no exit status, and says what kept it.
func TestEndsBeforeItBegins(t *testing.T) {
	for _, c := range []struct{ name, patch, says string }{
		{"deadline-init", `{"initContainers": [{"name": "prepare", "image": "` + shellImage + `", "command": ["sh", "-c", "` + forever + `"]}]}`, "before its program had begun"},
		{"deadline-volume", `{"volumes": [{"name": "v", "secret": {"secretName": "none"}}],
			"containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}`, "before its program had begun"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			s.launch(t, c.name, "true", c.patch)
			s.launch(t, "stopped", "true", c.patch)
			for _, id := range []string{c.name, "stopped"} {
				s.sees(t, id, "why it is pending", func(r executors.Sighting) bool { return r.Phase == dag.AttemptPending && r.Reason != "" })
			}
			if err := s.e.Cancel(t.Context(), "stopped", 1); err != nil {
				t.Fatal(err)
			}
			if r := s.end(t, "stopped"); r.Phase != dag.AttemptStopped || r.ExitCode != 0 || !r.Started.IsZero() {
				t.Errorf("the one that was stopped is reported as %+v", r)
			}
			if _, err := s.client.BatchV1().Jobs(s.name).Patch(t.Context(), c.name, types.MergePatchType,
				[]byte(`{"spec": {"activeDeadlineSeconds": 1}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			r := s.end(t, c.name)
			s.keep(t, c.name)
			wantFailure(t, r, dag.FailTimeout, 0, c.says)
			if r.ExitCode != 0 || !r.Started.IsZero() {
				t.Errorf("it is reported as %+v", r)
			}
		})
	}
}
