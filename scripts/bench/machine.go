package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// conditions prints what all figures depend on.
func (b *bench) conditions() error {
	sync, err := b.syncTime()
	if err != nil {
		return err
	}
	create, err := b.createTime()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "# date:   %s\n", time.Now().Format(time.RFC3339))
	fmt.Fprintf(b.out, "# system: %s, %d processors, %s, load %s\n", runtime.Version(), runtime.NumCPU(), kernel(), load())
	fmt.Fprintf(b.out, "# disk:   %s on %s; write and fsync of 4 KiB: %d µs, making a directory with a file: %d µs (medians of %d)\n",
		b.dir, fileSystem(b.dir), sync.Microseconds(), create.Microseconds(), tries)
	if b.quick {
		fmt.Fprintln(b.out, "# quick:  sizes and rounds are reduced")
	}
	return nil
}

// tries is how often each of the disk's times is taken.
const tries = 50

// syncTime is what making one page durable takes here: every durable step waits for that at least.
func (b *bench) syncTime() (time.Duration, error) {
	f, err := os.Create(filepath.Join(b.dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	took := make([]time.Duration, tries)
	for i := range took {
		began := time.Now()
		if _, err := f.WriteAt(make([]byte, 4096), int64(i%8)*4096); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	return median(took), nil
}

// createTime is what making a directory with a file in it takes here, as every attempt does. Where it is much more than 50 µs, the
// file system is busy with what ran before: an ext4 without a journal skips every inode that was freed in the last minutes.
func (b *bench) createTime() (time.Duration, error) {
	took := make([]time.Duration, tries)
	for i := range took {
		began := time.Now()
		dir := filepath.Join(b.dir, "create", fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return 0, err
		}
		f, err := os.Create(filepath.Join(dir, "file"))
		if err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
		if err := f.Close(); err != nil {
			return 0, err
		}
	}
	return median(took), nil
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(text))
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(text)); err == nil && len(f) > 2 {
		return strings.Join(f[:3], " ")
	}
	return "unknown"
}

// fileSystem is the type of the file system of a directory.
func fileSystem(dir string) string {
	var st syscall.Stat_t
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil || syscall.Stat(dir, &st) != nil {
		return "an unknown file system"
	}
	defer f.Close()
	device := fmt.Sprintf("%d:%d", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 2 && w[2] == device {
			if _, after, ok := strings.Cut(lines.Text(), " - "); ok {
				return strings.Fields(after)[0]
			}
		}
	}
	return "an unknown file system"
}

// written is how many bytes this process has given to the disk so far, 0 where the system does not say.
func written() float64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var n float64
		if _, err := fmt.Sscanf(line, "write_bytes: %f", &n); err == nil {
			return n
		}
	}
	return 0
}

// heap is the live heap in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
