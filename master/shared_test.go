package master_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/archive"
	"github.com/clic-orchestrator/clic/master/console"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// shared is the configuration of one of several masters on a Redis and a data directory.
func shared(t *testing.T, dir string, s *redistest.Server) master.Config {
	t.Helper()
	cfg := config(t, dir)
	cfg.Store, cfg.HTTP = s.URL(), "127.0.0.1:0"
	return cfg
}

// status is what a master says of itself over HTTP.
func (r *running) status(t *testing.T) console.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.ConsoleAddr().String()+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var s console.Status
	if err := json.NewDecoder(a.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// pair runs two masters, and gives the one that leads first.
func pair(t *testing.T, dir string, s *redistest.Server) (leader, follower *running) {
	t.Helper()
	a, b := run(t, shared(t, dir, s)), run(t, shared(t, dir, s))
	eventually(t, "one leads and the other follows", func() bool {
		x, y := a.status(t), b.status(t)
		return x.Ready && y.Ready && x.Role != y.Role && x.Leader == y.Leader
	})
	if a.status(t).Role == "leader" {
		return a, b
	}
	return b, a
}

// stage is the id of a task's stage.
func stage(t *testing.T, c *thriftmaster.TaskServiceClient, task, name string) string {
	t.Helper()
	page := ok[*thriftmaster.StagePage](t)(c.ListStages(t.Context(), &thriftmaster.StageQuery{TaskName: task}))
	for _, s := range page.Stages {
		if s.Name == name {
			return s.StageId
		}
	}
	t.Fatalf("task %s has no stage %s", task, name)
	return ""
}

// A task that was given to a follower survives the stop of the leader: the other takes over the processes that run.
func TestFollowerTakesOver(t *testing.T) {
	dir := t.TempDir()
	s := redistest.Single(t, redistest.Password("s3cret"), redistest.AppendOnly("always"))
	leader, follower := pair(t, dir, s)
	gate := filepath.Join(dir, "gate")
	c, _ := follower.connect(t)
	task := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(t.Context(), &thriftmaster.Submission{
		Plan: gated, Parameters: map[string]string{"gate": gate}, RequestId: new("once"),
	})).TaskName
	first := stage(t, c, task, "first")
	until(t, c, task, first, "RUNNING")
	st := follower.status(t)
	if st.Role != "follower" || st.Leader != leader.Addr().String() || len(st.Members) != 2 || !st.Members[0].Leads {
		t.Errorf("the follower's status is %+v", st)
	}
	if strings.Contains(st.Store.Name, "s3cret") {
		t.Errorf("the status tells a password: %s", st.Store.Name)
	}
	info := ok[*thriftmaster.MasterInfo](t)(c.GetMasterInfo(t.Context()))
	if info.Role != "follower" || info.Leader != leader.Addr().String() || info.Epoch == 0 || info.ActiveTasks != 1 {
		t.Errorf("the follower's info is %+v", info)
	}
	look := ok[*master.Status](t)(master.Look(t.Context(), shared(t, dir, s)))
	if look.Leader != leader.Addr().String() || len(look.Masters) != 2 || look.Epoch != uint64(info.Epoch) {
		t.Errorf("looked at from outside it is %+v", look)
	}
	if _, err := master.Import(t.Context(), shared(t, dir, s), strings.NewReader(""), archive.ImportOptions{}); !errors.Is(err, master.ErrLed) {
		t.Errorf("an import under a leader gives %v", err)
	}

	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	again := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(t.Context(), &thriftmaster.Submission{
		Plan: gated, Parameters: map[string]string{"gate": gate}, RequestId: new("once"),
	}))
	if again.TaskName != task || again.Created {
		t.Errorf("submitted again under the next leader: %+v", again)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, c, task, "", "COMPLETED")
	if first := ok[*thriftmaster.StageInfo](t)(c.GetStage(t.Context(), first)); first.Attempt != 0 || !strings.HasSuffix(first.Outputs.GetResult_(), "one\ntwo\nthree") {
		t.Errorf("the stage that both masters saw is %+v", first)
	}
	if st := follower.status(t); st.Role != "leader" || st.Epoch <= uint64(info.Epoch) {
		t.Errorf("the status afterwards is %+v", st)
	}
}

// While Redis hangs, masters say how they are, show what they know, and say since when that is stale; then all goes on.
func TestRedisHangs(t *testing.T) {
	dir := t.TempDir()
	s := redistest.Single(t, redistest.AppendOnly("everysec"))
	leader, follower := pair(t, dir, s)
	gate := filepath.Join(dir, "gate")
	c, _ := leader.connect(t)
	task := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(t.Context(), &thriftmaster.Submission{
		Plan: gated, Parameters: map[string]string{"gate": gate},
	})).TaskName
	until(t, c, task, stage(t, c, task, "first"), "RUNNING")
	s.Pause()
	eventually(t, "the leader notices", func() bool { return !leader.status(t).Store.StaleSince.IsZero() })
	if st := leader.status(t); st.Role != "leader" || !st.Ready || st.Store.Reachable || st.Store.Trouble == "" {
		t.Errorf("the leader's status is %+v", st)
	}
	for name, m := range map[string]*running{"leader": leader, "follower": follower} {
		d, _ := m.connect(t)
		page := ok[*thriftmaster.TaskPage](t)(d.ListTasks(t.Context(), &thriftmaster.TaskQuery{}))
		if len(page.Tasks) != 1 || page.Tasks[0].TaskName != task || !page.IsSetStaleSince() {
			t.Errorf("%s: the list is %+v", name, page)
		}
	}
	if _, err := c.Submit(t.Context(), &thriftmaster.Submission{Plan: failing, RequestId: new("x")}); err == nil {
		t.Error("a plan was taken though it cannot be kept")
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Resume()
	until(t, c, task, "", "COMPLETED")
	eventually(t, "the leader is well again", func() bool {
		a, b := leader.status(t), follower.status(t)
		return (a.Role == "leader") != (b.Role == "leader") && a.Store.Reachable && b.Store.Reachable
	})
}

// A data directory is one master's, or that of masters that share a store.
func TestDataDirectoryOfOtherKind(t *testing.T) {
	dir := t.TempDir()
	s := redistest.Single(t, redistest.AppendOnly("everysec"))
	one := run(t, shared(t, dir, s))
	if _, err := master.New(config(t, dir)); !errors.Is(err, master.ErrInUse) {
		t.Errorf("a master with its state in the directory gives %v", err)
	}
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	run(t, config(t, dir))
	if _, err := master.New(shared(t, dir, s)); !errors.Is(err, master.ErrInUse) || !strings.Contains(err.Error(), "--store redis") && !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("a master with its state elsewhere gives %v", err)
	}
}

// A master that is started anew does not take an emptied Redis for a new one, until somebody says that it may.
func TestEmptiedRedis(t *testing.T) {
	dir := t.TempDir()
	s := redistest.Single(t)
	cfg := shared(t, dir, s)
	m := ok[*master.Master](t)(master.New(cfg))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.RestartEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := master.New(cfg)
	if !errors.Is(err, store.ErrRolledBack) {
		t.Fatalf("New gave %v, %v with an emptied Redis", m, err)
	}
	_, file, found := strings.Cut(err.Error(), "delete ")
	if !found || filepath.Dir(file) != cfg.DataDir {
		t.Fatalf("the error does not name the file to delete: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	m = ok[*master.Master](t)(master.New(cfg))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
