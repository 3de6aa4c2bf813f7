package chaos

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// war is a run in which masters, their Redis and what connects them are struck again and again, while people go on.
type war struct {
	*realm
	rand   *rand.Rand
	census census
	jobs   []*job
	prober *prober
	own    string // the task of the prober

	opening sync.WaitGroup // of submissions
	count   map[string]int // rounds by kind
	waits   map[string][]time.Duration
	fails   int // times that another master has taken the lead
	alive   int // attempts that were alive at a strike, in all
}

// people is how many act at the same time.
const people = 4

// wage is the whole war: so many stages in several tasks, and so many rounds.
// kinds are the first letters of what strikes; all kinds if there are none.
func wage(t *testing.T, size, rounds int, seed uint64, kinds ...string) {
	t.Helper()
	t.Logf("seed %d: %d stages, %d rounds", seed, size, rounds)
	w := &war{rand: rand.New(rand.NewPCG(seed, 1)), count: map[string]int{}, waits: map[string][]time.Duration{}}
	w.realm = newRealm(t, 3)
	w.plan(size, seed)
	w.openProbe()
	began := time.Now()
	stop := w.populate(seed)
	deck := w.deck(rounds, kinds)
	for i, s := range deck {
		w.submit((i + 1) * len(w.jobs) / len(deck))
		w.round(s)
	}
	w.opening.Wait()
	stop()
	w.prober.stop()
	w.finish()
	took := time.Since(began)
	sum := w.judge()
	orphans := w.end()
	for _, line := range w.complaints("panic", "DATA RACE", "fatal error") {
		t.Errorf("a master logged: %s", line)
	}
	w.report(sum, len(orphans), took)
}

// plan makes the jobs: of mixed sizes, so many stages in all.
func (w *war) plan(size int, seed uint64) {
	for left := size; left > 0; {
		n := min(left, 20+w.rand.IntN(max(1, size/8)))
		if left-n < 20 {
			n = left
		}
		i := len(w.jobs)
		j := &job{TB: w, census: &w.census, fate: fate(i % numberFates), request: fmt.Sprintf("job%d-%d", seed%10_000, i), held: map[string]string{}}
		j.plan = makePlan(n, 1+w.rand.IntN(12), w.dir, stageProgram(w))
		left -= n
		w.jobs = append(w.jobs, j)
	}
}

// deck shuffles the kinds of strikes, each as often as the others, but for the last time.
func (w *war) deck(rounds int, kinds []string) []strike {
	w.Helper()
	chosen := slices.DeleteFunc(strikes(), func(s strike) bool {
		return len(kinds) > 0 && !slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(s.name, k) })
	})
	if len(chosen) == 0 {
		w.Fatalf("there is no strike of %q", kinds)
	}
	var deck []strike
	for len(deck) < rounds {
		all := slices.Clone(chosen)
		all = all[:min(len(all), rounds-len(deck))]
		w.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		deck = append(deck, all...)
	}
	return deck
}

// openProbe submits the task whose last stage the prober suspends and continues. It does not run before the end.
func (w *war) openProbe() {
	w.Helper()
	a, err := w.anyone().Submit(w.Context(), &thriftmaster.Submission{
		Plan: makePlan(2*loopWidth, 1, w.dir, stageProgram(w)).yaml, RequestId: new("probe"), Suspended: new(true),
	})
	if err != nil {
		w.Fatal(err)
	}
	w.own = a.TaskName
	all, err := listStages(w.Context(), w.anyone(), w.own)
	if err != nil {
		w.Fatal(err)
	}
	w.prober = w.probe(all[len(all)-1].StageId)
	w.prober.await(1)
}

// submit lets people submit jobs until there are so many.
func (w *war) submit(until int) {
	for _, j := range w.jobs[:max(1, until)] {
		if j.mu.TryLock() {
			if j.task != "" {
				j.mu.Unlock()
				continue
			}
			w.opening.Go(func() {
				defer j.mu.Unlock()
				if j.submit(w.Context(), w.anyone) && j.fate == leftAlone {
					j.open(w.Context(), w.anyone)
				}
			})
		}
	}
}

// populate lets people act until stop is called.
func (w *war) populate(seed uint64) (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	var all sync.WaitGroup
	for i := range uint64(people) {
		r := rand.New(rand.NewPCG(seed, 2+i))
		all.Go(func() {
			for ctx.Err() == nil {
				w.person(r)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(r.IntN(60)) * time.Millisecond):
				}
			}
		})
	}
	stop = func() { cancel(); all.Wait() }
	w.Cleanup(stop)
	return stop
}

// person does something to one of the tasks that nobody else is at.
func (w *war) person(r *rand.Rand) {
	for _, i := range r.Perm(len(w.jobs)) {
		j := w.jobs[i]
		if !j.mu.TryLock() {
			continue
		}
		over := j.over()
		if !over {
			j.act(w.Context(), r, w.anyone)
		}
		j.mu.Unlock()
		if !over {
			return
		}
	}
}

// round strikes once, and looks after it whether all is as it was acknowledged.
func (w *war) round(s strike) {
	w.Helper()
	w.journal.await(4+w.rand.IntN(20), 1500*time.Millisecond) // let things go on
	w.appendFsync([]string{"everysec", "always"}[w.rand.IntN(2)])
	lead, epoch := w.awaitLeader(0)
	began := time.Now()
	failed := w.Failed()
	defer func() {
		if w.Failed() && !failed {
			w.Logf("this was in the round %q, which began at %s", s.name, began.UTC().Format("15:04:05.000"))
		}
	}()
	w.alive += w.living()
	s.do(w, lead, epoch)
	w.mend()
	w.awaitPeace()
	w.prober.await(2)
	_, after := w.awaitLeader(0)
	switch {
	case after < epoch || after == epoch && s.takesOver:
		w.Errorf("%s: epoch %d follows %d", s.name, after, epoch)
	case after > epoch:
		w.fails++
	}
	longest := w.prober.longest(began)
	w.count[s.name]++
	w.waits[s.name] = append(w.waits[s.name], longest)
	w.look()
	w.Logf("%-26s %5.1f s, the longest wait of a client %.2f s, epoch %d -> %d", s.name, time.Since(began).Seconds(), longest.Seconds(), epoch, after)
}

// living counts the programs of stages that run.
func (w *war) living() (n int) {
	alive := w.journal.alive()
	for _, m := range w.journal.marks() {
		if m.verb == markStart && alive[m.id()] {
			// One that was killed has not written its end.
			if pid, err := strconv.Atoi(m.word); err == nil && syscall.Kill(pid, 0) == nil {
				n++
			}
		}
	}
	return n
}

// look looks at the holds of all tasks.
func (w *war) look() {
	for _, j := range w.jobs {
		// One that is being submitted, or that somebody acts on, is looked at another time.
		if j.mu.TryLock() {
			if j.task != "" {
				j.look(w.Context(), w.anyone)
			}
			j.mu.Unlock()
		}
	}
}

// finish brings all tasks to their end.
func (w *war) finish() {
	w.Helper()
	var all sync.WaitGroup
	for _, j := range w.jobs {
		all.Go(func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			if j.task != "" {
				j.finish(w.Context(), w.anyone)
			}
		})
	}
	probe := &job{TB: w, census: &w.census, task: w.own, request: "probe", held: map[string]string{}, errands: []*errand{
		{verb: saidSuspend, who: "probe"}, {verb: saidSuspend, who: "plan"}, // the prober's own, and the submission's
	}}
	probe.finish(w.Context(), w.anyone)
	all.Wait()
}

func (w *war) coin() bool { return w.rand.IntN(2) == 0 }

// sleep lets a random time pass, short ones as likely as long ones: nothing tells a moment at which to strike from another.
func (w *war) sleep(longest time.Duration) {
	time.Sleep(time.Duration(math.Exp(w.rand.Float64()*math.Log(float64(longest.Microseconds())))) * time.Microsecond)
}

// until waits for a condition, for so long at most.
func (w *war) until(longest time.Duration, met func() bool) {
	for end := time.Now().Add(longest); !met() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

// report prints what there was.
func (w *war) report(s sum, orphans int, took time.Duration) {
	var kinds, waits []string
	rounds := 0
	for _, name := range slices.Sorted(maps.Keys(w.count)) {
		rounds += w.count[name]
		kinds = append(kinds, fmt.Sprintf("%s %d", name, w.count[name]))
		all := w.waits[name]
		slices.Sort(all)
		waits = append(waits, fmt.Sprintf("%s %.2f/%.2f", name, all[len(all)/2].Seconds(), all[len(all)-1].Seconds()))
	}
	w.Logf("chaos: tasks %d, stages %d, attempts %d, rounds %d (%s), fail-overs %d, started twice %d, lost %d, out of order %d, contradictions %d, orphans %d",
		s.tasks, s.stages, s.attempts, rounds, strings.Join(kinds, ", "), w.fails, s.twice, s.lost, s.misordered, s.contradictions, orphans)
	for name, most := range map[string]time.Duration{"leader killed": 5 * time.Second, "leader stopped": 2 * time.Second} {
		if all := w.waits[name]; len(all) > 0 && all[len(all)/2] > most {
			w.Errorf("after %q a client typically waits for %v", name, all[len(all)/2])
		}
	}
	w.Logf("chaos: longest wait of a client in a round, median/max s: %s", strings.Join(waits, ", "))
	c := &w.census
	var done []string
	for _, verb := range []string{saidSuspend, saidContinue, saidCancel, saidRetry} {
		done = append(done, fmt.Sprintf("%s %d", strings.Trim(verb, " (:"), s.done[verb]))
	}
	w.Logf("chaos: people asked for %d changes: %d acknowledged, %d refused, %d of unknown outcome; carried out: %s; %d of %d repeatable calls failed; stage programs repeated %d reports",
		c.calls.Load(), c.dones.Load(), c.refusals.Load(), c.unknowns.Load(), strings.Join(done, ", "), c.disturbed.Load(), c.reads.Load(), s.repeated)
	w.Logf("chaos: programs that ran at a strike %.1f, changes of the prober %d, %.0f s", float64(w.alive)/float64(max(1, rounds)), w.prober.answered(), took.Seconds())
}
