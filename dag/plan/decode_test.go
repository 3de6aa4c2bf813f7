package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/google/go-cmp/cmp"
	sigs "sigs.k8s.io/yaml"
)

// decoded reads a plan with the decoder alone.
func decoded(t *testing.T, text []byte) (*wfv1.Workflow, Diagnostics) {
	t.Helper()
	ds := &collector{}
	root := readTree(text, ds)
	if root == nil {
		t.Fatal(ds.list)
	}
	wf := &wfv1.Workflow{}
	use := &usage{root: newRules()}
	dec := &decoder{ds: ds, types: map[reflect.Type]*structInfo{}, use: use}
	dec.value(root, reflect.ValueOf(wf).Elem(), nil, use.root)
	return wf, ds.list
}

// TestDecodeLikeArgo compares the decoder with the one that Argo uses.
func TestDecodeLikeArgo(t *testing.T) {
	var files []string
	for _, dir := range []string{"probes", "runs"} {
		found, err := filepath.Glob("testdata/" + dir + "/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	texts := map[string][]byte{"odd": []byte(`
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: &meta
  name: 010
  labels: &labels {yes: no, 5: 0x10, a: ~, b: 1.50, c: 2001-01-01, "on": "off"}
  annotations: {<<: *labels, a: own}
spec:
  priority: 0x10
  parallelism: 1e3
  suspend: On
  arguments:
    parameters:
    - {name: n, value: n}
    - {name: big, value: 12345678901234}
    - {name: float, value: 1.10}
    - {name: text, value: "1.10"}
    - name: multi
      value: |
        a
          b
  templates:
  - name: main
    activeDeadlineSeconds: "{{inputs.parameters.x}}"
    retryStrategy: {limit: 3, backoff: {factor: "2", duration: 5}}
    container:
      image: a
      args: [1, true, 1.5, "x", ~]
      resources: {limits: {cpu: 1.5, memory: 1Gi}, requests: {cpu: "100m"}}
  - name: loop
    steps:
    - - {name: a, template: main, withItems: [1, true, x, [1, "2"], {a: b, 1: 2}, ~, 1.50, 010]}
    - []
`)}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = b
	}
	for name, text := range texts {
		want := &wfv1.Workflow{}
		if err := sigs.Unmarshal(text, want); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, _ := decoded(t, text)
		if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
			t.Errorf("%s (-Argo +clic):\n%s", name, diff)
		}
	}
}

func asJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
