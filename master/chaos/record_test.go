package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
	events []*thriftmaster.Event
}

// record reads the task and its whole history.
func (m *life) record(task string) *record {
	m.Helper()
	r := &record{task: task, stages: m.stages(task)}
	for done := false; !done; {
		var cursor int64
		if n := len(r.events); n > 0 {
			cursor = r.events[n-1].Seq
		}
		page, err := m.tasks.Watch(m.Context(), task, cursor, 1000, 0)
		if err != nil {
			m.Fatal(err)
		}
		r.events = append(r.events, page.Events...)
		r.state, done = page.State, page.Done || len(page.Events) == 0
	}
	return r
}

// stages lists all nodes of the task.
func (m *life) stages(task string) []*thriftmaster.StageInfo {
	m.Helper()
	var all []*thriftmaster.StageInfo
	q := &thriftmaster.StageQuery{TaskName: task, Groups: new(true), Limit: new(int32(10_000))}
	for {
		page, err := m.tasks.ListStages(m.Context(), q)
		if err != nil {
			m.Fatal(err)
		}
		all = append(all, page.Stages...)
		if page.NextAfter < 0 {
			return all
		}
		q.After = &page.NextAfter
	}
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

// replay follows the history from the first event to the last, and says where it does not lead to what the task is.
func (r *record) replay() []string {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	state := map[string]string{"": thriftmaster.TaskState_NEW.String()}
	for _, v := range r.stages {
		state[v.StageId] = thriftmaster.StageState_WAITING.String()
	}
	launches := map[string]int{}
	for i, e := range r.events {
		if e.Seq != int64(i)+1 {
			bad("event %d has the number %d", i+1, e.Seq)
		}
		if _, known := state[e.StageId]; !known {
			bad("event %d is about unknown stage %q", e.Seq, e.StageId)
		}
		if e.ToState == "" {
			continue // a note
		}
		if state[e.StageId] != e.FromState {
			bad("event %d: %q goes from %s to %s, but it was %s", e.Seq, e.StageId, e.FromState, e.ToState, state[e.StageId])
		}
		state[e.StageId] = e.ToState
		if e.ToState == thriftmaster.StageState_LAUNCHING.String() {
			launches[fmt.Sprint(e.StageId, " ", e.Attempt)]++
		}
	}
	for _, v := range r.stages {
		if got := state[v.StageId]; got != v.State.String() {
			bad("the history of %s leads to %s, but it is %s", v.StageId, got, v.State)
		}
	}
	if state[""] != r.state.String() {
		bad("the history of the task leads to %s, but it is %s", state[""], r.state)
	}
	for attempt, n := range launches {
		if n > 1 {
			bad("attempt %s was decided %d times", attempt, n)
		}
	}
	return wrong
}

// lines reads what the stages have written: how often each attempt has, and the last word of its line.
func (s *site) lines(kind string) (count map[string]int, last map[string]string) {
	s.Helper()
	count, last = map[string]int{}, map[string]string{}
	files, err := os.ReadDir(filepath.Join(s.dir, kind))
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(s.dir, kind, f.Name()))
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			w := strings.Fields(line)
			if len(w) != 3 || w[0] != f.Name() || !strings.HasSuffix(line, "\n") {
				s.Errorf("%s %s: %q", kind, f.Name(), line)
				continue
			}
			count[w[0]+" "+w[1]]++
			last[w[0]+" "+w[1]] = w[2]
		}
	}
	return count, last
}

// tally is what became of the attempts.
type tally struct{ attempts, twice, lost, invented int }

// attempts compares what the stages have written with what the master knows: every attempt that it knows was started once
// and ended once, with the exit status that it knows, and there are no others.
func (s *site) attempts(r *record) (t tally) {
	s.Helper()
	starts, _ := s.lines("starts")
	ends, exits := s.lines("ends")
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
			id := fmt.Sprint(v.StageId, " ", n)
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
