//go:build chaos

package chaos

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// setting is a number of the environment. CLIC_CHAOS_SEED repeats the choices of an earlier run, as far as the machine's own
// timing lets it; CLIC_CHAOS_ROUNDS and CLIC_CHAOS_STAGES say how long it is, and how large its plans are.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv("CLIC_CHAOS_" + name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("CLIC_CHAOS_%s: %v", name, err)
	}
	return n
}

func seed(t *testing.T) uint64 {
	t.Helper()
	return setting(t, "SEED", uint64(time.Now().UnixNano()))
}

// TestChaos is the large storm: one master, 500 stages, 50 kills unless told.
func TestChaos(t *testing.T) {
	rage(t, int(setting(t, "STAGES", 500)), int(setting(t, "ROUNDS", 50)), seed(t))
}

// TestChaosOfMasters is the large war: three masters on one Redis, 2000 stages, 100 rounds unless told. CLIC_CHAOS_KINDS, such as
// "leader killed,Redis", restricts it to some kinds of strikes.
func TestChaosOfMasters(t *testing.T) {
	kinds := strings.FieldsFunc(os.Getenv("CLIC_CHAOS_KINDS"), func(c rune) bool { return c == ',' })
	wage(t, int(setting(t, "STAGES", 2000)), int(setting(t, "ROUNDS", 100)), seed(t), kinds...)
}
