//go:build hdfs

package webhdfs_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func put(t *testing.T, fsys dfs.FS, name string, content []byte) {
	t.Helper()
	w, err := fsys.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, fsys dfs.FS, name string) ([]byte, error) {
	t.Helper()
	f, err := fsys.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// flip changes a byte of a datanode's copy of a block.
func flip(t *testing.T, c *hdfstest.Cluster, datanode string, block []byte, at int64) {
	t.Helper()
	for _, name := range c.Blocks(t, datanode) {
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, block) {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte{block[at] ^ 1}, at)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s does not have the block", datanode)
}

// TestFaults does to an HDFS of its own what happens to real ones: damaged blocks, dead and hanging daemons.
func TestFaults(t *testing.T) {
	c := hdfstest.Own(t)
	short := func(cfg *webhdfs.Config) {
		cfg.CallTimeout, cfg.DataTimeout, cfg.RetryFor = 3*time.Second, 3*time.Second, time.Second
	}
	patient := func(cfg *webhdfs.Config) { cfg.RetryFor = 3 * time.Second }
	for name, service := range services(c) {
		t.Run("damaged "+name, func(t *testing.T) {
			fsys := opened(t, service, c.User, patient)
			one, both := random(3<<20+5), random(3<<20+6)
			put(t, fsys, "/one-"+name, one)
			put(t, fsys, "/both-"+name, both)
			flip(t, c, "datanode1", one, 2_000_000)
			flip(t, c, "datanode1", both, 2_000_000)
			flip(t, c, "datanode2", both, 2_000_000)
			for range 3 { // both datanodes are asked
				if got, err := get(t, fsys, "/one-"+name); err != nil || !bytes.Equal(got, one) {
					t.Errorf("one copy is good: %d bytes, equal %v, %v", len(got), bytes.Equal(got, one), err)
				}
			}
			got, err := get(t, fsys, "/both-"+name)
			if !errors.Is(err, dfs.ErrCorrupt) || !bytes.HasPrefix(both, got) || !strings.Contains(err.Error(), "/both-"+name) {
				t.Errorf("no copy is good: %d bytes, a right beginning %v, %v", len(got), bytes.HasPrefix(both, got), err)
			}
			f, err := fsys.Open(t.Context(), "/both-"+name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p := make([]byte, 100)
			if n, err := f.ReadAt(p, 1_999_950); !errors.Is(err, dfs.ErrCorrupt) {
				t.Errorf("ReadAt of a damaged place: %d, %v", n, err)
			}
			if n, err := f.ReadAt(p, 100); err != nil || !bytes.Equal(p[:n], both[100:200]) {
				t.Errorf("ReadAt of another place: %d, %v", n, err)
			}
		})
	}
	t.Run("datanode killed", func(t *testing.T) {
		for name, service := range services(c) {
			fsys := opened(t, service, c.User, patient)
			content := random(20 << 20)
			put(t, fsys, "/read-"+name, content)
			f, err := fsys.Open(t.Context(), "/read-"+name)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1<<20)
			if _, err := io.ReadFull(f, got); err != nil {
				t.Fatal(err)
			}
			c.Script(t, "kill", "datanode1")
			rest, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(slices.Concat(got, rest), content) {
				t.Errorf("%s: %d bytes, %v", name, len(got)+len(rest), err)
			}
			f.Close()
			c.Script(t, "start", "datanode1")
		}
	})
	t.Run("namenode hangs", func(t *testing.T) {
		c.Script(t, "pause", "namenode")
		for name, service := range services(c) {
			fsys := opened(t, service, c.User, short)
			begin := time.Now()
			_, err := fsys.Stat(t.Context(), "/")
			if took := time.Since(begin); !errors.Is(err, dfs.ErrUnavailable) || took > 10*time.Second {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		}
		c.Script(t, "resume", "namenode")
		for name, service := range services(c) {
			fsys := opened(t, service, c.User, nil)
			if _, err := fsys.Stat(t.Context(), "/"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
