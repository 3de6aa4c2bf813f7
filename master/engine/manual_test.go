package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// drive runs a Manual with a store that takes everything, and attempts that end when they are told.
type drive struct {
	t        *testing.T
	m        *Manual
	now      dag.Time
	records  map[string]*store.Record
	launched []executors.Attempt
}

func newDrive(t *testing.T, epoch uint64, records map[string]*store.Record) *drive {
	t.Helper()
	d := &drive{t: t, now: 1_000_000, records: records}
	var err error
	d.m, err = NewManual(Config{Shards: 2, Now: func() time.Time { return time.UnixMilli(int64(d.now)) }, Random: func() float64 { return 0.5 }}, "local")
	if err != nil {
		t.Fatal(err)
	}
	var list []*store.Record
	for _, r := range records {
		list = append(list, r)
	}
	live, err := d.m.Begin(epoch, list)
	if err != nil {
		t.Fatal(err)
	}
	d.settle()
	for _, a := range live["local"] {
		if a.Epoch != epoch {
			t.Errorf("attempt %s is recovered with epoch %d", a.ID, a.Epoch)
		}
		d.m.Sighting(executors.Sighting{AttemptID: a.ID, Phase: dag.AttemptRunning})
	}
	d.m.Open()
	d.settle()
	return d
}

// settle goes round until nothing is due.
func (d *drive) settle() {
	d.t.Helper()
	for busy := true; busy; {
		busy = false
		for i := range d.m.Shards() {
			if !d.m.Due(i, d.now) {
				continue
			}
			busy = true
			b := d.m.Step(i, d.now)
			h := &hand{stored: d.records}
			for _, c := range b.Changes() {
				if d.m.ShardOf(c.Task) != b.Shard() {
					d.t.Errorf("shard %d changes %s", b.Shard(), c.Task)
				}
				h.store(c)
			}
			d.act(d.m.Finish(b, d.now, nil))
		}
	}
}

func (d *drive) act(fx Effects) {
	for _, l := range fx.Launches {
		d.launched = append(d.launched, l.Attempt)
		d.m.Launched(l, nil)
		d.m.Sighting(executors.Sighting{AttemptID: l.Attempt.ID, Phase: dag.AttemptRunning})
	}
	for _, c := range fx.Cancels {
		d.m.Canceled(c, nil)
		d.m.Sighting(executors.Sighting{AttemptID: c.ID, Phase: dag.AttemptStopped})
	}
	for _, name := range fx.Loads {
		d.m.Loaded(name, d.records[name], nil)
	}
}

// answer gives where to put an answer, and a function that expects one.
func (d *drive) answer() (func(error), func(want error)) {
	answered, got := false, error(nil)
	return func(err error) { answered, got = true, err }, func(want error) {
		d.t.Helper()
		d.settle()
		if !answered || !errors.Is(got, want) || want == nil && got != nil {
			d.t.Errorf("answered %v: %v, want %v", answered, got, want)
		}
	}
}

func TestManual(t *testing.T) {
	const task = "test-abcdefgh"
	d := newDrive(t, 1, map[string]*store.Record{})
	put, expect := d.answer()
	if err := d.m.Submit(task, Submission{PlanName: "test", YAML: []byte(graph("a", "b: a", "c: a", "d: b c")), RequestID: "key"}, put); err != nil {
		t.Fatal(err)
	}
	expect(nil)
	if len(d.launched) != 1 || d.launched[0].Epoch != 1 || d.records[task].Header.Request != "key" {
		t.Fatalf("launched %+v", d.launched)
	}
	stage := func(name string) string {
		run := d.m.Run(task)
		i, ok := run.Child(0, name)
		if !ok {
			t.Fatalf("no stage %q", name)
		}
		return run.Node(i).Spec.ID
	}
	a, b, c, last := stage("a"), stage("b"), stage("c"), stage("d")
	put, expect = d.answer()
	d.m.Suspend(task, b, dag.Hold{Who: "me"}, put)
	expect(nil)
	put, expect = d.answer()
	leave := d.m.Skip(task, c, "me", "", put)
	leave()
	d.settle()
	if n, _ := d.m.Run(task).Find(c); d.m.Run(task).Node(n).Status != dag.Waiting {
		t.Error("a command was carried out that nobody waits for")
	}
	d.m.Skip(task, c, "me", "", put)
	expect(nil)
	accepted := false
	d.m.Report(StageReport{StageID: a, What: dag.ReportCompleted}, func(ok, _ bool, err error) { accepted = ok && err == nil })
	d.settle()
	if !accepted {
		t.Error("a report was not accepted")
	}

	// Another master goes on with what was stored.
	d = newDrive(t, 2, d.records)
	put, expect = d.answer()
	d.m.Continue(task, b, "me", put)
	expect(nil)
	if len(d.launched) != 1 || d.launched[0].Stage != b || d.launched[0].Epoch != 2 {
		t.Fatalf("launched %+v", d.launched)
	}
	seen := false
	d.m.Look(task, func(run *dag.Run) { seen = run.Task().Status == dag.TaskRunning }, func(err error) { seen = seen && err == nil })
	if !seen {
		t.Error("cannot look at the task")
	}
	d.m.Sighting(executors.Sighting{AttemptID: a, Phase: dag.AttemptSucceeded})
	put, expect = d.answer()
	d.m.Cancel(task, b, "me", "", false, put)
	expect(nil)
	if s := d.records[task].Header.Status; s != dag.TaskFailed || d.m.Active(task) || d.m.Run(task) != nil {
		t.Errorf("the task is %s", s)
	}

	// What has ended is loaded to be retried.
	put, expect = d.answer()
	d.m.Retry(task, "me", put)
	expect(nil)
	for _, id := range []string{b + "-r1", last} {
		d.m.Sighting(executors.Sighting{AttemptID: id, Phase: dag.AttemptSucceeded})
		d.settle()
	}
	if run, err := Revive(d.records[task]); err != nil || run.Task().Status != dag.TaskCompleted {
		t.Errorf("the stored task: %v, %v", run.Task().Status, err)
	}
	d.m.Stray(task)
	d.settle()
	if d.m.Active(task) || d.m.Broken(task) != nil || d.m.Stats().Reloads != 0 {
		t.Error("a task that has ended stays in memory")
	}
	d.m.Report(StageReport{StageID: a}, func(_, _ bool, err error) {
		if !errors.Is(err, ErrNotActive) {
			t.Errorf("a report for an ended task gives %v", err)
		}
	})
	put, expect = d.answer()
	d.m.Delete(task, put)
	expect(nil)
}
