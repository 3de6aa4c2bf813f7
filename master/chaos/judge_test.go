package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// sum is what a war has come to.
type sum struct {
	tasks, stages, attempts int
	// twice are attempts that were started twice, lost those that ended and that the master knows otherwise.
	twice, lost, misordered, contradictions int
	repeated                                int            // reports that stage programs had to send again
	done                                    map[string]int // calls of people that were carried out, by verb
}

// judge compares what the masters know in the end with what people were told, and with what the stages themselves have written.
func (w *war) judge() sum {
	w.Helper()
	s := sum{done: map[string]int{}}
	w.vanish(func() []string { return stages(w.processes()) }) // what is left is told later
	for _, line := range w.journal.wrong() {
		w.Error(line)
	}
	t := newTrial(w.journal.marks())
	for _, m := range t.marks {
		if m.verb == markRepeated {
			s.repeated++
		}
	}
	w.judgeList(&s)
	for _, j := range w.jobs {
		if j.task == "" {
			continue
		}
		r, err := readRecord(w.Context(), w.anyone(), j.task)
		if err != nil {
			w.Errorf("task %s of the acknowledged submission %s: %v", j.task, j.request, err)
			continue
		}
		for _, v := range r.stages {
			if v.Kind == thriftmaster.NodeKind_STAGE {
				s.stages++
			}
		}
		for call, n := range t.judge(j, r).calls {
			for _, verb := range []string{saidSuspend, saidContinue, saidCancel, saidRetry} {
				if strings.HasPrefix(call, verb) {
					s.done[verb] += n
				}
			}
		}
	}
	own, err := readRecord(w.Context(), w.anyone(), w.own)
	if err != nil {
		w.Error(err)
	} else {
		t.attempts(own, follow(own.ids(), own.events))
		t.contradictions = append(t.contradictions, own.replay()...)
	}
	for id := range t.starts {
		if !t.known[id] {
			t.lost = append(t.lost, fmt.Sprintf("attempt %s was started, and no history knows it", id))
		}
	}
	for _, all := range [][]string{t.twice, t.lost, t.misordered, t.contradictions} {
		for _, line := range all {
			w.Error(line)
		}
	}
	s.attempts = len(t.known)
	s.twice, s.lost, s.misordered, s.contradictions = len(t.twice), len(t.lost), len(t.misordered), len(t.contradictions)
	return s
}

// judgeList looks whether each submission is there, and is one task.
func (w *war) judgeList(s *sum) {
	w.Helper()
	wanted := map[string]bool{w.own: true}
	for _, j := range w.jobs {
		wanted[j.task] = true
		page, err := w.anyone().ListTasks(w.Context(), &thriftmaster.TaskQuery{Labels: map[string]string{"request": j.request}})
		if err != nil {
			w.Error(err)
		} else if len(page.Tasks) != 1 || page.Tasks[0].TaskName != j.task {
			w.Errorf("submission %s is task %s, and the index of labels has %d tasks of it", j.request, j.task, len(page.Tasks))
		}
	}
	q := &thriftmaster.TaskQuery{Limit: new(int32(7))}
	for {
		page, err := w.anyone().ListTasks(w.Context(), q)
		if err != nil {
			w.Error(err)
			return
		}
		for _, v := range page.Tasks {
			s.tasks++
			if !wanted[v.TaskName] {
				w.Errorf("task %s is there, and nobody has submitted it", v.TaskName)
			}
			delete(wanted, v.TaskName)
		}
		if page.NextCursor == "" {
			break
		}
		q.Cursor = &page.NextCursor
	}
	for task := range wanted {
		w.Errorf("task %q was acknowledged, and is not listed", task)
	}
}

// trial holds the histories of tasks against the journal.
type trial struct {
	marks        []mark
	starts, ends map[string]int    // by attempt
	exits        map[string]string // by attempt
	known        map[string]bool   // attempts that some history knows

	twice, lost, misordered, contradictions []string
}

func newTrial(marks []mark) *trial {
	t := &trial{marks: marks, starts: map[string]int{}, ends: map[string]int{}, exits: map[string]string{}, known: map[string]bool{}}
	for _, m := range marks {
		switch m.verb {
		case markStart:
			t.starts[m.id()]++
		case markEnd:
			t.ends[m.id()]++
			t.exits[m.id()] = m.word
		}
	}
	return t
}

// judge judges the task of a job, and gives its history.
func (t *trial) judge(j *job, r *record) *history {
	h := follow(r.ids(), r.events)
	t.contradictions = append(t.contradictions, r.replay()...)
	t.contradictions = append(t.contradictions, settle(j.errands, h)...)
	cut := map[string]bool{}
	for _, e := range r.events {
		cut[e.StageId] = cut[e.StageId] || e.ToState == "CANCELLED"
	}
	for _, m := range misorders(j.plan.works, r.stages, cut, t.marks) {
		t.misordered = append(t.misordered, m.String()+":\n"+strings.Join(t.trace(r, append(m.parents, m.stage)), "\n"))
	}
	t.attempts(r, h)
	if j.fate == leftAlone {
		t.asPlanned(j, r)
	}
	return h
}

// trace is what some stages have written, and what the history says of them.
func (t *trial) trace(r *record, ids []string) (lines []string) {
	for _, m := range t.marks {
		if slices.Contains(ids, m.stage) {
			lines = append(lines, fmt.Sprintf("  %c %s %s", m.verb, m.id(), m.word))
		}
	}
	for _, e := range r.events {
		if slices.Contains(ids, e.StageId) {
			lines = append(lines, fmt.Sprintf("  event %d at %s: %s from %s to %s attempt %d %s %s",
				e.Seq, time.UnixMilli(e.At).UTC().Format("15:04:05.000"), e.StageId, e.FromState, e.ToState, e.Attempt, e.Message, e.Who))
		}
	}
	return lines
}

// attempts compares the attempts that the history knows with what they have written themselves: each was started once at most,
// and ended once, as the history says. One that was stopped may have had no time to write anything.
func (t *trial) attempts(r *record, h *history) {
	for id, n := range h.launches {
		t.known[id] = true
		starts, ends, exit := t.starts[id], t.ends[id], t.exits[id]
		if starts > 1 {
			t.twice = append(t.twice, fmt.Sprintf("attempt %s was started %d times", id, starts))
		}
		end := h.ends[id]
		state, _, _ := strings.Cut(end, " ")
		if n == 0 || end == "" {
			t.lost = append(t.lost, fmt.Sprintf("attempt %s has no end in the history of %s", id, r.task))
			continue
		}
		ok := ends <= 1 && starts >= ends
		switch state {
		case "COMPLETED":
			ok = ok && ends == 1 && exit == "0"
		case "FAILED", "RETRYING":
			ok = ok && ends == 1 && exit != "0"
		}
		if !ok {
			stage, _, _ := strings.Cut(id, " ")
			t.lost = append(t.lost, fmt.Sprintf("attempt %s was started %d times and ended %d times with %q; by the history it is %s:\n%s",
				id, starts, ends, exit, end, strings.Join(t.trace(r, []string{stage}), "\n")))
		}
	}
	for _, v := range r.stages {
		for _, a := range v.Attempts {
			if f := a.Failure; f != nil && f.Kind != "exit" {
				t.lost = append(t.lost, fmt.Sprintf("attempt %s ended as %s: %s", attemptID(v.StageId, a.Number), f.Kind, f.Message))
			}
		}
	}
}

// asPlanned compares how stages that nobody interfered with ended with what their plan says.
func (t *trial) asPlanned(j *job, r *record) {
	children := map[string]int{}
	for _, v := range r.stages {
		if v.Kind != thriftmaster.NodeKind_STAGE {
			continue
		}
		name := taskName(v)
		children[name]++
		if w, there := j.plan.works[name]; !there || v.State.String() != w.state || v.Attempt != w.attempt {
			t.contradictions = append(t.contradictions, fmt.Sprintf("%s ended %s in attempt %d; by its plan it ends %s in attempt %d",
				v.StageId, v.State, v.Attempt, w.state, w.attempt))
		}
	}
	for name, w := range j.plan.works {
		if want := map[bool]int{false: 1, true: loopWidth}[w.loop]; children[name] != want {
			t.contradictions = append(t.contradictions, fmt.Sprintf("%s of %s has become %d stages, not %d", name, j.task, children[name], want))
		}
	}
	if i := slices.IndexFunc(r.stages, func(v *thriftmaster.StageInfo) bool { return len(v.Holds) > 0 }); i >= 0 || len(r.holds) > 0 {
		t.contradictions = append(t.contradictions, fmt.Sprintf("task %s has ended, and is still suspended by %v", j.task, r.holds))
	}
}
