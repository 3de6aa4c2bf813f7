package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/shell/client"
)

// masterProcess is a clic-master that runs as a process of its own.
type masterProcess struct {
	cmd    *exec.Cmd
	client *client.Client
	stderr bytes.Buffer
	read   chan struct{} // closed once its output is at its end

	// cpu is the time that it took of processors, peak its greatest resident memory in bytes, of which program are pages of its file.
	// They are known once it has ended.
	cpu           time.Duration
	peak, program float64
}

// masterProgram builds the master, once.
func (b *bench) masterProgram() (string, error) {
	program := filepath.Join(b.dir, "clic-master")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "github.com/clic-orchestrator/clic/master/clic-master")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the image
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build clic-master: %w\n%s", err, out)
	}
	return program, nil
}

var listens = regexp.MustCompile(`listens on (\S+),`)

// startMaster starts a master whose stages run on the simulated nodes of the cluster.
func (b *bench) startMaster(c *cluster) (*masterProcess, error) {
	k := c.kubeConfig(true)
	return b.startMasterWith(map[string]any{
		"executors": map[string]string{"*": "kube"},
		"kube":      map[string]any{"namespace": k.Namespace, "instance": k.Instance, "node-selector": k.NodeSelector, "tolerations": k.Tolerations},
	})
}

// startMasterWith starts a master with settings, to which it adds the address and the directory for its data.
func (b *bench) startMasterWith(settings map[string]any) (*masterProcess, error) {
	program, err := b.masterProgram()
	if err != nil {
		return nil, err
	}
	dir, err := b.fresh()
	if err != nil {
		return nil, err
	}
	settings["listen"], settings["data-dir"] = "127.0.0.1:0", filepath.Join(dir, "data")
	config, err := json.Marshal(settings) // which is YAML too
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "master.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	p := &masterProcess{read: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(b.ctx), program, "--config", file, "--log-level", "warn")
	p.cmd.Stderr = &p.stderr
	// Ctrl-C is for this program, which then ends the master.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start clic-master: %w", err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	go func() {
		defer close(p.read)
		_, _ = io.Copy(io.Discard, lines) // its end is all that matters
	}()
	address := listens.FindStringSubmatch(first)
	if err != nil || address == nil {
		err = errors.Join(err, p.stop())
		return nil, fmt.Errorf("clic-master does not say where it listens but %q: %w\n%s", first, err, p.errors())
	}
	p.client = client.New(client.Config{Address: address[1]})
	return p, nil
}

// stop ends the master in good order, and takes down what it needed.
func (p *masterProcess) stop() error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			p.peak = kib * 1024
		}
		if _, err := fmt.Sscanf(line, "RssFile: %f kB", &kib); err == nil {
			p.program = kib * 1024
		}
	}
	if p.client != nil {
		err = errors.Join(err, p.client.Close())
	}
	err = errors.Join(err, p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.read
	err = errors.Join(err, p.cmd.Wait())
	p.cpu = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	return err
}

// errors is what it complained about. It can be asked once it has ended.
func (p *masterProcess) errors() string {
	if p.cmd.ProcessState == nil {
		return ""
	}
	return strings.TrimSpace(p.stderr.String())
}
