package bolt_test

import (
	"bufio"
	"fmt"
	"os"
	"testing"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
	"github.com/clic-orchestrator/clic/master/store/storetest"
)

var backend = storetest.Backend{
	Place:     func(tb testing.TB) string { tb.Helper(); return tb.TempDir() },
	Open:      func(place string) (store.Store, error) { return bolt.Open(place) },
	Exclusive: true,
	Written:   written,
}

// written is how many bytes this process has handed to write calls: for the file of a store these are the pages that its
// transactions wrote.
func written() int64 {
	f, err := os.Open("/proc/self/io")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var n int64
		if _, err := fmt.Sscanf(lines.Text(), "wchar: %d", &n); err == nil {
			return n
		}
	}
	return 0
}

func TestMain(m *testing.M) { storetest.Main(m, backend) }

func TestStore(t *testing.T) { storetest.Run(t, backend) }

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, backend) }
