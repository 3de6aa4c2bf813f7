package sim

import (
	"flag"
	"fmt"
	"hash/fnv"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

//nolint:gochecknoglobals // flags are
var (
	seeds     = flag.Int("seeds", 0, "how many seeds TestSim plays; 0 is a few")
	firstSeed = flag.Uint64("first", 1, "the first of them")
	seed      = flag.Uint64("seed", 1, "the seed that TestSeed plays, and with -v shows step by step")
	mutant    = flag.String("mutant", "", "the mutant that TestSeed plants")
)

// budget is how many seeds are played where nobody says.
func budget() uint64 {
	switch {
	case *seeds > 0:
		return uint64(*seeds)
	case raced:
		return 30
	case testing.Short():
		return 100
	}
	return 300
}

// play runs seeds on all cores, until each is over or done has returned true.
func play(first, n uint64, m Mutant, done func(seed uint64, r Result) bool) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		over atomic.Bool
		next atomic.Uint64
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for k := next.Add(1) - 1; k < n && !over.Load(); k = next.Add(1) - 1 {
				r := Run(Options{Seed: first + k, Mutant: m})
				mu.Lock()
				if done(first+k, r) {
					over.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestSim plays seeds, and expects that every promise is kept. `make sim SEEDS=N` plays more of them.
func TestSim(t *testing.T) {
	began := time.Now()
	var total Stats
	bad := 0
	play(*firstSeed, budget(), "", func(s uint64, r Result) bool {
		total.Add(r.Stats)
		if r.Err != nil {
			bad++
			t.Errorf("seed %d: %v\n  replay it with: go test ./master/sim -run TestSeed -seed=%d -v", s, r.Err, s)
		}
		return bad == 10
	})
	took := time.Since(began)
	t.Logf("%d seeds in %v, %.0f seeds/s, %d failed: %v", budget(), took.Round(time.Millisecond), float64(budget())/took.Seconds(), bad, total)
}

// TestSeed plays one seed.
func TestSeed(t *testing.T) {
	var show func(string)
	if testing.Verbose() {
		show = func(line string) { fmt.Fprintln(t.Output(), line) }
	}
	r := Run(Options{Seed: *seed, Mutant: Mutant(*mutant), Trace: show})
	if r.Err != nil {
		t.Errorf("seed %d: %v", *seed, r.Err)
	}
	t.Log(r.Stats)
}

// TestReplay plays seeds twice, and expects the same steps.
func TestReplay(t *testing.T) {
	for s := range uint64(10) {
		trace := func() (Result, uint64) {
			h := fnv.New64a()
			r := Run(Options{Seed: s, Trace: func(line string) { h.Write([]byte(line)) }})
			return r, h.Sum64()
		}
		one, first := trace()
		two, second := trace()
		if first != second || one.Hash != two.Hash || one.Stats.String() != two.Stats.String() {
			t.Errorf("seed %d takes another course", s)
		}
		if plain := Run(Options{Seed: s}); plain.Hash != one.Hash {
			t.Errorf("seed %d takes another course when it is looked at", s)
		}
	}
}

// TestMutants plants faults, and expects each to be found within a thousand seeds.
func TestMutants(t *testing.T) {
	const within = 1000
	mutants := Mutants()
	if raced || testing.Short() {
		mutants = mutants[:3]
	}
	for _, m := range mutants {
		t.Run(string(m), func(t *testing.T) {
			began := time.Now()
			found := false
			play(1, within, m, func(s uint64, r Result) bool {
				if r.Err != nil && !found {
					found = true
					t.Logf("seed %d finds it, after %v: %.300v", s, time.Since(began).Round(time.Millisecond), r.Err)
				}
				return found
			})
			if !found {
				t.Errorf("%d seeds do not find it", within)
			}
		})
	}
}

// TestCalm plays seeds in which nothing goes wrong: everybody gets what they ask for.
func TestCalm(t *testing.T) {
	for s := range uint64(10) {
		r := Run(Options{Seed: s, Faults: -1})
		if r.Err != nil {
			t.Errorf("seed %d: %v", s, r.Err)
		}
		if n := r.Stats.Terms; n != 1 {
			t.Errorf("seed %d: %d terms", s, n)
		}
	}
}
