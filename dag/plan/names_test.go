package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag/plan"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]string{
		"job": "", "My-Plan.2": "", strings.Repeat("a", 54): "",
		"": "no name", "a_b": "must not contain _", strings.Repeat("a", 55): "at most 54", "-a": "both ends", "a b": "only letters", "a-": "both ends",
	} {
		err := plan.ValidName(name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestTaskName(t *testing.T) {
	if got := plan.TaskName("My-Job", [8]byte{0, 25, 26, 255, 1, 2, 3, 4}); got != "my-job-azavbcde" {
		t.Error(got)
	}
}

func TestSplitSuffix(t *testing.T) {
	for id, want := range map[string][]string{
		"job-abcdefgh-java-1":             {"abcdefgh"},
		"my-pipeline-abcdefgh-validate-1": {"pipeline", "abcdefgh", "validate"},
		"job-abcdefgh":                    {"abcdefgh"},
		"pipeline-abcdefgh-a":             {"abcdefgh"},
		"job-abcdefg1-java":               nil,
		"":                                nil,
	} {
		if diff := cmp.Diff(want, plan.SplitSuffix(id)); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
}

func TestResultPath(t *testing.T) {
	for text, want := range map[string]string{
		"operators:\n- name: a\n  params: {inputPath: x}\n- name: b\n  params: {outputPath: /data/out.csv}\n- params: {outputPath: late}\n": "/data/out.csv",
		"operators:\n- params: [outputPath]\n- params: {outputPath: 7}\n":                                                                   "7",
		"operators: []":                          "",
		"operators: {a: b}":                      "",
		"not: a\n\tyaml":                         "",
		"":                                       "",
		"operators:\n- params: {outputPath: }\n": "",
	} {
		got, ok := plan.ResultPath([]byte(text))
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", text, got, ok, want)
		}
	}
}
