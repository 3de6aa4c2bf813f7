package chaos

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// TestMasterIsKilled is a small storm.
func TestMasterIsKilled(t *testing.T) {
	size, kills := 60, 5
	if testing.Short() {
		size, kills = 30, 3
	}
	rage(t, size, kills, uint64(time.Now().UnixNano()))
}

// TestMastersTakeOver is a small war: three masters on one Redis, struck once in each of the most common ways.
func TestMastersTakeOver(t *testing.T) {
	size, rounds := 160, 6
	if testing.Short() {
		size, rounds = 60, 3
	}
	wage(t, size, rounds, uint64(time.Now().UnixNano()))
}

// rage compares a run under which the master is killed with one that nobody disturbed.
func rage(t *testing.T, size, kills int, seed uint64) {
	t.Helper()
	t.Logf("seed %d: %d stages, %d kills", seed, size, kills)
	stage := stageProgram(t)
	calm, calmTook, startup := undisturbed(t, stage, size)

	s := &storm{
		seat: newSite(t).seat("master"), rand: rand.New(rand.NewPCG(seed, 0)), calm: calm, startup: startup,
		held: map[string]int{}, unsure: map[string]int{}, rest: map[string]*thriftmaster.StageInfo{},
	}
	s.plan = makePlan(size, 1, s.dir, stage)
	for _, v := range calm.stages {
		s.rest[calm.name(v)] = v
	}
	for _, o := range calm.outcomes() {
		if o.Exit != "" {
			s.total += 1 + len(o.Before)
		}
	}
	began := time.Now()
	r, orphans := s.run(kills)
	took := time.Since(began)
	tally := s.attempts(r)
	different := compare(calm, r)
	for _, d := range different {
		t.Error(d)
	}
	faults := r.replay()
	for _, f := range faults {
		t.Error(f)
	}
	for _, line := range s.complaints("level=ERROR", "panic", "DATA RACE") {
		t.Errorf("a master logged: %s", line)
	}
	if r.state != calm.state {
		t.Errorf("the task is %s, undisturbed it is %s", r.state, calm.state)
	}
	var when []string
	for k, n := range s.kills {
		when = append(when, momentName(k)+" "+strconv.Itoa(n))
	}
	t.Logf("plan:        %d stages, %d nodes, ends %s: %s", s.plan.stages, len(r.stages), r.state, r.summary())
	t.Logf("kills:       %d (%s); %d attempts lived on over one, %d ended before the next start", kills, strings.Join(when, ", "), s.alive, s.ended)
	t.Logf("progress:    kills per tenth of the run %v, with nothing left but held stages %d", s.tenths[:10], s.tenths[10])
	t.Logf("people:      %d stages suspended, %d continued", s.suspends, s.continues)
	t.Logf("attempts:    %d, started twice %d, ended and lost %d, unknown to the master %d", tally.attempts, tally.twice, tally.lost, tally.invented)
	t.Logf("stages:      %d differ from the undisturbed run", len(different))
	t.Logf("history:     %d events (undisturbed %d), %d contradictions in its replay", len(r.events), len(calm.events), len(faults))
	t.Logf("processes:   %d orphans", len(orphans))
	t.Logf("time:        %.1f s (undisturbed %.1f s; a start takes %d ms)", took.Seconds(), calmTook.Seconds(), startup.Milliseconds())
}
