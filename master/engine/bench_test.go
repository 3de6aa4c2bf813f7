package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// instant is an executor for benchmarks. Once gate is closed its attempts end as soon as they are launched; without a
// gate they never end by themselves.
type instant struct {
	gate chan struct{}
	sink executors.Sink
}

func (x *instant) Start(_ context.Context, sink executors.Sink) error { x.sink = sink; return nil }

func (x *instant) Launch(ctx context.Context, a executors.Attempt) error {
	if x.gate == nil {
		return nil
	}
	select {
	case <-x.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	return x.sink(ctx, executors.Sighting{AttemptID: a.ID, Phase: dag.AttemptSucceeded})
}

func (x *instant) Cancel(context.Context, string, time.Duration) error        { return nil }
func (x *instant) Recover(context.Context, uint64, []executors.Attempt) error { return nil }
func (x *instant) Forget(context.Context, []string) error                     { return nil }
func (x *instant) Stop(context.Context) error                                 { return nil }
func (x *instant) Logs(context.Context, string, executors.LogOptions) (io.ReadCloser, error) {
	return nil, executors.ErrNoLogs
}

func benchEngine(b *testing.B, x executors.Executor) *Engine {
	b.Helper()
	s, err := bolt.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	e, err := New(Config{Store: s, Executors: map[string]executors.Executor{"local": x}})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// layers is a plan of the CLIC form: width chains of that depth.
func layers(width, depth int) string {
	var b strings.Builder
	lines := make([]string, 0, width*depth)
	for d := range depth {
		for w := range width {
			if d == 0 {
				lines = append(lines, fmt.Sprintf("s%d-%d", d, w))
			} else {
				lines = append(lines, fmt.Sprintf("s%d-%d: s%d-%d", d, w, d-1, w))
			}
		}
	}
	b.WriteString(clic(lines...))
	return b.String()
}

// BenchmarkEngineEvents reports callbacks of stages from many goroutines, each waiting until its report is durable.
func BenchmarkEngineEvents(b *testing.B) {
	const tasks, width, reporters = 8, 2500, 2048
	e := benchEngine(b, &instant{})
	ctx := context.Background()
	var took time.Duration
	var commits uint64
	for range b.N {
		b.StopTimer()
		var ids []string
		for range tasks {
			a, err := e.Submit(ctx, Submission{YAML: []byte(layers(width, 1))})
			if err != nil {
				b.Fatal(err)
			}
			page, err := e.Stages(ctx, StageQuery{Task: a.Task, Limit: width})
			if err != nil {
				b.Fatal(err)
			}
			for _, s := range page.Stages {
				ids = append(ids, s.ID)
			}
		}
		before := e.Stats()
		b.StartTimer()
		began := time.Now()
		var next atomic.Int64
		var wg sync.WaitGroup
		for range reporters {
			wg.Go(func() {
				for {
					k := int(next.Add(1)) - 1
					if k >= 3*len(ids) {
						return
					}
					what := []dag.What{dag.ReportStarted, dag.ReportPrepared, dag.ReportCompleted}[k/len(ids)]
					if _, _, err := e.Report(ctx, StageReport{StageID: ids[k%len(ids)], Attempt: 0, What: what}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		took += time.Since(began)
		commits += e.Stats().Commits - before.Commits
	}
	events := float64(b.N * 3 * tasks * width)
	b.ReportMetric(events/took.Seconds(), "events/s")
	b.ReportMetric(events/float64(commits), "events/commit")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPlan100k runs a plan of 100,000 stages with an executor that finishes at once.
func BenchmarkPlan100k(b *testing.B) {
	const width, depth = 1000, 100
	yaml := []byte(layers(width, depth))
	var submit, run time.Duration
	var heap, written float64
	for range b.N {
		b.StopTimer()
		x := &instant{gate: make(chan struct{})}
		e := benchEngine(b, x)
		ctx := context.Background()
		baseline, disk := heapInUse(), writtenBytes()
		b.StartTimer()
		began := time.Now()
		a, err := e.Submit(ctx, Submission{YAML: yaml})
		if err != nil {
			b.Fatal(err)
		}
		submit += time.Since(began)
		b.StopTimer()
		heap += heapInUse() - baseline
		b.StartTimer()
		began = time.Now()
		close(x.gate)
		var page *EventPage
		for cursor := uint64(0); page == nil || !page.Done; cursor = page.Cursor {
			if page, err = e.Watch(ctx, a.Task, cursor, 10_000); err != nil {
				b.Fatal(err)
			}
		}
		run += time.Since(began)
		if page.Status != dag.TaskCompleted {
			b.Fatalf("the task is %s", page.Status)
		}
		written += writtenBytes() - disk
	}
	n := float64(b.N * width * depth)
	b.ReportMetric(submit.Seconds()/float64(b.N), "submit-s")
	b.ReportMetric(run.Seconds()/float64(b.N), "run-s")
	b.ReportMetric(n/(submit+run).Seconds(), "stages/s")
	b.ReportMetric(heap/n, "heap-B/stage")
	b.ReportMetric(written/n, "written-B/stage")
	b.ReportMetric(0, "ns/op")
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// writtenBytes is what this process has handed to the disk, 0 where the system does not say.
func writtenBytes() float64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var n float64
		if _, err := fmt.Sscanf(line, "write_bytes: %f", &n); err == nil {
			return n
		}
	}
	return 0
}
