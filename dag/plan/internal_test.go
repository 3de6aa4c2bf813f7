package plan

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestFieldTable: every field of Argo's types has a row in the table of fields, and every row is a field.
func TestFieldTable(t *testing.T) {
	types := map[string]reflect.Type{
		"workflow": reflect.TypeFor[wfv1.Workflow](), "meta": reflect.TypeFor[metav1.ObjectMeta](),
		"spec": reflect.TypeFor[wfv1.WorkflowSpec](), "workflowMetadata": reflect.TypeFor[wfv1.WorkflowMetadata](),
		"arguments": reflect.TypeFor[wfv1.Arguments](), "argument": reflect.TypeFor[wfv1.Parameter](),
		"inputs": reflect.TypeFor[wfv1.Inputs](), "outputs": reflect.TypeFor[wfv1.Outputs](),
		"output": reflect.TypeFor[wfv1.Parameter](), "inputFrom": reflect.TypeFor[wfv1.ValueFrom](),
		"outputFrom": reflect.TypeFor[wfv1.ValueFrom](), "hook": reflect.TypeFor[wfv1.LifecycleHook](),
		"retry": reflect.TypeFor[wfv1.RetryStrategy](), "sequence": reflect.TypeFor[wfv1.Sequence](),
		"dag": reflect.TypeFor[wfv1.DAGTemplate](), "resources": reflect.TypeFor[corev1.ResourceRequirements](),
		"env": reflect.TypeFor[corev1.EnvVar](), "envFrom": reflect.TypeFor[corev1.EnvVarSource](),
		"template": reflect.TypeFor[wfv1.Template](), "container": reflect.TypeFor[corev1.Container](),
		"script": reflect.TypeFor[wfv1.ScriptTemplate](), "step": reflect.TypeFor[wfv1.WorkflowStep](),
		"task": reflect.TypeFor[wfv1.DAGTask](),
	}
	table := fields()
	dec := &decoder{types: map[reflect.Type]*structInfo{}}
	for section, rows := range table {
		typ, ok := types[section]
		if !ok {
			t.Errorf("section %q is of no known type", section)
			continue
		}
		var have []string
		for _, r := range rows {
			if slices.Contains(have, r.field) {
				t.Errorf("%s.%s stands twice", section, r.field)
			}
			have = append(have, r.field)
			if r.of != "" && table[r.of] == nil {
				t.Errorf("%s.%s: there is no section %q", section, r.field, r.of)
			}
			if (r.treat == TreatRefused || r.treat == TreatIgnored || r.treat == TreatHarmless) && r.why == "" {
				t.Errorf("%s.%s does not say why", section, r.field)
			}
		}
		slices.Sort(have)
		// Fields that newer versions of Kubernetes have may stand in the table already.
		have = slices.DeleteFunc(have, func(f string) bool { return f == "restartPolicyRules" || f == "fileKeyRef" })
		if diff := cmp.Diff(dec.info(typ).names, have); diff != "" {
			t.Errorf("%s (-Argo's type +table):\n%s", section, diff)
		}
	}
	for section := range types {
		if table[section] == nil {
			t.Errorf("there is no section %q", section)
		}
	}
}

func TestScalars(t *testing.T) {
	for text, want := range map[string]string{
		"y": "true", "No": "false", "on": "true", "~": "null", "": "null", "10": "10", "010": "8", "0x1F": "31", "1_000": "1000",
		"1.50": "1.5", "1e3": "1000", "-.5": "-0.5", "2001-01-01": `"2001-01-01"`, "1.2.3": `"1.2.3"`, "0b101": "5", "+3": "3",
		".inf": `".inf"`, "12e": `"12e"`, "-": `"-"`, ".": `"."`, "yess": `"yess"`, "99999999999999999999": "100000000000000000000",
		"18446744073709551615": "18446744073709552000", "0o17": "15", "1:30": `"1:30"`,
	} {
		if got := string(plain(text).JSON()); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{`"y"`: "y", "'10'": "10", "!!str 10": "10", "|\n  a\n": "a\n", "!!binary aGk=": "hi", "1.50": "1.5"} {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		if got := resolve(doc.Content[0]).String(); got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
}

func TestCycles(t *testing.T) {
	for name, c := range map[string]struct {
		deps [][]int
		want [][]int
	}{
		"none":      {[][]int{{}, {0}, {0, 1}}, nil},
		"self":      {[][]int{{0}}, [][]int{{0}}},
		"two":       {[][]int{{1}, {0}}, [][]int{{0, 1}}},
		"work":      {[][]int{{2}, {0}, {1}}, [][]int{{0, 1, 2}}},
		"tail":      {[][]int{{1}, {2}, {3}, {1}}, [][]int{{1, 3, 2}}},
		"separate":  {[][]int{{1}, {0}, {3}, {2}}, [][]int{{0, 1}, {2, 3}}},
		"entangled": {[][]int{{1, 2}, {0}, {0}}, [][]int{{0, 1}}},
	} {
		if diff := cmp.Diff(c.want, cycles(c.deps)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	chain := make([][]int, 200_000)
	for i := range chain[1:] {
		chain[i] = []int{i + 1}
	}
	chain[len(chain)-1] = []int{0}
	if got := cycles(chain); len(got) != 1 || len(got[0]) != len(chain) {
		t.Errorf("a long cycle: %d", len(got))
	}
}

func TestIDs(t *testing.T) {
	n := newNamer("plan-abcdefgh", func(id string) bool { return id == "plan-abcdefgh-taken" }, 0)
	seen := map[string]bool{}
	for _, c := range []struct{ path, want string }{
		{".a", "plan-abcdefgh-a"},
		{"[0].a(0:x)", "plan-abcdefgh-0-a-0-x"},
		{"[0].B_c", "plan-abcdefgh-0-b-c"},
		{"[0].b-c", "plan-abcdefgh-0-b-c-*"},
		{".taken", "plan-abcdefgh-taken-*"},
		{".a-r1", "plan-abcdefgh-a-r1-*"},
		{".a(0:日本)", "plan-abcdefgh-a-0"},
		{".a(1:" + strings.Repeat("long", 40) + ")", "plan-abcdefgh-a-1-longlong*"},
		{".a(2:" + strings.Repeat("long", 40) + ")", "plan-abcdefgh-a-2-longlong*"},
		{"", "plan-abcdefgh-main"},
	} {
		got := n.path(c.path, "main")
		if prefix, ok := strings.CutSuffix(c.want, "*"); ok && !strings.HasPrefix(got, prefix) || !ok && got != c.want {
			t.Errorf("%s is %s, want %s", c.path, got, c.want)
		}
		if len(got) > maxID || seen[got] || sanitize(got) != got {
			t.Errorf("%s: %q is not a good id", c.path, got)
		}
		seen[got] = true
	}
	long := newNamer(strings.Repeat("p", 54)+"-abcdefgh", nil, 0)
	for _, template := range []string{"java", strings.Repeat("t", 60)} {
		a, b := long.clic(template, "1"), long.clic(template, "2")
		for _, id := range []string{a, b} {
			if len(id) > maxClicID || !slices.Contains(SplitSuffix(id), "abcdefgh") {
				t.Errorf("%q (%d) does not name its task", id, len(id))
			}
		}
		if a == b {
			t.Errorf("%q twice", a)
		}
	}
	if got := newNamer("plan-abcdefgh", nil, 0).clic("java-exec", "12"); got != "plan-abcdefgh-java-exec-12" {
		t.Error(got)
	}
}

func TestRefs(t *testing.T) {
	for _, r := range []ref{
		{kind: 'e'},
		{kind: 'x'},
		{kind: 'w', hook: "running"},
		{kind: 'c', template: 3, call: 14},
		{kind: 'c', item: `{"a b":"c"}`},
		{kind: 'h', template: 1, call: 2, hook: "exit", item: "null"},
	} {
		got, ok := parseRef(r.String())
		if !ok || got != r {
			t.Errorf("%+v became %q and %+v", r, r.String(), got)
		}
	}
	for _, bad := range []string{"", "q", "c", "c1", "c-1.2", "e2", "hx.1.y", " "} {
		if r, ok := parseRef(bad); ok {
			t.Errorf("%q is %+v", bad, r)
		}
	}
}
