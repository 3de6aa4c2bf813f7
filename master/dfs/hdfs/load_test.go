//go:build hdfs

package hdfs_test

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

const gibibyte = 1 << 30

// writeLines writes a file of lines of 64 bytes, and gives how much memory was in use at most meanwhile.
func writeLines(t testing.TB, fsys dfs.FS, name string, size int) (peak uint64) {
	t.Helper()
	w, err := fsys.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	lines := []byte(strings.Repeat(strings.Repeat("x", 63)+"\n", 16<<10))
	for written := 0; written < size; written += len(lines) {
		if _, err := w.Write(lines); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, inUse())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return peak
}

// inUse gives how much memory is allocated now.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBigFileTakesLittleMemory writes and reads 1 GiB.
func TestBigFileTakesLittleMemory(t *testing.T) {
	fsys := connect(t, hdfstest.Shared(t), nil)
	dir := directory(t, fsys)
	before := inUse()
	begin := time.Now()
	peak := writeLines(t, fsys, dir+"/big", gibibyte)
	t.Logf("written in %s", time.Since(begin))
	begin = time.Now()
	f, err := fsys.Open(t.Context(), dir+"/big")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buffer := make([]byte, 1<<20)
	total := 0
	for {
		n, err := f.Read(buffer)
		total += n
		peak = max(peak, inUse())
		if err == io.EOF { //nolint:errorlint // io.Reader gives io.EOF itself
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("read in %s, %.1f MiB of memory at most", time.Since(begin), float64(peak-before)/(1<<20))
	if total != gibibyte {
		t.Errorf("read %d bytes", total)
	}
	// What is kept to be written anew (8 MiB) and its growing, and what the collector lets lie.
	if limit := uint64(64 << 20); peak-before > limit {
		t.Errorf("%d bytes of memory were in use, more than %d", peak-before, limit)
	}
}

// firstLines reads ten lines of a file.
func firstLines(t testing.TB, fsys dfs.FS, name string) {
	t.Helper()
	f, err := fsys.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for range 10 {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
	}
}

// hadoopHead runs "hdfs dfs -cat FILES" until it has printed ten lines. By itself it goes on to the end, whether anybody reads that or not.
func hadoopHead(b *testing.B, c *hdfstest.Cluster, files string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), c.Dir+"/bin/hdfs", "dfs", "-cat", files)
	// Its JVM is a child of a shell.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 10 {
		if !lines.Scan() {
			b.Error(lines.Err())
			break
		}
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait() // killed
}

// BenchmarkFirstLines reads the first ten lines of a file of 1 GiB, and of a directory of 10,000 files, each beside Hadoop's own command.
func BenchmarkFirstLines(b *testing.B) {
	c := hdfstest.Shared(b)
	fsys := connect(b, c, nil)
	dir := directory(b, fsys)
	writeLines(b, fsys, dir+"/big", gibibyte)
	parts := filepath.Join(dir, "parts")
	if err := fsys.MkdirAll(b.Context(), parts); err != nil {
		b.Fatal(err)
	}
	fill(b, c, parts, 10_000, []byte(strings.Repeat("a line of a part\n", 20)))
	b.Run("file=1GiB/by=clic", func(b *testing.B) {
		for b.Loop() {
			firstLines(b, fsys, dir+"/big")
		}
	})
	b.Run("file=1GiB/by=hadoop", func(b *testing.B) {
		for b.Loop() {
			hadoopHead(b, c, dir+"/big")
		}
	})
	b.Run("parts=10000/by=clic", func(b *testing.B) {
		for b.Loop() {
			entries, err := fsys.ReadDir(b.Context(), parts, 1)
			if err != nil {
				b.Fatal(err)
			}
			firstLines(b, fsys, parts+"/"+entries[0].Name)
		}
	})
	b.Run("parts=10000/by=hadoop", func(b *testing.B) {
		for b.Loop() {
			hadoopHead(b, c, parts+"/part-*")
		}
	})
}
