package kubeconf

import (
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	c := Config{TTL: time.Minute}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Namespace != "argo" || c.PVC != "pvc-nfs" || c.MountPath != "/data" || c.VolumeName != "nfs-volume" || c.StageHelper != HelperAuto ||
		c.Parallel != 32 || c.KeepFailed != time.Minute || c.Grace != 30*time.Second || c.Logger == nil {
		t.Errorf("the defaults are %+v", c)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Namespace: "Argo"}, `"Argo" cannot be a namespace's name`},
		{Config{Namespace: "*"}, "the default namespace cannot be"},
		{Config{Namespaces: []string{"ok", "not ok"}}, `"not ok" cannot be a namespace's name`},
		{Config{Instance: "a_b"}, `the instance "a_b"`},
		{Config{Instance: strings.Repeat("x", 41)}, "at most 40"},
		{Config{PVC: "No!"}, `"No!" cannot be a claim's name`},
		{Config{VolumeName: "clic"}, `"clic" cannot be the volume's name`},
		{Config{MountPath: "data"}, `cannot be mounted on "data"`},
		{Config{MountPath: "/clic/"}, `cannot be mounted on "/clic/"`},
		{Config{StageHelper: "yes"}, `not "yes"`},
		{Config{StageHelper: HelperAlways}, "no image with it"},
		{Config{ArchiveLogs: true}, "no directory"},
		{Config{Parallel: -1}, "the number of creations at once is too small"},
		{Config{Heartbeat: time.Millisecond}, "the heartbeat is too small"},
		{Config{Grace: -1}, "the grace is too small"},
		{Config{QPS: -1}, "requests per second"},
		{Config{Labels: map[string]string{"clic/x": "y"}}, "labels[clic/x]"},
		{Config{Labels: map[string]string{"x": "not a value"}}, "labels"},
		{Config{Annotations: map[string]string{"clic/helper": "true"}}, "annotations[clic/helper]"},
		{Config{NodeSelector: map[string]string{"x y": "z"}}, "nodeSelector"},
		{Config{ImagePullSecrets: []string{"", "b"}}, "imagePullSecrets[0]"},
		{Config{ServiceAccount: "a b"}, "serviceAccount"},
	} {
		err := c.config.WithDefaults().Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
}
