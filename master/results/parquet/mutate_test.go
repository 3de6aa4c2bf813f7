package parquet_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// TestMutations flips bytes of good files: nothing panics, takes long or much memory, or gives an error without a kind. The random
// numbers are the same in every run.
func TestMutations(t *testing.T) {
	lim := parquet.Limits{Page: 1 << 20, Bytes: 4 << 20, Cell: 64, Cells: 64 << 10}
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	for _, file := range []string{"types", "encodings", "int96"} {
		good, err := os.ReadFile("testdata/" + file + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for range rounds {
			b := bytes.Clone(good)
			from := 0
			if random.IntN(2) == 0 { // the metadata is where most of the harm can be done
				from = len(b) * 2 / 3
			}
			for range 1 + random.IntN(3) {
				b[from+random.IntN(len(b)-from)] = byte(random.IntN(256))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := read(t.Context(), b, 100, lim)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			switch {
			case err == nil:
				kinds["fine"]++
			case errors.Is(err, parquet.ErrDamaged):
				kinds["damaged"]++
			case errors.Is(err, parquet.ErrUnsupported):
				kinds["unsupported"]++
			default:
				t.Errorf("an error of no kind: %v", err)
			}
			if took > 5*time.Second || used > 128<<20 {
				t.Errorf("%s: took %v, %d bytes; %v", file, took, used, err)
			}
		}
		t.Logf("%s: %v", file, kinds)
	}
}
