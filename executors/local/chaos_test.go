package local_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// The nursery is killed again and again while attempts are launched, run and end. Every attempt's end is reported all the
// same, none runs twice, none that is not lost has another end than its own, and nothing is left. Half of them print nothing, so
// that what they had goes to others.
func TestNurseryKilledAtRandom(t *testing.T) {
	const attempts, kills = 120, 12
	w := newWorld(t)
	random := rand.New(rand.NewPCG(1, 2))
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		for range kills {
			<-time.After(time.Duration(random.IntN(80)) * time.Millisecond)
			// It may just have ended, or the next one not have begun: then there is nothing to kill this time.
			if pid := findNursery(w.c.DataDir); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	slots := make(chan struct{}, 8)
	ends := map[string]executors.Sighting{}
	take := func(s executors.Sighting) {
		if s.Phase == dag.AttemptSucceeded || s.Phase == dag.AttemptFailed {
			if _, ok := ends[s.AttemptID]; !ok {
				<-slots
			}
			ends[s.AttemptID] = s
		}
	}
	for i := range attempts {
		for sent := false; !sent; {
			select {
			case slots <- struct{}{}:
				sent = true
			case s := <-w.seen:
				take(s)
			}
		}
		id := fmt.Sprintf("c%d", i)
		group.Go(func() {
			script := fmt.Sprintf(`echo ran >> "$S/%s"; sleep 0.0%d; [ %d = 0 ] || echo out; exit %d`, id, i%10, i%2, i%3)
			if err := w.e.Launch(t.Context(), w.attempt(id, script)); err != nil {
				t.Errorf("Launch %s: %v", id, err)
			}
		})
	}
	timeout := time.After(time.Minute)
	for len(ends) < attempts {
		select {
		case s := <-w.seen:
			take(s)
		case <-timeout:
			t.Fatalf("only %d of %d ends were reported", len(ends), attempts)
		}
	}
	<-done
	group.Wait()
	lost := 0
	for i := range attempts {
		id := fmt.Sprintf("c%d", i)
		ran, err := os.ReadFile(filepath.Join(w.dir, id))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		n := strings.Count(string(ran), "\n")
		s := ends[id]
		switch isLost := s.Failure != nil && s.Failure.Kind == dag.FailLost; {
		case isLost && n <= 1:
			lost++
		case n != 1 || s.ExitCode != i%3:
			t.Errorf("%s ran %d times and ended with %+v, %+v", id, n, s, s.Failure)
		}
	}
	t.Logf("%d of %d attempts lost in %d kills", lost, attempts, kills)
	if lost > attempts/4 {
		t.Errorf("%d of %d attempts lost", lost, attempts)
	}
	if err := w.e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}
