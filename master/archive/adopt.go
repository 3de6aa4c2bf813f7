package archive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// adoption makes a task of ours out of what the old master kept of one.
type adoption struct {
	task   *oldTask
	status dag.TaskStatus
	nodes  []adopted // node 0 is the group of all stages, as in any plan of the CLIC form
	notes  []string
}

// adopted is a node.
type adopted struct {
	spec  dag.NodeSpec
	state dag.NodeState
	old   *oldStage // nil where nothing was kept
}

// adopt makes the Change that creates the task. stages has what was kept, by id.
func adopt(t *oldTask, status dag.TaskStatus, stages map[string]*oldStage, expires dag.Time) (store.Change, error) {
	a := &adoption{task: t, status: status}
	a.times(stages)
	ids := slices.Clone(t.stages)
	for id := range stages {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	sortStages(ids)
	ids = slices.Compact(ids)
	group := t.name + "-dag"
	for slices.Contains(ids, group) {
		group += "."
	}
	a.group(group)
	for _, id := range ids {
		a.stage(id, stages[id])
	}
	a.depend()
	return a.change(expires)
}

// sortStages orders stages by the number at the end of their ids, which is their position in the plan.
func sortStages(ids []string) {
	position := func(id string) int {
		n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		if err != nil {
			return 1 << 30
		}
		return n
	}
	slices.SortFunc(ids, func(x, y string) int {
		return cmp.Or(cmp.Compare(position(x), position(y)), cmp.Compare(x, y))
	})
}

// times fills in times that the task lacks from those of its stages.
func (a *adoption) times(stages map[string]*oldStage) {
	t := a.task
	var first, last dag.Time
	for _, s := range stages {
		if s.started != 0 && (first == 0 || s.started < first) {
			first = s.started
		}
		last = max(last, s.started, s.ended)
	}
	t.started = cmp.Or(t.started, first)
	t.submitted = cmp.Or(t.submitted, t.started, t.ended, last)
	t.ended = cmp.Or(t.ended, last, t.started, t.submitted)
}

// group adds the node that stands for the plan as a whole.
func (a *adoption) group(id string) {
	n := adopted{
		spec:  dag.NodeSpec{ID: id, Name: a.task.name, Kind: dag.KindDAG, Parent: dag.NoParent, Template: "dag", Platform: "dag"},
		state: dag.NodeState{Status: dag.Failed, Expanded: true, FirstStarted: a.task.started, Started: a.task.started, Ended: a.task.ended},
	}
	switch a.status {
	case dag.TaskCompleted:
		n.state.Status = dag.Completed
	case dag.TaskCancelled:
		n.state.Status = dag.Cancelled
	}
	a.nodes = append(a.nodes, n)
}

// stage adds a stage. The old master never noticed that a stage had failed, so in a task that has ended there may be stages that
// have not.
func (a *adoption) stage(id string, old *oldStage) {
	name := strings.TrimPrefix(id, a.task.name+"-")
	template := name
	if k := strings.LastIndexByte(name, '-'); k > 0 {
		template = name[:k]
	}
	platform, _, _ := strings.Cut(template, "-")
	n := adopted{old: old, spec: dag.NodeSpec{ID: id, Name: name, Path: "." + name, Parent: 0, Template: template, Platform: platform}}
	s := &n.state
	if old == nil {
		s.Status = dag.Omitted
		if a.status == dag.TaskCompleted {
			s.Status = dag.Completed
		}
		s.Warnings = []string{"the old master kept nothing of it"}
		a.nodes = append(a.nodes, n)
		return
	}
	n.spec.Platform = cmp.Or(old.platform, platform)
	s.Attempt, s.Tries, s.Info = old.retries, old.retries, old.job
	s.FirstStarted, s.Launched, s.Started, s.Ended = old.started, old.started, old.started, old.ended
	status, err := dag.ParseStatus(old.status)
	switch {
	case err == nil && status.Terminal():
		s.Status = status
	case old.status == "" && old.ended != 0:
		s.Status = dag.Completed
	case old.started == 0 && old.ended == 0:
		s.Status = dag.Omitted
	default:
		s.Status = dag.Cancelled
	}
	if s.Status.String() != strings.ToUpper(old.status) {
		s.Message = fmt.Sprintf("was %s when its task ended", cmp.Or(old.status, "without a status"))
	}
	if s.Status == dag.Completed {
		s.Seen = dag.SeenCompleted
	}
	a.nodes = append(a.nodes, n)
}

// depend connects the stages, unless that would be a circle.
func (a *adoption) depend() {
	index := map[string]int32{}
	for i := range a.nodes {
		index[a.nodes[i].spec.ID] = int32(i)
	}
	edge := func(parent, child string) {
		p, c := index[parent], index[child]
		if p == 0 || c == 0 || p == c {
			a.notes = append(a.notes, fmt.Sprintf("dependency of %s on %s was not kept: no such stage", child, parent))
			return
		}
		if on := &a.nodes[c].spec.Depends.On; !slices.Contains(*on, p) {
			*on = append(*on, p)
		}
	}
	for i := range a.nodes {
		if old := a.nodes[i].old; old != nil {
			for _, p := range old.parents {
				edge(p, old.id)
			}
			for _, c := range old.children {
				edge(old.id, c)
			}
		}
	}
	for i := range a.nodes {
		slices.Sort(a.nodes[i].spec.Depends.On)
	}
	if a.circular() {
		a.notes = append(a.notes, "dependencies were not kept: they go in a circle")
		for i := range a.nodes {
			a.nodes[i].spec.Depends.On = nil
		}
	}
}

// circular takes away nodes that wait for nothing that is left, until there are none.
func (a *adoption) circular() bool {
	waits := make([]int, len(a.nodes))
	dependents := make([][]int32, len(a.nodes))
	var free []int32
	for i := range a.nodes {
		waits[i] = len(a.nodes[i].spec.Depends.On)
		for _, p := range a.nodes[i].spec.Depends.On {
			dependents[p] = append(dependents[p], int32(i))
		}
		if waits[i] == 0 {
			free = append(free, int32(i))
		}
	}
	left := len(a.nodes)
	for ; len(free) > 0; left-- {
		i := free[len(free)-1]
		free = free[:len(free)-1]
		for _, d := range dependents[i] {
			if waits[d]--; waits[d] == 0 {
				free = append(free, d)
			}
		}
	}
	return left > 0
}

// change encodes the task.
func (a *adoption) change(expires dag.Time) (store.Change, error) {
	t := a.task
	task := dag.Task{
		Name: t.name, Plan: strings.ToLower(t.plan), Form: dag.FormCLIC, Status: a.status, Submitted: t.submitted, Started: t.started, Ended: t.ended,
		Message: "taken over from the old master", Limits: dag.DefaultLimits, Nodes: int32(len(a.nodes)), Owner: "old master",
		Retain: dag.Duration(max(0, expires-t.ended)),
	}
	task.Limits.Nodes = max(task.Limits.Nodes, task.Nodes)
	c := store.Change{Create: true, Task: t.name}
	var records []dag.Record
	for i := range a.nodes {
		spec, err := json.Marshal(&a.nodes[i].spec)
		if err != nil {
			return c, err
		}
		state, err := json.Marshal(&a.nodes[i].state)
		if err != nil {
			return c, err
		}
		records = append(records, dag.Record{Spec: spec, State: state})
		c.Nodes = append(c.Nodes, store.NodeRecord{
			Index: int32(i), Stage: a.nodes[i].spec.ID, Spec: spec, State: state, Status: a.nodes[i].state.Status.String(),
		})
	}
	body, err := json.Marshal(&task)
	if err != nil {
		return c, err
	}
	// Reading it back counts the stages, and shows that it can be read.
	run, err := dag.Load(body, records, nil)
	if err != nil {
		return c, err
	}
	c.Header = &store.Header{
		Task: t.name, Plan: task.Plan, Status: task.Status, Submitted: task.Submitted, Ended: task.Ended, Expires: expires,
		Body: run.AppendHeader(nil),
	}
	if c.Source, err = a.source(); err != nil {
		return c, err
	}
	c.Log = a.history()
	return c, nil
}

// source is the envelope in which an engine keeps a plan. The old master kept none.
func (a *adoption) source() ([]byte, error) {
	return json.Marshal(struct {
		Version int    `json:"v"`
		Plan    string `json:"plan"`
		YAML    string `json:"yaml"`
	}{Version: 1, Plan: strings.ToLower(a.task.plan), YAML: "# The old master, from which this task was taken over, did not keep its plan.\n"})
}

// history tells the task's life as far as its times do, and what else was kept.
func (a *adoption) history() []store.LogEntry {
	var log []dag.Entry
	t := a.task
	add := func(e dag.Entry) { log = append(log, e) }
	if t.started != 0 {
		add(dag.Entry{At: t.started, Node: -1, From: dag.TaskNew.String(), To: dag.TaskRunning.String()})
	}
	for i := range a.nodes[1:] {
		n := &a.nodes[i+1]
		e := dag.Entry{Node: int32(i + 1), Stage: n.spec.ID, Attempt: n.state.Attempt, From: dag.Waiting.String()}
		if n.state.Started != 0 {
			e.At, e.To = n.state.Started, dag.Running.String()
			add(e)
			e.From = e.To
		}
		e.At, e.To, e.Message = cmp.Or(n.state.Ended, t.ended), n.state.Status.String(), n.state.Message
		add(e)
	}
	slices.SortStableFunc(log, func(x, y dag.Entry) int { return cmp.Compare(x.At, y.At) })
	from := dag.TaskNew
	if t.started != 0 {
		from = dag.TaskRunning
	}
	last := t.ended
	if len(log) > 0 {
		last = max(last, log[len(log)-1].At)
	}
	add(dag.Entry{At: last, Node: -1, From: from.String(), To: a.status.String()})
	note := func(i int32, id, text string) {
		add(dag.Entry{At: last, Node: i, Stage: id, Message: "kept from the old master: " + text})
	}
	if t.note != "" {
		note(-1, "", t.note)
	}
	for i := range a.nodes {
		if old := a.nodes[i].old; old != nil && old.note != "" {
			note(int32(i), old.id, old.note)
		}
	}
	for _, text := range a.notes {
		note(-1, "", text)
	}
	var out []store.LogEntry
	for i, e := range log {
		out = append(out, store.LogEntry{Seq: uint64(i) + 1, Body: dag.AppendEntry(nil, e)})
	}
	return out
}
