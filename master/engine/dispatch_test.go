package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deck is a dispatcher with items by name, for tests.
type deck struct {
	d     *dispatcher
	shard *shard
	tasks map[string]*task
	items map[string]*item
	keys  map[*item]groupKey
}

func newDeck(s Slots) *deck {
	k := &deck{d: newDispatcher(s), shard: &shard{wake: make(chan struct{}, 1)}, tasks: map[string]*task{}, items: map[string]*item{}, keys: map[*item]groupKey{}}
	k.d.start()
	return k
}

func (k *deck) add(name, task, executor, platform string, prio int32) *item {
	t := k.tasks[task]
	if t == nil {
		t = &activeRun{name: task, lane: k.d.newLane(k.shard, task)}
		k.tasks[task] = t
	}
	it := &item{task: t, prio: prio}
	k.items[name], k.keys[it] = it, groupKey{executor, platform}
	k.d.add([]*item{it}, func(it *item) groupKey { return k.keys[it] }, k.shard)
	return it
}

// granted lists what was granted since it was last asked.
func (k *deck) granted() (names []string) {
	for _, it := range k.shard.takeGrants() {
		for name, o := range k.items {
			if o == it {
				names = append(names, name)
			}
		}
	}
	return names
}

func (k *deck) drop(name string) { k.d.drop(k.items[name], k.shard) }

func TestDispatcherLimits(t *testing.T) {
	for _, tc := range []struct {
		name  string
		slots Slots
		// Items are "name task executor platform prio"; those that must be granted at once, and what each drop grants.
		items []string
		first []string
		drops [][2]string
	}{{
		name: "no limits", items: []string{"a t e p 0", "b t e p 0"}, first: []string{"a", "b"},
	}, {
		name: "global, by priority and then age", slots: Slots{Global: 1},
		items: []string{"a t e p 0", "b t e p 0", "c u e p 5", "d u f q 5"}, first: []string{"a"},
		drops: [][2]string{{"a", "c"}, {"c", "d"}, {"d", "b"}, {"b", ""}},
	}, {
		name: "per executor", slots: Slots{Executor: map[string]int{"e": 1}},
		items: []string{"a t e p 0", "b t e p 0", "c t f p 0"}, first: []string{"a", "c"},
		drops: [][2]string{{"c", ""}, {"a", "b"}},
	}, {
		name: "per platform", slots: Slots{Platform: map[string]int{"p": 1}},
		items: []string{"a t e p 0", "b t e p 9", "c t e q 0"}, first: []string{"a", "c"},
		drops: [][2]string{{"a", "b"}},
	}, {
		name: "per task", slots: Slots{Task: 1, Global: 2},
		items: []string{"a t e p 0", "b t e p 9", "c u e p 0", "d v e p 1"}, first: []string{"a", "c"},
		drops: [][2]string{{"c", "d"}, {"a", "b"}},
	}, {
		name: "a queued item that is dropped", slots: Slots{Global: 1},
		items: []string{"a t e p 0", "b t e p 9", "c t e p 0"}, first: []string{"a"},
		drops: [][2]string{{"b", ""}, {"a", "c"}, {"c", ""}},
	}, {
		name: "one slot frees two limits", slots: Slots{Executor: map[string]int{"e": 1}, Platform: map[string]int{"p": 1}},
		items: []string{"a t e p 0", "b t f p 0", "c t e q 0"}, first: []string{"a"},
		drops: [][2]string{{"a", "b c"}},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			k := newDeck(tc.slots)
			for _, line := range tc.items {
				var name, task, executor, platform string
				var prio int32
				if _, err := fmt.Sscan(line, &name, &task, &executor, &platform, &prio); err != nil {
					t.Fatal(err)
				}
				k.add(name, task, executor, platform, prio)
			}
			if diff := cmp.Diff(tc.first, k.granted()); diff != "" {
				t.Fatalf("granted at once (-want +got):\n%s", diff)
			}
			for _, drop := range tc.drops {
				k.drop(drop[0])
				got := fmt.Sprint(k.granted())
				if want := "[" + drop[1] + "]"; got != want {
					t.Fatalf("dropping %s granted %s, want %s", drop[0], got, want)
				}
			}
		})
	}
}

// TestDispatcherRandom compares the dispatcher with the rule that it must keep: no limit is exceeded, and nothing waits
// that could go.
func TestDispatcherRandom(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		slots := Slots{
			Global: r.IntN(6), Task: r.IntN(4), Executor: map[string]int{"e": r.IntN(4), "f": r.IntN(4)}, Platform: map[string]int{"p": r.IntN(3)},
		}
		k := newDeck(slots)
		var queued, holding []*item
		for n := range 300 {
			if all := append(slices.Clone(queued), holding...); r.IntN(2) == 0 && len(all) > 0 {
				it := all[r.IntN(len(all))]
				k.d.drop(it, k.shard)
				queued = slices.DeleteFunc(queued, func(o *item) bool { return o == it })
				holding = slices.DeleteFunc(holding, func(o *item) bool { return o == it })
			} else {
				queued = append(queued, k.add(fmt.Sprint(n), fmt.Sprint("t", r.IntN(3)), []string{"e", "f"}[r.IntN(2)], []string{"p", "q"}[r.IntN(2)], int32(r.IntN(3))))
			}
			for _, it := range k.shard.takeGrants() {
				queued = slices.DeleteFunc(queued, func(o *item) bool { return o == it })
				holding = append(holding, it)
			}
			check(t, k, slots, queued, holding)
		}
	}
}

func check(t *testing.T, k *deck, slots Slots, queued, holding []*item) {
	t.Helper()
	used := map[string]int{}
	names := func(it *item) map[string]int {
		key := k.keys[it]
		return map[string]int{
			"": slots.Global, "task " + it.task.name: slots.Task, "executor " + key.executor: slots.Executor[key.executor],
			"platform " + key.platform: slots.Platform[key.platform],
		}
	}
	for _, it := range holding {
		for name, limit := range names(it) {
			if used[name]++; limit > 0 && used[name] > limit {
				t.Fatalf("limit %q of %d is exceeded", name, limit)
			}
		}
	}
	for _, it := range queued {
		full := false
		for name, limit := range names(it) {
			full = full || limit > 0 && used[name] >= limit
		}
		if !full {
			t.Fatalf("an item of %s waits though every limit has room", it.task.name)
		}
	}
}

func TestDispatcherBeforeStart(t *testing.T) {
	k := newDeck(Slots{Global: 2})
	k.d = newDispatcher(Slots{Global: 2})
	k.add("low", "t", "e", "p", 0)
	k.add("gone", "u", "e", "p", 9)
	k.add("mid", "v", "e", "p", 1)
	k.add("high", "t", "e", "p", 5)
	k.drop("gone")
	held := &item{task: k.tasks["t"]}
	k.d.hold(held, groupKey{"e", "p"})
	if got := k.granted(); len(got) > 0 {
		t.Fatalf("granted %v before the start", got)
	}
	k.d.start()
	if diff := cmp.Diff([]string{"high"}, k.granted()); diff != "" {
		t.Fatalf("granted at the start (-want +got):\n%s", diff)
	}
	p, ok := k.d.place(k.items["low"], true)
	if want := (place{limit: "in all", max: 2, ahead: 1, queued: 2}); !ok || p != want {
		t.Fatalf("place is %+v %v, want %+v", p, ok, want)
	}
	k.d.drop(held, k.shard)
	if diff := cmp.Diff([]string{"mid"}, k.granted()); diff != "" {
		t.Fatalf("granted after a drop (-want +got):\n%s", diff)
	}
}

func BenchmarkDispatcher(b *testing.B) {
	k := newDeck(Slots{Global: 100, Executor: map[string]int{"e": 50}})
	key := func(*item) groupKey { return groupKey{"e", "p"} }
	t := &activeRun{name: "t", lane: k.d.newLane(k.shard, "t")}
	var held []*item
	for range 100_000 {
		k.d.add([]*item{{task: t}}, key, k.shard)
	}
	held = k.shard.takeGrants()
	b.ResetTimer()
	for range b.N {
		k.d.drop(held[0], k.shard)
		held = append(held[1:], k.shard.takeGrants()...)
		k.d.add([]*item{{task: t}}, key, k.shard)
	}
}
