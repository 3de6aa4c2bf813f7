package deploy_test

import (
	"testing"

	"github.com/clic-orchestrator/clic/master"
)

// TestConfiguration: a master takes the configuration of the manifests.
func TestConfiguration(t *testing.T) {
	var c master.Config
	must(t, c.LoadFile("kubernetes/base/clic-master.yaml"))
	c = c.WithDefaults()
	must(t, c.Validate())
	if c.Executors[master.AnyPlatform] != "kube" || c.DataDir == "" {
		t.Errorf("stages are run by %v, data is in %q", c.Executors, c.DataDir)
	}
}
