package redis

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// benchTasks makes tasks as large as the usual ones.
func benchTasks(b *testing.B, s *Store, epoch uint64, tasks, nodes int) []string {
	b.Helper()
	names := make([]string, tasks)
	for t := range tasks {
		names[t] = fmt.Sprintf("bench-%08d", t)
		c := store.Change{
			Create: true, Task: names[t], Source: []byte("plan"),
			Header: &store.Header{Task: names[t], Plan: "bench", Status: dag.TaskRunning, Submitted: 1, Body: bytes.Repeat([]byte("h"), 600)},
		}
		for i := range nodes {
			c.Nodes = append(c.Nodes, store.NodeRecord{
				Index: int32(i), Stage: fmt.Sprint(i), Spec: bytes.Repeat([]byte("p"), 250), State: bytes.Repeat([]byte("w"), 40), Status: "WAITING",
			})
		}
		if err := s.Commit(b.Context(), epoch, []store.Change{c}); err != nil {
			b.Fatal(err)
		}
	}
	return names
}

// event is what one callback changes.
func event(task string, node int, base, seq uint64) store.Change {
	return store.Change{
		Task: task, Base: base,
		Nodes: []store.NodeRecord{{Index: int32(node), State: bytes.Repeat([]byte("s"), 200), Status: "RUNNING"}},
		Log:   []store.LogEntry{{Seq: seq, Body: bytes.Repeat([]byte("e"), 80)}},
	}
}

// BenchmarkEvents compares commits of single events, of several writers that each have a task and wait for each answer, with the
// client's own pipelines of the same calls.
func BenchmarkEvents(b *testing.B) {
	const nodes = 100
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("commit/writers=%d", writers), func(b *testing.B) {
			s, epoch := benchStore(b)
			tasks := benchTasks(b, s, epoch, writers, nodes)
			b.ReportAllocs()
			b.ResetTimer()
			var work sync.WaitGroup
			for w := range writers {
				work.Go(func() {
					for n := uint64(0); n < uint64(b.N/writers); n++ {
						c := event(tasks[w], int(n)%nodes, n+1, n+1)
						if err := s.Commit(b.Context(), epoch, []store.Change{c}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			work.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
		b.Run(fmt.Sprintf("pipeline/depth=%d", writers), func(b *testing.B) {
			s, epoch := benchStore(b)
			tasks := benchTasks(b, s, epoch, writers, nodes)
			var calls []*call
			for n := uint64(0); n < uint64(b.N); n++ {
				k := n / uint64(writers)
				c := event(tasks[n%uint64(writers)], int(k)%nodes, k+1, k+1)
				o, err := s.prepareOne(epoch, &c)
				if err != nil {
					b.Fatal(err)
				}
				o.call.args[o.call.fence] = s.firstToken
				calls = append(calls, o.call)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for from := 0; from < len(calls); from += writers {
				pipe := s.writer.Pipeline()
				for _, c := range calls[from:min(from+writers, len(calls))] {
					pipe.Do(b.Context(), c.args...)
				}
				if _, err := pipe.Exec(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func benchStore(b *testing.B) (*Store, uint64) {
	b.Helper()
	server := redistest.Single(b, redistest.AppendOnly("everysec"))
	s, err := Open(b.Context(), Options{URL: server.URL()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	epoch, err := s.Lead(b.Context(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	return s, epoch
}
