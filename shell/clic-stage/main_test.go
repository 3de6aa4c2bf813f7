package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Bounds of what the helper may cost: it is copied into every pod, and runs beside every program.
const (
	maxSize   = 8 << 20
	maxMemory = 16 << 20
)

// build makes the program as the Makefile does, alone in the root of a file system.
func build(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=v1.2.3",
		"-o", filepath.Join(root, "clic-stage"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return root
}

func TestBinary(t *testing.T) {
	root := build(t)
	name := filepath.Join(root, "clic-stage")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxSize {
		t.Errorf("it has %d bytes, more than %d", info.Size(), maxSize)
	}
	program, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("it is not static")
		}
	}
	// In an image with nothing else in it, it installs itself and runs a program.
	for _, dir := range []string{"clic", "proc"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	inRoot := func(args ...string) string {
		t.Helper()
		unshare := []string{"--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--root=" + root}
		cmd := exec.CommandContext(t.Context(), "unshare", append(unshare, args...)...)
		var out, errOut bytes.Buffer
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"PATH=/bin"}, &out, &errOut
		if err := cmd.Run(); err != nil || errOut.Len() > 0 {
			t.Errorf("%q: %v: %s", args, err, &errOut)
		}
		return out.String()
	}
	inRoot("/clic-stage", "install", "/clic")
	if got := inRoot("/clic/clic-stage", "run", "--", "/clic-stage", "version"); got != "clic-stage v1.2.3\n" {
		t.Errorf("%q", got)
	}
}

// What reads plans and what speaks to clusters is large, and nothing of it belongs in here.
func TestDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		for _, part := range []string{"/clic/dag/", "/clic/master", "k8s.io/", "argoproj/", "yaml", "cobra"} {
			if strings.Contains(name, part) {
				t.Errorf("%s is linked", name)
			}
		}
	}
}

func TestMemory(t *testing.T) {
	root := build(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "clic-stage"), "run", "--", "sh", "-c", `grep VmHWM /proc/$PPID/status`)
	cmd.Env = append(os.Environ(), `CLIC_STAGE_OPTIONS={"result":true}`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(string(out), "VmHWM:"), "kB\n")))
	if err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	if kib<<10 > maxMemory {
		t.Errorf("it takes %d KiB", kib)
	}
	t.Logf("%d KiB", kib)
}
