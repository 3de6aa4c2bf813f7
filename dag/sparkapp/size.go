package sparkapp

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MiB is a size of memory in mebibytes, the unit that Spark counts it in.
type MiB int64

// String is the size as Spark and the JVM both read it ("512m").
func (m MiB) String() string { return strconv.FormatInt(int64(m), 10) + "m" }

// Bytes is the size in bytes.
func (m MiB) Bytes() int64 { return int64(m) << 20 }

// MinHeap is the smallest heap that Spark starts with: one and a half times the 300 MiB that it keeps for itself
// (UnifiedMemoryManager.RESERVED_SYSTEM_MEMORY_BYTES).
const MinHeap MiB = 450

// What Spark allows a process beside its heap where nobody says otherwise: a share of the heap, and at least MinOverhead. Python and R
// programs get the larger share on Kubernetes, because they work outside of the heap.
const (
	OverheadFactor       = 0.1
	OverheadFactorNonJVM = 0.4
	MinOverhead          = MiB(384)
)

// errSize is the reason of a text that is no size.
var errSize = errors.New("not a size of memory")

// ParseMiB reads a size as Spark does: digits and a unit of k, m, g, t or p (also kb …, in small or large letters), which count in
// 1024s, or b for bytes. Without a unit it is in MiB, as in most of Spark's configuration. Parts of a MiB are dropped.
func ParseMiB(s string) (MiB, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	unit := text[len(digits):]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || strings.HasPrefix(digits, "+") {
		return 0, fmt.Errorf("%q is %w", s, errSize)
	}
	shifts := map[string]int{
		"b": -20, "k": -10, "kb": -10, "": 0, "m": 0, "mb": 0, "g": 10, "gb": 10, "t": 20, "tb": 20, "p": 30, "pb": 30,
	}
	shift, ok := shifts[unit]
	switch {
	case !ok:
		return 0, fmt.Errorf("%q is %w: Spark knows no unit %q", s, errSize, unit)
	case shift < 0:
		return MiB(n >> -shift), nil
	case n > math.MaxInt64>>(shift+20):
		return 0, fmt.Errorf("%q is %w: it is too large", s, errSize)
	}
	return MiB(n << shift), nil
}

// WithOverhead is what a process with that heap needs in all, where overhead, factor and least are those that count for it; an overhead
// of 0 is computed as Spark does.
func WithOverhead(heap, overhead MiB, factor float64, least MiB) MiB {
	if overhead == 0 {
		overhead = max(MiB(factor*float64(heap)), least)
	}
	return heap + overhead
}

func itoa(n int) string { return strconv.Itoa(n) }
