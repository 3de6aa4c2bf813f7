// Package shell_test runs the scripts in testdata/script: the real clic, as a process of its own, against a real master.
package shell_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/root"
)

func TestMain(m *testing.M) {
	if local.RunShimIfAsked() {
		return
	}
	testscript.Main(m, map[string]func(){
		"clic": func() { os.Exit(root.Main(context.Background(), factory.New("v1.2.3"), os.Args[1:])) },
	})
}

// TestScripts runs every script. Beside the commands of testscript they have
//
//	master start|stop           a master of the script's own, at $CLIC_MASTER; its data outlives a stop
//	exits STATUS PROGRAM ARG... run a program that ends with this status
//	appears FILE TEXT           wait until the file, which a program in the background writes, has the text
//	capture NAME                put the last standard output, without its line break, into a variable
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "LANG=C.UTF-8", "TZ=UTC", "USER=ann", "CLIC_HOME="+e.WorkDir+"/home", "TMPDIR="+e.WorkDir+"/.tmp", "FIFO="+e.WorkDir+"/fifo")
			m := &running{}
			e.Values[masterKey{}] = m
			e.Defer(func() {
				if err := m.stop(); err != nil {
					t.Errorf("the master: %v", err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"master":  masterCmd,
			"exits":   exitsCmd,
			"capture": captureCmd,
			"appears": appearsCmd,
		},
	})
}

// running is a master of a script.
type running struct {
	address string
	cancel  context.CancelFunc
	done    chan error
}

// masterKey finds the script's master.
type masterKey struct{}

func masterCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: master start|stop")
	}
	m, _ := ts.Value(masterKey{}).(*running)
	if m == nil {
		ts.Fatalf("the script has no place for a master")
	}
	switch args[0] {
	case "start":
		ts.Check(m.start(ts))
	case "stop":
		ts.Check(m.stop())
	default:
		ts.Fatalf("master %s?", args[0])
	}
}

func (m *running) start(ts *testscript.TestScript) error {
	listen := "127.0.0.1:0"
	if m.address != "" {
		listen = m.address // where it was before it was stopped
	}
	work := ts.Getenv("WORK")
	server, err := master.New(master.Config{
		Listen: listen, DataDir: filepath.Join(work, ".data"), PlanDirs: []string{work}, ResultDirs: []string{work},
		Uploads: master.UploadsConfig{Dir: filepath.Join(work, ".uploads")}, Version: "v1.2.3",
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done, m.address = cancel, make(chan error, 1), server.Addr().String()
	go func() { m.done <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-m.done:
		m.cancel = nil
		cancel()
		return errors.Join(errors.New("the master has ended"), err)
	}
	ts.Setenv("CLIC_MASTER", m.address)
	return nil
}

func (m *running) stop() error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	m.cancel = nil
	return <-m.done
}

func exitsCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func captureCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture NAME")
	}
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile("stdout"), "\n"))
}

func appearsCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: appears FILE TEXT")
	}
	file := ts.MkAbs(args[0])
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(30 * time.Second)
	for {
		b, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(b), args[1]) {
			return
		}
		select {
		case <-ticker.C:
		case <-late:
			ts.Fatalf("%q does not appear in %s: %v\n%s", args[1], args[0], err, b)
		}
	}
}
