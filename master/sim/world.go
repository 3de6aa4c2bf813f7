package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// world is everything that a seed makes: a clock, what is going to happen, and who is there.
type world struct {
	opt   Options
	r     *rand.Rand
	now   time.Duration
	queue events
	seq   uint64
	trace trace
	stats Stats
	err   error

	links   map[[2]int]*link
	names   []string
	db      *db
	masters []*master
	hosts   []*host
	clients []*client
	check   *checker
	plan    faultPlan
	calm    bool // no fault happens any more
}

// start of the world's time on clocks that are right.
func genesis() time.Time { return time.UnixMilli(1_700_000_000_000) }

// event is something that happens at a time, to somebody.
type event struct {
	at   time.Duration
	seq  uint64
	who  *process
	life int
	do   func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push and Pop are heap.Interface's.
func (q *events) Push(x any) { *q = append(*q, x.(event)) }

// Pop is the other half.
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// process is one of those who live, die and are paused by themselves.
type process struct {
	w     *world
	index int
	name  string
	// life counts the times that it was started; what was meant for an earlier life is gone with it.
	life   int
	alive  bool
	paused bool
	held   []event // what came while it was paused
	// offset and rate are those of its clock.
	offset time.Duration
	rate   float64
}

func (w *world) process(name string) process {
	w.names = append(w.names, name)
	return process{w: w, index: len(w.names) - 1, name: name, alive: true, rate: 1}
}

// clock is what the process takes for the time.
func (p *process) clock() time.Time {
	return genesis().Add(p.offset + time.Duration(float64(p.w.now)*p.rate))
}

// until is how long it is until the process's clock shows t, at least nothing.
func (p *process) until(t time.Time) time.Duration {
	at := time.Duration(float64(t.Sub(genesis())-p.offset) / p.rate)
	return max(0, at-p.w.now+time.Microsecond)
}

// after has the process do something after d, if it lives on until then.
func (p *process) after(d time.Duration, do func()) {
	p.w.seq++
	heap.Push(&p.w.queue, event{at: p.w.now + d, seq: p.w.seq, who: p, life: p.life, do: do})
}

// after has something happen after d.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{at: w.now + d, seq: w.seq, do: do})
}

// step lets the next thing happen.
func (w *world) step() bool {
	if len(w.queue) == 0 || w.err != nil {
		return false
	}
	e := heap.Pop(&w.queue).(event)
	w.now = max(w.now, e.at)
	w.stats.Events++
	switch {
	case e.who == nil:
		e.do()
	case e.who.life != e.life || !e.who.alive:
	case e.who.paused:
		e.who.held = append(e.who.held, e)
	default:
		e.do()
	}
	return true
}

// kill ends a process.
func (p *process) kill() {
	p.life++
	p.alive, p.paused, p.held = false, false, nil
}

// pause stops a process; its clock runs on.
func (p *process) pause() { p.paused = true }

// resume lets a process go on, in about the order in which things came.
func (p *process) resume() {
	held := p.held
	p.paused, p.held = false, nil
	for _, e := range held {
		do := e.do
		p.after(p.w.upTo(2*time.Millisecond), do)
	}
}

// upTo is a random time below d.
func (w *world) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.r.Int64N(int64(d)))
}

// between is a random time from a to b.
func (w *world) between(a, b time.Duration) time.Duration { return a + w.upTo(b-a+1) }

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.r.IntN(n) == 0 }

// fail ends the world: a promise was broken.
func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: %s", w.now, fmt.Sprintf(format, args...))
		w.say("checker", "BROKEN", w.err.Error())
	}
}

// trace hashes what happens, and shows it to somebody.
type trace struct {
	hash uint64
	show func(string)
}

// say notes a step of the run.
func (w *world) say(who, what string, more ...string) {
	const prime = 1099511628211
	h := w.trace.hash ^ uint64(w.now)
	mix := func(s string) {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
		h = (h ^ 0xff) * prime
	}
	mix(who)
	mix(what)
	for _, s := range more {
		mix(s)
	}
	w.trace.hash = h
	if w.trace.show != nil {
		line := fmt.Sprintf("%10.3f %-8s %s", float64(w.now)/float64(time.Millisecond), who, what)
		for _, s := range more {
			line += " " + s
		}
		w.trace.show(line)
	}
}

func num[T int | int32 | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

// text is an error's, or "ok".
func text(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}
