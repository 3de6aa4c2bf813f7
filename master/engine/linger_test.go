package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/clic-orchestrator/clic/dag"
)

// That stages run now is written once for all, soon after, or with the first end of one, and who asks sees it at once.
func TestLinger(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, nil, func(r *rig) {
		t := r.t
		commits := func() uint64 { return r.engine.Stats().Commits }
		task := r.submit(graph("a", "b", "c: a"))
		r.settle()
		submitted := commits()
		<-time.After(lingering - time.Millisecond)
		synctest.Wait()
		if n := commits(); n != submitted {
			t.Errorf("%d commits too early", n-submitted)
		}
		r.rest()
		if n := commits(); n != submitted+1 {
			t.Errorf("%d commits for two stages that run, want one", n-submitted)
		}
		a, b := r.id(task, "a"), r.id(task, "b")
		// c is launched at once. That it runs waits, until somebody asks.
		began := time.Now()
		w.finish(a, 0)
		r.settle()
		if n := commits(); n != submitted+2 {
			t.Errorf("%d commits for the end of one", n-submitted-1)
		}
		r.expect(task, "a=COMPLETED b=RUNNING c=RUNNING")
		if n := commits(); n != submitted+3 {
			t.Errorf("%d commits for the start of the next", n-submitted-2)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("it took %v", waited)
		}
		w.finish(b, 0)
		r.settle()
		if n := commits(); n != submitted+4 {
			t.Errorf("%d commits for an end", n-submitted-3)
		}
	})
}

// The end of a task that nobody watches is written with the next thing that has to be, or soon after; not so where somebody waits for it.
func TestLingerAtEnd(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Shards, c.Slots.Executor = 1, map[string]int{"local": 3} }, func(r *rig) {
		t := r.t
		commits := func() uint64 { return r.engine.Stats().Commits }
		var ends []string
		for range 3 {
			ends = append(ends, r.id(r.submit(graph("a")), "a"))
		}
		r.rest()
		before := commits()
		w.finish(ends[0], 0)
		w.finish(ends[1], 0)
		r.settle()
		if n := commits(); n != before {
			t.Errorf("%d commits for ends from which nothing follows, too early", n-before)
		}
		r.rest()
		if n := commits(); n != before+1 {
			t.Errorf("%d commits for two ends, want one", n-before)
		}
		// Somebody waits for the place of the third.
		for range 3 {
			r.submit(graph("a", "b: a"))
		}
		r.rest()
		before = commits()
		w.finish(ends[2], 0)
		r.settle()
		if n := commits(); n == before {
			t.Error("a place that somebody waits for is given away late")
		}
	})
}

// What tasks of several shards have is written together.
func TestLingerTogether(t *testing.T) {
	w := newWorld(held)
	inBubble(t, w, func(c *Config) { c.Shards = 4 }, func(r *rig) {
		t := r.t
		commits := func() uint64 { return r.engine.Stats().Commits }
		var tasks, stages []string
		shards := map[*shard]bool{}
		for range 16 {
			task := r.submit(graph("a"))
			shards[r.engine.shardOf(task)] = true
			tasks, stages = append(tasks, task), append(stages, r.id(task, "a"))
		}
		if len(shards) < 2 {
			t.Fatal("all tasks are of one shard")
		}
		r.rest()
		before := commits()
		for _, stage := range stages {
			w.finish(stage, 0)
		}
		r.rest()
		if n := commits(); n != before+1 {
			t.Errorf("%d commits for the ends of %d tasks of %d shards, want one", n-before, len(stages), len(shards))
		}
		for _, task := range tasks {
			r.expectTask(task, dag.TaskCompleted)
		}
	})
}
