package kube

import (
	"errors"
	"strings"
	"testing"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func TestJobName(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, c := range []struct{ id, want string }{
		{"task-abcdefgh-java-1", "task-abcdefgh-java-1"},
		{"task-abcdefgh-java-1-r12", "task-abcdefgh-java-1-r12"},
		{long, long},
		{long + "y", strings.Repeat("x", 52) + "-d00194072c"},
		{"Capital", "capital-1a1cf79257"},
		{"-dash-", "dash-d02d5ecb9f"},
		{"ü", "stage-607474ca47"},
		{"", "stage-e3b0c44298"},
		{"1st", "1st"},
	} {
		got := jobName(c.id)
		if len(utilvalidation.IsDNS1123Label(got)) > 0 {
			t.Errorf("%q: %q is no DNS label", c.id, got)
		}
		if c.want != got {
			t.Errorf("%q: %q, want %q", c.id, got, c.want)
		}
	}
	if jobName(long+"-r1") == jobName(long+"-r2") {
		t.Error("two attempts have the same name")
	}
}

func TestLabelValue(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"With.Dots_1":            "With.Dots_1",
		"a b":                    "a-b-c8687a08aa",
		"ü":                      "607474ca47",
		strings.Repeat("x.", 40): strings.Repeat("x.", 25) + "x-" + "38ea4a95a0",
	} {
		got := labelValue(in)
		if len(utilvalidation.IsValidLabelValue(got)) > 0 {
			t.Errorf("%q: %q is no label's value", in, got)
		}
		if want != got {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNamespace(t *testing.T) {
	some := Config{Namespace: "argo", Namespaces: []string{"lab"}}
	all := Config{Namespace: "argo", Namespaces: []string{AnyNamespace}}
	for _, c := range []struct {
		config *Config
		want   string
		ok     bool
	}{
		{&some, "", true},
		{&some, "argo", true},
		{&some, "lab", true},
		{&some, "kube-system", false},
		{&some, "*", false},
		{&all, "kube-system", true},
		{&all, "*", false},
		{&all, "Not A Name", false},
	} {
		got, err := c.config.namespaceOf(executors.Attempt{Spec: &dag.StageSpec{}, Options: map[string]string{"namespace": c.want}})
		want := c.want
		if want == "" {
			want = "argo"
		}
		if c.ok && (err != nil || got != want) || !c.ok && !errors.Is(err, executors.ErrNever) {
			t.Errorf("%q with %q: %q, %v", c.want, c.config.Namespaces, got, err)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("task-abcdefgh-java-1")
	f.Add(strings.Repeat("-", 70))
	f.Fuzz(func(t *testing.T, s string) {
		if name := jobName(s); len(utilvalidation.IsDNS1123Label(name)) > 0 {
			t.Errorf("%q is no DNS label", name)
		}
		if v := labelValue(s); len(utilvalidation.IsValidLabelValue(v)) > 0 {
			t.Errorf("%q is no label's value", v)
		}
	})
}
