package engine

import (
	"maps"
	"slices"
	"sync"

	"github.com/clic-orchestrator/clic/dag/plan"
)

// suffixLength is the length of the random end of a task's name.
const suffixLength = 8

func suffixOf(task string) string { return task[max(0, len(task)-suffixLength):] }

// registry says which tasks are active, for those who are not their shard.
type registry struct {
	mu       sync.RWMutex
	byName   map[string]*activeTask
	bySuffix map[string]*activeTask
	stages   int
}

type activeTask struct {
	name   string
	shard  *shard
	stages int
}

func (r *registry) add(name string, s *shard, stages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName, r.bySuffix = map[string]*activeTask{}, map[string]*activeTask{}
	}
	if old := r.byName[name]; old != nil {
		r.stages -= old.stages
	}
	a := &activeTask{name: name, shard: s, stages: stages}
	r.byName[name], r.bySuffix[suffixOf(name)] = a, a
	r.stages += stages
}

func (r *registry) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.byName[name]
	if a == nil {
		return
	}
	delete(r.byName, name)
	if s := suffixOf(name); r.bySuffix[s] == a {
		delete(r.bySuffix, s)
	}
	r.stages -= a.stages
}

func (r *registry) get(name string) *activeTask {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

// ofStage gives the active tasks that a stage id may belong to, likeliest first.
func (r *registry) ofStage(stage string) (first *activeTask, others []*activeTask) {
	candidates := plan.SplitSuffix(stage)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, c := range candidates {
		switch a := r.bySuffix[c]; {
		case a == nil || a == first:
		case first == nil:
			first = a
		default:
			others = append(others, a)
		}
	}
	return first, others
}

// all lists what is active, in no order.
func (r *registry) all() []*activeTask {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.byName))
}

func (r *registry) size() (tasks, stages int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byName), r.stages
}

// attemptIndex finds the stage that an attempt belongs to.
type attemptIndex struct {
	mu   sync.RWMutex
	byID map[string]attemptRef
}

type attemptRef struct {
	shard   *shard
	task    string
	node    int32
	attempt int32
}

func (x *attemptIndex) put(id string, r attemptRef) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil {
		x.byID = map[string]attemptRef{}
	}
	x.byID[id] = r
}

func (x *attemptIndex) remove(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, id)
}

func (x *attemptIndex) get(id string) (attemptRef, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.byID[id]
	return r, ok
}

// topics tell watchers that a task has news.
type topics struct {
	mu    sync.Mutex
	named map[string]*topic
}

// topic is what the watchers of one task share. It exists while there are any.
type topic struct {
	watchers int
	news     chan struct{} // closed by the next news, and replaced
}

// join begins to watch. What is published after it returned is not missed by who waits for next's channel.
func (ts *topics) join(task string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.named == nil {
		ts.named = map[string]*topic{}
	}
	t := ts.named[task]
	if t == nil {
		t = &topic{news: make(chan struct{})}
		ts.named[task] = t
	}
	t.watchers++
}

func (ts *topics) leave(task string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.named[task]; t != nil {
		if t.watchers--; t.watchers == 0 {
			delete(ts.named, task)
		}
	}
}

// watched reports whether anybody watches a task.
func (ts *topics) watched(task string) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.named[task] != nil
}

// next gives the channel that the next news close. Only between join and leave.
func (ts *topics) next(task string) <-chan struct{} {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.named[task].news
}

func (ts *topics) publish(task string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.named[task]; t != nil {
		close(t.news)
		t.news = make(chan struct{})
	}
}

func (ts *topics) wakeAll() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.named {
		close(t.news)
		t.news = make(chan struct{})
	}
}
