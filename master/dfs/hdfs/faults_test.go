//go:build hdfs

package hdfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// random gives bytes of which no two pieces are the same.
func random(n int) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	return content
}

func write(ctx context.Context, fsys dfs.FS, name string, content []byte) error {
	w, err := fsys.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}

func read(ctx context.Context, fsys dfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// flip changes one byte of a datanode's copy of the block that holds content. It gives false if the datanode has none.
func flip(t *testing.T, c *hdfstest.Cluster, datanode string, content []byte, at int) bool {
	t.Helper()
	for _, name := range c.Blocks(t, datanode) {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, content) {
			continue
		}
		got[at] ^= 1
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return true
	}
	return false
}

// TestCorruptBlocks changes bytes on the datanodes' disks. Each of the first two blocks has one good copy, on different datanodes; the third
// has none.
func TestCorruptBlocks(t *testing.T) {
	c := hdfstest.Own(t)
	const block = 1 << 20
	fsys := connect(t, c, func(config *hadoop.Config) { config.BlockSize = block })
	content := random(3*block + 100)
	for _, name := range []string{"/good", "/bad"} {
		if err := write(t.Context(), fsys, name, content); err != nil {
			t.Fatal(err)
		}
		// The next file has other blocks.
		content[0]++
	}
	good, bad := slices.Clone(content), slices.Clone(content)
	good[0] -= 2
	bad[0]--
	for _, change := range []struct {
		datanode string
		block    []byte
		at       int
	}{
		{"datanode1", good[:block], 700_000},
		{"datanode2", good[block : 2*block], 1000},
		{"datanode1", bad[:block], 511},
		{"datanode2", bad[:block], 600_000},
		{"datanode1", bad[2*block : 3*block], 300_000},
		{"datanode2", bad[2*block : 3*block], 300_000},
	} {
		// The blocks of both files are the same from the second on.
		if !flip(t, c, change.datanode, change.block, change.at) {
			t.Fatalf("%s has no such block", change.datanode)
		}
	}
	t.Run("one copy", func(t *testing.T) {
		for range 3 {
			got, err := read(t.Context(), fsys, "/good")
			if err != nil && !errors.Is(err, dfs.ErrCorrupt) {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(good, got) || len(got) < 2*block {
				t.Errorf("%d bytes, right: %t, %v", len(got), bytes.HasPrefix(good, got), err)
			}
		}
	})
	t.Run("both copies", func(t *testing.T) {
		wrong := 0
		for _, name := range []string{"/good", "/bad"} {
			want := map[string][]byte{"/good": good, "/bad": bad}[name]
			got, err := read(t.Context(), fsys, name)
			if !bytes.HasPrefix(want, got) {
				t.Errorf("%s: wrong bytes", name)
			}
			if errors.Is(err, dfs.ErrCorrupt) && strings.Contains(err.Error(), name) {
				wrong++
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if wrong != 1 {
			t.Errorf("%d of 2 files are damaged, want one", wrong)
		}
		testReadAtCorrupt(t, fsys, good, bad)
	})
}

// testReadAtCorrupt reads everywhere in two files, of which one has a block without a good copy.
func testReadAtCorrupt(t *testing.T, fsys dfs.FS, good, bad []byte) {
	for name, want := range map[string][]byte{"/good": good, "/bad": bad} {
		f, err := fsys.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		for range 60 {
			off, got := rnd.IntN(len(want)-70_000), make([]byte, 1+rnd.IntN(70_000))
			n, err := f.ReadAt(got, int64(off))
			if !bytes.Equal(got[:n], want[off:off+n]) {
				t.Errorf("%s: wrong bytes at %d", name, off)
			}
			if n < len(got) && !errors.Is(err, dfs.ErrCorrupt) {
				t.Errorf("%s: %d bytes of %d at %d: %v", name, n, len(got), off, err)
			}
		}
		f.Close()
	}
}

// TestDatanodeLostWhileReading kills, and stops, each datanode in turn while a file is read.
func TestDatanodeLostWhileReading(t *testing.T) {
	c := hdfstest.Own(t)
	fsys := connect(t, c, func(config *hadoop.Config) { config.DataTimeout = 2 * time.Second })
	content := random(24 << 20)
	if err := write(t.Context(), fsys, "/file", content); err != nil {
		t.Fatal(err)
	}
	for _, how := range []struct{ lose, again string }{{"kill", "start"}, {"pause", "resume"}} {
		for _, datanode := range []string{"datanode1", "datanode2"} {
			f, err := fsys.Open(t.Context(), "/file")
			if err != nil {
				t.Fatal(err)
			}
			head := make([]byte, 1<<20)
			if _, err := io.ReadFull(f, head); err != nil {
				t.Fatal(err)
			}
			c.Script(t, how.lose, datanode)
			begin := time.Now()
			rest, err := io.ReadAll(f)
			t.Logf("%s %s: the rest took %s", how.lose, datanode, time.Since(begin))
			if err != nil || !bytes.Equal(slices.Concat(head, rest), content) {
				t.Errorf("%s %s: %d bytes, %v", how.lose, datanode, len(rest), err)
			}
			f.Close()
			c.Script(t, how.again, datanode)
			c.Script(t, "up")
		}
	}
}

// TestDatanodeLostWhileWriting kills a datanode of two in the middle: what fits into memory is written anew, what does not is a clear
// error, and nothing is left of either attempt.
func TestDatanodeLostWhileWriting(t *testing.T) {
	c := hdfstest.Own(t)
	fsys := connect(t, c, func(config *hadoop.Config) { config.RetryFor = time.Minute })
	if err := fsys.MkdirAll(t.Context(), "/dir"); err != nil {
		t.Fatal(err)
	}
	content := random(4 << 20)
	for _, datanode := range []string{"datanode1", "datanode2"} {
		name := "/dir/" + datanode
		w, err := fsys.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content[:2<<20]); err != nil {
			t.Fatal(err)
		}
		c.Script(t, "kill", datanode)
		begin := time.Now()
		_, err = w.Write(content[2<<20:])
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s killed: written after %s", datanode, time.Since(begin))
		if got, err := read(t.Context(), fsys, name); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		c.Script(t, "up")
	}

	w, err := fsys.Create(t.Context(), "/dir/long")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	atOnce, err := fsys.Create(t.Context(), "/dir/at-once")
	if err != nil {
		t.Fatal(err)
	}
	c.Script(t, "kill", "datanode1")
	c.Script(t, "kill", "datanode2")
	if n, err := atOnce.Write(random(20 << 20)); n != 0 || !errors.Is(err, dfs.ErrUnavailable) {
		t.Errorf("wrote %d bytes at once: %v", n, err)
	}
	if err := atOnce.Abort(); err != nil {
		t.Error(err)
	}
	for err == nil {
		_, err = w.Write(content)
	}
	if !errors.Is(err, dfs.ErrUnavailable) || !strings.Contains(err.Error(), "/dir/long") {
		t.Error(err)
	}
	if err := w.Close(); !errors.Is(err, dfs.ErrUnavailable) {
		t.Errorf("Close: %v", err)
	}
	entries, err := fsys.ReadDir(t.Context(), "/dir", 0)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
	listed := c.Tool(t, "dfs", "-ls", "-R", "/")
	if strings.Contains(listed, "tmp") {
		t.Errorf("left:\n%s", listed)
	}
}

// within checks that a call ends in time, with an error that says that the file system is not available.
func within(t *testing.T, limit time.Duration, what string, call func() error) {
	t.Helper()
	begin := time.Now()
	err := call()
	if took := time.Since(begin); took > limit || !errors.Is(err, dfs.ErrUnavailable) {
		t.Errorf("%s: after %s: %v", what, took, err)
	}
}

// TestNamenodeGone stops the namenode, which hangs then, kills it, and starts it again.
func TestNamenodeGone(t *testing.T) {
	c := hdfstest.Own(t)
	hasty := connect(t, c, func(config *hadoop.Config) { config.CallTimeout, config.RetryFor = time.Second, 2*time.Second })
	patient := connect(t, c, func(config *hadoop.Config) { config.CallTimeout, config.RetryFor = 2*time.Second, 2*time.Minute })
	content := random(3 << 20)
	if err := write(t.Context(), hasty, "/file", content); err != nil {
		t.Fatal(err)
	}
	if _, err := patient.Stat(t.Context(), "/file"); err != nil {
		t.Fatal(err)
	}
	for _, how := range []struct{ lose, again string }{{"pause", "resume"}, {"kill", "start"}} {
		f, err := hasty.Open(t.Context(), "/file")
		if err != nil {
			t.Fatal(err)
		}
		w, err := hasty.Create(t.Context(), "/new")
		if err != nil {
			t.Fatal(err)
		}
		c.Script(t, how.lose, "namenode")
		for what, call := range map[string]func(ctx context.Context) error{
			"Stat":    func(ctx context.Context) error { _, err := hasty.Stat(ctx, "/file"); return err },
			"ReadDir": func(ctx context.Context) error { _, err := hasty.ReadDir(ctx, "/", 0); return err },
			"Open":    func(ctx context.Context) error { _, err := hasty.Open(ctx, "/file"); return err },
			"Create":  func(ctx context.Context) error { _, err := hasty.Create(ctx, "/x"); return err },
			"Rename":  func(ctx context.Context) error { return hasty.Rename(ctx, "/none", "/b") },
			"Remove":  func(ctx context.Context) error { return hasty.Remove(ctx, "/none", true) },
			"Close":   func(context.Context) error { return w.Close() },
		} {
			within(t, 8*time.Second, how.lose+" "+what, func() error { return call(t.Context()) })
			if what == "Close" {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			within(t, time.Second, how.lose+" with a deadline "+what, func() error { return call(ctx) })
			cancel()
		}
		// What is open is read on: its blocks are known.
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", how.lose, len(got), err)
		}
		f.Close()

		// A call that may be repeated outlasts it.
		done := make(chan error, 1)
		go func() {
			_, err := patient.Stat(t.Context(), "/file")
			done <- err
		}()
		c.Script(t, how.again, "namenode")
		if err := <-done; err != nil {
			t.Errorf("%s: %v", how.again, err)
		}
		c.Script(t, "up")
		for _, fsys := range []*hdfs.FS{hasty, patient} {
			if got, err := read(t.Context(), fsys, "/file"); err != nil || !bytes.Equal(got, content) {
				t.Errorf("after %s: %d bytes, %v", how.again, len(got), err)
			}
			if err := write(t.Context(), fsys, fmt.Sprintf("/after-%s-%p", how.again, fsys), content); err != nil {
				t.Errorf("after %s: %v", how.again, err)
			}
		}
		if _, err := hasty.Stat(t.Context(), "/new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that could not be closed: %v", err)
		}
	}
}

// TestFailover makes the other namenode the active one, in good order and after the first one hangs or is killed.
func TestFailover(t *testing.T) {
	c := hdfstest.Own(t, "--ha")
	fsys := connect(t, c, func(config *hadoop.Config) { config.CallTimeout, config.RetryFor = 3*time.Second, time.Minute })
	content := random(3 << 20)
	if err := write(t.Context(), fsys, "/0", content); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open(t.Context(), "/0")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, step := range [][]string{
		{"active", "namenode2"},
		{"active", "namenode1"},
		{"kill", "namenode1", "active", "namenode2"},
		{"start", "namenode1", "up", "--ha", "pause", "namenode2", "active", "namenode1"},
	} {
		for ; len(step) > 0; step = step[2:] {
			c.Script(t, step[0], step[1])
		}
		begin := time.Now()
		if got, err := read(t.Context(), fsys, fmt.Sprintf("/%d", i)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("step %d: %d bytes, %v", i, len(got), err)
		}
		if err := fsys.Rename(t.Context(), fmt.Sprintf("/%d", i), fmt.Sprintf("/%d", i+1)); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		if err := write(t.Context(), fsys, fmt.Sprintf("/new-%d", i), content); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		t.Logf("step %d: %s", i, time.Since(begin))
	}
}

// TestOpenForWriting opens files that somebody writes.
func TestOpenForWriting(t *testing.T) {
	c := hdfstest.Shared(t)
	fsys := connect(t, c, nil)
	dir := directory(t, fsys)
	client := raw(t, c)
	for name, content := range map[string][]byte{"empty": nil, "one block": random(100_000), "three blocks": random(2<<20 + 1)} {
		w, err := client.CreateFile(dir+"/"+name, 2, 1<<20, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 0 {
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		_, err = fsys.Open(t.Context(), dir+"/"+name)
		if !errors.Is(err, dfs.ErrOpenForWriting) {
			t.Errorf("%s: %v", name, err)
		}
		for err = w.Close(); err != nil; err = w.Close() {
			t.Log(err)
		}
		if got, err := read(t.Context(), fsys, dir+"/"+name); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s, closed: %d bytes, %v", name, len(got), err)
		}
	}
}
