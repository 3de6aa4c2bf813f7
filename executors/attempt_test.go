package executors_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func TestShellLine(t *testing.T) {
	a := executors.Attempt{
		ID: "p-abcdefgh-java-1", Stage: "p-abcdefgh-java-1", MasterHost: "clic-master-svc", MasterPort: 7777,
		Spec: &dag.StageSpec{Args: []string{`java -jar "x y.jar" --dagPath=/data/dag.yml`}},
	}
	want := `java -jar "x y.jar" --dagPath=/data/dag.yml --stageId=p-abcdefgh-java-1 --masterHost=clic-master-svc --masterPort=7777`
	if got := executors.ShellLine(a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEnv(t *testing.T) {
	a := executors.Attempt{ID: "s-r2", Task: "t", Stage: "s", Number: 2}
	want := []string{"CLIC_STAGE_ID=s", "CLIC_TASK=t", "CLIC_ATTEMPT=2", "CLIC_ATTEMPT_ID=s-r2"}
	if diff := cmp.Diff(want, executors.Env(a)); diff != "" {
		t.Error(diff)
	}
	a.Token, a.MasterHost, a.MasterPort = "k", "::1", 7777
	if diff := cmp.Diff(append(want, "CLIC_TOKEN=k", "CLIC_MASTER=[::1]:7777"), executors.Env(a)); diff != "" {
		t.Error(diff)
	}
}
