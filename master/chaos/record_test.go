package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// outcome is how a node ended, without what differs from run to run.
type outcome struct {
	State            string
	Kind             string
	Attempt, Retries int32
	Exit, Failure    string
	Before           []string // the attempts before, and how they failed
	Result           string
	Holds            int
}

// record is everything that the master knows of a task.
type record struct {
	task   string
	state  thriftmaster.TaskState
	stages []*thriftmaster.StageInfo
	holds  []string // the roots of the holds that are in force
	events []*thriftmaster.Event
}

// reader is a connection to a master, of whatever kind.
type reader interface {
	GetTask(ctx context.Context, task string) (*thriftmaster.TaskInfo, error)
	ListStages(ctx context.Context, query *thriftmaster.StageQuery) (*thriftmaster.StagePage, error)
	Watch(ctx context.Context, task string, cursor int64, limit int32, waitMillis int64) (*thriftmaster.EventPage, error)
}

// readRecord reads the task and its whole history.
func readRecord(ctx context.Context, c reader, task string) (*record, error) {
	r := &record{task: task}
	var err error
	if r.stages, err = listStages(ctx, c, task); err != nil {
		return nil, err
	}
	v, err := c.GetTask(ctx, task)
	if err != nil {
		return nil, err
	}
	for _, h := range v.Holds {
		r.holds = append(r.holds, h.RootStageId)
	}
	for done := false; !done; {
		var cursor int64
		if n := len(r.events); n > 0 {
			cursor = r.events[n-1].Seq
		}
		page, err := c.Watch(ctx, task, cursor, 1000, 0)
		if err != nil {
			return nil, err
		}
		r.events = append(r.events, page.Events...)
		r.state, done = page.State, page.Done || len(page.Events) == 0
	}
	return r, nil
}

// listStages lists all nodes of the task.
func listStages(ctx context.Context, c reader, task string, states ...thriftmaster.StageState) ([]*thriftmaster.StageInfo, error) {
	var all []*thriftmaster.StageInfo
	q := &thriftmaster.StageQuery{TaskName: task, Groups: new(true), Limit: new(int32(10_000)), States: states}
	for {
		page, err := c.ListStages(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Stages...)
		if page.NextAfter < 0 {
			return all, nil
		}
		q.After = &page.NextAfter
	}
}

// record reads the task and its whole history.
func (m *life) record(task string) *record {
	m.Helper()
	r, err := readRecord(m.Context(), m.tasks, task)
	if err != nil {
		m.Fatal(err)
	}
	return r
}

// stages lists all nodes of the task.
func (m *life) stages(task string) []*thriftmaster.StageInfo {
	m.Helper()
	all, err := listStages(m.Context(), m.tasks, task)
	if err != nil {
		m.Fatal(err)
	}
	return all
}

// name is the name of a node without the task's.
func (r *record) name(v *thriftmaster.StageInfo) string { return strings.TrimPrefix(v.Path, r.task) }

// outcomes gives how each node ended, by its name.
func (r *record) outcomes() map[string]outcome {
	all := map[string]outcome{}
	for _, v := range r.stages {
		o := outcome{
			State: v.State.String(), Kind: v.Kind.String(), Attempt: v.Attempt, Retries: v.Retries, Holds: len(v.Holds),
			Failure: failure(v.Failure),
		}
		if v.ExitCode != nil {
			o.Exit = fmt.Sprint(*v.ExitCode)
		}
		if v.Outputs != nil {
			o.Result = v.Outputs.GetResult_()
		}
		for _, a := range v.Attempts {
			o.Before = append(o.Before, fmt.Sprintf("%d: %s", a.Number, failure(a.Failure)))
		}
		all[r.name(v)] = o
	}
	return all
}

// summary counts the nodes by how they ended, and those that took several attempts.
func (r *record) summary() string {
	count := map[string]int{}
	retried := 0
	for _, v := range r.stages {
		count[v.State.String()]++
		if v.Attempt > 0 {
			retried++
		}
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
	}
	return fmt.Sprintf("%s; %d took several attempts", strings.Join(parts, ", "), retried)
}

func failure(f *thriftmaster.Failure) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s %d", f.Kind, f.ExitCode)
}

// tally is what became of the attempts.
type tally struct{ attempts, twice, lost, invented int }

// attempts compares what the stages have written with what the master knows: every attempt that it knows was started once
// and ended once, with the exit status that it knows, and there are no others.
func (s *site) attempts(r *record) (t tally) {
	s.Helper()
	starts, _ := s.journal.count(markStart)
	ends, exits := s.journal.count(markEnd)
	known := map[string]bool{}
	for _, v := range r.stages {
		if v.Kind != thriftmaster.NodeKind_STAGE || v.Launched == 0 {
			continue
		}
		status := map[int32]int32{v.Attempt: v.GetExitCode()}
		for _, a := range v.Attempts {
			status[a.Number] = a.Failure.GetExitCode()
		}
		for n, exit := range status {
			id := attemptID(v.StageId, n)
			known[id] = true
			t.attempts++
			if starts[id] > 1 {
				t.twice++
				s.Errorf("attempt %s was started %d times", id, starts[id])
			}
			if starts[id] == 0 || ends[id] != 1 || exits[id] != fmt.Sprint(exit) {
				t.lost++
				s.Errorf("attempt %s was started %d times and ended %d times with %q; the master says %d (%s)",
					id, starts[id], ends[id], exits[id], exit, failure(v.Failure))
			}
		}
	}
	for id := range starts {
		if !known[id] {
			t.invented++
			s.Errorf("attempt %s was started, but the master does not know it", id)
		}
	}
	for _, line := range s.journal.wrong() {
		s.Error(line)
	}
	return t
}

// compare says in which nodes two runs of the same plan differ.
func compare(want, got *record) []string {
	a, b := want.outcomes(), got.outcomes()
	var wrong []string
	for name, o := range a {
		if diff := gocmp.Diff(o, b[name]); diff != "" {
			wrong = append(wrong, fmt.Sprintf("stage %s (-undisturbed +killed):\n%s", name, diff))
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			wrong = append(wrong, fmt.Sprintf("stage %s is not in the undisturbed run", name))
		}
	}
	slices.SortFunc(wrong, cmp.Compare)
	return wrong
}
