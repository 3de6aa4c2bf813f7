package stage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	shellclient "github.com/clic-orchestrator/clic/shell/client"

	clicmaster "github.com/clic-orchestrator/clic/master"
)

// site is a real master, whose stages run under the helper: as processes, since what the helper does is the same there.
type site struct {
	*box
	client  *shellclient.Client
	address string
	stop    func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{box: newBox(t)}
	s.start("127.0.0.1:0")
	s.client = shellclient.New(shellclient.Config{Address: s.address, Patience: patience})
	t.Cleanup(func() {
		if err := s.client.Close(); err != nil {
			t.Error(err)
		}
		s.stop()
	})
	return s
}

// start starts the master, or another one on the same data.
func (s *site) start(listen string) {
	s.Helper()
	m, err := clicmaster.New(clicmaster.Config{Listen: listen, DataDir: s.path("data"), Version: "v1.2.3"})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-m.Ready():
	case err := <-done:
		cancel()
		s.Fatal("the master has ended: ", err)
	}
	s.address = m.Addr().String()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			s.Errorf("the master: %v", err)
		}
		s.stop = func() {}
	}
}

// submit submits a plan of one stage that runs a script under the helper, and gives the stage's id. more is YAML of the
// template.
func (s *site) submit(options, script, more string) string {
	s.Helper()
	plan := fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: helped-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks: [{name: a, template: run}]
  - name: run
    container:
      command: [%q, run, --, sh, -c]
      args: [%q]
      env:
      - {name: CLIC_STAGE_OPTIONS, value: %q}
      - {name: BOX, value: %q}
%s`, s.helper, script, options, s.dir, more)
	answer, err := s.client.Submit(s.Context(), &master.Submission{Plan: plan})
	if err != nil {
		s.Fatal(err)
	}
	page, err := s.client.ListStages(s.Context(), &master.StageQuery{TaskName: answer.TaskName})
	if err != nil || len(page.Stages) != 1 {
		s.Fatalf("%v, %v", page, err)
	}
	return page.Stages[0].StageId
}

// until waits until a stage is as it should be.
func (s *site) until(id, what string, ok func(*master.StageInfo) bool) *master.StageInfo {
	s.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		v, err := s.client.GetStage(s.Context(), id)
		if err != nil {
			s.Fatal(err)
		}
		if ok(v) {
			return v
		}
		select {
		case <-tick.C:
		case <-late:
			s.Fatalf("stage %s is not %s, but %+v", id, what, v)
		}
	}
}

func is(state master.StageState) func(*master.StageInfo) bool {
	return func(v *master.StageInfo) bool { return v.State == state }
}

// options of the helper under the master, with outputs that the executor itself does not ask for.
func (s *site) with(more string) string {
	return fmt.Sprintf(`{"terminationLog":%q,"heartbeat":"100ms"%s}`, s.log, more)
}

// The master hears of everything from the helper and the program, with the attempt's token.
func TestMaster(t *testing.T) {
	s := newSite(t)
	id := s.submit(s.with(`,"result":true,"outputs":[{"name":"p","path":"/no/such/file"}]`), `
		clic-stage progress 3 10 "a third"; while [ ! -e "$BOX/one" ]; do sleep 0.01; done
		CLIC_TOKEN=wrong clic-stage prepared; echo $?
		clic-stage prepared; while [ ! -e "$BOX/two" ]; do sleep 0.01; done
		echo value | clic-stage output p; head -c 10000 /dev/zero | tr '\0' y`, "")
	v := s.until(id, "in progress", func(v *master.StageInfo) bool { return v.GetProgressMessage() != "" })
	if v.State != master.StageState_RUNNING || v.GetProgressDone() != 3 || v.GetProgressTotal() != 10 || v.GetProgressMessage() != "a third" {
		t.Errorf("%+v", v)
	}
	s.write("one", "")
	s.until(id, "prepared", is(master.StageState_PREPARED))
	s.write("two", "")
	v = s.until(id, "completed", is(master.StageState_COMPLETED))
	want := &master.StageOutputs{Result_: new("77\n" + strings.Repeat("y", 10000)), Parameters: map[string]string{"p": "value"}}
	if diff := cmp.Diff(want, v.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%.2000s", diff)
	}
	s.until(id, "over", func(v *master.StageInfo) bool { return v.ExitCode != nil && *v.ExitCode == 0 })
	awaitText(s.box, `"posted":true`)
}

// A master that goes away in the middle is not missed, and the next one hears of the end.
func TestMastersChange(t *testing.T) {
	s := newSite(t)
	s.fifo("begun")
	id := s.submit(s.with(`,"result":true`), `echo begun > "$BOX/begun"; while [ ! -e "$BOX/go" ]; do sleep 0.01; done
		clic-stage prepared && head -c 10000 /dev/zero | tr '\0' y`, "")
	s.hear("begun")
	s.until(id, "running", is(master.StageState_RUNNING))
	address := s.address
	s.stop()
	s.write("go", "")
	s.start(address)
	v := s.until(id, "completed", is(master.StageState_COMPLETED))
	if got := v.Outputs.GetResult_(); got != strings.Repeat("y", 10000) || v.Prepared == 0 || v.Retries != 0 {
		t.Errorf("%d bytes, %+v", len(got), v)
	}
}

// A stage that is cancelled is told to end by the executor and by the helper, and its completion is not posted.
func TestMasterCancels(t *testing.T) {
	s := newSite(t)
	s.fifo("begun")
	id := s.submit(s.with(""), `trap 'echo told > "$BOX/told"; exit 9' TERM; echo begun > "$BOX/begun"; while :; do sleep 0.01; done`, "")
	s.hear("begun")
	if err := s.client.CancelStage(t.Context(), id, "enough", "ann"); err != nil {
		t.Fatal(err)
	}
	s.until(id, "cancelled", is(master.StageState_CANCELLED))
	awaitText(s.box, `{"v":1,"exit":9,"signal":"","error":"","posted":false`)
	if got := s.read("told"); got != "told\n" {
		t.Errorf("told %q", got)
	}
}

// A program that fails is the executor's to report: the kind of the failure stays "exit", and the status its own.
func TestMasterSeesFailure(t *testing.T) {
	s := newSite(t)
	id := s.submit(s.with(""), "exit 3", "")
	v := s.until(id, "failed", is(master.StageState_FAILED))
	if v.Failure.GetKind() != "exit" || v.Failure.GetExitCode() != 3 {
		t.Errorf("%+v", v.Failure)
	}
	if log, err := filepath.Glob(s.path("clic/.clic-stage-*")); err != nil || len(log) > 0 {
		t.Errorf("notes are left: %q, %v", log, err)
	}
}
