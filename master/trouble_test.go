package master_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/console"
)

// kubeMaker makes the real executor.
func kubeMaker(c kubeconf.Config) (executors.Executor, error) { return kube.New(kube.Config(c)) }

// forbidding writes the kubeconfig of a cluster that lets nobody do anything.
func forbidding(t *testing.T) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
			"message": "jobs.batch is forbidden: User \"nobody\" cannot list resource \"jobs\""}`)
	}))
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := strings.Replace(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
		"clusters": [{"name": "c", "cluster": {"server": "URL"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`, "URL", api.URL, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A master whose executor cannot be started leads all the same, and says everywhere why nothing of it runs.
func TestExecutorInTrouble(t *testing.T) {
	cfg := config(t, t.TempDir())
	cfg.Executors = map[string]string{master.AnyPlatform: "kube", "here": "local"}
	cfg.Slots.Executor = map[string]int{"kube": 1}
	cfg.Kube = kubeconf.Config{Kubeconfig: forbidding(t)}
	cfg.Makers.Kube, cfg.HTTP = kubeMaker, "127.0.0.1:0"
	m := run(t, cfg)

	tasks, _ := m.connect(t)
	const says = `User "nobody" cannot list resource "jobs"`
	info := ok[*thriftmaster.MasterInfo](t)(tasks.GetMasterInfo(t.Context()))
	if n := len(info.Troubles); n != 1 || info.Troubles[0].Executor != "kube" || !strings.Contains(info.Troubles[0].Reason, says) || info.Troubles[0].Since == 0 {
		t.Errorf("it says of itself %v", info.Troubles)
	}

	look := ok[*master.Status](t)(master.Look(t.Context(), cfg))
	if n := len(look.Troubles); n != 1 || look.Troubles[0].Of != "executor kube" || !strings.Contains(look.Troubles[0].Reason, says) ||
		look.Troubles[0].Since.IsZero() {
		t.Errorf("looking at it shows %+v", look)
	}

	var status console.Status
	askConsole(t, m, "/status", &status)
	if !status.Ready || len(status.Executors) != 2 || !strings.Contains(status.Executors[0].Trouble, says) ||
		status.Executors[0].TroubleSince.IsZero() || status.Executors[1] != (console.Executor{Name: "local"}) {
		t.Errorf("its status is %+v", status)
	}
	var ready struct{ Degraded []string }
	askConsole(t, m, "/readyz", &ready)
	if len(ready.Degraded) != 1 || !strings.HasPrefix(ready.Degraded[0], `executor "kube": cannot start the Kubernetes executor: `) {
		t.Errorf("degraded: %q", ready.Degraded)
	}

	answer := ok[*thriftmaster.SubmitAnswer](t)(tasks.Submit(t.Context(), &thriftmaster.Submission{Plan: `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: x-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag: {tasks: [{name: a, template: kubed}, {name: b, template: kubed}]}
  - name: kubed
    container: {image: i, command: [c]}`}))
	all := &thriftmaster.StageQuery{TaskName: answer.TaskName, Explain: new(true)}
	eventually(t, "both explanations", func() bool { // the launch that waits for the executor, and that which waits for its slot
		said := ""
		for _, s := range ok[*thriftmaster.StagePage](t)(tasks.ListStages(t.Context(), all)).Stages {
			said += s.Explanation.Text + "\n"
		}
		return strings.Count(said, says) == 2 && strings.Contains(said, `executor "kube" cannot launch it now: executor cannot be reached: `) &&
			strings.Contains(said, `are taken; executor "kube" can do nothing since `)
	})
}

func askConsole(t *testing.T, m *running, path string, answer any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.ConsoleAddr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	if err := json.NewDecoder(a.Body).Decode(answer); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
