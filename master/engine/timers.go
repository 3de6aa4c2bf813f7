package engine

import (
	"github.com/clic-orchestrator/clic/dag"
)

// timer is something that a shard has to do later.
type timer struct {
	at   dag.Time
	kind timerKind
	node int32
	task *task
	name string // for reloads, which have no task
}

type timerKind uint8

const (
	timerTick timerKind = iota
	timerLaunch
	timerCancel
	timerReload
)

// timers is a min-heap by time. Timers are not taken out when they become pointless: firing one does nothing then.
type timers []timer

func (h *timers) push(t timer) {
	s := append(*h, t)
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].at <= s[i].at {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
	*h = s
}

// pop gives the next timer that is due by now.
func (h *timers) pop(now dag.Time) (timer, bool) {
	s := *h
	if len(s) == 0 || s[0].at > now {
		return timer{}, false
	}
	top, last := s[0], len(s)-1
	s[0], s[last] = s[last], timer{}
	s = s[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(s) {
			break
		}
		if c+1 < len(s) && s[c+1].at < s[c].at {
			c++
		}
		if s[i].at <= s[c].at {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	*h = s
	return top, true
}

// next is when the next timer is due, 0 if there is none.
func (h timers) next() dag.Time {
	if len(h) == 0 {
		return 0
	}
	return h[0].at
}

// arm sets a node's timer to the first that its effects ask for. A later one is set when that has fired, so that a node
// has one timer in the heap at most, but for those that came to lie earlier.
func (s *shard) arm(t *task, i int32, effects []dag.Effect) {
	var at dag.Time
	for _, f := range effects {
		if f.Kind == dag.EffectTimer && (at == 0 || f.At < at) {
			at = f.At
		}
	}
	if at == 0 {
		return
	}
	sd := t.at(i)
	if sd.timer != 0 && sd.timer <= at {
		return
	}
	sd.timer = at
	s.timers.push(timer{at: at, kind: timerTick, node: i, task: t})
}

// unconsumed is how long a timer waits that is due but that a Tick did not take away, so that a mistake elsewhere does
// not keep a shard busy.
const unconsumed dag.Time = 1000

// fire does what is due.
func (s *shard) fire(b *batch) {
	for {
		tm, ok := s.timers.pop(b.now)
		if !ok {
			return
		}
		if tm.kind == timerReload {
			if s.loading[tm.name] != nil {
				b.loads = append(b.loads, tm.name)
			}
			continue
		}
		if tm.task.gone || b.faulty[tm.task] != nil {
			continue
		}
		sd := tm.task.side[tm.node]
		if sd == nil {
			continue
		}
		switch tm.kind {
		case timerTick:
			s.tick(b, tm, sd)
		case timerLaunch:
			if sd.launch == launchLater {
				sd.launch = launchQueued
				b.launches = append(b.launches, order{tm.task, tm.node, sd.attempt})
			}
		case timerCancel:
			if sd.cancel == cancelLater {
				sd.cancel = cancelNone
				s.review(b, tm.task, tm.node)
			}
		}
	}
}

func (s *shard) tick(b *batch, tm timer, sd *side) {
	if sd.timer != tm.at {
		return // a timer that an earlier one replaced
	}
	sd.timer = 0
	d, err := s.apply(b, tm.task, dag.Tick{At: b.now, Node: tm.node})
	if err != nil && b.faulty[tm.task] == nil {
		s.e.log.Error("cannot apply a timer", "task", tm.task.name, "node", tm.node, "error", err)
	}
	if tm.node < 0 && err == nil {
		s.review(b, tm.task, -1)
	}
	b.touched = append(b.touched, tm.task)
	if err == nil && d.Empty() {
		for _, f := range tm.task.run.EffectsOf(tm.node) {
			if f.Kind == dag.EffectTimer && f.At <= b.now {
				sd = tm.task.at(tm.node)
				sd.timer = b.now + unconsumed
				s.timers.push(timer{at: sd.timer, kind: timerTick, node: tm.node, task: tm.task})
				return
			}
		}
	}
}
