//go:build hdfs

package hdfs_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// mute stands before a namenode and loses the answer to a method, after it was carried out, as often as lost says.
type mute struct {
	method string
	lost   atomic.Int32
}

func (d *mute) listen(t *testing.T, namenode string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				if err := d.serve(client, namenode); err != nil {
					t.Error(err)
				}
			})
		}
	})
	return l.Addr().String()
}

func (d *mute) serve(client net.Conn, namenode string) error {
	defer client.Close()
	server, err := net.Dial("tcp", namenode)
	if err != nil {
		return err
	}
	defer server.Close()
	var ending atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer client.Close()
		defer server.Close()
		answer := make([]byte, 64<<10)
		for {
			n, err := server.Read(answer)
			if err != nil || ending.Load() {
				return
			}
			if _, err := client.Write(answer[:n]); err != nil {
				return
			}
		}
	}()
	request := make([]byte, 64<<10)
	for {
		n, err := client.Read(request)
		if err != nil {
			break
		}
		if bytes.Contains(request[:n], []byte(d.method)) && d.lost.Add(-1) >= 0 {
			ending.Store(true)
		}
		if _, err := server.Write(request[:n]); err != nil {
			break
		}
	}
	if !ending.Load() {
		server.Close()
	}
	<-done
	return nil
}

// TestLostAnswers loses the answers to changes that were made.
func TestLostAnswers(t *testing.T) {
	c := hdfstest.Shared(t)
	plain := connect(t, c, nil)
	dir := directory(t, plain)
	through := func(d *mute) dfs.FS {
		address := d.listen(t, c.Namenodes[0])
		return connect(t, c, func(config *hadoop.Config) {
			config.Namenodes, config.RetryFor = []string{address}, 5*time.Second
		})
	}
	renames, creations, ends := &mute{method: "rename2"}, &mute{method: "create"}, &mute{method: "complete"}
	for name, d := range map[string]*mute{"rename": renames, "creation": creations, "end": ends} {
		fsys := through(d)
		d.lost.Store(1)
		if err := write(t.Context(), fsys, dir+"/"+name, []byte(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := read(t.Context(), plain, dir+"/"+name); err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if d.lost.Load() > 0 {
			t.Errorf("%s: no answer was lost", name)
		}
	}
	fsys := through(renames)
	renames.lost.Store(1)
	if err := fsys.Rename(t.Context(), dir+"/end", dir+"/moved"); !errors.Is(err, dfs.ErrUnavailable) {
		t.Errorf("a rename without an answer: %v", err)
	}
	if _, err := plain.Stat(t.Context(), dir+"/moved"); err != nil {
		t.Error(err)
	}
	removals := &mute{method: "delete"}
	fsys = through(removals)
	removals.lost.Store(1)
	if err := fsys.Remove(t.Context(), dir+"/moved", false); !errors.Is(err, dfs.ErrUnavailable) {
		t.Errorf("a removal without an answer: %v", err)
	}
	// Nothing that was begun is left. Hidden files do not show in a listing of ours.
	names, err := raw(t, c).ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
}
