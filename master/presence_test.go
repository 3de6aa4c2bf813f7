package master

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestLeaving(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if leaving(os.Getpid()) || leaving(cmd.Process.Pid) {
		t.Error("a process that runs is not leaving")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !leaving(cmd.Process.Pid); { // nobody has waited for it: it stays as a zombie
		if time.Now().After(end) {
			t.Fatal("a process that was killed is leaving")
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("sleep was not killed")
	}
	if !leaving(cmd.Process.Pid) {
		t.Error("a process that is gone has left")
	}
}

// TestLockOfALeavingMaster: the lock of somebody who is not leaving is refused at once; that of somebody who has left is
// waited for.
func TestLockOfALeavingMaster(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, lockName)
	holder, err := lockFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockSoon(name, dir, false); err == nil {
		t.Fatal("locked twice")
	}
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, presenceFile), []byte(`{"pid":`+strconv.Itoa(gone.Process.Pid)+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		f, err := lockSoon(name, dir, false)
		if err == nil {
			err = f.Close()
		}
		got <- err
	}()
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the lock of a process that is gone: %v", err)
	}
}
