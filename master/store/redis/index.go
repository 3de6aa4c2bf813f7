package redis

import (
	"maps"
	"slices"
	"strconv"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// The indexes are made of headers, and have more than they should at times, but never less: an entry is made before the header
// that it belongs to is written, and removed after no header has it any more. Whoever reads an index compares what is found there with
// the header. What is left over where a leader died in between does no harm, and goes with RebuildIndex.

// entry is a member of an index.
type entry struct {
	key, member string
	// kind says what the key holds.
	kind entryKind
	// score is for sorted sets; all but that of expiry are 0, so that their order is that of the members.
	score int64
}

type entryKind uint8

const (
	inSet  entryKind = iota // a member of a sorted set
	inText                  // the text of the key
	inHash                  // a field of a hash; the score is its value
	inBits                  // a bit; the score is its place
)

// place is what two entries have in common that exclude each other.
type place struct{ key, member string }

func (e entry) place() place { return place{e.key, e.member} }

// heading is what the indexes are made of, of one header.
type heading struct {
	task, plan, request string
	status              dag.TaskStatus
	submitted, expires  dag.Time
	labels              map[string]string
	// sum tells headings apart.
	sum uint64
}

func headingOf(h *store.Header) *heading {
	return &heading{
		task: h.Task, plan: h.Plan, request: h.Request, status: h.Status, submitted: h.Submitted, expires: h.Expires,
		labels: maps.Clone(h.Labels),
	}
}

// oldHeading reads what a script answers of the header that it replaced: plan, status, submitted, expires, labels, request.
func oldHeading(task string, v []any) (*heading, bool) {
	var text [6]string
	for i := range min(len(v), len(text)) {
		text[i], _ = v[i].(string)
	}
	h := &heading{task: task, plan: text[0], request: text[5]}
	status, ok := statusOf(text[1])
	h.status = status
	submitted, err1 := strconv.ParseInt(text[2], 10, 64)
	expires, err2 := strconv.ParseInt(text[3], 10, 64)
	labels, err3 := decodeLabels(text[4])
	h.submitted, h.expires, h.labels = dag.Time(submitted), dag.Time(expires), labels
	return h, ok && err1 == nil && err2 == nil && err3 == nil
}

// due says whether, and when, a task may be deleted.
func (h *heading) due() (dag.Time, bool) { return h.expires, h.expires > 0 && h.status.Terminal() }

// entries are all that belong to a heading.
func (k *keys) entries(h *heading) []entry {
	m := member(h.submitted, h.task)
	all := make([]entry, 0, 6+len(h.labels))
	all = append(all,
		entry{key: k.all(), member: m},
		entry{key: k.status(h.status), member: m},
		entry{key: k.suffix(), member: suffixOf(h.task) + ":" + h.task},
	)
	if h.plan != "" {
		all = append(all, entry{key: k.plan(h.plan), member: m})
	}
	for name, value := range h.labels {
		all = append(all, entry{key: k.label(name, value), member: m})
	}
	if at, ok := h.due(); ok {
		all = append(all, entry{key: k.expires(), member: h.task, score: int64(at)})
	}
	if h.request != "" {
		all = append(all, entry{key: k.request(h.request), member: h.task, kind: inText})
	}
	return all
}

// leftover says how many nodes may be left of a task that is being made or deleted in parts.
func (k *keys) leftover(task string, nodes int) entry {
	return entry{key: k.garbage(), member: task, kind: inHash, score: int64(nodes)}
}

// maxGroup is how many values one key has in a call of index.lua; Lua's unpack has a limit of some thousands.
const maxGroup = 2000

// indexCall makes a call that adds entries, or removes them.
func (s *Store) indexCall(entries []entry, add bool) *call {
	// Those of a key stand together; the order of the keys does not matter.
	slices.SortStableFunc(entries, func(a, b entry) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	var groups [][]entry
	size := len(s.keys.prefix) + 2*maxInt
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].key == entries[from].key && to-from < maxGroup && entries[from].kind != inText {
			to++
		}
		groups = append(groups, entries[from:to])
		size += len(entries[from].key) + 2*maxInt
		for _, e := range entries[from:to] {
			size += len(e.member) + maxInt
		}
		from = to
	}
	slot := s.keys.sharedSlot()
	b := newBuilder(&s.scripts.index, 1+len(groups), 1+2*len(groups)+2*len(entries), size)
	b.str(s.keys.fenceKey(slot))
	for _, g := range groups {
		b.str(g[0].key)
	}
	b.arguments()
	for _, g := range groups {
		b.group(g, add)
	}
	return b.call(&s.scripts.index, slot)
}

// Letters of index.lua.
var (
	letterAdd, letterRemove any = "a", "r"
	letterSet, letterUnset  any = "s", "d"
	letterPut, letterDrop   any = "h", "g"
	letterBits              any = "b"
)

func (b *builder) group(g []entry, add bool) {
	letter, pairs := letterRemove, false
	switch kind := g[0].kind; {
	case kind == inSet && add:
		letter, pairs = letterAdd, true
	case kind == inText && add:
		letter = letterSet
	case kind == inText:
		letter = letterUnset
	case kind == inHash && add:
		letter, pairs = letterPut, true
	case kind == inHash:
		letter = letterDrop
	case kind == inBits:
		letter = letterBits
	}
	b.fixed(letter)
	if pairs {
		b.int(int64(2 * len(g)))
	} else {
		b.int(int64(len(g)))
	}
	for _, e := range g {
		switch {
		case e.kind == inBits:
			b.int(e.score)
		case !pairs:
			b.str(e.member)
		case e.kind == inHash:
			b.str(e.member)
			b.int(e.score)
		default:
			b.int(e.score)
			b.str(e.member)
		}
	}
}

// indexer knows what is in the indexes already, and what is to be removed. The committer has it.
type indexer struct {
	// known has the sums of headings whose entries are all there; old is the larger half of it, from before it was cut.
	known, old map[string]uint64
	drops      map[place]entry
}

// maxKnown bounds what the indexer remembers; what it has forgotten is added to the indexes once more.
const maxKnown = 50_000

func (x *indexer) reset() {
	x.known, x.old, x.drops = map[string]uint64{}, nil, map[place]entry{}
}

func (x *indexer) has(h *heading) bool {
	sum, ok := x.known[h.task]
	if !ok {
		sum, ok = x.old[h.task]
	}
	return ok && sum == h.sum
}

func (x *indexer) learn(h *heading) {
	if len(x.known) >= maxKnown {
		x.known, x.old = map[string]uint64{}, x.known
	}
	x.known[h.task] = h.sum
}

func (x *indexer) forget(task string) {
	delete(x.known, task)
	delete(x.old, task)
}

// replaced notes that a header took the place of another. Either may be nil.
func (x *indexer) replaced(k *keys, old, now *heading) {
	kept := map[place]bool{}
	if now != nil {
		for _, e := range k.entries(now) {
			kept[e.place()] = true
			delete(x.drops, e.place())
		}
	}
	if old == nil {
		return
	}
	for _, e := range k.entries(old) {
		if !kept[e.place()] {
			x.drops[e.place()] = e
		}
	}
}

// take gives what is to be removed, and forgets it.
func (x *indexer) take() []entry {
	if len(x.drops) == 0 {
		return nil
	}
	all := slices.Collect(maps.Values(x.drops))
	clear(x.drops)
	return all
}
