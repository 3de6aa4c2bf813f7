//go:build chaos

package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestChaos is the large storm: 500 stages, and CLIC_CHAOS_ROUNDS kills (50 unless told). CLIC_CHAOS_SEED repeats the choices of
// an earlier one, as far as the machine's own timing lets it; CLIC_CHAOS_STAGES is the size of the plan.
func TestChaos(t *testing.T) {
	number := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	rage(t, int(number("CLIC_CHAOS_STAGES", 500)), int(number("CLIC_CHAOS_ROUNDS", 50)), number("CLIC_CHAOS_SEED", uint64(time.Now().UnixNano())))
}
