package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/executortest"
	"github.com/clic-orchestrator/clic/executors/local"
)

// hostEnv makes the test binary the other process of the suite; its value is the configuration's directory.
const hostEnv = "LOCAL_TEST_HOST"

// privateEnv makes that process's executor a private one.
const privateEnv = "LOCAL_TEST_PRIVATE"

func TestMain(m *testing.M) {
	if local.RunShimIfAsked() {
		return
	}
	if dir := os.Getenv(hostEnv); dir != "" {
		c := config(dir)
		c.Private = os.Getenv(privateEnv) != ""
		e, err := local.New(c)
		if err == nil {
			err = executortest.Serve(e, os.Stdin, os.Stdout)
		}
		if err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const logLimit = 4 << 20

func config(dir string) local.Config {
	return local.Config{
		DataDir: filepath.Join(dir, "data"), SecretsDir: filepath.Join(dir, "secrets"), ConfigDir: filepath.Join(dir, "config"),
		LogLimit: logLimit,
	}
}

func TestConformance(t *testing.T) {
	t.Setenv("EXECUTORTEST_LEAK", "the master's own")
	executortest.Run(t, func(t *testing.T) *executortest.Subject {
		t.Helper()
		dir := t.TempDir()
		checkNursery(t, config(dir).DataDir)
		return &executortest.Subject{
			Open:      opener(config(dir)),
			Shared:    t.TempDir(),
			PutSecret: put(config(dir).SecretsDir),
			PutConfig: put(config(dir).ConfigDir),
			Kept:      []string{config(dir).DataDir},
			Alive:     alive,
			HostEnv:   []string{hostEnv + "=" + dir},
			LogLimit:  logLimit,
		}
	})
}

func open(tb testing.TB, c local.Config) *local.Executor {
	tb.Helper()
	e, err := local.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func opener(c local.Config) func(t *testing.T) executors.Executor {
	return func(t *testing.T) executors.Executor {
		t.Helper()
		return open(t, c)
	}
}

func put(dir string) func(t *testing.T, name, key, value string) {
	return func(t *testing.T, name, key, value string) {
		t.Helper()
		err := os.MkdirAll(filepath.Join(dir, name), 0o700)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name, key), []byte(value+"\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// alive looks at the process's state: whoever inherits an orphan may be slow to reap it.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest != "" && rest[0] != 'Z' && rest[0] != 'X'
}

// checkNursery fails the test if its nursery has complained, or does not end when the test is over.
func checkNursery(tb testing.TB, data string) {
	tb.Helper()
	tb.Cleanup(func() {
		lock, err := os.Open(filepath.Join(data, "nursery-v1.lock"))
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if err != nil {
			tb.Error(err)
			return
		}
		defer func() { _ = lock.Close() }()
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // it holds the lock as long as it lives
			tb.Error(err)
		}
		complaints, err := os.ReadFile(filepath.Join(data, "nursery.log"))
		if err != nil {
			tb.Error(err)
		}
		for line := range strings.Lines(string(complaints)) {
			if !strings.Contains(line, "level=INFO") {
				tb.Errorf("nursery: %s", line)
			}
		}
	})
}
