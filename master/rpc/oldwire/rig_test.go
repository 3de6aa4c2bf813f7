package oldwire_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/engine"
)

func TestMain(m *testing.M) {
	// The test program is also what runs stages under the master.
	if local.RunShimIfAsked() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long tests wait for what must happen soon.
const patience = 90 * time.Second

// rig is a real master with a store and processes of its own, and what to talk to it with.
type rig struct {
	t      *testing.T
	master *master.Master
	py     python
	// dir is where plans, DAG files and results are; the master may read it.
	dir string
}

func newRig(t *testing.T, py python, change func(*master.Config)) *rig {
	t.Helper()
	r := &rig{t: t, py: py, dir: t.TempDir()}
	cfg := master.Config{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), PlanDirs: []string{r.dir}, ResultDirs: []string{r.dir},
		TimeZone: "UTC", Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&cfg)
	}
	m, err := master.New(cfg)
	must(t, err)
	r.master = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the master ended with %v", err)
		}
	})
	select {
	case <-m.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("the master did not start: %v", err)
	}
	return r
}

// answer is what a client printed.
type answer struct {
	Value     json.RawMessage `json:"value"`
	Exception string          `json:"exception"`
	Type      int             `json:"type"`
	Message   string          `json:"message"`
}

// client is a running program of the old system.
type client struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	name string
}

func (r *rig) client(t *testing.T, form string, program string, args ...string) *client {
	t.Helper()
	host, port, err := net.SplitHostPort(r.master.Addr().String())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, append(args, host, port, form)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+r.py.path)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the client ended with %v", err)
		}
		cancel()
	})
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	return &client{t: t, in: in, out: scanner, name: filepath.Base(program) + " " + form}
}

func (r *rig) python(t *testing.T, form string) *client {
	t.Helper()
	return r.client(t, form, r.py.interpreter, testdata(t, "python", "client.py"))
}

func (r *rig) java(t *testing.T, classPath, form string) *client {
	t.Helper()
	return r.client(t, form, "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", classPath, "OldClient")
}

// call makes a call and gives the client's answer.
func (c *client) call(method string, args ...string) answer {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, strings.Join(append([]string{method}, args...), "\t")); err != nil {
		c.t.Fatalf("%s: cannot call %s: %v", c.name, method, err)
	}
	if !c.out.Scan() {
		c.t.Fatalf("%s: no answer to %s: %v", c.name, method, c.out.Err())
	}
	var a answer
	if err := json.Unmarshal(c.out.Bytes(), &a); err != nil {
		c.t.Fatalf("%s: answer to %s: %v\n%s", c.name, method, err, c.out.Bytes())
	}
	return a
}

// value decodes the answer of a call that must succeed.
func value[T any](c *client, method string, args ...string) T {
	c.t.Helper()
	a := c.call(method, args...)
	if a.Exception != "" {
		c.t.Fatalf("%s: %s%q raised %s (type %d): %s", c.name, method, args, a.Exception, a.Type, a.Message)
	}
	var v T
	if err := json.Unmarshal(a.Value, &v); err != nil {
		c.t.Fatalf("%s: %s: %v", c.name, method, err)
	}
	return v
}

// raises checks that a call raises a TApplicationException.
func (c *client) raises(kind int, text, method string, args ...string) {
	c.t.Helper()
	a := c.call(method, args...)
	if a.Exception != "TApplicationException" || kind >= 0 && a.Type != kind || !strings.Contains(a.Message, text) {
		c.t.Errorf("%s: %s%q gave %+v, want a TApplicationException of type %d with %q", c.name, method, args, a, kind, text)
	}
}

// stage is a task of a plan of the CLIC form, and what its program does; see testdata/python/stage.py.
type stage struct {
	name, after string
	params      map[string]string
	// option is an option that the program does not know.
	option string
}

// plan writes a plan of the form that the old system generates, with its DAG files, and gives its path.
func (r *rig) plan(t *testing.T, name string, stages ...stage) string {
	t.Helper()
	var tasks strings.Builder
	for _, s := range stages {
		b, err := json.Marshal(map[string]any{"operators": []any{
			map[string]any{"id": "op1", "params": s.params},
			map[string]any{"id": "op2", "params": map[string]string{}},
		}})
		must(t, err)
		file := filepath.Join(r.dir, name+"-"+s.name+".dag")
		must(t, os.WriteFile(file, b, 0o644))
		fmt.Fprintf(&tasks, "      - name: %s\n        template: python-exec\n", s.name)
		if s.after != "" {
			fmt.Fprintf(&tasks, "        dependencies: [%s]\n", s.after)
		}
		line := fmt.Sprintf("PYTHONPATH=%s %s %s --udfPath=/none --dagPath=%s", r.py.path, r.py.interpreter, testdata(t, "python", "stage.py"), file)
		if s.option != "" {
			line += " " + s.option
		}
		fmt.Fprintf(&tasks, "        arguments:\n          parameters:\n          - {name: pythonArgs, value: %q}\n", line)
	}
	path := filepath.Join(r.dir, name+".yaml")
	must(t, os.WriteFile(path, []byte(fmt.Sprintf(planYAML, name, tasks.String())), 0o644))
	return path
}

const planYAML = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: %s-
spec:
  entrypoint: dag-template
  volumes:
  - name: nfs-volume
    persistentVolumeClaim:
      claimName: pvc-nfs
  templates:
  - name: dag-template
    dag:
      tasks:
%s  - name: python-exec
    inputs:
      parameters:
      - name: pythonArgs
    container:
      image: clic-python:v1
      imagePullPolicy: IfNotPresent
      command: [sh, -c]
      args: ["echo {{inputs.parameters.pythonArgs}}"]
      volumeMounts:
      - name: nfs-volume
        mountPath: /data
`

// file is a path in the rig's directory.
func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

// touch makes a file, for which a stage waits.
func (r *rig) touch(name string) { must(r.t, os.WriteFile(r.file(name), nil, 0o644)) }

// task gives the full name of the task of a plan, of which there must be one.
func (r *rig) task(t *testing.T, plan string) string {
	t.Helper()
	page, err := r.master.API().Tasks(t.Context(), query(plan))
	must(t, err)
	if len(page.Tasks) != 1 {
		t.Fatalf("plan %s has %d tasks", plan, len(page.Tasks))
	}
	return page.Tasks[0].Name
}

// until watches the task until a stage (or the task: "") has the status.
func (r *rig) until(t *testing.T, task, stage, status string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var cursor uint64
	var seen []engine.Event
	for {
		page, err := r.master.API().Watch(ctx, task, cursor, 0)
		must(t, err)
		seen = append(seen, page.Events...)
		for _, e := range page.Events {
			if e.Stage == stage && e.To == status {
				return
			}
		}
		if page.Done || ctx.Err() != nil {
			for _, e := range seen {
				t.Logf("%s %s -> %s %s", e.Stage, e.From, e.To, e.Message)
			}
			t.Fatalf("%s %s did not become %s", task, stage, status)
		}
		cursor = page.Cursor
	}
}

// stageView reads a stage.
func (r *rig) stageView(t *testing.T, id string) *engine.StageView {
	t.Helper()
	v, err := r.master.API().Stage(t.Context(), id)
	must(t, err)
	return v
}

// wantStatus checks a stage's status.
func (r *rig) wantStatus(t *testing.T, id string, want dag.Status) *engine.StageView {
	t.Helper()
	v := r.stageView(t, id)
	if v.Status != want {
		t.Errorf("stage %s is %v (%s), want %v", id, v.Status, v.Message, want)
	}
	return v
}
