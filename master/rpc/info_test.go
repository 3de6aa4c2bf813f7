package rpc

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// known is an engine that has one task of one stage, and may have lost its store.
type known struct {
	engine.API
	since   dag.Time
	trouble string
	// troubles are those of executors.
	troubles map[string]executors.Trouble
}

func (k *known) Info(context.Context) engine.Info {
	return engine.Info{
		Epoch: 7, ActiveTasks: 2, ActiveStages: 30, Executors: []string{"local"}, StaleSince: k.since, StoreTrouble: k.trouble, Troubles: k.troubles,
	}
}
func (k *known) Stale() (dag.Time, bool) { return k.since, k.since != 0 }

func (k *known) Task(context.Context, string) (*engine.TaskView, error) {
	return &engine.TaskView{Task: dag.Task{Name: "t"}}, nil
}

func (k *known) Tasks(context.Context, store.Query) (*engine.TaskPage, error) {
	return &engine.TaskPage{Tasks: []engine.TaskView{{Task: dag.Task{Name: "t"}}}}, nil
}

func (k *known) Stage(context.Context, string) (*engine.StageView, error) {
	return &engine.StageView{Task: "t"}, nil
}

func (k *known) Stages(context.Context, engine.StageQuery) (*engine.StagePage, error) {
	return &engine.StagePage{Stages: []engine.StageView{{Task: "t"}}, Next: -1}, nil
}

func TestStaleAnswers(t *testing.T) {
	at := dag.Time(time.Date(2026, 3, 5, 12, 3, 4, 0, time.UTC).UnixMilli())
	for _, since := range []dag.Time{0, at} {
		e := &known{since: since}
		s := NewService(Config{Engine: e, Location: time.UTC})
		ctx := t.Context()
		task, err := s.GetTask(ctx, "t")
		page, err2 := s.ListTasks(ctx, nil)
		stage, err3 := s.GetStage(ctx, "s")
		stages, err4 := s.ListStages(ctx, &master.StageQuery{TaskName: "t"})
		if err != nil || err2 != nil || err3 != nil || err4 != nil {
			t.Fatal(err, err2, err3, err4)
		}
		want := unlessZero(int64(since))
		for what, got := range map[string]*int64{
			"task": task.StaleSince, "page": page.StaleSince, "task of a page": page.Tasks[0].StaleSince,
			"stage": stage.StaleSince, "stage of a page": stages.Stages[0].StaleSince,
		} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		all, err := s.ListAllTask(ctx)
		oldTask, err2 := s.GetTaskInfo(ctx, "t")
		oldStage, err3 := s.GetStageInfo(ctx, "s")
		if err != nil || err2 != nil || err3 != nil {
			t.Fatal(err, err2, err3)
		}
		for what, m := range map[string]map[string]string{"list": all[0], "task": oldTask, "stage": oldStage} {
			got, ok := m["stale_since"]
			if ok != (since != 0) || ok && got != "2026-03-05 12:03:04" {
				t.Errorf("old %s: stale_since is %q, %v", what, got, ok)
			}
		}
	}
}

// about describes one of two masters.
func about(name, role, leader string) Config {
	return Config{
		Version: "v1", Address: name, Store: "redis://s/0", Started: time.UnixMilli(1000),
		Members: func(context.Context) (string, string, []store.Member) {
			return role, leader, []store.Member{
				{ID: "b", Address: "b:1", Version: "v1", Host: "h", PID: 5, Since: 10, Seen: dag.Time(time.Now().Add(-time.Minute).UnixMilli()), Leads: true, Epoch: 6},
				{ID: "a", Address: "a:1", Seen: dag.Time(time.Now().Add(time.Hour).UnixMilli())},
			}
		},
	}
}

func TestMasterInfo(t *testing.T) {
	single := NewService(Config{Engine: &known{}, Version: "v1", Address: "a:1", Store: "bolt:/d", Started: time.UnixMilli(1000)})
	got, err := single.GetMasterInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := &master.MasterInfo{
		Version: "v1", Address: "a:1", Store: "bolt:/d", Executors: []string{"local"}, Started: 1000, Epoch: 7, ActiveTasks: 2, ActiveStages: 30,
		Role: "single", Leader: "a:1", Members: []*master.Member{}, Troubles: []*master.ExecutorTrouble{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("single (-want +got):\n%s", diff)
	}

	leading := about("b:1", "leader", "b:1")
	leading.Engine = &known{
		since: 5000, trouble: "connection refused",
		troubles: map[string]executors.Trouble{"local": {Reason: "it is away", Since: time.UnixMilli(4000)}},
	}
	leader, at := start(t, Limits{})
	leader.Lead(NewService(leading))
	ask := func(addr string) *master.MasterInfo {
		t.Helper()
		got, err := oldForm().tasks(dial(t, addr)).GetMasterInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Members {
			switch {
			case m.Leads && (m.SilentMillis < 60_000 || m.SilentMillis > 120_000), !m.Leads && m.SilentMillis != 0:
				t.Errorf("%s is silent for %d ms", m.ID, m.SilentMillis)
			}
			m.Seen, m.SilentMillis = 0, 0
		}
		return got
	}
	want = &master.MasterInfo{
		Version: "v1", Address: "b:1", Store: "redis://s/0", Executors: []string{"local"}, Started: 1000, Epoch: 7, ActiveTasks: 2, ActiveStages: 30,
		Role: "leader", Leader: "b:1", StaleSince: new(int64(5000)), StoreTrouble: "connection refused",
		Members: []*master.Member{
			{ID: "b", Address: "b:1", Version: "v1", Host: "h", Pid: 5, Started: 10, Leads: true}, {ID: "a", Address: "a:1"},
		},
		Troubles: []*master.ExecutorTrouble{{Executor: "local", Reason: "it is away", Since: 4000}},
	}
	if diff := cmp.Diff(want, ask(at)); diff != "" {
		t.Errorf("leader (-want +got):\n%s", diff)
	}

	// A follower is itself, and asks the leader for what that one does.
	follower, addr := start(t, Limits{})
	follower.Describe(NewService(about("a:1", "follower", "b:1")))
	follower.Follow(at)
	want.Address, want.Role = "a:1", "follower"
	if diff := cmp.Diff(want, ask(addr)); diff != "" {
		t.Errorf("follower (-want +got):\n%s", diff)
	}
	// It also answers while nobody leads, or nobody that answers.
	follower.Nobody()
	if diff := cmp.Diff(want, ask(addr)); diff != "" {
		t.Errorf("with a leader that may be gone (-want +got):\n%s", diff)
	}
	want.Executors, want.ActiveTasks, want.ActiveStages, want.Epoch, want.StaleSince, want.StoreTrouble = []string{}, 0, 0, 6, nil, ""
	want.Troubles = []*master.ExecutorTrouble{}
	follower.Follow("127.0.0.1:1")
	if diff := cmp.Diff(want, ask(addr)); diff != "" {
		t.Errorf("without a leader (-want +got):\n%s", diff)
	}
}

// Without a description of itself, a follower passes the question on.
func TestMasterInfoWithoutDescription(t *testing.T) {
	srv, err := NewServer(Limits{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if self, leader := srv.Leader(); self || leader != "" {
		t.Errorf("%v %q", self, leader)
	}
	_, addr := start(t, Limits{Leaderless: 10 * time.Millisecond})
	_, err = oldForm().tasks(dial(t, addr)).GetMasterInfo(t.Context())
	wantCode(t, err, base.ErrorCode_UNAVAILABLE, "no master leads")
}
