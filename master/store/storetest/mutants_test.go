package storetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
	"github.com/clic-orchestrator/clic/master/store/storetest"
)

// counting is a store that counts revisions, on top of one that does not. A mutant has one fault, which the suite must find.
type counting struct {
	store.Store
	mutant string

	mu      sync.Mutex
	tasks   map[string]*revision
	commits int
}

type revision struct {
	n    uint64
	last string // the Change that made it
}

func (s *counting) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	if s.mutant == "forgets" && s.commits%9 == 0 {
		return nil
	}
	if s.mutant == "no fence" {
		current, err := s.Store.Lead(ctx, "mutant")
		if err != nil {
			return err
		}
		epoch = current
	} else if err := s.Store.Commit(ctx, epoch, nil); err != nil {
		return err
	}
	done := map[string]bool{}
	for i := range batch {
		skip, err := s.follows(epoch, &batch[i])
		if err != nil {
			return err
		}
		done[batch[i].Task] = skip
	}
	var left []store.Change
	for _, c := range batch {
		if s.mutant == "half" && s.commits%5 == 0 && !c.Create {
			c.Log = nil
		}
		if !done[c.Task] {
			left = append(left, c)
		}
	}
	if err := s.Store.Commit(ctx, epoch, left); err != nil {
		return err
	}
	for i := range left {
		s.count(epoch, &left[i])
	}
	return nil
}

// follows says whether a Change was applied already, or why it may not be.
func (s *counting) follows(epoch uint64, c *store.Change) (bool, error) {
	t := s.tasks[c.Task]
	if t == nil || c.Base == 0 || s.mutant == "late" {
		return false, nil
	}
	if t.n == c.Base+1 && t.last == id(epoch, c) && s.mutant != "no repeats" {
		return true, nil
	}
	if t.n != c.Base {
		return false, store.ErrConflict
	}
	return false, nil
}

func (s *counting) count(epoch uint64, c *store.Change) {
	t := s.tasks[c.Task]
	switch {
	case c.Delete:
		delete(s.tasks, c.Task)
	case c.Create && t == nil:
		s.tasks[c.Task] = &revision{n: 1}
	case !c.Create && t != nil && t.last != id(epoch, c):
		t.n, t.last = t.n+1, id(epoch, c)
	}
}

func id(epoch uint64, c *store.Change) string {
	text, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", epoch, text)
}

func (s *counting) Load(ctx context.Context, task string) (*store.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.Store.Load(ctx, task)
	if err == nil {
		r.Revision = s.tasks[task].n
	}
	return r, err
}

func (s *counting) Expire(ctx context.Context, epoch uint64, now dag.Time, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.Store.Expire(ctx, epoch, now, limit)
	for _, name := range names {
		delete(s.tasks, name)
	}
	return names, err
}

const mutantVariable = "CLIC_STORETEST_MUTANT"

// TestCounting runs the suite on a store that counts, or on the mutant that the environment names.
func TestCounting(t *testing.T) {
	mutant := os.Getenv(mutantVariable)
	backend := storetest.Backend{
		Place: func(tb testing.TB) string { tb.Helper(); return tb.TempDir() },
		Open: func(place string) (store.Store, error) {
			s, err := bolt.Open(place)
			if err != nil {
				return nil, err
			}
			return &counting{Store: s, mutant: mutant, tasks: map[string]*revision{}}, nil
		},
		Exclusive: true,
	}
	t.Run("Base", func(t *testing.T) { storetest.RunOne(t, backend, "Base") })
	t.Run("Faults", func(t *testing.T) { storetest.RunOne(t, backend, "Faults") })
}

// TestMutants is the test of the test: every mutant is found.
func TestMutants(t *testing.T) {
	for mutant, find := range map[string]string{
		"forgets": "Faults", "half": "Faults", "late": "Faults", "no repeats": "Faults", "no fence": "Faults",
	} {
		t.Run(mutant, func(t *testing.T) {
			t.Parallel()
			// Ten times the usual examples: what is found is found early, and what takes a rare run of chances is found as well.
			child := exec.CommandContext(t.Context(), os.Args[0],
				"-test.run=TestCounting/"+find, "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-rapid.checks=1000")
			child.Env = append(os.Environ(), mutantVariable+"="+mutant)
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "FAIL: TestCounting/"+find) {
				t.Errorf("it was not found: %v\n%s", err, out)
			}
		})
	}
}
