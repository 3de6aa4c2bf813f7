package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/lead"
)

// Options are what a run is made of. Zero fields have defaults; the rest follows from the seed.
type Options struct {
	Seed uint64
	// Stages is the size of the first task: 50. Faults is the number of things that go wrong: 20; negative is none.
	Stages, Faults int
	// Mutant is a fault that is planted.
	Mutant Mutant
	// Trace is called with a line for every step, if not nil.
	Trace func(string)

	// What follows is drawn from the seed.

	tasks             int
	shards            int
	slots             engine.Slots
	patience          time.Duration
	lease             lead.Config
	storm             time.Duration // when all is well again
	pace              time.Duration // the time between two operations of a client
	shortest, longest time.Duration // of attempts
}

// Result is what came of a run.
type Result struct {
	// Err is the promise that was broken, nil if none was.
	Err error
	// Hash is that of all steps, in order.
	Hash  uint64
	Stats Stats
}

// Stats count what happened.
type Stats struct {
	Events, Faults, Commits, Launches, Terms, Tasks int
	// Counts has all else, by name.
	Counts map[string]int
	// Virtual is the time that passed in the world.
	Virtual time.Duration
}

func (s *Stats) count(what string) {
	if s.Counts == nil {
		s.Counts = map[string]int{}
	}
	s.Counts[what]++
}

// Add adds up the numbers of runs.
func (s *Stats) Add(o Stats) {
	s.Events += o.Events
	s.Faults += o.Faults
	s.Commits += o.Commits
	s.Launches += o.Launches
	s.Terms += o.Terms
	s.Tasks += o.Tasks
	s.Virtual += o.Virtual
	if s.Counts == nil {
		s.Counts = map[string]int{}
	}
	for k, n := range o.Counts {
		s.Counts[k] += n
	}
}

// String lists the numbers, for people.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d tasks, %d commits, %d launches, %d terms of masters, %d faults, %d events in %v",
		s.Tasks, s.Commits, s.Launches, s.Terms, s.Faults, s.Events, s.Virtual.Round(time.Second))
	for _, k := range slices.Sorted(maps.Keys(s.Counts)) {
		fmt.Fprintf(&b, "\n  %8d %s", s.Counts[k], k)
	}
	return b.String()
}

// liveness is how long everything may take to end once all is well.
const liveness = 3 * time.Minute

// Run plays a seed.
func Run(o Options) Result {
	w := newWorld(o)
	w.begin()
	for w.step() {
		if w.calm && w.settled() {
			w.err = w.check.final()
			break
		}
		if w.now > w.opt.storm+liveness {
			w.fail("it does not end:\n%s", w.open())
		}
	}
	w.stats.Tasks = len(w.db.order)
	w.stats.Virtual = w.now
	return Result{Err: w.err, Hash: w.trace.hash, Stats: w.stats}
}

func newWorld(o Options) *world {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	or(&o.Stages, 50)
	or(&o.Faults, 20)
	w := &world{r: rand.New(rand.NewPCG(o.Seed, 0x5eed)), links: map[[2]int]*link{}, trace: trace{show: o.Trace}}
	o.tasks = 1 + w.r.IntN(6)
	o.shards = 1 + w.r.IntN(2)
	o.slots = engine.Slots{Global: []int{0, 0, 4, 12}[w.r.IntN(4)], Task: []int{0, 0, 0, 3}[w.r.IntN(4)]}
	o.patience = -1
	if w.chance(3) {
		o.patience = w.between(300*time.Millisecond, 2*time.Second)
	}
	o.lease = lead.Config{}.WithDefaults()
	o.storm = w.between(20*time.Second, 40*time.Second)
	o.pace = w.between(300*time.Millisecond, 3*time.Second)
	o.shortest, o.longest = 20*time.Millisecond, w.between(500*time.Millisecond, 4*time.Second)
	w.opt = o
	w.check = newChecker(w)
	w.db = newDB(w)
	for i := range 2 + w.r.IntN(2) {
		m := newMaster(w, fmt.Sprint("master", i))
		m.offset = w.between(-2*time.Second, 2*time.Second)
		m.rate = 0.995 + w.r.Float64()/100
		w.masters = append(w.masters, m)
	}
	for _, name := range executorNames() {
		w.hosts = append(w.hosts, newHost(w, name))
	}
	for i := range 1 + w.r.IntN(3) {
		w.clients = append(w.clients, newClient(w, fmt.Sprint("client", i)))
	}
	return w
}

// begin starts everybody, and has the first task submitted.
func (w *world) begin() {
	for _, m := range w.masters {
		w.after(w.upTo(100*time.Millisecond), m.start)
	}
	w.clients[0].submit(bigPlan(w.r, w.opt.Stages))
	for _, c := range w.clients {
		c.start()
	}
	w.schedule(max(0, w.opt.Faults))
}

// settled reports whether nothing more happens by itself.
func (w *world) settled() bool {
	for _, c := range w.clients {
		if c.busy > 0 {
			return false
		}
	}
	if len(w.db.unfinished()) > 0 || w.live() {
		return false
	}
	for _, m := range w.masters {
		if !m.alive || m.paused {
			return false
		}
		if m.term != nil && !m.term.idle() {
			return false
		}
	}
	return w.db.alive && w.now >= w.check.unsure
}

// idle reports whether no batch of a term is under way.
func (t *term) idle() bool {
	for i := range t.lanes {
		if t.lanes[i].busy || t.lanes[i].due {
			return false
		}
	}
	return true
}

// open lists what has not ended, for people.
func (w *world) open() string {
	var b strings.Builder
	for _, name := range w.db.unfinished() {
		m := w.check.tasks[name]
		fmt.Fprintf(&b, "task %s is %s, holds on %v\n", name, m.task.Status, m.heldRoots())
		for i, n := range m.nodes {
			if !n.status.Terminal() {
				fmt.Fprintf(&b, "  %d %s is %s, attempt %d, live %v, holds %v, depends on %v\n",
					i, n.spec.ID, n.status, n.state.Attempt, n.state.Live, n.state.Holds, n.spec.Depends.On)
			}
		}
	}
	for _, m := range w.masters {
		fmt.Fprintf(&b, "%s: alive %v, paused %v, leads %v", m.name, m.alive, m.paused, m.term != nil)
		if m.term != nil {
			fmt.Fprintf(&b, ", serves %v, trusted %v, repeats %d, %+v", m.term.serving, m.term.trusted(), m.term.repeating, m.term.lanes)
		}
		b.WriteString("\n")
	}
	for _, c := range w.clients {
		fmt.Fprintf(&b, "%s: %d operations are under way\n", c.name, c.busy)
	}
	return b.String()
}
