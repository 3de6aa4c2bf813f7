//go:build cluster

package deploytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long the tests wait for what must happen soon, deployPatience for the first start of everything.
const (
	patience       = 2 * time.Minute
	deployPatience = 5 * time.Minute
)

// namespace is that of the manifests.
const namespace = "argo"

// rig is the deployment under test.
type rig struct {
	// kustomization is the directory that was applied.
	kustomization string
	// volume is the directory of the node that all see as /data.
	volume string
	// shell is the program clic, address the Service as it is reached from outside of the cluster.
	shell, address string
	kubectlPath    string
}

// newRig applies the test overlay and waits until both masters are ready.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{volume: volume(t), kustomization: t.TempDir(), shell: program(t, "../../build/image/clic"), kubectlPath: program(t, "kubectl")}
	overlay, err := filepath.Abs("../kubernetes/overlays/test")
	must(t, err)
	overlay, err = filepath.Rel(r.kustomization, overlay)
	must(t, err)
	r.kustomize(t, fmt.Sprintf(kustomizationYAML, overlay, r.volume))
	t.Cleanup(func() { r.remove(t) })
	r.kubectl(t, "apply", "-k", r.kustomization)
	for _, what := range []string{"statefulset/clic-redis", "deployment/clic-master"} {
		if out, err := r.tryKubectl(t.Context(), "-n", namespace, "rollout", "status", what, "--timeout="+deployPatience.String()); err != nil {
			t.Fatalf("%s is not ready: %v\n%s\n%s", what, err, out, r.state(t))
		}
	}
	ip := r.kubectl(t, "-n", namespace, "get", "service", "clic-master-svc", "-o", "jsonpath={.spec.clusterIP}")
	r.address = ip + ":7777"
	// Ready masters are reached through the Service a moment later.
	r.untilServed(t)
	return r
}

const kustomizationYAML = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%s]
patches:
- target: {kind: PersistentVolume}
  patch: '[{"op": "replace", "path": "/spec/hostPath/path", "value": %q}]'
`

// keepNamespaceYAML as a patch leaves out the namespace: other tests use it as well, so it is not ours to remove.
const keepNamespaceYAML = `- patch: '{"$patch": "delete", "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo"}}'
`

func (r *rig) kustomize(t *testing.T, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(r.kustomization, "kustomization.yaml"), []byte(text), 0o644))
}

// volume makes a directory that pods can mount and write to.
func volume(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CLIC_CLUSTER_SHARED")
	if dir == "" {
		dir = os.TempDir()
	}
	dir, err := os.MkdirTemp(dir, "deploytest-") //nolint:usetesting // It is not below the test's own directory, which only we can read.
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	must(t, os.Chmod(dir, 0o777))
	return dir
}

// remove takes everything away again.
func (r *rig) remove(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := os.ReadFile(filepath.Join(r.kustomization, "kustomization.yaml"))
	must(t, err)
	r.kustomize(t, string(text)+keepNamespaceYAML)
	// First who makes Jobs, then all that uses the volume, then the volume with the rest.
	for _, args := range [][]string{
		{"-n", namespace, "delete", "deployment", "clic-master", "--ignore-not-found", "--cascade=foreground", "--timeout=60s"},
		{"-n", namespace, "delete", "jobs", "--selector=clic/instance=clic", "--cascade=foreground", "--timeout=60s"},
		{"-n", namespace, "delete", "pod", "old-shell", "--ignore-not-found", "--now"},
		{"-n", namespace, "delete", "configmap", "clic-epoch-clic", "--ignore-not-found"},
		{"delete", "-k", r.kustomization, "--ignore-not-found", "--timeout=60s"},
	} {
		if out, err := r.tryKubectl(ctx, args...); err != nil {
			t.Errorf("cannot remove the deployment: %v\n%s", err, out)
		}
	}
}

// state is what a person would look at.
func (r *rig) state(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var b strings.Builder
	for _, args := range [][]string{
		{"get", "all,persistentvolumeclaims", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "--selector=app.kubernetes.io/name=clic-master", "--tail=100", "--prefix"},
		{"logs", "--selector=app.kubernetes.io/name=clic-redis", "--tail=20"},
		{"logs", "--selector=app.kubernetes.io/managed-by=clic", "--all-containers", "--prefix", "--tail=50"},
	} {
		out, err := r.tryKubectl(ctx, append([]string{"-n", namespace}, args...)...)
		fmt.Fprintf(&b, "$ kubectl %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}

// program is the absolute path of a program.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	must(t, err)
	path, err = filepath.Abs(path)
	must(t, err)
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// output runs a program; its error has what it said.
func output(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

func (r *rig) tryKubectl(ctx context.Context, args ...string) (string, error) {
	return output(ctx, nil, r.kubectlPath, args...)
}

// kubectl runs kubectl, which must succeed.
func (r *rig) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.tryKubectl(t.Context(), args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// apply gives an object to the cluster.
func (r *rig) apply(t *testing.T, manifest string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "object.yaml")
	must(t, os.WriteFile(file, []byte(manifest), 0o644))
	r.kubectl(t, "-n", namespace, "apply", "-f", file)
}

// list decodes the objects of a kind into v, a pointer to a slice.
func (r *rig) list(t *testing.T, v any, kind, selector string) {
	t.Helper()
	out := r.kubectl(t, "-n", namespace, "get", kind, "--selector="+selector, "-o", "json")
	must(t, json.Unmarshal([]byte(out), &struct{ Items any }{v}))
}

// clic runs the shell from outside of the cluster, and gives what it printed.
func (r *rig) clic(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return output(t.Context(), []string{"CLIC_MASTER=" + r.address, "CLIC_HOME="}, r.shell, args...)
}

// mustClic is clic, which must succeed.
func (r *rig) mustClic(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.clic(t, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// stage is what the tests look at in the shell's JSON.
type stage struct {
	ID, Name, Path, Kind, Status, Message string
	Retries                               int
	Result                                *string
	Outputs                               map[string]string
	Started, Prepared, Ended              time.Time
}

// stages are the stages of a task. While a new leader is looked for there may be none.
func (r *rig) stages(t *testing.T, task string) ([]stage, error) {
	t.Helper()
	out, err := r.clic(t, "stages", task, "-o", "json")
	if err != nil {
		return nil, err
	}
	var all []stage
	err = json.Unmarshal([]byte(out), &all)
	return all, err
}

// until waits for a condition, which is asked several times a second.
func until(t *testing.T, what string, condition func() (bool, string)) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		done, seen := condition()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in %v it did not happen that %s; it is:\n%s", patience, what, seen)
		}
	}
}

// untilStatus waits until stages of a task, by their ids, have these statuses, all at once. It fails as soon as one of them has
// ended otherwise.
func (r *rig) untilStatus(t *testing.T, task string, want map[string]string) {
	t.Helper()
	until(t, fmt.Sprintf("the stages are %v", want), func() (bool, string) {
		all, err := r.stages(t, task)
		if err != nil {
			return false, err.Error()
		}
		var seen []string
		missing := len(want)
		for _, s := range all {
			seen = append(seen, fmt.Sprintf("%s %s %s", s.ID, s.Status, s.Message))
			w, asked := want[s.ID]
			if asked && s.Status == w {
				missing--
			} else if asked && slices.Contains([]string{"COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "OMITTED"}, s.Status) {
				t.Fatalf("stage %s is %s, and should be %s: %s", s.ID, s.Status, w, s.Message)
			}
		}
		return missing == 0, strings.Join(seen, "\n")
	})
}

// write puts a file onto the shared volume, below /data.
func (r *rig) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(r.volume, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o777))
	must(t, os.Chmod(filepath.Dir(path), 0o777))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// create gives a list of objects that only answer, and prints the answers.
func (r *rig) create(t *testing.T, list []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "list.json")
	must(t, os.WriteFile(file, list, 0o644))
	return r.kubectl(t, "create", "-f", file, "-o", "json")
}
