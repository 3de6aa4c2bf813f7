package storetest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// stateSize is about what the encoded state of a node has in bytes.
const stateSize = 200

// Benchmark measures what an engine asks of a store: durable commits of state updates, in batches of several sizes, of
// neighbouring nodes and of nodes all over a task of 100,000; the same from several goroutines; creating, loading and
// deleting large tasks; listing many. Beside the usual figures it gives commits/s, states/s and, where the backend can tell, the bytes
// that were written to disk for each state.
func Benchmark(b *testing.B, backend Backend) {
	for _, nodes := range []int{1000, 100_000} {
		for _, size := range []int{1, 100, 1000} {
			for _, c := range []struct {
				name   string
				stride int
			}{{"neighbours", 1}, {"scattered", 7919}} {
				b.Run(fmt.Sprintf("Commit/nodes=%d/batch=%d/%s", nodes, size, c.name), func(b *testing.B) {
					benchCommit(b, backend, nodes, size, c.stride)
				})
			}
		}
	}
	b.Run("CommitParallel/writers=8/batch=1", func(b *testing.B) { benchParallel(b, backend, 8) })
	b.Run("Create/nodes=10", func(b *testing.B) { benchCreate(b, backend, 10) })
	b.Run("Create/nodes=100000", func(b *testing.B) { benchCreate(b, backend, 100_000) })
	b.Run("Load/nodes=10000", func(b *testing.B) { benchLoad(b, backend, 10_000) })
	b.Run("Lifetime/nodes=100000", func(b *testing.B) { benchLifetime(b, backend, 100_000) })
	b.Run("List", func(b *testing.B) { benchList(b, backend, 100_000) })
}

// written starts to count bytes; the function that it gives reports them per unit.
func written(b *testing.B, backend Backend) func(units int, unit string) {
	b.Helper()
	if backend.Written == nil {
		return func(int, string) {}
	}
	before := backend.Written()
	return func(units int, unit string) {
		b.ReportMetric(float64(backend.Written()-before)/float64(units), "disk-B/"+unit)
	}
}

// bigTask makes the Create of a task with realistic sizes.
func bigTask(name string, nodes int) store.Change {
	c := creation(header(name, 1), nodes)
	c.Header.Body = bytes.Repeat([]byte("h"), 600)
	for i := range c.Nodes {
		c.Nodes[i].Spec = bytes.Repeat([]byte("p"), 250)
		c.Nodes[i].State = bytes.Repeat([]byte("w"), 40)
	}
	return c
}

// updates makes a change of size nodes: their states, the task's header and an entry of history for each.
func updates(h *store.Header, nodes, size, stride int, next *int, seq *uint64) store.Change {
	c := store.Change{Task: h.Task, Header: h}
	for range size {
		*seq++
		c.Nodes = append(c.Nodes, store.NodeRecord{
			Index: int32(*next * stride % nodes),
			State: bytes.Repeat([]byte{byte('a' + *seq%26)}, stateSize),
		})
		c.Log = append(c.Log, store.LogEntry{Seq: *seq, Body: bytes.Repeat([]byte("e"), 80)})
		*next++
	}
	return c
}

func benchCommit(b *testing.B, backend Backend, nodes, size, stride int) {
	b.Helper()
	f := startAt(b, backend, backend.Place(b))
	task := bigTask(taskName("p", 0), nodes)
	f.commit(task)
	next, seq := 0, uint64(1)
	report := written(b, backend)
	for b.Loop() {
		b.StopTimer()
		c := updates(task.Header, nodes, size, stride, &next, &seq)
		b.StartTimer()
		f.commit(c)
	}
	rate(b, b.N, "commits/s")
	rate(b, b.N*size, "states/s")
	report(b.N*size, "state")
}

func rate(b *testing.B, n int, unit string) {
	b.Helper()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), unit)
}

func benchParallel(b *testing.B, backend Backend, writers int) {
	b.Helper()
	f := startAt(b, backend, backend.Place(b))
	var tasks []store.Change
	for i := range writers {
		tasks = append(tasks, bigTask(taskName("p", i), 100))
	}
	f.commit(tasks...)
	report := written(b, backend)
	b.ResetTimer()
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			next, seq := 0, uint64(1)
			for i := w; i < b.N; i += writers {
				c := updates(tasks[w].Header, 100, 1, 1, &next, &seq)
				if err := f.s.Commit(b.Context(), f.epoch, []store.Change{c}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	work.Wait()
	rate(b, b.N, "commits/s")
	report(b.N, "state")
}

func benchCreate(b *testing.B, backend Backend, nodes int) {
	b.Helper()
	f := startAt(b, backend, backend.Place(b))
	report := written(b, backend)
	n := 0
	for b.Loop() {
		b.StopTimer()
		c := bigTask(taskName("p", n), nodes)
		n++
		b.StartTimer()
		f.commit(c)
	}
	rate(b, n, "tasks/s")
	report(n*nodes, "node")
}

func benchLoad(b *testing.B, backend Backend, nodes int) {
	b.Helper()
	f := startAt(b, backend, backend.Place(b))
	task := bigTask(taskName("p", 0), nodes)
	f.commit(task)
	next, seq := 0, uint64(1)
	for range 2 * nodes / 100 {
		f.commit(updates(task.Header, nodes, 100, 1, &next, &seq))
	}
	for b.Loop() {
		if r := f.load(task.Task); len(r.Nodes) != nodes {
			b.Fatalf("%d nodes", len(r.Nodes))
		}
	}
}

// benchLifetime makes a task, completes all its nodes, and deletes it.
func benchLifetime(b *testing.B, backend Backend, nodes int) {
	b.Helper()
	f := startAt(b, backend, backend.Place(b))
	task := bigTask(taskName("p", 0), nodes)
	report := written(b, backend)
	for b.Loop() {
		f.commit(task)
		next, seq := 0, uint64(1)
		for range nodes / 1000 {
			f.commit(updates(task.Header, nodes, 1000, 1, &next, &seq))
		}
		f.commit(store.Change{Delete: true, Task: task.Task})
	}
	rate(b, b.N*nodes, "nodes/s")
	report(b.N*nodes, "node")
}

// benchList lists pages of 50 of many tasks: the newest, by plan, by a status that few have, by a label together with a plan.
func benchList(b *testing.B, backend Backend, count int) {
	b.Helper()
	f := startAt(b, backend, backend.Place(b))
	for from := 0; from < count; from += 1000 {
		var batch []store.Change
		for i := from; i < from+1000; i++ {
			h := header(taskName(fmt.Sprintf("plan%d", i%20), i), dag.Time(1+i))
			h.Labels = map[string]string{"team": fmt.Sprint(i % 7)}
			h.Body = bytes.Repeat([]byte("h"), 600)
			if i%1000 != 0 {
				h = ended(h, 1, 0)
			}
			batch = append(batch, creation(h, 1))
		}
		f.commit(batch...)
	}
	for _, c := range []struct {
		name string
		q    store.Query
	}{
		{"newest", store.Query{}},
		{"plan", store.Query{Plan: "plan3"}},
		{"status", store.Query{Statuses: []dag.TaskStatus{dag.TaskRunning}}},
		{"plan+label+status", store.Query{
			Plan: "plan3", Labels: map[string]string{"team": "4"}, Statuses: []dag.TaskStatus{dag.TaskCompleted, dag.TaskFailed},
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				page, err := f.s.List(b.Context(), c.q)
				if err != nil || len(page.Headers) != 50 {
					b.Fatalf("%d headers, %v", len(page.Headers), err)
				}
			}
		})
	}
}
