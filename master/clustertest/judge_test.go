//go:build cluster

package clustertest

import (
	"fmt"
	"strings"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// sum is what a run has come to.
type sum struct {
	stages, attempts, pods           int
	twice, lost, unknown, misordered int
	jobs, running                    int
}

// judge compares what the masters know in the end with what the pods have written themselves.
func (c *chaos) judge() (s sum) {
	c.Helper()
	task, err := c.front.GetTask(c.Context(), c.task)
	if err != nil {
		c.Fatal(err)
	}
	if task.State != thriftmaster.TaskState_COMPLETED {
		c.Errorf("the task is %s: %s", task.State, task.Message)
	}
	page, err := c.front.ListStages(c.Context(), &thriftmaster.StageQuery{TaskName: c.task, Limit: new(int32(10_000))})
	if err != nil {
		c.Fatal(err)
	}
	s.jobs, s.running = c.jobsThere()
	if s.running > 0 {
		c.Errorf("%d Jobs run on", s.running)
	}
	t := newTrial(c.journal.marks())
	s.stages, s.pods = len(page.Stages), len(t.pods)
	members := map[string][]string{} // the stages of a task of the plan
	for _, v := range page.Stages {
		name := c.name(v)
		members[name] = append(members[name], v.StageId)
		if v.State != thriftmaster.StageState_COMPLETED || v.Attempt != c.plan.works[name].attempt {
			c.Errorf("%s is %s in attempt %d (%s), and should be completed in attempt %d", v.StageId, v.State, v.Attempt, v.Message, c.plan.works[name].attempt)
		}
		for number, exit := range exits(v) {
			s.attempts++
			t.attempt(attemptID(v.StageId, number), exit)
		}
	}
	if s.jobs != s.attempts {
		c.Errorf("%d Jobs are left of %d attempts: they are kept for an hour, with their logs", s.jobs, s.attempts)
	}
	for name, w := range c.plan.works {
		if len(members[name]) != w.width {
			c.Errorf("%s became %d stages, not %d", name, len(members[name]), w.width)
		}
		for _, need := range w.needs {
			t.order(members[need], members[name], c.plan.works[need].attempt)
		}
	}
	for id := range t.starts {
		if !t.known[id] {
			t.unknown = append(t.unknown, fmt.Sprintf("attempt %s was started, and no master knows it", id))
		}
	}
	for _, all := range [][]string{t.twice, t.lost, t.unknown, t.misordered} {
		for _, line := range all {
			c.Error(line)
		}
	}
	s.twice, s.lost, s.unknown, s.misordered = len(t.twice), len(t.lost), len(t.unknown), len(t.misordered)
	return s
}

// name is the task of the plan that a stage is of.
func (c *chaos) name(v *thriftmaster.StageInfo) string {
	name, _, _ := strings.Cut(v.Name, "(")
	return name
}

// exits are the attempts of a stage, and the exit statuses that the masters know of them; -1 is something else than an exit.
func exits(v *thriftmaster.StageInfo) map[int32]int32 {
	all := map[int32]int32{v.Attempt: -1}
	if v.ExitCode != nil {
		all[v.Attempt] = *v.ExitCode
	}
	for _, a := range v.Attempts {
		all[a.Number] = -1
		if a.Failure != nil && a.Failure.Kind == "exit" {
			all[a.Number] = a.Failure.ExitCode
		}
	}
	return all
}

// trial holds what the masters know against the journal.
type trial struct {
	starts, ends map[string][]int // by attempt: the lines of the journal
	marks        []mark
	pods         map[string]bool
	known        map[string]bool
	twice, lost  []string
	unknown      []string
	misordered   []string
}

func newTrial(marks []mark) *trial {
	t := &trial{marks: marks, starts: map[string][]int{}, ends: map[string][]int{}, pods: map[string]bool{}, known: map[string]bool{}}
	for i, m := range marks {
		t.pods[m.pod] = true
		switch m.verb {
		case "S":
			t.starts[m.id()] = append(t.starts[m.id()], i)
		case "E":
			t.ends[m.id()] = append(t.ends[m.id()], i)
		}
	}
	return t
}

// attempt looks whether an attempt that the masters know was started once and ended once, with the exit status that they know.
func (t *trial) attempt(id string, exit int32) {
	t.known[id] = true
	starts, ends := t.starts[id], t.ends[id]
	if len(starts) > 1 {
		t.twice = append(t.twice, fmt.Sprintf("attempt %s was started %d times:%s", id, len(starts), t.trace(id)))
	}
	if len(starts) == 0 || len(ends) != 1 || t.marks[ends[0]].word != fmt.Sprint(exit) {
		t.lost = append(t.lost, fmt.Sprintf("attempt %s was started %d times and ended %d times; for the masters it ended with %d:%s",
			id, len(starts), len(ends), exit, t.trace(id)))
	}
}

// trace is what an attempt has written.
func (t *trial) trace(id string) string {
	var b strings.Builder
	for i, m := range t.marks {
		if m.id() == id {
			fmt.Fprintf(&b, "\n  line %d: %s in pod %s: %s", i+1, m.verb, m.pod, m.word)
		}
	}
	return b.String()
}

// order looks whether what one task needs was done before it began.
func (t *trial) order(before, after []string, last int32) {
	for _, b := range before {
		ends := t.ends[attemptID(b, last)]
		for _, a := range after {
			starts := t.starts[attemptID(a, 0)]
			if len(ends) > 0 && len(starts) > 0 && starts[0] < ends[0] {
				t.misordered = append(t.misordered, fmt.Sprintf("%s began before %s, which it needs, had ended", a, b))
			}
		}
	}
}
