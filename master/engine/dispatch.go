package engine

import (
	"container/heap"
	"fmt"
	"slices"
	"sync"
)

// dispatcher hands out slots: how many stages may be under way at once, in all, per executor, per platform and per task.
// Stages of all shards meet here, so it has a lock of its own; what it does is in proportion to what changed.
//
// A ready stage is an item. The items of one task that run on the same executor and platform have the same limits and
// form a group, of which only the first can be next. A group that cannot go on is parked at one limit that is full, and
// is looked at again when that limit has room. So at any time: a group is parked at a limit only if that limit is full.
type dispatcher struct {
	mu       sync.Mutex
	open     bool
	global   *limit
	executor map[string]*limit
	platform map[string]*limit
	perTask  int
	seq      uint64
	early    []*group // groups that came before open
}

// limit is one bound and who waits for it.
type limit struct {
	name   string
	max    int
	used   int
	parked groupHeap
}

// lane is what a task has in the dispatcher: its own limit and its groups.
type lane struct {
	owner  *shard
	limit  *limit
	groups map[groupKey]*group
}

type groupKey struct{ executor, platform string }

type group struct {
	key    groupKey
	limits []*limit // the task's first, so that a full task is parked where nobody else looks
	items  itemHeap
	at     *limit // where it is parked, or nil
	pos    int    // position in at.parked
	early  bool   // it is in the dispatcher's list of early groups
}

type itemState uint8

const (
	itemQueued itemState = iota
	itemHolding
	itemGone
)

// item is a stage that waits for a slot or has one.
type item struct {
	task  *task
	node  int32
	prio  int32
	seq   uint64
	group *group
	pos   int // position in group.items
	state itemState
}

func newDispatcher(s Slots) *dispatcher {
	d := &dispatcher{perTask: s.Task, executor: map[string]*limit{}, platform: map[string]*limit{}}
	if s.Global > 0 {
		d.global = &limit{name: "in all", max: s.Global}
	}
	for name, n := range s.Executor {
		if n > 0 {
			d.executor[name] = &limit{name: fmt.Sprintf("on executor %q", name), max: n}
		}
	}
	for name, n := range s.Platform {
		if n > 0 {
			d.platform[name] = &limit{name: fmt.Sprintf("of platform %q", name), max: n}
		}
	}
	return d
}

func (d *dispatcher) newLane(owner *shard, task string) *lane {
	l := &lane{owner: owner, groups: map[groupKey]*group{}}
	if d.perTask > 0 {
		l.limit = &limit{name: fmt.Sprintf("of task %q", task), max: d.perTask}
	}
	return l
}

// group gives the group of a key. The lock is held.
func (d *dispatcher) group(l *lane, key groupKey) *group {
	g := l.groups[key]
	if g != nil {
		return g
	}
	g = &group{key: key}
	for _, lim := range []*limit{l.limit, d.platform[key.platform], d.executor[key.executor], d.global} {
		if lim != nil {
			g.limits = append(g.limits, lim)
		}
	}
	l.groups[key] = g
	return g
}

// add queues items. What can go at once is granted to its shard; by is the shard that calls, which needs no signal.
func (d *dispatcher) add(items []*item, key func(*item) groupKey, by *shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, it := range items {
		d.seq++
		it.seq = d.seq
		g := d.group(it.task.lane, key(it))
		it.group = g
		heap.Push(&g.items, it)
		switch {
		case !d.open:
			if !g.early {
				g.early = true
				d.early = append(d.early, g)
			}
		case g.at != nil:
			heap.Fix(&g.at.parked, g.pos)
		default:
			d.run(g, by)
		}
	}
}

// hold takes a slot without asking: for stages that were launched before a restart. The limit may be exceeded by it.
func (d *dispatcher) hold(it *item, key groupKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	it.group = d.group(it.task.lane, key)
	it.state = itemHolding
	for _, l := range it.group.limits {
		l.used++
	}
}

// start lets the stages go that came so far.
func (d *dispatcher) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = true
	var early groupHeap
	for _, g := range d.early {
		if len(g.items) > 0 {
			heap.Push(&early, g)
		}
	}
	d.early = nil
	for len(early) > 0 {
		g := heap.Pop(&early).(*group)
		if full := g.full(); full != nil {
			full.park(g)
			continue
		}
		d.grant(g, nil)
		if len(g.items) > 0 {
			heap.Push(&early, g)
		}
	}
}

// drop takes an item out, wherever it is: what it held goes to the next.
func (d *dispatcher) drop(it *item, by *shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := it.group
	switch it.state {
	case itemQueued:
		it.state = itemGone
		if g.at != nil && len(g.items) == 1 {
			g.unpark()
		}
		heap.Remove(&g.items, it.pos)
		if g.at != nil {
			heap.Fix(&g.at.parked, g.pos)
		}
	case itemHolding:
		it.state = itemGone
		for _, l := range g.limits {
			l.used--
		}
		if d.open {
			d.pump(g.limits, by)
		}
	}
}

// wanted reports whether anybody waits for a limit that an item counts for.
func (d *dispatcher) wanted(it *item) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return it.state != itemHolding || slices.ContainsFunc(it.group.limits, func(l *limit) bool { return len(l.parked) > 0 })
}

// run grants to a group that is not parked for as long as it can go on, and parks it.
func (d *dispatcher) run(g *group, by *shard) {
	for len(g.items) > 0 {
		if full := g.full(); full != nil {
			full.park(g)
			return
		}
		d.grant(g, by)
	}
}

// pump goes on with who waits for limits that may have room now, the most urgent first.
func (d *dispatcher) pump(limits []*limit, by *shard) {
	for {
		var best *group
		for _, l := range limits {
			if l.used < l.max && len(l.parked) > 0 {
				if g := l.parked[0]; best == nil || g.before(best) {
					best = g
				}
			}
		}
		if best == nil {
			return
		}
		at := best.at
		best.unpark()
		if full := best.full(); full != nil {
			full.park(best)
			continue
		}
		d.grant(best, by)
		switch {
		case len(best.items) == 0:
		case best.full() != nil:
			best.full().park(best)
		default:
			at.park(best) // for the moment: at has room, so the loop comes back to it
		}
	}
}

// grant gives the group's first item its slot and tells the item's shard.
func (d *dispatcher) grant(g *group, by *shard) {
	it := heap.Pop(&g.items).(*item)
	it.state = itemHolding
	for _, l := range g.limits {
		l.used++
	}
	owner := it.task.lane.owner
	owner.granted(it, owner != by)
}

// full gives a limit that keeps the group from going on, or nil.
func (g *group) full() *limit {
	for _, l := range g.limits {
		if l.used >= l.max {
			return l
		}
	}
	return nil
}

func (g *group) before(o *group) bool { return g.items[0].before(o.items[0]) }

func (l *limit) park(g *group) {
	g.at = l
	heap.Push(&l.parked, g)
}

func (g *group) unpark() {
	heap.Remove(&g.at.parked, g.pos)
	g.at = nil
}

// before orders items: the higher priority first, then who came first.
func (it *item) before(o *item) bool {
	if it.prio != o.prio {
		return it.prio > o.prio
	}
	return it.seq < o.seq
}

// place says what an item waits for: the limit's name, its bound, how many items are before it and how many wait there
// in all. full is nil where nothing keeps it. With count unset only the limit is looked up.
type place struct {
	limit         string
	max           int
	ahead, queued int
}

func (d *dispatcher) place(it *item, count bool) (place, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if it.state != itemQueued || it.group.at == nil {
		return place{}, false
	}
	at := it.group.at
	p := place{limit: at.name, max: at.max}
	for _, g := range at.parked {
		p.queued += len(g.items)
		if !count {
			continue
		}
		for _, o := range g.items {
			if o != it && o.before(it) {
				p.ahead++
			}
		}
	}
	return p, true
}

type itemHeap []*item

func (h itemHeap) Len() int           { return len(h) }
func (h itemHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h itemHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// Push and Pop are heap.Interface's.
func (h *itemHeap) Push(x any) {
	it := x.(*item)
	it.pos = len(*h)
	*h = append(*h, it)
}

func (h *itemHeap) Pop() any {
	s := *h
	it := s[len(s)-1]
	s[len(s)-1] = nil
	*h = s[:len(s)-1]
	return it
}

type groupHeap []*group

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h groupHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// Push and Pop are heap.Interface's.
func (h *groupHeap) Push(x any) {
	g := x.(*group)
	g.pos = len(*h)
	*h = append(*h, g)
}

func (h *groupHeap) Pop() any {
	s := *h
	g := s[len(s)-1]
	s[len(s)-1] = nil
	*h = s[:len(s)-1]
	return g
}
