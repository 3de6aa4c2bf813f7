package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master"
)

// asMain makes the test program the program itself.
const asMain = "CLIC_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asSleeper) != "" {
		sleeper()
		return
	}
	if os.Getenv(asMain) != "" || len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "__") {
		main()
		return
	}
	m.Run()
}

// patience is how long tests wait for what must happen soon.
const patience = 60 * time.Second

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen: 127.0.0.1:0\nslot: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	home := func(k string) string {
		if k == "HOME" {
			return dir
		}
		return ""
	}
	for _, tc := range []struct {
		args        []string
		getenv      func(string) string
		code        int
		out, stderr string
	}{
		{args: []string{"--version"}, out: "clic-master unknown\n"},
		{args: []string{"--help"}, out: "Exit codes:"},
		{args: []string{"-h"}, out: "clic-master --listen 0.0.0.0:7777"},
		{args: []string{"--listn", "x"}, code: exitUsage, stderr: "unknown flag: --listn"},
		{args: []string{"plan.yaml"}, code: exitUsage, stderr: "plan.yaml"},
		{args: []string{"--slots", "0"}, code: exitUsage, stderr: "--slots 0"},
		{args: []string{"--slots", "many"}, code: exitUsage, stderr: "many"},
		{args: []string{"--config", bad}, code: exitConfig, stderr: "bad.yaml:2: slot: unknown setting (did you mean slots?)"},
		{args: []string{"--config", filepath.Join(dir, "none")}, code: exitConfig, stderr: "no such file"},
		{args: []string{"--listen", "here"}, code: exitConfig, stderr: `"here" is not HOST:PORT`},
		{args: []string{"--store", "redis://:secret@h:port"}, code: exitConfig, stderr: "port"},
		{args: []string{"--store", "redis://:secret@127.0.0.1:1"}, code: exitFailed, stderr: "127.0.0.1:1"},
		{args: []string{"--executor", "docker"}, code: exitConfig, stderr: `platform "*" is to be run by executor "docker", which is not known (there is local, kube, spark)`},
		{args: []string{"--executor", "kube", "--namespace", "A_B"}, code: exitConfig, stderr: `"A_B" cannot be a namespace's name`},
		{args: []string{"--executor", "kube", "--kubeconfig", filepath.Join(dir, "none")}, code: exitFailed, stderr: filepath.Join(dir, "none")},
		{args: []string{"--log-format", "xml"}, code: exitConfig, stderr: `unknown format "xml"`},
		{args: []string{"--log-level", "loud"}, code: exitConfig, stderr: `unknown level "loud"`},
		{getenv: func(string) string { return "" }, code: exitFailed, stderr: "give --data-dir"},
	} {
		if tc.getenv == nil {
			tc.getenv = home
		}
		var out, stderr bytes.Buffer
		code := run(tc.args, &out, &stderr, tc.getenv)
		if code != tc.code || !strings.Contains(out.String(), tc.out) || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("%q: exit code %d, want %d\nstdout: %s\nstderr: %s", tc.args, code, tc.code, &out, &stderr)
		}
		if strings.Contains(stderr.String(), "secret") {
			t.Errorf("%q tells a password: %s", tc.args, &stderr)
		}
	}
}

func TestOptionsWinOverTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:1\nstop-timeout: 3s\nslots: {global: 5, executor: {local: 4}}\nplan-dirs: [/p]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	o := options{config: file, listen: "127.0.0.1:2", slots: 9, dataDir: "d", resultDirs: []string{"r"}}
	cfg, err := o.load(func(string) string { return "/home/ann" })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "127.0.0.1:2" || cfg.StopTimeout != 3*time.Second || cfg.Slots.Executor["local"] != 9 || cfg.Slots.Global != 5 ||
		cfg.PlanDirs[0] != "/p" || cfg.ResultDirs[0] != filepath.Join(dir, "r") || cfg.DataDir != filepath.Join(dir, "d") {
		t.Errorf("%+v", cfg)
	}
	cfg, err = (&options{}).load(func(k string) string { return map[string]string{"HOME": "/home/ann"}[k] })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DataDir != "/home/ann/.local/share/clic" || cfg.Listen != master.DefaultListen || cfg.PlanDirs[0] != "/home/ann" || cfg.PlanDirs[1] != dir {
		t.Errorf("%+v", cfg)
	}
}

func TestKubernetesOptions(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	const text = "executors: {'*': local, java: kube/gpu}\nslots: {executor: {kube/gpu: 7}}\nkube: {namespace: a, context: c, clusters: {gpu: {stage-image: own}, cpu: }}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	o := options{config: file, executor: "kube", namespace: "b", kubeconfig: "k", slots: 9, dataDir: "d", advertise: "me:1"}
	env := map[string]string{"HOME": "/home/ann", "CLIC_STAGE_IMAGE": "registry/clic:1"}
	cfg, err := o.load(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Executors["*"] != "kube" || cfg.Executors["java"] != "kube/gpu" || cfg.Advertise != "me:1" {
		t.Errorf("executors %v, advertises %s", cfg.Executors, cfg.Advertise)
	}
	if s := cfg.Slots.Executor; len(s) != 2 || s["kube"] != 9 || s["kube/gpu"] != 7 {
		t.Errorf("slots %v", s)
	}
	if k := cfg.Kube; k.Namespace != "b" || k.Kubeconfig != "k" || k.Context != "c" || k.StageImage != "registry/clic:1" {
		t.Errorf("%+v", k)
	}
	if gpu, cpu := cfg.Clusters["gpu"], cfg.Clusters["cpu"]; gpu.StageImage != "own" || cpu.StageImage != "registry/clic:1" || gpu.Namespace != "a" {
		t.Errorf("%+v\n%+v", gpu, cpu)
	}
}

func TestGreeting(t *testing.T) {
	for _, tc := range []struct{ listen, addr, out, warning string }{
		{"127.0.0.1:7777", "127.0.0.1:7777", "clic-master listens on 127.0.0.1:7777, data in /d; submit with: clic submit plan.yaml\n", ""},
		{"127.0.0.1:0", "127.0.0.1:40000", "clic-master listens on 127.0.0.1:40000, data in /d; submit with: clic --master 127.0.0.1:40000 submit plan.yaml\n", ""},
		{"0.0.0.0:7777", "0.0.0.0:7777", "clic-master listens on 0.0.0.0:7777, data in /d; submit with: clic --master 127.0.0.1:7777 submit plan.yaml\n", "no authentication"},
		{":7777", "[::]:7777", "clic-master listens on [::]:7777, data in /d; submit with: clic --master 127.0.0.1:7777 submit plan.yaml\n", "no authentication"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", tc.addr)
		if err != nil {
			t.Fatal(err)
		}
		var out, warning bytes.Buffer
		greet(master.Config{Listen: tc.listen, DataDir: "/d"}, addr, &out, &warning)
		if out.String() != tc.out || !strings.Contains(warning.String(), tc.warning) || (tc.warning == "") != (warning.Len() == 0) {
			t.Errorf("%+v:\n%s%s", tc, &out, &warning)
		}
	}
}

// program is clic-master as a process.
type program struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bufio.Reader
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), asMain+"=1", "HOME="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &program{cmd, bufio.NewReader(out), bufio.NewReader(errs)}
}

// exit reads what is left of the program's output and gives its exit code with its error output.
func (p *program) exit(t *testing.T) (code int, stderr string) {
	t.Helper()
	b, err := io.ReadAll(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, p.stdout); err != nil {
		t.Fatal(err)
	}
	err = p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode(), string(b)
}

// address reads the line that says where the master listens.
func (p *program) address(t *testing.T) string {
	t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		_, stderr := p.exit(t)
		t.Fatalf("no greeting: %v\n%s", err, stderr)
	}
	addr, ok := strings.CutPrefix(line, "clic-master listens on ")
	addr, _, found := strings.Cut(addr, ",")
	if !ok || !found {
		t.Fatalf("greeting: %q", line)
	}
	return addr
}

func TestProgram(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first := start(t, "--listen", "127.0.0.1:0", "--data-dir", data, "--log-format", "json")
	addr := first.address(t)

	code, stderr := start(t, "--listen", "127.0.0.1:0", "--data-dir", data).exit(t)
	if code != exitInUse || !strings.Contains(stderr, data) || !strings.Contains(stderr, addr) {
		t.Errorf("a second one on the same data: exit code %d\n%s", code, stderr)
	}
	code, stderr = start(t, "--listen", addr, "--data-dir", data+"2").exit(t)
	if code != exitInUse || !strings.Contains(stderr, "--listen") {
		t.Errorf("a second one on the same port: exit code %d\n%s", code, stderr)
	}
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code, stderr = first.exit(t)
	if code != exitOK || !strings.HasPrefix(stderr, "{") {
		t.Errorf("after SIGTERM: exit code %d\n%s", code, stderr)
	}
	if b, err := os.ReadDir(data); err != nil || len(b) == 0 {
		t.Errorf("data directory: %v, %v", b, err)
	}
}

// The first signal waits for a call that is under way, the second does not.
func TestSecondSignal(t *testing.T) {
	for range 10 {
		p := start(t, "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
		halfCall(t, p.address(t))
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := p.stderr.ReadString('\n')
			if err != nil || strings.Contains(line, "stopping") {
				break
			}
		}
		second := p.cmd.Process.Signal(syscall.SIGINT)
		code, stderr := p.exit(t)
		if second != nil || code == exitOK {
			continue // the signal was faster than the call: the connection was idle
		}
		if code != exitSignaled || !strings.Contains(stderr, "at once") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		return
	}
	t.Error("the first signal never waits")
}

// halfCall makes a call on a connection, and begins another one.
func halfCall(t *testing.T, addr string) {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	call := "\x80\x01\x00\x01\x00\x00\x00\x19TaskService:getMasterInfo\x00\x00\x00\x01\x00"
	if _, err := io.WriteString(nc, call); err != nil {
		t.Fatal(err)
	}
	// The answer shows that the connection is served.
	if _, err := nc.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, call[:20]); err != nil {
		t.Fatal(err)
	}
}
