package master_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/store"
)

func TestTwoMastersOnOneDirectory(t *testing.T) {
	cfg := config(t, t.TempDir())
	first := run(t, cfg)
	_, err := master.New(cfg)
	if !errors.Is(err, master.ErrInUse) {
		t.Fatalf("second master: %v", err)
	}
	for _, want := range []string{cfg.DataDir, fmt.Sprint("process ", os.Getpid()), first.Addr().String(), "--data-dir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message does not name %q: %v", want, err)
		}
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	run(t, cfg)
}

func TestTwoMastersOnOneStore(t *testing.T) {
	cfg := config(t, t.TempDir())
	cfg.Store = "bolt://" + t.TempDir()
	run(t, cfg)
	other := config(t, t.TempDir())
	other.Store = cfg.Store
	if _, err := master.New(other); !errors.Is(err, master.ErrInUse) || !strings.Contains(err.Error(), "--store") {
		t.Errorf("another data directory: %v", err)
	}
	cfg.Store = ""
	if _, err := master.New(cfg); !errors.Is(err, master.ErrInUse) || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("another store: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config(t, t.TempDir())
	cfg.Listen = l.Addr().String()
	_, err = master.New(cfg)
	if !errors.Is(err, master.ErrInUse) || !strings.Contains(err.Error(), cfg.Listen) || !strings.Contains(err.Error(), "--listen") {
		t.Fatalf("got %v", err)
	}
	// The failed one has let go of the directory.
	cfg.Listen = "127.0.0.1:0"
	run(t, cfg)
}

func TestLifeOfAMaster(t *testing.T) {
	t.Run("closed without having run", func(t *testing.T) {
		m, err := master.New(config(t, t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := m.Run(t.Context()); err == nil {
			t.Error("a closed master runs")
		}
	})
	t.Run("stopped before it is up", func(t *testing.T) {
		m, err := master.New(config(t, t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if err := m.Run(ctx); err == nil {
			t.Error("it runs twice")
		}
	})
	t.Run("without a port", func(t *testing.T) {
		cfg := config(t, t.TempDir())
		cfg.NoListen = true
		r := run(t, cfg)
		if r.Addr() != nil {
			t.Errorf("it listens on %v", r.Addr())
		}
		page, err := r.API().Tasks(t.Context(), store.Query{})
		if err != nil || len(page.Tasks) != 0 {
			t.Errorf("tasks: %+v, %v", page, err)
		}
	})
	t.Run("with a bad configuration", func(t *testing.T) {
		for _, change := range []func(*master.Config){
			func(c *master.Config) { c.DataDir = "" },
			func(c *master.Config) { c.Listen = "nowhere" },
			func(c *master.Config) { c.Store = "redis://:secret@host:6379" },
			func(c *master.Config) { c.Executors = map[string]string{"java": "kube"} },
			func(c *master.Config) { c.PlanDirs = []string{"relative"} },
			func(c *master.Config) { c.TimeZone = "Nowhere/Land" },
		} {
			cfg := config(t, t.TempDir())
			change(&cfg)
			_, err := master.New(cfg)
			if err == nil {
				t.Errorf("%+v is taken", cfg)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("the message tells a password: %v", err)
			}
		}
	})
}

// What runs while the master is away is taken up again, and the answer is the same as without the break.
func TestRestartUnderARunningStage(t *testing.T) {
	dir := t.TempDir()
	cfg := config(t, dir)
	first := run(t, cfg)
	c, _ := first.connect(t)
	gate := filepath.Join(dir, "gate")
	a := ok[*thriftmaster.SubmitAnswer](t)(c.Submit(t.Context(), &thriftmaster.Submission{Plan: gated, Parameters: map[string]string{"gate": gate}}))
	stages := ok[*thriftmaster.StagePage](t)(c.ListStages(t.Context(), &thriftmaster.StageQuery{TaskName: a.TaskName}))
	until(t, c, a.TaskName, stages.Stages[0].StageId, "RUNNING")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	second := run(t, cfg)
	c, _ = second.connect(t)
	until(t, c, a.TaskName, "", "COMPLETED")
	for _, v := range ok[*thriftmaster.StagePage](t)(c.ListStages(t.Context(), &thriftmaster.StageQuery{TaskName: a.TaskName})).Stages {
		if v.State != thriftmaster.StageState_COMPLETED || v.Attempt != 0 {
			t.Errorf("%s: %v, attempt %d", v.StageId, v.State, v.Attempt)
		}
	}
}
