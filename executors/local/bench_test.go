package local_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// ends starts an executor whose attempts' ends come over a channel.
func ends(b *testing.B) (executors.Executor, <-chan executors.Sighting) {
	b.Helper()
	dir := b.TempDir()
	checkNursery(b, config(dir).DataDir)
	e := open(b, config(dir))
	seen := make(chan executors.Sighting)
	err := e.Start(b.Context(), func(ctx context.Context, s executors.Sighting) error {
		if s.Phase == dag.AttemptRunning {
			return nil
		}
		select {
		case seen <- s:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return e, seen
}

func launchTrue(b *testing.B, e executors.Executor, id string) {
	b.Helper()
	spec := &dag.StageSpec{StageID: id, Template: "true", Command: []string{"true"}}
	if err := e.Launch(b.Context(), executors.Attempt{ID: id, Task: "bench", Stage: id, Spec: spec}); err != nil {
		b.Error(err)
	}
}

// xargs is how long the same number of processes takes with xargs, two at a time.
func xargs(b *testing.B, n int) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "xargs", "-P2", "-n1", "true")
	cmd.Stdin = strings.NewReader(strings.Repeat("x\n", n))
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkLaunch is a fan-out: as many attempts as there are, two waiting to be launched at any time. The ratio compares
// it to xargs -P2 starting the same processes.
func BenchmarkLaunch(b *testing.B) {
	e, seen := ends(b)
	const width = 8
	b.ResetTimer()
	slots := make(chan struct{}, width)
	go func() {
		for i := range b.N {
			slots <- struct{}{}
			go launchTrue(b, e, fmt.Sprintf("fan-%d-%d", b.N, i))
		}
	}()
	for range b.N {
		if s := <-seen; s.Phase != dag.AttemptSucceeded {
			b.Errorf("%+v", s)
		}
		<-slots
	}
	b.StopTimer()
	took := b.Elapsed()
	b.ReportMetric(float64(b.N)/took.Seconds(), "attempts/s")
	b.ReportMetric(took.Seconds()/xargs(b, b.N).Seconds(), "x-xargs")
}

// BenchmarkChain launches the next attempt when the one before has ended.
func BenchmarkChain(b *testing.B) {
	e, seen := ends(b)
	b.ResetTimer()
	for i := range b.N {
		launchTrue(b, e, fmt.Sprintf("chain-%d-%d", b.N, i))
		if s := <-seen; s.Phase != dag.AttemptSucceeded {
			b.Errorf("%+v", s)
		}
	}
}
