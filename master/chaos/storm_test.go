package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// The moments at which a master is killed.
const (
	whileStarting = iota // some microseconds after its process began
	justReady            // some microseconds after it listens
	afterEvents          // after a number of nodes have ended, and some microseconds
	duringCall           // while it suspends or continues a stage
	moments
)

func momentName(k int) string {
	return [...]string{"while starting", "just ready", "after events", "during a call"}[k]
}

// storm is a run under which the master is killed.
type storm struct {
	*seat
	rand *rand.Rand
	plan plan
	calm *record // the undisturbed run
	task string
	rest map[string]*thriftmaster.StageInfo // how the nodes of the undisturbed run ended, by their names

	startup time.Duration // how long a start takes
	seen    []*thriftmaster.Event
	held    map[string]int // roots of holds in force, and how often each had been started when it was held
	unsure  map[string]int // roots of which a call was cut off; how often each had been started before
	finale  string         // the id of the last stage, which is held until the storm is over

	kills               [moments]int
	tenths              [11]int // kills per tenth of the attempts that had ended; the last are those after which nothing was left but the finale
	total               int     // attempts of the undisturbed run
	alive, ended        int     // attempts that were alive at a kill, and that ended while no master ran
	suspends, continues int
}

// undisturbed runs the plan to its end in peace.
func undisturbed(t testing.TB, stage string, size int) (*record, time.Duration, time.Duration) {
	t.Helper()
	s := newSite(t)
	m := s.seat("master").start()
	m.await()
	startup := time.Since(m.began)
	p := makePlan(size, 1, s.dir, stage)
	began := time.Now()
	task := m.submit(p)
	m.done(task)
	took := time.Since(began)
	r := m.record(task)
	for _, wrong := range r.replay() {
		t.Error("undisturbed: ", wrong)
	}
	s.attempts(r)
	m.end()
	return r, took, startup
}

func (m *life) submit(p plan) string {
	m.Helper()
	a, err := m.tasks.Submit(m.Context(), &thriftmaster.Submission{Plan: p.yaml, RequestId: new("storm")})
	if err != nil {
		var e *base.ClicError
		if errors.As(err, &e) {
			m.Fatalf("%s\n%v", e.Message, e.Diagnostics)
		}
		m.Fatal(err)
	}
	return a.TaskName
}

// done waits for the end of the task.
func (m *life) done(task string) {
	m.Helper()
	var cursor int64
	for end := time.Now().Add(5 * patience); time.Now().Before(end); {
		page, err := m.tasks.Watch(m.Context(), task, cursor, 1000, 1000)
		if err != nil {
			m.Fatal(err)
		}
		if page.Done {
			m.settled(task)
			return
		}
		cursor = page.Cursor
	}
	m.Fatalf("the task does not end; left are:\n%s", strings.Join(m.waiting(task), "\n"))
}

// settled waits until the programs of all stages have ended as well: a stage that reports its completion by itself is done before.
func (m *life) settled(task string) {
	m.Helper()
	unsettled := func() []string {
		var ids []string
		for _, v := range m.stages(task) {
			if v.Kind == thriftmaster.NodeKind_STAGE && v.Launched != 0 && v.ExitCode == nil {
				ids = append(ids, v.StageId)
			}
		}
		return ids
	}
	for _, id := range m.vanish(unsettled) {
		m.Errorf("the task has ended, but the master does not learn how the program of %s did", id)
	}
}

// waiting lists what has not ended, and why.
func (m *life) waiting(task string) []string {
	m.Helper()
	page, err := m.tasks.ListStages(m.Context(), &thriftmaster.StageQuery{TaskName: task, Groups: new(true), Explain: new(true), Limit: new(int32(10_000))})
	if err != nil {
		m.Fatal(err)
	}
	return unended(page.Stages)
}

func unended(nodes []*thriftmaster.StageInfo) []string {
	var left []string
	for _, v := range nodes {
		if v.Ended == 0 {
			left = append(left, fmt.Sprintf("%s %s attempt %d: %s", v.StageId, v.State, v.Attempt, v.Explanation.GetText()))
		}
	}
	return left
}

// end stops a master whose task has ended, and expects that nothing is left of it.
func (m *life) end() (orphans []string) {
	m.Helper()
	orphans = m.vanish(func() []string { return stages(m.processes()) })
	m.stop()
	orphans = append(orphans, m.vanish(m.processes)...)
	for _, p := range orphans {
		m.Errorf("this process is left: %s", p)
	}
	return orphans
}

// run is the storm: the plan is submitted, the master killed as often as asked, and the task then brought to its end.
func (s *storm) run(kills int) (*record, []string) {
	s.Helper()
	m := s.start()
	m.await()
	s.task = m.submit(s.plan)
	for _, v := range m.stages(s.task) {
		if v.Name == s.plan.finale {
			s.finale = v.StageId
		}
	}
	s.suspend(m, s.finale)
	for n := range kills {
		s.strike(m, kills-n)
		m = s.start()
	}
	m.await()
	s.check(m)
	for _, root := range s.roots() {
		s.resume(m, root)
	}
	m.done(s.task)
	r := m.record(s.task)
	s.remembers(r)
	return r, m.end()
}

// strike kills the master at a random moment; left is how many kills are left. The first master is ready already.
func (s *storm) strike(m *life, left int) {
	s.Helper()
	moment := s.rand.IntN(moments)
	if s.rand.IntN(3) == 0 {
		moment = afterEvents
	}
	if moment == whileStarting && m.wire == nil {
		s.kills[moment]++
		time.Sleep(time.Duration(s.rand.Float64() * float64(2*s.startup)))
		s.kill(m)
		return
	}
	if m.wire == nil {
		m.await()
	}
	if moment != justReady {
		s.check(m)
		for range s.rand.IntN(4) {
			s.act(m)
		}
	}
	cut := make(chan struct{})
	switch moment {
	case whileStarting, justReady:
		moment = justReady
		s.sleep(20 * time.Millisecond)
		close(cut)
	case afterEvents:
		// Spread over what is left of the run, so that the last kill comes near its end.
		s.watch(m, s.rand.IntN(2*max(1, endings(s.calm.events)-endings(s.seen))/left+1))
		s.sleep(5 * time.Millisecond)
		close(cut)
	case duringCall:
		wait := s.moment(3 * time.Millisecond) // before the call, which draws lots as well
		go func() {
			defer close(cut)
			s.act(m)
		}()
		time.Sleep(wait)
	}
	s.kills[moment]++
	s.kill(m)
	<-cut
}

// kill ends the master, and lets attempts go on without it.
func (s *storm) kill(m *life) {
	m.kill()
	alive := s.journal.alive()
	s.alive += len(alive)
	ends, _ := s.journal.count(markEnd)
	s.tenths[10*len(ends)/max(1, s.total-1)]++
	if len(alive) == 0 || s.rand.IntN(2) == 0 {
		return
	}
	// Some of them end while there is no master: one at least, unless it takes too long.
	wanted, left := 1+s.rand.IntN(len(alive)), 0
	s.journal.wait(300*time.Millisecond, func() bool {
		left = 0
		for id := range s.journal.alive() {
			if alive[id] {
				left++
			}
		}
		return len(alive)-left >= wanted
	})
	s.ended += len(alive) - left
}

// moment is a random time up to the longest, the short ones as likely as the long ones.
func (s *storm) moment(longest time.Duration) time.Duration {
	return time.Duration(math.Exp(s.rand.Float64()*math.Log(float64(longest.Microseconds())))) * time.Microsecond
}

func (s *storm) sleep(longest time.Duration) { time.Sleep(s.moment(longest)) }

// watch follows the task until that many more nodes have ended, or until nothing happens any more. Where suspended stages
// keep everything from going on, they are continued.
func (s *storm) watch(m *life, ends int) {
	s.Helper()
	for until := endings(s.seen) + ends; endings(s.seen) < until; {
		page, err := m.tasks.Watch(s.Context(), s.task, int64(len(s.seen)), 5, 200)
		if err != nil {
			s.Fatal(err)
		}
		s.seen = append(s.seen, page.Events...)
		if len(page.Events) > 0 {
			continue
		}
		others := s.others()
		if len(others) == 0 {
			return
		}
		s.resume(m, others[s.rand.IntN(len(others))])
	}
}

// endings counts the nodes that have ended.
func endings(events []*thriftmaster.Event) int {
	n := 0
	for _, e := range events {
		switch e.ToState {
		case "COMPLETED", "FAILED", "SKIPPED", "OMITTED":
			n++
		}
	}
	return n
}

// remembers checks that every event that was shown to us is still there.
func (s *storm) remembers(r *record) {
	s.Helper()
	if len(r.events) < len(s.seen) {
		s.Errorf("%d events were seen, and there are %d only", len(s.seen), len(r.events))
		return
	}
	for i, e := range s.seen {
		if *e != *r.events[i] {
			s.Errorf("event %d was %v and is %v", i+1, e, r.events[i])
		}
	}
}

// act suspends a stage or continues one.
func (s *storm) act(m *life) {
	s.Helper()
	others := s.others()
	if len(others) > 0 && s.rand.IntN(6) < len(others) {
		s.resume(m, others[s.rand.IntN(len(others))])
		return
	}
	all, err := m.tasks.ListStages(context.Background(), &thriftmaster.StageQuery{
		TaskName: s.task, Groups: new(true), Limit: new(int32(10_000)),
		States: []thriftmaster.StageState{thriftmaster.StageState_WAITING, thriftmaster.StageState_RETRYING},
	})
	if err != nil {
		s.cut(err)
		return
	}
	// What ends without having run loses its holds, so that is left alone.
	ids := []string{}
	for _, v := range all.Stages {
		end := s.rest[strings.TrimPrefix(v.Path, s.task)]
		if end != nil && (end.State == thriftmaster.StageState_COMPLETED || end.State == thriftmaster.StageState_FAILED) {
			ids = append(ids, v.StageId)
		}
	}
	if len(ids) > 0 {
		s.suspend(m, ids[s.rand.IntN(len(ids))])
	}
}

func (s *storm) suspend(m *life, id string) {
	s.Helper()
	before := s.journal.started(id)
	_, err := m.tasks.Suspend(context.Background(), id, thriftmaster.HoldMode_HOLD, "chaos", 0, "chaos")
	switch {
	case err == nil:
		s.suspends++
		s.held[id] = before
	case s.cut(err):
		s.unsure[id] = before
	}
}

func (s *storm) resume(m *life, id string) {
	s.Helper()
	before := s.held[id]
	delete(s.held, id)
	if got := s.journal.started(id); got != before {
		s.Errorf("%s was started %d times before it was suspended, and now %d times", id, before, got)
	}
	err := m.tasks.Resume(context.Background(), id, "chaos")
	switch {
	case err == nil:
		s.continues++
	case s.cut(err):
		s.unsure[id] = before
	default:
		s.Errorf("cannot continue %s, which is suspended: %v", id, err)
	}
}

// cut reports whether the call was cut off by a kill. Otherwise it was refused, which a race with the stage's launch explains.
func (s *storm) cut(err error) bool {
	s.Helper()
	var e *base.ClicError
	if !errors.As(err, &e) {
		return true
	}
	if e.Code != base.ErrorCode_REFUSED {
		s.Errorf("unexpected answer: %v", err)
	}
	return false
}

func (s *storm) roots() []string {
	roots := make([]string, 0, len(s.held))
	for id := range s.held {
		roots = append(roots, id)
	}
	slices.Sort(roots)
	return roots
}

// others are the roots that are not held until the end.
func (s *storm) others() []string {
	return slices.DeleteFunc(s.roots(), func(id string) bool { return id == s.finale })
}

// check looks after a restart whether every hold is still in force, and learns what became of the calls that were cut off.
func (s *storm) check(m *life) {
	s.Helper()
	v, err := m.tasks.GetTask(s.Context(), s.task)
	if err != nil {
		s.Fatal(err)
	}
	there := map[string]bool{}
	for _, h := range v.Holds {
		there[h.RootStageId] = true
		if before, ok := s.unsure[h.RootStageId]; ok {
			s.held[h.RootStageId] = before
		} else if _, ok := s.held[h.RootStageId]; !ok {
			s.Errorf("%s is suspended, and nobody asked for it", h.RootStageId)
		}
	}
	for id, before := range s.held {
		if !there[id] {
			s.Errorf("%s was suspended, and is not any more", id)
			delete(s.held, id)
		}
		if got := s.journal.started(id); got != before {
			s.Errorf("%s is suspended, but was started (%d times, before %d)", id, got, before)
		}
	}
	clear(s.unsure)
}
