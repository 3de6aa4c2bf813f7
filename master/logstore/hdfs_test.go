//go:build hdfs

package logstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
	"github.com/clic-orchestrator/clic/master/logstore"
)

// A real HDFS that is away when attempts end has their logs in the end, and those from before are read again.
func TestHDFSAway(t *testing.T) {
	c := hdfstest.Own(t)
	fsys, err := hdfs.New(hadoop.Config{
		Name: c.Namenodes[0], Namenodes: c.Namenodes, User: c.User, CallTimeout: time.Second, RetryFor: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fsys.Close() })
	s := &site{spool: filepath.Join(t.TempDir(), "spool")}
	again := func() {
		t.Helper()
		if s.Store, err = logstore.New(logstore.Config{
			FS: fsys, Root: "/clic/logs", Spool: s.spool, BackoffCap: time.Second, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		s.Start()
	}
	written := func(what string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); len(s.waiting(t)) > 0; {
			if time.Now().After(end) {
				t.Fatalf("%s: %v still wait:\n%s", what, s.waiting(t), s.log.text.String())
			}
			<-time.After(50 * time.Millisecond)
		}
	}

	again()
	long := strings.Repeat("a line of a log\n", 1<<18) // 4 MiB
	s.put(t, "before", long)
	written("before")
	if s.Kept("before") || s.read(t, "before", 4<<20-5) != " log\n" || s.read(t, "before", 0) != long {
		t.Error("it was not written as it is")
	}

	c.Script(t, "kill", "namenode")
	began := time.Now()
	for i := range 20 {
		s.put(t, fmt.Sprintf("meanwhile-%d", i), "text")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("20 attempts that ended waited %v for HDFS", took)
	}
	if got := s.read(t, "meanwhile-7", 0); got != "text" {
		t.Errorf("meanwhile %q is read", got)
	}
	if _, err := s.Open(t.Context(), "before", 0); !errors.Is(err, dfs.ErrUnavailable) {
		t.Errorf("meanwhile that of before: %v", err)
	}
	if err := s.Remove("before"); err != nil {
		t.Error(err)
	}
	// The master is started again before HDFS is.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again()
	c.Script(t, "start", "namenode")
	c.Script(t, "up")
	written("afterwards")
	for i := range 20 {
		if got := s.read(t, fmt.Sprintf("meanwhile-%d", i), 0); got != "text" {
			t.Errorf("of %d: %q", i, got)
		}
	}
	s.gone(t, "before")
	if n := strings.Count(c.Tool(t, "dfs", "-ls", "-R", "/clic/logs"), ".log"); n != 20 {
		t.Errorf("%d logs are there:\n%s", n, c.Tool(t, "dfs", "-ls", "-R", "/clic/logs"))
	}
	if s.log.count("cannot write logs") == 0 {
		t.Errorf("nothing was said:\n%s", s.log.text.String())
	}
}
